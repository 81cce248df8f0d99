/* A queue on a disk that fails or is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

static void check_retry(GError **error)
{
	assert_true(g_error_matches(*error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	g_clear_error(error);
}

/* Nothing can be written from here on, or again. */
static void allow_writing(bool allowed)
{
	struct rlimit limit;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = allowed ? limit.rlim_max : 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_disk_that_fails_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	char sent[MESSAGE_ID_BYTES], waiting[MESSAGE_ID_BYTES], refused[MESSAGE_ID_BYTES];
	GError *error = NULL;
	fixture_submit(fixture, sent);
	fixture_submit(fixture, waiting);
	struct queue_message *first = fixture_take(fixture, sent);
	struct queue_message *second = fixture_take(fixture, waiting);
	assert_true(queue_mark_relaying(fixture->queue, first, NULL));

	allow_writing(false);
	struct queue_message *third = fixture_message(1);
	memcpy(refused, third->id, sizeof refused);
	bool accepted = fixture_submit_message(fixture, third, "x", 1, &error);
	/* An empty file can be made; then it is the database that fails. */
	GError *empty_error = NULL;
	struct queue_message *fourth = fixture_message(1);
	char empty[MESSAGE_ID_BYTES];
	memcpy(empty, fourth->id, sizeof empty);
	bool empty_accepted =
		fixture_submit_message(fixture, fourth, "", 0, &empty_error);
	GError *mark_error = NULL;
	bool marked = queue_mark_relaying(fixture->queue, second, &mark_error);
	fixture_finish(fixture, first, QUEUE_SENT, 0);
	GError *again_error = NULL;
	bool marked_again = queue_mark_relaying(fixture->queue, second, &again_error);
	allow_writing(true);

	assert_false(accepted);
	check_retry(&error);
	assert_false(empty_accepted);
	check_retry(&empty_error);
	assert_false(marked);
	check_retry(&mark_error);
	assert_false(marked_again);
	check_retry(&again_error);
	assert_false(fixture_has_file(fixture, refused));
	assert_false(fixture_has_file(fixture, empty));
	assert_null(fixture_look(fixture, refused));
	assert_null(fixture_look(fixture, empty));

	/* By itself all is well again, and what was sent is known to be. */
	assert_true(queue_mark_relaying(fixture->queue, second, NULL));
	struct queue_message *seen = fixture_look(fixture, sent);
	assert_int_equal(seen->state, QUEUE_SENT);
	queue_message_free(seen);
	fixture_finish(fixture, second, QUEUE_SENT, 0);
	fixture_settle(fixture);
	assert_false(fixture_has_file(fixture, sent));
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), 3);
	assert_int_equal(fixture_count(fixture, QUEUE_RELAYING), 0);
}

static void a_full_disk_is_retried_later(void **state)
{
	(void)state;
	struct fixture fixture;
	g_autofree char *root = g_dir_make_tmp("stowage-full-XXXXXX", NULL);
	if (mount("none", root, "tmpfs", MS_NODEV | MS_NOSUID, "size=2m,mode=0700") < 0) {
		g_rmdir(root);
		skip();
	}
	fixture_init(&fixture, root);
	fixture_open(&fixture);
	g_autofree char *content = g_malloc0(100000);
	g_autoptr(GPtrArray) accepted = g_ptr_array_new_with_free_func(g_free);
	GError *error = NULL;
	for (unsigned i = 0; i < 100 && !error; i++) {
		struct queue_message *message = fixture_message(1);
		g_autofree char *id = g_strdup(message->id);
		if (fixture_submit_message(&fixture, message, content, 100000, &error))
			g_ptr_array_add(accepted, g_steal_pointer(&id));
		else
			assert_false(fixture_has_file(&fixture, id));
	}
	bool filled = error != NULL;
	bool says_so = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_FULL);
	g_clear_error(&error);
	guint n = accepted->len;
	for (guint i = 0; i < n; i++)
		fixture_finish(&fixture, fixture_take(&fixture, accepted->pdata[i]),
			QUEUE_SENT, 0);
	fixture_close(&fixture);
	fixture_open(&fixture);
	size_t sent = fixture_count(&fixture, QUEUE_SENT);
	char id[MESSAGE_ID_BYTES];
	fixture_submit(&fixture, id);
	fixture_close(&fixture);
	assert_int_equal(umount(root), 0);
	fixture_clear(&fixture);
	assert_true(filled);
	assert_true(says_so);
	assert_true(n > 3);
	assert_int_equal(sent, n);
}

int main(void)
{
#define QUEUE_TEST(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(a_disk_that_fails_loses_nothing),
		cmocka_unit_test(a_full_disk_is_retried_later),
	};
	alarm(120); /* a queue that hangs fails the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
