/* A token bucket kept as one time: when the next recipient is due. What a reply means for
 * it is reply.c's. */
#include "gateway/relay/pace.h"

/* So much may be made up for after silence: SES bears short bursts,
 * not a second's worth. */
#define BURST_US     (G_USEC_PER_SEC / 4)
#define PAUSE_MIN_US G_USEC_PER_SEC
#define PAUSE_MAX_US (32 * G_USEC_PER_SEC)

void pace_init(struct pace *pace, double rate)
{
	*pace = (struct pace){ .interval_us = rate > 0 ? G_USEC_PER_SEC / rate : 0 };
	g_mutex_init(&pace->mutex);
	g_cond_init(&pace->changed);
}

void pace_deinit(struct pace *pace)
{
	g_mutex_clear(&pace->mutex);
	g_cond_clear(&pace->changed);
}

static int64_t reserve(struct pace *pace, size_t n, int64_t now_us, int64_t limit_us)
{
	double now = (double)now_us;
	double due = MAX(pace->due_us, now - BURST_US);
	double wait = MAX(MAX(due, (double)pace->pause_until_us) - now, 0);
	if (wait > (double)limit_us)
		return -1;
	if (pace->interval_us > 0)
		pace->due_us = MAX(due, (double)pace->pause_until_us) +
			       (double)n * pace->interval_us;
	return (int64_t)wait;
}

int64_t pace_reserve(struct pace *pace, size_t n, int64_t now_us, int64_t limit_us)
{
	g_mutex_lock(&pace->mutex);
	int64_t wait_us = reserve(pace, n, now_us, limit_us);
	g_mutex_unlock(&pace->mutex);
	return wait_us;
}

bool pace_wait(struct pace *pace, size_t n, int64_t limit_us)
{
	g_mutex_lock(&pace->mutex);
	int64_t now_us = g_get_monotonic_time(), last_us = now_us + limit_us;
	int64_t wait_us = reserve(pace, n, now_us, limit_us);
	int64_t turn_us = now_us + wait_us;
	while (wait_us >= 0 && now_us < turn_us) {
		g_cond_wait_until(&pace->changed, &pace->mutex, turn_us);
		now_us = g_get_monotonic_time();
		/* A pause that began meanwhile holds for those who had their turn. */
		turn_us = MAX(turn_us, pace->pause_until_us);
		if (turn_us > last_us)
			wait_us = -1;
	}
	g_mutex_unlock(&pace->mutex);
	return wait_us >= 0;
}

void pace_throttled(struct pace *pace, int64_t now_us)
{
	g_mutex_lock(&pace->mutex);
	/* Several connections hear of the same excess: that is one pause. */
	if (now_us >= pace->pause_until_us) {
		int64_t doubled_us = MIN(pace->pause_us * 2, PAUSE_MAX_US);
		pace->pause_us = MAX(doubled_us, PAUSE_MIN_US);
		pace->pause_until_us = now_us + pace->pause_us;
	}
	g_cond_broadcast(&pace->changed);
	g_mutex_unlock(&pace->mutex);
}

void pace_succeeded(struct pace *pace)
{
	g_mutex_lock(&pace->mutex);
	if (g_get_monotonic_time() >= pace->pause_until_us)
		pace->pause_us = 0;
	g_mutex_unlock(&pace->mutex);
}
