/* A token bucket kept as one time: when the next recipient is due; and a line of those
 * who wait for it. What a reply means for it is reply.c's. */
#include "gateway/relay/pace.h"

#include <math.h>
#include <string.h>

#define BURST_US     (PACE_BURST_MS * (int64_t)1000)
#define PAUSE_MIN_US ((int64_t)G_USEC_PER_SEC)
#define PAUSE_MAX_US (32 * (int64_t)G_USEC_PER_SEC)
/* A trial of which nothing is heard is over then. */
#define TRIAL_US (5 * (int64_t)G_USEC_PER_SEC)
/* The rate grows only where it holds somebody up: within that time. */
#define DEMAND_US (2 * (int64_t)G_USEC_PER_SEC)

#define BACK_OFF       0.7
#define SET_OUT        0.9   /* of the maximum; slow growth begins there too */
#define GROWTH_SLOW    0.001 /* of what was borne, in a second */
#define GROWTH_FAST    0.05
#define GROWTH_UNKNOWN 0.1 /* of the rate: doubles in seven seconds */

static double bounded(const struct pace *pace, double rate)
{
	double most = pace->maximum > 0 ? pace->maximum : PACE_RATE_MAX;
	return CLAMP(rate, MIN(PACE_RATE_MIN, most), most);
}

void pace_init(struct pace *pace, double rate, bool learns)
{
	*pace = (struct pace){ .learns = learns, .waited_us = INT64_MIN / 2 };
	pace->rate = learns ? bounded(pace, rate) : rate;
	g_mutex_init(&pace->mutex);
	g_queue_init(&pace->waiters);
}

void pace_deinit(struct pace *pace)
{
	g_assert(g_queue_is_empty(&pace->waiters));
	g_mutex_clear(&pace->mutex);
}

/* ---- the line ---- */

static struct pace_waiter *head(struct pace *pace)
{
	if (g_queue_is_empty(&pace->waiters))
		return NULL;
	struct pace_waiter *first = pace->waiters.head->data;
	if (pace->turns % PACE_FAIR_TURNS != PACE_FAIR_TURNS - 1)
		return first;
	for (GList *l = pace->waiters.head->next; l; l = l->next) {
		struct pace_waiter *other = l->data;
		if (other->number < first->number)
			first = other;
	}
	return first;
}

/* Whoever is next looks at the clock again. */
static void wake_head(struct pace *pace)
{
	struct pace_waiter *next = head(pace);
	if (next)
		g_cond_signal(&next->turn);
}

static void enqueue(struct pace *pace, struct pace_waiter *waiter)
{
	GList *before = pace->waiters.head;
	while (before &&
		((struct pace_waiter *)before->data)->priority >= waiter->priority)
		before = before->next;
	waiter->link = (GList){ .data = waiter };
	if (before)
		g_queue_insert_before_link(&pace->waiters, before, &waiter->link);
	else
		g_queue_push_tail_link(&pace->waiters, &waiter->link);
}

/* When the next turn is, whoever's. */
static double ready_us(const struct pace *pace)
{
	double paused_us = (double)MAX(pace->pause_until_us, pace->trial_until_us);
	return pace->rate > 0 ? MAX(pace->due_us, paused_us) : paused_us;
}

static double expected_us(
	const struct pace *pace, const struct pace_waiter *waiter, int64_t now_us)
{
	double wait_us = MAX(ready_us(pace) - (double)now_us, 0);
	size_t before = 0;
	for (const GList *l = pace->waiters.head; l; l = l->next) {
		const struct pace_waiter *other = l->data;
		before += other->priority >= waiter->priority ? other->n : 0;
	}
	if (pace->rate > 0)
		wait_us += (double)before / pace->rate * G_USEC_PER_SEC;
	return wait_us;
}

bool pace_join(
	struct pace *pace, struct pace_waiter *waiter, int64_t now_us, int64_t limit_us)
{
	double wait_us = expected_us(pace, waiter, now_us);
	if (wait_us > 0 && now_us >= pace->pause_until_us)
		pace->waited_us = now_us;
	if (wait_us > (double)limit_us || (wait_us > 0 && pace->hurried))
		return false;
	waiter->number = pace->joined++;
	enqueue(pace, waiter);
	return true;
}

void pace_leave(struct pace *pace, struct pace_waiter *waiter)
{
	g_queue_unlink(&pace->waiters, &waiter->link);
	wake_head(pace);
}

static void take(struct pace *pace, size_t n, int64_t now_us)
{
	if (pace->rate > 0) {
		/* A pause earns nothing. */
		double from_us = (double)MAX(now_us - BURST_US, pace->pause_until_us);
		pace->due_us = MAX(pace->due_us, from_us) +
			       (double)n / pace->rate * G_USEC_PER_SEC;
	}
	if (pace->trial_comes)
		pace->trial_until_us = now_us + TRIAL_US;
	pace->trial_comes = false;
	pace->turns++;
}

bool pace_turn(
	struct pace *pace, struct pace_waiter *waiter, int64_t now_us, int64_t *at_us)
{
	*at_us = INT64_MAX;
	if (waiter != head(pace))
		return false;
	double due_us = ceil(ready_us(pace));
	if (due_us > (double)now_us) {
		*at_us = (int64_t)due_us;
		return false;
	}
	*at_us = now_us;
	take(pace, waiter->n, now_us);
	pace_leave(pace, waiter);
	return true;
}

static bool wait_in_line(
	struct pace *pace, struct pace_waiter *waiter, int64_t now_us, int64_t last_us)
{
	int64_t at_us;
	while (!pace_turn(pace, waiter, now_us, &at_us)) {
		if (now_us >= last_us || pace->hurried) {
			pace_leave(pace, waiter);
			return false;
		}
		g_cond_wait_until(&waiter->turn, &pace->mutex, MIN(at_us, last_us));
		now_us = g_get_monotonic_time();
	}
	return true;
}

bool pace_wait(struct pace *pace, size_t n, unsigned priority, int64_t limit_us)
{
	struct pace_waiter waiter = { .n = n, .priority = priority };
	g_cond_init(&waiter.turn);
	g_mutex_lock(&pace->mutex);
	int64_t now_us = g_get_monotonic_time();
	bool went = pace_join(pace, &waiter, now_us, limit_us) &&
		    wait_in_line(pace, &waiter, now_us, now_us + limit_us);
	g_mutex_unlock(&pace->mutex);
	g_cond_clear(&waiter.turn);
	return went;
}

void pace_hurry(struct pace *pace)
{
	g_mutex_lock(&pace->mutex);
	pace->hurried = true;
	for (GList *l = pace->waiters.head; l; l = l->next)
		g_cond_signal(&((struct pace_waiter *)l->data)->turn);
	g_mutex_unlock(&pace->mutex);
}

/* ---- what the relay bears ---- */

bool pace_throttled(struct pace *pace, int64_t now_us)
{
	g_mutex_lock(&pace->mutex);
	bool news = now_us >= pace->pause_until_us;
	if (news) {
		/* What follows until a message passes is about the same excess. */
		if (pace->learns && pace->pause_us == 0)
			pace->borne = pace->rate;
		if (pace->learns)
			pace->rate = bounded(pace, pace->rate * BACK_OFF);
		pace->pause_us = CLAMP(pace->pause_us * 2, PAUSE_MIN_US, PAUSE_MAX_US);
		pace->pause_until_us = now_us + pace->pause_us;
		pace->trial_comes = true;
		pace->trial_until_us = 0;
		wake_head(pace);
	}
	g_mutex_unlock(&pace->mutex);
	return news;
}

/* What one more recipient that passed is worth: at full use, that much in a second. */
static double growth(const struct pace *pace)
{
	double target = pace->borne > 0 ? pace->borne : pace->maximum;
	if (target <= 0)
		return GROWTH_UNKNOWN;
	bool near = pace->rate >= SET_OUT * target;
	return (near ? GROWTH_SLOW : GROWTH_FAST) * target / pace->rate;
}

static void grow(struct pace *pace, size_t n)
{
	bool near = pace->borne > 0 && pace->rate >= SET_OUT * pace->borne;
	/* No single step is large, however many recipients a transaction has. */
	double step = MIN((double)n * growth(pace), pace->rate * GROWTH_UNKNOWN);
	pace->rate = bounded(pace, pace->rate + step);
	if (near && pace->rate > pace->borne)
		pace->borne = pace->rate;
}

void pace_succeeded(struct pace *pace, size_t n, int64_t now_us)
{
	g_mutex_lock(&pace->mutex);
	if (now_us >= pace->pause_until_us) {
		bool trial = pace->trial_until_us > now_us;
		pace->pause_us = 0;
		pace->trial_until_us = 0;
		if (pace->learns && now_us - pace->waited_us <= DEMAND_US)
			grow(pace, n);
		if (trial)
			wake_head(pace);
	}
	g_mutex_unlock(&pace->mutex);
}

/* ---- settings ---- */

void pace_set_rate(struct pace *pace, double rate, bool learns)
{
	g_mutex_lock(&pace->mutex);
	if (!learns) {
		pace->rate = rate;
		pace->borne = 0;
	} else if (!pace->learns) {
		pace->rate = bounded(pace, rate);
	}
	pace->learns = learns;
	wake_head(pace);
	g_mutex_unlock(&pace->mutex);
}

void pace_set_maximum(struct pace *pace, double maximum)
{
	g_mutex_lock(&pace->mutex);
	double before = pace->maximum;
	pace->maximum = CLAMP(maximum, 0, PACE_RATE_MAX);
	if (pace->learns && pace->maximum > 0) {
		if (before <= 0 && pace->borne <= 0)
			pace->rate = SET_OUT * pace->maximum;
		/* More is allowed than was: what was borne says nothing any more. */
		if (before > 0 && pace->maximum > before)
			pace->borne = 0;
		pace->borne = MIN(pace->borne, pace->maximum);
		pace->rate = bounded(pace, pace->rate);
	}
	wake_head(pace);
	g_mutex_unlock(&pace->mutex);
}

size_t pace_most(struct pace *pace)
{
	double rate = pace_rate(pace);
	if (rate <= 0)
		return SIZE_MAX;
	return MAX((size_t)(rate * PACE_TRANSACTION_S), 1);
}

double pace_rate(struct pace *pace)
{
	g_mutex_lock(&pace->mutex);
	double rate = pace->rate;
	g_mutex_unlock(&pace->mutex);
	return rate;
}

int64_t pace_pause_left_us(struct pace *pace, int64_t now_us)
{
	g_mutex_lock(&pace->mutex);
	int64_t left_us = MAX(pace->pause_until_us - now_us, 0);
	g_mutex_unlock(&pace->mutex);
	return left_us;
}

/* ---- over restarts ---- */

char *pace_print(struct pace *pace)
{
	char rate[G_ASCII_DTOSTR_BUF_SIZE], borne[G_ASCII_DTOSTR_BUF_SIZE],
		maximum[G_ASCII_DTOSTR_BUF_SIZE];
	g_mutex_lock(&pace->mutex);
	g_ascii_formatd(rate, sizeof(rate), "%.3f", pace->rate);
	g_ascii_formatd(borne, sizeof(borne), "%.3f", pace->borne);
	g_ascii_formatd(maximum, sizeof(maximum), "%.3f", pace->maximum);
	g_mutex_unlock(&pace->mutex);
	return g_strjoin(" ", rate, borne, maximum, NULL);
}

static bool parse_rate(const char *text, double *rate)
{
	if (!*text || strlen(text) > 16 || strspn(text, "0123456789.") != strlen(text))
		return false;
	char *end;
	*rate = g_ascii_strtod(text, &end);
	return !*end && *rate >= 0 && *rate <= PACE_RATE_MAX;
}

bool pace_restore(struct pace *pace, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text, " ", 4);
	double rate, borne, maximum;
	if (g_strv_length(words) != 3 || !parse_rate(words[0], &rate) ||
		!parse_rate(words[1], &borne) || !parse_rate(words[2], &maximum))
		return false;
	g_mutex_lock(&pace->mutex);
	bool learns = pace->learns && rate > 0;
	if (learns) {
		pace->maximum = maximum;
		pace->borne = maximum > 0 ? MIN(borne, maximum) : borne;
		pace->rate = bounded(pace, rate);
	}
	g_mutex_unlock(&pace->mutex);
	return learns;
}
