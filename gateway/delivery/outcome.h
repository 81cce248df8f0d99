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

/* Whether the recipient has not been settled by an earlier attempt. */
bool outcome_is_open(const struct queue_recipient *recipient);

/* Copies the relay's verdict and reply into the recipient. */
void outcome_take_verdict(
	struct queue_recipient *recipient, const struct relay_recipient *result);

/* Sets state and reason after a step failed: DEAD for
 * GATEWAY_ERROR_REJECT, DEFERRED else. */
void outcome_of_failure(
	struct queue_message *message, const char *step, const GError *error);

/* Sets state, reason and uncertain from the recipients' states. */
void outcome_of_recipients(struct queue_message *message);

/* Sets next_attempt_ms for what is to be tried again; finished_ms, and DEAD where the
 * time is over, for what is not. */
void outcome_schedule(
	struct queue_message *message, const struct conf_queue *settings, int64_t now_ms);

#endif
