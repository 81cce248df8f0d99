/*
 * passage - what queue.h's calls on a message's way share.
 *
 * Internal to gateway/queue/. Any thread, not with the queue's lock held.
 */
#ifndef GATEWAY_QUEUE_PASSAGE_H
#define GATEWAY_QUEUE_PASSAGE_H

#include "gateway/queue/writer.h"

/* queue_submit(). */
void passage_submit(struct queue *queue, struct queue_message *message,
	struct spool *spool, queue_submitted done, void *context);

/* Fills in what message's state implies, whatever its holder left in the fields. */
void passage_complete(struct queue *queue, struct queue_message *message);

#endif
