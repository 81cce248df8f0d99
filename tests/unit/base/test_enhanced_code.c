/* What is an enhanced status code, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/enhanced_code.h"
#include <glib.h>

static const struct {
	const char *text;
	struct enhanced_code want; /* all 0: none */
	const char *rest;
} cases[] = {
	{ "2.0.0 Ok", { 2, 0, 0, 5 }, "Ok" },
	{ "4.7.123", { 4, 7, 123, 7 }, "" },
	{ "5.999.10 x", { 5, 999, 10, 8 }, "x" },
	{ "5.1.1  two blanks", { 5, 1, 1, 5 }, "two blanks" },
	{ "5.1.1\nsecond line", { 5, 1, 1, 5 }, "\nsecond line" },
	{ "5.1.1\r\n", { 5, 1, 1, 5 }, "\r\n" },
	{ "5.1.1\tx", { 5, 1, 1, 5 }, "\tx" },
	{ "5.7.1: denied", { 5, 7, 1, 5 }, "denied" },
	{ "5.7.1, denied", { 5, 7, 1, 5 }, "denied" },
	{ "5.7.1;denied", { 5, 7, 1, 5 }, "denied" },
	{ "", { 0 }, "" },
	{ " 5.1.1 x", { 0 }, " 5.1.1 x" },
	{ "x 5.1.1", { 0 }, "x 5.1.1" },
	{ "0.1.1 x", { 0 }, "0.1.1 x" },
	{ "1.1.1 x", { 0 }, "1.1.1 x" },
	{ "3.1.1 x", { 0 }, "3.1.1 x" },
	{ "6.1.1 x", { 0 }, "6.1.1 x" },
	{ "55.1.1 x", { 0 }, "55.1.1 x" },
	{ "005.1.1 x", { 0 }, "005.1.1 x" },
	{ "5", { 0 }, "5" },
	{ "5.", { 0 }, "5." },
	{ "5.1", { 0 }, "5.1" },
	{ "5.1 x", { 0 }, "5.1 x" },
	{ "5.1.", { 0 }, "5.1." },
	{ "5..1 x", { 0 }, "5..1 x" },
	{ "5.1.x", { 0 }, "5.1.x" },
	{ "5.1.1234 x", { 0 }, "5.1.1234 x" },
	{ "5.1234.1 x", { 0 }, "5.1234.1 x" },
	{ "5.01.1 x", { 0 }, "5.01.1 x" },
	{ "5.1.00 x", { 0 }, "5.1.00 x" },
	{ "5.1.1x", { 0 }, "5.1.1x" },
	{ "5.1.1-x", { 0 }, "5.1.1-x" },
	{ "5.1.1.", { 0 }, "5.1.1." },
	{ "5.1.1.9 is an address", { 0 }, "5.1.1.9 is an address" },
	{ "5.1.1\xc3\xbc", { 0 }, "5.1.1\xc3\xbc" },
	{ "+5.1.1 x", { 0 }, "+5.1.1 x" },
};

static void each_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct enhanced_code code = { 9, 9, 9, 9 };
		const struct enhanced_code *want = &cases[i].want;
		bool is_one = enhanced_code_parse(cases[i].text, &code);
		if (is_one != (want->bytes > 0) || code.class != want->class ||
			code.subject != want->subject || code.detail != want->detail ||
			code.bytes != want->bytes)
			fail_msg("\"%s\": %u.%u.%u, %zu octets", cases[i].text,
				code.class, code.subject, code.detail, code.bytes);
		assert_string_equal(enhanced_code_skip(cases[i].text), cases[i].rest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
