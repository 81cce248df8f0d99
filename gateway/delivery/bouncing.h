/*
 * bouncing - reports of a message's fate put into the queue, as mail of its own.
 *
 * Thread: a delivery's; blocks until the report is durable. The note that it was made
 * goes with the attempt's own record: a crash between them makes it twice.
 */
#ifndef GATEWAY_DELIVERY_BOUNCING_H
#define GATEWAY_DELIVERY_BOUNCING_H

#include "conf/conf.h"
#include "gateway/delivery/bounce.h"

/* What a report is made of beside the message. */
struct bouncing {
	struct queue *queue;
	const struct conf *conf;
	const char *const *hosts; /* for each recipient: see struct bounce */
	const bool *kept;         /* for each: nothing is to be told of it (outcome.h) */
	bool late;                /* bounce_delay_ms() has come */
	int64_t end_ms;           /* queue_lifetime_end_ms() of what still waits */
};

/*
 * After an attempt whose outcome stands in message, tells its sender what it has still to
 * hear: queues one report for all recipients, and notes in them that it was told. Those
 * that failed are BOUNCED then, and so is a message that is finished and has nobody else.
 * False with error: no report could be queued, and nothing is noted.
 */
bool bouncing_report(
	const struct bouncing *bouncing, struct queue_message *message, GError **error);

#endif
