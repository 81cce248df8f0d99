/* How much of a flood is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/telling.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_is_told_by_its_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
