/* Wildcards of the settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/rule.h"
#include <glib.h>

static void test_fits(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "*", "anything", true },
		{ "a", "A", true },
		{ "a", "ab", false },
		{ "?", "a", true },
		{ "?", "", false },
		{ "?", "\xc3\xbc", true },
		{ "?", "ab", false },
		{ "image/*", "image/png", true },
		{ "image/*", "image", false },
		{ "*/*card", "text/x-vcard", true },
		{ "*.tar.*", "a.tar.tar.gz", true },
		{ "*.tar", "a.tar.gz", false },
		{ "*a*b*c", "xxaxxbxxcxxc", true },
		{ "*a*b*c", "xxaxxcxxb", false },
		{ "[a]", "a", false },
		{ "**?**", "x", true },
		{ "**?**", "", false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (rule_fits(cases[i].pattern, cases[i].text) != cases[i].fits)
			fail_msg("%s on %s", cases[i].pattern, cases[i].text);
}

/* Patterns that take others exponential time. */
static void test_is_fast(void **state)
{
	g_autofree char *text = g_strnfill(100 * 1000, 'a');
	int64_t began_us = g_get_monotonic_time();

	(void)state;
	assert_false(rule_fits("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
	assert_true(g_get_monotonic_time() - began_us < 10 * G_USEC_PER_SEC);
}

static void test_find(void **state)
{
	static const struct mime_rule rules[] = { { "a*", MIME_ACTION_LINK },
		{ "*", MIME_ACTION_KEEP } };

	(void)state;
	assert_ptr_equal(rule_find(rules, 2, "abc"), &rules[0]);
	assert_ptr_equal(rule_find(rules, 2, "bc"), &rules[1]);
	assert_null(rule_find(rules, 1, "bc"));
	assert_null(rule_find(rules, 2, NULL));
	assert_null(rule_find(NULL, 0, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_is_fast),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
