/* quota: 24 hours that slide, kept as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/quota.h"
#include <string.h>

#define HOUR ((int64_t)3600)
#define DAY  (24 * HOUR)
#define T0   ((int64_t)1800000000)

static void test_forgets_after_a_day(void **unused)
{
	(void)unused;
	struct quota quota = { 0 };
	assert_int_equal(quota_sum(&quota, T0), 0);
	quota_add(&quota, 50, T0);
	quota_add(&quota, 7, T0 + 12 * HOUR);
	assert_int_equal(quota_sum(&quota, T0 + DAY - 1), 57);
	assert_int_equal(quota_sum(&quota, T0 + DAY + 2 * QUOTA_SLOT_S), 7);
	assert_int_equal(quota_sum(&quota, T0 + 40 * HOUR), 0);
	quota_add(&quota, 1, T0 + 400 * DAY);
	assert_int_equal(quota_sum(&quota, T0 + 400 * DAY), 1);
}

/* Beside a plain list of what was sent when: never less than the last 24 hours, never
 * more than 24 hours and a quarter. */
static void test_the_window_slides(void **unused)
{
	(void)unused;
	enum { N = 3000 };
	g_autofree int64_t *at = g_new(int64_t, N);
	g_autofree uint64_t *n = g_new(uint64_t, N);
	g_autoptr(GRand) random = g_rand_new_with_seed(3);
	struct quota quota = { 0 };
	int64_t now = T0;
	for (int i = 0; i < N; i++) {
		now += g_rand_int_range(random, 0, i % 500 == 0 ? 90000 : 200);
		at[i] = now;
		n[i] = (uint64_t)g_rand_int_range(random, 1, 51);
		quota_add(&quota, n[i], now);
		uint64_t least = 0, most = 0;
		for (int j = 0; j <= i; j++) {
			least += at[j] > now - DAY ? n[j] : 0;
			most += at[j] > now - DAY - QUOTA_SLOT_S ? n[j] : 0;
		}
		uint64_t sum = quota_sum(&quota, now);
		assert_true(sum >= least && sum <= most);
	}
}

static void test_a_clock_that_jumps(void **unused)
{
	(void)unused;
	struct quota quota = { 0 };
	quota_add(&quota, 10, T0);
	quota_add(&quota, 10, T0 - 2 * HOUR);
	assert_int_equal(quota_sum(&quota, T0 - 3 * HOUR), 20);
	assert_int_equal(quota_sum(&quota, T0 + DAY - HOUR), 20);
	/* It was years ahead, and is put right. */
	quota_add(&quota, 5, T0 + 3000 * DAY);
	assert_int_equal(quota_sum(&quota, T0), 5);
	assert_int_equal(quota_sum(&quota, T0 + DAY - HOUR), 5);
	assert_int_equal(quota_sum(&quota, T0 + 2 * DAY), 0);
	/* Before 1970, and counts that overflow. */
	quota = (struct quota){ 0 };
	quota_add(&quota, SIZE_MAX / 2, -5);
	quota_add(&quota, UINT32_MAX, -5);
	assert_int_equal(quota_sum(&quota, -5), UINT32_MAX);
}

static void test_is_kept_as_text(void **unused)
{
	(void)unused;
	struct quota quota = { 0 }, again = { 0 };
	g_autofree char *empty = quota_print(&quota);
	assert_true(quota_parse(&again, empty));
	for (int i = 0; i < 300; i++)
		quota_add(&quota, 4000000000, T0 + i * 600);
	g_autofree char *text = quota_print(&quota);
	assert_true(strlen(text) <= QUOTA_TEXT_BYTES_MAX);
	assert_true(quota_parse(&again, text));
	for (int64_t hour = 0; hour < 60; hour++)
		assert_int_equal(quota_sum(&quota, T0 + 300 * 600 + hour * HOUR),
			quota_sum(&again, T0 + 300 * 600 + hour * HOUR));
}

static void test_other_text_is_refused(void **unused)
{
	(void)unused;
	static const char *const refused[] = { "", " ", "x", "-1", "1 x", "1 -1", "5  1",
		"5 4294967296", "99999999999 1", "0 1 2", "1 2 3 4", "5 1 ",
		"18446744073709551616 1" };
	struct quota quota = { 0 };
	quota_add(&quota, 3, T0);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		if (quota_parse(&quota, refused[i]))
			fail_msg("\"%s\" is taken", refused[i]);
		assert_int_equal(quota_sum(&quota, T0), 3);
	}
	g_autoptr(GString) longer = g_string_new("2000000");
	for (int i = 0; i < QUOTA_SLOTS; i++)
		g_string_append(longer, " 1");
	assert_true(quota_parse(&quota, longer->str));
	g_string_append(longer, " 1");
	assert_false(quota_parse(&quota, longer->str));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forgets_after_a_day),
		cmocka_unit_test(test_the_window_slides),
		cmocka_unit_test(test_a_clock_that_jumps),
		cmocka_unit_test(test_is_kept_as_text),
		cmocka_unit_test(test_other_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
