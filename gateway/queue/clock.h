/*
 * clock - how the clock of the day moved against the time since boot, in
 * which a machine's sleep counts. A clock that is set right, or wrong, is
 * no time that has passed.
 *
 * Internal to gateway/queue/. Pure; times are given. Thread: one at a time.
 */
#ifndef GATEWAY_QUEUE_CLOCK_H
#define GATEWAY_QUEUE_CLOCK_H

#include <stdint.h>

#define CLOCK_LEAPS_MAX 8 /* kept: the last ones */

struct clock_leap {
	int64_t at_ms; /* Unix time behind it */
	int64_t by_ms; /* above 0 */
};

struct clock {
	int64_t offset_us; /* of the day less that since boot */
	unsigned n;
	struct clock_leap leaps[CLOCK_LEAPS_MAX]; /* oldest first */
};

/* The time since boot, for those who are not pure. */
int64_t clock_boot_us(void);

void clock_init(struct clock *clock, int64_t real_us, int64_t boot_us);

/* Microseconds that the clock has moved since the last call: above 0 where it leapt
 * forward by minutes, which is kept; below where it went back by seconds, and then the
 * leaps that this undoes are forgotten; 0: neither. */
int64_t clock_watch(struct clock *clock, int64_t real_us, int64_t boot_us);

/* By how much it leapt forward since that Unix time. */
int64_t clock_leapt_ms(const struct clock *clock, int64_t since_ms);
/* All that it leapt forward in the span before now, as it shows. */
int64_t clock_leapt_within_ms(const struct clock *clock, int64_t now_ms, int64_t span_ms);

/* The leaps as text, to be kept; g_free(). clock_recall() takes it (NULL: none). */
char *clock_print(const struct clock *clock);
void clock_recall(struct clock *clock, const char *text);

#endif
