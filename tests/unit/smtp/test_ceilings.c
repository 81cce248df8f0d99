/* Tables of clients, times and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/ceilings.h"
#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
		address.ss_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &ipv6->sin6_addr), 1);
		address.ss_family = AF_INET6;
	}
	return address;
}

static const char *enter(struct ceilings *ceilings, const struct conf_listener *listener,
	const char *client)
{
	struct sockaddr_storage address = address_of(client);
	return ceilings_enter(ceilings, listener, (struct sockaddr *)&address);
}

static void leave(struct ceilings *ceilings, const char *client)
{
	struct sockaddr_storage address = address_of(client);
	ceilings_leave(ceilings, (struct sockaddr *)&address);
}

/* ---- connections ---- */

#define CLIENT_FULL  "max_connections_per_client"
#define NETWORK_FULL "max_connections_per_network"

static const struct conf_listener two_of_four = {
	.connections_per_client = { 2, true },
	.connections_per_network = { 4, true },
};
static const struct conf_listener loopback_too = {
	.connections_per_client = { 2, false },
	.connections_per_network = { 4, false },
};
static const struct conf_listener boundless = { .name = "boundless" };

static void connections(void **state)
{
	(void)state;
	static const struct {
		const char *client; /* "-" before it: it leaves */
		const struct conf_listener *listener;
		const char *want;
	} steps[] = {
		{ "192.0.2.1", &two_of_four, NULL },
		{ "192.0.2.1", &two_of_four, NULL },
		{ "192.0.2.1", &two_of_four, CLIENT_FULL },
		{ "192.0.2.1", &boundless, NULL }, /* counted all the same */
		{ "192.0.2.2", &two_of_four, NULL },
		{ "192.0.2.3", &two_of_four, NETWORK_FULL },
		{ "192.0.3.3", &two_of_four, NULL },
		{ "-192.0.2.1", NULL, NULL },
		{ "192.0.2.1", &two_of_four, CLIENT_FULL },
		{ "192.0.2.3", &two_of_four, NULL },
		{ "-192.0.2.1", NULL, NULL },
		{ "192.0.2.1", &two_of_four, NULL },
		/* a /64 is one client, a /48 one network */
		{ "2001:db8::1", &two_of_four, NULL },
		{ "2001:db8::2", &two_of_four, NULL },
		{ "2001:db8::ffff:0:0:3", &two_of_four, CLIENT_FULL },
		{ "2001:db8:0:1::1", &two_of_four, NULL },
		{ "2001:db8:0:1::2", &two_of_four, NULL },
		{ "2001:db8:0:2::1", &two_of_four, NETWORK_FULL },
		{ "2001:db8:1::1", &two_of_four, NULL },
		{ "-2001:db8::7", NULL, NULL },
		{ "2001:db8:0:2::1", &two_of_four, NULL },
		/* defaults spare loopback */
		{ "127.0.0.1", &two_of_four, NULL },
		{ "127.0.0.1", &two_of_four, NULL },
		{ "127.0.0.1", &two_of_four, NULL },
		{ "127.0.0.1", &loopback_too, CLIENT_FULL },
		{ "::1", &two_of_four, NULL },
		{ "::1", &two_of_four, NULL },
		{ "::1", &two_of_four, NULL },
		{ "::1", &loopback_too, CLIENT_FULL },
		/* the two families do not share a key */
		{ "::", &two_of_four, CLIENT_FULL },
		{ "0.0.0.0", &two_of_four, NULL },
	};
	struct ceilings *ceilings = ceilings_new();
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		if (*steps[i].client == '-') {
			leave(ceilings, steps[i].client + 1);
			continue;
		}
		const char *got = enter(ceilings, steps[i].listener, steps[i].client);
		if (g_strcmp0(got, steps[i].want))
			fail_msg("step %zu, %s: %s", i, steps[i].client,
				got ? got : "entered");
	}
	ceilings_free(&ceilings);
	assert_null(ceilings);
}

/* ---- rates ---- */

static void rates(void **state)
{
	(void)state;
	static const struct {
		uint64_t now_ms;
		unsigned asked, given;
		const char *client;
	} steps[] = {
		{ 1000000, 5, 3, "192.0.2.1" },    /* a minute's worth at once */
		{ 1000000, 5, 3, "192.0.2.2" },    /* each for itself */
		{ 1019999, 1, 0, "192.0.2.1" },    /* then one every 20 seconds */
		{ 1020000, 2, 1, "192.0.2.1" },    /* */
		{ 1060000, 5, 2, "192.0.2.1" },    /* */
		{ 1180000, 5, 3, "192.0.2.1" },    /* rest brings no more than that */
		{ 9999999, 5, 3, "2001:db8::1" },  /* */
		{ 9999999, 5, 0, "2001:db8::2" },  /* the same /64 */
		{ 9999999, 9, 9, "127.1.2.3" },    /* spared */
		{ 10000000, 9, 9, "::1" },         /* */
		{ 10000000, 5, 3, "192.0.2.200" }, /* */
	};
	const struct conf_ceiling three = { 3, true };
	struct ceilings *ceilings = ceilings_new();
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		struct sockaddr_storage address = address_of(steps[i].client);
		const struct sockaddr *client = (struct sockaddr *)&address;
		unsigned messages = 0, recipients = 0;
		for (unsigned n = 0; n < steps[i].asked; n++) {
			messages += ceilings_take_message(
				ceilings, &three, client, steps[i].now_ms);
			recipients += ceilings_take_recipient(
				ceilings, &three, client, steps[i].now_ms);
		}
		if (messages != steps[i].given || recipients != steps[i].given)
			fail_msg("step %zu: %u, %u", i, messages, recipients);
	}
	ceilings_free(&ceilings);
}

static void rates_of_users(void **state)
{
	(void)state;
	struct ceilings *ceilings = ceilings_new();
	for (int i = 0; i < 1000; i++)
		assert_true(ceilings_take_user_message(ceilings, 0, "a", 5000));
	unsigned messages = 0, recipients = 0;
	for (int i = 0; i < 100; i++) {
		messages += ceilings_take_user_message(ceilings, 60, "a", 5000);
		recipients += ceilings_take_user_recipient(ceilings, 7, "a", 5000);
	}
	assert_int_equal(messages, 60);
	assert_int_equal(recipients, 7);
	assert_true(ceilings_take_user_message(ceilings, 60, "A", 5000));
	assert_false(ceilings_take_user_message(ceilings, 60, "a", 5999));
	assert_true(ceilings_take_user_message(ceilings, 60, "a", 6000));
	/* the greatest that settings take: finer than a clock of milliseconds */
	for (messages = 0; ceilings_take_user_message(ceilings, 1000000, "b", 5000);)
		messages++;
	assert_int_equal(messages, 1000000);
	ceilings_free(&ceilings);
}

static void no_ceiling(void **state)
{
	(void)state;
	const struct conf_ceiling none = { 0, false };
	struct sockaddr_storage address = address_of("192.0.2.1");
	struct ceilings *ceilings = ceilings_new();
	for (int i = 0; i < 1000; i++) {
		assert_true(ceilings_take_message(
			ceilings, &none, (struct sockaddr *)&address, 0));
		assert_true(ceilings_take_recipient(
			ceilings, &none, (struct sockaddr *)&address, 0));
	}
	ceilings_free(&ceilings);
}

/* ---- authentication ---- */

enum attempt { ASK, BAD, GOOD };

static void authentication(void **state)
{
	(void)state;
	static const struct {
		uint64_t now_ms;
		const char *client, *user;
		enum attempt attempt;
		bool may; /* before it */
	} steps[] = {
		/* an address that guesses is shut out, whichever name it tries */
		{ 1000, "192.0.2.1", "a", BAD, true },
		{ 1000, "192.0.2.1", "b", BAD, true },
		{ 2000, "192.0.2.1", "c", BAD, true },
		{ 2000, "192.0.2.1", "d", ASK, false },
		{ 2000, "192.0.3.1", "d", ASK, true },
		{ 600999, "192.0.2.1", "d", ASK, false },
		{ 601000, "192.0.2.1", "d", ASK, true }, /* the window is over */
		/* a user that is guessed at is shut out, wherever that comes from */
		{ 700000, "192.0.4.1", "eve", BAD, true },
		{ 700000, "192.0.4.2", "eve", BAD, true },
		{ 700000, "192.0.4.3", "eve", BAD, true },
		{ 700000, "192.0.4.4", "eve", ASK, false },
		{ 700000, "192.0.4.4", "Eve", ASK, true }, /* another */
		/* where it has authenticated before, it is not */
		{ 2000000, "192.0.5.1", "dev", GOOD, true },
		{ 2000000, "192.0.6.1", "dev", BAD, true },
		{ 2000000, "192.0.6.2", "dev", BAD, true },
		{ 2000000, "192.0.6.3", "dev", BAD, true },
		{ 2000000, "192.0.6.4", "dev", ASK, false },
		{ 2000000, "192.0.5.1", "dev", GOOD, true },
		/* not even by others who share its address */
		{ 2000000, "192.0.5.1", "x", BAD, true },
		{ 2000000, "192.0.5.1", "x", BAD, true },
		{ 2000000, "192.0.5.1", "y", BAD, true },
		{ 2000000, "192.0.5.1", "z", ASK, false },
		{ 2000000, "192.0.5.1", "dev", ASK, true },
		/* but there too it is not guessed at for ever, until it is right again */
		{ 2000000, "192.0.5.1", "dev", BAD, true },
		{ 2000000, "192.0.5.1", "dev", BAD, true },
		{ 2000000, "192.0.5.1", "dev", GOOD, true },
		{ 2000000, "192.0.5.1", "dev", BAD, true },
		{ 2000000, "192.0.5.1", "dev", BAD, true },
		{ 2000000, "192.0.5.1", "dev", BAD, true },
		{ 2000000, "192.0.5.1", "dev", ASK, false },
		{ 2600000, "192.0.5.1", "dev", ASK, true },
		/* nor a fleet with one name */
		{ 5000000, "192.0.7.1", "car", GOOD, true },
		{ 5000000, "192.0.7.2", "car", GOOD, true },
		{ 5000000, "192.0.7.3", "car", GOOD, true },
		{ 5000000, "192.0.7.4", "car", GOOD, true },
		{ 5000000, "192.0.7.5", "car", GOOD, true },
		{ 5000000, "192.0.8.1", "car", BAD, true },
		{ 5000000, "192.0.8.2", "car", BAD, true },
		{ 5000000, "192.0.8.3", "car", BAD, true },
		{ 5000000, "192.0.7.1", "car", ASK, true },
		{ 5000000, "192.0.7.2", "car", ASK, true },
		{ 5000000, "192.0.7.3", "car", ASK, true },
		{ 5000000, "192.0.7.4", "car", ASK, true },
		{ 5000000, "192.0.7.5", "car", ASK, true },
		{ 5000000, "192.0.7.6", "car", ASK, false },
		{ 5000000, "192.0.7.6", "bus", ASK, true },
		/* a right password does not wipe out what an address guessed wrong */
		{ 8000000, "192.0.9.1", "p", BAD, true },
		{ 8000000, "192.0.9.1", "q", BAD, true },
		{ 8000000, "192.0.9.1", "own", GOOD, true },
		{ 8000000, "192.0.9.1", "r", BAD, true },
		{ 8000000, "192.0.9.1", "s", ASK, false },
		/* an IPv6 client is its /64 */
		{ 9000000, "2001:db8::1", "f", BAD, true },
		{ 9000000, "2001:db8::2", "g", BAD, true },
		{ 9000000, "2001:db8::3", "h", BAD, true },
		{ 9000000, "2001:db8::4", "i", ASK, false },
		{ 9000000, "2001:db8:0:1::4", "i", ASK, true },
	};
	const struct conf conf = { .auth_max_failures = 3, .auth_failure_window_s = 600 };
	struct ceilings *ceilings = ceilings_new();
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		struct sockaddr_storage address = address_of(steps[i].client);
		const struct sockaddr *client = (struct sockaddr *)&address;
		bool may = ceilings_may_authenticate(
			ceilings, &conf, client, steps[i].user, steps[i].now_ms);
		if (may != steps[i].may)
			fail_msg("step %zu, %s: %d", i, steps[i].user, may);
		if (steps[i].attempt != ASK)
			ceilings_authenticated(ceilings, &conf, client, steps[i].user,
				steps[i].attempt == GOOD, steps[i].now_ms);
	}
	ceilings_free(&ceilings);
}

/* ---- size ---- */

static struct sockaddr_storage nth_address(uint32_t n)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x0a000000 + n) };
	struct sockaddr_storage address = { 0 };
	memcpy(&address, &ipv4, sizeof(ipv4));
	return address;
}

/* Many others push out who was quiet longest, but neither who is connected nor who came
 * back in between, nor a user who is known. */
static void tables_are_bounded(void **state)
{
	(void)state;
	const struct conf conf = { .auth_max_failures = 1, .auth_failure_window_s = 600 };
	const struct conf_ceiling one = { 1, false };
	struct sockaddr_storage quiet = address_of("192.0.2.1"),
				open = address_of("192.0.2.2"),
				busy = address_of("192.0.2.3");
	struct ceilings *ceilings = ceilings_new();
	assert_true(
		ceilings_take_message(ceilings, &one, (struct sockaddr *)&quiet, 1000));
	assert_null(ceilings_enter(ceilings, &two_of_four, (struct sockaddr *)&open));
	assert_true(
		ceilings_take_message(ceilings, &one, (struct sockaddr *)&open, 1000));
	assert_true(
		ceilings_take_message(ceilings, &one, (struct sockaddr *)&busy, 1000));
	ceilings_authenticated(
		ceilings, &conf, (struct sockaddr *)&open, "dev", true, 1000);
	for (uint32_t n = 0; n < 200000; n++) {
		struct sockaddr_storage other = nth_address(n);
		char user[16];
		g_snprintf(user, sizeof(user), "user%u", n);
		ceilings_authenticated(
			ceilings, &conf, (struct sockaddr *)&other, user, false, 1000);
		if (n % 30000 == 0)
			assert_false(ceilings_take_message(
				ceilings, &one, (struct sockaddr *)&busy, 1000));
	}
	assert_false(
		ceilings_take_message(ceilings, &one, (struct sockaddr *)&open, 1000));
	assert_true(ceilings_take_message(
		ceilings, &one, (struct sockaddr *)&quiet, 1000)); /* forgotten */
	ceilings_authenticated(
		ceilings, &conf, (struct sockaddr *)&quiet, "dev", false, 1000);
	assert_true(ceilings_may_authenticate(
		ceilings, &conf, (struct sockaddr *)&open, "dev", 1000));
	ceilings_leave(ceilings, (struct sockaddr *)&open);
	ceilings_free(&ceilings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections),
		cmocka_unit_test(rates),
		cmocka_unit_test(rates_of_users),
		cmocka_unit_test(no_ceiling),
		cmocka_unit_test(authentication),
		cmocka_unit_test(tables_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
