/*
 * allowance - what may go to one relay, and when: its pace and its quota of 24 hours,
 * with what SES's API says of them, kept over restarts and shown as metrics.
 *
 * A thread of its own asks the API at the start and every quarter of an hour after, where
 * the rate is "auto"; nothing waits for it. Without an answer the rate begins where the
 * settings or the last run left it, and is learnt. What was learnt and counted is
 * remembered every ten seconds: a crash loses no more of it.
 *
 * Of the quota the last hundredth is for mail of high priority, and low priority leaves
 * off at 95 parts of it.
 *
 * Owner:   reference-counted: a relay, and the one that a reload puts in its place.
 * Threads: any; allowance_take() blocks its caller, within the limit.
 */
#ifndef GATEWAY_RELAY_ALLOWANCE_H
#define GATEWAY_RELAY_ALLOWANCE_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/relay/relay.h"
#include <glib.h>
#include <stddef.h>
#include <stdint.h>

struct allowance;

/* Those that there are, by name and host of their relay. It outlives them. */
struct allowances;
struct allowances *allowances_new(void);
void allowances_free(struct allowances **allowances); /* NULL in it is taken */

/*
 * That of a relay with these settings; of memory->allowances where there is one already,
 * which then does not have these settings yet: allowance_apply(). Copies what it needs of
 * settings and memory. metrics and memory's context are borrowed and must outlive it;
 * memory NULL: nothing is kept. Never fails: what is wrong with asking SES's API is said
 * in the log. *is_new may be NULL.
 */
struct allowance *allowance_get(const struct conf_relay *settings,
	struct metrics *metrics, const struct relay_memory *memory, bool *is_new);
/* Clears *allowance, which may be NULL. The last one ends the thread and has what was
 * learnt remembered. */
void allowance_unref(struct allowance **allowance);

/* These settings hold from now on; what was learnt stays. */
void allowance_apply(struct allowance *allowance, const struct conf_relay *settings);

/* The gateway stops: who would have to wait gives up. */
void allowance_hurry(struct allowance *allowance);

/* Recipients that may stand in one transaction. */
size_t allowance_most(struct allowance *allowance);

enum allowance_answer {
	ALLOWANCE_GO,
	ALLOWANCE_LATER, /* not within the limit: others go first, or there is a pause */
	ALLOWANCE_QUOTA, /* the quota is used up, for this priority */
};
/* Waits until n recipients may go. After GO, and only then, allowance_settle() is due. */
enum allowance_answer allowance_take(struct allowance *allowance, size_t n,
	enum conf_priority priority, int64_t limit_us);
/* So many of them the relay took. */
void allowance_settle(struct allowance *allowance, size_t n, size_t n_sent);

/* The relay says that the rate was too high. */
void allowance_throttled(struct allowance *allowance);
/* The relay says that the quota is used up. It is not asked again for a while; what comes
 * meanwhile is told QUOTA. */
void allowance_quota_exceeded(struct allowance *allowance);

/* A person asked for mail to be sent (Unix time; 0: nobody did): a refusal for the
 * quota's sake before that counts no more. */
void allowance_asked(struct allowance *allowance, int64_t asked_ms);
/* Whether mail of that priority may go, as far as the quota is concerned. */
bool allowance_has_quota(struct allowance *allowance, enum conf_priority priority);

/* What waits for the quota waits for, as in queue_message.hold; g_free(). */
char *allowance_hold(struct allowance *allowance, enum conf_priority priority);

/* Until a pause is over, in microseconds; 0: there is none. */
int64_t allowance_pause_left_us(struct allowance *allowance);

#endif
