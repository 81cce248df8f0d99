/* http: which part of a file a request gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/http.h"

#define MODIFIED "Fri, 21 Nov 2025 00:00:00 GMT"
#define BEFORE   "Thu, 20 Nov 2025 23:59:59 GMT"
#define AFTER    "Fri, 21 Nov 2025 00:00:01 GMT"

static const struct http_entity entity = { 1000, "\"e\"", MODIFIED, 1763683200 };

static const struct range_case {
	const char *range;
	unsigned status;
	uint64_t offset, length;
} ranges[] = {
	{ NULL, 200, 0, 1000 },
	{ "bytes=0-0", 206, 0, 1 },
	{ "bytes=10-19", 206, 10, 10 },
	{ "BYTES=10-", 206, 10, 990 },
	{ "bytes=-10", 206, 990, 10 },
	{ "bytes=-5000", 206, 0, 1000 },
	{ "bytes=999-5000", 206, 999, 1 },
	{ "bytes=1000-", 416, 0, 0 },
	{ "bytes=1000-2000", 416, 0, 0 },
	{ "bytes=-0", 416, 0, 0 },
	{ "bytes=0-1,3-4", 200, 0, 1000 },
	{ "bytes=5-4", 200, 0, 1000 },
	{ "bytes=-", 200, 0, 1000 },
	{ "bytes=", 200, 0, 1000 },
	{ "bytes=a-b", 200, 0, 1000 },
	{ "bytes= 0-1", 200, 0, 1000 },
	{ "bytes=--1", 200, 0, 1000 },
	{ "bytes=0-1x", 200, 0, 1000 },
	{ "lines=0-1", 200, 0, 1000 },
	/* RFC 9110, section 14.1.2: no number is too large */
	{ "bytes=99999999999999999999999-", 416, 0, 0 },
	{ "bytes=18446744073709551616-18446744073709551617", 416, 0, 0 },
	{ "bytes=18446744073709551615-", 416, 0, 0 },
	{ "bytes=999-99999999999999999999999", 206, 999, 1 },
	{ "bytes=10-18446744073709551616", 206, 10, 990 },
	{ "bytes=-18446744073709551617", 206, 0, 1000 },
	{ "bytes=00000000000000000000000010-00000000000000000000000019", 206, 10, 10 },
	{ "bytes=99999999999999999999999-1", 200, 0, 1000 },
	{ "bytes=-99999999999999999999999x", 200, 0, 1000 },
};

static void test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++) {
		const struct range_case *c = &ranges[i];
		struct http_conditions conditions = { .range = c->range };
		uint64_t offset, length;
		unsigned status = http_evaluate(&conditions, &entity, &offset, &length);
		if (status != c->status)
			print_error("case: %s\n", c->range);
		assert_int_equal(status, c->status);
		if (status != 416) {
			assert_int_equal(offset, c->offset);
			assert_int_equal(length, c->length);
		}
	}
}

static void test_empty_file(void **state)
{
	(void)state;
	const struct http_entity empty = { 0, "\"e\"", MODIFIED, 0 };
	const char *const asked[] = { "bytes=0-", "bytes=-1" };
	uint64_t offset, length;
	for (size_t i = 0; i < G_N_ELEMENTS(asked); i++) {
		struct http_conditions conditions = { .range = asked[i] };
		assert_int_equal(
			http_evaluate(&conditions, &empty, &offset, &length), 416);
	}
}

static const struct condition_case {
	struct http_conditions conditions;
	unsigned status;
} conditions[] = {
	{ { .if_match = "\"e\"" }, 200 },
	{ { .if_match = "*" }, 200 },
	{ { .if_match = "\"x\", \"e\"" }, 200 },
	{ { .if_match = "W/\"e\"" }, 412 },
	{ { .if_match = "\"x\"" }, 412 },
	{ { .if_match = "" }, 412 },
	{ { .if_match = "e" }, 412 },
	{ { .if_match = "\"e\"", .if_unmodified_since = BEFORE }, 200 },
	{ { .if_unmodified_since = BEFORE }, 412 },
	{ { .if_unmodified_since = MODIFIED }, 200 },
	{ { .if_none_match = "\"e\"" }, 304 },
	{ { .if_none_match = "W/\"e\"" }, 304 },
	{ { .if_none_match = ",, \"x\" ,\t\"e\"" }, 304 },
	{ { .if_none_match = "*" }, 304 },
	{ { .if_none_match = "\"x\"" }, 200 },
	{ { .if_none_match = "\"x" }, 200 },
	{ { .if_none_match = "\"x\"", .if_modified_since = AFTER }, 200 },
	{ { .if_modified_since = MODIFIED }, 304 },
	{ { .if_modified_since = AFTER }, 304 },
	{ { .if_modified_since = BEFORE }, 200 },
	{ { .if_modified_since = "yesterday" }, 200 },
	{ { .if_modified_since = "Fri, 99 Nov 2025 00:00:00 GMT" }, 200 },
	{ { .if_modified_since = "Fri, 21 Foo 2025 00:00:00 GMT" }, 200 },
	{ { .range = "bytes=0-1", .if_range = "\"e\"" }, 206 },
	{ { .range = "bytes=0-1", .if_range = "W/\"e\"" }, 200 },
	{ { .range = "bytes=0-1", .if_range = MODIFIED }, 206 },
	{ { .range = "bytes=0-1", .if_range = AFTER }, 200 },
	{ { .range = "bytes=5000-", .if_none_match = "\"e\"" }, 304 },
	{ { .range = "bytes=5000-", .if_match = "\"x\"" }, 412 },
};

static void test_conditions(void **state)
{
	(void)state;
	uint64_t offset, length;
	for (size_t i = 0; i < G_N_ELEMENTS(conditions); i++) {
		unsigned status = http_evaluate(
			&conditions[i].conditions, &entity, &offset, &length);
		if (status != conditions[i].status)
			print_error("case: %zu\n", i);
		assert_int_equal(status, conditions[i].status);
	}
}

static void test_dates(void **state)
{
	(void)state;
	g_autofree char *date = http_date(1763683200);
	assert_string_equal(date, MODIFIED);
	g_autofree char *impossible = http_date(INT64_MAX);
	assert_string_equal(impossible, "Thu, 01 Jan 1970 00:00:00 GMT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_empty_file),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_dates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
