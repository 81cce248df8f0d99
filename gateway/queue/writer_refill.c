/* Reading back from the database what is due: what came when the lanes were full, what is
 * tried again, what an earlier process left. */
#include "gateway/queue/writer.h"

#include "gateway/log.h"

/* Every other time a lane begins with so many of the last that came: after an outage what
 * is new need not wait for all that is older. */
#define NEWEST_MESSAGES (LANE_RECIPIENTS / 2)

struct refill {
	struct queue *queue;
	int64_t now_ms;
	int64_t next_due_ms;
	GPtrArray *ids;
};

static bool see_due(void *context, const struct store_glance *glance)
{
	struct refill *refill = context;
	if (writer_flight(refill->queue, glance->id))
		return true;
	if (glance->next_attempt_ms > refill->now_ms ||
		refill->ids->len == LANE_RECIPIENTS) {
		refill->next_due_ms = glance->next_attempt_ms;
		return false;
	}
	g_ptr_array_add(refill->ids, g_strdup(glance->id));
	return true;
}

static bool see_newest(void *context, const struct store_glance *glance)
{
	struct refill *refill = context;
	if (!writer_flight(refill->queue, glance->id))
		g_ptr_array_add(refill->ids, g_strdup(glance->id));
	return refill->ids->len < NEWEST_MESSAGES;
}

/* An earlier process ended with it in flight, and recovery has not come to it yet. */
static bool end_flight(
	struct queue *queue, struct queue_message **message, GError **error)
{
	struct store_totals changes = { 0 };
	g_autofree char *id = g_strdup((*message)->id);
	bool ok = store_begin(queue->store, error) &&
		  recovery_end_flight(
			  queue->store, id, (*message)->state, &changes, error) &&
		  store_add_totals(queue->store, &changes, error) &&
		  store_commit(queue->store, error);
	g_clear_pointer(message, queue_message_free);
	if (!ok) {
		store_rollback(queue->store);
		return false;
	}
	writer_note_success(queue, &changes);
	return store_load(queue->store, id, message, error);
}

static bool load(struct queue *queue, const char *id, struct queue_message **message,
	GError **error)
{
	if (!store_load(queue->store, id, message, error))
		return false;
	if (!*message || ((*message)->state != QUEUE_RELAYING &&
				 (*message)->state != QUEUE_REWRITING &&
				 (*message)->state != QUEUE_UPLOADING))
		return true;
	return end_flight(queue, message, error);
}

/* Loads what was seen until the lane is full; false with error. */
static bool load_due(struct refill *refill, GError **error)
{
	for (guint i = 0; i < refill->ids->len; i++) {
		struct queue_message *message = NULL;
		if (!load(refill->queue, refill->ids->pdata[i], &message, error))
			return false;
		if (message && !writer_hand_over(refill->queue, false, message)) {
			queue_message_free(message);
			return true; /* writer_hand_over() has noted when to go on */
		}
	}
	return true;
}

static bool load_newest(
	struct refill *refill, enum conf_priority priority, GError **error)
{
	bool ok = store_scan_newest(refill->queue->store, priority, refill->now_ms,
			  see_newest, refill, error) &&
		  load_due(refill, error);
	g_ptr_array_set_size(refill->ids, 0);
	return ok;
}

static void refill_band(struct queue *queue, unsigned i)
{
	struct band *band = &queue->lanes.bands[i];
	struct refill refill = { queue, g_get_real_time() / 1000, STORE_NEVER_MS, NULL };
	g_mutex_lock(&queue->lock);
	bool wanted = !queue->stopped && lanes_should_refill(band, refill.now_ms);
	bool newest = band->newest_turn;
	if (wanted) {
		band->disk_due_ms = STORE_NEVER_MS;
		band->newest_turn = !newest;
	}
	g_mutex_unlock(&queue->lock);
	if (!wanted)
		return;

	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;
	refill.ids = ids;
	if ((newest && !load_newest(&refill, lanes_priority(i), &error)) ||
		!store_scan_due(
			queue->store, lanes_priority(i), see_due, &refill, &error) ||
		!load_due(&refill, &error)) {
		log_error("queue.read_failed", LOG_TEXT("reason", error->message));
		refill.next_due_ms = refill.now_ms + WRITER_TICK_US / 1000;
	}
	g_mutex_lock(&queue->lock);
	band->disk_due_ms = MIN(band->disk_due_ms, refill.next_due_ms);
	g_mutex_unlock(&queue->lock);
}

void writer_refill(struct queue *queue)
{
	for (unsigned i = 0; i < LANES_PRIORITIES; i++)
		refill_band(queue, i);
}
