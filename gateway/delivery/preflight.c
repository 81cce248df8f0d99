/* Decides field by field what SES may see of a message's header. Reading addresses is
 * preflight_sender.c's, finding fields preflight_fields.c's, mending lines
 * preflight_tidy.c's. */
#include "gateway/delivery/preflight.h"

#include "gateway/delivery/preflight_fields.h"
#include "gateway/delivery/preflight_sender.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/delivery/preflight_tidy.h"
#include "gateway/delivery/preflight_words.h"
#include "gateway/error.h"
#include <gmime/gmime.h>
#include <string.h>

enum treatment {
	ONCE,      /* doubles are dropped */
	JOIN,      /* an address list: doubles are joined to the first */
	DROP,      /* never sent */
	SIGNATURE, /* dropped when what it signs has changed */
	MIME,      /* doubles are dropped; where it stands once it is mime/'s */
};

/* The fields that the code below asks for; the others follow in the table. */
enum rule_id {
	RULE_FROM,
	RULE_SENDER,
	RULE_REPLY_TO,
	RULE_DATE,
	RULE_MESSAGE_ID,
	RULE_TO,
	RULE_CC,
	RULE_ORIGINAL_FROM,
	RULE_CONTENT_TYPE,
	RULE_MIME_VERSION,
	RULES_NAMED,
};

/* RFC 5322, section 3.6, and SES Developer Guide, "Amazon SES header fields": the fields
 * that may stand once. An empty one of those that need a value counts as missing. */
static const struct rule {
	const char *name;
	size_t name_bytes;
	enum treatment treatment;
	bool needs_value;
} rules[] = {
#define RULE(name, treatment, needs_value)                                               \
	{                                                                                \
		name, sizeof(name) - 1, treatment, needs_value                           \
	}
	[RULE_FROM] = RULE("From", ONCE, true),
	[RULE_SENDER] = RULE("Sender", ONCE, true),
	[RULE_REPLY_TO] = RULE("Reply-To", ONCE, true),
	[RULE_DATE] = RULE("Date", ONCE, true),
	[RULE_MESSAGE_ID] = RULE("Message-ID", ONCE, true),
	[RULE_TO] = RULE("To", JOIN, true),
	[RULE_CC] = RULE("Cc", JOIN, true),
	[RULE_ORIGINAL_FROM] = RULE("X-Original-From", ONCE, false),
	[RULE_CONTENT_TYPE] = RULE("Content-Type", MIME, false),
	[RULE_MIME_VERSION] = RULE("MIME-Version", MIME, false),
	RULE("Bcc", DROP, false),
	RULE("Resent-Bcc", DROP, false),
	RULE("Return-Path", DROP, false),
	RULE("DKIM-Signature", SIGNATURE, false),
	RULE("DomainKey-Signature", SIGNATURE, false),
	RULE("Content-Alternative", MIME, false),
	RULE("Content-Base", MIME, false),
	RULE("Content-Class", MIME, false),
	RULE("Content-Description", MIME, false),
	RULE("Content-Disposition", MIME, false),
	RULE("Content-Duration", MIME, false),
	RULE("Content-ID", MIME, false),
	RULE("Content-Language", MIME, false),
	RULE("Content-Length", MIME, false),
	RULE("Content-Location", MIME, false),
	RULE("Content-MD5", MIME, false),
	RULE("Content-Transfer-Encoding", MIME, false),
	RULE("Lines", MIME, false),
	RULE("Accept-Language", ONCE, false),
	RULE("acceptLanguage", ONCE, false),
	RULE("Archived-At", ONCE, false),
	RULE("Auto-Submitted", ONCE, false),
	RULE("Bounces-to", ONCE, false),
	RULE("Comments", ONCE, false),
	RULE("Delivered-To", ONCE, false),
	RULE("Disposition-Notification-Options", ONCE, false),
	RULE("Disposition-Notification-To", ONCE, false),
	RULE("Errors-To", ONCE, false),
	RULE("Importance", ONCE, false),
	RULE("In-Reply-To", ONCE, false),
	RULE("Keywords", ONCE, false),
	RULE("List-Archive", ONCE, false),
	RULE("List-Help", ONCE, false),
	RULE("List-Id", ONCE, false),
	RULE("List-Owner", ONCE, false),
	RULE("List-Post", ONCE, false),
	RULE("List-Subscribe", ONCE, false),
	RULE("List-Unsubscribe", ONCE, false),
	RULE("List-Unsubscribe-Post", ONCE, false),
	RULE("Message-Context", ONCE, false),
	RULE("Organization", ONCE, false),
	RULE("Original-From", ONCE, false),
	RULE("Original-Message-ID", ONCE, false),
	RULE("Original-Recipient", ONCE, false),
	RULE("Original-Subject", ONCE, false),
	RULE("Precedence", ONCE, false),
	RULE("Priority", ONCE, false),
	RULE("References", ONCE, false),
	RULE("Return-Receipt-To", ONCE, false),
	RULE("Sensitivity", ONCE, false),
	RULE("Solicitation", ONCE, false),
	RULE("Subject", ONCE, false),
	RULE("Thread-Index", ONCE, false),
	RULE("Thread-Topic", ONCE, false),
	RULE("User-Agent", ONCE, false),
	RULE("VBR-Info", ONCE, false),
#undef RULE
};

/* One preflight_edit() at work. */
struct draft {
	const struct preflight *preflight;
	struct splice *splice;
	const char *text;
	size_t begin, end;   /* the block: from its first line to before the empty line */
	size_t own_end;      /* of the gateway's own trace field, or 0 */
	bool needs_empty;    /* a body begins at end without an empty line before it */
	size_t insert_at;    /* new fields go here: below the trace fields */
	const char *newline; /* as the first line ends */
	bool present[G_N_ELEMENTS(rules)];
	struct fields_span first[G_N_ELEMENTS(rules)];
	GString *joined[RULES_NAMED]; /* what JOIN adds to the first; NULL: nothing */
	bool rewrite_from, drop_sender;
	bool has_content; /* a field of MIME's */
	bool encode;      /* a field beyond ASCII becomes encoded-words */
	struct sender_rewrite rewrite;
};

/* The client's first line does not go on with the gateway's own field. */
static enum fields_kind line_at(
	const struct draft *draft, size_t bytes, size_t at, struct fields_span *span)
{
	enum fields_kind kind = fields_at(draft->text, bytes, at, span);
	if (at < draft->own_end)
		span->end = MIN(span->end, draft->own_end);
	return kind;
}

static const struct rule *find_rule(const char *text, const struct fields_span *span)
{
	size_t name_bytes = span->name_end - span->start;
	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		if (rules[i].name_bytes == name_bytes &&
			fields_is(text, span, rules[i].name))
			return &rules[i];
	}
	return NULL;
}

static bool is_empty_value(const char *text, const struct fields_span *span)
{
	size_t begin = span->value, end = span->end;
	fields_trim(text, &begin, &end);
	return begin == end;
}

/*
 * Whether a header goes on after a line that is no field: by the line that follows.
 * Otherwise the body began without an empty line, as some devices send it, and nothing of
 * it may vanish.
 */
static bool header_goes_on(const char *text, size_t bytes, size_t at)
{
	struct fields_span next;
	return fields_at(text, bytes, at, &next) == FIELDS_FIELD &&
	       (find_rule(text, &next) || fields_has_prefix(text, &next, "X-") ||
		       fields_is(text, &next, "Received"));
}

/* mbox's separator line ("From alice Thu ..."), which some spools
 * and devices send along. */
static bool is_postmark(const char *text, size_t bytes, const struct fields_span *line)
{
	return ((bytes >= 5 && !memcmp(text, "From ", 5)) ||
		       (bytes >= 6 && !memcmp(text, ">From ", 6))) &&
	       header_goes_on(text, bytes, line->end);
}

static void find_block(struct draft *draft, size_t bytes)
{
	struct fields_span span;
	draft->own_end = fields_own_trace_end(draft->text, bytes, draft->preflight->id);
	enum fields_kind kind = line_at(draft, bytes, 0, &span);
	const char *feed = memchr(draft->text, '\n', bytes);
	draft->newline =
		feed && (feed == draft->text || feed[-1] != '\r') ? "\n" : "\r\n";
	if (kind == FIELDS_JUNK && is_postmark(draft->text, bytes, &span))
		draft->begin = span.end;
	draft->end = draft->begin;
	for (;;) {
		kind = line_at(draft, bytes, draft->end, &span);
		if (kind == FIELDS_EMPTY || kind == FIELDS_EOF)
			break;
		/* After a rewrite mime/ has read on in any case. */
		if (kind == FIELDS_JUNK && !draft->preflight->body_changed &&
			!header_goes_on(draft->text, bytes, span.end))
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
	if (rules[rule].treatment != JOIN || same_value(draft->text, first, span))
		return;
	size_t begin = span->value, end = span->end;
	fields_trim(draft->text, &begin, &end);
	if (!draft->joined[rule])
		draft->joined[rule] = g_string_new(NULL);
	g_string_append_printf(draft->joined[rule], ",%s ", draft->newline);
	g_string_append_len(
		draft->joined[rule], draft->text + begin, (gssize)(end - begin));
}

/* First pass: what is there, and where. */
static void survey(struct draft *draft)
{
	struct fields_span span;
	bool in_trace = true;
	draft->insert_at = draft->begin;
	for (size_t at = draft->begin; at < draft->end; at = span.end) {
		if (line_at(draft, draft->end, at, &span) != FIELDS_FIELD)
			continue;
		bool is_trace = fields_is(draft->text, &span, "Received") ||
				fields_is(draft->text, &span, "Return-Path");
		if (in_trace && !is_trace)
			draft->insert_at = span.start;
		in_trace = in_trace && is_trace;
		draft->has_content |= fields_has_prefix(draft->text, &span, "Content-");
		draft->encode |= draft->preflight->wants_ascii &&
				 words_are_wanted(draft->text, &span);
		const struct rule *rule = find_rule(draft->text, &span);
		if (!rule || (rule->needs_value && is_empty_value(draft->text, &span)))
			continue;
		size_t i = (size_t)(rule - rules);
		if (draft->present[i]) {
			note_double(draft, i, &span);
		} else {
			draft->present[i] = true;
			draft->first[i] = span;
		}
	}
}

static void decide_sender(struct draft *draft)
{
	const struct conf_sender *sender = draft->preflight->sender;
	if (!sender->from)
		return;
	const struct fields_span *from = &draft->first[RULE_FROM];
	if (draft->present[RULE_FROM] &&
		!sender_value_is_verified(
			sender, draft->text + from->value, from->end - from->value)) {
		draft->rewrite_from = true;
		sender_rewrite_init(&draft->rewrite, sender, draft->text + from->value,
			from->end - from->value);
	}
	const struct fields_span *second = &draft->first[RULE_SENDER];
	draft->drop_sender =
		draft->present[RULE_SENDER] &&
		!sender_value_is_verified(
			sender, draft->text + second->value, second->end - second->value);
}

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
	return splice_replace(draft->splice, span->start, span->end - span->start,
		text ? text->str : "", text ? text->len : 0);
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

/* A field that stays: byte-identical, unless it has to be joined, encoded or made tidy. */
static bool keep_field(
	struct draft *draft, const struct fields_span *span, const GString *joined)
{
	g_autofree char *words = draft->encode && words_are_wanted(draft->text, span)
					 ? words_encode(draft->text, span, joined)
					 : NULL;
	if (words)
		return replace_value(draft, span, words);
	if (!joined && !tidy_is_needed(draft->text + span->start, span->end - span->start,
			       draft->newline))
		return true;
	g_autoptr(GString) raw = g_string_new_len(draft->text + span->start,
		(gssize)(content_end(draft, span) - span->start));
	if (joined)
		g_string_append_len(raw, joined->str, (gssize)joined->len);
	g_autoptr(GString) text = g_string_sized_new(raw->len + 2);
	tidy_append(text, raw->str, raw->len, draft->newline, false);
	g_string_append(text, draft->newline);
	return replace(draft, span, text);
}

/* A line in the header that is no field cannot stay as it is, and may not vanish. */
static bool name_junk(struct draft *draft, const struct fields_span *span)
{
	g_autoptr(GString) text = g_string_new("X-Unparsed-Line:");
	size_t begin = span->start, end = span->end;
	fields_trim(draft->text, &begin, &end);
	if (begin == end)
		return replace(draft, span, NULL);
	g_string_append_printf(text, "%s ", draft->newline);
	tidy_append(text, draft->text + begin, end - begin, draft->newline, true);
	g_string_append(text, draft->newline);
	return replace(draft, span, text);
}

static bool replace_from(struct draft *draft, const struct fields_span *span)
{
	g_autoptr(GString) text = g_string_new(NULL);
	const struct sender_rewrite *rewrite = &draft->rewrite;
	text_append_field(text, "From", rewrite->from, draft->newline);
	if (rewrite->reply_to && !draft->present[RULE_REPLY_TO])
		text_append_field(text, "Reply-To", rewrite->reply_to, draft->newline);
	if (rewrite->original_from)
		text_append_field(
			text, "X-Original-From", rewrite->original_from, draft->newline);
	return replace(draft, span, text);
}

static bool edit_first(struct draft *draft, size_t rule, const struct fields_span *span)
{
	const GString *joined = rule < RULES_NAMED ? draft->joined[rule] : NULL;
	switch (rule) {
	case RULE_FROM:
		return draft->rewrite_from ? replace_from(draft, span)
					   : keep_field(draft, span, NULL);
	case RULE_SENDER:
		return draft->drop_sender ? replace(draft, span, NULL)
					  : keep_field(draft, span, NULL);
	case RULE_ORIGINAL_FROM:
		return draft->rewrite_from ? replace(draft, span, NULL)
					   : keep_field(draft, span, NULL);
	default:
		return keep_field(draft, span, joined);
	}
}

static bool edit_field(struct draft *draft, const struct fields_span *span)
{
	if (fields_has_prefix(draft->text, span, "X-SES-"))
		return replace(draft, span, NULL);
	const struct rule *rule = find_rule(draft->text, span);
	if (!rule)
		return keep_field(draft, span, NULL);
	size_t i = (size_t)(rule - rules);
	bool is_first = draft->present[i] && draft->first[i].start == span->start;
	if (rule->treatment == MIME) {
		/* mime/ may have edited it already: then its text stands. */
		if (!is_first)
			(void)replace(draft, span, NULL);
		else if (!draft->preflight->body_changed)
			(void)keep_field(draft, span, NULL);
		return true;
	}
	if (rule->treatment == DROP || !is_first)
		return replace(draft, span, NULL);
	if (rule->treatment == SIGNATURE &&
		(draft->preflight->body_changed || draft->rewrite_from || draft->encode))
		return replace(draft, span, NULL);
	return edit_first(draft, i, span);
}

static bool edit_block(struct draft *draft)
{
	struct fields_span span;
	if (draft->begin && !splice_replace(draft->splice, 0, draft->begin, "", 0))
		return false;
	for (size_t at = draft->begin; at < draft->end; at = span.end) {
		bool is_field = line_at(draft, draft->end, at, &span) == FIELDS_FIELD;
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
	bool has_path = p->reverse_path && text_is_address(p->reverse_path);
	if (has_path &&
		(!p->sender->from || sender_is_verified(p->sender, p->reverse_path))) {
		text_append_field(out, "From", p->reverse_path, draft->newline);
	} else if (p->sender->from) {
		const char *raw = has_path ? p->reverse_path : "";
		sender_rewrite_init(&draft->rewrite, p->sender, raw, strlen(raw));
		text_append_field(out, "From", draft->rewrite.from, draft->newline);
		if (draft->rewrite.reply_to && !draft->present[RULE_REPLY_TO])
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
	const struct fields_span *type = &draft->first[RULE_CONTENT_TYPE];
	if (draft->present[RULE_MIME_VERSION])
		return false;
	if (draft->preflight->body_changed)
		return draft->present[RULE_CONTENT_TYPE] &&
		       splice_replace(draft->splice, type->start, type->end - type->start,
			       draft->text + type->start, type->end - type->start);
	return draft->has_content || draft->preflight->is_8bit;
}

static bool add_missing(struct draft *draft)
{
	g_autoptr(GString) out = g_string_new(NULL);
	if (draft->preflight->configuration_set)
		text_append_field(out, "X-SES-CONFIGURATION-SET",
			draft->preflight->configuration_set, draft->newline);
	if (!draft->present[RULE_DATE])
		add_date(draft, out);
	if (!draft->present[RULE_MESSAGE_ID])
		add_message_id(draft, out);
	if (!draft->present[RULE_FROM])
		add_from(draft, out);
	if (lacks_mime_version(draft))
		text_append_field(out, "MIME-Version", "1.0", draft->newline);
	if (out->len &&
		!splice_replace(draft->splice, draft->insert_at, 0, out->str, out->len))
		return false;
	return !draft->needs_empty || splice_replace(draft->splice, draft->end, 0,
					      draft->newline, strlen(draft->newline));
}

/* Characters of a configuration set's name (SESv2 API, ConfigurationSetName). */
static bool is_set_name(const char *name)
{
	size_t length = strlen(name);
	for (size_t i = 0; i < length; i++) {
		if (!g_ascii_isalnum(name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	}
	return length >= 1 && length <= 64;
}

static bool check_settings(const struct preflight *preflight, GError **error)
{
	if (preflight->configuration_set && !is_set_name(preflight->configuration_set)) {
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"the SES configuration set is not a name of 1 to 64 letters, "
			"digits, hyphens and underscores");
		return false;
	}
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
	find_block(&draft, header_bytes);
	survey(&draft);
	decide_sender(&draft);
	bool ok = edit_block(&draft) && add_missing(&draft);
	if (!ok)
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
			"the header cannot be edited: two changes meet in one field");
	for (size_t i = 0; i < RULES_NAMED; i++) {
		if (draft.joined[i])
			g_string_free(draft.joined[i], TRUE);
	}
	sender_rewrite_deinit(&draft.rewrite);
	return ok;
}

char *preflight_reverse_path(const struct conf_sender *sender, const char *reverse_path)
{
	if (sender->envelope)
		return g_strdup(sender->envelope);
	return g_strdup(sender->from ? sender->from : reverse_path);
}
