/* Who hears what, and the words of it. Sending is bouncing.c's. */
#include "gateway/delivery/bounce.h"

#include "gateway/delivery/preflight_rules.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/delivery/preflight_tidy.h"
#include "gateway/enhanced_code.h"
#include <gmime/gmime.h>
#include <string.h>

#define TEXT_BYTES_MAX 800  /* of one cleaned reply, address or name */
#define LINE_BYTES_MAX 1000 /* with its end: RFC 5322, section 2.1.1 */
#define DELAY_MS       (4 * 3600 * INT64_C(1000))

bool bounce_is_possible(const struct queue_message *message)
{
	return message->may_bounce && *message->reverse_path;
}

/* Where the comment (RFC 5322, 3.2.2) that begins at at ends; without an end: at end. */
static size_t skip_comment(const char *text, size_t at, size_t end)
{
	size_t depth = 0;
	do {
		depth += text[at] == '(';
		depth -= text[at] == ')';
		at += text[at] == '\\' ? 2 : 1;
	} while (depth > 0 && at < end);
	return MIN(at, end);
}

static size_t skip_cfws(const char *text, size_t at, size_t end)
{
	while (at < end && (g_ascii_isspace(text[at]) || text[at] == '('))
		at = text[at] == '(' ? skip_comment(text, at, end) : at + 1;
	return at;
}

/* Whether a field's value begins with those words, whatever stands behind them. */
static bool begins_with(
	const char *text, const struct fields_span *span, const char *const *words)
{
	size_t at = span->value, end = span->end;
	for (; *words; words++) {
		size_t bytes = strlen(*words);
		at = skip_cfws(text, at, end);
		if (end - at < bytes ||
			g_ascii_strncasecmp(text + at, *words, bytes) != 0)
			return false;
		at += bytes;
	}
	return at == end || !(g_ascii_isalnum(text[at]) || text[at] == '-');
}

bool bounce_is_answer(const char *header, size_t bytes)
{
	static const char *const reply[] = { "auto-replied", NULL };
	static const char *const report[] = { "multipart", "/", "report", NULL };
	struct fields_span span;
	for (size_t at = 0; at < bytes; at = span.end) {
		enum fields_kind kind = fields_at(header, bytes, at, &span);
		if (kind == FIELDS_EMPTY || kind == FIELDS_EOF)
			break;
		if (kind == FIELDS_JUNK)
			continue;
		if (fields_is(header, &span, "Auto-Submitted") &&
			begins_with(header, &span, reply))
			return true;
		if (fields_is(header, &span, "Content-Type") &&
			begins_with(header, &span, report))
			return true;
	}
	return false;
}

bool bounce_is_own_path(const struct conf_sender *sender, const char *reverse_path)
{
	const char *own = sender->envelope ? sender->envelope : sender->from;
	const char *own_at = own ? strrchr(own, '@') : NULL;
	const char *at = strrchr(reverse_path, '@');
	size_t local_bytes = own_at ? (size_t)(own_at - own) : 0;
	return sender->envelope_has_id && own_at && at &&
	       !g_ascii_strcasecmp(own_at, at) &&
	       (size_t)(at - reverse_path) > local_bytes &&
	       !g_ascii_strncasecmp(own, reverse_path, local_bytes) &&
	       reverse_path[local_bytes] == '+';
}

/* Whether the sender asked to be told of that (of enum queue_notify), and was not yet. */
static bool is_owed(const struct queue_recipient *recipient, unsigned what)
{
	unsigned notify = recipient->notify ? recipient->notify : QUEUE_NOTIFY_FAILURE;
	return notify & ~recipient->told & what;
}

enum bounce_action bounce_action_for(
	const struct queue_recipient *recipient, bool over, bool late)
{
	if (recipient->state == QUEUE_SENT)
		return is_owed(recipient, QUEUE_NOTIFY_SUCCESS) ? BOUNCE_RELAYED
								: BOUNCE_NOTHING;
	if (recipient->state == QUEUE_BOUNCED)
		return BOUNCE_NOTHING;
	if (!over && recipient->state != QUEUE_DEAD)
		return late && is_owed(recipient, QUEUE_NOTIFY_DELAY) ? BOUNCE_DELAYED
								      : BOUNCE_NOTHING;
	if (!is_owed(recipient, QUEUE_NOTIFY_FAILURE))
		return BOUNCE_NOTHING;
	return recipient->state == QUEUE_UNCERTAIN ? BOUNCE_UNKNOWN : BOUNCE_FAILED;
}

int64_t bounce_delay_ms(const struct queue_message *message, int64_t leapt_ms)
{
	bool wanted = false;
	for (guint i = 0; i < message->recipients->len && !wanted; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		wanted = is_owed(recipient, QUEUE_NOTIFY_DELAY) &&
			 !queue_state_is_final(recipient->state);
	}
	return wanted && bounce_is_possible(message)
		       ? message->received_ms + leapt_ms + DELAY_MS
		       : INT64_MAX;
}

/* ---- words ---- */

static char *clean(const char *text)
{
	return text_clean(text ? text : "", text ? strlen(text) : 0, TEXT_BYTES_MAX);
}

/* Of RFC 3461, section 4: what "+XX" stands for, cleaned. */
static char *decode_xtext(const char *xtext)
{
	g_autoptr(GString) text = g_string_new(NULL);
	for (const char *p = xtext; *p; p++) {
		if (*p == '+' && g_ascii_isxdigit(p[1]) && g_ascii_isxdigit(p[2])) {
			g_string_append_c(text, (char)(g_ascii_xdigit_value(p[1]) * 16 +
							g_ascii_xdigit_value(p[2])));
			p += 2;
		} else {
			g_string_append_c(text, *p);
		}
	}
	return text_clean(text->str, text->len, TEXT_BYTES_MAX);
}

static char *print_date(int64_t time_s)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_s);
	return g_mime_utils_header_format_date(time);
}

/* The reply's own code where it fits its class; else what can be said without one. */
static char *status_of(const struct queue_recipient *recipient, enum bounce_action action)
{
	const char *reply = recipient->reply ? recipient->reply : "";
	unsigned class = action == BOUNCE_RELAYED ? 2 : action == BOUNCE_DELAYED ? 4 : 5;
	struct enhanced_code code;
	if (action == BOUNCE_UNKNOWN)
		return g_strdup("4.4.2"); /* RFC 3463, 3.5: "bad connection" */
	if (enhanced_code_parse(reply, &code) && code.class == class)
		return g_strndup(reply, code.bytes);
	if (action == BOUNCE_RELAYED)
		return g_strdup("2.0.0");
	if (action == BOUNCE_DELAYED)
		return g_strdup("4.0.0");
	/* RFC 3463, 3.5: X.4.7 "delivery time expired" */
	bool refused = recipient->state == QUEUE_DEAD && recipient->reply_code / 100 != 4;
	return g_strdup(refused ? "5.0.0" : "5.4.7");
}

static bool has_action(const struct bounce *bounce, enum bounce_action action)
{
	for (guint i = 0; i < bounce->message->recipients->len; i++) {
		if (bounce->actions[i] == action)
			return true;
	}
	return false;
}

static const char *subject_of(const struct bounce *bounce)
{
	if (has_action(bounce, BOUNCE_FAILED))
		return "Mail could not be delivered";
	if (has_action(bounce, BOUNCE_UNKNOWN))
		return "Mail may not have been delivered";
	return has_action(bounce, BOUNCE_DELAYED) ? "Mail is delayed"
						  : "Mail was handed on";
}

/* ---- the parts ---- */

/* RFC 2045, 6.4: what a part has, its multipart has to say too. */
static void append_encoding(GString *out, const char *text, size_t bytes)
{
	if (!text_is_ascii(text, bytes))
		g_string_append(out, "Content-Transfer-Encoding: 8bit\r\n");
}

/* parts: all that follows. */
static void append_header(GString *out, const struct bounce *bounce, const char *boundary,
	const GString *parts)
{
	g_autofree char *date = print_date(bounce->now_s);
	g_string_append_printf(out,
		"From: \"Mail delivery at %s\" <%s>\r\n"
		"To: <%s>\r\n"
		"Date: %s\r\n"
		"Message-ID: <%s@%s>\r\n"
		"Subject: %s\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"%s\"\r\n",
		bounce->hostname, bounce->from, bounce->message->reverse_path, date,
		bounce->id, bounce->hostname, subject_of(bounce), boundary);
	append_encoding(out, parts->str, parts->len);
	g_string_append(out, "\r\n");
}

static void append_told(
	GString *out, const struct bounce *bounce, enum bounce_action action)
{
	const struct queue_message *message = bounce->message;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient =
			g_ptr_array_index(message->recipients, i);
		if (bounce->actions[i] != action)
			continue;
		g_autofree char *address = clean(recipient->original);
		g_autofree char *reply =
			clean(recipient->reply ? recipient->reply : message->reason);
		g_string_append_printf(out, "\r\n<%s>\r\n", address);
		if (action != BOUNCE_RELAYED && recipient->reply_code)
			g_string_append_printf(
				out, "  %d %s\r\n", recipient->reply_code, reply);
		else if (action != BOUNCE_RELAYED)
			g_string_append_printf(out, "  %s\r\n", reply);
	}
}

static void append_words(GString *out, const struct bounce *bounce)
{
	g_autofree char *arrived = print_date(bounce->message->received_ms / 1000);
	g_string_append_printf(out,
		"This is the mail gateway %s, about your message of\r\n"
		"%s (its number here: %s).\r\n",
		bounce->hostname, arrived, bounce->message->id);
	if (has_action(bounce, BOUNCE_FAILED)) {
		g_string_append(out, "\r\nIt could not be delivered to:\r\n");
		append_told(out, bounce, BOUNCE_FAILED);
		g_string_append(
			out, "\r\nNothing more will be tried for these addresses.\r\n");
	}
	if (has_action(bounce, BOUNCE_UNKNOWN)) {
		g_string_append(out,
			"\r\nIt was sent, and never answered, so that nobody knows\r\n"
			"whether it arrived, for:\r\n");
		append_told(out, bounce, BOUNCE_UNKNOWN);
		g_string_append(out, "\r\nIt will not be sent to them once more.\r\n");
	}
	if (has_action(bounce, BOUNCE_DELAYED)) {
		g_autofree char *until = print_date(bounce->until_s);
		g_string_append(out, "\r\nIt has not been delivered yet to:\r\n");
		append_told(out, bounce, BOUNCE_DELAYED);
		g_string_append_printf(out,
			"\r\nNothing has to be done: it will be tried until\r\n%s.\r\n",
			until);
	}
	if (has_action(bounce, BOUNCE_RELAYED)) {
		g_string_append(out,
			"\r\nIt was handed to the next mail server, which gives no\r\n"
			"notice of its own, for:\r\n");
		append_told(out, bounce, BOUNCE_RELAYED);
	}
}

static void append_text(GString *out, const struct bounce *bounce)
{
	g_autoptr(GString) words = g_string_new(NULL);
	append_words(words, bounce);
	g_string_append(out, "Content-Type: text/plain; charset=utf-8\r\n");
	append_encoding(out, words->str, words->len);
	g_string_append(out, "\r\n");
	g_string_append_len(out, words->str, (gssize)words->len);
}

/* A field of message/delivery-status, which is in ASCII (RFC 3464, 2.1): other characters
 * of a cleaned value as in utf-8-addr-xtext (RFC 6533, 3). */
static void append_field(GString *out, const char *name, const char *value)
{
	g_autoptr(GString) ascii = g_string_new(NULL);
	for (const char *c = value; *c; c = g_utf8_next_char(c)) {
		if ((unsigned char)*c < 0x80)
			g_string_append_c(ascii, *c);
		else
			g_string_append_printf(ascii, "\\x{%X}", g_utf8_get_char(c));
	}
	text_append_field(out, name, ascii->str, "\r\n");
}

/* "rfc822" (RFC 3461, 4.2), or "utf-8" and utf-8-addr-xtext, in which some ASCII is encoded
 * too (RFC 6533, 3). */
static char *typed_address(const char *address)
{
	if (g_str_is_ascii(address))
		return g_strconcat("rfc822;", address, NULL);
	GString *typed = g_string_new("utf-8;");
	for (const char *c = address; *c; c = g_utf8_next_char(c)) {
		if (strchr(" +=\\", *c))
			g_string_append_printf(typed, "\\x{%X}", (unsigned)*c);
		else
			g_string_append_len(typed, c, g_utf8_next_char(c) - c);
	}
	return g_string_free(typed, FALSE);
}

static void append_recipient(GString *out, const struct bounce *bounce,
	const struct queue_recipient *recipient, enum bounce_action action,
	const char *host)
{
	static const char *const actions[] = { [BOUNCE_FAILED] = "failed",
		[BOUNCE_UNKNOWN] = "failed",
		[BOUNCE_DELAYED] = "delayed",
		[BOUNCE_RELAYED] = "relayed" };
	g_autofree char *status = status_of(recipient, action);
	g_autofree char *address = clean(recipient->original);
	g_autofree char *final = typed_address(address);
	g_string_append(out, "\r\n");
	if (recipient->orcpt) {
		g_autofree char *original = decode_xtext(recipient->orcpt);
		append_field(out, "Original-Recipient", original);
	}
	append_field(out, "Final-Recipient", final);
	append_field(out, "Action", actions[action]);
	append_field(out, "Status", status);
	if (host && recipient->reply_code) {
		g_autofree char *remote = g_strconcat("dns;", host, NULL);
		append_field(out, "Remote-MTA", remote);
	}
	if (recipient->reply_code) {
		g_autofree char *reply = clean(recipient->reply);
		g_autofree char *code =
			g_strdup_printf("smtp;%d %s", recipient->reply_code, reply);
		append_field(out, "Diagnostic-Code", code);
	}
	if (action == BOUNCE_DELAYED) {
		g_autofree char *until = print_date(bounce->until_s);
		append_field(out, "Will-Retry-Until", until);
	}
}

static void append_status(GString *out, const struct bounce *bounce)
{
	const struct queue_message *message = bounce->message;
	g_autofree char *arrived = print_date(message->received_ms / 1000);
	g_autofree char *mta = g_strconcat("dns;", bounce->hostname, NULL);
	g_string_append(out, "Content-Type: message/delivery-status\r\n\r\n");
	if (message->envid) {
		g_autofree char *envid = decode_xtext(message->envid);
		append_field(out, "Original-Envelope-Id", envid);
	}
	append_field(out, "Reporting-MTA", mta);
	append_field(out, "Arrival-Date", arrived);
	for (guint i = 0; i < message->recipients->len; i++) {
		if (bounce->actions[i] != BOUNCE_NOTHING)
			append_recipient(out, bounce,
				g_ptr_array_index(message->recipients, i),
				bounce->actions[i], bounce->hosts[i]);
	}
}

/* Up to where the body begins, or to the last line that is whole. */
static size_t header_section_bytes(const struct bounce *bounce)
{
	const char *text = bounce->original;
	size_t bytes = bounce->original_bytes;
	size_t at = fields_own_trace_end(text, bytes, bounce->message->id);
	struct fields_span span;
	for (;; at = span.end) {
		enum fields_kind kind = fields_at(text, bytes, at, &span);
		if (kind == FIELDS_EMPTY || kind == FIELDS_EOF ||
			(kind == FIELDS_JUNK &&
				!rules_header_goes_on(text, bytes, span.end)))
			break;
	}
	while (at && text[at - 1] != '\n')
		at--;
	return at;
}

/* A report that the relay refuses for a line or a NUL of the original
 * would tell nobody. */
static bool has_what_relays_refuse(const char *text, size_t bytes)
{
	const char *end = text + bytes;
	if (bytes && memchr(text, '\0', bytes))
		return true;
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		const char *next = feed ? feed + 1 : end;
		if (next - text > LINE_BYTES_MAX)
			return true;
		text = next;
	}
	return false;
}

static void append_original(GString *out, const struct bounce *bounce)
{
	bool is_whole = bounce->is_whole &&
			!has_what_relays_refuse(bounce->original, bounce->original_bytes);
	size_t n = is_whole ? bounce->original_bytes : header_section_bytes(bounce);
	g_string_append_printf(out, "Content-Type: %s\r\n",
		is_whole ? "message/rfc822" : "text/rfc822-headers");
	append_encoding(out, bounce->original, n);
	g_string_append(out, "\r\n");
	if (is_whole || !has_what_relays_refuse(bounce->original, n)) {
		g_string_append_len(out, bounce->original, (gssize)n);
	} else {
		tidy_append(out, bounce->original, n, "\r\n");
		g_string_append(out, "\r\n");
	}
}

GString *bounce_print(const struct bounce *bounce)
{
	GString *out = g_string_sized_new(4096 + bounce->original_bytes);
	g_autoptr(GString) header = g_string_new(NULL);
	/* The original may hold any line but this one: nobody knew the ID before. */
	g_autofree char *boundary = g_strconcat("report-", bounce->id, NULL);
	g_string_append_printf(out, "--%s\r\n", boundary);
	append_text(out, bounce);
	g_string_append_printf(out, "\r\n--%s\r\n", boundary);
	append_status(out, bounce);
	g_string_append_printf(out, "\r\n--%s\r\n", boundary);
	append_original(out, bounce);
	g_string_append_printf(out, "\r\n--%s--\r\n", boundary);
	append_header(header, bounce, boundary, out);
	g_string_prepend_len(out, header->str, (gssize)header->len);
	return out;
}
