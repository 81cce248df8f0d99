/* metrics: what is counted is what is printed, in a form that scrapers read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/metrics.h"
#include "tests/unit/metric.h"
#include <stdbool.h>
#include <string.h>

static void assert_line(const GString *text, const char *line)
{
	g_autofree char *whole = g_strdup_printf("\n%s\n", line);
	if (!strstr(text->str, whole))
		print_error("missing: %s\n%s", line, text->str);
	assert_non_null(strstr(text->str, whole));
}

static void test_counts(void **state)
{
	(void)state;
	struct metrics *metrics = metrics_new();
	assert_true(metric_value(metrics, "stowage_sessions{listener=\"mx\"}") == 0);
	metrics_add(metrics, METRIC_SESSIONS, "mx", 3);
	metrics_add(metrics, METRIC_SESSIONS, "mx", -1);
	metrics_add(metrics, METRIC_SESSIONS, "lan", 1);
	metrics_set(metrics, METRIC_QUEUE_OLDEST_SECONDS, NULL, 1.5);
	metrics_add(metrics, METRIC_ATTACHMENT_BYTES_TOTAL, NULL, 4294967296.0);
	metrics_add(metrics, METRIC_ATTACHMENT_BYTES_TOTAL, "no label here", 1);
	assert_true(metric_value(metrics, "stowage_sessions{listener=\"mx\"}") == 2);
	assert_true(metric_value(metrics, "stowage_queue_oldest_seconds") == 1.5);
	GString *text = metrics_print(metrics);
	assert_line(text, "# TYPE stowage_sessions gauge");
	assert_line(text, "# HELP stowage_sessions SMTP connections open now.");
	assert_line(text, "stowage_sessions{listener=\"lan\"} "
			  "1\nstowage_sessions{listener=\"mx\"} 2");
	assert_line(text, "stowage_queue_oldest_seconds 1.5");
	assert_line(text, "# TYPE stowage_attachment_bytes_total counter");
	assert_line(text, "stowage_attachment_bytes_total 4294967297");
	/* Known values are there from the start, so that rates have a beginning. */
	assert_line(text, "stowage_messages_finished_total{state=\"dead\"} 0");
	g_string_free(text, TRUE);
	metrics_free(&metrics);
	assert_null(metrics);
}

static void test_labels_are_escaped(void **state)
{
	(void)state;
	struct metrics *metrics = metrics_new();
	metrics_add(metrics, METRIC_SESSIONS_TOTAL, "a\"b\\c\nd\xff", 1);
	metrics_add(metrics, METRIC_SESSIONS_TOTAL, NULL, 1);
	GString *text = metrics_print(metrics);
	assert_line(text,
		"stowage_sessions_total{listener=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 1");
	assert_line(text, "stowage_sessions_total{listener=\"\"} 1");
	g_string_free(text, TRUE);
	metrics_free(&metrics);
}

static void test_labels_are_bounded(void **state)
{
	(void)state;
	struct metrics *metrics = metrics_new();
	for (int i = 0; i < 1000; i++) {
		g_autofree char *label = g_strdup_printf("%d", i);
		metrics_add(metrics, METRIC_REPLIES_TOTAL, label, 1);
	}
	assert_true(metric_value(metrics, "stowage_replies_total{code=\"other\"}") ==
		    1000 - 128);
	metrics_free(&metrics);
}

static bool is_sample(const char *line)
{
	size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
	const char *value = line + name;
	if (*value == '{') {
		value = strstr(value, "\"} ");
		value = value ? value + 2 : "";
	}
	char *end;
	if (!name || *value != ' ')
		return false;
	g_ascii_strtod(value + 1, &end);
	return end > value + 1 && !*end;
}

/* One HELP, one TYPE and then samples of that name, each name once;
 * counters end in _total. */
static void test_exposition(void **state)
{
	(void)state;
	struct metrics *metrics = metrics_new();
	for (int m = 0; m < METRIC_COUNT; m++)
		metrics_add(metrics, (enum metric)m, "x", 1);
	GString *text = metrics_print(metrics);
	g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	g_autofree char *name = g_strdup("");
	for (char **line = lines; *line && **line; line++) {
		if (g_str_has_prefix(*line, "# HELP ")) {
			g_free(name);
			name = g_strndup(*line + 7, strcspn(*line + 7, " "));
			assert_true(g_hash_table_add(names, *line));
			line++;
			g_autofree char *counter =
				g_strdup_printf("# TYPE %s counter", name);
			g_autofree char *gauge = g_strdup_printf("# TYPE %s gauge", name);
			bool is_total = g_str_has_suffix(name, "_total");
			assert_string_equal(*line, is_total ? counter : gauge);
			continue;
		}
		assert_true(g_str_has_prefix(*line, name));
		assert_true(is_sample(*line));
	}
	assert_int_equal(text->str[text->len - 1], '\n');
	assert_int_equal(g_hash_table_size(names), METRIC_COUNT + 5);
	assert_non_null(strstr(text->str, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(text->str, "stowage_build_info{version=\""));
	g_string_free(text, TRUE);
	metrics_free(&metrics);
}

static void *add_many(void *metrics)
{
	for (int i = 0; i < 10000; i++)
		metrics_add(
			metrics, METRIC_MESSAGES_RECEIVED_TOTAL, i % 2 ? "mx" : "lan", 1);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	struct metrics *metrics = metrics_new();
	GThread *threads[4];
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("add", add_many, metrics);
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	assert_true(metric_value(metrics,
			    "stowage_messages_received_total{listener=\"mx\"}") == 20000);
	assert_true(
		metric_value(metrics,
			"stowage_messages_received_total{listener=\"lan\"}") == 20000);
	metrics_free(&metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_labels_are_bounded),
		cmocka_unit_test(test_exposition),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
