/* MAIL and RCPT: paths, parameters, DSN, SMTPUTF8, and what devices make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay.h"
#include <string.h>

static const struct conf_listener utf8 =
	LISTENER(.profile = CONF_PROFILE_STRICT, .smtputf8 = true);
static const struct conf_listener utf8_lan =
	LISTENER(.profile = CONF_PROFILE_LEGACY, .smtputf8 = true);

#define OE "\xc3\xb6" /* o with two dots */

static const struct session_case cases[] = {
	/* MAIL and RCPT */
	{ "syntax", &mx,
		HELLO
		"MAIL\r\nMAIL FROM\r\nMAIL FROM:\r\nMAIL TO:<a@b>\r\nMAIL FROM:a@b\r\n"
		"MAIL FROM: <a@b>\r\nMAIL FROM :<a@b>\r\nMAIL FROM:<a>\r\nMAIL "
		"FROM:<a@b\r\n",
		HELLOED
		"501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|"
		"501 5.1.7|501 5.1.7|",
		"" },
	{ "recipients", &mx,
		HELLO MAIL "RCPT FROM:<a@b>\r\nRCPT TO:<>\r\nRCPT TO:<a@>\r\n"
			   "RCPT TO:c@d\r\nRCPT TO:<c@d> SIZE=1\r\n",
		HELLOED "250 2.1.0|501 5.5.4|501 5.1.3|501 5.1.3|501 5.5.4|555 5.5.4|",
		NULL },
	{ "parameters", &mx, HELLO "MAIL FROM:<a@b> SIZE=10 BODY=8bitmime\r\n",
		HELLOED "250 2.1.0|", "mail <a@b> 10 8bit|" },
	{ "bad parameters", &mx,
		HELLO "MAIL FROM:<a@b> X=1\r\nMAIL FROM:<a@b> SIZE=1 size=1\r\n"
		      "MAIL FROM:<a@b> SIZE=x\r\nMAIL FROM:<a@b> SIZE\r\nMAIL FROM:<a@b> "
		      "BODY=BINARYMIME\r\n"
		      "MAIL FROM:<a@b>SIZE=1\r\nMAIL FROM:<a@b> SMTPUTF8\r\nMAIL "
		      "FROM:<a@b> AUTH=<>\r\n"
		      "MAIL FROM:<a@b> NOTIFY=NEVER\r\n",
		HELLOED
		"555 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|555 5.5.4|"
		"555 5.5.4|555 5.5.4|",
		"" },
	{ "AUTH is xtext", &open_auth,
		HELLO "MAIL FROM:<a@b> AUTH=\r\nMAIL FROM:<a@b> AUTH\r\n"
		      "MAIL FROM:<a@b> AUTH=e+zz\r\nMAIL FROM:<a@b> AUTH=\xc3\xb6\r\n"
		      "MAIL FROM:<a@b> AUTH=e+3Dmc2@b\r\nRSET\r\n"
		      "MAIL FROM:<a@b> auth=<>\r\n",
		HELLOED "501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|250 2.1.0|250 2.0.0|"
			"250 2.1.0|",
		NULL },
	{ "declared too large", &mx,
		HELLO "MAIL FROM:<a@b> SIZE=1001\r\n"
		      "MAIL FROM:<a@b> SIZE=99999999999999999999\r\nMAIL FROM:<a@b> "
		      "SIZE=1000\r\n",
		HELLOED "552 5.3.4|552 5.3.4|250 2.1.0|", NULL },
	{ "too many recipients", &mx, HELLO MAIL RCPT RCPT RCPT RCPT "DATA\r\n",
		HELLOED "250 2.1.0|250 2.1.5|250 2.1.5|250 2.1.5|452 4.5.3|354|", NULL },
	{ "put off", &mx, HELLO MAIL "RCPT TO:<later@d>\r\n" RCPT,
		HELLOED "250 2.1.0|450 4.7.1|250 2.1.5|", ENVELOPE },
	{ "routes, literals, quotes", &mx,
		HELLO
		"MAIL FROM:<@r,@s:a@[IPv6:::1]>\r\nRCPT TO:<@r:\"c d\"@[192.0.2.1]>\r\n",
		HELLOED "250 2.1.0|250 2.1.5|",
		"mail <a@[IPv6:::1]> 0|rcpt <\"c d\"@[192.0.2.1]>|" },
	{ "no addresses", &mx,
		HELLO MAIL "RCPT TO:<c@d@e>\r\nRCPT TO:<@d>\r\nRCPT TO:<c@d.>\r\n"
			   "RCPT TO:<c@[300.1.1.1]>\r\nRCPT TO:<c@d>x\r\n",
		HELLOED "250 2.1.0|501 5.1.3|501 5.1.3|501 5.1.3|501 5.1.3|501 5.5.4|",
		"mail <a@b> 0|" },
	/* DSN */
	{ "all of DSN", &mx,
		HELLO "MAIL FROM:<a@b> ret=hdrs ENVID=QQ+2B1\r\n"
		      "RCPT TO:<c@d> NOTIFY=success,DELAY ORCPT=rfc822;C+2Bx@d\r\n"
		      "RCPT TO:<e@d> ORCPT=rfc822;e@d NOTIFY=NEVER\r\n",
		HELLOED "250 2.1.0|250 2.1.5|250 2.1.5|",
		"mail <a@b> 0 ret=hdrs envid=QQ+2B1|rcpt <c@d> notify=10 "
		"orcpt=rfc822;C+2Bx@d|rcpt <e@d> notify=1 orcpt=rfc822;e@d|" },
	{ "RET and ENVID as they should not be", &mx,
		HELLO "MAIL FROM:<a@b> RET\r\nMAIL FROM:<a@b> RET=BODY\r\n"
		      "MAIL FROM:<a@b> RET=FULL RET=FULL\r\nMAIL FROM:<a@b> ENVID\r\n"
		      "MAIL FROM:<a@b> ENVID=\r\nMAIL FROM:<a@b> ENVID=a+b\r\n"
		      "MAIL FROM:<a@b> ENVID=" X100
		      "x\r\nMAIL FROM:<a@b> ENVID=+0D+0A\r\n"
		      "MAIL FROM:<a@b> ENVID=" X100 "\r\n",
		HELLOED
		"501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|"
		"501 5.5.4|250 2.1.0|",
		NULL },
	{ "NOTIFY and ORCPT as they should not be", &mx,
		HELLO MAIL
		"RCPT TO:<c@d> NOTIFY\r\nRCPT TO:<c@d> NOTIFY=NEVER,DELAY\r\n"
		"RCPT TO:<c@d> NOTIFY=,\r\nRCPT TO:<c@d> NOTIFY=DELAY NOTIFY=DELAY\r\n"
		"RCPT TO:<c@d> ORCPT=c@d\r\nRCPT TO:<c@d> ORCPT=rfc822;\r\n"
		"RCPT TO:<c@d> ORCPT=rfc822;" X500 "\r\nRCPT TO:<c@d> RET=FULL\r\n",
		HELLOED
		"250 2.1.0|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|"
		"501 5.5.4|555 5.5.4|",
		"mail <a@b> 0|" },
	{ "a duplicate that is unknown too", &mx, HELLO "MAIL FROM:<a@b> FOO=1 FOO=2\r\n",
		HELLOED "501 5.5.4|", "" },
	/* SMTPUTF8 */
	{ "beyond ASCII", &utf8,
		HELLO "MAIL FROM:<j" OE "@m" OE ".example> SMTPUTF8\r\n"
		      "RCPT TO:<\"" OE " x\"@d>\r\nRCPT TO:<c@d> ORCPT=utf-8;j" OE
		      "@d\r\n",
		HELLOED "250 2.1.0|250 2.1.5|250 2.1.5|",
		"mail <j" OE "@m" OE ".example> 0 utf8|rcpt <\"" OE
		" x\"@d>|rcpt <c@d> orcpt=utf-8;j" OE "@d|" },
	{ "needs the word", &utf8,
		HELLO "MAIL FROM:<j" OE "@b>\r\n" MAIL "RCPT TO:<j" OE "@d>\r\n"
		      "RCPT TO:<c@d> ORCPT=utf-8;j" OE "@d\r\n",
		HELLOED "553 5.6.7|250 2.1.0|553 5.6.7|501 5.5.4|", "mail <a@b> 0|" },
	{ "the word ends with the transaction", &utf8,
		HELLO "MAIL FROM:<a@b> SMTPUTF8\r\nRSET\r\n" MAIL "RCPT TO:<j" OE
		      "@d>\r\n",
		HELLOED "250 2.1.0|250 2.0.0|250 2.1.0|553 5.6.7|",
		"mail <a@b> 0 utf8|reset|mail <a@b> 0|" },
	{ "so with the message", &utf8,
		HELLO "MAIL FROM:<a@b> SMTPUTF8\r\n" RCPT "DATA\r\n.\r\n" MAIL
		      "RCPT TO:<j" OE "@d>\r\n",
		HELLOED "250 2.1.0|250 2.1.5|354|250 2.0.0|250 2.1.0|553 5.6.7|", NULL },
	{ "no value, no bad UTF-8, no bad domain", &utf8,
		HELLO
		"MAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<\xc3@b> SMTPUTF8\r\n"
		"MAIL FROM:<\xc0\xaf@b> SMTPUTF8\r\nMAIL FROM:<\xed\xa0\x80@b> "
		"SMTPUTF8\r\n"
		"MAIL FROM:<a@b\xff> SMTPUTF8\r\nMAIL FROM:<\xc2\x85@b> SMTPUTF8\r\n"
		"MAIL FROM:<a@\xe2\x80\xae> SMTPUTF8\r\nMAIL FROM:<a@b> SMTPUTF8 "
		"X=\xff\r\n",
		HELLOED
		"501 5.5.4|501 5.1.7|501 5.1.7|501 5.1.7|501 5.1.7|501 5.1.7|501 5.1.7|"
		"501 5.5.4|",
		"" },
	{ "not offered", &mx,
		HELLO "MAIL FROM:<a@b> SMTPUTF8\r\nMAIL FROM:<j" OE "@b>\r\nVRFY j" OE
		      "\r\n" MAIL "RCPT TO:<c@d" OE ">\r\nRCPT TO:<c@d> X=" OE "\r\n",
		HELLOED "555 5.5.4|553 5.6.7|553 5.6.7|250 2.1.0|553 5.6.7|555 5.5.4|",
		"mail <a@b> 0|" },
	{ "VRFY and EXPN", &utf8,
		HELLO "VRFY j" OE " SMTPUTF8\r\nVRFY j" OE "\r\nVRFY a SMTPUTF8\r\n"
		      "VRFY \xff SMTPUTF8\r\nEXPN j" OE " SMTPUTF8\r\n",
		HELLOED "252 2.5.2|553 5.6.7|252 2.5.2|500 5.5.2|502 5.5.1|", "" },
	{ "legacy beyond ASCII", &utf8_lan, HELLO "MAIL FROM: j" OE " SMTPUTF8\r\n",
		HELLOED "250 2.1.0|",
		"!no_brackets|!space_in_command|mail <j" OE "@mx.example> 0 utf8|" },
	/* devices */
	{ "legacy: paths as they come", &lan,
		HELLO "MAIL FROM: root\r\nRCPT TO: < c@d >\r\nRSET\r\n"
		      "  MAIL FROM : <a@b> SIZE=5\r\nRCPT TO:c@d\r\n",
		HELLOED "250 2.1.0|250 2.1.5|250 2.0.0|250 2.1.0|250 2.1.5|",
		"!no_brackets|!space_in_command|mail <root@mx.example> "
		"0|!space_in_command|rcpt <c@d>|reset|!space_in_command|!space_in_"
		"command|!space_in_command|mail <a@b> 5|!no_brackets|rcpt <c@d>|" },
	{ "legacy: a local part with a sign in it", &lan, HELLO "MAIL FROM:<\"a@b\">\r\n",
		HELLOED "250 2.1.0|", "mail <\"a@b\"@mx.example> 0|" },
	{ "as it should be is no quirk", &lan, BEGIN, BEGUN, ENVELOPE },
};

static void every_read_size(void **state)
{
	(void)state;
	replay(cases, G_N_ELEMENTS(cases), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_read_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
