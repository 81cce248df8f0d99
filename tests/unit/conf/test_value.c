/* Numbers, sizes, durations, words: what they mean, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/value.h"
#include <math.h>
#include <string.h>

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		enum conf_unit unit;
		uint64_t value;
	} cases[] = {
		{ "0", CONF_UNIT_NONE, 0 },
		{ "587", CONF_UNIT_NONE, 587 },
		{ "0", CONF_UNIT_OCTETS, 0 },
		{ "0", CONF_UNIT_SECONDS, 0 },
		{ "0s", CONF_UNIT_SECONDS, 0 },
		{ "1B", CONF_UNIT_OCTETS, 1 },
		{ "64KiB", CONF_UNIT_OCTETS, 65536 },
		{ "40MB", CONF_UNIT_OCTETS, 40000000 },
		{ "150 MiB", CONF_UNIT_OCTETS, 157286400 },
		{ "150mib", CONF_UNIT_OCTETS, 157286400 },
		{ "2GB", CONF_UNIT_OCTETS, 2000000000 },
		{ "3GiB", CONF_UNIT_OCTETS, 3221225472 },
		{ "5KB", CONF_UNIT_OCTETS, 5000 },
		{ "36h", CONF_UNIT_SECONDS, 129600 },
		{ "7d", CONF_UNIT_SECONDS, 604800 },
		{ "1h30m", CONF_UNIT_SECONDS, 5400 },
		{ "1d2h3m4s", CONF_UNIT_SECONDS, 93784 },
		{ "90s", CONF_UNIT_SECONDS, 90 },
		{ "500ms", CONF_UNIT_MILLISECONDS, 500 },
		{ "5s", CONF_UNIT_MILLISECONDS, 5000 },
		{ "2m", CONF_UNIT_MILLISECONDS, 120000 },
		{ "1s500ms", CONF_UNIT_MILLISECONDS, 1500 },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t value = 1;
		g_autoptr(GError) error = NULL;
		if (!conf_value_number(cases[i].text, cases[i].unit, 0, UINT64_MAX - 1,
			    &value, &error))
			fail_msg("%s: %s", cases[i].text, error->message);
		assert_int_equal(value, cases[i].value);
	}
}

static void test_refused_numbers(void **state)
{
	static const struct {
		const char *text;
		enum conf_unit unit;
		const char *part; /* of the message */
	} cases[] = {
		{ "", CONF_UNIT_NONE, "\"\" is not a number from 5 to 100000" },
		{ "587x", CONF_UNIT_NONE, "\"587x\" is not a number from 5 to 100000" },
		{ "5 7", CONF_UNIT_NONE, "is not a number" },
		{ "+7", CONF_UNIT_NONE, "is not a number" },
		{ "-7", CONF_UNIT_NONE, "is not a number" },
		{ "0x10", CONF_UNIT_NONE, "is not a number" },
		{ "010", CONF_UNIT_NONE, "is not a number" },
		{ "1e3", CONF_UNIT_NONE, "is not a number" },
		{ "7.5", CONF_UNIT_NONE, "is not a number" },
		{ "4", CONF_UNIT_NONE, "out of range: it must be from 5 to 100000" },
		{ "100001", CONF_UNIT_NONE, "out of range" },
		{ "4294967301", CONF_UNIT_NONE, "out of range" },
		{ "18446744073709551621", CONF_UNIT_NONE, "out of range" },
		{ "99999999999999999999999999", CONF_UNIT_NONE, "out of range" },
		{ "10", CONF_UNIT_OCTETS, "needs a unit" },
		{ "10K", CONF_UNIT_OCTETS, "is not a size" },
		{ "10 ", CONF_UNIT_OCTETS, "is not a size" },
		{ "1.5MB", CONF_UNIT_OCTETS, "is not a size" },
		{ "KB", CONF_UNIT_OCTETS, "is not a size" },
		{ "1KB2B", CONF_UNIT_OCTETS, "is not a size" },
		{ "17179869184GiB", CONF_UNIT_OCTETS, "from 5B to 100KB" },
		{ "36", CONF_UNIT_SECONDS, "needs a unit" },
		{ "36x", CONF_UNIT_SECONDS,
			"\"36x\" is not a duration: write whole numbers" },
		{ "h", CONF_UNIT_SECONDS, "is not a duration" },
		{ "1m1h", CONF_UNIT_SECONDS, "is not a duration" },
		{ "1h1h", CONF_UNIT_SECONDS, "is not a duration" },
		{ "1h 30m", CONF_UNIT_SECONDS, "is not a duration" },
		{ "1h30", CONF_UNIT_SECONDS, "is not a duration" },
		{ "-1h", CONF_UNIT_SECONDS, "is not a duration" },
		{ "500ms", CONF_UNIT_SECONDS, "is not a duration" },
		{ "2d", CONF_UNIT_SECONDS, "from 5s to 1d3h46m40s" },
		{ "99999999999999999999s", CONF_UNIT_SECONDS, "out of range" },
		{ "18446744073709551615s18446744073709551615s", CONF_UNIT_SECONDS,
			"is not a" },
		{ "213503982334602d", CONF_UNIT_SECONDS, "out of range" },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t value;
		g_autoptr(GError) error = NULL;
		if (conf_value_number(
			    cases[i].text, cases[i].unit, 5, 100000, &value, &error))
			fail_msg("\"%s\" was taken", cases[i].text);
		if (strstr(error->message, cases[i].part) == NULL)
			fail_msg("\"%s\": %s", cases[i].text, error->message);
	}
}

static void test_rates(void **state)
{
	static const char *const refused[] = { "", ".", ".5", "5.", "-1", "1e3", "0x1p3",
		"nan", "inf", "1,5", "1.2.3", "101", "9999999999999", "5 " };
	double value = -1;
	(void)state;
	assert_true(conf_value_rate("14", 100, &value, NULL));
	assert_true(value > 13.999 && value < 14.001);
	assert_true(conf_value_rate("0.5", 100, &value, NULL));
	assert_true(value > 0.499 && value < 0.501);
	assert_true(conf_value_rate("0", 100, &value, NULL));
	assert_true(value < 0.001);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
		if (conf_value_rate(refused[i], 100, &value, NULL))
			fail_msg("\"%s\" was taken", refused[i]);
}

static void test_paces(void **state)
{
	static const struct {
		const char *text;
		bool is_auto;
		double value;
	} cases[] = {
		{ "14", false, 14 },
		{ "0", false, 0 },
		{ "auto", true, 0 },
		{ "AUTO", true, 0 },
		{ "auto 14", true, 14 },
		{ "auto  0.5", true, 0.5 },
	};
	static const char *const refused[] = { "", "aut", "automatic", "auto14",
		"auto fast", "auto -1", "auto 101", "14 auto", "101", "auto 1 2" };
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		double value = -1;
		bool is_auto = !cases[i].is_auto;
		if (!conf_value_pace(cases[i].text, 100, &value, &is_auto, NULL) ||
			fabs(value - cases[i].value) > 1e-9 ||
			is_auto != cases[i].is_auto)
			fail_msg("%s", cases[i].text);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		double value = -1;
		bool is_auto = false;
		g_autoptr(GError) error = NULL;
		if (conf_value_pace(refused[i], 100, &value, &is_auto, &error))
			fail_msg("%s is taken", refused[i]);
		assert_non_null(strstr(error->message, "nor auto"));
		assert_true(value < 0 && !is_auto);
	}
}

static void test_bools(void **state)
{
	static const char *const yes[] = { "true", "yes", "on", "True", "ON" };
	static const char *const no[] = { "false", "no", "off", "False", "NO" };
	static const char *const neither[] = { "", "maybe", "1", "0", "y", "truee" };
	bool value;
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
		value = false;
		assert_true(conf_value_bool(yes[i], &value, NULL));
		assert_true(value);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(no); i++) {
		value = true;
		assert_true(conf_value_bool(no[i], &value, NULL));
		assert_false(value);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(neither); i++)
		assert_false(conf_value_bool(neither[i], &value, NULL));
}

static void test_print(void **state)
{
	static const struct {
		uint64_t value;
		enum conf_unit unit;
		const char *text;
	} cases[] = {
		{ 0, CONF_UNIT_OCTETS, "0" },
		{ 157286400, CONF_UNIT_OCTETS, "150MiB" },
		{ 40000000, CONF_UNIT_OCTETS, "40MB" },
		{ 1001, CONF_UNIT_OCTETS, "1001B" },
		{ 5400, CONF_UNIT_SECONDS, "1h30m" },
		{ 604800, CONF_UNIT_SECONDS, "7d" },
		{ 100, CONF_UNIT_MILLISECONDS, "100ms" },
		{ 587, CONF_UNIT_NONE, "587" },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = conf_value_print(cases[i].value, cases[i].unit);
		assert_string_equal(text, cases[i].text);
	}
	g_autofree char *escaped = conf_value_quote("a\tb\x1b[1m");
	assert_string_equal(escaped, "\"a\\x09b\\x1b[1m\"");
	g_autofree char *hundred = g_strnfill(100, 'x');
	g_autofree char *shortened = conf_value_quote(hundred);
	assert_int_equal(strlen(shortened), 60 + strlen("\"...\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_refused_numbers),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_paces),
		cmocka_unit_test(test_bools),
		cmocka_unit_test(test_print),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
