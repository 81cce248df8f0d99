/* RET, NOTIFY, ENVID and ORCPT, by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/dsn_parameters.h"

#define X10 "xxxxxxxxxx"
#define X90 X10 X10 X10 X10 X10 X10 X10 X10 X10

static void ret(void **state)
{
	(void)state;
	enum queue_ret got = QUEUE_RET_DEFAULT;
	assert_true(smtp_dsn_ret(slice_of("FULL"), &got));
	assert_int_equal(got, QUEUE_RET_FULL);
	assert_true(smtp_dsn_ret(slice_of("hdrs"), &got));
	assert_int_equal(got, QUEUE_RET_HDRS);
	assert_false(smtp_dsn_ret(slice_of("HEADERS"), &got));
	assert_false(smtp_dsn_ret((struct slice){ NULL, 0 }, &got));
}

static const struct notify_case {
	const char *in;
	bool good;
	unsigned want;
} notify_cases[] = {
	{ "NEVER", true, QUEUE_NOTIFY_NEVER },
	{ "never", true, QUEUE_NOTIFY_NEVER },
	{ "SUCCESS", true, QUEUE_NOTIFY_SUCCESS },
	{ "failure,Delay", true, QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY },
	{ "SUCCESS,FAILURE,DELAY", true,
		QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY },
	{ "NEVER,SUCCESS", false, 0 },
	{ "SUCCESS,NEVER", false, 0 },
	{ "SUCCESS,", false, 0 },
	{ ",SUCCESS", false, 0 },
	{ "SUCCESS,,DELAY", false, 0 },
	{ "SUCCESS;DELAY", false, 0 },
	{ "SUCCES", false, 0 },
	{ "", false, 0 },
};

static void notify(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(notify_cases); i++) {
		unsigned got;
		bool good = smtp_dsn_notify(slice_of(notify_cases[i].in), &got);
		if (good != notify_cases[i].good || (good && got != notify_cases[i].want))
			fail_msg("%s", notify_cases[i].in);
	}
}

static const struct text_case {
	const char *in;
	bool good;
} envids[] = {
	{ "a", true },
	{ "QQ314159", true },
	{ "a+2Bb+3D+20", true },
	{ X90 X10, true },
	{ X90 "+41+41+41+41+41+41+41+41+41+41", true },
	{ X90 X10 "x", false },
	{ X90 X10 "+41", false },
	{ "", false },
	{ "a=b", false },
	{ "a b", false },
	{ "+", false },
	{ "+4", false },
	{ "+4g", false },
	{ "+2b", false },
	{ "+0D", false },
	{ "+00", false },
	{ "+7F", false },
	{ "+C3+B6", false },
	{ "\xc3\xb6", false },
	{ "\x01", false },
};

static void envid(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(envids); i++) {
		if (smtp_dsn_envid(slice_of(envids[i].in)) != envids[i].good)
			fail_msg("%s", envids[i].in);
	}
	assert_false(smtp_dsn_envid((struct slice){ NULL, 0 }));
}

static const struct orcpt_case {
	const char *in;
	bool ascii, utf8; /* whether it is good without and with SMTPUTF8 */
} orcpts[] = {
	{ "rfc822;a@b", true, true },
	{ "RFC822;a+2Bb@c", true, true },
	{ "x400;+2FC+3Dde", true, true },
	{ "utf-8;a\\x{F6}@b", true, true },
	{ "utf-8;\xc3\xb6@b", false, true },
	{ "UTF-8;\xc3\xb6@b", false, true },
	{ "rfc822;\xc3\xb6@b", false, false },
	{ "rfc822;" X90 X90 X90 X90 X90 X10 X10 X10 X10 "xxx", true, true },
	{ "rfc822;" X90 X90 X90 X90 X90 X10 X10 X10 X10 "xxxx", false, false },
	{ "rfc822;", false, false },
	{ ";a@b", false, false },
	{ "rfc822", false, false },
	{ "rfc 822;a@b", false, false },
	{ "rfc822;a b@c", false, false },
	{ "rfc822;a+0D+0AX:y", false, false },
	{ "rfc822;a+zz", false, false },
	{ "", false, false },
};

static void orcpt(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(orcpts); i++) {
		struct slice in = slice_of(orcpts[i].in);
		if (smtp_dsn_orcpt(in, false) != orcpts[i].ascii ||
			smtp_dsn_orcpt(in, true) != orcpts[i].utf8)
			fail_msg("%s", orcpts[i].in);
	}
	assert_false(smtp_dsn_orcpt((struct slice){ NULL, 0 }, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ret),
		cmocka_unit_test(notify),
		cmocka_unit_test(envid),
		cmocka_unit_test(orcpt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
