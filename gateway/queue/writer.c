/* The writer thread: group commit and what is in flight. Leaves SQL to the store, files
 * to the spool, reading ahead to writer_refill.c and the rest to writer_house.c. */
#include "gateway/queue/writer.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/queue/holds.h"
#include "gateway/queue/spooling.h"
#include "gateway/queue/transit.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BATCH_OPERATIONS 512
#define SOON_US          (3 * G_TIME_SPAN_MILLISECOND)

static int64_t now_ms(void)
{
	return g_get_real_time() / 1000;
}

void writer_wake(struct queue *queue)
{
	if (!queue->writer_waits)
		return;
	queue->writer_waits =
		false; /* one wake-up is enough for all who come before it runs */
	g_cond_signal(&queue->work);
}

void writer_add(struct queue *queue, struct operation *operation, enum urgency urgency)
{
	operation->link.data = operation;
	g_queue_push_tail_link(&queue->pending, &operation->link);
	if (urgency == URGENCY_NOW) {
		queue->urgent++;
		writer_wake(queue);
	} else if (urgency == URGENCY_SOON && queue->due_us == WRITER_NEVER_US) {
		queue->due_us = g_get_monotonic_time() + SOON_US;
		writer_wake(queue);
	}
}

void writer_release(struct operation *operation)
{
	if (!g_atomic_ref_count_dec(&operation->holders))
		return;
	g_cond_clear(&operation->ended);
	g_clear_error(&operation->error);
	g_free(operation);
}

struct flight *writer_flight(const struct queue *queue, const char *id)
{
	return g_hash_table_lookup(queue->flights, id);
}

static struct flight *flight_of(const struct queue *queue, const char *id)
{
	struct flight *flight = writer_flight(queue, id);
	g_assert(flight); /* only what was taken is relayed or finished */
	return flight;
}

static struct flight *flight_new(
	const struct queue *queue, const struct queue_message *message)
{
	struct flight *flight = g_new0(struct flight, 1);
	memcpy(flight->id, message->id, sizeof flight->id);
	flight->stored = message->state;
	flight->hold = g_strdup(message->hold);
	flight->version = queue->version;
	flight->retried_ms = message->retried_ms;
	return flight;
}

/* Whom a message that was put into a lane is to wake: looked at with the lock held, and
 * waked up without it, since they need it at once. */
struct awaited {
	bool ready, alarm;
};

static struct awaited find_awaited(
	const struct queue *queue, const struct queue_message *message)
{
	return (struct awaited){
		.ready = queue->takers_waiting > 0,
		.alarm = queue->alarm_awaited && message->priority == CONF_PRIORITY_HIGH,
	};
}

static void call(struct queue *queue, struct awaited awaited)
{
	if (awaited.ready)
		g_cond_signal(&queue->ready);
	if (awaited.alarm)
		g_cond_signal(&queue->alarm);
}

struct flight *writer_hand_over(
	struct queue *queue, bool fresh, struct queue_message *message)
{
	struct flight *flight = flight_new(queue, message);
	message->flight = flight;
	/* Before it is in the lane: from there it may be back at once. */
	g_hash_table_insert(queue->flights, flight->id, flight);
	g_mutex_lock(&queue->lock);
	struct band *band = lanes_band(&queue->lanes, message->priority);
	bool room = !queue->stopped &&
		    lanes_push(fresh ? &band->fresh : &band->backlog, message);
	if (!room)
		band->disk_due_ms = MIN(band->disk_due_ms, message->next_attempt_ms);
	struct awaited awaited = find_awaited(queue, message);
	g_mutex_unlock(&queue->lock);
	if (room) {
		call(queue, awaited);
		return flight;
	}
	message->flight = NULL;
	g_hash_table_remove(queue->flights, flight->id);
	return NULL;
}

/* --- group commit --- */

static void fail_unless_failed(struct operation *operation, const GError *error)
{
	if (!operation->error)
		operation->error = g_error_copy(error);
}

/* A person may have changed a message in flight: then the record tells, not the memory of
 * it. */
static bool look_at_record(
	struct queue *queue, struct flight *flight, int64_t version, GError **error)
{
	struct store_mark mark;
	if (flight->version == version)
		return true;
	if (!store_find_mark(queue->store, flight->id, &mark, error))
		return false;
	flight->gone = !mark.found;
	flight->held = mark.state == QUEUE_HELD && !mark.has_hold;
	flight->unheld = !mark.has_hold;
	flight->retried_ms = mark.retried_ms;
	if (mark.found)
		flight->stored = mark.state;
	flight->version = version;
	return true;
}

static bool apply_relaying(struct queue *queue, struct operation *op, int64_t version,
	struct store_totals *changes, GError **error)
{
	struct flight *flight = flight_of(queue, op->message->id);
	if (!look_at_record(queue, flight, version, error))
		return false;
	if (flight->gone || flight->held) {
		op->error = g_error_new(GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"it was %s by a person meanwhile",
			flight->gone ? "deleted" : "held");
		return true;
	}
	changes->messages[flight->stored]--;
	changes->messages[QUEUE_RELAYING]++;
	return store_set_relaying(queue->store, op->message, error);
}

/* Once, however often the record is tried. */
static void overrule(struct flight *flight, struct queue_message *message,
	enum queue_state state, int64_t next_attempt_ms, const char *why)
{
	if (flight->overruled)
		return;
	flight->overruled = true;
	message->state = state;
	message->next_attempt_ms = next_attempt_ms;
	g_clear_pointer(&message->hold, g_free);
	queue_message_add_event(message, -1, state, 0, why, NULL);
}

/* What a person wanted of it meanwhile, unless it has ended for good. */
static void heed_person(struct flight *flight, struct queue_message *message)
{
	if (queue_state_is_final(message->state))
		return;
	if (flight->held)
		overrule(flight, message, QUEUE_HELD, STORE_NEVER_MS,
			"held by a person meanwhile");
	else if (flight->retried_ms > message->retried_ms)
		overrule(flight, message,
			message->state == QUEUE_HELD ? QUEUE_DEFERRED : message->state,
			now_ms(), "a person asked for a retry meanwhile");
}

static bool apply_finish(struct queue *queue, struct operation *op, int64_t version,
	struct store_totals *changes, GError **error)
{
	struct queue_message *message = op->message;
	struct flight *flight = flight_of(queue, message->id);
	if (!look_at_record(queue, flight, version, error))
		return false;
	if (flight->gone)
		return true;
	heed_person(flight, message);
	changes->messages[flight->stored]--;
	changes->messages[message->state]++;
	return store_finish(queue->store, message, error);
}

static bool apply_attachments(
	struct queue *queue, const struct operation *op, int64_t version, GError **error)
{
	struct flight *flight = writer_flight(queue, op->message->id);
	if (flight && !look_at_record(queue, flight, version, error))
		return false;
	return (flight && flight->gone) ||
	       store_put_attachments(queue->store, op->message, error);
}

static bool apply(struct queue *queue, struct operation *op, int64_t version,
	struct store_totals *changes, GError **error)
{
	const struct queue_message *message = op->message;
	switch (op->kind) {
	case OPERATION_SUBMIT:
	case OPERATION_PASSED:
		changes->messages[message->state]++;
		return store_insert(queue->store, message, error) &&
		       store_put_attachments(queue->store, message, error);
	case OPERATION_ATTACHMENTS:
		return apply_attachments(queue, op, version, error);
	case OPERATION_RELAYING:
		return apply_relaying(queue, op, version, changes, error);
	case OPERATION_FINISH:
		return apply_finish(queue, op, version, changes, error);
	case OPERATION_NOTE:
		return store_put_note(queue->store, op->name, op->text, error);
	case OPERATION_PASS:
		return true;
	}
	g_assert_not_reached();
}

static bool transact(struct queue *queue, const GQueue *batch,
	struct store_totals *changes, GError **error)
{
	int64_t version = 0;
	bool ok = store_begin(queue->store, error) &&
		  store_version(queue->store, &version, error);
	for (GList *l = batch->head; ok && l; l = l->next) {
		struct operation *op = l->data;
		if (!op->error)
			ok = apply(queue, op, version, changes, error);
	}
	ok = ok && store_add_totals(queue->store, changes, error) &&
	     store_commit(queue->store, error);
	if (!ok)
		store_rollback(queue->store);
	return ok;
}

static void operation_free(struct operation *op)
{
	queue_message_free(op->message);
	g_clear_error(&op->error);
	g_free(op->name);
	g_free(op->text);
	g_free(op);
}

/* What was recorded and is not in flight: where it goes from here. */
static void settle(struct queue *queue, const struct queue_message *message)
{
	if (message->state == QUEUE_SENT)
		folders_remove(queue->folders, message->id);
	if (queue_state_is_final(message->state))
		return;
	g_mutex_lock(&queue->lock);
	lanes_note_due(&queue->lanes, message->priority, message->next_attempt_ms);
	g_mutex_unlock(&queue->lock);
}

static void end_submit(struct queue *queue, struct operation *op)
{
	static const struct flight none;
	struct queue_message *message = op->message;
	if (op->error) {
		spool_discard(&op->spool);
		/* Where the disk did not let it go: with a later tick. */
		folders_remove(queue->folders, message->id);
	} else {
		spool_free(&op->spool);
	}
	g_mutex_lock(&queue->lock);
	queue->submitting--;
	g_mutex_unlock(&queue->lock);
	op->done(op->context, message->id, op->error);
	if (!op->error) {
		g_ptr_array_set_size(message->events, 0);
		holds_note_finish(queue, &none, message);
		if (message->state == QUEUE_RECEIVED &&
			writer_hand_over(queue, true, message))
			op->message = NULL;
		else
			settle(queue, message);
	}
	operation_free(op);
}

static void end_relaying(struct queue *queue, struct operation *op)
{
	if (!op->error)
		flight_of(queue, op->message->id)->stored = QUEUE_RELAYING;
	g_mutex_lock(&queue->lock);
	op->has_ended = true;
	g_mutex_unlock(&queue->lock);
	g_cond_signal(&op->ended);
	writer_release(op);
}

static void end_finish(struct queue *queue, struct operation *op)
{
	const struct queue_message *message = op->message;
	struct flight *flight = flight_of(queue, message->id);
	bool gone = flight->gone;
	holds_note_finish(queue, flight, message);
	g_hash_table_remove(queue->flights, message->id);
	if (gone)
		folders_remove(queue->folders, message->id);
	else
		settle(queue, message);
	operation_free(op);
}

/* Written, so that a delivery can read it, but nothing waits for the disk. */
static void end_pass(struct queue *queue, struct operation *op)
{
	g_autoptr(GError) error = NULL;
	struct queue_message *message = g_steal_pointer(&op->message);
	bool taken = false;
	operation_free(op);
	if (!spool_flush(message->transit->spool, &error)) {
		transit_refuse(queue, message, error->message);
		return;
	}
	g_mutex_lock(&queue->lock);
	if (!queue->stopped) {
		lanes_push_transit(&queue->lanes, message);
		taken = true;
	}
	struct awaited awaited = find_awaited(queue, message);
	g_mutex_unlock(&queue->lock);
	if (taken)
		call(queue, awaited);
	else
		transit_refuse(queue, message, TRANSIT_STOPPING);
}

/* What has happened outside cannot be refused: the record is tried again until it is
 * written, before anything newer, or until the process ends. */
static void keep_for_later(struct queue *queue, struct operation *op)
{
	g_mutex_lock(&queue->lock);
	bool ending = queue->ending;
	if (!ending) {
		g_clear_error(&op->error);
		g_queue_push_head_link(&queue->pending, &op->link);
	}
	g_mutex_unlock(&queue->lock);
	if (!ending)
		return;
	log_error("queue.record_lost",
		LOG_TEXT("id", op->message ? op->message->id : op->name),
		LOG_TEXT("state",
			op->message ? queue_state_name(op->message->state) : NULL),
		LOG_TEXT("reason", op->error->message));
	operation_free(op);
}

static void end_operation(struct queue *queue, struct operation *op)
{
	switch (op->kind) {
	case OPERATION_SUBMIT:
		end_submit(queue, op);
		break;
	case OPERATION_RELAYING:
		end_relaying(queue, op);
		break;
	case OPERATION_PASS:
		end_pass(queue, op);
		break;
	case OPERATION_ATTACHMENTS:
	case OPERATION_NOTE:
	case OPERATION_PASSED:
		if (op->error)
			keep_for_later(queue, op);
		else
			operation_free(op);
		break;
	case OPERATION_FINISH:
		if (op->error)
			keep_for_later(queue, op);
		else
			end_finish(queue, op);
		break;
	}
}

void writer_note_success(struct queue *queue, const struct store_totals *changes)
{
	g_mutex_lock(&queue->lock);
	queue->unwritable = false;
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		queue->totals.messages[i] += changes->messages[i];
	g_mutex_unlock(&queue->lock);
	queue->oldest_unknown = true;
	if (queue->failing)
		log_info("queue.writable_again", LOG_TEXT("directory", queue->directory));
	queue->failing = false;
}

static void note_failure(struct queue *queue, GQueue *batch, const GError *error)
{
	for (GList *l = batch->head; l; l = l->next)
		fail_unless_failed(l->data, error);
	if (!queue->failing)
		log_error("queue.commit_failed", LOG_TEXT("reason", error->message),
			LOG_NUMBER("operations", batch->length));
	queue->failing = true;
}

/* Those whom somebody waits for come first: deleting files takes its time. */
static void end_awaited(struct queue *queue, GQueue *batch)
{
	GList *next;
	for (GList *l = batch->head; l; l = next) {
		struct operation *op = l->data;
		next = l->next;
		if (op->kind != OPERATION_SUBMIT && op->kind != OPERATION_RELAYING)
			continue;
		g_queue_unlink(batch, l);
		end_operation(queue, op);
	}
}

/* They need no record, and do not wait for the others'. */
static void end_passes(struct queue *queue, GQueue *batch)
{
	GList *next;
	for (GList *l = batch->head; l; l = next) {
		struct operation *op = l->data;
		next = l->next;
		if (op->kind != OPERATION_PASS)
			continue;
		g_queue_unlink(batch, l);
		end_operation(queue, op);
	}
}

/* Without the submissions whose files failed. */
static size_t count_to_record(const GQueue *batch)
{
	size_t n = 0;
	for (const GList *l = batch->head; l; l = l->next)
		n += ((const struct operation *)l->data)->error == NULL;
	return n;
}

static void commit_batch(struct queue *queue, GQueue *batch)
{
	g_autoptr(GError) error = NULL;
	struct store_totals changes = { 0 };
	end_passes(queue, batch);
	spooling_begin(queue->spooler, batch);
	if (count_to_record(batch) == 0) {
		end_awaited(queue, batch); /* it shows nothing of the database */
		return;
	}
	bool ok = transact(queue, batch, &changes, &error);
	if (ok)
		writer_note_success(queue, &changes);
	else
		note_failure(queue, batch, error);
	end_awaited(queue, batch);
	/* Backwards after a failure, so that what is kept keeps its order. */
	GList *l;
	while ((l = ok ? g_queue_pop_head_link(batch) : g_queue_pop_tail_link(batch)) !=
		NULL)
		end_operation(queue, l->data);
}

/* --- the thread --- */

/* With the lock held: when what nobody waits for is to be committed. Submissions whose
 * files are being synced will need a commit soon: then it goes with theirs. */
static int64_t soon_us(const struct queue *queue)
{
	return queue->spooling > 0 ? WRITER_NEVER_US : queue->due_us;
}

/* With the lock held: the monotonic time at which something is to be done anyway. */
static int64_t wake_at_us(const struct queue *queue)
{
	int64_t latest_us = MIN(queue->tick_us, soon_us(queue));
	int64_t due_ms = lanes_disk_due_ms(&queue->lanes);
	if (queue->stopped || due_ms == STORE_NEVER_MS)
		return latest_us;
	/* The tick comes first in any case, so that a clock that was set is noticed. */
	int64_t wait_ms = CLAMP(due_ms - now_ms(), 0, WRITER_TICK_US / 1000);
	return MIN(latest_us, g_get_monotonic_time() + wait_ms * 1000);
}

/* With the lock held. */
static bool has_work(const struct queue *queue)
{
	return queue->urgent > 0 || (queue->ending && queue->spooling == 0) ||
	       queue->tick_wanted ||
	       (!queue->stopped && lanes_disk_due_ms(&queue->lanes) <= now_ms()) ||
	       g_get_monotonic_time() >= MIN(queue->tick_us, soon_us(queue));
}

/* Moves what is pending to batch; false when all is done and the queue is being freed.
 * in_background: there is work to be gone on with, so that nothing is waited for. */
static bool wait_for_work(struct queue *queue, bool in_background, GQueue *batch)
{
	g_mutex_lock(&queue->lock);
	while (!in_background && !has_work(queue)) {
		queue->writer_waits = true;
		g_cond_wait_until(&queue->work, &queue->lock, wake_at_us(queue));
		queue->writer_waits = false;
	}
	while (batch->length < BATCH_OPERATIONS && queue->pending.length > 0)
		g_queue_push_tail_link(batch, g_queue_pop_head_link(&queue->pending));
	if (queue->pending.length == 0) {
		queue->urgent = 0;
		queue->due_us = WRITER_NEVER_US;
	}
	bool go_on = batch->length > 0 || queue->spooling > 0 || !queue->ending;
	g_mutex_unlock(&queue->lock);
	return go_on;
}

void *writer_run(void *data)
{
	struct queue *queue = data;
	GQueue batch = G_QUEUE_INIT;
	bool more = true;
	while (wait_for_work(queue, more, &batch)) {
		if (batch.length > 0)
			commit_batch(queue, &batch);
		writer_refill(queue);
		writer_keep_house(queue);
		more = writer_work_on(queue);
	}
	writer_refuse_transit(queue);
	return NULL;
}
