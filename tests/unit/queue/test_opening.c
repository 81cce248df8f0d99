/* Who may open a queue, and what is found there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "fixture.h"

#include "gateway/error.h"
#include "gateway/queue/queue_command.h"
#include "tests/unit/tree.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static void check_refused(const struct fixture *fixture, const char *why)
{
	g_autoptr(GError) error = NULL;
	struct queue *queue = queue_new(&fixture->settings, &error);
	assert_null(queue);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	if (!strstr(error->message, why))
		fail_msg("\"%s\" does not say \"%s\"", error->message, why);
}

/* Without the record every message looks like an orphan: none may be taken for one. */
static void mail_without_its_record_is_not_touched(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = { "queue.db", "queue.db-wal", "queue.db-shm" };
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_autofree char *database = fixture_path(fixture, "queue.db");
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = fixture_path(fixture, names[i]);
		g_unlink(path);
	}
	for (unsigned i = 0; i < 2; i++) {
		check_refused(fixture, "1 message");
		check_refused(fixture, database);
	}
	assert_true(g_file_set_contents(database, "", 0, NULL)); /* torn to nothing */
	check_refused(fixture, "1 message");
	assert_true(fixture_has_file(fixture, id));

	/* Once they are out of the way, it begins anew. */
	g_autofree char *file = fixture_spool(fixture, id);
	g_unlink(file);
	fixture_open(fixture);
}

/* A file system that is not mounted yet: its place is missing, or there and empty. */
static void a_spool_that_is_not_there_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES], other[MESSAGE_ID_BYTES];
	g_autofree char *incoming = fixture_path(fixture, "incoming");
	g_autofree char *away = fixture_path(fixture, "away");
	fixture_submit(fixture, id);
	fixture_submit(fixture, other);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_int_equal(g_rename(incoming, away), 0);
	for (unsigned i = 0; i < 2; i++) {
		check_refused(fixture, "2 wait for delivery");
		check_refused(fixture, incoming);
	}
	g_rmdir(incoming);
	assert_int_equal(g_rename(away, incoming), 0);
	fixture_open(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 2);

	/* Where they are lost, a person says so. */
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_int_equal(g_rename(incoming, away), 0);
	check_refused(fixture, "stowage queue delete");
	fixture_execute(fixture,
		"UPDATE totals SET messages = messages - 2 WHERE state = 'received';"
		"UPDATE totals SET messages = messages + 2 WHERE state = 'relaying';"
		"UPDATE messages SET state = 'relaying'");
	const struct conf conf = { .queue = fixture->settings };
	capture_check(queue_command, &conf, ARGUMENTS("delete", "--all", "--yes"), EX_OK,
		"2 messages deleted", NULL);
	fixture_open(fixture);
	assert_null(fixture_look(fixture, id));
}

/* In the directory that it was: what is missing is no file system, and no reason to refuse
 * what is new. */
static void a_lost_file_keeps_no_gateway_from_its_work(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_autofree char *file = fixture_spool(fixture, id);
	g_autofree char *folder = g_path_get_dirname(file);
	assert_int_equal(g_unlink(file), 0);
	g_rmdir(folder);
	fixture_open(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 1);
	fixture_submit(fixture, id);
	assert_true(fixture_has_file(fixture, id));
}

static void a_second_gateway_is_refused_with_the_first_ones_process(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *process = g_strdup_printf("process %ld)", (long)getpid());
	check_refused(fixture, process);
	fixture_reopen(fixture);
}

static void a_lock_that_was_removed_by_hand_lets_no_second_gateway_in(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *lock = fixture_path(fixture, "lock");
	assert_int_equal(g_unlink(lock), 0);
	check_refused(fixture, "another gateway");
	fixture_reopen(fixture);
}

static void *let_go_soon(void *fd)
{
	g_usleep(50000);
	close(GPOINTER_TO_INT(fd));
	return NULL;
}

static void a_command_that_looks_does_not_keep_a_gateway_from_starting(void **state)
{
	struct fixture *fixture = *state;
	fixture_close(fixture);
	g_autofree char *path = fixture_path(fixture, "lock");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
	GThread *thread = g_thread_new("command", let_go_soon, GINT_TO_POINTER(fd));
	fixture_open(fixture);
	g_thread_join(thread);
}

static void what_is_no_queue_is_refused(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *database = fixture_path(fixture, "queue.db");
	g_autofree char *text = g_strnfill(8192, 'x');
	fixture_close(fixture);
	fixture_execute(fixture, "PRAGMA user_version = 99");
	check_refused(fixture, "newer version");
	fixture_execute(fixture, "PRAGMA user_version = 1; PRAGMA application_id = 7");
	check_refused(fixture, "not a queue");
	assert_true(g_file_set_contents(database, text, 8192, NULL));
	check_refused(fixture, "not a database");
	tree_remove(fixture->directory);
	assert_true(g_file_set_contents(fixture->directory, "x", 1, NULL));
	check_refused(fixture, fixture->directory);
	g_unlink(fixture->directory);
}

/* As the first version wrote it. */
static const char downgrade[] = "ALTER TABLE messages DROP COLUMN smtputf8;"
				"ALTER TABLE messages DROP COLUMN may_bounce;"
				"ALTER TABLE messages DROP COLUMN ret;"
				"ALTER TABLE messages DROP COLUMN envid;"
				"ALTER TABLE recipients DROP COLUMN notify;"
				"ALTER TABLE recipients DROP COLUMN orcpt;"
				"ALTER TABLE recipients DROP COLUMN told;"
				"ALTER TABLE attachments DROP COLUMN revoked_at_s;"
				"DROP VIEW history;"
				"DROP TABLE events;"
				"DROP TABLE notes;"
				"DROP INDEX due;"
				"DROP INDEX holds;"
				"DROP INDEX purgeable_dead;"
				"CREATE INDEX unfinished_by_next_attempt "
				"  ON messages (next_attempt_ms) WHERE finished_ms = 0;"
				"ALTER TABLE messages DROP COLUMN hold;"
				"ALTER TABLE messages DROP COLUMN priority;"
				"ALTER TABLE messages DROP COLUMN journal;"
				"DELETE FROM totals "
				"  WHERE state IN ('rewriting', 'uploading');"
				"PRAGMA user_version = 1";

static void an_older_queue_is_brought_up_to_date(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	fixture_close(fixture);
	fixture_execute(fixture, downgrade);
	g_autofree char *database = fixture_path(fixture, "queue.db");
	g_autoptr(GError) error = NULL;
	assert_null(store_open_visitor(database, true, &error));
	assert_non_null(strstr(error->message, "older version"));

	fixture_open(fixture);
	struct queue_message *message = fixture_look(fixture, id);
	const struct queue_recipient *recipient = message->recipients->pdata[0];
	assert_false(message->smtputf8);
	assert_false(message->may_bounce);
	assert_int_equal(message->ret, QUEUE_RET_DEFAULT);
	assert_null(message->envid);
	assert_int_equal(recipient->notify, QUEUE_NOTIFY_DEFAULT);
	assert_null(recipient->orcpt);
	queue_message_free(message);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	fixture_submit(fixture, id);
}

/* Before it was recorded, the times said it. */
static void what_senders_were_told_before_is_not_told_again(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	fixture_close(fixture);
	fixture_execute(fixture,
		"UPDATE recipients SET notify = 'SUCCESS,DELAY', state = 'sent';"
		"UPDATE messages SET attempts = 1, received_ms = 1;"
		"ALTER TABLE recipients DROP COLUMN told;"
		"PRAGMA user_version = 4");
	fixture_open(fixture);
	struct queue_message *message = fixture_look(fixture, id);
	const struct queue_recipient *recipient = message->recipients->pdata[0];
	assert_int_equal(recipient->told, QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY);
	queue_message_free(message);
}

/* However early a command comes upon it. */
static void check_commands_say_damage(const struct fixture *fixture)
{
	static const char *const verbs[][4] = { { "list", "--all" }, { "show", "--all" },
		{ "retry", "--all" }, { "delete", "--all", "--yes" } };
	const struct conf conf = { .queue = fixture->settings };
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		capture_check(
			queue_command, &conf, verbs[i], EX_DATAERR, NULL, "queue.db: ");
}

static void damage_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 50; i++)
		fixture_submit(fixture, id);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_autofree char *path = fixture_path(fixture, "queue.db");
	g_autofree char *content = NULL;
	gsize bytes = 0;
	assert_true(g_file_get_contents(path, &content, &bytes, NULL));
	assert_true(bytes > 5 * 4096);
	memset(content + 4096, 0x5a, bytes - 4096);
	assert_true(g_file_set_contents(path, content, (gssize)bytes, NULL));
	check_refused(fixture, "queue.db");
	check_commands_say_damage(fixture);
	memset(content, 0x5a, 4096);
	assert_true(g_file_set_contents(path, content, (gssize)bytes, NULL));
	check_refused(fixture, "queue.db");
	check_commands_say_damage(fixture);
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void nobody_else_may_look(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	g_autofree char *database = fixture_path(fixture, "queue.db");
	g_autofree char *wal = fixture_path(fixture, "queue.db-wal");
	g_autofree char *lock = fixture_path(fixture, "lock");
	g_autofree char *spool = fixture_spool(fixture, id);
	assert_int_equal(mode_of(fixture->directory), 0700);
	assert_int_equal(mode_of(queue_spool_directory(fixture->queue)), 0700);
	assert_int_equal(mode_of(database), 0600);
	assert_int_equal(mode_of(wal), 0600);
	assert_int_equal(mode_of(lock), 0600);
	assert_int_equal(mode_of(spool), 0600);

	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_chmod(fixture->directory, 0777);
	fixture_open(fixture);
	assert_int_equal(mode_of(fixture->directory), 0700);
}

int main(void)
{
#define QUEUE_TEST(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(mail_without_its_record_is_not_touched),
		QUEUE_TEST(a_spool_that_is_not_there_loses_nothing),
		QUEUE_TEST(a_lost_file_keeps_no_gateway_from_its_work),
		QUEUE_TEST(a_second_gateway_is_refused_with_the_first_ones_process),
		QUEUE_TEST(a_lock_that_was_removed_by_hand_lets_no_second_gateway_in),
		QUEUE_TEST(a_command_that_looks_does_not_keep_a_gateway_from_starting),
		QUEUE_TEST(what_is_no_queue_is_refused),
		QUEUE_TEST(an_older_queue_is_brought_up_to_date),
		QUEUE_TEST(what_senders_were_told_before_is_not_told_again),
		QUEUE_TEST(damage_is_noticed),
		QUEUE_TEST(nobody_else_may_look),
	};
	alarm(120); /* a queue that hangs fails the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
