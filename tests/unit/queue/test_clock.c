/* clock: what is a leap, what undoes it, and whom it makes older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/queue/clock.h"
#include <glib.h>

#define NOW_MS (1700000000 * INT64_C(1000))
#define DAY_MS (86400 * INT64_C(1000))

static int64_t watch(struct clock *clock, int64_t real_ms, int64_t boot_ms)
{
	return clock_watch(clock, real_ms * 1000, boot_ms * 1000) / 1000;
}

static void what_is_a_leap(void **state)
{
	(void)state;
	static const struct {
		int64_t real_ms, boot_ms, want_ms; /* passed, and what is said of it */
	} cases[] = {
		{ 1000, 1000, 0 },
		{ 5 * DAY_MS, 5 * DAY_MS, 0 }, /* it slept */
		{ 599000, 1000, 0 },
		{ 601000, 1000, 600000 },
		{ DAY_MS, 0, DAY_MS },
		{ -9000, 0, 0 },
		{ -9000, 1000, -10000 },
		{ -DAY_MS, 0, -DAY_MS },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct clock clock;
		clock_init(&clock, NOW_MS * 1000, 5000000);
		assert_int_equal(
			watch(&clock, NOW_MS + cases[i].real_ms, 5000 + cases[i].boot_ms),
			cases[i].want_ms);
		/* Once */
		assert_int_equal(
			watch(&clock, NOW_MS + cases[i].real_ms, 5000 + cases[i].boot_ms),
			0);
	}
}

static void who_came_before_is_not_older(void **state)
{
	(void)state;
	struct clock clock;
	clock_init(&clock, NOW_MS * 1000, 0);
	assert_int_equal(clock_leapt_ms(&clock, 0), 0);
	assert_int_equal(watch(&clock, NOW_MS + DAY_MS, 0), DAY_MS);
	assert_int_equal(watch(&clock, NOW_MS + 3 * DAY_MS, DAY_MS), DAY_MS);
	assert_int_equal(clock_leapt_ms(&clock, NOW_MS - 1), 2 * DAY_MS);
	assert_int_equal(clock_leapt_ms(&clock, NOW_MS), 2 * DAY_MS);
	assert_int_equal(clock_leapt_ms(&clock, NOW_MS + DAY_MS), DAY_MS);
	assert_int_equal(clock_leapt_ms(&clock, NOW_MS + 3 * DAY_MS), 0);
	int64_t now_ms = NOW_MS + 3 * DAY_MS;
	assert_int_equal(clock_leapt_within_ms(&clock, now_ms, DAY_MS), DAY_MS);
	assert_int_equal(clock_leapt_within_ms(&clock, now_ms, 9 * DAY_MS), 2 * DAY_MS);
	assert_int_equal(
		clock_leapt_within_ms(&clock, now_ms + 50 * DAY_MS, 9 * DAY_MS), 0);
	/* The clock is set right again. */
	assert_int_equal(watch(&clock, NOW_MS + DAY_MS, DAY_MS), -2 * DAY_MS);
	assert_int_equal(clock_leapt_ms(&clock, 0), 0);
	assert_int_equal(clock.n, 0);
}

static void small_steps_back_undo_nothing(void **state)
{
	(void)state;
	struct clock clock;
	clock_init(&clock, NOW_MS * 1000, 0);
	watch(&clock, NOW_MS + DAY_MS, 0);
	watch(&clock, NOW_MS + DAY_MS - 60000, 0);
	assert_int_equal(clock_leapt_ms(&clock, NOW_MS), DAY_MS);
}

static void it_is_kept(void **state)
{
	(void)state;
	struct clock clock, again;
	clock_init(&clock, NOW_MS * 1000, 0);
	for (int64_t i = 1; i <= 10; i++)
		watch(&clock, NOW_MS + i * DAY_MS, 0);
	assert_int_equal(clock.n, CLOCK_LEAPS_MAX);
	g_autofree char *text = clock_print(&clock);
	clock_init(&again, 0, 0);
	clock_recall(&again, text);
	assert_int_equal(again.n, CLOCK_LEAPS_MAX);
	assert_memory_equal(again.leaps, clock.leaps, sizeof clock.leaps);
	static const char *const broken[] = { NULL, "", " ", "x", "5", "5+", "5+x",
		"-5+1", "5+-1", "5+6" };
	for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
		clock_init(&again, 0, 0);
		clock_recall(&again, broken[i]);
		assert_int_equal(again.n, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_leap),
		cmocka_unit_test(who_came_before_is_not_older),
		cmocka_unit_test(small_steps_back_undo_nothing),
		cmocka_unit_test(it_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
