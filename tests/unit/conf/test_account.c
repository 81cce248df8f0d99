/* Whose account is whose, and whose addresses are whose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/account.h"
#include "tests/unit/conf/loading.h"
#include <string.h>

static void test_fits(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} cases[] = {
		{ "camera-1", "camera-1", true },
		{ "camera-1", "camera-12", false },
		{ "camera-1", "Camera-1", false },
		{ "camera-1", "", false },
		{ "*", "", true },
		{ "*", "anything at all", true },
		{ "**", "x", true },
		{ "camera-*", "camera-", true },
		{ "camera-*", "camera-12", true },
		{ "camera-*", "camera", false },
		{ "*@a.example", "x@a.example", true },
		{ "*@a.example", "x@b.example", false },
		{ "a*b", "ab", true },
		{ "a*b", "aXb", true },
		{ "a*b", "a", false },
		{ "ab*ba", "aba", false }, /* the ends do not share an octet */
		{ "ab*ba", "abba", true },
		{ "a*b*c", "aXbYc", true },
		{ "a*b*c", "abc", true },
		{ "a*b*c", "acb", false },
		{ "a*b*c", "abXc", true },
		{ "*ab*ab*", "abab", true },
		{ "*ab*ab*", "aab", false },
		{ "*ab*ab*", "abXab", true },
		{ "*a*", "bbb", false },
		{ "?", "x", false },
		{ "[a]", "a", false },
		/* Of patterns: whether the first leaves nothing to the second. */
		{ "camera-*", "camera-1*", true },
		{ "camera-1*", "camera-*", false },
		{ "*", "*", true },
		{ "*a", "*ba", true },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (conf_account_fits(cases[i].pattern, cases[i].name) != cases[i].fits)
			fail_msg("%s against %s", cases[i].pattern, cases[i].name);
}

/* What makes a naive matcher take time exponential in the stars. */
static void test_fits_in_time(void **state)
{
	g_autoptr(GString) pattern = g_string_new(NULL);
	g_autofree char *name = g_strnfill(20000, 'a');
	(void)state;
	for (size_t i = 0; i < 100; i++)
		g_string_append(pattern, "*a");
	g_string_append(pattern, "*b");
	gint64 began_us = g_get_monotonic_time();
	assert_false(conf_account_fits(pattern->str, name));
	g_string_append_c(pattern, '*');
	assert_false(conf_account_fits(pattern->str, name));
	assert_true(g_get_monotonic_time() - began_us < 1000000);
}

#define ACCOUNTS(list) "auth: { users: /u, accounts: [ " list " ] }\n"

static void test_find(void **state)
{
	(void)state;
	struct conf *conf = load_sound(ACCOUNTS(
		"{ user: camera-1, from: [ A.example, x@b.example ], recipients: [ "
		"c.example ], max_recipients: 3, max_message_size: 1MiB, "
		"messages_per_minute: 4, recipients_per_minute: 5 }, { user: "
		"\"camera-*\", networks: [ 10.0.0.0/8 ], profile: legacy }, { user: "
		"gr\xc3\xbc\xc3\x9f"
		"e }"));
	const struct conf_account *one = conf_account_find(conf, "camera-1");
	const struct conf_account *two = conf_account_find(conf, "camera-12");
	assert_ptr_equal(one, &conf->accounts[0]);
	assert_ptr_equal(two, &conf->accounts[1]);
	assert_ptr_equal(conf_account_find(conf, "gr\xc3\xbc\xc3\x9f"
						 "e"),
		&conf->accounts[2]);
	assert_null(conf_account_find(conf, "printer"));
	assert_null(conf_account_find(conf, ""));
	assert_int_equal(one->n_networks, 0);
	assert_int_equal(one->profile, CONF_PROFILE_LISTENER);
	assert_int_equal(one->max_recipients, 3);
	assert_int_equal(one->max_message_size, 1048576);
	assert_int_equal(one->messages_per_minute, 4);
	assert_int_equal(one->recipients_per_minute, 5);
	assert_true(conf_identities_have(one->recipients, "who@C.Example"));
	assert_int_equal(two->n_networks, 1);
	assert_null(two->from);
	assert_null(two->recipients);
	assert_int_equal(two->profile, CONF_PROFILE_LEGACY);
	assert_int_equal(two->max_recipients, 0);
	assert_int_equal(two->max_message_size, 0);
	assert_int_equal(two->messages_per_minute, 0);
	conf_unref(conf);
	conf = load_sound("");
	assert_int_equal(conf->n_accounts, 0);
	assert_null(conf_account_find(conf, "camera-1"));
	conf_unref(conf);
}

static void test_identities(void **state)
{
	static const char *const list[] = { "a.example", "x@b.example",
		"\"two words\"@b.example", NULL };
	static const char *const none[] = { NULL };
	static const struct {
		const char *address;
		bool has;
	} cases[] = {
		{ "who@a.example", true },
		{ "who@A.EXAMPLE", true },
		{ "\"a@b\"@a.example", true },
		{ "who@sub.a.example", false },
		{ "who@xa.example", false },
		{ "who@b.example", false },
		{ "x@b.example", true },
		{ "X@B.example", true },
		{ "\"x\"@b.example", true },
		{ "\"\\x\"@b.example", true },
		{ "\"Two words\"@b.example", true },
		{ "xx@b.example", false },
		{ "a.example", false },
		{ "@a.example", false },
		{ "x@b.example@evil.example", false },
		{ "x@", false },
		{ "", false },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (conf_identities_have(list, cases[i].address) != cases[i].has)
			fail_msg("%s", cases[i].address);
		assert_false(conf_identities_have(none, cases[i].address));
	}
}

/* As many as may be, in settings of about half a megabyte. */
static void test_many(void **state)
{
	(void)state;
	for (int n = 10000; n <= 10001; n++) {
		g_autoptr(GString) text =
			g_string_new("auth: { users: /u, accounts: [\n");
		for (int i = 0; i < n; i++)
			g_string_append_printf(
				text, "{ user: \"camera-%d-*\", from: [ a ] },\n", i);
		g_string_append(text, "] }\n");
		g_autofree char *whole = completed(text->str);
		g_autofree char *problems = NULL, *warnings = NULL;
		struct conf *conf = load(whole, &problems, &warnings);
		assert_string_equal(problems,
			n == 10000 ? ""
				   : "f:1:30: auth.accounts: has more than 10000 "
				     "elements\n");
		assert_string_equal(warnings, "");
		if (conf != NULL)
			assert_ptr_equal(conf_account_find(conf, "camera-9999-1"),
				&conf->accounts[9999]);
		conf_unref(conf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_fits_in_time),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
