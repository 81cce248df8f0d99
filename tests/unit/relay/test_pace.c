/* pace: turns by a clock that the test holds; pauses, learning, priorities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/pace.h"
#include <math.h>
#include <string.h>

#define S  ((int64_t)G_USEC_PER_SEC)
#define MS ((int64_t)1000)

enum { LOW, NORMAL, HIGH };

/* When n recipients that come now would go, if nobody came after them; -1: not within the
 * limit. The turn is taken. */
static int64_t reserve(struct pace *pace, size_t n, int64_t now, int64_t limit)
{
	struct pace_waiter waiter = { .n = n, .priority = NORMAL };
	int64_t at = now;
	g_cond_init(&waiter.turn);
	if (!pace_join(pace, &waiter, now, limit))
		return -1;
	while (!pace_turn(pace, &waiter, at, &at))
		assert_int_not_equal(at, INT64_MAX);
	g_cond_clear(&waiter.turn);
	return at - now;
}

static void test_unpaced(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 0, false);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(reserve(&pace, 50, 100 * S, 0), 0);
	assert_int_equal(pace_most(&pace), SIZE_MAX);
	pace_deinit(&pace);
}

/* However demand comes, no window has more than rate x T + burst and a transaction. */
static void test_no_window_has_more(void **unused)
{
	(void)unused;
	enum { TURNS = 2000 };
	static const double rates[] = { 0.5, 1, 14, 200 };
	g_autofree int64_t *at = g_new(int64_t, TURNS);
	g_autoptr(GRand) random = g_rand_new_with_seed(7);
	for (size_t r = 0; r < G_N_ELEMENTS(rates); r++) {
		struct pace pace;
		pace_init(&pace, rates[r], false);
		int64_t now = 1000 * S;
		for (int i = 0; i < TURNS; i++) {
			if (g_rand_int_range(random, 0, 20) == 0)
				now += g_rand_int_range(random, 0, 5000000);
			int64_t wait = reserve(&pace, 1, now, 100000 * S);
			assert_true(wait >= 0);
			at[i] = now += wait;
		}
		for (int i = 0; i < TURNS; i++) {
			for (int j = i; j < TURNS; j += 7) {
				double window_s = (double)(at[j] - at[i]) / (double)S;
				double most = rates[r] * (window_s + 0.25) + 1.01;
				assert_true(j - i + 1 <= most);
			}
		}
		/* And not far less, when there is always somebody. */
		now += 100 * S;
		int64_t begin = now;
		for (int i = 0; i < 100; i++)
			now += reserve(&pace, 1, now, 100000 * S);
		assert_true((double)(now - begin) / (double)S <= 100 / rates[r]);
		pace_deinit(&pace);
	}
}

static void test_many_recipients_delay_the_next(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 14, false);
	assert_int_equal(pace_most(&pace), 28);
	assert_int_equal(reserve(&pace, 50, 1000 * S, S), 0);
	assert_in_range(reserve(&pace, 1, 1000 * S, 10 * S), 3 * S, 4 * S);
	pace_deinit(&pace);
	pace_init(&pace, 0.2, false);
	assert_int_equal(pace_most(&pace), 1);
	pace_deinit(&pace);
}

static void test_beyond_the_limit_takes_nothing(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 1, false);
	assert_int_equal(reserve(&pace, 10, 1000 * S, S), 0);
	for (int i = 0; i < 10; i++)
		assert_true(reserve(&pace, 1, 1000 * S, S) < 0);
	assert_in_range(reserve(&pace, 1, 1000 * S, 20 * S), 9 * S, 10 * S);
	pace_deinit(&pace);
}

static void test_pauses_grow_and_end(void **unused)
{
	(void)unused;
	static const int64_t want_s[] = { 1, 2, 4, 8, 16, 32, 32 };
	struct pace pace;
	pace_init(&pace, 0, false);
	int64_t now = 1000 * S;
	for (size_t i = 0; i < G_N_ELEMENTS(want_s); i++) {
		assert_true(pace_throttled(&pace, now));
		/* Another connection heard of it too. */
		assert_false(pace_throttled(&pace, now + 1));
		assert_int_equal(pace_pause_left_us(&pace, now), want_s[i] * S);
		assert_int_equal(reserve(&pace, 1, now, 60 * S), want_s[i] * S);
		now += want_s[i] * S;
	}
	pace_succeeded(&pace, 1, now);
	pace_throttled(&pace, now);
	assert_int_equal(reserve(&pace, 1, now, 60 * S), S);
	pace_deinit(&pace);
}

/* A fixed rate is the same after a pause, and nothing was saved up in it. */
static void test_a_fixed_rate_resumes(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 10, false);
	int64_t now = 1000 * S;
	pace_throttled(&pace, now);
	now += S;
	assert_int_equal(reserve(&pace, 1, now, 0), 0);
	pace_succeeded(&pace, 1, now);
	for (int i = 0; i < 10; i++) {
		int64_t wait = reserve(&pace, 1, now, S);
		assert_true(wait >= S / 10 - 1 && wait <= S / 10 + 1);
		now += wait;
	}
	assert_true(fabs(pace_rate(&pace) - 10) < 1e-9);
	pace_deinit(&pace);
}

/* One goes ahead; the others follow once it has passed, or nothing was heard of it. */
static void test_no_herd_after_a_pause(void **unused)
{
	(void)unused;
	enum { N = 20 };
	struct pace_waiter waiters[N];
	struct pace pace;
	int64_t now = 1000 * S, at;
	pace_init(&pace, 0, false);
	pace_throttled(&pace, now);
	for (int i = 0; i < N; i++) {
		waiters[i] = (struct pace_waiter){ .n = 1, .priority = NORMAL };
		g_cond_init(&waiters[i].turn);
		assert_true(pace_join(&pace, &waiters[i], now, 60 * S));
	}
	for (int round = 0; round < 3; round++) {
		now = MAX(now, 1001 * S);
		assert_true(pace_turn(&pace, &waiters[round], now, &at));
		for (int i = round + 1; i < N; i++)
			assert_false(pace_turn(&pace, &waiters[i], now, &at));
		assert_false(pace_turn(&pace, &waiters[round + 1], now + 4 * S, &at));
		if (round < 2) {
			pace_throttled(&pace, now);
			now += pace_pause_left_us(&pace, now);
		}
	}
	pace_succeeded(&pace, 1, now);
	for (int i = 3; i < N; i++)
		assert_true(pace_turn(&pace, &waiters[i], now, &at));
	for (int i = 0; i < N; i++)
		g_cond_clear(&waiters[i].turn);
	pace_throttled(&pace, now);
	now += S;
	assert_int_equal(reserve(&pace, 1, now, 0), 0);
	assert_in_range(reserve(&pace, 1, now, 10 * S), 4 * S, 6 * S);
	pace_deinit(&pace);
}

/* ---- priorities ---- */

static void init_waiter(
	struct pace *pace, struct pace_waiter *waiter, size_t n, unsigned priority)
{
	*waiter = (struct pace_waiter){ .n = n, .priority = priority };
	g_cond_init(&waiter->turn);
	assert_true(pace_join(pace, waiter, 1000 * S, 100000 * S));
}

static void test_higher_goes_first(void **unused)
{
	(void)unused;
	static const unsigned priorities[] = { LOW, NORMAL, LOW, HIGH, NORMAL, HIGH };
	static const size_t order[] = { 3, 5, 1, 4, 0, 2 };
	struct pace_waiter waiters[G_N_ELEMENTS(priorities)];
	struct pace pace;
	int64_t now = 1000 * S, at;
	pace_init(&pace, 1, false);
	assert_int_equal(reserve(&pace, 2, now, 0), 0);
	for (size_t i = 0; i < G_N_ELEMENTS(waiters); i++)
		init_waiter(&pace, &waiters[i], 1, priorities[i]);
	for (size_t turn = 0; turn < G_N_ELEMENTS(order); turn++) {
		struct pace_waiter *next = &waiters[order[turn]];
		for (size_t later = turn + 1; later < G_N_ELEMENTS(order); later++) {
			assert_false(pace_turn(&pace, &waiters[order[later]], now, &at));
			assert_int_equal(at, INT64_MAX);
		}
		if (!pace_turn(&pace, next, now, &at)) {
			now = at;
			assert_true(pace_turn(&pace, next, now, &at));
		}
	}
	for (size_t i = 0; i < G_N_ELEMENTS(waiters); i++)
		g_cond_clear(&waiters[i].turn);
	pace_deinit(&pace);
}

/* Bulk of 50 recipients a message, always somebody waiting: an alarm that comes goes
 * within the time that the header promises. */
static void test_bulk_does_not_hold_up_an_alarm(void **unused)
{
	(void)unused;
	static const double rates[] = { 0.5, 1, 3, 14, 100 };
	enum { BULK = 8, ALARMS = 60 };
	for (size_t r = 0; r < G_N_ELEMENTS(rates); r++) {
		struct pace pace;
		struct pace_waiter bulk[BULK], alarm;
		int64_t now = 1000 * S, at;
		pace_init(&pace, rates[r], false);
		size_t most = MIN(pace_most(&pace), 50);
		double bound_s = MAX(2.0 * PACE_TRANSACTION_S, 2 / rates[r]) + 0.001;
		for (int i = 0; i < BULK; i++)
			init_waiter(&pace, &bulk[i], most, LOW);
		for (int n = 0; n < ALARMS; n++) {
			/* A turn of the bulk's, whose place is taken at once. */
			for (bool went = false; !went;) {
				int64_t soonest = INT64_MAX;
				for (int i = 0; i < BULK && !went; i++) {
					went = pace_turn(&pace, &bulk[i], now, &at);
					soonest = MIN(soonest, at);
					if (went)
						g_cond_clear(&bulk[i].turn);
					if (went)
						init_waiter(&pace, &bulk[i], most, LOW);
				}
				if (!went)
					now = soonest;
			}
			int64_t came = now;
			init_waiter(&pace, &alarm, 1, HIGH);
			while (!pace_turn(&pace, &alarm, now, &at)) {
				if (at < INT64_MAX) {
					now = at;
					continue;
				}
				/* It is a fair turn. */
				int64_t soonest = INT64_MAX;
				for (int i = 0; i < BULK; i++) {
					if (pace_turn(&pace, &bulk[i], now, &at)) {
						g_cond_clear(&bulk[i].turn);
						init_waiter(&pace, &bulk[i], most, LOW);
						soonest = now;
						break;
					}
					soonest = MIN(soonest, at);
				}
				now = soonest;
			}
			g_cond_clear(&alarm.turn);
			assert_true((double)(now - came) / (double)S <= bound_s);
		}
		for (int i = 0; i < BULK; i++) {
			pace_leave(&pace, &bulk[i]);
			g_cond_clear(&bulk[i].turn);
		}
		pace_deinit(&pace);
	}
}

/* A flood of alarms leaves reports a tenth of the turns. */
static void test_a_flood_of_alarms_leaves_a_share(void **unused)
{
	(void)unused;
	struct pace_waiter report, alarm;
	struct pace pace;
	int64_t now = 1000 * S, at;
	int reports = 0;
	pace_init(&pace, 10, false);
	init_waiter(&pace, &report, 1, LOW);
	init_waiter(&pace, &alarm, 1, HIGH);
	for (int turns = 0; turns < 200;) {
		struct pace_waiter *both[] = { &report, &alarm };
		int64_t soonest = INT64_MAX;
		for (size_t i = 0; i < 2; i++) {
			if (pace_turn(&pace, both[i], now, &at)) {
				turns++;
				reports += i == 0;
				g_cond_clear(&both[i]->turn);
				init_waiter(&pace, both[i], 1, i == 0 ? LOW : HIGH);
				at = now;
			}
			soonest = MIN(soonest, at);
		}
		now = soonest;
	}
	assert_int_equal(reports, 200 / PACE_FAIR_TURNS);
	pace_leave(&pace, &report);
	pace_leave(&pace, &alarm);
	g_cond_clear(&report.turn);
	g_cond_clear(&alarm.turn);
	pace_deinit(&pace);
}

/* ---- learning ---- */

/* A server with a bucket of its own: limit a second, a second's worth at once. */
struct server {
	double limit, tokens;
	int64_t at_us;
};

static bool server_takes(struct server *server, size_t n, int64_t now_us)
{
	double since_s = (double)(now_us - server->at_us) / (double)S;
	server->tokens = MIN(server->limit, server->tokens + since_s * server->limit);
	server->at_us = now_us;
	if (server->tokens < (double)n)
		return false;
	server->tokens -= (double)n;
	return true;
}

struct run {
	int64_t now;
	unsigned sent, complaints;
};

/* There is always more to send, for so long. */
static void saturate(
	struct pace *pace, struct server *server, struct run *run, int64_t for_us)
{
	int64_t end = run->now + for_us;
	while (run->now < end) {
		run->now += reserve(pace, 1, run->now, 100 * S);
		if (server_takes(server, 1, run->now)) {
			run->sent++;
			pace_succeeded(pace, 1, run->now);
		} else {
			run->complaints++;
			pace_throttled(pace, run->now);
		}
	}
}

static void test_learns_a_limit_that_nobody_tells(void **unused)
{
	(void)unused;
	static const double limits[] = { 1, 5, 14, 80, 500 };
	for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
		struct pace pace;
		struct server server = { limits[i], limits[i], 1000 * S };
		struct run run = { .now = 1000 * S };
		pace_init(&pace, 1, true);
		saturate(&pace, &server, &run, 300 * S); /* learns */
		run.sent = run.complaints = 0;
		saturate(&pace, &server, &run, 3600 * S);
		/* It uses most of what there is, and hears few complaints in an hour. */
		assert_true(run.sent > 3600 * limits[i] * 0.8);
		assert_true(run.sent <= 3601 * limits[i]);
		assert_true(run.complaints <= 72);
		assert_true(pace_rate(&pace) < limits[i] * 1.1);
		pace_deinit(&pace);
	}
}

/* Within what the account may: not one complaint, whatever the demand. */
static void test_keeps_below_what_the_account_may(void **unused)
{
	(void)unused;
	struct pace pace;
	struct server server = { 14, 14, 1000 * S };
	struct run run = { .now = 1000 * S };
	pace_init(&pace, 1, true);
	pace_set_maximum(&pace, 14);
	assert_true(fabs(pace_rate(&pace) - 0.9 * 14) < 1e-9);
	saturate(&pace, &server, &run, 3600 * S);
	assert_int_equal(run.complaints, 0);
	assert_true(run.sent > 3600 * 12 && pace_rate(&pace) <= 14);
	/* The account is given more, then less. */
	pace_set_maximum(&pace, 50);
	server.limit = 50;
	saturate(&pace, &server, &run, 600 * S);
	assert_int_equal(run.complaints, 0);
	assert_true(pace_rate(&pace) > 40);
	pace_set_maximum(&pace, 5);
	assert_true(pace_rate(&pace) <= 5);
	pace_deinit(&pace);
}

/* Others use the account for a while; then it comes back. */
static void test_creeps_back(void **unused)
{
	(void)unused;
	struct pace pace;
	struct server server = { 20, 20, 1000 * S };
	struct run run = { .now = 1000 * S };
	pace_init(&pace, 20, true);
	pace_set_maximum(&pace, 20);
	pace_set_maximum(&pace, 20); /* said again: nothing new */
	server.limit = 4;
	saturate(&pace, &server, &run, 600 * S);
	assert_true(pace_rate(&pace) < 4.4);
	server.limit = 20;
	unsigned before = run.complaints;
	double last = pace_rate(&pace);
	for (int minute = 0; minute < 60; minute++) {
		saturate(&pace, &server, &run, 60 * S);
		assert_true(pace_rate(&pace) >= last); /* no leap, no fall */
		assert_true(pace_rate(&pace) <= last * 1.2);
		last = pace_rate(&pace);
	}
	assert_int_equal(run.complaints, before);
	assert_true(last > 18);
	pace_deinit(&pace);
}

/* Mail now and then says nothing about what the relay bears. */
static void test_does_not_grow_without_demand(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 2, true);
	int64_t now = 1000 * S;
	for (int i = 0; i < 1000; i++, now += 10 * S) {
		assert_int_equal(reserve(&pace, 1, now, S), 0);
		pace_succeeded(&pace, 1, now + 50 * MS);
	}
	assert_true(fabs(pace_rate(&pace) - 2) < 1e-9);
	for (int i = 0; i < 1000; i++, now += 100 * S)
		pace_throttled(&pace, now);
	assert_true(pace_rate(&pace) >= PACE_RATE_MIN);
	pace_deinit(&pace);
}

static void test_is_kept_as_text(void **unused)
{
	(void)unused;
	static const char *const refused[] = { "", "1", "1 2", "1 2 3 4", "a b c",
		"-1 0 0", "1 nan 0", "inf 0 0", "1e9 0 0", "200000 0 0", "0 0 0", "1  0",
		"11111111111111111111 0 0", "1.1.1 0 0", " 1 0 0" };
	struct pace pace, other;
	struct server server = { 7, 7, 1000 * S };
	struct run run = { .now = 1000 * S };
	pace_init(&pace, 1, true);
	pace_set_maximum(&pace, 50);
	saturate(&pace, &server, &run, 600 * S);
	g_autofree char *text = pace_print(&pace);
	pace_init(&other, 1, true);
	assert_true(pace_restore(&other, text));
	g_autofree char *again = pace_print(&other);
	assert_string_equal(text, again);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		if (pace_restore(&other, refused[i]))
			fail_msg("\"%s\" is taken", refused[i]);
		g_autofree char *still = pace_print(&other);
		assert_string_equal(still, text);
	}
	/* Rates beyond what the account may are not believed. */
	assert_true(pace_restore(&other, "99 90 14"));
	assert_true(pace_rate(&other) <= 14);
	pace_deinit(&other);
	pace_init(&other, 3, false);
	assert_false(pace_restore(&other, text)); /* a fixed one learns nothing */
	assert_true(fabs(pace_rate(&other) - 3) < 1e-9);
	pace_deinit(&other);
	pace_deinit(&pace);
}

static void test_settings_change(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 5, false);
	pace_set_rate(&pace, 8, false);
	assert_true(fabs(pace_rate(&pace) - 8) < 1e-9);
	pace_set_rate(&pace, 3, true);
	assert_true(fabs(pace_rate(&pace) - 3) < 1e-9);
	pace_throttled(&pace, 1000 * S);
	double learnt = pace_rate(&pace);
	pace_set_rate(&pace, 10, true); /* learnt is more than where to begin */
	assert_true(fabs(pace_rate(&pace) - learnt) < 1e-9);
	pace_set_rate(&pace, 0, false);
	assert_int_equal(pace_most(&pace), SIZE_MAX);
	pace_deinit(&pace);
}

/* ---- threads ---- */

static void test_waits_for_its_turn(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 20, false);
	int64_t begin = g_get_monotonic_time();
	for (int i = 0; i < 10; i++)
		assert_true(pace_wait(&pace, 1, NORMAL, 5 * S));
	int64_t took = g_get_monotonic_time() - begin;
	assert_true(took >= S / 8); /* 10 at 20 a second, less the burst of a quarter */
	pace_deinit(&pace);
}

static void test_has_no_time_to_wait(void **unused)
{
	(void)unused;
	struct pace pace;
	pace_init(&pace, 0.2, false);
	assert_true(pace_wait(&pace, 5, NORMAL, 0)); /* half a minute for the rest */
	assert_false(pace_wait(&pace, 1, NORMAL, 0));
	pace_deinit(&pace);
}

struct crowd {
	struct pace pace;
	gint went, refused;
};

static void *wait_in_crowd(void *context)
{
	struct crowd *crowd = context;
	bool went = pace_wait(&crowd->pace, 1, NORMAL, 60 * S);
	g_atomic_int_inc(went ? &crowd->went : &crowd->refused);
	return NULL;
}

static guint waiting(struct pace *pace)
{
	g_mutex_lock(&pace->mutex);
	guint n = g_queue_get_length(&pace->waiters);
	g_mutex_unlock(&pace->mutex);
	return n;
}

/* All that wait give up, and who comes after would have to wait. */
static void test_hurry_ends_all_waiting(void **unused)
{
	(void)unused;
	enum { N = 8 };
	struct crowd crowd = { 0 };
	GThread *threads[N];
	pace_init(&crowd.pace, 0.2, false);
	assert_true(
		pace_wait(&crowd.pace, 5, NORMAL, 0)); /* half a minute for the rest */
	for (int i = 0; i < N; i++)
		threads[i] = g_thread_new("waiter", wait_in_crowd, &crowd);
	while (waiting(&crowd.pace) < N)
		g_thread_yield();
	pace_hurry(&crowd.pace);
	for (int i = 0; i < N; i++)
		g_thread_join(threads[i]);
	assert_int_equal(crowd.refused, N);
	assert_false(pace_wait(&crowd.pace, 1, HIGH, 60 * S));
	pace_deinit(&crowd.pace);
}

static void test_a_crowd_goes_one_by_one(void **unused)
{
	(void)unused;
	enum { N = 16 };
	struct crowd crowd = { 0 };
	GThread *threads[N];
	pace_init(&crowd.pace, 50, false);
	int64_t begin = g_get_monotonic_time();
	for (int i = 0; i < N; i++)
		threads[i] = g_thread_new("waiter", wait_in_crowd, &crowd);
	for (int i = 0; i < N; i++)
		g_thread_join(threads[i]);
	assert_int_equal(crowd.went, N);
	/* 16 at 50 a second, less the burst and the first. */
	assert_true(g_get_monotonic_time() - begin >= 40 * MS);
	pace_deinit(&crowd.pace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpaced),
		cmocka_unit_test(test_no_window_has_more),
		cmocka_unit_test(test_many_recipients_delay_the_next),
		cmocka_unit_test(test_beyond_the_limit_takes_nothing),
		cmocka_unit_test(test_pauses_grow_and_end),
		cmocka_unit_test(test_a_fixed_rate_resumes),
		cmocka_unit_test(test_no_herd_after_a_pause),
		cmocka_unit_test(test_higher_goes_first),
		cmocka_unit_test(test_bulk_does_not_hold_up_an_alarm),
		cmocka_unit_test(test_a_flood_of_alarms_leaves_a_share),
		cmocka_unit_test(test_learns_a_limit_that_nobody_tells),
		cmocka_unit_test(test_keeps_below_what_the_account_may),
		cmocka_unit_test(test_creeps_back),
		cmocka_unit_test(test_does_not_grow_without_demand),
		cmocka_unit_test(test_is_kept_as_text),
		cmocka_unit_test(test_settings_change),
		cmocka_unit_test(test_waits_for_its_turn),
		cmocka_unit_test(test_has_no_time_to_wait),
		cmocka_unit_test(test_hurry_ends_all_waiting),
		cmocka_unit_test(test_a_crowd_goes_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
