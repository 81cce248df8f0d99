/* Networks and addresses: what is taken, what is refused, what contains what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/error.h"
#include "conf/network.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static struct sockaddr_storage address_of(const char *host)
{
	struct sockaddr_storage address;
	g_autofree char *text =
		g_strdup_printf(strchr(host, ':') != NULL ? "[%s]:25" : "%s:25", host);
	assert_true(conf_address_parse(text, &address, NULL));
	return address;
}

static void test_contains(void **state)
{
	static const struct {
		const char *network, *host;
		bool contains;
	} cases[] = {
		{ "10.1.0.0/16", "10.1.255.255", true },
		{ "10.1.0.0/16", "10.2.0.0", false },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3", "10.1.2.4", false },
		{ "10.1.2.128/25", "10.1.2.127", false },
		{ "10.1.2.128/25", "10.1.2.128", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "10.0.0.0/8", "::ffff:10.9.9.9", true },
		{ "10.0.0.0/8", "::ffff:11.9.9.9", false },
		{ "::ffff:10.0.0.0/104", "10.9.9.9", true },
		{ "::ffff:10.0.0.0/104", "::ffff:10.9.9.9", true },
		{ "::ffff:0.0.0.0/96", "192.0.2.1", true },
		{ "fd00::/8", "fdff:1::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "::ffff:10.0.0.1", false },
		{ "::1", "::1", true },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct conf_network network;
		struct sockaddr_storage address = address_of(cases[i].host);
		assert_true(conf_network_parse(cases[i].network, &network, NULL));
		bool contains = conf_network_contains(
			&network, (const struct sockaddr *)&address);
		if (contains != cases[i].contains)
			fail_msg("%s in %s: %d", cases[i].host, cases[i].network,
				contains);
	}
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct conf_network network;
	assert_true(conf_network_parse("0.0.0.0/0", &network, NULL));
	assert_false(conf_network_contains(&network, &local));
	assert_false(conf_address_is_loopback(&local));
}

static void test_refused_networks(void **state)
{
	static const struct {
		const char *text, *part; /* of the message */
	} cases[] = {
		{ "", "not a network" },
		{ "/8", "not a network" },
		{ "10.1", "not a network" },
		{ "10.1.2.300", "not a network" },
		{ "10.1.0.0/", "prefix must be a number from 0 to 32" },
		{ "10.1.0.0/33", "prefix must be a number from 0 to 32" },
		{ "10.1.0.0/-1", "prefix must be" },
		{ "10.1.0.0/+8", "prefix must be" },
		{ "10.1.0.0/016", "prefix must be" },
		{ "10.1.0.0/16x", "prefix must be" },
		{ "10.1.0.0/99999999999999999999", "prefix must be" },
		{ "fd00::/129", "prefix must be a number from 0 to 128" },
		{ "10.1.0.5/16",
			"write 10.1.0.0/16 for the network, or 10.1.0.5 for the one" },
		{ "fd00::1/8", "write fd00::/8 for the network, or fd00::1 for the one" },
		{ "localhost", "not a network" },
		{ "10.1.0.0 /16", "not a network" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
			"not a network" },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct conf_network network;
		g_autoptr(GError) error = NULL;
		if (conf_network_parse(cases[i].text, &network, &error))
			fail_msg("\"%s\" was taken", cases[i].text);
		assert_true(error->domain == CONF_ERROR);
		if (strstr(error->message, cases[i].part) == NULL)
			fail_msg("\"%s\": %s", cases[i].text, error->message);
	}
}

static void test_ranges(void **state)
{
	static const struct {
		const char *text;
		bool loopback, private, world;
	} cases[] = {
		{ "127.0.0.0/8", true, true, false },
		{ "127.0.0.1", true, true, false },
		{ "126.0.0.0/7", false, false, true },
		{ "::1", true, true, false },
		{ "::/0", false, false, true },
		{ "10.0.0.0/8", false, true, false },
		{ "172.16.0.0/12", false, true, false },
		{ "172.0.0.0/8", false, false, false },
		{ "192.168.1.0/24", false, true, false },
		{ "100.64.0.0/10", false, true, false },
		{ "169.254.1.1", false, true, false },
		{ "fd00::/8", false, true, false },
		{ "fe80::/10", false, true, false },
		{ "2001:db8::/32", false, false, false },
		{ "2000::/3", false, false, true },
		{ "203.0.113.0/24", false, false, false },
		{ "0.0.0.0/0", false, false, true },
		{ "128.0.0.0/1", false, false, true },
		{ "::ffff:0.0.0.0/96", false, false, true },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct conf_network network;
		assert_true(conf_network_parse(cases[i].text, &network, NULL));
		if (conf_network_is_loopback(&network) != cases[i].loopback ||
			conf_network_is_private(&network) != cases[i].private ||
			conf_network_is_world(&network) != cases[i].world)
			fail_msg("%s", cases[i].text);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
		unsigned port;
		bool loopback;
	} cases[] = {
		{ "0.0.0.0:25", AF_INET, 25, false },
		{ "127.8.9.1:65535", AF_INET, 65535, true },
		{ "127.0.0.1:0", AF_INET, 0, true },
		{ "[::]:25", AF_INET6, 25, false },
		{ "[::1]:587", AF_INET6, 587, true },
		{ "[::ffff:127.0.0.1]:587", AF_INET6, 587, true },
		{ "[2001:db8::25]:465", AF_INET6, 465, false },
		{ "", 0, 0, false },
		{ "25", 0, 0, false },
		{ ":25", 0, 0, false },
		{ "*:25", 0, 0, false },
		{ "localhost:25", 0, 0, false },
		{ "10.0.0.1", 0, 0, false },
		{ "10.0.0.1:", 0, 0, false },
		{ "10.0.0.1:65536", 0, 0, false },
		{ "10.0.0.1:99999", 0, 0, false },
		{ "10.0.0.1:25x", 0, 0, false },
		{ "10.0.0.1:-1", 0, 0, false },
		{ "10.0.0.1:025", 0, 0, false },
		{ "::1:25", 0, 0, false },
		{ "[10.0.0.1]:25", 0, 0, false },
		{ "[::1:25", 0, 0, false },
		{ "[]:25", 0, 0, false },
		{ "[::1]25", 0, 0, false },
		{ "[", 0, 0, false },
		{ "[:", 0, 0, false },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct sockaddr_storage address;
		g_autoptr(GError) error = NULL;
		bool taken = conf_address_parse(cases[i].text, &address, &error);
		if (taken != (cases[i].family != 0))
			fail_msg("\"%s\": %s", cases[i].text,
				taken ? "taken" : error->message);
		if (!taken)
			continue;
		in_port_t port = address.ss_family == AF_INET
					 ? ((struct sockaddr_in *)&address)->sin_port
					 : ((struct sockaddr_in6 *)&address)->sin6_port;
		assert_int_equal(address.ss_family, cases[i].family);
		assert_int_equal(ntohs(port), cases[i].port);
		assert_int_equal(conf_address_is_loopback((struct sockaddr *)&address),
			cases[i].loopback);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_refused_networks),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
