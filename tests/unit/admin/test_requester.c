/* requester: the client behind proxies, and who only says to be one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/requester.h"
#include <string.h>

static const struct {
	const char *name, *peer, *forwarded_for, *want;
} cases[] = {
	{ "no proxy", "192.0.2.9:1", NULL, "192.0.2.9" },
	{ "no proxy, yet a name", "192.0.2.9:1", "203.0.113.7", "192.0.2.9" },
	{ "a proxy", "10.0.0.1:1", "203.0.113.7", "203.0.113.7" },
	{ "a proxy without a name", "10.0.0.1:1", NULL, "10.0.0.1" },
	{ "an empty name", "10.0.0.1:1", "", "10.0.0.1" },
	{ "the last counts", "10.0.0.1:1", "198.51.100.1, 203.0.113.7", "203.0.113.7" },
	{ "two proxies", "10.0.0.1:1", "203.0.113.7 ,10.0.0.2", "203.0.113.7" },
	{ "proxies only", "10.0.0.1:1", "10.0.0.3,10.0.0.2", "10.0.0.3" },
	{ "with a port", "10.0.0.1:1", "203.0.113.7:4711", "203.0.113.7" },
	{ "IPv6", "10.0.0.1:1", "2001:db8::7", "2001:db8::7" },
	{ "IPv6 in brackets", "10.0.0.1:1", "[2001:db8::7]:4711", "2001:db8::7" },
	{ "no address", "10.0.0.1:1", "unknown", "10.0.0.1" },
	{ "no address behind one", "10.0.0.1:1", "unknown,203.0.113.7", "203.0.113.7" },
	{ "a long one", "10.0.0.1:1",
		"1111111111111111111111111111111111111111111111111111", "10.0.0.1" },
	{ "mapped peer", "[::ffff:192.0.2.9]:1", NULL, "192.0.2.9" },
	{ "mapped proxy", "[::ffff:10.0.0.1]:1", "::ffff:203.0.113.7", "203.0.113.7" },
	{ "IPv6 proxy", "[fd00::1]:1", "203.0.113.7", "203.0.113.7" },
};

static void test_cases(void **state)
{
	(void)state;
	struct conf_network proxies[2];
	assert_true(conf_network_parse("10.0.0.0/8", &proxies[0], NULL));
	assert_true(conf_network_parse("fd00::/8", &proxies[1], NULL));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sockaddr_storage peer, found;
		char text[INET6_ADDRSTRLEN];
		assert_true(conf_address_parse(cases[i].peer, &peer, NULL));
		requester_find(&found, (struct sockaddr *)&peer, cases[i].forwarded_for,
			proxies, 2);
		requester_print(&found, text);
		if (strcmp(text, cases[i].want) != 0)
			print_error("case: %s\n", cases[i].name);
		assert_string_equal(text, cases[i].want);
	}
}

/* Each entry a proxy: the walk ends all the same. */
static void test_long_list_is_bounded(void **state)
{
	(void)state;
	struct conf_network all;
	struct sockaddr_storage peer, found;
	GString *hops = g_string_new("203.0.113.7");
	assert_true(conf_network_parse("10.0.0.0/8", &all, NULL));
	assert_true(conf_address_parse("10.0.0.1:1", &peer, NULL));
	for (size_t i = 0; i < 1000; i++)
		g_string_append(hops, ",10.0.0.2");
	requester_find(&found, (struct sockaddr *)&peer, hops->str, &all, 1);
	char text[INET6_ADDRSTRLEN];
	requester_print(&found, text);
	assert_string_equal(text, "10.0.0.2");
	g_string_free(hops, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_long_list_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
