/* Makes the edits field by field, and adds what is missing. What is there and what is to
 * become of it is preflight_draft.c's, mending lines preflight_tidy.c's. */
#include "gateway/delivery/preflight.h"

#include "gateway/delivery/preflight_addresses.h"
#include "gateway/delivery/preflight_draft.h"
#include "gateway/delivery/preflight_sender.h"
#include "gateway/delivery/preflight_ses.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/delivery/preflight_tidy.h"
#include "gateway/delivery/preflight_type.h"
#include "gateway/delivery/preflight_words.h"
#include "gateway/error.h"
#include "gateway/quoting.h"
#include <gmime/gmime.h>
#include <string.h>

/* The span without its last line end. */
static size_t content_end(const struct draft *draft, const struct fields_span *span)
{
	size_t end = span->end;
	if (end > span->start && draft->text[end - 1] == '\n')
		end--;
	if (end > span->start && end < span->end && draft->text[end - 1] == '\r')
		end--;
	return end;
}

/* --- second pass: the edits --- */

static bool replace(
	struct draft *draft, const struct fields_span *span, const GString *text)
{
	bool ok = splice_replace(draft->splice, span->start, span->end - span->start,
		text ? text->str : "", text ? text->len : 0);
	draft->n_edits += ok;
	return ok;
}

static bool replace_value(
	struct draft *draft, const struct fields_span *span, const char *value)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *name =
		g_strndup(draft->text + span->start, span->name_end - span->start);
	text_append_field(text, name, value, draft->newline);
	return replace(draft, span, text);
}

static size_t count_ats(const char *text, size_t bytes)
{
	size_t n = 0;
	for (size_t i = 0; i < bytes; i++)
		n += text[i] == '@';
	return n;
}

/* Whether the field is a list that SES refuses the message for. */
static bool is_unsound(
	const struct draft *draft, const struct fields_span *span, const GString *joined)
{
	static const char *const lists[] = { "From", "Sender", "Reply-To", "To", "Cc" };
	bool is_list = false;
	for (size_t i = 0; draft->preflight->is_ses && i < G_N_ELEMENTS(lists); i++)
		is_list = is_list || fields_is(draft->text, span, lists[i]);
	return is_list &&
	       (!addresses_are_sound(
			draft->text + span->value, span->end - span->value) ||
		       (joined && !addresses_are_sound(joined->str, joined->len)));
}

/* What the field says, and what is joined to it (may be NULL). */
static GString *whole_value(
	struct draft *draft, const struct fields_span *span, const GString *joined)
{
	size_t bytes = span->end - span->value;
	const char *value = draft_octets(draft, draft->text + span->value, &bytes);
	GString *all = g_string_new_len(value, (gssize)bytes);
	if (joined) {
		bytes = joined->len;
		value = draft_octets(draft, joined->str, &bytes);
		g_string_append_len(all, value, (gssize)bytes);
	}
	return all;
}

/* The field with such a list, mended; beside it the original where it named more. */
static bool replace_list(
	struct draft *draft, const struct fields_span *span, const GString *joined)
{
	g_autoptr(GString) all = whole_value(draft, span, joined);
	g_autofree char *name =
		g_strndup(draft->text + span->start, span->name_end - span->start);
	g_autofree char *value = addresses_repair(all->str, all->len);
	g_autoptr(GString) text = g_string_new(NULL);
	if (value)
		text_append_field(text, name, value, draft->newline);
	if (value && count_ats(value, strlen(value)) < count_ats(all->str, all->len)) {
		g_autofree char *beside = g_strconcat("X-Unparsed-", name, NULL);
		g_autofree char *original = sender_original_text(all->str, all->len);
		text_append_field(text, beside, original, draft->newline);
	}
	return replace(draft, span, text);
}

/* A field that stays: byte-identical, unless it has to be joined, encoded or mended. */
static bool keep_field(
	struct draft *draft, const struct fields_span *span, const GString *joined)
{
	bool is_beyond = words_are_wanted(draft->text, span) ||
			 (joined && !text_is_ascii(joined->str, joined->len));
	if (draft->encode && is_beyond) {
		g_autoptr(GString) all = whole_value(draft, span, joined);
		g_autofree char *words = words_encode(draft->text, span, all);
		return replace_value(draft, span, words);
	}
	if (is_unsound(draft, span, joined))
		return replace_list(draft, span, joined);
	/* To some a blank before the colon makes it no field, which ends the header. */
	bool has_gap = span->value - span->name_end > 1;
	if (!joined && !has_gap &&
		!tidy_is_needed(draft->text + span->start, span->end - span->start,
			draft->newline))
		return true;
	size_t end = content_end(draft, span);
	g_autoptr(GString) raw = g_string_new_len(
		draft->text + span->start, (gssize)(span->name_end - span->start));
	g_string_append_len(
		raw, draft->text + span->value - 1, (gssize)(end - span->value + 1));
	if (joined)
		g_string_append_len(raw, joined->str, (gssize)joined->len);
	g_autoptr(GString) text = g_string_sized_new(raw->len + 2);
	tidy_append(text, raw->str, raw->len, draft->newline);
	g_string_append(text, draft->newline);
	return replace(draft, span, text);
}

/* A line in the header that is no field cannot stay as it is, and may not vanish. */
static bool name_junk(struct draft *draft, const struct fields_span *span)
{
	static const char name[] = "X-Unparsed-Line";
	g_autoptr(GString) text = g_string_new(NULL);
	size_t begin = span->start, end = span->end;
	fields_trim(draft->text, &begin, &end);
	if (begin == end)
		return replace(draft, span, NULL);
	if (draft->encode && !text_is_ascii(draft->text + begin, end - begin)) {
		size_t bytes = end - begin;
		const char *said = draft_octets(draft, draft->text + begin, &bytes);
		g_autofree char *words = sender_original_text(said, bytes);
		text_append_field(text, name, words ? words : "?", draft->newline);
	} else {
		g_string_append_printf(text, "%s:%s ", name, draft->newline);
		tidy_append(text, draft->text + begin, end - begin, draft->newline);
		g_string_append(text, draft->newline);
	}
	return replace(draft, span, text);
}

static bool replace_from(struct draft *draft, const struct fields_span *span)
{
	g_autoptr(GString) text = g_string_new(NULL);
	const struct sender_rewrite *rewrite = &draft->rewrite;
	bool has_reply_to = draft->present[RULES_REPLY_TO] && !draft->drop_reply_to;
	text_append_field(text, "From", rewrite->from, draft->newline);
	if (rewrite->reply_to && !has_reply_to)
		text_append_field(text, "Reply-To", rewrite->reply_to, draft->newline);
	if (rewrite->original_from)
		text_append_field(
			text, "X-Original-From", rewrite->original_from, draft->newline);
	return replace(draft, span, text);
}

/* What the field said stays to be seen, under a name that nobody acts upon; the first
 * gateway's word counts. */
static bool set_aside(struct draft *draft, const struct fields_span *span,
	enum rules_id as, const char *name)
{
	size_t bytes = span->end - span->value;
	const char *said = draft_octets(draft, draft->text + span->value, &bytes);
	g_autofree char *original =
		draft->present[as] ? NULL : sender_original_text(said, bytes);
	g_autoptr(GString) text = g_string_new(NULL);
	if (original)
		text_append_field(text, name, original, draft->newline);
	return replace(draft, span, text);
}

static bool edit_first(struct draft *draft, size_t rule, const struct fields_span *span)
{
	if (rule == RULES_FROM && draft->rewrite_from)
		return replace_from(draft, span);
	if (rule == RULES_SENDER && draft->drop_sender)
		return set_aside(draft, span, RULES_ORIGINAL_SENDER, "X-Original-Sender");
	if (rule == RULES_REPLY_TO && draft->drop_reply_to)
		return set_aside(
			draft, span, RULES_ORIGINAL_REPLY_TO, "X-Original-Reply-To");
	if (rule == RULES_ORIGINAL_FROM && draft->rewrite_from &&
		!draft->rewrite.is_chained)
		return replace(draft, span, NULL);
	return keep_field(draft, span, rule < RULES_NAMED ? draft->joined[rule] : NULL);
}

/* SES puts other Date and Message-ID in, which nearly every signature covers. */
static bool breaks_signatures(const struct draft *draft)
{
	return draft->preflight->is_ses || draft->preflight->body_changed ||
	       draft->rewrite_from || draft->drop_sender || draft->encode;
}

/* Content-Type or Content-Disposition, mended; beside it the original where it may have
 * meant another one. NULL: the field, which says that, is sound. */
static GString *mend_value(const char *text, const struct fields_span *span,
	const GString *said, const char *newline)
{
	bool is_type = fields_is(text, span, "Content-Type"), is_other = false;
	if (is_type ? type_is_sound(said->str, said->len)
		    : type_disposition_is_sound(said->str, said->len))
		return NULL;
	g_autofree char *value = is_type ? type_repair(said->str, said->len, &is_other)
					 : type_disposition_repair(said->str, said->len);
	g_autofree char *original =
		is_other ? sender_original_text(said->str, said->len) : NULL;
	GString *lines = g_string_new(NULL);
	if (value && !text_is_ascii(value, strlen(value))) {
		g_autoptr(GString) beyond = g_string_new(value);
		g_free(value);
		value = words_encode(text, span, beyond);
	}
	if (value)
		text_append_field(lines, is_type ? "Content-Type" : "Content-Disposition",
			value, newline);
	if (original)
		text_append_field(lines, "X-Unparsed-Content-Type", original, newline);
	return lines;
}

/* One of these that SES would stumble over. */
static bool mend_mime_field(struct draft *draft, const struct fields_span *span)
{
	if (!draft->preflight->is_ses)
		return keep_field(draft, span, NULL);
	g_autoptr(GString) said = whole_value(draft, span, NULL);
	g_autoptr(GString) lines = mend_value(draft->text, span, said, draft->newline);
	return lines ? replace(draft, span, lines) : keep_field(draft, span, NULL);
}

/* mime/ may have edited it already: then its text stands. rule:
 * RULES_MAX for a double. */
static void edit_mime_field(
	struct draft *draft, const struct fields_span *span, size_t rule)
{
	size_t before = draft->n_edits;
	if (rule == RULES_MAX)
		(void)replace(draft, span, NULL);
	else if (rule == RULES_CONTENT_TYPE || rule == RULES_CONTENT_DISPOSITION)
		(void)mend_mime_field(draft, span);
	else
		(void)keep_field(draft, span, NULL);
	if (rule == RULES_CONTENT_TYPE)
		draft->type_is_mended = draft->n_edits > before;
}

static bool edit_field(struct draft *draft, const struct fields_span *span)
{
	size_t i;
	if (fields_has_prefix(draft->text, span, "X-SES-"))
		return replace(draft, span, NULL);
	const struct rules_rule *rule = draft_find_rule(draft, span, &i);
	if (!rule)
		return keep_field(draft, span, NULL);
	bool is_first = draft->present[i] && draft->first[i].start == span->start;
	switch (rule->treatment) {
	case RULES_DROP:
		return replace(draft, span, NULL);
	case RULES_SIGNATURE:
		return breaks_signatures(draft) ? replace(draft, span, NULL)
						: keep_field(draft, span, NULL);
	case RULES_MIME:
		edit_mime_field(draft, span, is_first ? i : RULES_MAX);
		return true;
	default:
		return is_first ? edit_first(draft, i, span) : replace(draft, span, NULL);
	}
}

static bool edit_block(struct draft *draft)
{
	struct fields_span span;
	if (draft->begin && !splice_replace(draft->splice, 0, draft->begin, "", 0))
		return false;
	for (size_t at = draft->begin; at < draft->end; at = span.end) {
		bool is_field =
			draft_line_at(draft, draft->end, at, &span) == FIELDS_FIELD;
		if (!(is_field ? edit_field(draft, &span) : name_junk(draft, &span)))
			return false;
	}
	return true;
}

/* --- what is missing --- */

static void add_date(const struct draft *draft, GString *out)
{
	g_autoptr(GDateTime) received =
		g_date_time_new_from_unix_utc(draft->preflight->received_s);
	if (!received)
		received = g_date_time_new_from_unix_utc(0);
	g_autofree char *date = g_mime_utils_header_format_date(received);
	text_append_field(out, "Date", date, draft->newline);
}

static void add_message_id(const struct draft *draft, GString *out)
{
	g_autofree char *id = g_strdup_printf(
		"<%s@%s>", draft->preflight->id, draft->preflight->hostname);
	text_append_field(out, "Message-ID", id, draft->newline);
}

/* The client's reverse-path is the best guess at an author there is. */
static void add_from(struct draft *draft, GString *out)
{
	const struct preflight *p = draft->preflight;
	g_autofree char *path = quoting_address(p->reverse_path ? p->reverse_path : "");
	bool has_path = text_is_address(path);
	bool may_rewrite = p->sender->from && !p->preserve_sender;
	if (has_path && (!may_rewrite || sender_is_verified(p->sender, path))) {
		text_append_field(out, "From", path, draft->newline);
	} else if (may_rewrite) {
		const char *raw = has_path ? path : "";
		sender_rewrite_init(
			&draft->rewrite, p->sender, raw, strlen(raw), NULL, 0);
		text_append_field(out, "From", draft->rewrite.from, draft->newline);
		if (draft->rewrite.reply_to &&
			(!draft->present[RULES_REPLY_TO] || draft->drop_reply_to))
			text_append_field(
				out, "Reply-To", draft->rewrite.reply_to, draft->newline);
	} else {
		g_autofree char *address = g_strdup_printf("postmaster@%s", p->hostname);
		text_append_field(out, "From", address, draft->newline);
	}
}

/* Where mime/ has put a Content-Type of its own in the old one's place, it has seen to
 * MIME-Version: a change of nothing shows whether that place is taken. */
static bool lacks_mime_version(struct draft *draft)
{
	const struct fields_span *type = &draft->first[RULES_CONTENT_TYPE];
	if (draft->present[RULES_MIME_VERSION])
		return false;
	if (draft->preflight->body_changed)
		return draft->type_is_mended ||
		       (draft->present[RULES_CONTENT_TYPE] &&
			       splice_replace(draft->splice, type->start,
				       type->end - type->start, draft->text + type->start,
				       type->end - type->start));
	return draft->has_content || draft->preflight->is_8bit;
}

static bool add_missing(struct draft *draft)
{
	g_autoptr(GString) out = g_string_new(NULL);
	ses_append_fields(out, draft->preflight, draft->newline);
	if (!draft->present[RULES_DATE])
		add_date(draft, out);
	if (!draft->present[RULES_MESSAGE_ID])
		add_message_id(draft, out);
	if (!draft->present[RULES_FROM])
		add_from(draft, out);
	if (draft->own_reference)
		text_append_field(
			out, "References", draft->own_reference, draft->newline);
	if (lacks_mime_version(draft))
		text_append_field(out, "MIME-Version", "1.0", draft->newline);
	if (out->len &&
		!splice_replace(draft->splice, draft->insert_at, 0, out->str, out->len))
		return false;
	return !draft->needs_empty || splice_replace(draft->splice, draft->end, 0,
					      draft->newline, strlen(draft->newline));
}

static bool check_settings(const struct preflight *preflight, GError **error)
{
	if (!ses_check(preflight, error))
		return false;
	if (preflight->sender->from && !text_is_address(preflight->sender->from)) {
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"sender.from is not an address of ASCII characters");
		return false;
	}
	if (!text_is_domain(preflight->hostname) ||
		strspn(preflight->id, "0123456789abcdefghijklmnopqrstuvwxyz") !=
			strlen(preflight->id)) {
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"hostname is not a host name of letters, digits, dots and "
			"hyphens");
		return false;
	}
	return true;
}

bool preflight_edit(const struct preflight *preflight, const char *header,
	size_t header_bytes, struct splice *splice, GError **error)
{
	if (!check_settings(preflight, error))
		return false;
	struct draft draft = { .preflight = preflight, .splice = splice, .text = header };
	draft_read(&draft, header_bytes);
	bool ok = edit_block(&draft) && add_missing(&draft);
	if (!ok)
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
			"the header cannot be edited: two changes meet in one field");
	draft_deinit(&draft);
	return ok;
}

/* "bounces@example.com" to "bounces+ID@example.com" (RFC 5233 has the form). */
static char *with_id(const char *address, const char *id, const char *mark)
{
	const char *domain = text_domain(address);
	bool is_quoted = *address == '"';
	int local_bytes = (int)(domain - address) - 1 - (is_quoted ? 1 : 0);
	return g_strdup_printf("%.*s+%s%s%s@%s", local_bytes, address, id, mark,
		is_quoted ? "\"" : "", domain);
}

char *preflight_reverse_path(const struct preflight *preflight)
{
	const struct conf_sender *sender = preflight->sender;
	const char *given = preflight->reverse_path ? preflight->reverse_path : "";
	const char *own = sender->envelope ? sender->envelope : sender->from;
	bool stays = preflight->preserve_sender && (*given || !preflight->is_ses);
	if (stays || !own)
		return g_strdup(given);
	return sender->envelope_has_id
		       ? with_id(own, preflight->id, *given ? "" : CONF_SENDER_REPORT)
		       : g_strdup(own);
}

GString *preflight_part_field(const char *field, size_t bytes, const char *newline)
{
	struct fields_span span;
	if (fields_at(field, bytes, 0, &span) != FIELDS_FIELD)
		return NULL;
	g_autoptr(GString) said =
		g_string_new_len(field + span.value, (gssize)(span.end - span.value));
	GString *lines = mend_value(field, &span, said, newline);
	bool is_beyond = words_are_wanted(field, &span) &&
			 g_utf8_validate_len(said->str, said->len, NULL);
	if (lines || (!is_beyond && !tidy_is_needed(field, bytes, newline)))
		return lines;
	g_autofree char *name = g_strndup(field, span.name_end);
	g_autofree char *value = is_beyond ? words_encode(field, &span, said)
					   : text_line(said->str, said->len);
	lines = g_string_new(NULL);
	text_append_field(lines, name, g_strstrip(value), newline);
	return lines;
}
