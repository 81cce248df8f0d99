/*
 * outcome - what the result of one delivery attempt means for a message. Pure: the
 * clock's time is given.
 */
#ifndef GATEWAY_DELIVERY_OUTCOME_H
#define GATEWAY_DELIVERY_OUTCOME_H

#include "conf/conf.h"
#include "gateway/queue/queue.h"
#include "gateway/relay/relay.h"
#include <glib.h>

/* What the recipients' verdicts have in common. Zero-initialise. */
struct outcome {
	bool deferred; /* some recipient is */
	enum queue_failure
		failure;    /* of all that are deferred; MESSAGE where they differ */
	char *hold;         /* of the first recipient that is held, or of a step */
	const char *advice; /* beside it; constant, may be NULL */
};
void outcome_deinit(struct outcome *outcome);

/* Copies the relay's verdict and reply into the recipient. */
void outcome_take_verdict(
	struct queue_recipient *recipient, const struct relay_recipient *result);
/* Notes it in outcome too: once for each recipient that was tried. */
void outcome_note(struct outcome *outcome, const struct relay_recipient *result);

/* Sets state and reason after a step failed: DEAD for GATEWAY_ERROR_REJECT,
 * HELD where hold (taken; NULL: none) says what a person has to mend, DEFERRED
 * else, for such a failure. */
void outcome_of_failure(struct outcome *outcome, struct queue_message *message,
	const char *step, const GError *error, char *hold, enum queue_failure failure);

/*
 * Sets state, hold, reason and uncertain from the recipients' states. kept: for each
 * recipient whether nobody may send to it again by itself (groups_is_kept()); NULL: for
 * none. Such recipients and the message become HELD, by a person's hold, once no other
 * one is to be tried again.
 */
void outcome_of_recipients(
	const struct outcome *outcome, struct queue_message *message, const bool *kept);

/* Sets next_attempt_ms for what is to be tried again; finished_ms, and DEAD where the
 * time is over, for what is not. What is held by a fault has the same time to live. No
 * plan passes over bounce_delay_ms(). leapt_ms: queue_leapt_ms() since it began. */
void outcome_schedule(const struct outcome *outcome, struct queue_message *message,
	const struct conf_queue *settings, int64_t now_ms, int64_t leapt_ms);

/* The sender cannot be told now whom the attempt has given up (why: a full disk): the
 * next attempt is to find it again. before: the recipients' states before this one. Not
 * for a message in transit. */
void outcome_put_off(struct queue_message *message, const enum queue_state *before,
	const struct conf_queue *settings, int64_t now_ms, const char *why);

#endif
