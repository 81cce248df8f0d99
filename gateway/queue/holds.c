/* What is held by faults that a person can mend. Leaves to the relay and the store to
 * find such faults, and to the commands what a person asks for. */
#include "gateway/queue/holds.h"

#include "gateway/log.h"
#include <string.h>

#define FIRST_WAIT_US G_TIME_SPAN_MINUTE
#define LONGEST_US    (15 * G_TIME_SPAN_MINUTE)
#define STEP_MESSAGES 250 /* released in one transaction */
#define PROBES_MOST   16  /* begun in one tick */
#define FIRST_ID      ""  /* sorts before every ID */

struct hold {
	char *name;
	int64_t messages; /* that have it in the database */
	bool alerted;
	bool listed;      /* seen by the load that runs */
	int64_t probe_us; /* monotonic time of the next one */
	int64_t wait_us;  /* before the one after it */
	bool probing;
	char probed[MESSAGE_ID_BYTES]; /* the last one */
	bool releasing;
	char released[MESSAGE_ID_BYTES]; /* the last one */
	uint64_t n_released;
};

struct holds {
	GHashTable *by_name;
	bool overflow; /* there are some that are not in by_name */
};

static void hold_free(void *data)
{
	struct hold *hold = data;
	g_free(hold->name);
	g_free(hold);
}

void holds_free(struct holds **holds)
{
	if (!*holds)
		return;
	g_hash_table_unref((*holds)->by_name);
	g_clear_pointer(holds, g_free);
}

/* NULL: there are too many. */
static struct hold *hold_of(struct holds *holds, const char *name)
{
	struct hold *hold = g_hash_table_lookup(holds->by_name, name);
	if (hold)
		return hold;
	if (g_hash_table_size(holds->by_name) >= HOLDS_MAX) {
		holds->overflow = true;
		return NULL;
	}
	hold = g_new0(struct hold, 1);
	hold->name = g_strdup(name);
	hold->wait_us = FIRST_WAIT_US;
	g_hash_table_insert(holds->by_name, hold->name, hold);
	return hold;
}

static void alert(struct hold *hold, const char *reason)
{
	if (hold->alerted)
		return;
	g_autofree char *advice = g_strdup_printf(
		"mend this; what waits for it goes by itself some minutes later, or at "
		"once with: stowage queue retry --hold \"%s\"",
		hold->name);
	hold->alerted = true;
	log_error("queue.needs_attention", LOG_TEXT("hold", hold->name),
		LOG_NUMBER("messages", (uint64_t)hold->messages),
		LOG_TEXT("reason", reason), LOG_TEXT("advice", advice));
}

static void forget_if_over(struct queue *queue, const struct hold *hold)
{
	if (hold->messages <= 0 && !hold->releasing && !hold->probing)
		g_hash_table_remove(queue->holds->by_name, hold->name);
}

/* --- what is held --- */

/* Those of the hold that are under way: whether it still holds them will be seen. */
static uint64_t count_flying(const struct queue *queue, const char *hold)
{
	uint64_t n = 0;
	GHashTableIter each;
	void *value;
	g_hash_table_iter_init(&each, queue->flights);
	while (g_hash_table_iter_next(&each, NULL, &value))
		n += !g_strcmp0(((struct flight *)value)->hold, hold);
	return n;
}

static bool see_hold(void *context, const struct store_hold *seen)
{
	struct queue *queue = context;
	struct hold *hold = hold_of(queue->holds, seen->hold);
	if (!hold)
		return true; /* the others may be known */
	hold->messages = (int64_t)seen->messages;
	hold->listed = true;
	if (!hold->alerted && seen->messages > count_flying(queue, hold->name))
		alert(hold, "messages were held for this before");
	return true;
}

/* A person's commands have let go of all that waited, or put it elsewhere. What is under
 * way says by itself what becomes of the hold. */
static void note_none_left(struct queue *queue, struct hold *hold)
{
	if (hold->alerted && !hold->releasing && !hold->probing &&
		count_flying(queue, hold->name) == 0)
		log_info("queue.mended", LOG_TEXT("hold", hold->name),
			LOG_NUMBER("messages", hold->messages),
			LOG_TEXT("reason", "nothing waits for it any more: a person has "
					   "seen to what did"));
	hold->messages = 0;
	forget_if_over(queue, hold);
}

bool holds_load(struct queue *queue, GError **error)
{
	if (!queue->holds) {
		queue->holds = g_new0(struct holds, 1);
		queue->holds->by_name =
			g_hash_table_new_full(g_str_hash, g_str_equal, NULL, hold_free);
	}
	queue->holds->overflow = false;
	GHashTableIter each;
	void *value;
	g_hash_table_iter_init(&each, queue->holds->by_name);
	while (g_hash_table_iter_next(&each, NULL, &value))
		((struct hold *)value)->listed = false;
	if (!store_scan_holds(queue->store, see_hold, queue, error))
		return false;
	g_autoptr(GList) all = g_hash_table_get_values(queue->holds->by_name);
	for (GList *l = all; l; l = l->next) {
		struct hold *hold = l->data;
		if (!hold->listed)
			note_none_left(queue, hold);
	}
	return true;
}

/* --- flights --- */

static bool is_held_by(const struct queue_message *message, const char *hold)
{
	return message->state == QUEUE_HELD && !g_strcmp0(message->hold, hold);
}

/* n_gone: those that are on their way without it. */
static void start_release(struct hold *hold, uint64_t n_gone)
{
	hold->releasing = true;
	hold->n_released = n_gone;
	g_strlcpy(hold->released, FIRST_ID, sizeof hold->released);
}

static void note_left(struct queue *queue, const struct flight *flight,
	const struct queue_message *message)
{
	struct hold *hold = g_hash_table_lookup(queue->holds->by_name, flight->hold);
	if (!hold)
		return;
	if (!flight->unheld) /* else it was counted out already, or will be */
		hold->messages--;
	if (flight->is_probe)
		hold->probing = false;
	/* One that ended for good may have done so for its age. */
	if (!is_held_by(message, flight->hold) && message->state != QUEUE_DEAD &&
		message->state != QUEUE_BOUNCED && !flight->overruled)
		start_release(hold, 1);
	if (!is_held_by(message, flight->hold))
		forget_if_over(queue, hold);
}

static void note_held(struct queue *queue, const struct queue_message *message)
{
	struct hold *hold = hold_of(queue->holds, message->hold);
	if (!hold)
		return;
	bool is_new = hold->messages == 0 && !hold->alerted;
	hold->messages++;
	if (is_new || hold->releasing) {
		hold->releasing = false; /* it is not mended after all */
		hold->wait_us = FIRST_WAIT_US;
		hold->probe_us = g_get_monotonic_time() + FIRST_WAIT_US;
	}
	alert(hold, message->reason);
}

void holds_note_finish(struct queue *queue, const struct flight *flight,
	const struct queue_message *message)
{
	if (flight->hold)
		note_left(queue, flight, message);
	if (message->state == QUEUE_HELD && message->hold && !flight->gone)
		note_held(queue, message);
}

/* --- probes --- */

struct candidate {
	const struct queue *queue;
	char id[MESSAGE_ID_BYTES];
};

static bool see_candidate(void *context, const struct store_glance *glance)
{
	struct candidate *candidate = context;
	if (glance->state != QUEUE_HELD || writer_flight(candidate->queue, glance->id))
		return true;
	g_strlcpy(candidate->id, glance->id, sizeof candidate->id);
	return false;
}

/* Another one than the last, which may have a fault of its own. */
static bool find_candidate(struct queue *queue, const struct hold *hold,
	struct candidate *candidate, GError **error)
{
	if (!store_scan_held(queue->store, hold->name, hold->probed, see_candidate,
		    candidate, error))
		return false;
	return candidate->id[0] != '\0' || hold->probed[0] == '\0' ||
	       store_scan_held(queue->store, hold->name, FIRST_ID, see_candidate,
		       candidate, error);
}

static bool probe(struct queue *queue, struct hold *hold, GError **error)
{
	struct candidate candidate = { .queue = queue };
	struct queue_message *message = NULL;
	if (!find_candidate(queue, hold, &candidate, error) ||
		(candidate.id[0] != '\0' &&
			!store_load(queue->store, candidate.id, &message, error)))
		return false;
	if (!message) {
		hold->probe_us = g_get_monotonic_time() + hold->wait_us;
		return true;
	}
	struct flight *flight = writer_hand_over(queue, false, message);
	if (!flight) {
		queue_message_free(message); /* the lane is full: with the next tick */
		return true;
	}
	flight->is_probe = true;
	hold->probing = true;
	memcpy(hold->probed, candidate.id, sizeof hold->probed);
	hold->probe_us = g_get_monotonic_time() + hold->wait_us;
	hold->wait_us = MIN(2 * hold->wait_us, LONGEST_US);
	return true;
}

/* --- releases --- */

static void release_named(struct queue *queue, const char *name)
{
	struct hold *hold = g_hash_table_lookup(queue->holds->by_name, name);
	if (hold && hold->messages > 0)
		start_release(hold, 0);
}

static void take_up_calls(struct queue *queue, bool *all, bool *probe_all)
{
	g_mutex_lock(&queue->lock);
	GPtrArray *names = queue->releases;
	queue->releases = g_ptr_array_new_with_free_func(g_free);
	*all = queue->release_all;
	*probe_all = queue->probe_all;
	queue->release_all = false;
	queue->probe_all = false;
	g_mutex_unlock(&queue->lock);
	for (guint i = 0; i < names->len; i++)
		release_named(queue, names->pdata[i]);
	g_ptr_array_unref(names);
}

bool holds_tick(struct queue *queue, GError **error)
{
	bool all, probe_all;
	unsigned probes = 0;
	take_up_calls(queue, &all, &probe_all);
	g_autoptr(GList) holds = g_hash_table_get_values(queue->holds->by_name);
	for (GList *l = holds; l; l = l->next) {
		struct hold *hold = l->data;
		if (all && hold->messages > 0)
			start_release(hold, 0);
		if (probe_all) {
			hold->probe_us = 0;
			hold->wait_us = FIRST_WAIT_US;
		}
		if (hold->releasing || hold->probing || hold->messages <= 0 ||
			hold->probe_us > g_get_monotonic_time() || probes == PROBES_MOST)
			continue;
		probes++;
		if (!probe(queue, hold, error))
			return false;
	}
	/* There may be room for what was not watched so far. */
	if (queue->holds->overflow &&
		g_hash_table_size(queue->holds->by_name) < HOLDS_MAX)
		return holds_load(queue, error);
	return true;
}

struct chunk {
	const struct queue *queue;
	char *last; /* the last one seen, or that flies */
	unsigned looked_at;
	unsigned n;
	char ids[STEP_MESSAGES][MESSAGE_ID_BYTES];
};

static bool see_held(void *context, const struct store_glance *glance)
{
	struct chunk *chunk = context;
	g_strlcpy(chunk->last, glance->id, MESSAGE_ID_BYTES);
	if (glance->state == QUEUE_HELD && !writer_flight(chunk->queue, glance->id))
		g_strlcpy(chunk->ids[chunk->n++], glance->id, MESSAGE_ID_BYTES);
	return ++chunk->looked_at < STEP_MESSAGES;
}

/* Within a transaction. */
static bool make_due(struct queue *queue, const struct chunk *chunk, const char *hold,
	const struct store_totals *changes, GError **error)
{
	struct store *store = queue->store;
	int64_t now_ms = g_get_real_time() / 1000;
	g_autofree char *text = g_strdup_printf("no longer held for %s", hold);
	bool ok = true;
	for (unsigned i = 0; ok && i < chunk->n; i++)
		ok = store_set_state(store, chunk->ids[i], QUEUE_DEFERRED, now_ms, 0,
			     NULL, error) &&
		     store_add_event(store, chunk->ids[i], QUEUE_DEFERRED, text, error);
	return ok && store_add_totals(store, changes, error);
}

/* A person who does something to them at the same time is heard before or after. */
static bool find_and_make_due(struct queue *queue, const struct hold *hold,
	const char *from, struct chunk *chunk, GError **error)
{
	struct store_totals changes = { 0 };
	bool ok = store_begin(queue->store, error) &&
		  store_scan_held(queue->store, hold->name, from, see_held, chunk, error);
	changes.messages[QUEUE_HELD] = -(int64_t)chunk->n;
	changes.messages[QUEUE_DEFERRED] = chunk->n;
	if (ok && chunk->n == 0) {
		store_rollback(queue->store);
		return true;
	}
	ok = ok && make_due(queue, chunk, hold->name, &changes, error) &&
	     store_commit(queue->store, error);
	if (!ok) {
		store_rollback(queue->store);
		return false;
	}
	writer_note_success(queue, &changes);
	g_mutex_lock(&queue->lock);
	lanes_look_anew(&queue->lanes);
	g_mutex_unlock(&queue->lock);
	return true;
}

static bool release_chunk(struct queue *queue, struct hold *hold, GError **error)
{
	char from[MESSAGE_ID_BYTES];
	memcpy(from, hold->released, sizeof from);
	g_autofree struct chunk *chunk = g_new0(struct chunk, 1);
	chunk->queue = queue;
	chunk->last = hold->released;
	if (!find_and_make_due(queue, hold, from, chunk, error)) {
		memcpy(hold->released, from, sizeof from);
		return false;
	}
	hold->n_released += chunk->n;
	hold->messages -= chunk->n;
	if (chunk->looked_at == STEP_MESSAGES)
		return true;
	hold->releasing = false;
	hold->alerted = false; /* were it to begin anew, that is news */
	log_info("queue.mended", LOG_TEXT("hold", hold->name),
		LOG_NUMBER("messages", hold->n_released));
	forget_if_over(queue, hold);
	return true;
}

static struct hold *next_release(const struct holds *holds)
{
	GHashTableIter each;
	void *value;
	g_hash_table_iter_init(&each, holds->by_name);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		if (((struct hold *)value)->releasing)
			return value;
	}
	return NULL;
}

bool holds_step(struct queue *queue, bool *more, GError **error)
{
	struct hold *hold = next_release(queue->holds);
	*more = false;
	if (!hold)
		return true;
	if (!release_chunk(queue, hold, error))
		return false;
	*more = next_release(queue->holds) != NULL;
	return true;
}

/* --- calls --- */

void queue_release(struct queue *queue, const char *hold)
{
	g_mutex_lock(&queue->lock);
	if (!hold || queue->releases->len >= HOLDS_MAX)
		queue->release_all = true;
	else
		g_ptr_array_add(queue->releases, g_strdup(hold));
	queue->tick_wanted = true;
	writer_wake(queue);
	g_mutex_unlock(&queue->lock);
}
