/*
 * bouncing - reports of a message's fate put into the queue, as mail of its own.
 *
 * Thread: a delivery's; blocks until the report is durable.
 */
#ifndef GATEWAY_DELIVERY_BOUNCING_H
#define GATEWAY_DELIVERY_BOUNCING_H

#include "conf/conf.h"
#include "gateway/delivery/bounce.h"

/* The state of each of message's recipients, to be compared after the
 * attempt; g_free(). */
enum queue_state *bouncing_states(const struct queue_message *message);

/*
 * After an attempt whose outcome stands in message, tells its sender what it should hear:
 * queues one report for all recipients. Those that failed are BOUNCED then, and so is a
 * message that is finished and has nobody else. relay_host: who said what stands in it;
 * NULL: not known. fd: the message's spool, or -1: the report goes without the original.
 * before: bouncing_states() of before the attempt; late: bounce_is_late(). False with
 * error: no report could be queued, and the states stay as they are.
 */
bool bouncing_report(struct queue *queue, const struct conf *conf,
	struct queue_message *message, const char *relay_host, int fd,
	const enum queue_state *before, bool late, bool relay_reports, GError **error);

#endif
