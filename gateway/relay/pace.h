/*
 * pace - how many recipients a second may go to the relay, over all its connections, and
 * who goes first.
 *
 * SES counts recipients, and answers 454 to the account, not to one message, when they
 * come too fast: then everything pauses, for longer each time until a message has passed
 * again. After a pause one transaction goes ahead of all others, and they follow once it
 * has passed. A rate that is learnt falls by a part with each pause and grows a little
 * with each recipient that passes while others wait: fast up to near the rate of the last
 * complaint, slowly beyond it, and never over the maximum.
 *
 * Who waits goes by priority, then by time; one turn in PACE_FAIR_TURNS is the longest
 * waiter's, whatever its priority, so that a flood of alarms does not stop reports. Where
 * no transaction is larger than pace_most(), one of the highest priority waits, pauses
 * aside, for those of its own priority before it, and for what is under way and a fair
 * turn at most: twice PACE_TRANSACTION_S, or two recipients' time where that is longer.
 *
 * Within any T seconds no more recipients go than rate x (T + PACE_BURST_MS / 1000) and
 * one transaction. Embedded. Threads: any; times are monotonic, in microseconds.
 */
#ifndef GATEWAY_RELAY_PACE_H
#define GATEWAY_RELAY_PACE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_BURST_MS      250 /* so much silence is made up for: SES bears no more */
#define PACE_TRANSACTION_S 2   /* of the rate go in one transaction at most */
#define PACE_FAIR_TURNS    10
#define PACE_RATE_MIN      0.1 /* of a rate that is learnt, recipients per second */
#define PACE_RATE_MAX      100000.0

struct pace {
	GMutex mutex;
	double rate; /* recipients per second; 0: unpaced */
	bool learns;
	double maximum; /* of a rate that is learnt; 0: not known */
	/* At which rate the relay last complained, or what it has borne since; 0: it
	 * never has. Kept only of a rate that is learnt. */
	double borne;
	double due_us; /* when the next recipient's turn is, in steady flow */
	int64_t pause_until_us;
	int64_t pause_us;       /* the last pause's length; 0: none since a success */
	int64_t trial_until_us; /* one transaction tries whether the pause was enough */
	bool trial_comes;
	int64_t waited_us; /* when somebody last had to wait for the rate's sake */
	bool hurried;
	GQueue waiters; /* of struct pace_waiter, by priority, then by time */
	uint64_t turns, joined;
};

/* rate: recipients per second, 0 for no limit. learns: it is where learning begins, over
 * 0. */
void pace_init(struct pace *pace, double rate, bool learns);
/* When nobody waits. */
void pace_deinit(struct pace *pace);

/* A new rate from the settings: of learning where it begins, if that is new. What was
 * learnt stays. */
void pace_set_rate(struct pace *pace, double rate, bool learns);
/* What the relay allows, for a rate that is learnt; 0: not known. Sets out a little below
 * it, where nothing was learnt. */
void pace_set_maximum(struct pace *pace, double maximum);

/* Recipients that may stand in one transaction. */
size_t pace_most(struct pace *pace);

/* Waits for the turn of n recipients. False: it does not come within limit_us, or it had
 * to be waited for after pace_hurry(). */
bool pace_wait(struct pace *pace, size_t n, unsigned priority, int64_t limit_us);

/* What it is made of: the line without the clock, with the mutex held. */

/* What a caller waits for. Its own, from pace_join() until pace_turn()
 * or pace_leave(). */
struct pace_waiter {
	size_t n;          /* recipients */
	unsigned priority; /* a higher number goes first */
	uint64_t number;
	GCond turn;
	GList link;
};

/* Gets in line. False, and it is not in line: its turn is not to be expected within
 * limit_us. */
bool pace_join(
	struct pace *pace, struct pace_waiter *waiter, int64_t now_us, int64_t limit_us);
/* True: its turn has come, is taken, and it has left the line. False: not before *at_us
 * as things are, INT64_MAX while others go first. */
bool pace_turn(
	struct pace *pace, struct pace_waiter *waiter, int64_t now_us, int64_t *at_us);
void pace_leave(struct pace *pace, struct pace_waiter *waiter);

/* The relay says it is too fast: all pause, those that wait already too. True where that
 * is news: several connections hear of the same excess. */
bool pace_throttled(struct pace *pace, int64_t now_us);

/* The relay took a message for n recipients. */
void pace_succeeded(struct pace *pace, size_t n, int64_t now_us);

/* Nobody waits any more. */
void pace_hurry(struct pace *pace);

/* At present. */
double pace_rate(struct pace *pace);
/* Until the pause is over, in microseconds; 0: there is none. */
int64_t pace_pause_left_us(struct pace *pace, int64_t now_us);

/* What was learnt, as a short text, and back. False, and nothing changed: it is no such
 * text, or nothing is to be learnt. g_free(). */
char *pace_print(struct pace *pace);
bool pace_restore(struct pace *pace, const char *text);

#endif
