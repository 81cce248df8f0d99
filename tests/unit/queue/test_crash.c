/* kill -9 at random moments under load: what was acknowledged is there, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 12, SUBMITTERS = 4, TAKERS = 3 };

/* Content that tells from the ID alone whether it is whole. */
static char *content_of(const char *id, size_t *bytes)
{
	size_t lines = 1 + (size_t)(id[25] * 37 + id[24] * 11) % 900;
	if (id[23] == '7')
		lines *= 20;
	GString *content = g_string_new(NULL);
	for (size_t i = 0; i < lines; i++)
		g_string_append_printf(content, "%s %zu\r\n", id, i);
	*bytes = content->len;
	return g_string_free(content, FALSE);
}

/* --- the process that is killed --- */

struct victim {
	struct fixture *fixture;
	int acknowledged_fd;
};

static void *submit_for_ever(void *context)
{
	struct victim *victim = context;
	for (;;) {
		struct queue_message *message = fixture_message(2);
		char id[MESSAGE_ID_BYTES];
		size_t bytes;
		memcpy(id, message->id, sizeof id);
		g_autofree char *content = content_of(id, &bytes);
		if (!fixture_submit_message(
			    victim->fixture, message, content, bytes, NULL))
			_exit(3);
		/* The 250. */
		if (write(victim->acknowledged_fd, id, sizeof id) != sizeof id)
			_exit(4);
	}
	return NULL;
}

static void *take_for_ever(void *context)
{
	struct victim *victim = context;
	struct queue_message *message;
	while ((message = queue_take(victim->fixture->queue)) != NULL) {
		static const enum queue_state ends[] = { QUEUE_SENT, QUEUE_DEFERRED,
			QUEUE_DEAD, QUEUE_UNCERTAIN };
		if (!queue_mark_relaying(victim->fixture->queue, message, NULL))
			_exit(5);
		fixture_finish(victim->fixture, message, ends[message->id[25] % 4], 20);
	}
	return NULL;
}

static void be_killed(struct fixture *fixture, int acknowledged_fd)
{
	struct victim victim = { fixture, acknowledged_fd };
	alarm(60);
	fixture_open(fixture);
	for (unsigned i = 0; i < SUBMITTERS; i++)
		g_thread_new("submitter", submit_for_ever, &victim);
	for (unsigned i = 0; i < TAKERS; i++)
		g_thread_new("taker", take_for_ever, &victim);
	for (;;)
		pause();
}

/* --- the one who kills and looks --- */

/* Reads IDs until the moment has come, kills, and reads those that
 * were still on their way. */
static void kill_amid_load(struct fixture *fixture, GPtrArray *acknowledged)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		be_killed(fixture, fds[1]);
	}
	close(fds[1]);
	guint enough = acknowledged->len + (guint)g_random_int_range(1, 120);
	char id[MESSAGE_ID_BYTES];
	while (read(fds[0], id, sizeof id) == sizeof id) {
		g_ptr_array_add(acknowledged, g_strdup(id));
		if (acknowledged->len == enough)
			kill(child, SIGKILL);
	}
	close(fds[0]);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void check_whole(
	const struct fixture *fixture, const struct queue_message *message)
{
	size_t bytes;
	g_autofree char *want = content_of(message->id, &bytes);
	assert_int_equal(message->size, bytes);
	assert_int_equal(message->recipients->len, 2);
	if (message->state == QUEUE_SENT)
		return;
	g_autofree char *path = fixture_spool(fixture, message->id);
	g_autofree char *got = NULL;
	gsize got_bytes = 0;
	assert_true(g_file_get_contents(path, &got, &got_bytes, NULL));
	assert_int_equal(got_bytes, bytes);
	assert_memory_equal(got, want, bytes);
}

static void check_acknowledged(const struct fixture *fixture, GPtrArray *acknowledged)
{
	g_autofree char *path = fixture_path(fixture, "queue.db");
	struct store *store = store_open_visitor(path, true, NULL);
	assert_non_null(store);
	for (guint i = 0; i < acknowledged->len; i++) {
		struct queue_message *message = NULL;
		assert_true(store_load(store, acknowledged->pdata[i], &message, NULL));
		if (!message)
			fail_msg("%s was acknowledged and is lost",
				(const char *)acknowledged->pdata[i]);
		assert_int_not_equal(message->state, QUEUE_RELAYING);
		check_whole(fixture, message);
		queue_message_free(message);
	}
	store_close(&store);
}

static size_t count_files(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	size_t files = 0;
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL) {
		g_autofree char *below = g_build_filename(path, entry->d_name, NULL);
		if (message_id_is_valid(entry->d_name))
			files++;
		else if (spool_folder_is_valid(entry->d_name))
			files += count_files(below);
	}
	closedir(directory);
	return files;
}

static void check_no_orphans(const struct fixture *fixture)
{
	g_autofree char *path = fixture_path(fixture, "incoming");
	size_t files = count_files(path);
	size_t want = fixture_count(fixture, QUEUE_RECEIVED) +
		      fixture_count(fixture, QUEUE_DEFERRED) +
		      fixture_count(fixture, QUEUE_UNCERTAIN) +
		      fixture_count(fixture, QUEUE_DEAD);
	assert_int_equal(files, want);
}

/* The numbers kept by the writer are those of the rows. */
static void check_totals(const struct fixture *fixture)
{
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) FROM totals t WHERE messages "
		"<> (SELECT count(*) FROM messages m WHERE m.state = t.state)");
}

static void what_was_acknowledged_survives_kill(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_init(&fixture, NULL);
	g_autoptr(GPtrArray) acknowledged = g_ptr_array_new_with_free_func(g_free);
	for (unsigned round = 0; round < ROUNDS; round++) {
		kill_amid_load(&fixture, acknowledged);
		fixture_open(&fixture);
		check_acknowledged(&fixture, acknowledged);
		check_no_orphans(&fixture);
		fixture_close(&fixture);
		check_totals(&fixture);
	}
	assert_true(acknowledged->len >= ROUNDS);
	fixture_clear(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_survives_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
