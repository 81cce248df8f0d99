/* Messages for which nothing is made durable before their client's answer;
 * afterwards the record of their links is. Leaves trying them to the
 * deliveries, as those of the queue. */
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

/* Whether the next hop has it, or may have it though it did not say so. */
static bool has_left(const struct queue_message *message)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if (r->state == QUEUE_SENT || r->state == QUEUE_UNCERTAIN)
			return true;
	}
	return false;
}

/* Its links are as good as any: they are to be found and revoked. Nothing is left to be
 * sent, as its client was told what became of it. */
static void record(struct queue *queue, struct queue_message *message)
{
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_PASSED;
	operation->message = message;
	if (message->state != QUEUE_SENT)
		message->state = QUEUE_BOUNCED;
	passage_complete(queue, message);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_WITH_NEXT);
	g_mutex_unlock(&queue->lock);
}

void transit_end(struct queue *queue, struct queue_message *message)
{
	struct transit *transit = message->transit;
	transit->passed(transit->context, message);
	if (!transit->kept) {
		spool_discard(&transit->spool);
		message->transit = NULL;
		if (message->attachments->len > 0 && has_left(message))
			record(queue, message);
		else
			queue_message_free(message);
	}
	g_free(transit);
}

void transit_refuse(
	struct queue *queue, struct queue_message *message, const char *reason)
{
	message->state = QUEUE_DEFERRED;
	g_free(message->reason);
	message->reason = g_strdup(reason);
	transit_end(queue, message);
}
