/* How much a store is asked while it does badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/budget.h"

static unsigned retries_left(struct s3_budget budget)
{
	unsigned n = 0;
	while (s3_budget_pay(&budget))
		n++;
	return n;
}

static void a_store_that_is_down_is_not_asked_a_multiple(void **state)
{
	(void)state;
	struct s3_budget budget;
	s3_budget_init(&budget, 16);
	assert_int_equal(retries_left(budget), 100);
	while (s3_budget_pay(&budget))
		;
	assert_false(s3_budget_pay(&budget));
	/* Only what succeeds pays for more. */
	for (unsigned i = 0; i < 4; i++)
		s3_budget_succeeded(&budget, false);
	assert_false(s3_budget_pay(&budget));
	s3_budget_succeeded(&budget, false);
	assert_int_equal(retries_left(budget), 1);
	s3_budget_succeeded(&budget, true);
	assert_int_equal(retries_left(budget), 2);
	for (unsigned i = 0; i < 10000; i++)
		s3_budget_succeeded(&budget, true);
	assert_int_equal(retries_left(budget), 100);
}

/* Requests that may begin side by side at now_ms. */
static unsigned room(const struct s3_budget *budget, int64_t now_ms)
{
	unsigned n = 0;
	while (s3_budget_may_begin(budget, n, now_ms))
		n++;
	return n;
}

static void slow_down_slows_all(void **state)
{
	(void)state;
	struct s3_budget budget;
	s3_budget_init(&budget, 16);
	assert_int_equal(room(&budget, 0), 16);
	s3_budget_throttled(&budget, 1000, 0, 1);
	assert_int_equal(room(&budget, 1249), 0);
	assert_int_equal(room(&budget, 1250), 8);
	/* Answers to what had begun before are no news. */
	s3_budget_throttled(&budget, 1100, 0, 1);
	s3_budget_throttled(&budget, 1249, 0, 1);
	assert_int_equal(room(&budget, 1250), 8);
	static const struct {
		int64_t at_ms, until_ms;
		unsigned room;
	} steps[] = {
		{ 2000, 2500, 4 },
		{ 3000, 4000, 2 },
		{ 5000, 7000, 1 },
		{ 8000, 12000, 1 },
		{ 20000, 24000, 1 },
		{ 40000, 44000, 1 },
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		s3_budget_throttled(&budget, steps[i].at_ms, 0, 1);
		assert_int_equal(room(&budget, steps[i].until_ms - 1), 0);
		assert_int_equal(room(&budget, steps[i].until_ms), steps[i].room);
	}
}

static void nothing_is_repeated_while_it_keeps_asking(void **state)
{
	(void)state;
	struct s3_budget budget;
	s3_budget_init(&budget, 16);
	for (int64_t at_ms = 0; at_ms < 40000; at_ms += 10000) {
		s3_budget_throttled(&budget, at_ms, 0, 1);
		assert_true(s3_budget_pay(&budget));
	}
	s3_budget_throttled(&budget, 40000, 0, 1);
	assert_false(s3_budget_pay(&budget));
	s3_budget_succeeded(&budget, false);
	assert_true(s3_budget_pay(&budget));
}

static void success_makes_room_again(void **state)
{
	(void)state;
	struct s3_budget budget;
	s3_budget_init(&budget, 4);
	for (int64_t at_ms = 0; at_ms < 100000; at_ms += 10000)
		s3_budget_throttled(&budget, at_ms, 0, 0);
	assert_int_equal(room(&budget, 100000), 1);
	s3_budget_succeeded(&budget, false);
	assert_int_equal(room(&budget, 100000), 2);
	for (unsigned i = 0; i < 20; i++)
		s3_budget_succeeded(&budget, false);
	assert_int_equal(room(&budget, 100000), 4);
	/* The first pause after a success is a short one. */
	s3_budget_throttled(&budget, 100000, 0, 0);
	assert_int_equal(room(&budget, 100125), 2);
}

static void the_store_may_name_the_wait(void **state)
{
	(void)state;
	struct s3_budget budget;
	s3_budget_init(&budget, 2);
	s3_budget_throttled(&budget, 0, 5000, 0);
	assert_int_equal(room(&budget, 4999), 0);
	assert_int_equal(room(&budget, 5000), 1);
	s3_budget_throttled(&budget, 10000, UINT32_MAX, 0);
	assert_int_equal(room(&budget, 40000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_that_is_down_is_not_asked_a_multiple),
		cmocka_unit_test(slow_down_slows_all),
		cmocka_unit_test(nothing_is_repeated_while_it_keeps_asking),
		cmocka_unit_test(success_makes_room_again),
		cmocka_unit_test(the_store_may_name_the_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
