/* Lines to a reply, and a reply to a verdict by one table. What follows from the verdict
 * is its users' matter. */
#include "gateway/relay/reply.h"

#include "gateway/enhanced_code.h"
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
	if (!first && reply->text->len < REPLY_TEXT_BYTES_MAX)
		g_string_append_c(reply->text, '\n');
	bytes = MIN(bytes, head + REPLY_TEXT_BYTES_MAX - reply->text->len);
	for (size_t i = head; i < bytes; i++) /* a NUL would end the text */
		g_string_append_c(reply->text, line[i] ? line[i] : '?');
	return true;
}

/* Each line of a reply has the enhanced code anew: it is told once. */
static const char *skip_repeated(
	const char *line, const char *end, const struct enhanced_code *first)
{
	struct enhanced_code code;
	bool again = enhanced_code_parse(line, &code) && code.class == first->class &&
		     code.subject == first->subject && code.detail == first->detail;
	const char *rest = again ? enhanced_code_skip(line) : line;
	return rest < end ? rest : line;
}

char *reply_print(const struct reply *reply)
{
	const char *text = reply->text->str;
	struct enhanced_code code;
	enhanced_code_parse(text, &code);
	g_autoptr(GString) line = g_string_sized_new(reply->text->len);
	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');
		if (p != text) {
			p = skip_repeated(p, end, &code);
			g_string_append_c(line, ' ');
		}
		for (; p < end; p++)
			g_string_append_c(line, g_ascii_iscntrl(*p) ? ' ' : *p);
		p = *end ? end + 1 : end;
	}
	return g_utf8_make_valid(line->str, (gssize)line->len);
}

#define SENDER_ADVICE                                                                    \
	"verify the sender's domain in SES, in this region, or have the gateway "        \
	"rewrite "                                                                       \
	"it: sender.from, sender.verified; while the account is in the sandbox, "        \
	"recipients must be verified too"
#define IAM_ADVICE                                                                       \
	"the SMTP user's IAM policy must allow ses:SendRawEmail for the sender's "       \
	"identity "                                                                      \
	"and the configuration set"
#define PAUSED_ADVICE                                                                    \
	"sending is paused in SES: see the account's or the configuration set's "        \
	"status, "                                                                       \
	"and AWS's mail about it"
#define CONFIGURATION_SET_ADVICE                                                         \
	"the configuration set is not there: see relay.configuration_set"
#define RELAYING_ADVICE                                                                  \
	"the relay does not take this gateway's mail: see its networks and users"
#define ADDRESS_ADVICE                                                                   \
	"the relay does not take mail from this machine's address: have it taken off "   \
	"the "                                                                           \
	"list that the reply names, or send by another"
#define BLOCKED_ADVICE                                                                   \
	"Microsoft has blocked what this sender or tenant sends: see Restricted "        \
	"entities in its Defender portal"
#define QUOTA_ADVICE "the relay's quota of a day is used up; mail waits"
#define CREDENTIALS_ADVICE                                                               \
	"wrong user or password for the relay; with SES they belong to one region"

enum { ANY, CLASS_4 = 4, CLASS_5 = 5 }; /* for an exact code */

/*
 * Texts before codes, special before general; the first that fits decides. at_start: the
 * text begins with it (after an enhanced code), else it stands anywhere. SES's texts: SES
 * Developer Guide, "SMTP response codes", "Amazon SES email sending errors", "Managing
 * sending quotas"; Google's: Workspace Admin Help, "SMTP errors and codes"; Microsoft's:
 * "Email non-delivery reports in Exchange Online".
 */
static const struct rule {
	int code;
	const char *text;
	bool at_start;
	enum reply_kind kind;
	const char *hold; /* of REPLY_MEND */
	const char *advice;
} rules[] = {
	/* SES: quotas and pace */
	{ ANY, "Daily message quota exceeded", false, REPLY_MEND, "quota",
		"SES's quota of 24 hours is used up; mail waits. Ask AWS for a higher "
		"quota" },
	{ ANY, "SigV2 SMTP sending rate exceeded", false, REPLY_THROTTLE, NULL,
		"make new SES SMTP credentials: those made before 2019 have a lower "
		"rate" },
	{ ANY, "Maximum sending rate exceeded", false, REPLY_THROTTLE, NULL, NULL },
	{ ANY, "Too many concurrent SMTP connections", false, REPLY_THROTTLE, NULL,
		NULL },
	{ ANY, "Throttling", true, REPLY_THROTTLE, NULL, NULL },
	{ ANY, "Temporary service failure", true, REPLY_RETRY, NULL, NULL },
	{ ANY, "Temporary authentication failure", true, REPLY_RETRY, NULL, NULL },
	{ ANY, "Timeout waiting for data", true, REPLY_RETRY, NULL, NULL },
	/* SES: the account and what it may do */
	{ ANY, "Email address is not verified", false, REPLY_MEND, "sender",
		SENDER_ADVICE },
	{ ANY, "identities failed the check", false, REPLY_MEND, "sender",
		SENDER_ADVICE },
	{ ANY, "Account not subscribed to SES", false, REPLY_MEND, "credentials",
		"the account does not use SES, or its keys are of another account" },
	{ ANY, "Authentication Credentials Invalid", false, REPLY_MEND, "credentials",
		CREDENTIALS_ADVICE },
	{ ANY, "not authorized to perform", false, REPLY_MEND, "access", IAM_ADVICE },
	{ ANY, "Sending paused", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "Sending suspended", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "sending is paused", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "sending is suspended", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "sending is disabled", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "Email sending for", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "ability to send email", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "account is paused", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "account has been paused", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "your account is suspended", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "your account has been suspended", false, REPLY_MEND, "paused",
		PAUSED_ADVICE },
	{ ANY, "your AWS account has been suspended", false, REPLY_MEND, "paused",
		PAUSED_ADVICE },
	{ ANY, "your account is disabled", false, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ ANY, "your account has been disabled", false, REPLY_MEND, "paused",
		PAUSED_ADVICE },
	/* elsewhere in a text it may be a recipient's */
	{ ANY, "Account suspended", true, REPLY_MEND, "paused", PAUSED_ADVICE },
	{ CLASS_5, "Configuration set", false, REPLY_MEND, "configuration set",
		CONFIGURATION_SET_ADVICE },
	{ CLASS_4, "Configuration set <", true, REPLY_MEND, "configuration set",
		CONFIGURATION_SET_ADVICE },
	{ CLASS_4, "Configuration set does not exist", false, REPLY_MEND,
		"configuration set", CONFIGURATION_SET_ADVICE },
	{ CLASS_5, "Recipient count exceeds", false, REPLY_MEND, "recipients",
		"the relay takes fewer recipients at a time: see relay.max_recipients" },
	/* Networks: Microsoft, Google, Postfix with lists. Before "Access denied". */
	{ CLASS_5, "banned sending IP", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "Access denied, banned sender", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "not accepted from this IP", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "Client host rejected", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "Client host blocked", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "blocked using", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "on our block list", false, REPLY_MEND, "network address",
		ADDRESS_ADVICE },
	{ CLASS_5, "IP you're using to send mail is not authorized", false, REPLY_MEND,
		"network address", ADDRESS_ADVICE },
	{ CLASS_5, "does not have a PTR record", false, REPLY_MEND, "network address",
		"this machine's address needs a name in DNS that leads back to it" },
	{ CLASS_5, "Helo command rejected", false, REPLY_MEND, "hostname",
		"the relay does not take this gateway's name: see hostname" },
	/* Who may relay */
	{ ANY, "Relay access denied", false, REPLY_MEND, "relaying", RELAYING_ADVICE },
	{ CLASS_5, "Relaying denied", false, REPLY_MEND, "relaying", RELAYING_ADVICE },
	{ CLASS_5, "Mail relay denied", false, REPLY_MEND, "relaying", RELAYING_ADVICE },
	{ CLASS_5, "relay not permitted", false, REPLY_MEND, "relaying",
		RELAYING_ADVICE },
	{ CLASS_5, "Unable to relay", false, REPLY_MEND, "relaying", RELAYING_ADVICE },
	{ CLASS_5, "Invalid credentials for relay", false, REPLY_MEND, "relaying",
		"this machine's address is not registered for Google's SMTP relay "
		"service" },
	/* Who may say to be whom */
	{ CLASS_5, "SendAsDenied", false, REPLY_MEND, "sender",
		"the relay's user may not send as this sender: see sender.from" },
	{ CLASS_5, "permissions to send as this sender", false, REPLY_MEND, "sender",
		"the relay's user may not send as this sender: see sender.from" },
	{ CLASS_5, "Sender address rejected: not owned by user", false, REPLY_MEND,
		"sender",
		"the relay's user may not send as this sender: see sender.from" },
	{ CLASS_5, "sending from unregistered domain", false, REPLY_MEND, "sender",
		"the sender's domain is none of the Microsoft tenant's: register it "
		"there, or "
		"see sender.from" },
	/* Google's and Microsoft's ways of saying slower */
	{ ANY, "Daily user sending limit", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ ANY, "Daily sending limit", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ ANY, "Daily sending quota", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ ANY, "Daily quota exceeded", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ CLASS_5, "sending limit exceeded", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ CLASS_5, "relay limit exceeded", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ CLASS_5, "sending quota exceeded", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ CLASS_5, "submission quota exceeded", false, REPLY_MEND, "quota",
		QUOTA_ADVICE },
	{ ANY, "reached your daily limit", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ ANY, "exceeded its daily limit", false, REPLY_MEND, "quota", QUOTA_ADVICE },
	{ CLASS_5, "tenant has exceeded threshold", false, REPLY_MEND, "paused",
		BLOCKED_ADVICE },
	{ CLASS_5, "bad outbound sender", false, REPLY_MEND, "paused", BLOCKED_ADVICE },
	{ CLASS_4, "relay limit exceeded", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "unusual rate of", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "rate limited", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "exceeded the rate limit", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "sending too fast", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "Server busy", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "Access denied, please try again later", false, REPLY_THROTTLE, NULL,
		NULL },
	{ CLASS_4, "concurrent connections", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "recipient thread limit exceeded", false, REPLY_RETRY, NULL, NULL },
	{ CLASS_4, "thread limit exceeded", false, REPLY_THROTTLE, NULL, NULL },
	/* Postfix's */
	{ CLASS_4, "too many connections from", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "too much mail from", false, REPLY_THROTTLE, NULL, NULL },
	{ CLASS_4, "Connection rate limit exceeded", false, REPLY_THROTTLE, NULL, NULL },
	/* Credentials */
	{ CLASS_5, "Must issue a STARTTLS", false, REPLY_MEND, "TLS",
		"the relay wants TLS: see relay.tls" },
	{ CLASS_5, "Basic authentication is not supported", false, REPLY_MEND,
		"credentials",
		"Microsoft takes no passwords here any more: use another relay" },
	{ 554, "Access denied", true, REPLY_MEND, "access", IAM_ADVICE },
	{ 530, NULL, false, REPLY_MEND, "credentials",
		"the relay wants TLS or AUTH: see relay.tls, relay.user" },
	{ 534, NULL, false, REPLY_MEND, "credentials",
		"the relay wants another way of AUTH" },
	{ 535, NULL, false, REPLY_MEND, "credentials", CREDENTIALS_ADVICE },
	{ 538, NULL, false, REPLY_MEND, "TLS",
		"the relay wants TLS for AUTH: see relay.tls" },
	/* RFC 5321, section 4.5.3.1.10: what is meant is 452 */
	{ 552, "too many recipients", false, REPLY_RETRY, NULL, NULL },
	/* about the session's state, not the message */
	{ 503, NULL, false, REPLY_RETRY, NULL, NULL },
};

static bool code_fits(int rule, int code)
{
	return rule == ANY || rule == code || rule == code / 100;
}

/* A full or disabled mailbox (RFC 3463, X.2.1 and X.2.2) is its owner's,
 * whatever the words. */
static bool is_about_account(const struct rule *rule)
{
	return rule->kind == REPLY_MEND &&
	       (!strcmp(rule->hold, "paused") || !strcmp(rule->hold, "quota"));
}

static bool rule_fits(const struct rule *rule, const struct reply *reply)
{
	if (!code_fits(rule->code, reply->code))
		return false;
	if (!rule->text)
		return true;
	struct enhanced_code code;
	const char *text = reply->text->str;
	bool is_of_mailbox = enhanced_code_parse(text, &code) && code.subject == 2 &&
			     (code.detail == 1 || code.detail == 2);
	if (is_of_mailbox && is_about_account(rule))
		return false;
	if (!rule->at_start)
		return strcasestr(text, rule->text);
	return !g_ascii_strncasecmp(
		enhanced_code_skip(text), rule->text, strlen(rule->text));
}

static const struct rule *find_rule(const struct reply *reply)
{
	if (reply->code && reply->code < 400)
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		if (rule_fits(&rules[i], reply))
			return &rules[i];
	}
	return NULL;
}

enum reply_kind reply_classify(const struct reply *reply, const char **advice)
{
	const struct rule *rule = find_rule(reply);
	if (advice)
		*advice = rule ? rule->advice : NULL;
	if (rule)
		return rule->kind;
	if (reply->code && reply->code < 400)
		return REPLY_DONE;
	return reply->code >= 500 ? REPLY_REFUSE : REPLY_RETRY;
}

enum reply_kind reply_classify_session(const struct reply *reply, const char **advice)
{
	enum reply_kind kind = reply_classify(reply, advice);
	return kind == REPLY_REFUSE ? REPLY_MEND : kind;
}

/* The domain of an identity as SES names it: an address, a domain or an ARN, perhaps with
 * a name beside it; NULL: it is none; g_free(). */
static char *identity_domain(const char *identity)
{
	g_autofree char *lower = g_ascii_strdown(identity, -1);
	const char *start = strrchr(lower, '@');
	if (!start)
		start = strrchr(lower, '/');
	start = start ? start + 1 : lower + strspn(lower, " ");
	size_t bytes = strspn(start, "abcdefghijklmnopqrstuvwxyz0123456789.-");
	while (bytes && start[bytes - 1] == '.')
		bytes--;
	bool is_domain = bytes && bytes <= 253 && memchr(start, '.', bytes);
	return is_domain ? g_strndup(start, bytes) : NULL;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#define DOMAINS_MAX    3
#define IDENTITIES_MAX 50

/* "... failed the check in region EU-WEST-1: a@example.com, ..." gives the domains, in an
 * order that does not depend on the message. */
static char *list_domains(const char *text)
{
	const char *at = strcasestr(text, "failed the check in region ");
	at = at ? strchr(at, ':') : NULL;
	if (!at)
		return NULL;
	g_auto(GStrv) identities = g_strsplit_set(at + 1, ",\n", IDENTITIES_MAX);
	g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(g_free);
	for (char **identity = identities; *identity; identity++) {
		char *domain = identity_domain(*identity);
		if (domain && !g_ptr_array_find_with_equal_func(
				      domains, domain, g_str_equal, NULL))
			g_ptr_array_add(domains, domain);
		else
			g_free(domain);
	}
	if (!domains->len)
		return NULL;
	g_ptr_array_sort(domains, compare_texts);
	g_ptr_array_set_size(domains, (int)MIN(domains->len, DOMAINS_MAX));
	g_ptr_array_add(domains, NULL);
	return g_strjoinv(", ", (char **)domains->pdata);
}

char *reply_hold(const struct reply *reply)
{
	const struct rule *rule = find_rule(reply);
	if (!rule || rule->kind != REPLY_MEND)
		return NULL;
	g_autofree char *domains =
		!strcmp(rule->hold, "sender") ? list_domains(reply->text->str) : NULL;
	return domains ? g_strconcat(rule->hold, " ", domains, NULL)
		       : g_strdup(rule->hold);
}

char *reply_hold_session(const struct reply *reply)
{
	char *hold = reply_hold(reply);
	if (!hold && reply_classify_session(reply, NULL) == REPLY_MEND)
		hold = g_strdup("connection");
	return hold;
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
	if (reply->code != 250)
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(marks) && !id; i++) {
		const char *at = strcasestr(text, marks[i]);
		id = at ? at + strlen(marks[i]) : NULL;
	}
	bool marked = id;
	if (!id)
		id = skip_prefix(enhanced_code_skip(text), "Ok ");
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
	failure_clear(failure);
	*failure = (struct failure){ kind, reply_code, copy, advice, NULL };
}

void failure_set_hold(struct failure *failure, char *hold)
{
	g_free(failure->hold);
	failure->hold = hold;
}

void failure_set_error(struct failure *failure, const GError *error)
{
	bool mend = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND);
	failure_set(failure, mend ? REPLY_MEND : REPLY_RETRY, 0, error->message, NULL);
}

void failure_clear(struct failure *failure)
{
	g_free(failure->text);
	g_free(failure->hold);
	*failure = (struct failure){ 0 };
}
