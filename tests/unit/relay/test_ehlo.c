/* ehlo: what a server offers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/ehlo.h"
#include <glib.h>

static char *describe(const struct ehlo *e)
{
	return g_strdup_printf("%s%s%s%s%s%s%s%s%" G_GUINT64_FORMAT,
		e->starttls ? "tls " : "", e->pipelining ? "pipe " : "",
		e->body_8bit ? "8bit " : "", e->smtputf8 ? "utf8 " : "",
		e->dsn ? "dsn " : "", e->auth_plain ? "plain " : "",
		e->auth_login ? "login " : "", e->size ? "size " : "", e->max_bytes);
}

static void test_parse(void **unused)
{
	(void)unused;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "host", "0" },
		{ "", "0" },
		{ "STARTTLS", "0" }, /* the first line is a name */
		{ "host\nSTARTTLS\nPIPELINING\n8BITMIME\nSMTPUTF8",
			"tls pipe 8bit utf8 0" },
		{ "host\nstarttls\nPipeLining", "tls pipe 0" },
		{ "host\nDSN\nXDSN", "dsn 0" },
		{ "host\nSTARTTLSX\nXSTARTTLS\nSTART TLS", "0" },
		{ "host\nAUTH PLAIN LOGIN", "plain login 0" },
		{ "host\nAUTH PLAIN\tLOGIN", "plain login 0" },
		{ "host\nAUTH=LOGIN PLAIN", "plain login 0" },
		{ "host\nAUTH", "0" },
		{ "host\nAUTH PLAIN-X XLOGIN CRAM-MD5", "0" },
		{ "host\nAUTHPLAIN", "0" },
		{ "host\nSIZE 41943040", "size 41943040" },
		{ "host\nSIZE", "size 0" },
		{ "host\nSIZE 0", "size 0" },
		{ "host\nSIZE x", "size 0" },
		{ "host\nSIZE 99999999999999999999999999", "size 0" },
		{ "host\nSIZE -1", "size 0" },
		{ "host\n\n\n  STARTTLS  \n", "tls 0" },
		{ "host\nSTARTTLS\r\nSIZE 7\r\n", "tls size 7" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct ehlo ehlo;
		ehlo_parse(&ehlo, cases[i].in);
		g_autofree char *got = describe(&ehlo);
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
