/* pace: turns by a clock that the test holds, and pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/pace.h"

#define S ((int64_t)G_USEC_PER_SEC)

static void test_unpaced(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(pace_reserve(&pace, 50, 100 * S, 0), 0);
	pace_deinit(&pace);
}

/* In no second more recipients than the rate and the small burst allow. */
static void test_steady_rate(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 10);
	int64_t now = 1000 * S, first_second = 0, fifth_second = 0;
	for (int i = 0; i < 100; i++) {
		int64_t wait = pace_reserve(&pace, 1, now, 3600 * S);
		assert_true(wait >= 0);
		first_second += wait < S;
		fifth_second += wait >= 4 * S && wait < 5 * S;
	}
	assert_in_range(first_second, 10, 13);
	assert_in_range(fifth_second, 9, 11);
	pace_deinit(&pace);
}

static void test_silence_earns_no_more_than_the_burst(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 10);
	assert_int_equal(pace_reserve(&pace, 1, 1000 * S, S), 0);
	int at_once = 0;
	for (int i = 0; i < 100; i++)
		at_once += pace_reserve(&pace, 1, 2000 * S, 3600 * S) == 0;
	assert_in_range(at_once, 1, 4);
	pace_deinit(&pace);
}

static void test_many_recipients_delay_the_next(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 14);
	assert_int_equal(pace_reserve(&pace, 50, 1000 * S, S), 0);
	int64_t wait = pace_reserve(&pace, 1, 1000 * S, 10 * S);
	assert_in_range(wait, 3 * S, 4 * S);
	pace_deinit(&pace);
}

static void test_beyond_the_limit_takes_nothing(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 1);
	assert_int_equal(pace_reserve(&pace, 10, 1000 * S, S), 0);
	for (int i = 0; i < 10; i++)
		assert_true(pace_reserve(&pace, 1, 1000 * S, S) < 0);
	assert_in_range(pace_reserve(&pace, 1, 1000 * S, 20 * S), 9 * S, 10 * S);
	pace_deinit(&pace);
}

static void test_pauses_grow_and_end(void **unused)
{
	(void)unused;
	static const int64_t want_s[] = { 1, 2, 4, 8, 16, 32, 32 };
	struct pace pace;
	pace_init(&pace, 0);
	int64_t now = 1000 * S;
	for (size_t i = 0; i < G_N_ELEMENTS(want_s); i++) {
		pace_throttled(&pace, now);
		pace_throttled(&pace, now + 1); /* another connection heard of it too */
		assert_int_equal(pace_reserve(&pace, 1, now, 60 * S), want_s[i] * S);
		now += want_s[i] * S;
		assert_int_equal(pace_reserve(&pace, 1, now, 0), 0);
	}
	pace.pause_until_us = 0;
	pace_succeeded(&pace);
	pace_throttled(&pace, now);
	assert_int_equal(pace_reserve(&pace, 1, now, 60 * S), S);
	pace_deinit(&pace);
}

static void test_waits_for_its_turn(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 20);
	int64_t begin = g_get_monotonic_time();
	for (int i = 0; i < 10; i++)
		assert_true(pace_wait(&pace, 1, 5 * S));
	int64_t took = g_get_monotonic_time() - begin;
	assert_true(took >= S / 8); /* 10 at 20 a second, less the burst of a quarter */
	assert_false(pace_wait(&pace, 1, 0));
	pace_deinit(&pace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpaced),
		cmocka_unit_test(test_steady_rate),
		cmocka_unit_test(test_silence_earns_no_more_than_the_burst),
		cmocka_unit_test(test_many_recipients_delay_the_next),
		cmocka_unit_test(test_beyond_the_limit_takes_nothing),
		cmocka_unit_test(test_pauses_grow_and_end),
		cmocka_unit_test(test_waits_for_its_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
