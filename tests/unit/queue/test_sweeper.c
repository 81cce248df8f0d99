/* What the sweeper deletes, and what it keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/queue/sweeper.h"
#include "s3/s3.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>

#define NOW_S       1785974400
#define DAY_S       86400
#define RETENTION_S (30 * DAY_S)
#define OLD_S       (31 * DAY_S)

/* An object of message id, so old; its key. */
static char *make_object(const char *directory, const char *id, int64_t age_s)
{
	char *key = g_strdup_printf("mail/2026/07/01/%s/1-a.pdf", id);
	g_autofree char *path = g_build_filename(directory, "objects", key, NULL);
	g_autofree char *parent = g_path_get_dirname(path);
	assert_int_equal(g_mkdir_with_parents(parent, 0700), 0);
	assert_true(g_file_set_contents(path, "x", 1, NULL));
	struct utimbuf times = { (time_t)(NOW_S - age_s), (time_t)(NOW_S - age_s) };
	assert_int_equal(utime(path, &times), 0);
	return key;
}

static bool is_there(const char *directory, const char *key)
{
	g_autofree char *path = g_build_filename(directory, "objects", key, NULL);
	return access(path, F_OK) == 0;
}

/* A message whose link to key ends at expires_at_s, sent or still in the queue. */
static void record(struct fixture *fixture, const char *id, const char *key,
	int64_t expires_at_s, bool sent)
{
	struct queue_message *message = fixture_take(fixture, id);
	struct queue_attachment *attachment = queue_message_add_attachment(message);
	attachment->number = 1;
	attachment->key = g_strdup(key);
	attachment->expires_at_s = expires_at_s;
	queue_record_attachments(fixture->queue, message);
	fixture_finish(fixture, message, sent ? QUEUE_SENT : QUEUE_DEFERRED, 3600 * 1000);
}

static void old_objects_go_unless_they_are_needed(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *directory = g_build_filename(fixture->root, "store", NULL);
	static const struct {
		const char *name;
		int64_t age_s, expires_at_s; /* 0: not in the record */
		bool sent, stays;
	} cases[] = {
		{ "young", 29 * DAY_S, NOW_S - 1, true, true },
		{ "old, its link ended", OLD_S, NOW_S - 1, true, false },
		{ "old, its link is good", OLD_S, NOW_S + 1, true, true },
		{ "old, its message waits", OLD_S, NOW_S - 1, false, true },
		{ "old, not in the record", OLD_S, 0, false, false },
		{ "just past, within an upload's time", RETENTION_S + 60, 0, false,
			true },
	};
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char id[MESSAGE_ID_BYTES];
		message_id_new(id);
		if (cases[i].expires_at_s)
			fixture_submit(fixture, id);
		char *key = make_object(directory, id, cases[i].age_s);
		g_ptr_array_add(keys, key);
		if (cases[i].expires_at_s)
			record(fixture, id, key, cases[i].expires_at_s, cases[i].sent);
	}
	fixture_close(fixture); /* all of it is written */
	fixture_open(fixture);
	struct sweeper *sweeper = sweeper_new(directory, fixture->directory, 0);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 0); /* kept for ever */
	sweeper_set_retention(sweeper, RETENTION_S);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 2);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (is_there(directory, keys->pdata[i]) != cases[i].stays)
			fail_msg("%s", cases[i].name);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 0);
	sweeper_free(&sweeper);
	assert_null(sweeper);
}

static void links_lead_nowhere_else(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *directory = g_build_filename(fixture->root, "store", NULL);
	g_autofree char *elsewhere = g_build_filename(fixture->root, "elsewhere", NULL);
	g_autofree char *key = make_object(elsewhere, "x", OLD_S);
	g_autofree char *objects = g_build_filename(directory, "objects", NULL);
	g_autofree char *link = g_build_filename(objects, "link", NULL);
	assert_int_equal(g_mkdir_with_parents(objects, 0700), 0);
	assert_int_equal(symlink(elsewhere, link), 0);
	struct sweeper *sweeper = sweeper_new(directory, fixture->directory, RETENTION_S);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 0);
	sweeper_free(&sweeper);
	assert_true(is_there(elsewhere, key));
}

static void without_a_record_nothing_is_deleted(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *directory = g_build_filename(fixture->root, "store", NULL);
	g_autofree char *nowhere = g_build_filename(fixture->root, "none", NULL);
	g_autofree char *key = make_object(directory, "x", OLD_S);
	struct sweeper *sweeper = sweeper_new(directory, nowhere, RETENTION_S);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 0);
	sweeper_free(&sweeper);
	assert_true(is_there(directory, key));
}

/* What stands beside KEY, so old; its path. */
static char *make_record(const char *directory, const char *key, int64_t age_s)
{
	char *path = g_strdup_printf("%s/metadata/%s.json", directory, key);
	g_autofree char *parent = g_path_get_dirname(path);
	assert_int_equal(g_mkdir_with_parents(parent, 0700), 0);
	assert_true(g_file_set_contents(path, "{}", 2, NULL));
	struct utimbuf times = { (time_t)(NOW_S - age_s), (time_t)(NOW_S - age_s) };
	assert_int_equal(utime(path, &times), 0);
	return path;
}

static void records_of_nothing_go_too(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *directory = g_build_filename(fixture->root, "store", NULL);
	g_autofree char *key = make_object(directory, "x", 0);
	g_autofree char *beside = make_record(directory, key, OLD_S);
	g_autofree char *old = make_record(directory, "mail/2026/07/01/y/1-b.pdf", OLD_S);
	g_autofree char *new = make_record(directory, "mail/2026/07/01/y/2-b.pdf", DAY_S);
	struct sweeper *sweeper = sweeper_new(directory, fixture->directory, RETENTION_S);
	assert_int_equal(sweeper_pass(sweeper, NOW_S), 1);
	sweeper_free(&sweeper);
	assert_int_equal(access(beside, F_OK), 0);
	assert_int_equal(access(new, F_OK), 0);
	assert_int_not_equal(access(old, F_OK), 0);
}

#define TEST(name)                                                                       \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(old_objects_go_unless_they_are_needed),
		TEST(links_lead_nowhere_else),
		TEST(without_a_record_nothing_is_deleted),
		TEST(records_of_nothing_go_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
