/* Messages for which nothing is made durable: from queue_pass() to their client's answer.
 * Leaves trying them to the deliveries, as those of the queue. */
#include "gateway/queue/queue.h"

#include "gateway/queue/passage.h"
#include "gateway/queue/transit.h"

void queue_pass(struct queue *queue, struct queue_message *message, struct spool *spool,
	queue_passed passed, void *context)
{
	struct transit *transit = g_new0(struct transit, 1);
	transit->spool = spool;
	transit->passed = passed;
	transit->context = context;
	message->transit = transit;
	message->size = spool_bytes(spool);
	message->octets = spool_share(spool);
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_PASS;
	operation->message = message;
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_NOW);
	g_mutex_unlock(&queue->lock);
}

void queue_keep(struct queue *queue, struct queue_message *message, queue_submitted done,
	void *context)
{
	struct transit *transit = message->transit;
	transit->kept = true;
	message->transit = NULL;
	passage_submit(queue, message, g_steal_pointer(&transit->spool), done, context);
}

void transit_end(struct queue_message *message)
{
	struct transit *transit = message->transit;
	transit->passed(transit->context, message);
	if (!transit->kept) {
		spool_discard(&transit->spool);
		message->transit = NULL;
		queue_message_free(message);
	}
	g_free(transit);
}

void transit_refuse(struct queue_message *message, const char *reason)
{
	message->state = QUEUE_DEFERRED;
	g_free(message->reason);
	message->reason = g_strdup(reason);
	transit_end(message);
}
