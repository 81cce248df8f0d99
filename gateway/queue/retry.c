/* The growing wait between attempts. Pure but for its jitter; knows
 * nothing of the queue. */
#include "gateway/queue/queue.h"

/* Written for a first wait of five seconds; another first wait
 * scales it. Beyond: doubled. */
static const int64_t waits_s[] = { 5, 10, 30, 5 * 60, 20 * 60, 40 * 60, 60 * 60 };

int64_t queue_retry_delay_ms(const struct conf_queue *settings, unsigned attempts)
{
	int64_t first_ms = MAX((int64_t)settings->retry_first_s * 1000, 1);
	int64_t most_ms = MAX((int64_t)settings->retry_max_s * 1000, first_ms);
	unsigned step = attempts > 0 ? attempts - 1 : 0;
	unsigned known = MIN(step, (unsigned)G_N_ELEMENTS(waits_s) - 1);
	int64_t wait_ms = first_ms * (waits_s[known] / waits_s[0]);
	for (unsigned i = known; i < step && wait_ms < most_ms; i++)
		wait_ms *= 2;
	wait_ms = MIN(wait_ms, most_ms);

	/* A fifth to either side within the bounds, so that what failed together after an
	 * outage does not come back together. */
	int64_t least_ms = MAX(wait_ms - wait_ms / 5, first_ms);
	int64_t span_ms = MIN(wait_ms + wait_ms / 5, most_ms) - least_ms;
	return least_ms + (int64_t)(g_random_double() * (double)span_ms);
}
