/*
 * transit - the end of messages of queue_pass().
 *
 * Internal to gateway/queue/. Any thread, but not with the queue's lock held.
 */
#ifndef GATEWAY_QUEUE_TRANSIT_H
#define GATEWAY_QUEUE_TRANSIT_H

#include "gateway/queue/writer.h"

#define TRANSIT_STOPPING "the gateway is being stopped"

/* Hands over what became of message, which it takes. Links that somebody may have got are
 * recorded, within a second or so, unless all of it is kept. */
void transit_end(struct queue *queue, struct queue_message *message);
/* The same for one that was not tried: deferred, for that reason. */
void transit_refuse(
	struct queue *queue, struct queue_message *message, const char *reason);

#endif
