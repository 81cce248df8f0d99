/* Finds the header block, takes stock of its fields, and decides about senders, Reply-To
 * and References. Edits nothing. */
#include "gateway/delivery/preflight_draft.h"

#include "gateway/delivery/preflight_addresses.h"
#include "gateway/delivery/preflight_octets.h"
#include "gateway/delivery/preflight_text.h"
#include <string.h>

#define REFERENCES_BYTES_MAX 16384 /* a longer field is left alone */
#define ID_BYTES_MAX         900   /* of a Message-ID that is named elsewhere */

enum fields_kind draft_line_at(
	const struct draft *draft, size_t bytes, size_t at, struct fields_span *span)
{
	enum fields_kind kind = fields_at(draft->text, bytes, at, span);
	if (at < draft->own_end)
		span->end = MIN(span->end, draft->own_end);
	return kind;
}

const struct rules_rule *draft_find_rule(
	const struct draft *draft, const struct fields_span *span, size_t *index)
{
	const struct rules_rule *rule = rules_find(draft->text, span, index);
	return rule && rule->of_ses && !draft->preflight->is_ses ? NULL : rule;
}

/* Whether nobody would see anything in it: blanks, controls, marks of direction. */
static bool is_empty_value(const char *text, const struct fields_span *span)
{
	for (size_t i = span->value; i < span->end; i++) {
		if (g_ascii_isgraph(text[i]))
			return false;
	}
	g_autofree char *clean =
		text_clean(text + span->value, span->end - span->value, 8);
	return !*clean;
}

/* mbox's separator line ("From alice Thu ..."), which some spools
 * and devices send along. */
static bool is_postmark(const char *text, size_t bytes, const struct fields_span *line)
{
	return ((bytes >= 5 && !memcmp(text, "From ", 5)) ||
		       (bytes >= 6 && !memcmp(text, ">From ", 6))) &&
	       rules_header_goes_on(text, bytes, line->end);
}

static void find_block(struct draft *draft, size_t bytes)
{
	struct fields_span span;
	draft->own_end = fields_own_trace_end(draft->text, bytes, draft->preflight->id);
	enum fields_kind kind = draft_line_at(draft, bytes, 0, &span);
	const char *feed = memchr(draft->text, '\n', bytes);
	draft->newline =
		feed && (feed == draft->text || feed[-1] != '\r') ? "\n" : "\r\n";
	if (kind == FIELDS_JUNK && is_postmark(draft->text, bytes, &span))
		draft->begin = span.end;
	draft->end = draft->begin;
	for (;;) {
		kind = draft_line_at(draft, bytes, draft->end, &span);
		if (kind == FIELDS_EMPTY || kind == FIELDS_EOF)
			break;
		/* After a rewrite mime/ has read on in any case. */
		if (kind == FIELDS_JUNK && !draft->preflight->body_changed &&
			!rules_header_goes_on(draft->text, bytes, span.end))
			break;
		draft->end = span.end;
	}
	draft->needs_empty = kind == FIELDS_JUNK || (kind == FIELDS_EOF && !draft->end);
}

static bool same_value(
	const char *text, const struct fields_span *a, const struct fields_span *b)
{
	size_t a_begin = a->value, a_end = a->end, b_begin = b->value, b_end = b->end;
	fields_trim(text, &a_begin, &a_end);
	fields_trim(text, &b_begin, &b_end);
	return a_end - a_begin == b_end - b_begin &&
	       !memcmp(text + a_begin, text + b_begin, a_end - a_begin);
}

static void note_double(struct draft *draft, size_t rule, const struct fields_span *span)
{
	const struct fields_span *first = &draft->first[rule];
	if (same_value(draft->text, first, span))
		return;
	size_t begin = span->value, end = span->end;
	fields_trim(draft->text, &begin, &end);
	if (!draft->joined[rule])
		draft->joined[rule] = g_string_new(NULL);
	g_string_append_printf(draft->joined[rule], ",%s ", draft->newline);
	g_string_append_len(
		draft->joined[rule], draft->text + begin, (gssize)(end - begin));
}

static void note_field(struct draft *draft, const struct fields_span *span)
{
	size_t i;
	const struct rules_rule *rule = draft_find_rule(draft, span, &i);
	if (!rule || (rule->needs_value && is_empty_value(draft->text, span)))
		return;
	if (!draft->present[i]) {
		draft->present[i] = true;
		draft->first[i] = *span;
	} else if (rule->treatment == RULES_JOIN) {
		note_double(draft, i, span);
	}
}

/* First pass: what is there, and where. */
static void survey(struct draft *draft)
{
	struct fields_span span;
	bool in_trace = true;
	draft->encode =
		draft->preflight->wants_ascii &&
		!text_is_ascii(draft->text + draft->begin, draft->end - draft->begin);
	draft->insert_at = draft->begin;
	for (size_t at = draft->begin; at < draft->end; at = span.end) {
		if (draft_line_at(draft, draft->end, at, &span) != FIELDS_FIELD)
			continue;
		bool is_trace = fields_is(draft->text, &span, "Received") ||
				fields_is(draft->text, &span, "Return-Path");
		if (in_trace && !is_trace)
			draft->insert_at = span.start;
		in_trace = in_trace && is_trace;
		draft->has_content |= fields_has_prefix(draft->text, &span, "Content-");
		note_field(draft, &span);
	}
}

static void find_charset(struct draft *draft, size_t bytes)
{
	if (!g_utf8_validate_len(
		    draft->text + draft->begin, draft->end - draft->begin, NULL))
		draft->charset = octets_find_charset(draft->text, bytes, draft->end);
}

const char *draft_octets(struct draft *draft, const char *raw, size_t *bytes)
{
	size_t utf8_bytes;
	char *utf8 = octets_to_utf8(draft->charset, raw, *bytes, &utf8_bytes);
	if (!utf8)
		return raw;
	if (!draft->converted)
		draft->converted = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(draft->converted, utf8);
	*bytes = utf8_bytes;
	return utf8;
}

static const char *value_of(struct draft *draft, enum rules_id rule, size_t *bytes)
{
	const struct fields_span *span = &draft->first[rule];
	*bytes = span->end - span->value;
	return draft->present[rule]
		       ? draft_octets(draft, draft->text + span->value, bytes)
		       : NULL;
}

static void decide_sender(struct draft *draft)
{
	const struct conf_sender *sender = draft->preflight->sender;
	size_t bytes, earlier_bytes;
	if (!sender->from || draft->preflight->preserve_sender)
		return;
	const char *from = value_of(draft, RULES_FROM, &bytes);
	if (from && !sender_value_is_verified(sender, from, bytes)) {
		const char *earlier =
			value_of(draft, RULES_ORIGINAL_FROM, &earlier_bytes);
		draft->rewrite_from = true;
		sender_rewrite_init(
			&draft->rewrite, sender, from, bytes, earlier, earlier_bytes);
	}
	const char *second = value_of(draft, RULES_SENDER, &bytes);
	draft->drop_sender = second && !sender_value_is_verified(sender, second, bytes);
}

/* One that nobody could reply to would be refused by SES, or stand in for the author. */
static void decide_reply_to(struct draft *draft)
{
	size_t bytes;
	const char *value = value_of(draft, RULES_REPLY_TO, &bytes);
	if (!value || (!draft->preflight->is_ses && !draft->rewrite_from))
		return;
	draft->drop_reply_to =
		!addresses_are_sound(value, bytes) && !addresses_have_any(value, bytes);
}

/* The value, where it is one identifier: "<...>" of ASCII; g_free(). */
static char *single_id(struct draft *draft, enum rules_id rule)
{
	size_t bytes, begin = 0;
	const char *value = value_of(draft, rule, &bytes);
	if (!value)
		return NULL;
	fields_trim(value, &begin, &bytes);
	if (bytes - begin < 3 || bytes - begin > ID_BYTES_MAX || value[begin] != '<' ||
		value[bytes - 1] != '>')
		return NULL;
	for (size_t i = begin + 1; i < bytes - 1; i++) {
		if (value[i] <= ' ' || value[i] > '~' || value[i] == '<' ||
			value[i] == '>')
			return NULL;
	}
	return g_strndup(value + begin, bytes - begin);
}

/*
 * SES puts a Message-ID of its own in the place of the client's. With that in References,
 * an answer belongs to the same thread for the recipient, who knows SES's, and for the
 * author, who knows the other.
 */
static void decide_references(struct draft *draft)
{
	size_t bytes;
	g_autofree char *id =
		draft->preflight->is_ses ? single_id(draft, RULES_MESSAGE_ID) : NULL;
	const char *references = value_of(draft, RULES_REFERENCES, &bytes);
	if (!id || (references && (bytes > REFERENCES_BYTES_MAX ||
					  memmem(references, bytes, id, strlen(id)))))
		return;
	if (references) {
		GString *more = g_string_new(draft->newline);
		g_string_append_printf(more, " %s", id);
		draft->joined[RULES_REFERENCES] = more;
		return;
	}
	/* RFC 5322, section 3.6.4: what an answer without References continues. */
	g_autofree char *parent = single_id(draft, RULES_IN_REPLY_TO);
	draft->own_reference =
		parent ? g_strconcat(parent, " ", id, NULL) : g_steal_pointer(&id);
}

void draft_read(struct draft *draft, size_t bytes)
{
	find_block(draft, bytes);
	find_charset(draft, bytes);
	survey(draft);
	decide_sender(draft);
	decide_reply_to(draft);
	decide_references(draft);
}

void draft_deinit(struct draft *draft)
{
	for (size_t i = 0; i < RULES_NAMED; i++) {
		if (draft->joined[i])
			g_string_free(draft->joined[i], TRUE);
	}
	g_free(draft->charset);
	g_clear_pointer(&draft->converted, g_ptr_array_unref);
	g_free(draft->own_reference);
	sender_rewrite_deinit(&draft->rewrite);
}
