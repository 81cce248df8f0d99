/* visitors: who dawdles is cut off, who takes what it asked for is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/visitors.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND_US INT64_C(1000000)

struct pair {
	int server, client;
};

static struct pair connected(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	struct pair pair;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	pair.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(pair.client, (struct sockaddr *)&address, size), 0);
	pair.server = accept(listener, NULL, NULL);
	assert_true(pair.server >= 0);
	close(listener);
	return pair;
}

static bool is_open(int client)
{
	char octet;
	return recv(client, &octet, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

/* The octets of an answer, taken by its client. */
static void exchange(const struct pair *pair, size_t bytes)
{
	char buffer[4096] = { 0 };
	while (bytes) {
		size_t n = MIN(bytes, sizeof(buffer));
		assert_int_equal(send(pair->server, buffer, n, MSG_NOSIGNAL), n);
		assert_int_equal(recv(pair->client, buffer, n, MSG_WAITALL), n);
		bytes -= n;
	}
}

static void test_header_has_its_time(void **state)
{
	(void)state;
	struct visitors *visitors = visitors_new(3600000, NULL, NULL, NULL);
	struct pair pair = connected();
	struct visitor *visitor = visitors_enter(visitors, pair.server);
	int64_t now_us = g_get_monotonic_time();
	assert_int_equal(
		visitors_look(visitors, now_us + (VISITORS_HEADER_S - 1) * SECOND_US), 0);
	assert_true(is_open(pair.client));
	assert_int_equal(
		visitors_look(visitors, now_us + (VISITORS_HEADER_S + 1) * SECOND_US), 1);
	assert_false(is_open(pair.client));
	assert_int_equal(
		visitors_look(visitors, now_us + (VISITORS_HEADER_S + 2) * SECOND_US), 0);
	visitors_leave(visitors, visitor);
	visitors_free(&visitors);
	close(pair.server);
	close(pair.client);
}

static void test_answer_has_its_pace(void **state)
{
	(void)state;
	struct visitors *visitors = visitors_new(3600000, NULL, NULL, NULL);
	struct pair quick = connected(), slow = connected();
	struct visitor *of_quick = visitors_enter(visitors, quick.server);
	struct visitor *of_slow = visitors_enter(visitors, slow.server);
	visitors_asked(visitors, of_quick);
	visitors_asked(visitors, of_slow);
	int64_t now_us = g_get_monotonic_time();
	for (unsigned window = 1; window <= 3; window++) {
		exchange(&quick, 40 * VISITORS_BYTES_S);
		int64_t then_us = now_us + window * (VISITORS_WINDOW_S + 1) * SECOND_US;
		assert_int_equal(visitors_look(visitors, then_us), window == 1);
	}
	assert_true(is_open(quick.client));
	assert_false(is_open(slow.client));
	assert_true(visitors_answered(visitors, of_slow));
	assert_false(visitors_answered(visitors, of_quick));
	visitors_leave(visitors, of_quick);
	visitors_leave(visitors, of_slow);
	visitors_free(&visitors);
	close(quick.server);
	close(quick.client);
	close(slow.server);
	close(slow.client);
}

struct ticks {
	GMutex lock;
	GCond changed;
	unsigned n;
};

static void count_tick(void *context)
{
	struct ticks *ticks = context;
	g_mutex_lock(&ticks->lock);
	ticks->n++;
	g_cond_signal(&ticks->changed);
	g_mutex_unlock(&ticks->lock);
}

static void test_thread_ticks_and_ends(void **state)
{
	(void)state;
	struct ticks ticks = { .n = 0 };
	g_mutex_init(&ticks.lock);
	g_cond_init(&ticks.changed);
	struct visitors *visitors = visitors_new(1, count_tick, &ticks, NULL);
	g_mutex_lock(&ticks.lock);
	while (ticks.n < 3)
		g_cond_wait(&ticks.changed, &ticks.lock);
	g_mutex_unlock(&ticks.lock);
	visitors_free(&visitors);
	assert_null(visitors);
	g_mutex_clear(&ticks.lock);
	g_cond_clear(&ticks.changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_has_its_time),
		cmocka_unit_test(test_answer_has_its_pace),
		cmocka_unit_test(test_thread_ticks_and_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
