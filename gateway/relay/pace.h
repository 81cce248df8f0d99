/*
 * pace - how many recipients a second may go to the relay, over all its connections.
 *
 * SES counts recipients, and answers 454 to the account, not to one message, when they
 * come too fast: then everything pauses, for longer each time until a message has passed
 * again. Embedded. Threads: any.
 */
#ifndef GATEWAY_RELAY_PACE_H
#define GATEWAY_RELAY_PACE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
	GMutex mutex;
	GCond changed;
	double interval_us; /* between two recipients; 0: unpaced */
	double due_us;      /* when the next recipient's turn is, in steady flow */
	int64_t pause_until_us;
	int64_t pause_us; /* the last pause's length; 0: none since a success */
};

/* rate: recipients per second, 0 for no limit. */
void pace_init(struct pace *pace, double rate);
void pace_deinit(struct pace *pace);

/* The same without waiting, at a given monotonic time: microseconds until
 * n recipients may go, whose turn is taken; negative, and nothing taken,
 * when that is over limit_us. */
int64_t pace_reserve(struct pace *pace, size_t n, int64_t now_us, int64_t limit_us);

/* Waits for the turn of n recipients; false: it does not come within limit_us. */
bool pace_wait(struct pace *pace, size_t n, int64_t limit_us);

/* The relay says it is too fast: all pause, those that wait already too. */
void pace_throttled(struct pace *pace, int64_t now_us);

/* The relay took a message. */
void pace_succeeded(struct pace *pace);

#endif
