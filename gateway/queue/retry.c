/* The growing wait between attempts. Pure but for its jitter; knows
 * nothing of the queue. */
#include "gateway/queue/queue.h"

/* Written for a first wait of five seconds; another first wait
 * scales it. Beyond: doubled, up to most_s (0: the setting alone bounds it). */
struct schedule {
	unsigned n;
	int64_t waits_s[7];
	int64_t most_s;
};

static const struct schedule schedules[] = {
	[QUEUE_FAILURE_MESSAGE] = { 7, { 5, 10, 30, 5 * 60, 20 * 60, 40 * 60, 60 * 60 },
		0 },
	/* What does not answer is asked again soon, however long it has been away: a
	 * delivery that meets it closed costs little. */
	[QUEUE_FAILURE_UPSTREAM] = { 2, { 5, 10 }, 5 * 60 },
	[QUEUE_FAILURE_THROTTLE] = { 2, { 5, 10 }, 60 },
};

static int64_t wait_ms_of(
	const struct schedule *schedule, int64_t first_ms, int64_t most_ms, unsigned step)
{
	unsigned known = MIN(step, schedule->n - 1);
	int64_t wait_ms = first_ms * (schedule->waits_s[known] / schedule->waits_s[0]);
	for (unsigned i = known; i < step && wait_ms < most_ms; i++)
		wait_ms *= 2;
	return MIN(wait_ms, most_ms);
}

int64_t queue_retry_delay_ms(
	const struct conf_queue *settings, enum queue_failure failure, unsigned attempts)
{
	const struct schedule *schedule = &schedules[failure];
	int64_t first_ms = MAX((int64_t)settings->retry_first_s * 1000, 1);
	int64_t most_ms = (int64_t)settings->retry_max_s * 1000;
	if (schedule->most_s > 0)
		most_ms = MIN(most_ms, schedule->most_s * 1000);
	most_ms = MAX(most_ms, first_ms);
	int64_t wait_ms =
		wait_ms_of(schedule, first_ms, most_ms, attempts > 0 ? attempts - 1 : 0);

	/* A fifth to either side within the bounds, so that what failed together after an
	 * outage does not come back together. */
	int64_t least_ms = MAX(wait_ms - wait_ms / 5, first_ms);
	int64_t span_ms = MIN(wait_ms + wait_ms / 5, most_ms) - least_ms;
	return least_ms + (int64_t)(g_random_double() * (double)span_ms);
}
