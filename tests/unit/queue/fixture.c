/* A queue in a directory of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests/unit/tree.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

void fixture_init(struct fixture *fixture, const char *root)
{
	*fixture = (struct fixture){ 0 };
	fixture->root =
		root ? g_strdup(root) : g_dir_make_tmp("stowage-queue-XXXXXX", NULL);
	assert_non_null(fixture->root);
	fixture->directory = g_build_filename(fixture->root, "queue", NULL);
	fixture->settings = (struct conf_queue){
		.directory = fixture->directory,
		.workers = 4,
		.max_messages = 100000,
		.retry_first_s = 5,
		.retry_max_s = 3600,
		.lifetime_s = 4 * 86400,
		.history_s = 86400,
	};
}

void fixture_open(struct fixture *fixture)
{
	GError *error = NULL;
	fixture->queue = queue_new(&fixture->settings, &error);
	if (!fixture->queue)
		fail_msg("%s", error->message);
}

void fixture_close(struct fixture *fixture)
{
	queue_free(&fixture->queue);
}

void fixture_reopen(struct fixture *fixture)
{
	queue_stop(fixture->queue);
	fixture_close(fixture);
	fixture_open(fixture);
}

void fixture_clear(struct fixture *fixture)
{
	fixture_close(fixture);
	tree_remove(fixture->root);
	g_free(fixture->directory);
	g_free(fixture->root);
}

struct queue_message *fixture_message(unsigned recipients)
{
	struct queue_message *message = queue_message_new();
	message->listener = g_strdup("mx");
	message->client = g_strdup("192.0.2.1");
	message->helo = g_strdup("client.example");
	message->reverse_path = g_strdup("sender@example.org");
	for (unsigned i = 0; i < recipients; i++) {
		g_autofree char *original = g_strdup_printf("r%u@in.example.com", i);
		g_autofree char *forward = g_strdup_printf("r%u@example.com", i);
		queue_message_add_recipient(message, original, forward);
	}
	return message;
}

struct verdict {
	GMutex lock;
	GCond given;
	bool is_given;
	GError *error;
};

static void take_verdict(void *context, const char *id, const GError *error)
{
	struct verdict *verdict = context;
	g_assert(message_id_is_valid(
		id)); /* cmocka's would jump out of the writer's stack */
	g_mutex_lock(&verdict->lock);
	verdict->is_given = true;
	verdict->error = error ? g_error_copy(error) : NULL;
	g_cond_signal(&verdict->given);
	g_mutex_unlock(&verdict->lock);
}

static struct spool *spool_of(struct fixture *fixture, const char *id,
	const char *content, size_t content_bytes)
{
	struct spool *spool = spool_new(queue_spool_directory(fixture->queue), id);
	for (size_t done = 0; done < content_bytes;) {
		done += spool_append(spool, content + done, content_bytes - done);
		if (spool_is_full(spool) && !spool_flush(spool, NULL))
			break; /* the commit will say so */
	}
	return spool;
}

bool fixture_submit_message(struct fixture *fixture, struct queue_message *message,
	const char *content, size_t content_bytes, GError **error)
{
	struct verdict verdict = { 0 };
	g_mutex_init(&verdict.lock);
	g_cond_init(&verdict.given);
	queue_submit(fixture->queue, message,
		spool_of(fixture, message->id, content, content_bytes), take_verdict,
		&verdict);
	g_mutex_lock(&verdict.lock);
	while (!verdict.is_given)
		g_cond_wait(&verdict.given, &verdict.lock);
	g_mutex_unlock(&verdict.lock);
	g_mutex_clear(&verdict.lock);
	g_cond_clear(&verdict.given);
	if (!verdict.error)
		return true;
	g_propagate_error(error, verdict.error);
	return false;
}

void fixture_submit(struct fixture *fixture, char id[MESSAGE_ID_BYTES])
{
	GError *error = NULL;
	struct queue_message *message = fixture_message(1);
	memcpy(id, message->id, MESSAGE_ID_BYTES);
	if (!fixture_submit_message(
		    fixture, message, "Subject: x\r\n\r\nbody\r\n", 20, &error))
		fail_msg("%s", error->message);
}

struct queue_message *fixture_take(struct fixture *fixture, const char *id)
{
	struct queue_message *message = queue_take(fixture->queue);
	assert_non_null(message);
	assert_string_equal(message->id, id);
	return message;
}

void fixture_finish(struct fixture *fixture, struct queue_message *message,
	enum queue_state state, int64_t wait_ms)
{
	message->state = state;
	message->attempts++;
	message->next_attempt_ms = g_get_real_time() / 1000 + wait_ms;
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *recipient = message->recipients->pdata[i];
		recipient->state = state;
	}
	queue_finish(fixture->queue, message);
}

void fixture_settle(struct fixture *fixture)
{
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	fixture_submit(fixture, id);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_DEFERRED, HOUR_MS);
}

size_t fixture_count(const struct fixture *fixture, enum queue_state state)
{
	size_t counts[QUEUE_STATES];
	int64_t oldest_ms;
	queue_statistics(fixture->queue, counts, &oldest_ms);
	return counts[state];
}

char *fixture_path(const struct fixture *fixture, const char *name)
{
	return g_build_filename(fixture->directory, name, NULL);
}

char *fixture_spool(const struct fixture *fixture, const char *id)
{
	g_autofree char *incoming = fixture_path(fixture, "incoming");
	return spool_path(incoming, id);
}

bool fixture_has_file(const struct fixture *fixture, const char *id)
{
	g_autofree char *path = fixture_spool(fixture, id);
	return g_access(path, F_OK) == 0;
}

struct queue_message *fixture_look(const struct fixture *fixture, const char *id)
{
	GError *error = NULL;
	struct queue_message *message = NULL;
	g_autofree char *path = fixture_path(fixture, "queue.db");
	struct store *store = store_open_visitor(path, true, &error);
	if (!store || !store_load(store, id, &message, &error))
		fail_msg("%s", error->message);
	store_close(&store);
	return message;
}

void fixture_execute(const struct fixture *fixture, const char *script)
{
	sqlite3 *db = NULL;
	char *problem = NULL;
	g_autofree char *path = fixture_path(fixture, "queue.db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at it */
	if (sqlite3_exec(db, script, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", script, problem);
	sqlite3_close(db);
}

int fixture_set_up(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	fixture_init(fixture, NULL);
	fixture_open(fixture);
	*state = fixture;
	return 0;
}

int fixture_tear_down(void **state)
{
	fixture_clear(*state);
	g_free(*state);
	return 0;
}
