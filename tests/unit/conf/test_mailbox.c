/* The syntax of addresses, and when two are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/mailbox.h"
#include <string.h>

static void test_syntax(void **state)
{
	static const struct {
		const char *text;
		bool mailbox;
	} cases[] = {
		{ "a@b.example", true },
		{ "first.last+tag@sub.b.example", true },
		{ "!#$%&'*+-/=?^_`{|}~@b.example", true },
		{ "\"a b\"@b.example", true },
		{ "\"a\\\"b\"@b.example", true },
		{ "\"a\\\\\"@b.example", true },
		{ "\"\"@b.example", true },
		{ "\"a@b\"@b.example", true },
		{ "a@localhost", true },
		{ "a@xn--bcher-kva.example", true },
		{ "a@1.example", true },
		{ "", false },
		{ "a", false },
		{ "@b.example", false },
		{ "a@", false },
		{ ".a@b.example", false },
		{ "a.@b.example", false },
		{ "a..b@b.example", false },
		{ "a b@b.example", false },
		{ "<a@b.example>", false },
		{ "\"a\"b\"@b.example", false },
		{ "\"a\\\\\"b\"@b.example", false },
		{ "\"a\\\"@b.example", false },
		{ "\"@b.example", false },
		{ "\"a\tb\"@b.example", false },
		{ "a@b@c.example", false },
		{ "a@b..example", false },
		{ "a@.example", false },
		{ "a@b.example.", false },
		{ "a@-b.example", false },
		{ "a@b-.example", false },
		{ "a@b_c.example", false },
		{ "a@10.0.0.1", false },
		{ "a@[10.0.0.1]", false },
		{ "\xc3\xa4@b.example", false },
		{ "a@b\xc3\xa4.example", false },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		if (conf_mailbox_check(cases[i].text, &error) != cases[i].mailbox)
			fail_msg("%s", cases[i].text);
		assert_int_equal(error == NULL, cases[i].mailbox);
	}
}

static void test_lengths(void **state)
{
	(void)state;
	for (size_t length = 63; length <= 65; length++) {
		g_autofree char *part = g_strnfill(length, 'a');
		g_autofree char *local_part = g_strconcat(part, "@b.example", NULL);
		g_autofree char *label = g_strconcat("a@", part, ".example", NULL);
		assert_int_equal(conf_mailbox_check(local_part, NULL), length <= 64);
		assert_int_equal(conf_mailbox_check(label, NULL), length <= 63);
	}
	GString *domain = g_string_new("example");
	while (domain->len < 253 - 2)
		g_string_prepend(domain, "a.");
	assert_true(conf_domain_check(domain->str, NULL));
	g_string_prepend(domain, "aaaa.");
	assert_false(conf_domain_check(domain->str, NULL));
	g_string_free(domain, TRUE);
}

static void test_canonical(void **state)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{ "A.B@C.Example", "a.b@c.example" },
		{ "\"A.B\"@c.example", "a.b@c.example" },
		{ "\"a\\.b\"@c.example", "a.b@c.example" },
		{ "\"a b\"@c.example", "\"a b\"@c.example" },
		{ "\"a\\ b\"@c.example", "\"a b\"@c.example" },
		{ "\"\"@c.example", "\"\"@c.example" },
		{ "\"a\\\\b\"@c.example", "\"a\\\\b\"@c.example" },
		{ "nothing", NULL },
		{ "@c.example", NULL },
		{ "a@", NULL },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *canonical = conf_mailbox_canonical(cases[i].text);
		if (g_strcmp0(canonical, cases[i].canonical) != 0)
			fail_msg("%s: %s", cases[i].text, canonical);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_canonical),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
