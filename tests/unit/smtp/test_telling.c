/* How much of a flood is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/telling.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static void a_flood_is_told_by_its_number(void **state)
{
	(void)state;
	static const struct {
		uint64_t now_ms;
		unsigned happen, told, last; /* last: what the last one told stands for */
	} steps[] = {
		{ 0, 20, 20, 1 },
		{ 999, 1000, 0, 0 },
		{ 1000, 1, 1, 1001 },
		{ 1999, 30, 19, 1 },
		{ 10000, 1, 1, 12 },
		{ 10001, 1, 1, 1 },
	};
	struct telling telling = { 0 };
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		unsigned told = 0, last = 0;
		for (unsigned n = 0; n < steps[i].happen; n++)
			told += telling_may(&telling, steps[i].now_ms, &last);
		assert_int_equal(told, steps[i].told);
		assert_int_equal(last, steps[i].last);
	}
}

static struct sockaddr_storage ipv4(uint32_t address)
{
	struct sockaddr_storage client = { 0 };
	((struct sockaddr_in *)&client)->sin_family = AF_INET;
	((struct sockaddr_in *)&client)->sin_addr.s_addr = htonl(address);
	return client;
}

static unsigned told_of(struct tellings *tellings, const struct sockaddr_storage *client,
	uint64_t now_ms, unsigned happen)
{
	unsigned told = 0, last = 0;
	while (happen--)
		told += tellings_may(
			tellings, (const struct sockaddr *)client, now_ms, &last);
	return told;
}

static void one_in_a_flood_hides_few_others(void **state)
{
	(void)state;
	struct tellings tellings = { 0 };
	struct sockaddr_storage noisy = ipv4(0xc0000201);
	assert_int_equal(told_of(&tellings, &noisy, 0, 100000), 600);
	unsigned hidden = 0;
	for (uint32_t i = 0; i < 256; i++) {
		struct sockaddr_storage other = ipv4(0xc6336400 + i);
		hidden += !told_of(&tellings, &other, 1, 1);
	}
	assert_in_range(hidden, 1, 64);
	assert_int_equal(told_of(&tellings, &noisy, 59999, 1), 0);
	assert_int_equal(told_of(&tellings, &noisy, 60000, 1), 1);
}

static void the_log_of_all_is_bounded(void **state)
{
	(void)state;
	struct tellings tellings = { 0 };
	unsigned told = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		struct sockaddr_storage client = ipv4(0x0a000000 + i);
		told += told_of(&tellings, &client, 0, 5);
	}
	assert_int_equal(told, TELLING_SHARES * 600);
}

static void ipv6_counts_by_its_64(void **state)
{
	(void)state;
	struct tellings tellings = { 0 };
	struct sockaddr_storage client = { 0 };
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&client;
	ipv6->sin6_family = AF_INET6;
	inet_pton(AF_INET6, "2001:db8:1:2::1", &ipv6->sin6_addr);
	assert_int_equal(told_of(&tellings, &client, 0, 1000), 600);
	inet_pton(AF_INET6, "2001:db8:1:2:ffff::7", &ipv6->sin6_addr);
	assert_int_equal(told_of(&tellings, &client, 0, 1000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_is_told_by_its_number),
		cmocka_unit_test(one_in_a_flood_hides_few_others),
		cmocka_unit_test(the_log_of_all_is_bounded),
		cmocka_unit_test(ipv6_counts_by_its_64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
