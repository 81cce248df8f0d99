/* Lines to a reply, and a reply to a verdict by one table. What follows from the verdict
 * is its users' matter. */
#include "gateway/relay/reply.h"

#include "gateway/error.h"
#include <string.h>

void reply_init(struct reply *reply)
{
	*reply = (struct reply){ .text = g_string_sized_new(128) };
}

void reply_clear(struct reply *reply)
{
	reply->code = 0;
	reply->complete = false;
	g_string_truncate(reply->text, 0);
}

void reply_deinit(struct reply *reply)
{
	if (reply->text)
		g_string_free(reply->text, TRUE);
	*reply = (struct reply){ 0 };
}

static int parse_code(const char *line)
{
	if (line[0] < '2' || line[0] > '5' || !g_ascii_isdigit(line[1]) ||
		!g_ascii_isdigit(line[2]))
		return 0;
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

bool reply_add_line(struct reply *reply, const char *line, size_t bytes)
{
	if (bytes > 0 && line[bytes - 1] == '\n')
		bytes--;
	if (bytes > 0 && line[bytes - 1] == '\r')
		bytes--;
	int code = bytes >= 3 ? parse_code(line) : 0;
	if (reply->complete || !code || (bytes > 3 && line[3] != ' ' && line[3] != '-'))
		return false;
	bool first = !reply->code;
	reply->code = code;
	reply->complete = bytes == 3 || line[3] == ' ';
	size_t head = MIN(bytes, 4);
	if (reply->text->len + bytes - head + 1 > REPLY_TEXT_BYTES_MAX)
		return true;
	if (!first)
		g_string_append_c(reply->text, '\n');
	for (size_t i = head; i < bytes; i++) /* a NUL would end the text */
		g_string_append_c(reply->text, line[i] ? line[i] : '?');
	return true;
}

/* Octets of "5.1.1" at the head of text, 0 if there is none (RFC 3463, section 2). */
static size_t parse_enhanced(const char *text, unsigned status[3])
{
	const char *p = text;
	for (int i = 0; i < 3; i++) {
		size_t digits = 0;
		for (status[i] = 0; g_ascii_isdigit(*p) && digits < 3; p++, digits++)
			status[i] = status[i] * 10 + (unsigned)(*p - '0');
		if (!digits || (i < 2 && *p++ != '.'))
			return 0;
	}
	bool is_class = status[0] == 2 || status[0] == 4 || status[0] == 5;
	bool ends = !*p || *p == ' ' || *p == '\n' || *p == '\t';
	return is_class && ends ? (size_t)(p - text) : 0;
}

bool reply_enhanced(const struct reply *reply, unsigned status[3])
{
	return parse_enhanced(reply->text->str, status) > 0;
}

char *reply_print(const struct reply *reply)
{
	const char *text = reply->text->str;
	unsigned status[3];
	size_t enhanced = parse_enhanced(text, status);
	g_autoptr(GString) line = g_string_sized_new(reply->text->len);
	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');
		if (p != text) {
			bool again = enhanced && !strncmp(p, text, enhanced);
			if (again && (size_t)(end - p) > enhanced)
				p += enhanced + 1;
			g_string_append_c(line, ' ');
		}
		for (; p < end; p++)
			g_string_append_c(line, g_ascii_iscntrl(*p) ? ' ' : *p);
		p = *end ? end + 1 : end;
	}
	return g_utf8_make_valid(line->str, (gssize)line->len);
}

/*
 * Texts before codes, special before general; the first that fits decides. code 0:
 * any of the class; at_start: the text begins with it (after an enhanced code),
 * else it stands anywhere. SES's texts: SES Developer Guide, "SMTP response codes"
 * and "Managing sending quotas".
 */
static const struct rule {
	int code;
	const char *text;
	bool at_start;
	enum reply_kind kind;
	const char *advice;
} rules[] = {
	{ 0, "Daily message quota exceeded", false, REPLY_MEND,
		"SES's quota of 24 hours is used up; mail waits. Ask AWS for a higher "
		"quota" },
	{ 0, "SigV2 SMTP sending rate exceeded", false, REPLY_THROTTLE,
		"make new SES SMTP credentials: those made before 2019 have a lower "
		"rate" },
	{ 0, "Maximum sending rate exceeded", false, REPLY_THROTTLE, NULL },
	{ 0, "Too many concurrent SMTP connections", false, REPLY_THROTTLE, NULL },
	{ 454, "Throttling failure", true, REPLY_THROTTLE, NULL },
	{ 0, "Email address is not verified", false, REPLY_MEND,
		"verify the sender's domain in SES, in this region, or have the gateway "
		"rewrite it: sender.from, sender.verified" },
	{ 0, "Access denied", true, REPLY_MEND,
		"the SMTP user's IAM policy must allow ses:SendRawEmail for the sender's "
		"identity" },
	{ 0, "not authorized to perform", false, REPLY_MEND,
		"the SMTP user's IAM policy must allow ses:SendRawEmail for the sender's "
		"identity" },
	{ 0, "Sending paused", false, REPLY_MEND,
		"sending is paused in SES: see the account's or the configuration set's "
		"status" },
	{ 0, "Sending suspended", false, REPLY_MEND,
		"sending is suspended in SES: see AWS" },
	{ 0, "account is paused", false, REPLY_MEND,
		"sending is paused in SES: see AWS" },
	{ 0, "Account not subscribed to SES", false, REPLY_MEND,
		"the account does not use SES, or its keys are of another account" },
	{ 0, "Configuration set", false, REPLY_MEND, "see relay.configuration_set" },
	{ 0, "Relay access denied", false, REPLY_MEND,
		"the relay does not take this gateway's mail: see its networks and "
		"users" },
	{ 0, "Relaying denied", false, REPLY_MEND,
		"the relay does not take this gateway's mail: see its networks and "
		"users" },
	{ 530, NULL, false, REPLY_MEND,
		"the relay wants TLS or AUTH: see relay.tls, relay.user" },
	{ 534, NULL, false, REPLY_MEND, "the relay wants another way of AUTH" },
	{ 535, NULL, false, REPLY_MEND,
		"wrong user or password for the relay; with SES they belong to one "
		"region" },
	{ 538, NULL, false, REPLY_MEND, "the relay wants TLS for AUTH: see relay.tls" },
	{ 503, NULL, false, REPLY_RETRY,
		NULL }, /* about the session's state, not the message */
};

static bool rule_fits(const struct rule *rule, const struct reply *reply)
{
	if (rule->code && rule->code != reply->code)
		return false;
	if (!rule->text)
		return true;
	unsigned status[3];
	const char *text = reply->text->str;
	size_t bytes = strlen(rule->text);
	if (!rule->at_start)
		return strcasestr(text, rule->text);
	text += parse_enhanced(text, status);
	text += strspn(text, " ");
	return !g_ascii_strncasecmp(text, rule->text, bytes);
}

enum reply_kind reply_classify(const struct reply *reply, const char **advice)
{
	const char *unused;
	if (!advice)
		advice = &unused;
	*advice = NULL;
	if (reply->code && reply->code < 400)
		return REPLY_DONE;
	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		if (rule_fits(&rules[i], reply)) {
			*advice = rules[i].advice;
			return rules[i].kind;
		}
	}
	return reply->code >= 500 ? REPLY_REFUSE : REPLY_RETRY;
}

enum reply_kind reply_classify_session(const struct reply *reply, const char **advice)
{
	enum reply_kind kind = reply_classify(reply, advice);
	return kind == REPLY_REFUSE ? REPLY_MEND : kind;
}

static const char *skip_prefix(const char *text, const char *prefix)
{
	size_t bytes = strlen(prefix);
	return g_ascii_strncasecmp(text, prefix, bytes) ? NULL : text + bytes;
}

char *reply_message_id(const struct reply *reply)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-_.";
	static const char *const marks[] = { "queued as ", "id=" };
	const char *text = reply->text->str, *id = NULL;
	unsigned status[3];
	if (reply->code != 250)
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(marks) && !id; i++) {
		const char *at = strcasestr(text, marks[i]);
		id = at ? at + strlen(marks[i]) : NULL;
	}
	bool marked = id;
	if (!id) {
		text += parse_enhanced(text, status);
		id = skip_prefix(text + strspn(text, " "), "Ok ");
	}
	if (!id)
		return NULL;
	size_t bytes = strspn(id, alphabet);
	bool whole = !id[bytes] || id[bytes] == '\n';
	/* "Ok thanks" is no id: SES's are about 60 characters and stand alone. */
	bool plausible = marked ? bytes > 0 : whole && bytes >= 16;
	return plausible && bytes <= 255 ? g_strndup(id, bytes) : NULL;
}

void failure_set(struct failure *failure, enum reply_kind kind, int reply_code,
	const char *text, const char *advice)
{
	char *copy = g_strdup(text);
	g_free(failure->text);
	*failure = (struct failure){ kind, reply_code, copy, advice };
}

void failure_set_error(struct failure *failure, const GError *error)
{
	bool mend = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND);
	failure_set(failure, mend ? REPLY_MEND : REPLY_RETRY, 0, error->message, NULL);
}

void failure_clear(struct failure *failure)
{
	g_free(failure->text);
	*failure = (struct failure){ 0 };
}
