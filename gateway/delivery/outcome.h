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
	bool deferred;  /* some recipient is */
	bool uncertain; /* likewise: some final dot of this attempt had no reply */
	enum queue_failure
		failure;    /* of all that are deferred; MESSAGE where they differ */
	char *hold;         /* of the first recipient that is held, or of a step */
	const char *advice; /* beside it; constant, may be NULL */
};
void outcome_deinit(struct outcome *outcome);

/* The state that a verdict alone makes. */
enum queue_state outcome_state(enum relay_verdict verdict);
/* Copies the relay's verdict and reply into the recipient. One that is UNCERTAIN stays so
 * where the relay could not be asked about the message this time. */
void outcome_take_verdict(
	struct queue_recipient *recipient, const struct relay_recipient *result);
/* Notes it in outcome too: once for each recipient that was tried. */
void outcome_note(struct outcome *outcome, const struct relay_recipient *result);

/* Sets state and reason after a step failed: DEAD for GATEWAY_ERROR_REJECT (the reason is
 * then the reply of those it ends), HELD where hold (taken; NULL: none) says what a
 * person has to mend, DEFERRED else, for such a failure. */
void outcome_of_failure(struct outcome *outcome, struct queue_message *message,
	const char *step, const GError *error, char *hold, enum queue_failure failure);

/*
 * Sets state, hold, reason and uncertain from the recipients' states. kept: for each
 * recipient whether nobody may send to it again by itself (groups_is_kept()); NULL: for
 * none. Such recipients and the message become HELD, by a person's hold, once no other
 * one is to be tried again. Who was UNCERTAIN before, and of whom this attempt learnt
 * nothing, keeps the message as the others do.
 */
void outcome_of_recipients(
	const struct outcome *outcome, struct queue_message *message, const bool *kept);

/* Whether it is to be tried again, by itself or once a person has seen to it. */
bool outcome_is_open(const struct queue_message *message);

/* Unix times that plans go by; of what is not open the first alone. */
struct outcome_times {
	int64_t now_ms;
	int64_t end_ms;   /* queue_lifetime_end_ms() */
	int64_t delay_ms; /* bounce_delay_ms() */
};

/* Sets next_attempt_ms for what is to be tried again; finished_ms, and DEAD where the
 * time is over, for what is not. What is held by a fault has the same time to live. No
 * plan passes over the time when the sender is to hear that it waits. */
void outcome_schedule(const struct outcome *outcome, struct queue_message *message,
	const struct conf_queue *settings, const struct outcome_times *times);

/* The sender cannot be told now what became of a message (why: a full disk): the next
 * attempt is to do so, and comes soon. What a person holds has none. Not for a message in
 * transit. */
void outcome_put_off(struct queue_message *message, const struct conf_queue *settings,
	int64_t now_ms, const char *why);

/* Of a message that is given up each recipient is: what has no end yet is DEAD, and where
 * they differ its history says of whom. But for those kept (NULL: none). */
void outcome_end_recipients(struct queue_message *message, const bool *kept);

/* Of a message that was given up, and reported so, those kept wait for a person as ever,
 * and it with them; only the others have ended. */
void outcome_keep(struct queue_message *message, const bool *kept);

#endif
