/* The syncs that a submission needs before its record: of its file, and of the folder with
 * its name. Leaves the record to the writer, and what folders there are to folders.c. */
#include "gateway/queue/spooling.h"

#include "gateway/error.h"
#include "gateway/queue/writer.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define THREADS 32
/* One sync after another is cheaper, if each is quicker than that. */
#define SLOW_US 1000
#define MEMORY  8 /* syncs that the usual duration follows */

struct spooling {
	struct queue *queue;
	GThreadPool *pool; /* NULL: no sync was slow yet */
	gint usual_us;     /* atomic: how long a sync takes */
};

/* One sync: of an operation's file, or of a folder. */
struct sync {
	struct set *set;
	struct operation *operation; /* NULL: a folder's */
	char folder[SPOOL_FOLDER_BYTES];
	int fd;
	GError *error; /* a folder's */
};

/* What is synced at a time. */
struct set {
	struct spooling *spooling;
	GQueue operations;
	gint left; /* atomic: syncs that have not ended */
	guint n;
	struct sync syncs[]; /* at most two for each operation */
};

struct spooling *spooling_new(struct queue *queue)
{
	struct spooling *spooling = g_new0(struct spooling, 1);
	spooling->queue = queue;
	return spooling;
}

void spooling_free(struct spooling **spooling)
{
	if (!*spooling)
		return;
	if ((*spooling)->pool)
		g_thread_pool_free((*spooling)->pool, FALSE, TRUE);
	g_clear_pointer(spooling, g_free);
}

/* --- one sync --- */

/* Several threads' notes may get lost: it is a mean. */
static void note_duration(struct spooling *spooling, int64_t us)
{
	gint usual_us = g_atomic_int_get(&spooling->usual_us);
	gint this_us = (gint)MIN(us, G_USEC_PER_SEC);
	g_atomic_int_set(&spooling->usual_us, usual_us + (this_us - usual_us) / MEMORY);
}

static void run_sync(struct sync *sync)
{
	int64_t began_us = g_get_monotonic_time();
	if (sync->operation)
		spool_sync(sync->operation->spool, &sync->operation->error);
	else
		folders_sync(sync->set->spooling->queue->folders, sync->folder, sync->fd,
			&sync->error);
	note_duration(sync->set->spooling, g_get_monotonic_time() - began_us);
}

/* --- a set of them --- */

static void fail_all(GQueue *operations, const GError *error)
{
	for (GList *l = operations->head; l; l = l->next) {
		struct operation *op = l->data;
		if (!op->error)
			op->error = g_error_copy(error);
	}
}

/* After its last sync. */
static void end_set(struct set *set)
{
	size_t failed = 0;
	for (guint i = 0; i < set->n; i++) {
		struct sync *sync = &set->syncs[i];
		if (sync->operation)
			continue;
		if (sync->error)
			fail_all(&set->operations, sync->error);
		g_clear_error(&sync->error);
		close(sync->fd);
	}
	for (GList *l = set->operations.head; l; l = l->next) {
		struct operation *op = l->data;
		op->spooled = true;
		failed += op->error != NULL;
	}
	struct queue *queue = set->spooling->queue;
	g_mutex_lock(&queue->lock);
	queue->unspoolable = failed == set->operations.length;
	g_mutex_unlock(&queue->lock);
}

static void add_sync(struct set *set, struct operation *operation)
{
	struct sync *sync = &set->syncs[set->n++];
	*sync = (struct sync){ .set = set, .operation = operation, .fd = -1 };
}

/* Once for all messages that lie in it. */
static bool add_folder(struct set *set, const char *id, GError **error)
{
	char folder[SPOOL_FOLDER_BYTES];
	spool_folder(id, folder);
	for (guint i = 0; i < set->n; i++) {
		if (!strcmp(set->syncs[i].folder, folder))
			return true;
	}
	int fd = folders_open(set->spooling->queue->folders, folder, error);
	if (fd < 0)
		return false;
	add_sync(set, NULL);
	set->syncs[set->n - 1].fd = fd;
	memcpy(set->syncs[set->n - 1].folder, folder, sizeof folder);
	return true;
}

/* A directory that was moved, or mounted over, has another one at its path: what is written
 * there is not what a delivery finds. */
static bool is_in_place(const struct queue *queue, const char *id, GError **error)
{
	if (spool_exists(queue->spool_fd, id))
		return true;
	if (folders_are_in_place(queue->folders, error))
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"%s: the file of message %s was removed while it was written",
			queue->spool_directory, id);
	return false;
}

static void prepare(struct set *set)
{
	struct queue *queue = set->spooling->queue;
	g_autoptr(GError) error = NULL;
	if (!writer_has_reserve(queue, &error) ||
		!store_is_in_place(queue->store, &error)) {
		fail_all(&set->operations, error);
		return;
	}
	/* The disk begins with all at once, so that they share the file system's commits. */
	bool (*write_file)(struct spool *, GError **) =
		set->operations.length > 1 ? spool_flush : spool_write;
	for (GList *l = set->operations.head; l; l = l->next) {
		struct operation *op = l->data;
		if (write_file(op->spool, &op->error) &&
			is_in_place(queue, op->message->id, &op->error) &&
			add_folder(set, op->message->id, &op->error))
			add_sync(set, op);
	}
}

/* --- at once, or in threads --- */

static void run_here(struct set *set, GQueue *batch)
{
	for (guint i = 0; i < set->n; i++)
		run_sync(&set->syncs[i]);
	end_set(set);
	for (GList *l; (l = g_queue_pop_head_link(&set->operations)) != NULL;)
		g_queue_push_tail_link(batch, l);
	g_free(set);
}

static void run_beside(void *data, void *context)
{
	struct sync *sync = data;
	struct set *set = sync->set;
	struct queue *queue = ((struct spooling *)context)->queue;
	run_sync(sync);
	if (!g_atomic_int_dec_and_test(&set->left))
		return;
	end_set(set);
	g_mutex_lock(&queue->lock);
	for (GList *l; (l = g_queue_pop_head_link(&set->operations)) != NULL;)
		writer_add(queue, l->data, URGENCY_NOW);
	queue->spooling--;
	g_mutex_unlock(&queue->lock);
	g_free(set);
}

/* Whether there are threads, and syncs take so long that these are worth their while. */
static bool is_slow(struct spooling *spooling)
{
	if (g_atomic_int_get(&spooling->usual_us) < SLOW_US)
		return false;
	if (!spooling->pool)
		spooling->pool =
			g_thread_pool_new(run_beside, spooling, THREADS, TRUE, NULL);
	return g_thread_pool_get_num_threads(spooling->pool) > 0;
}

static void start(struct set *set)
{
	struct queue *queue = set->spooling->queue;
	GThreadPool *pool = set->spooling->pool;
	guint n = set->n; /* the set may be gone when the last push returns */
	g_mutex_lock(&queue->lock);
	queue->spooling++;
	g_mutex_unlock(&queue->lock);
	set->left = (gint)n;
	for (guint i = 0; i < n; i++)
		g_thread_pool_push(pool, &set->syncs[i], NULL);
}

static struct set *take_submissions(struct spooling *spooling, GQueue *batch)
{
	GQueue found = G_QUEUE_INIT;
	GList *next;
	for (GList *l = batch->head; l; l = next) {
		const struct operation *op = l->data;
		next = l->next;
		if (op->kind != OPERATION_SUBMIT || op->spooled)
			continue;
		g_queue_unlink(batch, l);
		g_queue_push_tail_link(&found, l);
	}
	if (found.length == 0)
		return NULL;
	struct set *set =
		g_malloc0(sizeof *set + 2 * found.length * sizeof set->syncs[0]);
	set->spooling = spooling;
	set->operations = found;
	return set;
}

void spooling_begin(struct spooling *spooling, GQueue *batch)
{
	struct set *set = take_submissions(spooling, batch);
	if (!set)
		return;
	prepare(set);
	if (set->n > 0 && is_slow(spooling))
		start(set);
	else
		run_here(set, batch);
}
