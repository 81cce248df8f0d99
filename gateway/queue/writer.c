/* The writer thread: group commit, what is in flight, reading ahead, housekeeping. Leaves
 * SQL to the store and files to the spool. */
#include "gateway/queue/writer.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BATCH_OPERATIONS 512
#define SOON_US          (3 * G_TIME_SPAN_MILLISECOND)
#define TICK_US          G_TIME_SPAN_SECOND
#define PURGE_MESSAGES   250                       /* in one transaction */
#define PURGE_ROUNDS     8                         /* in one tick */
#define PURGE_PAUSE_US   (10 * G_TIME_SPAN_SECOND) /* when nothing old is left */

/* A message that lies in a lane or was taken. */
struct flight {
	char id[MESSAGE_ID_BYTES];
	enum queue_state stored; /* its state in the database */
};

static int64_t now_ms(void)
{
	return g_get_real_time() / 1000;
}

static bool is_final(enum queue_state state)
{
	return state == QUEUE_SENT || state == QUEUE_BOUNCED || state == QUEUE_DEAD;
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

bool writer_should_refill(const struct queue *queue, int64_t now)
{
	return !queue->stopped && queue->disk_due_ms <= now &&
	       queue->backlog.recipients <= LANE_LOW;
}

static struct flight *flight_of(const struct queue *queue, const char *id)
{
	struct flight *flight = g_hash_table_lookup(queue->flights, id);
	g_assert(flight); /* only what was taken is relayed or finished */
	return flight;
}

/* Hands a due message to queue_take(); false when the lane is full:
 * then it stays on disk. */
static bool hand_over(
	struct queue *queue, struct lane *lane, struct queue_message *message)
{
	size_t recipients = message->recipients->len;
	g_mutex_lock(&queue->lock);
	bool room = !queue->stopped &&
		    (g_queue_is_empty(&lane->messages) ||
			    lane->recipients + recipients <= LANE_RECIPIENTS);
	if (room) {
		struct flight *flight = g_new0(struct flight, 1);
		memcpy(flight->id, message->id, sizeof flight->id);
		flight->stored = message->state;
		g_hash_table_insert(queue->flights, flight->id, flight);
		lane->recipients += recipients;
		g_queue_push_tail(&lane->messages, message);
	} else {
		queue->disk_due_ms = MIN(queue->disk_due_ms, message->next_attempt_ms);
	}
	bool awaited = room && queue->takers_waiting > 0;
	g_mutex_unlock(&queue->lock);
	/* Not under the lock, which the one who wakes up needs at once. */
	if (awaited)
		g_cond_signal(&queue->ready);
	return room;
}

/* --- group commit --- */

static bool sync_directory(const struct queue *queue, GError **error)
{
	if (fsync(queue->spool_fd) == 0)
		return true;
	g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno),
		"%s: cannot sync: %s", queue->spool_directory, g_strerror(errno));
	return false;
}

static void fail_unless_failed(struct operation *operation, const GError *error)
{
	if (!operation->error)
		operation->error = g_error_copy(error);
}

static size_t count_submissions(const GQueue *batch)
{
	size_t n = 0;
	for (const GList *l = batch->head; l; l = l->next) {
		const struct operation *op = l->data;
		n += op->kind == OPERATION_SUBMIT;
	}
	return n;
}

/* Files first, all at once, so that they share the file system's
 * commits; then their names. */
static void sync_spools(const struct queue *queue, GQueue *batch)
{
	size_t submissions = count_submissions(batch);
	if (submissions == 0)
		return;
	for (GList *l = batch->head; l && submissions > 1; l = l->next) {
		struct operation *op = l->data;
		if (op->kind == OPERATION_SUBMIT)
			spool_flush(op->spool, &op->error);
	}
	for (GList *l = batch->head; l; l = l->next) {
		struct operation *op = l->data;
		if (op->kind == OPERATION_SUBMIT && !op->error)
			spool_commit(op->spool, &op->error);
	}
	g_autoptr(GError) error = NULL;
	if (sync_directory(queue, &error))
		return;
	for (GList *l = batch->head; l; l = l->next) {
		struct operation *op = l->data;
		if (op->kind == OPERATION_SUBMIT)
			fail_unless_failed(op, error);
	}
}

static bool apply(struct queue *queue, const struct operation *op,
	struct store_totals *changes, GError **error)
{
	const struct queue_message *message = op->message;
	switch (op->kind) {
	case OPERATION_SUBMIT:
		changes->messages[message->state]++;
		return store_insert(queue->store, message, error);
	case OPERATION_ATTACHMENTS:
		return store_put_attachments(queue->store, message, error);
	case OPERATION_RELAYING:
		changes->messages[flight_of(queue, message->id)->stored]--;
		changes->messages[QUEUE_RELAYING]++;
		return store_set_relaying(queue->store, message, error);
	case OPERATION_FINISH:
		changes->messages[flight_of(queue, message->id)->stored]--;
		changes->messages[message->state]++;
		return store_finish(queue->store, message, error);
	}
	g_assert_not_reached();
}

static bool transact(struct queue *queue, const GQueue *batch,
	struct store_totals *changes, GError **error)
{
	bool ok = store_begin(queue->store, error);
	for (GList *l = batch->head; ok && l; l = l->next) {
		const struct operation *op = l->data;
		if (!op->error)
			ok = apply(queue, op, changes, error);
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
	g_free(op);
}

static void end_submit(struct queue *queue, struct operation *op)
{
	if (op->error)
		spool_discard(&op->spool);
	else
		spool_free(&op->spool);
	g_mutex_lock(&queue->lock);
	queue->submitting--;
	g_mutex_unlock(&queue->lock);
	op->done(op->context, op->message->id, op->error);
	if (!op->error && hand_over(queue, &queue->fresh, op->message))
		op->message = NULL;
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
	if (message->state == QUEUE_SENT)
		unlinkat(queue->spool_fd, message->id, 0);
	g_hash_table_remove(queue->flights, message->id);
	if (!is_final(message->state)) {
		g_mutex_lock(&queue->lock);
		queue->disk_due_ms = MIN(queue->disk_due_ms, message->next_attempt_ms);
		g_mutex_unlock(&queue->lock);
	}
	operation_free(op);
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
	log_error("queue.record_lost", LOG_TEXT("id", op->message->id),
		LOG_TEXT("state", queue_state_name(op->message->state)),
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
	case OPERATION_ATTACHMENTS:
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

static void note_success(struct queue *queue, const struct store_totals *changes)
{
	g_mutex_lock(&queue->lock);
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

static void commit_batch(struct queue *queue, GQueue *batch)
{
	g_autoptr(GError) error = NULL;
	struct store_totals changes = { 0 };
	sync_spools(queue, batch);
	bool ok = transact(queue, batch, &changes, &error);
	if (ok)
		note_success(queue, &changes);
	else
		note_failure(queue, batch, error);
	end_awaited(queue, batch);
	/* Backwards after a failure, so that what is kept keeps its order. */
	GList *l;
	while ((l = ok ? g_queue_pop_head_link(batch) : g_queue_pop_tail_link(batch)) !=
		NULL)
		end_operation(queue, l->data);
}

/* --- reading ahead --- */

struct refill {
	struct queue *queue;
	int64_t now_ms;
	int64_t next_due_ms;
	GPtrArray *ids;
};

static bool see_due(void *context, const struct store_glance *glance)
{
	struct refill *refill = context;
	if (g_hash_table_contains(refill->queue->flights, glance->id))
		return true;
	if (glance->next_attempt_ms > refill->now_ms ||
		refill->ids->len == LANE_RECIPIENTS) {
		refill->next_due_ms = glance->next_attempt_ms;
		return false;
	}
	g_ptr_array_add(refill->ids, g_strdup(glance->id));
	return true;
}

/* Loads what was seen until the lane is full; false with error. */
static bool load_due(struct refill *refill, GError **error)
{
	for (guint i = 0; i < refill->ids->len; i++) {
		struct queue_message *message = NULL;
		if (!store_load(
			    refill->queue->store, refill->ids->pdata[i], &message, error))
			return false;
		if (message &&
			!hand_over(refill->queue, &refill->queue->backlog, message)) {
			queue_message_free(message);
			return true; /* hand_over() has noted when to go on */
		}
	}
	return true;
}

static void refill_backlog(struct queue *queue)
{
	g_mutex_lock(&queue->lock);
	bool wanted = writer_should_refill(queue, now_ms());
	if (wanted)
		queue->disk_due_ms = STORE_NEVER_MS;
	g_mutex_unlock(&queue->lock);
	if (!wanted)
		return;

	struct refill refill = { queue, now_ms(), STORE_NEVER_MS, NULL };
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;
	refill.ids = ids;
	if (!store_scan_due(queue->store, see_due, &refill, &error) ||
		!load_due(&refill, &error)) {
		log_error("queue.read_failed", LOG_TEXT("reason", error->message));
		refill.next_due_ms = refill.now_ms + TICK_US / 1000;
	}
	g_mutex_lock(&queue->lock);
	queue->disk_due_ms = MIN(queue->disk_due_ms, refill.next_due_ms);
	g_mutex_unlock(&queue->lock);
}

/* --- housekeeping, once a second --- */

/* The command line writes too, from its own process. */
static bool notice_others(struct queue *queue, GError **error)
{
	int64_t version = 0;
	struct store_totals totals;
	if (!store_version(queue->store, &version, error))
		return false;
	if (version == queue->version)
		return true;
	if (!store_totals(queue->store, &totals, error))
		return false;
	queue->version = version;
	queue->oldest_unknown = true;
	g_mutex_lock(&queue->lock);
	queue->totals = totals;
	queue->disk_due_ms = 0;
	g_mutex_unlock(&queue->lock);
	return true;
}

static bool find_oldest(struct queue *queue, GError **error)
{
	int64_t oldest_ms = 0;
	if (!queue->oldest_unknown)
		return true;
	if (!store_oldest(queue->store, &oldest_ms, error))
		return false;
	queue->oldest_unknown = false;
	g_mutex_lock(&queue->lock);
	queue->oldest_ms = oldest_ms;
	g_mutex_unlock(&queue->lock);
	return true;
}

static bool purge_once(
	struct queue *queue, int64_t before_ms, size_t *purged, GError **error)
{
	struct store_totals changes = { 0 };
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	bool ok = store_begin(queue->store, error) &&
		  store_purge(
			  queue->store, before_ms, PURGE_MESSAGES, &changes, ids, error);
	*purged = ids->len;
	if (ok && ids->len == 0) {
		store_rollback(queue->store);
		return true;
	}
	ok = ok && store_add_totals(queue->store, &changes, error) &&
	     store_commit(queue->store, error);
	if (!ok) {
		store_rollback(queue->store);
		return false;
	}
	note_success(queue, &changes);
	for (guint i = 0; i < ids->len; i++) /* those that bounced had theirs */
		unlinkat(queue->spool_fd, ids->pdata[i], 0);
	return true;
}

/* In small transactions, between which submissions have their turn. */
static bool purge(struct queue *queue, GError **error)
{
	if (g_get_monotonic_time() < queue->purge_us)
		return true;
	g_mutex_lock(&queue->lock);
	int64_t before_ms = now_ms() - (int64_t)queue->settings.history_s * 1000;
	g_mutex_unlock(&queue->lock);
	for (unsigned i = 0; i < PURGE_ROUNDS; i++) {
		size_t purged = 0;
		if (!purge_once(queue, before_ms, &purged, error))
			return false;
		g_mutex_lock(&queue->lock);
		bool busy = queue->urgent > 0;
		g_mutex_unlock(&queue->lock);
		if (purged < PURGE_MESSAGES) {
			queue->purge_us = g_get_monotonic_time() + PURGE_PAUSE_US;
			break;
		}
		if (busy)
			break;
	}
	return true;
}

static void keep_house(struct queue *queue)
{
	int64_t now_us = g_get_monotonic_time();
	if (now_us < queue->tick_us)
		return;
	queue->tick_us = now_us + TICK_US;
	g_autoptr(GError) error = NULL;
	if (!notice_others(queue, &error) || !purge(queue, &error) ||
		!find_oldest(queue, &error)) {
		if (!queue->failing)
			log_error("queue.housekeeping_failed",
				LOG_TEXT("reason", error->message));
		queue->failing = true;
	}
}

/* --- the thread --- */

/* With the lock held: the monotonic time at which something is to be done anyway. */
static int64_t wake_at_us(const struct queue *queue)
{
	int64_t latest_us = MIN(queue->tick_us, queue->due_us);
	if (queue->stopped || queue->backlog.recipients > LANE_LOW)
		return latest_us;
	/* The tick comes first in any case, so that a clock that was set is noticed. */
	int64_t wait_ms = CLAMP(queue->disk_due_ms - now_ms(), 0, TICK_US / 1000);
	return MIN(latest_us, g_get_monotonic_time() + wait_ms * 1000);
}

/* Moves what is pending to batch; false when all is done and the queue is being freed. */
static bool wait_for_work(struct queue *queue, GQueue *batch)
{
	g_mutex_lock(&queue->lock);
	while (queue->urgent == 0 && !queue->ending &&
		!writer_should_refill(queue, now_ms()) &&
		g_get_monotonic_time() < MIN(queue->tick_us, queue->due_us)) {
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
	bool go_on = batch->length > 0 || !queue->ending;
	g_mutex_unlock(&queue->lock);
	return go_on;
}

void *writer_run(void *data)
{
	struct queue *queue = data;
	GQueue batch = G_QUEUE_INIT;
	queue->flights = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	while (wait_for_work(queue, &batch)) {
		if (batch.length > 0)
			commit_batch(queue, &batch);
		refill_backlog(queue);
		keep_house(queue);
	}
	g_hash_table_unref(queue->flights);
	return NULL;
}
