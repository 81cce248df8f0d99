/* allowance: quota by priority, what is remembered, what a reload keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/log.h"
#include "gateway/relay/allowance.h"
#include "tests/unit/metric.h"
#include <math.h>
#include <string.h>

#define S ((int64_t)G_USEC_PER_SEC)

/* Stands for the queue's memory. */
struct memory {
	GMutex mutex;
	GHashTable *texts;
	struct relay_memory relay;
	struct metrics *metrics;
};

static char *recall(void *context, const char *name)
{
	struct memory *memory = context;
	g_mutex_lock(&memory->mutex);
	char *text = g_strdup(g_hash_table_lookup(memory->texts, name));
	g_mutex_unlock(&memory->mutex);
	return text;
}

static void remember(void *context, const char *name, const char *text)
{
	struct memory *memory = context;
	for (const char *c = name; *c; c++)
		assert_true(g_ascii_isalnum(*c) || *c == '-' || *c == '.');
	g_mutex_lock(&memory->mutex);
	g_hash_table_insert(memory->texts, g_strdup(name), g_strdup(text));
	g_mutex_unlock(&memory->mutex);
}

static int set_up(void **state)
{
	struct memory *memory = g_new0(struct memory, 1);
	g_mutex_init(&memory->mutex);
	memory->texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	memory->relay = (struct relay_memory){ recall, remember, memory, NULL };
	memory->relay.allowances = allowances_new();
	memory->metrics = metrics_new();
	*state = memory;
	return 0;
}

static int tear_down(void **state)
{
	struct memory *memory = *state;
	allowances_free(&memory->relay.allowances);
	g_hash_table_unref(memory->texts);
	metrics_free(&memory->metrics);
	g_mutex_clear(&memory->mutex);
	g_free(memory);
	return 0;
}

static struct allowance *make(struct memory *memory, const struct conf_relay *settings)
{
	return allowance_get(settings, memory->metrics, &memory->relay, NULL);
}

/* Sends n recipients, one by one; how many went. */
static size_t spend(struct allowance *allowance, size_t n, enum conf_priority priority)
{
	for (size_t i = 0; i < n; i++) {
		if (allowance_take(allowance, 1, priority, 0) != ALLOWANCE_GO)
			return i;
		allowance_settle(allowance, 1, 1);
	}
	return n;
}

static double metric(struct memory *memory, const char *name, const char *relay)
{
	g_autofree char *series =
		g_strdup_printf("stowage_relay_%s{relay=\"%s\"}", name, relay);
	return metric_value(memory->metrics, series);
}

static void test_low_priority_leaves_off_first(void **state)
{
	const struct conf_relay settings = { .name = "ses", .daily_quota = 1000 };
	struct allowance *a = make(*state, &settings);
	assert_int_equal(spend(a, 2000, CONF_PRIORITY_LOW), 950);
	assert_int_equal(spend(a, 2000, CONF_PRIORITY_NORMAL), 40);
	assert_int_equal(spend(a, 2000, CONF_PRIORITY_HIGH), 10);
	assert_int_equal(allowance_take(a, 1, CONF_PRIORITY_HIGH, S), ALLOWANCE_QUOTA);
	g_autofree char *low = allowance_hold(a, CONF_PRIORITY_LOW);
	g_autofree char *normal = allowance_hold(a, CONF_PRIORITY_NORMAL);
	assert_string_equal(normal, "relay ses: quota");
	assert_string_not_equal(low, normal);
	allowance_unref(&a);
	assert_true(fabs(metric(*state, "quota", "ses") - 1000) < 1e-9);
}

/* What is under way counts, and what was refused comes back. */
static void test_what_is_under_way_counts(void **state)
{
	const struct conf_relay settings = { .daily_quota = 100 };
	struct allowance *a = make(*state, &settings);
	assert_int_equal(allowance_take(a, 60, CONF_PRIORITY_HIGH, 0), ALLOWANCE_GO);
	assert_int_equal(allowance_take(a, 50, CONF_PRIORITY_HIGH, 0), ALLOWANCE_QUOTA);
	allowance_settle(a, 60, 10);
	assert_int_equal(allowance_take(a, 50, CONF_PRIORITY_HIGH, 0), ALLOWANCE_GO);
	allowance_settle(a, 50, 0);
	allowance_unref(&a);
}

static void test_a_share_of_rate_and_quota(void **state)
{
	const struct conf_relay settings = {
		.name = "half", .rate = 20, .rate_share = 0.25, .daily_quota = 400
	};
	struct allowance *a = make(*state, &settings);
	assert_true(fabs(metric(*state, "rate", "half") - 5) < 1e-9);
	assert_true(fabs(metric(*state, "quota", "half") - 100) < 1e-9);
	assert_int_equal(allowance_most(a), 10);
	allowance_unref(&a);
}

static void test_a_restart_knows_what_was_sent(void **state)
{
	struct memory *memory = *state;
	const struct conf_relay settings = {
		.name = "my_relay-1", .host = "smtp.example.com", .daily_quota = 1000
	};
	struct allowance *a = make(memory, &settings);
	spend(a, 600, CONF_PRIORITY_NORMAL);
	allowance_unref(&a);
	a = make(memory, &settings);
	assert_true(fabs(metric(memory, "sent_24h", "my_relay-1") - 600) < 1e-9);
	assert_int_equal(spend(a, 2000, CONF_PRIORITY_NORMAL), 390);
	allowance_unref(&a);
	/* Another host has another quota. */
	const struct conf_relay other = {
		.name = "my_relay-1", .host = "smtp.example.co", .daily_quota = 1000
	};
	a = make(memory, &other);
	assert_int_equal(spend(a, 2000, CONF_PRIORITY_NORMAL), 990);
	allowance_unref(&a);
}

static void test_a_restart_knows_the_rate_that_was_learnt(void **state)
{
	struct memory *memory = *state;
	const struct conf_relay settings = {
		.host = "smtp.example.com", .rate = 40, .rate_auto = true
	};
	struct allowance *a = make(memory, &settings);
	assert_true(fabs(metric(memory, "rate", "default") - 40) < 1e-9);
	allowance_throttled(a);
	allowance_throttled(a);
	double learnt = metric(memory, "rate", "default");
	assert_true(learnt < 30 && learnt > 10);
	assert_true(fabs(metric(memory, "throttled_total", "default") - 2) < 1e-9);
	allowance_unref(&a);
	a = make(memory, &settings);
	assert_true(fabs(metric(memory, "rate", "default") - learnt) < 0.001);
	allowance_unref(&a);
}

/* Whatever stands there, it starts. */
static void test_what_was_remembered_is_broken(void **state)
{
	struct memory *memory = *state;
	static const char *const broken[] = { "", " ", "-", "- ", "h.example",
		"h.example ", "h.example x y z", "h.example 1 2",
		"h.example 99999999999 1 1" };
	const struct conf_relay settings = { .host = "h.example", .rate_auto = true };
	for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
		remember(memory, "pace.default", broken[i]);
		remember(memory, "sent.default", broken[i]);
		struct allowance *a = make(memory, &settings);
		assert_int_equal(spend(a, 1, CONF_PRIORITY_NORMAL), 1);
		allowance_unref(&a);
	}
	remember(memory, "pace.default", "h.example 7.000 0.000 0.000");
	struct allowance *a = make(memory, &settings);
	assert_true(fabs(metric(memory, "rate", "default") - 7) < 1e-9);
	allowance_unref(&a);
}

static void test_a_reload_keeps_what_was_learnt(void **state)
{
	struct memory *memory = *state;
	const struct conf_relay before = { .host = "a.example", .daily_quota = 100 },
				after = { .host = "a.example", .daily_quota = 200 },
				other = { .host = "b.example", .daily_quota = 100 };
	bool is_new;
	struct allowance *a =
		allowance_get(&before, memory->metrics, &memory->relay, &is_new);
	assert_true(is_new);
	spend(a, 50, CONF_PRIORITY_NORMAL);
	struct allowance *b =
		allowance_get(&after, memory->metrics, &memory->relay, &is_new);
	assert_false(is_new);
	assert_ptr_equal(a, b);
	assert_int_equal(allowance_take(a, 60, CONF_PRIORITY_HIGH, 0), ALLOWANCE_QUOTA);
	allowance_apply(b, &after);
	assert_int_equal(allowance_take(a, 60, CONF_PRIORITY_HIGH, 0), ALLOWANCE_GO);
	allowance_settle(a, 60, 60);
	allowance_unref(&a);
	assert_int_equal(spend(b, 500, CONF_PRIORITY_HIGH), 90);
	struct allowance *c =
		allowance_get(&other, memory->metrics, &memory->relay, &is_new);
	assert_true(is_new);
	assert_int_equal(spend(c, 500, CONF_PRIORITY_HIGH), 100);
	allowance_unref(&b);
	allowance_unref(&c);
}

/* SES says that the quota is used up: it is not asked again for every message. */
static void test_a_quota_that_the_relay_names(void **state)
{
	const struct conf_relay settings = { .name = "ses" };
	struct allowance *a = make(*state, &settings);
	assert_int_equal(spend(a, 10, CONF_PRIORITY_NORMAL), 10);
	assert_int_equal(allowance_take(a, 1, CONF_PRIORITY_HIGH, 0), ALLOWANCE_GO);
	allowance_quota_exceeded(a);
	allowance_settle(a, 1, 0);
	assert_int_equal(spend(a, 10, CONF_PRIORITY_HIGH), 0);
	allowance_unref(&a);
}

static void test_a_pause_is_for_all(void **state)
{
	const struct conf_relay settings = { .name = "ses" };
	struct allowance *a = make(*state, &settings);
	assert_int_equal(allowance_pause_left_us(a), 0);
	allowance_throttled(a);
	assert_in_range(allowance_pause_left_us(a), 1, S);
	assert_int_equal(allowance_take(a, 1, CONF_PRIORITY_HIGH, 0), ALLOWANCE_LATER);
	allowance_hurry(a);
	assert_int_equal(
		allowance_take(a, 1, CONF_PRIORITY_HIGH, 60 * S), ALLOWANCE_LATER);
	allowance_unref(&a);
}

static void test_without_memory(void **state)
{
	struct memory *memory = *state;
	const struct conf_relay settings = { .rate_auto = true, .maildir = "/nowhere" };
	struct allowance *a = allowance_get(&settings, memory->metrics, NULL, NULL);
	assert_int_equal(spend(a, 1, CONF_PRIORITY_LOW), 1);
	allowance_unref(&a);
	allowance_unref(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_low_priority_leaves_off_first),
		TEST(test_what_is_under_way_counts),
		TEST(test_a_share_of_rate_and_quota),
		TEST(test_a_restart_knows_what_was_sent),
		TEST(test_a_restart_knows_the_rate_that_was_learnt),
		TEST(test_what_was_remembered_is_broken),
		TEST(test_a_reload_keeps_what_was_learnt),
		TEST(test_a_quota_that_the_relay_names),
		TEST(test_a_pause_is_for_all),
		TEST(test_without_memory),
	};
	log_init(false, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
