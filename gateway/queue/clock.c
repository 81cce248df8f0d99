/* Sums and a short list. What follows from a leap is the writer's and the deliveries'. */
#include "gateway/queue/clock.h"

#include <glib.h>
#include <string.h>
#include <time.h>

#define BACK_US    (10 * G_TIME_SPAN_SECOND) /* less does not matter */
#define FORWARD_US (10 * G_TIME_SPAN_MINUTE)

int64_t clock_boot_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

void clock_init(struct clock *clock, int64_t real_us, int64_t boot_us)
{
	*clock = (struct clock){ .offset_us = real_us - boot_us };
}

static void add_leap(struct clock *clock, int64_t at_ms, int64_t by_ms)
{
	if (clock->n == CLOCK_LEAPS_MAX) {
		clock->n--;
		memmove(clock->leaps, clock->leaps + 1,
			clock->n * sizeof clock->leaps[0]);
	}
	clock->leaps[clock->n++] = (struct clock_leap){ at_ms, by_ms };
}

int64_t clock_watch(struct clock *clock, int64_t real_us, int64_t boot_us)
{
	int64_t moved_us = real_us - boot_us - clock->offset_us;
	clock->offset_us += moved_us;
	if (moved_us > -BACK_US && moved_us < FORWARD_US)
		return 0;
	if (moved_us > 0)
		add_leap(clock, real_us / 1000, moved_us / 1000);
	/* Going back undoes what is not much larger. */
	while (moved_us < 0 && clock->n > 0 &&
		clock->leaps[clock->n - 1].by_ms / 2 <= -moved_us / 1000)
		clock->n--;
	return moved_us;
}

int64_t clock_leapt_ms(const struct clock *clock, int64_t since_ms)
{
	int64_t sum_ms = 0;
	for (unsigned i = 0; i < clock->n; i++) {
		const struct clock_leap *leap = &clock->leaps[i];
		sum_ms += since_ms <= leap->at_ms - leap->by_ms ? leap->by_ms : 0;
	}
	return sum_ms;
}

int64_t clock_leapt_within_ms(const struct clock *clock, int64_t now_ms, int64_t span_ms)
{
	int64_t sum_ms = 0;
	for (unsigned i = 0; i < clock->n; i++) {
		const struct clock_leap *leap = &clock->leaps[i];
		sum_ms += leap->at_ms > now_ms - span_ms ? leap->by_ms : 0;
	}
	return sum_ms;
}

char *clock_print(const struct clock *clock)
{
	GString *text = g_string_new(NULL);
	for (unsigned i = 0; i < clock->n; i++)
		g_string_append_printf(text, "%s%" G_GINT64_FORMAT "+%" G_GINT64_FORMAT,
			i ? " " : "", clock->leaps[i].at_ms, clock->leaps[i].by_ms);
	return g_string_free(text, FALSE);
}

void clock_recall(struct clock *clock, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text ? text : "", " ", CLOCK_LEAPS_MAX + 1);
	for (char **word = words; *word; word++) {
		char *end;
		int64_t at_ms = g_ascii_strtoll(*word, &end, 10);
		int64_t by_ms = *end == '+' ? g_ascii_strtoll(end + 1, NULL, 10) : 0;
		if (at_ms > 0 && by_ms > 0 && by_ms <= at_ms)
			add_leap(clock, at_ms, by_ms);
	}
}
