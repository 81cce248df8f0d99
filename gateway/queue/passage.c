/* A message's way through the queue as its callers see it: submitting, taking, recording,
 * finishing. What touches the database is handed to the writer. */
#include "gateway/queue/queue.h"

#include "gateway/error.h"
#include "gateway/queue/passage.h"
#include "gateway/queue/transit.h"
#include "gateway/queue/writer.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_AGAIN_MS (15 * 60 * 1000) /* for one past its lifetime */

/* --- in --- */

void passage_submit(struct queue *queue, struct queue_message *message,
	struct spool *spool, queue_submitted done, void *context)
{
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_SUBMIT;
	operation->message = message;
	operation->spool = spool;
	operation->done = done;
	operation->context = context;
	message->size = spool_bytes(spool);
	if (!message->octets)
		message->octets = spool_share(spool);
	passage_complete(queue, message);
	g_mutex_lock(&queue->lock);
	queue->submitting++;
	writer_add(queue, operation, URGENCY_NOW);
	g_mutex_unlock(&queue->lock);
}

void queue_submit(struct queue *queue, struct queue_message *message, struct spool *spool,
	queue_submitted done, void *context)
{
	passage_submit(queue, message, spool, done, context);
}

/* --- in flight --- */

/* With the lock held: what was taken may leave a lane to be filled. */
static void note_taken(struct queue *queue, bool refill)
{
	if (refill && lanes_disk_due_ms(&queue->lanes) <= g_get_real_time() / 1000)
		writer_wake(queue);
}

struct queue_message *queue_take(struct queue *queue)
{
	struct queue_message *message = NULL;
	bool refill = false;
	g_mutex_lock(&queue->lock);
	while (!queue->stopped && !(message = lanes_pop(&queue->lanes, &refill))) {
		queue->takers_waiting++;
		g_cond_wait(&queue->ready, &queue->lock);
		queue->takers_waiting--;
	}
	note_taken(queue, refill);
	g_mutex_unlock(&queue->lock);
	return message;
}

struct queue_message *queue_take_urgent(struct queue *queue)
{
	struct queue_message *message = NULL;
	bool refill = false;
	g_mutex_lock(&queue->lock);
	while (!queue->stopped && !(message = lanes_pop_urgent(&queue->lanes, &refill))) {
		queue->alarm_awaited = true;
		g_cond_wait(&queue->alarm, &queue->lock);
		queue->alarm_awaited = false;
	}
	note_taken(queue, refill);
	g_mutex_unlock(&queue->lock);
	return message;
}

static bool has_all(int fd, const struct queue_message *message, GError **error)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"the spool file cannot be examined: %s", g_strerror(errno));
		return false;
	}
	if ((uint64_t)st.st_size == message->size)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
		"the spool file is damaged: it has %" G_GINT64_FORMAT
		" octets, %" G_GUINT64_FORMAT " were received",
		(int64_t)st.st_size, message->size);
	return false;
}

int queue_open_spool(
	struct queue *queue, const struct queue_message *message, GError **error)
{
	int fd = spool_open(queue->spool_fd, message->id);
	if (fd < 0) {
		bool gone = errno == ENOENT;
		g_set_error(error, GATEWAY_ERROR,
			gone ? GATEWAY_ERROR_REJECT : GATEWAY_ERROR_RETRY,
			"the spool file cannot be opened: %s", g_strerror(errno));
		return -1;
	}
	if (has_all(fd, message, error))
		return fd;
	close(fd);
	return -1;
}

void queue_note_state(
	struct queue *queue, struct queue_message *message, enum queue_state state)
{
	(void)queue; /* its thread looks at the flight now and then */
	queue_message_add_event(message, -1, state, 0, NULL, NULL);
	if (message->flight)
		g_atomic_int_set(&message->flight->noted, (gint)state);
}

static void copy_attachment(struct queue_message *to, const struct queue_attachment *from)
{
	struct queue_attachment *copy = queue_message_add_attachment(to);
	*copy = *from;
	copy->key = g_strdup(from->key);
	copy->file_name = g_strdup(from->file_name);
	copy->media_type = g_strdup(from->media_type);
}

void queue_record_attachments(struct queue *queue, const struct queue_message *message)
{
	if (message->attachments->len == 0 || message->transit)
		return;
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_ATTACHMENTS;
	operation->message = queue_message_blank();
	memcpy(operation->message->id, message->id, sizeof message->id);
	operation->message->state = message->state;
	for (guint i = 0; i < message->attachments->len; i++)
		copy_attachment(operation->message, message->attachments->pdata[i]);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_WITH_NEXT);
	g_mutex_unlock(&queue->lock);
}

bool queue_mark_relaying(
	struct queue *queue, const struct queue_message *message, GError **error)
{
	if (message->transit)
		return true; /* its client knows that it may come twice */
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_RELAYING;
	operation->message = (struct queue_message *)message; /* only read */
	g_atomic_ref_count_init(&operation->holders);
	g_atomic_ref_count_inc(&operation->holders);
	g_cond_init(&operation->ended);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_NOW);
	while (!operation->has_ended)
		g_cond_wait(&operation->ended, &queue->lock);
	g_mutex_unlock(&queue->lock);
	GError *failure = g_steal_pointer(&operation->error);
	writer_release(operation);
	if (!failure)
		return true;
	g_propagate_error(error, failure);
	return false;
}

/* --- out --- */

/* A fault that is never mended must not keep a message for ever: it is tried once more at
 * the end of its lifetime, or before where that is planned. */
static int64_t held_until_ms(struct queue *queue, const struct queue_message *message)
{
	if (!message->hold)
		return STORE_NEVER_MS;
	int64_t now_ms = g_get_real_time() / 1000;
	int64_t end_ms = queue_lifetime_end_ms(queue, message);
	if (message->next_attempt_ms > now_ms && message->next_attempt_ms < end_ms)
		return message->next_attempt_ms;
	return end_ms > now_ms ? end_ms : now_ms + HELD_AGAIN_MS;
}

static void set_unfinished_state(struct queue_message *message)
{
	switch (message->state) {
	case QUEUE_RELAYING: /* given back in the middle: nobody knows */
	case QUEUE_UNCERTAIN:
		message->state = QUEUE_UNCERTAIN;
		message->uncertain = true;
		break;
	case QUEUE_REWRITING: /* the same, with nothing sent */
	case QUEUE_UPLOADING:
		message->state = QUEUE_DEFERRED;
		break;
	case QUEUE_RECEIVED:
	case QUEUE_DEFERRED:
	case QUEUE_HELD:
	case QUEUE_SENT:
	case QUEUE_BOUNCED:
	case QUEUE_DEAD:
	case QUEUE_STATES:
		break;
	}
}

void passage_complete(struct queue *queue, struct queue_message *message)
{
	if (queue_state_is_final(message->state)) {
		if (message->finished_ms == 0)
			message->finished_ms = g_get_real_time() / 1000;
	} else {
		set_unfinished_state(message);
		message->finished_ms = 0;
	}
	if (message->state == QUEUE_HELD)
		message->next_attempt_ms = held_until_ms(queue, message);
	else
		g_clear_pointer(&message->hold, g_free);
}

void queue_finish(struct queue *queue, struct queue_message *message)
{
	if (message->transit) {
		transit_end(queue, message);
		return;
	}
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_FINISH;
	operation->message = message;
	passage_complete(queue, message);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_SOON);
	g_mutex_unlock(&queue->lock);
}
