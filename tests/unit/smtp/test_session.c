/* Whole sessions by table, each replayed at every read size with the same outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay.h"
#include <string.h>

static const struct conf_listener utf8 =
	LISTENER(.profile = CONF_PROFILE_STRICT, .smtputf8 = true);

static const struct session_case cases[] = {
	/* clients that are known are forgiven what strangers are not */
	{ "a space before the path, from a stranger", &mx, HELLO "MAIL FROM: <a@b>\r\n",
		"220|250|501 5.5.4|", "" },
	{ "a space before the path, from a known client", &plain,
		HELLO "MAIL FROM: <a@b>\r\nRCPT TO:  <c@d>\r\n",
		"220|250|250 2.1.0|250 2.1.5|",
		"!space_in_command|mail <a@b> 0|!space_in_command|rcpt <c@d>|" },
	{ "a HELO that is no name, from a stranger", &mx, "EHLO UPS room 3\r\n",
		"220|501|", "" },
	{ "a HELO that is no name, from a known client", &plain, "EHLO UPS room 3\r\n",
		"220|250|", "!helo_syntax|" },
	/* a message */
	{ "one message", &mx, OPEN "Subject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n",
		OPENED "250 2.0.0|221 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data [Subject: x\r\n\r\n.y\r\n]|" },
	{ "two messages", &mx, OPEN "1\r\n.\r\n" MAIL RCPT "DATA\r\n2\r\n.\r\n",
		OPENED "250 2.0.0|250 2.1.0|250 2.1.5|354|250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data [1\r\n]|mail <a@b> 0|rcpt <c@d>|data "
		"[2\r\n]|" },
	{ "an empty message", &mx, OPEN ".\r\n", OPENED "250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data []|" },
	{ "commands in the data are data", &mx, OPEN "QUIT\r\nRSET\r\n.\r\nNOOP\r\n",
		OPENED "250 2.0.0|250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data [QUIT\r\nRSET\r\n]|" },
	{ "any case, any blanks behind", &mx,
		"ehlo a  \r\nmail from:<a@b> \r\nRcPt To:<c@d>\r\nrset \r\nquit \r\n",
		HELLOED "250 2.1.0|250 2.1.5|250 2.0.0|221 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|reset|" },
	{ "tabs behind a command", &mx,
		"EHLO a \t\r\nNOOP\t\r\nMAIL FROM:<a@b>\t\r\nRCPT TO:<c@d> "
		"\t\r\nDATA\t\r\n"
		"x\t\r\n.\r\nRSET\t\r\nQUIT\t \r\n",
		HELLOED
		"250 2.0.0|250 2.1.0|250 2.1.5|354|250 2.0.0|250 2.0.0|221 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data [x\t\r\n]|" },
	{ "bounces and postmaster", &mx, HELLO "MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n",
		HELLOED "250 2.1.0|250 2.1.5|", "mail <> 0|rcpt <postmaster>|" },
	{ "a refused recipient among others", &mx,
		HELLO MAIL "RCPT TO:<no@d>\r\n" RCPT "DATA\r\n",
		HELLOED "250 2.1.0|550 5.1.1|250 2.1.5|354|", NULL },
	{ "8-bit content is noticed", &plain, OPEN "\xc3\xa4\r\n.\r\n",
		OPENED "250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|data 8bit [\xc3\xa4\r\n]|" },
	/* order */
	{ "MAIL before EHLO", &mx, MAIL, "220|503 5.5.1|", "" },
	{ "RCPT before MAIL", &mx, HELLO RCPT, HELLOED "503 5.5.1|", "" },
	{ "DATA before RCPT", &mx, HELLO MAIL "DATA\r\n", HELLOED "250 2.1.0|503 5.5.1|",
		NULL },
	{ "DATA before MAIL", &mx, HELLO "DATA\r\n", HELLOED "503 5.5.1|", "" },
	{ "MAIL twice", &mx, HELLO MAIL MAIL, HELLOED "250 2.1.0|503 5.5.1|", NULL },
	{ "DATA with no recipient left", &mx, HELLO MAIL "RCPT TO:<no@d>\r\nDATA\r\n",
		HELLOED "250 2.1.0|550 5.1.1|503 5.5.1|", NULL },
	{ "RSET ends the transaction", &mx,
		HELLO MAIL RCPT "RSET\r\nRCPT TO:<c@d>\r\n" MAIL,
		HELLOED "250 2.1.0|250 2.1.5|250 2.0.0|503 5.5.1|250 2.1.0|", NULL },
	{ "so does EHLO", &mx, HELLO MAIL HELLO RCPT, HELLOED "250 2.1.0|250|503 5.5.1|",
		"mail <a@b> 0|reset|" },
	{ "NOOP and VRFY do not", &mx, HELLO MAIL "NOOP x\r\nVRFY c\r\nHELP\r\n" RCPT,
		HELLOED "250 2.1.0|250 2.0.0|252 2.5.2|214 2.0.0|250 2.1.5|",
		"mail <a@b> 0|rcpt <c@d>|" },
	{ "before EHLO", &mx, "NOOP\r\nRSET\r\nVRFY a\r\nHELP\r\nEXPN a\r\nQUIT\r\n",
		"220|250 2.0.0|250 2.0.0|252 2.5.2|214 2.0.0|502 5.5.1|221 2.0.0|", "" },
	{ "nothing runs behind QUIT", &mx, HELLO "QUIT\r\n" MAIL, HELLOED "221 2.0.0|",
		"" },
	/* words */
	{ "unknown, empty, unimplemented", &mx,
		"FOO\r\n\r\n  \r\nTURN\r\nSEND x\r\nETRN x\r\n",
		"220|500 5.5.2|500 5.5.2|500 5.5.2|502 5.5.1|502 5.5.1|502 5.5.1|", "" },
	{ "arguments", &mx,
		"EHLO\r\nHELO\r\nEHLO a b\r\n" HELLO
		"DATA x\r\nRSET x\r\nQUIT x\r\nVRFY\r\nSTARTTLS x\r\n",
		"220|501|501|501|250|503 5.5.1|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|",
		"" },
	{ "EHLO takes literals", &mx,
		"EHLO [192.0.2.1]\r\nEHLO [IPv6:::1]\r\nHELO my_host\r\n",
		"220|250|250|250|", "" },
	{ "EHLO refuses what is no name", &mx,
		"EHLO <a>\r\nEHLO a\xff\r\nEHLO [1\r\nEHLO a@b\r\n",
		"220|501|501|501|501|", "" },
	{ "a browser", &mx, "POST / HTTP/1.1\r\n" HELLO, "220|421 4.7.0|", "" },
	/* lines */
	{ "a bare LF ends no command", &mx, "EHLO a\nEHLO a\r\nNOOP\r\n",
		"220|500 5.5.2|250 2.0.0|", "" },
	{ "nothing runs behind a bare LF", &plain, HELLO "NOOP\n" MAIL RCPT,
		HELLOED "500 5.5.2|503 5.5.1|", "" },
	{ "legacy takes it", &lan, "EHLO a\nMAIL FROM:<a@b>\r\nNOOP\n",
		HELLOED "250 2.1.0|250 2.0.0|", "!command_lf|mail <a@b> 0|!command_lf|" },
	{ "a bare CR", &mx, "NOOP\rNOOP\r\nNOOP\r\r\nNOOP\r\n",
		"220|500 5.5.2|500 5.5.2|250 2.0.0|", "" },
	{ "control characters", &mx, "NOOP \x01\r\nNOOP \x7f\r\nNO\x1bOP\r\nNOOP\r\n",
		"220|500 5.5.2|500 5.5.2|500 5.5.2|250 2.0.0|", "" },
	{ "8-bit", &mx, HELLO "NOOP \xc3\xa4\r\n\xc3\xa4\r\nMAIL FROM:<\xc3\xa4@b>\r\n",
		HELLOED "500 5.5.2|500 5.5.2|553 5.6.7|", "" },
	{ "512 octets are a line", &mx, "NOOP " X500 "xxxxx\r\nNOOP\r\n",
		"220|250 2.0.0|250 2.0.0|", "" },
	{ "513 are not", &mx, "NOOP " X500 "xxxxxx\r\nNOOP\r\n",
		"220|500 5.5.2|250 2.0.0|", "" },
	{ "MAIL may be longer", &open_auth, HELLO "MAIL FROM:<a@b> AUTH=" X500 "\r\n",
		HELLOED "250 2.1.0|", NULL },
	/* data */
	{ "too large", &mx, OPEN X500 "\r\n" X500 "\r\n.\r\n" MAIL,
		OPENED "552 5.3.4|250 2.1.0|",
		"mail <a@b> 0|rcpt <c@d>|drop 552|reset|mail <a@b> 0|" },
	{ "strict: a bare LF", &mx, OPEN "a\nb\r\n.\r\n" MAIL,
		OPENED "550 5.5.2|250 2.1.0|",
		"mail <a@b> 0|rcpt <c@d>|drop 550|reset|mail <a@b> 0|" },
	{ "strict: a bare CR", &mx, OPEN "a\rb\r\n.\r\n", OPENED "550 5.5.2|", NULL },
	{ "strict: a smuggler", &mx, OPEN "a\n.\r\n" MAIL RCPT "DATA\r\nb\r\n.\r\n",
		OPENED "550 5.5.2|", "mail <a@b> 0|rcpt <c@d>|drop 550|reset|" },
	{ "standard: a smuggler's message is one", &plain, OPEN "a\n.\n" MAIL ".\r\n",
		OPENED "250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|!data_bare_lf|data [a\r\n.\r\nMAIL "
		"FROM:<a@b>\r\n]|" },
	{ "no end is no message", &mx, OPEN "a\r\n.\n", OPENED,
		"mail <a@b> 0|rcpt <c@d>|" },
	/* STARTTLS */
	{ "TLS begins anew", &mx, HELLO "STARTTLS\r\n\f" MAIL HELLO "STARTTLS\r\n" MAIL,
		HELLOED "220 2.0.0|503 5.5.1|250|503 5.5.1|250 2.1.0|", NULL },
	{ "nothing runs behind STARTTLS", &mx, HELLO "STARTTLS\r\n" MAIL,
		HELLOED "220 2.0.0|", "" },
	{ "not before EHLO, not in a transaction", &mx,
		"STARTTLS\r\n" HELLO MAIL "STARTTLS\r\n",
		"220|503 5.5.1|250|250 2.1.0|503 5.5.1|", NULL },
	{ "not offered", &plain, HELLO "STARTTLS\r\n", HELLOED "502 5.5.1|", "" },
	{ "required", &submit,
		HELLO MAIL "AUTH PLAIN " GOOD_PLAIN "\r\nVRFY a\r\nNOOP\r\nQUIT\r\n",
		HELLOED "530 5.7.0|530 5.7.0|530 5.7.0|250 2.0.0|221 2.0.0|", "" },
	/* devices */
	{ "legacy: HELO as it comes", &lan,
		"HELO\r\nHELO my ups\r\nEHLO \xff\r\nEHLO a\r\n", "220|250|250|250|250|",
		"!helo_empty|!helo_syntax|!helo_syntax|" },
	{ "legacy: CR CR LF", &lan, "EHLO a\r\r\nNOOP\r\r\n", HELLOED "250 2.0.0|",
		NULL },
	{ "legacy: bare LF in data", &lan, OPEN "a\nb\r\n.\r\n", OPENED "250 2.0.0|",
		"mail <a@b> 0|rcpt <c@d>|!data_bare_lf|data [a\r\nb\r\n]|" },
};

static void every_read_size(void **state)
{
	(void)state;
	replay(cases, G_N_ELEMENTS(cases), NULL);
}

static char *say(const struct conf_listener *listener, const char *in)
{
	struct dialog d = { 0 };
	dialog_run(&d, listener, in, strlen(in), strlen(in));
	char *replies = g_strdup(d.replies->str);
	dialog_clear(&d);
	return replies;
}

static const struct offer_case {
	const struct conf_listener *listener;
	const char *in, *there, *not_there;
} offers[] = {
	{ &mx, HELLO, "250-STARTTLS\r\n", "AUTH" },
	{ &mx, HELLO, "250-SIZE 1000\r\n", "BINARYMIME" },
	{ &mx, HELLO, "250-PIPELINING\r\n", "SMTPUTF8" },
	{ &mx, HELLO, "250-LIMITS RCPTMAX=3\r\n", "BDAT" },
	{ &mx, HELLO, "250-CHUNKING\r\n250-DSN\r\n", "EXPN" },
	{ &utf8, HELLO, "250-SMTPUTF8\r\n", "EXPN" },
	{ &mx, HELLO, "250-8BITMIME\r\n", "250-ENHANCED" },
	{ &mx, HELLO, "250 ENHANCEDSTATUSCODES\r\n", "AUTH" },
	{ &mx, "HELO a\r\n", "250 mx.example\r\n", "STARTTLS" },
	{ &mx, HELLO, "220 mx.example ESMTP ", "Hello" },
	{ &plain, HELLO, "250-mx.example\r\n", "STARTTLS" },
	{ &submit, HELLO, "250-STARTTLS\r\n", "AUTH" },
	{ &submits, HELLO, "250-AUTH PLAIN LOGIN\r\n", "STARTTLS" },
	{ &open_auth, HELLO, "250-AUTH PLAIN LOGIN\r\n", "AUTH=" },
	{ &lan, HELLO, "250-AUTH=PLAIN LOGIN\r\n", "AUTH=LOGIN" },
	{ &lan, "AUTH LOGIN\r\nEHLO a\r\n",
		"503 5.5.1 Bad sequence of commands: EHLO first\r\n", "334" },
	{ &lan, HELLO "AUTH LOGIN\r\ndQ==\r\n",
		"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n", "501" },
	{ &submits, HELLO "AUTH PLAIN\r\n", "\r\n334 \r\n", "501" },
	{ &mx, OPEN ".\r\n", "250 2.0.0 Ok: queued as ID\r\n", "421" },
	{ &mx, HELLO "MAIL FROM:<a@b> SIZE=2000\r\n",
		"552 5.3.4 Message exceeds the maximum size: see SIZE in the reply to "
		"EHLO\r\n",
		"{}" },
};

static void what_is_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(offers); i++) {
		g_autofree char *got = say(offers[i].listener, offers[i].in);
		if (!strstr(got, offers[i].there) || strstr(got, offers[i].not_there))
			fail_msg("%s -> %s", offers[i].in, got);
	}
}

/* What a listener hides is neither shown nor taken. */
static const char *const hidden_words[] = { "STARTTLS", "AUTH", "CHUNKING", "DSN",
	"8BITMIME", "SIZE", "SMTPUTF8", "PIPELINING", "LIMITS", NULL };
static const struct conf_listener hiding = LISTENER(.tls = CONF_TLS_STARTTLS,
	.auth = CONF_AUTH_OPTIONAL, .auth_without_tls = true, .smtputf8 = true,
	.profile = CONF_PROFILE_STANDARD, .hide_extensions = hidden_words);
static const char *const codes_word[] = { "enhancedstatuscodes", NULL };
static const struct conf_listener without_codes =
	LISTENER(.auth = CONF_AUTH_OPTIONAL, .auth_without_tls = true,
		.profile = CONF_PROFILE_LEGACY, .hide_extensions = codes_word);

static const struct session_case hidden_cases[] = {
	{ "commands", &hiding,
		HELLO "STARTTLS\r\nAUTH PLAIN " GOOD_PLAIN
		      "\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		HELLOED "502 5.5.1|502 5.5.1|502 5.5.1|250 2.0.0|", "" },
	{ "parameters", &hiding,
		HELLO "MAIL FROM:<a@b> SIZE=1\r\nMAIL FROM:<a@b> BODY=7BIT\r\n"
		      "MAIL FROM:<a@b> AUTH=<>\r\nMAIL FROM:<a@b> RET=FULL\r\n"
		      "MAIL FROM:<a@b> ENVID=x\r\nMAIL FROM:<a@b> SMTPUTF8\r\n"
		      "MAIL FROM:<\xc3\xb6@b>\r\n" MAIL
		      "RCPT TO:<c@d> NOTIFY=NEVER\r\nRCPT TO:<c@d> ORCPT=rfc822;c@d\r\n",
		HELLOED
		"555 5.5.4|555 5.5.4|555 5.5.4|555 5.5.4|555 5.5.4|555 5.5.4|553 5.6.7|"
		"250 2.1.0|555 5.5.4|555 5.5.4|",
		"mail <a@b> 0|" },
	{ "a chunk in a transaction", &hiding, BEGIN "BDAT 6\r\nQUIT\r\nRSET\r\n",
		BEGUN "502 5.5.1|250 2.0.0|", ENVELOPE "reset|" },
	{ "enhanced codes", &without_codes, OPEN ".\r\nFOO\r\nQUIT\r\n",
		"220|250|250|250|354|250|500|221|", ENVELOPE "data []|" },
};

static void hidden_extensions(void **state)
{
	(void)state;
	static const struct dialog settings = { .hides = true };
	replay(hidden_cases, G_N_ELEMENTS(hidden_cases), &settings);
	struct dialog d = settings;
	dialog_run(&d, &hiding, HELLO, strlen(HELLO), strlen(HELLO));
	assert_non_null(strstr(
		d.replies->str, "\r\n250-mx.example\r\n250 ENHANCEDSTATUSCODES\r\n"));
	dialog_clear(&d);
	struct dialog shown = { 0 };
	dialog_run(&shown, &hiding, HELLO, strlen(HELLO), strlen(HELLO));
	for (size_t i = 0; hidden_words[i]; i++)
		assert_non_null(strstr(shown.replies->str, hidden_words[i]));
	dialog_clear(&shown);
}

/* The last line is the last, whatever it is. */
static void any_extension_may_be_last(void **state)
{
	(void)state;
	static const char *const all_but_auth[] = { "STARTTLS", "CHUNKING", "DSN",
		"8BITMIME", "SIZE", "SMTPUTF8", "PIPELINING", "LIMITS",
		"ENHANCEDSTATUSCODES", NULL };
	static const struct conf_listener listener =
		LISTENER(.auth = CONF_AUTH_OPTIONAL, .auth_without_tls = true,
			.profile = CONF_PROFILE_LEGACY, .hide_extensions = all_but_auth);
	static const struct conf_listener nothing =
		LISTENER(.profile = CONF_PROFILE_LEGACY, .hide_extensions = all_but_auth);
	struct dialog d = { .hides = true };
	dialog_run(&d, &listener, HELLO, strlen(HELLO), strlen(HELLO));
	assert_non_null(strstr(d.replies->str, "\r\n250-mx.example\r\n250-AUTH PLAIN "
					       "LOGIN\r\n250 AUTH=PLAIN LOGIN\r\n"));
	dialog_clear(&d);
	struct dialog bare = { .hides = true };
	dialog_run(&bare, &nothing, HELLO, strlen(HELLO), strlen(HELLO));
	assert_true(g_str_has_suffix(bare.replies->str, "\r\n250 mx.example\r\n"));
	dialog_clear(&bare);
}

static void auth_is_not_shown_twice(void **state)
{
	(void)state;
	g_autofree char *got = say(&submits, HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n" HELLO);
	assert_ptr_equal(strstr(got, "250-AUTH"), g_strrstr(got, "250-AUTH"));
	g_autofree char *tls = say(&mx, HELLO "STARTTLS\r\n\f" HELLO);
	assert_ptr_equal(strstr(tls, "250-STARTTLS"), g_strrstr(tls, "250-STARTTLS"));
}

/* A NUL cannot stand in the tables. */
static void nul_bytes(void **state)
{
	(void)state;
	static const char in[] =
		"NOOP\0\r\nNO\0OP\r\n" HELLO "MAIL FROM:<a\0@b>\r\n" MAIL RCPT
		"DATA\r\na\0b\r\n.\r\n";
	for (size_t piece = sizeof(in) - 1; piece > 0; piece--) {
		struct dialog d = { 0 };
		dialog_run(&d, &mx, in, sizeof(in) - 1, piece);
		assert_string_equal(d.codes->str,
			"220|500 5.5.2|500 5.5.2|250|500 5.5.2|250 "
			"2.1.0|250 2.1.5|354|250 2.0.0|");
		assert_memory_equal(d.message->str, "a\0b\r\n", 6);
		dialog_clear(&d);
	}
}

static void repeat(GString *text, const char *line, size_t times)
{
	while (times--)
		g_string_append(text, line);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void check_flood(const char *start, const char *line, size_t times,
	const char *code, size_t answered)
{
	g_autoptr(GString) in = g_string_new(start);
	repeat(in, line, times);
	for (size_t piece = 1; piece <= in->len; piece = piece * 7 + 1) {
		struct dialog d = { 0 };
		dialog_run(&d, &mx, in->str, in->len, piece);
		assert_int_equal(count_of(d.codes->str, code), answered);
		assert_true(g_str_has_suffix(d.codes->str, "421 4.7.0|"));
		dialog_clear(&d);
	}
}

static void floods_end(void **state)
{
	(void)state;
	check_flood("", "FOO\r\n", 1000, "|500 5.5.2", 20);
	check_flood("", "NOOP\r\n", 1000, "|250 2.0.0", 100);
	check_flood("", "RSET\r\n", 1000, "|250 2.0.0", 100);
	check_flood(HELLO MAIL, "RCPT TO:<no@d>\r\n", 1000, "|550 5.1.1", 20);
	check_flood(HELLO MAIL, RCPT, 1100, "|452 4.5.3", 1000);
	check_flood(HELLO MAIL, "RCPT TO:<later@d>\r\n", 1100, "|450 4.7.1", 1000);
}

static const struct conf_listener few = { .name = "few",
	.max_message_size = 1000,
	.max_recipients = 3,
	.max_errors = 1,
	.max_idle_commands = 2 };

/* Each listener has its own ceilings. */
static void a_listeners_ceilings(void **state)
{
	(void)state;
	static const struct session_case table[] = {
		{ "errors", &few, "FOO\r\nFOO\r\nFOO\r\n", "220|500 5.5.2|421 4.7.0|",
			"" },
		{ "idle commands", &few, "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
			"220|250 2.0.0|250 2.0.0|421 4.7.0|", "" },
	};
	replay(table, G_N_ELEMENTS(table), NULL);
}

/* What another host says of a message is no mistake of the client. */
static void the_next_hops_refusals(void **state)
{
	(void)state;
	static const char message[] = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n";
	static const struct {
		enum smtp_reply_id id;
		const char *want;
	} answers[] = {
		{ REPLY_HOP_550, "550 ID\r\n" },
		{ REPLY_HOP_DEFERRED, "451 ID\r\n" },
		{ REPLY_RELAYED, "250 ID\r\n" },
		{ REPLY_FROM_NOT_ALLOWED, "421 4.7.0" },
	};
	g_autoptr(GString) text = g_string_new("EHLO a\r\n");
	for (unsigned n = 0; n < 5; n++)
		g_string_append(text, message);
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
		struct dialog dialog = { .data_done = answers[i].id };
		dialog_run(&dialog, &few, text->str, text->len, text->len);
		assert_non_null(strstr(dialog.replies->str, answers[i].want));
		bool is_over = strstr(dialog.replies->str, "421 ");
		assert_int_equal(is_over, answers[i].id == REPLY_FROM_NOT_ALLOWED);
		dialog_clear(&dialog);
	}
}

static void ended_by_the_owner(void **state)
{
	(void)state;
	struct dialog early = { 0 };
	dialog_run(&early, &mx, "", 0, 1);
	smtp_session_end(early.session, REPLY_EARLY_TALKER);
	assert_true(smtp_session_is_closed(early.session));
	assert_string_equal(smtp_session_output(early.session)->str,
		"554 5.5.0 mx.example closes: you spoke before you were greeted\r\n");
	dialog_clear(&early);
	struct dialog listed = { .mail = REPLY_BLOCK_LISTED };
	dialog_run(&listed, &mx, HELLO, strlen(HELLO), 100);
	smtp_session_set_block_list(listed.session, "list.example");
	smtp_session_feed(listed.session, MAIL, strlen(MAIL));
	assert_string_equal(smtp_session_output(listed.session)->str,
		"554 5.7.1 list.example is a block list that has your address\r\n");
	assert_false(smtp_session_is_closed(listed.session));
	dialog_clear(&listed);
}

/* 25 messages, an error in each: mail goes on. */
static void messages_forgive_errors(void **state)
{
	(void)state;
	g_autoptr(GString) in = g_string_new(HELLO);
	repeat(in,
		"FOO\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n" MAIL RCPT
		"DATA\r\nx\r\n.\r\n",
		25);
	struct dialog d = { 0 };
	dialog_run(&d, &mx, in->str, in->len, in->len);
	assert_int_equal(count_of(d.replies->str, "queued as"), 25);
	assert_null(strstr(d.codes->str, "421"));
	dialog_clear(&d);
}

static void endless_lines_are_bounded(void **state)
{
	(void)state;
	g_autoptr(GString) in = g_string_new("EHLO ");
	repeat(in, X500, 200);
	g_string_append(in, "\r\nNOOP\r\nAUTH ");
	repeat(in, X500, 200);
	g_string_append(in, "\r\n" MAIL "RCPT ");
	repeat(in, X500, 200);
	g_string_append(in, "\r\nNOOP\r\n");
	for (size_t piece = 1; piece <= in->len; piece = piece * 10 + 3) {
		struct dialog d = { 0 };
		dialog_run(&d, &mx, in->str, in->len, piece);
		assert_string_equal(d.codes->str, "220|500 5.5.2|250 2.0.0|500 5.5.6|503 "
						  "5.5.1|500 5.5.2|250 2.0.0|");
		dialog_clear(&d);
	}
}

/* Who ends lines with LF alone hears of it after a moment, and what
 * follows is a command. */
static void silence_after_a_bare_lf(void **state)
{
	(void)state;
	struct dialog d = { .stall = true };
	dialog_run(&d, &mx, "EHLO a\n", 7, 7);
	assert_string_equal(d.codes->str, "220|500 5.5.2|");
	assert_int_equal(smtp_session_feed(d.session, "NOOP\r\n", 6), 6);
	assert_string_equal(smtp_session_output(d.session)->str, "250 2.0.0 Ok\r\n");
	dialog_clear(&d);
	struct dialog whole = { .stall = true };
	dialog_run(&whole, &mx, "EHLO a\r", 7, 7);
	assert_string_equal(whole.codes->str, "220|");
	dialog_clear(&whole);
}

static void the_owner_says_no(void **state)
{
	(void)state;
	const char *in = OPEN "x\r\n.\r\nNOOP\r\n";
	struct dialog full = { .mail = REPLY_NO_ROOM };
	dialog_run(&full, &mx, HELLO MAIL, strlen(HELLO MAIL), 100);
	assert_string_equal(full.codes->str, HELLOED "452 4.3.1|");
	dialog_clear(&full);
	struct dialog refused = { .data_begin = REPLY_LOCAL_ERROR };
	dialog_run(&refused, &mx, HELLO MAIL RCPT "DATA\r\nNOOP\r\n",
		strlen(HELLO MAIL RCPT "DATA\r\nNOOP\r\n"), 100);
	assert_string_equal(
		refused.codes->str, HELLOED "250 2.1.0|250 2.1.5|451 4.3.0|250 2.0.0|");
	dialog_clear(&refused);
	struct dialog lost = { .data_done = REPLY_LOCAL_ERROR };
	dialog_run(&lost, &mx, in, strlen(in), 100);
	assert_string_equal(lost.codes->str, OPENED "451 4.3.0|250 2.0.0|");
	dialog_clear(&lost);
}

/* MAIL may fail 100 times, not for ever. */
static void a_full_store_is_not_asked_for_ever(void **state)
{
	(void)state;
	g_autoptr(GString) in = g_string_new(HELLO);
	repeat(in, MAIL, 200);
	struct dialog d = { .mail = REPLY_NO_ROOM };
	dialog_run(&d, &mx, in->str, in->len, in->len);
	assert_int_equal(count_of(d.codes->str, "|452 4.3.1"), 99);
	assert_true(g_str_has_suffix(d.codes->str, "421 4.7.0|"));
	dialog_clear(&d);
}

/* What the log has of a refused command: what helps to mend the client, no secret, no
 * text, and nothing that the owner has said itself. */
static const struct refusal_case {
	const struct conf_listener *listener;
	const char *in, *refusals;
} refusals[] = {
	{ &mx, HELLO "MAIL FROM:a@b\r\n", "501 MAIL FROM:a@b|" },
	{ &mx, HELLO MAIL "RCPT TO:<c@d> NOTIFY=NO\r\n", "501 RCPT TO:<c@d> NOTIFY=NO|" },
	{ &mx, "EHLO no name\r\n", "501 EHLO no name|" },
	{ &mx, HELLO "MAIL FROM:<a@b> SIZE=2000\r\n", "552 MAIL FROM:<a@b> SIZE=2000|" },
	{ &mx, HELLO "secret\r\n\r\nNOOP\x01 secret\r\n", "500 |500 |500 |" },
	{ &mx, HELLO "VRFY\r\nDATA\r\nEXPN secret\r\n", "501 VRFY|503 DATA|502 EXPN|" },
	{ &mx, HELLO MAIL "RCPT TO:<no@d>\r\n", "" },
	{ &mx, HELLO "NOOP " X500 X500 "\r\n", "500 |" },
	{ &mx, HELLO "NOOP\nsecret\r\n", "500 |" },
	{ &mx, OPEN "a\nb\r\n.\r\n", "" },
	{ &submits, HELLO MAIL, "530 MAIL FROM:<a@b>|" },
	{ &submits, HELLO "AUTH PLAIN secret\r\n", "501 AUTH|" },
	{ &submits, HELLO "AUTH secret\r\n", "504 AUTH|" },
	{ &submits, HELLO "AUTH PLAIN\r\nsecret\r\n", "501 |" },
	{ &submits, HELLO "AUTH PLAIN " BAD_PLAIN "\r\n", "" },
	{ &mx, HELLO "MAIL FROM:" X100 X100 "\r\n",
		"501 MAIL FROM:" X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "|" },
};

static void what_the_log_has(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
		const struct refusal_case *c = &refusals[i];
		for (size_t piece = strlen(c->in); piece > 0; piece--) {
			struct dialog d = { 0 };
			dialog_run(&d, c->listener, c->in, strlen(c->in), piece);
			if (strcmp(d.refusals->str, c->refusals))
				fail_msg("%s, in pieces of %zu: %s", c->in, piece,
					d.refusals->str);
			dialog_clear(&d);
		}
	}
}

static void storage_fails_in_data(void **state)
{
	(void)state;
	struct dialog d = { 0 };
	dialog_run(&d, &mx, OPEN "a\r\n", strlen(OPEN "a\r\n"), 1000);
	smtp_session_data_failed(d.session, REPLY_NO_ROOM);
	smtp_session_data_failed(d.session, REPLY_NO_ROOM);
	smtp_session_feed(d.session, "b\r\n.\r\nNOOP\r\n", 12);
	assert_string_equal(smtp_session_output(d.session)->str,
		"452 4.3.1 Insufficient storage, try again later\r\n250 2.0.0 Ok\r\n");
	assert_string_equal(d.events->str, "mail <a@b> 0|rcpt <c@d>|drop 452|reset|");
	dialog_clear(&d);
}

static void draining(void **state)
{
	(void)state;
	struct dialog idle = { 0 };
	dialog_run(&idle, &mx, HELLO, strlen(HELLO), 100);
	smtp_session_drain(idle.session);
	assert_true(smtp_session_is_closed(idle.session));
	assert_string_equal(smtp_session_output(idle.session)->str,
		"421 4.3.2 mx.example is shutting down, try again later\r\n");
	dialog_clear(&idle);
	struct dialog busy = { .drain_in_data = true };
	dialog_run(&busy, &mx, OPEN "a\r\n.\r\n" MAIL, strlen(OPEN "a\r\n.\r\n" MAIL), 3);
	assert_string_equal(busy.codes->str, OPENED "250 2.0.0|421 4.3.2|");
	dialog_clear(&busy);
}

static void a_loop_is_refused(void **state)
{
	(void)state;
	g_autoptr(GString) in = g_string_new(OPEN);
	repeat(in, "Received: x\r\n", 51);
	g_string_append(in, "\r\nx\r\n.\r\nNOOP\r\n");
	for (size_t piece = in->len; piece > 0; piece /= 2) {
		struct dialog d = { 0 };
		dialog_run(&d, &mx, in->str, in->len, piece);
		assert_string_equal(d.codes->str, OPENED "554 5.4.6|250 2.0.0|");
		dialog_clear(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_read_size),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(hidden_extensions),
		cmocka_unit_test(any_extension_may_be_last),
		cmocka_unit_test(auth_is_not_shown_twice),
		cmocka_unit_test(nul_bytes),
		cmocka_unit_test(floods_end),
		cmocka_unit_test(a_listeners_ceilings),
		cmocka_unit_test(the_next_hops_refusals),
		cmocka_unit_test(ended_by_the_owner),
		cmocka_unit_test(messages_forgive_errors),
		cmocka_unit_test(endless_lines_are_bounded),
		cmocka_unit_test(silence_after_a_bare_lf),
		cmocka_unit_test(the_owner_says_no),
		cmocka_unit_test(a_full_store_is_not_asked_for_ever),
		cmocka_unit_test(what_the_log_has),
		cmocka_unit_test(storage_fails_in_data),
		cmocka_unit_test(draining),
		cmocka_unit_test(a_loop_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
