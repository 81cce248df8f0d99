/* AUTH: every mechanism, with and without an initial response, with and without a client
 * certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay.h"
#include <string.h>

static const struct session_case cases[] = {
	/* AUTH */
	{ "PLAIN", &submits, HELLO MAIL "AUTH PLAIN " GOOD_PLAIN "\r\n" MAIL,
		HELLOED "530 5.7.0|235 2.7.0|250 2.1.0|", "auth u|mail <a@b> 0|" },
	{ "PLAIN in two steps", &submits, HELLO "AUTH plain\r\n" GOOD_PLAIN "\r\n",
		HELLOED "334|235 2.7.0|", "auth u|" },
	{ "LOGIN", &submits, HELLO "AUTH LOGIN\r\ndQ==\r\ncA==\r\n",
		HELLOED "334|334|235 2.7.0|", "auth u|" },
	{ "LOGIN with an empty name", &submits, HELLO "AUTH LOGIN =\r\ncA==\r\n",
		HELLOED "334|535 5.7.8|", "auth |" },
	{ "LOGIN with nothing", &submits, HELLO "AUTH LOGIN\r\n\r\n\r\n",
		HELLOED "334|334|535 5.7.8|", "auth |" },
	{ "an equals sign stands for nothing behind the verb only", &submits,
		HELLO "AUTH LOGIN\r\n=\r\n", HELLOED "334|501 5.5.2|", "" },
	{ "LOGIN with a name", &submits, HELLO "AUTH LOGIN dQ==\r\ncA==\r\n",
		HELLOED "334|235 2.7.0|", "auth u|" },
	{ "wrong password", &submits, HELLO "AUTH PLAIN " BAD_PLAIN "\r\n" MAIL,
		HELLOED "535 5.7.8|530 5.7.0|", "auth u|" },
	{ "authorized as another", &submits, HELLO "AUTH PLAIN eAB1AHA=\r\n",
		HELLOED "535 5.7.8|", "auth u|" },
	{ "authorized as oneself", &submits, HELLO "AUTH PLAIN dQB1AHA=\r\n",
		HELLOED "235 2.7.0|", "auth u|" },
	{ "cancelled", &submits,
		HELLO "AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\ndQ==\r\n*\r\nNOOP\r\n",
		HELLOED "334|501 5.7.0|334|334|501 5.7.0|250 2.0.0|", "" },
	{ "not base64", &submits,
		HELLO "AUTH PLAIN !!!!\r\nAUTH PLAIN dQ\r\nAUTH PLAIN =\r\n"
		      "AUTH LOGIN\r\ndQ=\r\nAUTH PLAIN dQ==\r\nNOOP\r\n",
		HELLOED
		"501 5.5.2|501 5.5.2|501 5.5.2|334|501 5.5.2|501 5.5.2|250 2.0.0|",
		"" },
	{ "unknown mechanism", &submits, HELLO "AUTH CRAM-MD5\r\nAUTH\r\n",
		HELLOED "504 5.5.4|501 5.5.4|", "" },
	{ "once is enough", &submits,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\nAUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "235 2.7.0|503 5.5.1|", NULL },
	{ "not within a transaction", &open_auth,
		HELLO MAIL "AUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "250 2.1.0|503 5.5.1|", NULL },
	{ "not offered here", &plain, HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "502 5.5.1|", "" },
	{ "not in the clear", &mixed, HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "538 5.7.11|", "" },
	{ "after TLS", &mixed,
		HELLO "STARTTLS\r\n\f" HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "220 2.0.0|250|235 2.7.0|", NULL },
	{ "not after HELO", &open_auth, "HELO a\r\nAUTH PLAIN " GOOD_PLAIN "\r\n",
		"220|250|503 5.5.1|", "" },
	{ "after HELO for a camera", &lan, "HELO a\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\n",
		"220|250|334|334|235 2.7.0|", "!auth_after_helo|!auth_in_clear|auth u|" },
	{ "in the clear", &open_auth, HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "235 2.7.0|", "!auth_in_clear|auth u|" },
	{ "before EHLO", &lan, "AUTH PLAIN " GOOD_PLAIN "\r\n", "220|503 5.5.1|", "" },
	{ "failed too often elsewhere", &submits,
		HELLO "AUTH PLAIN AGJhbm5lZABw\r\nNOOP\r\n", HELLOED "421 4.7.0|",
		"auth banned|" },
	{ "without a certificate there is no EXTERNAL", &submits,
		HELLO "AUTH EXTERNAL =\r\nAUTH EXTERNAL\r\n",
		HELLOED "504 5.5.4|504 5.5.4|", "" },
	{ "a NUL in a name", &submits, HELLO "AUTH LOGIN dQBw\r\n", HELLOED "501 5.5.2|",
		"" },
	{ "two NULs too many", &submits, HELLO "AUTH PLAIN AHUAcAAA\r\n",
		HELLOED "501 5.5.2|", "" },
	{ "a long response", &submits, HELLO "AUTH PLAIN " X500 X500 "\r\nNOOP\r\n",
		HELLOED "501 5.5.2|250 2.0.0|", NULL },
	{ "a response with a bare LF", &submits,
		HELLO "AUTH PLAIN\r\n" GOOD_PLAIN "\nNOOP\r\nNOOP\r\n",
		HELLOED "334|500 5.5.2|250 2.0.0|", "" },
	{ "guessing ends", &submits,
		HELLO "AUTH PLAIN " BAD_PLAIN "\r\nAUTH PLAIN " BAD_PLAIN
		      "\r\nAUTH PLAIN " BAD_PLAIN "\r\nAUTH PLAIN " BAD_PLAIN
		      "\r\nAUTH PLAIN " BAD_PLAIN "\r\nAUTH PLAIN " GOOD_PLAIN "\r\n",
		HELLOED "535 5.7.8|535 5.7.8|535 5.7.8|535 5.7.8|421 4.7.0|", NULL },
};

static const struct conf_listener fleet = LISTENER(.tls = CONF_TLS_WRAPPER,
	.auth = CONF_AUTH_REQUIRED, .profile = CONF_PROFILE_STANDARD,
	.client_certificates = CONF_CLIENT_CERTIFICATES_OPTIONAL);
static const struct conf_listener starttls_fleet = LISTENER(.tls = CONF_TLS_REQUIRED,
	.auth = CONF_AUTH_REQUIRED, .profile = CONF_PROFILE_STANDARD);
static const struct conf_listener certificates_alone = LISTENER(.tls = CONF_TLS_WRAPPER,
	.auth = CONF_AUTH_NONE, .profile = CONF_PROFILE_STANDARD,
	.client_certificates = CONF_CLIENT_CERTIFICATES_REQUIRED);

static const struct session_case certified_cases[] = {
	{ "a certificate is enough", &fleet, HELLO MAIL, HELLOED "250 2.1.0|",
		"mail <a@b> 0|" },
	{ "by STARTTLS", &starttls_fleet, HELLO "STARTTLS\r\n\f" HELLO MAIL,
		HELLOED "220 2.0.0|250|250 2.1.0|", "mail <a@b> 0|" },
	{ "but not before it", &starttls_fleet, HELLO MAIL, HELLOED "530 5.7.0|", "" },
	{ "EXTERNAL as the certificate says", &fleet, HELLO "AUTH EXTERNAL =\r\n" MAIL,
		HELLOED "235 2.7.0|250 2.1.0|", "external |mail <a@b> 0|" },
	{ "EXTERNAL by name", &fleet, HELLO "auth external dQ==\r\n",
		HELLOED "235 2.7.0|", "external u|" },
	{ "EXTERNAL, asked", &fleet, HELLO "AUTH EXTERNAL\r\n\r\n",
		HELLOED "334|235 2.7.0|", "external |" },
	{ "EXTERNAL, asked for a name", &fleet, HELLO "AUTH EXTERNAL\r\ndQ==\r\n",
		HELLOED "334|235 2.7.0|", "external u|" },
	{ "EXTERNAL for another", &fleet, HELLO "AUTH EXTERNAL eA==\r\n" MAIL,
		HELLOED "535 5.7.8|250 2.1.0|", "external x|mail <a@b> 0|" },
	{ "EXTERNAL, malformed", &fleet,
		HELLO "AUTH EXTERNAL !\r\nAUTH EXTERNAL dQB1\r\nAUTH EXTERNAL\r\n*\r\n",
		HELLOED "501 5.5.2|501 5.5.2|334|501 5.7.0|", "" },
	{ "a password changes the user, once", &fleet,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\nAUTH PLAIN " GOOD_PLAIN
		      "\r\nAUTH EXTERNAL =\r\n",
		HELLOED "235 2.7.0|503 5.5.1|503 5.5.1|", "auth u|" },
	{ "where there are no passwords", &certificates_alone,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\nAUTH EXTERNAL =\r\n" MAIL,
		HELLOED "504 5.5.4|235 2.7.0|250 2.1.0|", "external |mail <a@b> 0|" },
};

static void every_read_size(void **state)
{
	(void)state;
	replay(cases, G_N_ELEMENTS(cases), NULL);
}

static void certified(void **state)
{
	(void)state;
	static const struct dialog settings = { .certified = true };
	replay(certified_cases, G_N_ELEMENTS(certified_cases), &settings);
}

static const struct offer_case {
	const struct conf_listener *listener;
	bool certified;
	const char *in, *there;
} offers[] = {
	{ &fleet, false, HELLO, "250-AUTH PLAIN LOGIN\r\n" },
	{ &fleet, true, HELLO, "250-AUTH PLAIN LOGIN EXTERNAL\r\n" },
	{ &certificates_alone, true, HELLO, "250-AUTH EXTERNAL\r\n" },
	{ &starttls_fleet, true, HELLO "STARTTLS\r\n\f" HELLO,
		"250-AUTH PLAIN LOGIN EXTERNAL\r\n" },
};

static void what_is_offered(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(offers); i++) {
		const struct offer_case *c = &offers[i];
		struct dialog d = { .certified = c->certified };
		dialog_run(&d, c->listener, c->in, strlen(c->in), strlen(c->in));
		const char *first = strstr(d.replies->str, "250-AUTH");
		if (!first || strncmp(first, c->there, strlen(c->there)) != 0 ||
			strstr(first + 1, "250-AUTH"))
			fail_msg("case %zu: %s", i, d.replies->str);
		dialog_clear(&d);
	}
}

/* What an account is granted holds from AUTH on, and no longer than its TLS. */
static const struct session_case granted_cases[] = {
	{ "larger", &submits,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\nMAIL FROM:<a@b> SIZE=5000\r\n",
		HELLOED "235 2.7.0|250 2.1.0|", "auth u|mail <a@b> 5000|" },
	{ "not before", &open_auth, HELLO "MAIL FROM:<a@b> SIZE=5000\r\n",
		HELLOED "552 5.3.4|", "" },
	{ "nor on failure", &open_auth,
		HELLO "AUTH PLAIN " BAD_PLAIN "\r\nMAIL FROM:<a@b> SIZE=5000\r\n",
		HELLOED "535 5.7.8|552 5.3.4|", "!auth_in_clear|auth u|" },
	{ "fewer recipients", &submits,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n" MAIL RCPT RCPT,
		HELLOED "235 2.7.0|250 2.1.0|250 2.1.5|452 4.5.3|", NULL },
	{ "another profile", &submits,
		HELLO "AUTH PLAIN " GOOD_PLAIN "\r\nMAIL FROM:a@b\n" RCPT
		      "DATA\r\na\nb\r\n.\r\n",
		HELLOED "235 2.7.0|250 2.1.0|250 2.1.5|354|250 2.0.0|",
		"auth u|!command_lf|!no_brackets|" ENVELOPE
		"!data_bare_lf|data [a\r\nb\r\n]|" },
	{ "gone with TLS", &mixed,
		HELLO "STARTTLS\r\n\f" HELLO "MAIL FROM:<a@b> SIZE=5000\r\n",
		HELLOED "220 2.0.0|250|552 5.3.4|", "" },
};

static void accounts(void **state)
{
	(void)state;
	static const struct smtp_terms terms = { .profile = CONF_PROFILE_LEGACY,
		.max_message_size = 5000,
		.max_recipients = 1 };
	static const struct dialog settings = { .terms = &terms };
	replay(granted_cases, G_N_ELEMENTS(granted_cases), &settings);
	struct dialog d = settings;
	static const char in[] = HELLO "AUTH PLAIN " GOOD_PLAIN "\r\n" HELLO;
	dialog_run(&d, &submits, in, strlen(in), strlen(in));
	assert_non_null(strstr(d.replies->str, "250-SIZE 5000\r\n"));
	assert_non_null(strstr(d.replies->str, "250-LIMITS RCPTMAX=1\r\n"));
	dialog_clear(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_read_size),
		cmocka_unit_test(certified),
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(accounts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
