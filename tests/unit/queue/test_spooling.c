/* Submissions on a disk whose syncs take long, or fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOW_US    5000
#define SEVERAL    6
#define PATIENCE_S 20

/* The disk, as fsync() below has it: the queue's files and folders, not its database. */
static struct disk {
	GMutex lock;
	GCond changed;
	bool slow, closed; /* closed: no sync ends */
	int folder_error;  /* errno of a folder's sync; 0: it works */
	unsigned under_way, most;
	GHashTable *synced; /* of inodes */
} disk;

static bool is_folder(int fd, ino_t *inode)
{
	struct stat st = { 0 };
	g_assert(fstat(fd, &st) == 0);
	*inode = st.st_ino;
	return S_ISDIR(st.st_mode);
}

int fsync(int fd)
{
	ino_t inode;
	bool folder = is_folder(fd, &inode);
	g_mutex_lock(&disk.lock);
	disk.most = MAX(disk.most, ++disk.under_way);
	g_cond_broadcast(&disk.changed);
	while (disk.closed)
		g_cond_wait(&disk.changed, &disk.lock);
	int number = folder ? disk.folder_error : 0;
	bool slow = disk.slow;
	g_mutex_unlock(&disk.lock);
	if (slow)
		g_usleep(SLOW_US);
	long rc = syscall(SYS_fsync, fd);
	g_mutex_lock(&disk.lock);
	disk.under_way--;
	if (!number && disk.synced)
		g_hash_table_add(disk.synced, GSIZE_TO_POINTER(inode));
	g_mutex_unlock(&disk.lock);
	errno = number ? number : errno;
	return number ? -1 : (int)rc;
}

static void set_closed(bool closed)
{
	g_mutex_lock(&disk.lock);
	disk.closed = closed;
	g_cond_broadcast(&disk.changed);
	g_mutex_unlock(&disk.lock);
}

/* Until so many syncs are under way; false: they never were. */
static bool wait_under_way(unsigned n)
{
	gint64 until_us = g_get_monotonic_time() + PATIENCE_S * G_TIME_SPAN_SECOND;
	g_mutex_lock(&disk.lock);
	bool reached = true;
	while (reached && disk.under_way < n)
		reached = g_cond_wait_until(&disk.changed, &disk.lock, until_us);
	g_mutex_unlock(&disk.lock);
	return reached;
}

static bool was_synced(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 &&
	       g_hash_table_contains(disk.synced, GSIZE_TO_POINTER(st.st_ino));
}

/* --- submissions --- */

struct verdicts {
	const struct fixture *fixture;
	GMutex lock;
	GCond changed;
	unsigned accepted, refused;
	bool too_soon; /* one was accepted before its file or its folder was synced */
};

static void take_verdict(void *context, const char *id, const GError *error)
{
	struct verdicts *verdicts = context;
	g_autofree char *path = fixture_spool(verdicts->fixture, id);
	g_autofree char *folder = g_path_get_dirname(path);
	g_mutex_lock(&disk.lock);
	bool safe = was_synced(path) && was_synced(folder);
	g_mutex_unlock(&disk.lock);
	g_mutex_lock(&verdicts->lock);
	verdicts->too_soon = verdicts->too_soon || (!error && !safe);
	verdicts->accepted += !error;
	verdicts->refused += error != NULL;
	g_cond_broadcast(&verdicts->changed);
	g_mutex_unlock(&verdicts->lock);
}

static void submit(struct fixture *fixture, struct verdicts *verdicts)
{
	struct queue_message *message = fixture_message(1);
	struct spool *spool =
		spool_new(queue_spool_directory(fixture->queue), message->id);
	spool_append(spool, "Subject: x\r\n\r\n", 14);
	queue_submit(fixture->queue, message, spool, take_verdict, verdicts);
}

static void wait_verdicts(struct verdicts *verdicts, unsigned n)
{
	g_mutex_lock(&verdicts->lock);
	while (verdicts->accepted + verdicts->refused < n)
		g_cond_wait(&verdicts->changed, &verdicts->lock);
	g_mutex_unlock(&verdicts->lock);
}

/* The queue has found out that syncs take long. */
static void make_slow(struct fixture *fixture)
{
	char id[MESSAGE_ID_BYTES];
	disk.slow = true;
	for (unsigned i = 0; i < 3; i++) {
		fixture_submit(fixture, id);
		fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	}
}

static int set_up(void **state)
{
	disk.synced = g_hash_table_new(NULL, NULL);
	disk.slow = disk.closed = false;
	disk.folder_error = 0;
	return fixture_set_up(state);
}

static int tear_down(void **state)
{
	int rc = fixture_tear_down(state);
	g_clear_pointer(&disk.synced, g_hash_table_unref);
	return rc;
}

/* --- what is promised --- */

static void those_who_come_together_are_synced_together(void **state)
{
	struct fixture *fixture = *state;
	struct verdicts verdicts = { .fixture = fixture };
	make_slow(fixture);
	set_closed(true);
	for (unsigned i = 0; i < SEVERAL; i++)
		submit(fixture, &verdicts);
	bool together = wait_under_way(SEVERAL + 1); /* and the folder */
	assert_int_equal(verdicts.accepted, 0);
	set_closed(false);
	wait_verdicts(&verdicts, SEVERAL);
	assert_true(together);
	assert_int_equal(verdicts.accepted, SEVERAL);
	assert_false(verdicts.too_soon);
}

static void a_sync_keeps_no_other_record_waiting(void **state)
{
	struct fixture *fixture = *state;
	struct verdicts verdicts = { .fixture = fixture };
	char id[MESSAGE_ID_BYTES];
	make_slow(fixture);
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	set_closed(true);
	submit(fixture, &verdicts);
	assert_true(wait_under_way(1));
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	assert_int_equal(verdicts.accepted, 0);
	set_closed(false);
	wait_verdicts(&verdicts, 1);
	assert_int_equal(verdicts.accepted, 1);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
}

static void a_queue_that_ends_waits_for_syncs(void **state)
{
	struct fixture *fixture = *state;
	struct verdicts verdicts = { .fixture = fixture };
	make_slow(fixture);
	for (unsigned i = 0; i < SEVERAL; i++)
		submit(fixture, &verdicts);
	fixture_close(fixture);
	assert_int_equal(verdicts.accepted, SEVERAL);
	assert_false(verdicts.too_soon);
	fixture_open(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), SEVERAL);
}

static void check_failing_folder(struct fixture *fixture)
{
	struct verdicts verdicts = { .fixture = fixture };
	disk.folder_error = EIO;
	for (unsigned i = 0; i < SEVERAL; i++)
		submit(fixture, &verdicts);
	wait_verdicts(&verdicts, SEVERAL);
	assert_int_equal(verdicts.refused, SEVERAL);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 0);

	disk.folder_error = 0;
	submit(fixture, &verdicts);
	wait_verdicts(&verdicts, SEVERAL + 1);
	assert_int_equal(verdicts.accepted, 1);
	assert_false(verdicts.too_soon);
	assert_true(queue_is_ready(fixture->queue, NULL));
}

static void a_name_that_is_not_synced_is_no_promise(void **state)
{
	check_failing_folder(*state);
}

static void nor_on_a_slow_disk(void **state)
{
	make_slow(*state);
	check_failing_folder(*state);
}

/* --- a place that is another one --- */

static void check_not_accepted(struct fixture *fixture, const char *why)
{
	g_autoptr(GError) error = NULL;
	struct queue_message *message = fixture_message(1);
	assert_false(fixture_submit_message(fixture, message, "x\r\n", 3, &error));
	assert_non_null(strstr(error->message, why));
	/* Nor is it said to be ready: longer than from one tick to the next. */
	for (unsigned i = 0; i < 150; i++) {
		assert_false(queue_is_ready(fixture->queue, NULL));
		g_usleep(10000);
	}
}

static void check_accepted_again(struct fixture *fixture)
{
	char id[MESSAGE_ID_BYTES];
	bool ready = false;
	for (unsigned i = 0; i < 6000 && !ready; i++) {
		ready = queue_is_ready(fixture->queue, NULL);
		g_usleep(10000);
	}
	assert_true(ready);
	fixture_submit(fixture, id);
}

static void what_lies_elsewhere_is_not_accepted(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id); /* its folder is there in both */
	g_autofree char *spool = fixture_path(fixture, "incoming");
	g_autofree char *moved = fixture_path(fixture, "incoming.old");
	assert_int_equal(rename(spool, moved), 0);
	assert_int_equal(mkdir(spool, 0700), 0);
	check_not_accepted(fixture, "incoming");
	g_autofree char *command = g_strdup_printf("rm -r '%s'", spool);
	assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	assert_int_equal(rename(moved, spool), 0);
	check_accepted_again(fixture);
}

static void nothing_is_recorded_in_a_database_that_is_gone(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	g_autofree char *path = fixture_path(fixture, "queue.db");
	g_autofree char *moved = fixture_path(fixture, "queue.db.old");
	assert_int_equal(rename(path, moved), 0);
	check_not_accepted(fixture, "queue.db: was moved or deleted");
	assert_int_equal(rename(moved, path), 0);
	check_accepted_again(fixture);
}

#define SPOOLING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOLING_TEST(those_who_come_together_are_synced_together),
		SPOOLING_TEST(a_sync_keeps_no_other_record_waiting),
		SPOOLING_TEST(a_queue_that_ends_waits_for_syncs),
		SPOOLING_TEST(a_name_that_is_not_synced_is_no_promise),
		SPOOLING_TEST(nor_on_a_slow_disk),
		SPOOLING_TEST(what_lies_elsewhere_is_not_accepted),
		SPOOLING_TEST(nothing_is_recorded_in_a_database_that_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
