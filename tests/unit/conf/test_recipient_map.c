/* Where mail goes: patterns, targets, and the addresses that come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/recipient_map.h"
#include <string.h>

static struct conf_recipient_map *sample_map(void)
{
	static const struct {
		const char *pattern, *target;
	} entries[] = {
		{ "Exact@In.example.com", "boss@example.com" },
		{ "\"odd one\"@in.example.com", "odd@example.com" },
		{ "@in.example.com", "%{local}@example.com" },
		{ "@Keep.example.com", NULL },
		{ "@swap.example.com", "%{local}@mail.%{domain}" },
		{ "@box.example.com", "box+%{local}@example.org" },
		{ "@all.example.com", "all+%{address}@example.org" },
		{ "@same.example.com", "%{address}" },
		{ "@one.example.com", "\"the one\"@example.org" },
		{ "@percent.example.com", "100%@example.org" },
	};
	struct conf_recipient_map *map = conf_recipient_map_new();
	for (size_t i = 0; i < G_N_ELEMENTS(entries); i++)
		assert_true(conf_recipient_map_add(
			map, entries[i].pattern, entries[i].target, NULL));
	assert_int_equal(conf_recipient_map_size(map), G_N_ELEMENTS(entries));
	return map;
}

static void test_resolve(void **state)
{
	static const struct {
		const char *address, *goes_to; /* NULL: no entry */
	} cases[] = {
		{ "exact@in.example.com", "boss@example.com" },
		{ "EXACT@IN.EXAMPLE.COM", "boss@example.com" },
		{ "\"exact\"@in.example.com", "boss@example.com" },
		{ "\"odd one\"@in.example.com", "odd@example.com" },
		{ "\"od\\d one\"@in.example.com", "odd@example.com" },
		{ "anyone@in.example.com", "anyone@example.com" },
		{ "Any.One+tag@in.example.com", "Any.One+tag@example.com" },
		{ "\"a b\"@in.example.com", "\"a b\"@example.com" },
		{ "\"a\\\"b\"@in.example.com", "\"a\\\"b\"@example.com" },
		{ "\"a@b\"@in.example.com", "\"a@b\"@example.com" },
		{ "\"plain\"@in.example.com", "plain@example.com" },
		{ "x@keep.example.com", "x@keep.example.com" },
		{ "\"x\"@KEEP.example.com", "\"x\"@KEEP.example.com" },
		{ "x@swap.example.com", "x@mail.swap.example.com" },
		{ "x@box.example.com", "box+x@example.org" },
		{ "\"x y\"@box.example.com", "\"box+x y\"@example.org" },
		{ "x@all.example.com", "\"all+x@all.example.com\"@example.org" },
		{ "\"x y\"@same.example.com", "\"x y\"@same.example.com" },
		{ "x@one.example.com", "\"the one\"@example.org" },
		{ "x@percent.example.com", "100%@example.org" },
		{ "%{domain}@in.example.com", "%{domain}@example.com" },
		{ "x@sub.in.example.com", NULL },
		{ "x@example.com", NULL },
		{ "in.example.com", NULL },
		{ "@in.example.com", NULL },
		{ "x@", NULL },
		{ "", NULL },
	};
	(void)state;
	struct conf_recipient_map *map = sample_map();
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *got = conf_recipient_map_resolve(map, cases[i].address);
		if (g_strcmp0(got, cases[i].goes_to) != 0)
			fail_msg("%s went to %s", cases[i].address, got);
		assert_int_equal(
			conf_recipient_map_has(map, cases[i].address), got != NULL);
		assert_int_equal(
			conf_recipient_map_owns(map, cases[i].address), got != NULL);
	}
	conf_recipient_map_free(&map);
	assert_null(map);
	conf_recipient_map_free(&map);
}

static void test_star(void **state)
{
	(void)state;
	struct conf_recipient_map *map = conf_recipient_map_new();
	assert_true(conf_recipient_map_add(map, "*", "all@example.com", NULL));
	assert_true(conf_recipient_map_add(map, "@a.example", "a@example.com", NULL));
	assert_false(conf_recipient_map_is_open(map));
	assert_true(conf_recipient_map_has(map, "x@b.example"));
	assert_false(conf_recipient_map_owns(map, "x@b.example"));
	assert_true(conf_recipient_map_owns(map, "x@a.example"));
	assert_false(conf_recipient_map_has(map, "nothing"));
	g_autofree char *by_star = conf_recipient_map_resolve(map, "x@b.example");
	g_autofree char *by_domain = conf_recipient_map_resolve(map, "x@a.example");
	assert_string_equal(by_star, "all@example.com");
	assert_string_equal(by_domain, "a@example.com");
	conf_recipient_map_free(&map);
}

static void test_refused(void **state)
{
	static const struct {
		const char *pattern, *target, *part; /* of the message */
	} cases[] = {
		{ "exact@IN.example.com", NULL, "given twice" },
		{ "\"exact\"@in.example.com", NULL, "given twice" },
		{ "@in.EXAMPLE.com", NULL, "given twice" },
		{ "in.example.org", NULL, "no pattern for recipients" },
		{ "*@in.example.org", NULL, "no pattern for recipients" },
		{ "", NULL, "no pattern for recipients" },
		{ "@", NULL, "not a domain name" },
		{ "@-bad.example", NULL, "not a domain name" },
		{ "@b\xc3\xbc.example", NULL, "xn--" },
		{ "a b@example.org", NULL, "is not a mail address" },
		{ "x@example.org", "", "gives no mail address" },
		{ "x@example.org", "nobody", "gives no mail address" },
		{ "x@example.org", "%{local}", "gives no mail address" },
		{ "x@example.org", "%{user}@example.com", "\"%{user}\" is unknown" },
		{ "x@example.org", "%{local@example.com", "is unknown in a target" },
		{ "x@example.org", "ops@%{local}",
			"only %{domain} may stand behind the @" },
		{ "x@example.org", "ops@%{address}",
			"only %{domain} may stand behind the @" },
		{ "x@example.org", "a b@example.com", "is not a mail address" },
		{ "x@example.org", "ops@exa mple.com", "not a domain name" },
		{ "x@example.org", "ops@example.com.", "not a domain name" },
		{ "x@example.org", "Ops <ops@example.com>", "is not a mail address" },
		{ "x@example.org", "\xc3\xbc@example.com", "7-bit" },
	};
	(void)state;
	struct conf_recipient_map *map = sample_map();
	size_t before = conf_recipient_map_size(map);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		if (conf_recipient_map_add(
			    map, cases[i].pattern, cases[i].target, &error))
			fail_msg("%s: %s was taken", cases[i].pattern, cases[i].target);
		if (strstr(error->message, cases[i].part) == NULL)
			fail_msg("%s: %s: %s", cases[i].pattern, cases[i].target,
				error->message);
	}
	assert_int_equal(conf_recipient_map_size(map), before);
	conf_recipient_map_free(&map);
}

static void test_ahead(void **state)
{
	static const struct {
		const char *pattern, *target, *leads_to; /* NULL: not known */
		bool is_open;
	} cases[] = {
		{ "x@a.example", "y@b.example", "y@b.example", false },
		{ "x@a.example", NULL, "x@a.example", false },
		{ "@a.example", "y@b.example", "y@b.example", false },
		{ "@a.example", "%{local}@b.example", "@b.example", false },
		{ "@a.example", NULL, "@a.example", false },
		{ "@a.example", "%{local}@x.%{domain}", "@x.a.example", false },
		{ "@a.example", "%{domain}@b.example", "a.example@b.example", false },
		{ "*", "y@b.example", "y@b.example", false },
		{ "*", "%{local}@b.example", "@b.example", false },
		{ "*", NULL, NULL, true },
		{ "*", "y@x.%{domain}", NULL, true },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct conf_recipient_map *map = conf_recipient_map_new();
		assert_true(conf_recipient_map_add(
			map, cases[i].pattern, cases[i].target, NULL));
		g_autofree char *place = conf_recipient_map_leads_to(map, 0);
		if (g_strcmp0(place, cases[i].leads_to) != 0)
			fail_msg("%s: %s leads to %s", cases[i].pattern, cases[i].target,
				place);
		assert_int_equal(conf_recipient_map_is_open(map), cases[i].is_open);
		conf_recipient_map_free(&map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_star),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ahead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
