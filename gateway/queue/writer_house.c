/* What the writer does beside its transactions: once a second a look at what others
 * changed and at what is old, and in between, in small steps, recovery and releases. */
#include "gateway/queue/writer.h"

#include "gateway/log.h"
#include "gateway/queue/holds.h"
#include "gateway/queue/transit.h"
#include <sys/stat.h>

#define PURGE_MESSAGES  250                       /* in one transaction */
#define PURGE_ROUNDS    8                         /* in one tick */
#define PURGE_PAUSE_US  (10 * G_TIME_SPAN_SECOND) /* when nothing old is left */
#define LONGEST_SLACK_S 10                        /* between planning and looking */

/* --- what others changed --- */

/* What nobody has taken yet is read anew: a person may have changed or deleted it. A
 * probe stays, its hold counts on it. */
static void empty_lanes(struct queue *queue)
{
	GQueue messages = G_QUEUE_INIT, dropped = G_QUEUE_INIT;
	struct queue_message *message;
	g_mutex_lock(&queue->lock);
	lanes_take_all(&queue->lanes, &messages);
	while ((message = g_queue_pop_head(&messages)) != NULL) {
		struct band *band = lanes_band(&queue->lanes, message->priority);
		if (!message->flight->is_probe || !lanes_push(&band->backlog, message))
			g_queue_push_tail(&dropped, message);
	}
	lanes_look_anew(&queue->lanes);
	g_mutex_unlock(&queue->lock);
	while ((message = g_queue_pop_head(&dropped)) != NULL) {
		g_hash_table_remove(queue->flights, message->id);
		queue_message_free(message);
	}
}

/* The command line writes too, from its own process. */
static bool notice_others(struct queue *queue, GError **error)
{
	int64_t version = 0;
	struct store_totals totals;
	if (!store_version(queue->store, &version, error))
		return false;
	if (version == queue->version)
		return true;
	if (!store_totals(queue->store, &totals, error) || !holds_load(queue, error))
		return false;
	queue->version = version;
	queue->oldest_unknown = true;
	g_mutex_lock(&queue->lock);
	queue->totals = totals;
	g_mutex_unlock(&queue->lock);
	empty_lanes(queue);
	/* For a command that waits until nobody begins with what it has changed. */
	(void)futimens(queue->lock_fd, NULL);
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

/* --- states that last --- */

static bool is_to_be_noted(struct flight *flight)
{
	gint noted = g_atomic_int_get(&flight->noted);
	bool lasts = noted == flight->seen;
	flight->seen = noted;
	/* After RELAYING a crash leaves it uncertain, whatever came then. */
	return lasts && noted != QUEUE_RECEIVED && noted != (gint)flight->stored &&
	       flight->stored != QUEUE_RELAYING;
}

/* The flights that are in one state since the last tick at least. */
static GPtrArray *lasting(struct queue *queue)
{
	GPtrArray *flights = NULL;
	GHashTableIter each;
	void *flight;
	g_hash_table_iter_init(&each, queue->flights);
	while (g_hash_table_iter_next(&each, NULL, &flight)) {
		if (!is_to_be_noted(flight))
			continue;
		if (!flights)
			flights = g_ptr_array_new();
		g_ptr_array_add(flights, flight);
	}
	return flights;
}

static bool record_states(struct queue *queue, GPtrArray *flights, GError **error)
{
	struct store_totals changes = { 0 };
	bool ok = store_begin(queue->store, error);
	for (guint i = 0; ok && i < flights->len; i++) {
		struct flight *flight = flights->pdata[i];
		bool changed;
		ok = store_set_noted(queue->store, flight->id, flight->stored,
			(enum queue_state)flight->seen, &changed, error);
		if (!ok || !changed) { /* a person has put it elsewhere, or away */
			flights->pdata[i] = NULL;
			continue;
		}
		changes.messages[flight->stored]--;
		changes.messages[flight->seen]++;
	}
	ok = ok && store_add_totals(queue->store, &changes, error) &&
	     store_commit(queue->store, error);
	if (!ok) {
		store_rollback(queue->store);
		return false;
	}
	for (guint i = 0; i < flights->len; i++) {
		struct flight *flight = flights->pdata[i];
		if (flight)
			flight->stored = (enum queue_state)flight->seen;
	}
	writer_note_success(queue, &changes);
	return true;
}

static bool note_states(struct queue *queue, GError **error)
{
	g_autoptr(GPtrArray) flights = lasting(queue);
	return !flights || record_states(queue, flights, error);
}

/* --- what is old --- */

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
	writer_note_success(queue, &changes);
	for (guint i = 0; i < ids->len; i++) /* those that bounced had theirs */
		folders_remove(queue->folders, ids->pdata[i]);
	return true;
}

static bool see_dead(void *context, const struct store_glance *glance)
{
	GPtrArray *ids = context;
	g_ptr_array_add(ids, g_strdup(glance->id));
	return ids->len < PURGE_MESSAGES;
}

static bool delete_dead(struct queue *queue, const char *id, struct store_totals *changes,
	GPtrArray *deleted, GError **error)
{
	bool found = false;
	struct queue_message *message = NULL;
	if (!store_load(queue->store, id, &message, error))
		return false;
	if (message)
		g_ptr_array_add(deleted, message);
	return store_delete_message(queue->store, id, changes, &found, error);
}

/* Mail was given up here that nobody was told of by a bounce: each is named. */
static void forget_dead(struct queue *queue, const GPtrArray *deleted)
{
	for (guint i = 0; i < deleted->len; i++) {
		const struct queue_message *message = deleted->pdata[i];
		log_info("queue.dead_removed", LOG_TEXT("id", message->id),
			LOG_TEXT("sender", message->reverse_path),
			LOG_NUMBER("recipients", message->recipients->len),
			LOG_TEXT("reason", message->reason),
			LOG_TEXT("why", "it was dead for queue.dead_retention"));
		folders_remove(queue->folders, message->id);
	}
}

static bool purge_dead_once(
	struct queue *queue, int64_t before_ms, size_t *purged, GError **error)
{
	struct store_totals changes = { 0 };
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) deleted =
		g_ptr_array_new_with_free_func((GDestroyNotify)queue_message_free);
	if (!store_scan_dead(queue->store, before_ms, see_dead, ids, error))
		return false;
	*purged = ids->len;
	if (ids->len == 0)
		return true;
	bool ok = store_begin(queue->store, error);
	for (guint i = 0; ok && i < ids->len; i++)
		ok = delete_dead(queue, ids->pdata[i], &changes, deleted, error);
	ok = ok && store_add_totals(queue->store, &changes, error) &&
	     store_commit(queue->store, error);
	if (!ok) {
		store_rollback(queue->store);
		return false;
	}
	writer_note_success(queue, &changes);
	forget_dead(queue, deleted);
	return true;
}

/* One transaction each; *left: there may be more that is old. */
static bool purge_round(struct queue *queue, bool *left, GError **error)
{
	g_mutex_lock(&queue->lock);
	int64_t history_ms = (int64_t)queue->settings.history_s * 1000;
	int64_t dead_ms = (int64_t)queue->settings.dead_retention_s * 1000;
	writer_watch_clock(queue);
	int64_t now_ms = g_get_real_time() / 1000;
	history_ms += clock_leapt_within_ms(&queue->clock, now_ms, history_ms);
	if (dead_ms > 0)
		dead_ms += clock_leapt_within_ms(&queue->clock, now_ms, dead_ms);
	g_mutex_unlock(&queue->lock);
	size_t purged = 0, dead = 0;
	if (!purge_once(queue, now_ms - history_ms, &purged, error) ||
		(dead_ms > 0 && !purge_dead_once(queue, now_ms - dead_ms, &dead, error)))
		return false;
	*left = purged == PURGE_MESSAGES || dead == PURGE_MESSAGES;
	return true;
}

/* In small transactions, between which submissions have their turn. */
static bool purge(struct queue *queue, GError **error)
{
	bool left = true, busy = false;
	if (g_get_monotonic_time() < queue->purge_us)
		return true;
	for (unsigned i = 0; i < PURGE_ROUNDS && left && !busy; i++) {
		if (!purge_round(queue, &left, error))
			return false;
		g_mutex_lock(&queue->lock);
		busy = queue->urgent > 0;
		g_mutex_unlock(&queue->lock);
	}
	if (!left)
		queue->purge_us = g_get_monotonic_time() + PURGE_PAUSE_US;
	return true;
}

/* --- the disk --- */

/* Whether what failed can be written again: while it cannot, nothing is accepted, so that
 * no submission would find out. */
static bool try_to_write(struct queue *queue, GError **error)
{
	static const struct store_totals no_changes;
	if (!queue->failing)
		return true;
	if (store_begin(queue->store, error) &&
		store_put_note(queue->store, "queue.written", "", error) &&
		store_commit(queue->store, error)) {
		writer_note_success(queue, &no_changes);
		return true;
	}
	store_rollback(queue->store);
	g_mutex_lock(&queue->lock);
	queue->unwritable = true;
	g_mutex_unlock(&queue->lock);
	return false;
}

static void try_to_spool(struct queue *queue)
{
	g_mutex_lock(&queue->lock);
	bool unspoolable = queue->unspoolable;
	g_mutex_unlock(&queue->lock);
	if (!unspoolable || !writer_has_reserve(queue, NULL) ||
		!store_is_in_place(queue->store, NULL) ||
		!folders_are_in_place(queue->folders, NULL) ||
		!folders_probe(queue->folders, NULL))
		return;
	g_mutex_lock(&queue->lock);
	queue->unspoolable = false;
	g_mutex_unlock(&queue->lock);
}

/* --- the clock --- */

void writer_watch_clock(struct queue *queue)
{
	int64_t moved_us = clock_watch(&queue->clock, g_get_real_time(), clock_boot_us());
	if (moved_us)
		queue->clock_moved_us = moved_us;
}

/* Attempts are planned by the clock of the day: one that was wrong and is set back would
 * leave them far away, and one that is set forward would make old what is not. */
static void watch_clock(struct queue *queue)
{
	g_mutex_lock(&queue->lock);
	writer_watch_clock(queue);
	int64_t moved_us = queue->clock_moved_us;
	queue->clock_moved_us = 0;
	g_autofree char *leaps = moved_us ? clock_print(&queue->clock) : NULL;
	g_mutex_unlock(&queue->lock);
	if (!moved_us)
		return;
	queue_remember(queue, WRITER_CLOCK_NOTE, leaps);
	if (moved_us > 0) {
		log_warning("queue.clock_leapt",
			LOG_NUMBER("seconds", (uint64_t)(moved_us / G_USEC_PER_SEC)),
			LOG_TEXT("reason", "no message is older for that"));
		return;
	}
	queue->clock_went_back = true;
	log_warning("queue.clock_went_back",
		LOG_NUMBER("seconds", (uint64_t)(-moved_us / G_USEC_PER_SEC)),
		LOG_TEXT("reason", "what is planned beyond queue.retry_max becomes due"));
}

/* --- what goes nowhere --- */

void writer_refuse_transit(struct queue *queue)
{
	GQueue refused = G_QUEUE_INIT;
	g_mutex_lock(&queue->lock);
	if (queue->stopped) {
		refused = queue->lanes.transit;
		g_queue_init(&queue->lanes.transit);
	}
	g_mutex_unlock(&queue->lock);
	struct queue_message *message;
	while ((message = g_queue_pop_head(&refused)) != NULL)
		transit_refuse(queue, message, TRANSIT_STOPPING);
}

static bool is_time(struct queue *queue)
{
	int64_t now_us = g_get_monotonic_time();
	g_mutex_lock(&queue->lock);
	bool wanted = queue->tick_wanted;
	queue->tick_wanted = false;
	g_mutex_unlock(&queue->lock);
	if (!wanted && now_us < queue->tick_us)
		return false;
	queue->tick_us = now_us + WRITER_TICK_US;
	return true;
}

void writer_keep_house(struct queue *queue)
{
	g_autoptr(GError) error = NULL;
	if (!is_time(queue))
		return;
	writer_refuse_transit(queue);
	folders_tidy(queue->folders);
	watch_clock(queue);
	try_to_spool(queue);
	if (try_to_write(queue, &error) && notice_others(queue, &error) &&
		note_states(queue, &error) && holds_tick(queue, &error) &&
		purge(queue, &error) && find_oldest(queue, &error))
		return;
	if (!queue->failing)
		log_error(
			"queue.housekeeping_failed", LOG_TEXT("reason", error->message));
	queue->failing = true;
}

/* --- the background --- */

bool writer_is_in_flight(void *queue, const char *id)
{
	return writer_flight(queue, id) != NULL;
}

int64_t writer_longest_wait_ms(struct queue *queue)
{
	g_mutex_lock(&queue->lock);
	int64_t longest_s =
		MAX(queue->settings.retry_max_s, queue->settings.retry_first_s);
	g_mutex_unlock(&queue->lock);
	return (longest_s + LONGEST_SLACK_S) * 1000;
}

static bool step_recovery(struct queue *queue, bool *more, GError **error)
{
	bool over = false;
	struct store_totals changes = { 0 };
	if (!recovery_step(queue->recovery, &over, &changes, error))
		return false;
	bool changed = false;
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		changed |= changes.messages[i] != 0;
	if (changed)
		writer_note_success(queue, &changes);
	if (changed || over) { /* some may be due earlier than they were */
		g_mutex_lock(&queue->lock);
		lanes_look_anew(&queue->lanes);
		g_mutex_unlock(&queue->lock);
	}
	if (over) {
		recovery_free(&queue->recovery);
		log_info("queue.recovery_ended", LOG_TEXT("directory", queue->directory));
	}
	*more = !over;
	return true;
}

static void begin_again(struct queue *queue)
{
	if (!queue->clock_went_back || queue->recovery)
		return;
	queue->clock_went_back = false;
	queue->recovery = recovery_new_of_plans(
		queue->store, writer_longest_wait_ms(queue), writer_is_in_flight, queue);
}

bool writer_work_on(struct queue *queue)
{
	g_autoptr(GError) error = NULL;
	bool more = false;
	g_mutex_lock(&queue->lock);
	bool idle = queue->ending || queue->failing;
	g_mutex_unlock(&queue->lock);
	if (idle)
		return false; /* a disk that fails is tried again with the next tick */
	begin_again(queue);
	bool ok = queue->recovery ? step_recovery(queue, &more, &error)
				  : holds_step(queue, &more, &error);
	if (ok)
		return more;
	if (!queue->failing)
		log_error(
			"queue.housekeeping_failed", LOG_TEXT("reason", error->message));
	queue->failing = true;
	return false;
}
