/* What a queue finds after a restart: nothing is lost, nothing is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

static void each_state_survives_a_restart(void **state)
{
	static const struct {
		const char *stored;
		enum queue_state after;
		bool due;
	} cases[] = {
		{ "received", QUEUE_RECEIVED, true },
		{ "deferred", QUEUE_DEFERRED, true },
		{ "relaying", QUEUE_UNCERTAIN, true },
		{ "uncertain", QUEUE_UNCERTAIN, true },
		{ "held", QUEUE_HELD, false },
		{ "dead", QUEUE_DEAD, false },
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char id[MESSAGE_ID_BYTES];
		fixture_submit(fixture, id);
		fixture_close(fixture);
		bool dead = !strcmp(cases[i].stored, "dead");
		g_autofree char *script = g_strdup_printf(
			"UPDATE messages SET state = '%s', finished_ms = %d, "
			"next_attempt_ms = %s",
			cases[i].stored, dead,
			cases[i].due ? "1" : "9223372036854775807");
		fixture_execute(fixture, script);
		fixture_open(fixture);
		assert_int_equal(fixture_count(fixture, cases[i].after), 1);
		if (cases[i].due) {
			struct queue_message *message = fixture_take(fixture, id);
			assert_int_equal(message->state, cases[i].after);
			if (cases[i].after == QUEUE_UNCERTAIN &&
				!strcmp(cases[i].stored, "relaying")) {
				assert_true(message->uncertain);
				assert_non_null(message->reason);
			}
			queue_message_free(message);
		}
		fixture_close(fixture);
		fixture_execute(fixture, "DELETE FROM messages");
		fixture_open(fixture);
	}
}

static void only_those_whom_the_dot_concerned_are_uncertain(void **state)
{
	static const struct {
		const char *stored[3]; /* of the recipients */
		enum queue_state after, recipients[3];
	} cases[] = {
		/* between two transactions */
		{ { "sent", "received", "received" }, QUEUE_DEFERRED,
			{ QUEUE_SENT, QUEUE_RECEIVED, QUEUE_RECEIVED } },
		{ { "sent", "relaying", "received" }, QUEUE_UNCERTAIN,
			{ QUEUE_SENT, QUEUE_UNCERTAIN, QUEUE_RECEIVED } },
		{ { "sent", "uncertain", "received" }, QUEUE_UNCERTAIN,
			{ QUEUE_SENT, QUEUE_UNCERTAIN, QUEUE_RECEIVED } },
		{ { "dead", "deferred", "deferred" }, QUEUE_DEFERRED,
			{ QUEUE_DEAD, QUEUE_DEFERRED, QUEUE_DEFERRED } },
		/* nothing was recorded: it concerned all */
		{ { "received", "received", "received" }, QUEUE_UNCERTAIN,
			{ QUEUE_RECEIVED, QUEUE_RECEIVED, QUEUE_RECEIVED } },
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = fixture_message(3);
		char id[MESSAGE_ID_BYTES];
		memcpy(id, message->id, sizeof id);
		assert_true(fixture_submit_message(fixture, message, "a", 1, NULL));
		fixture_close(fixture);
		g_autofree char *script = g_strdup_printf(
			"UPDATE messages SET state = 'relaying';"
			"UPDATE recipients SET state = CASE number WHEN 0 THEN '%s' "
			"WHEN 1 THEN '%s' ELSE '%s' END",
			cases[i].stored[0], cases[i].stored[1], cases[i].stored[2]);
		fixture_execute(fixture, script);
		fixture_open(fixture);
		message = fixture_take(fixture, id);
		assert_int_equal(message->state, cases[i].after);
		assert_int_equal(message->uncertain, cases[i].after == QUEUE_UNCERTAIN);
		for (guint r = 0; r < message->recipients->len; r++) {
			const struct queue_recipient *one = message->recipients->pdata[r];
			assert_int_equal(one->state, cases[i].recipients[r]);
		}
		queue_message_free(message);
		fixture_close(fixture);
		fixture_execute(fixture, "DELETE FROM messages; DELETE FROM recipients");
		fixture_open(fixture);
	}
}

static void what_a_wrong_clock_planned_is_due(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES], held[MESSAGE_ID_BYTES];
	fixture_submit(fixture, held);
	fixture_finish(fixture, fixture_take(fixture, held), QUEUE_HELD, 0);
	fixture_submit(fixture, id);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_DEFERRED,
		(int64_t)fixture->settings.retry_max_s * 1000 - 1);
	fixture_reopen(fixture); /* as far ahead as may be: it waits */
	fixture_close(fixture);
	struct queue_message *message = fixture_look(fixture, id);
	assert_true(message->next_attempt_ms > g_get_real_time() / 1000 + HOUR_MS / 2);
	queue_message_free(message);
	fixture_execute(fixture,
		"UPDATE messages SET next_attempt_ms = next_attempt_ms + 86400000 "
		"WHERE state = 'deferred'");
	fixture_open(fixture);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	fixture_close(fixture);
	message = fixture_look(fixture, held);
	assert_int_equal(message->state, QUEUE_HELD);
	assert_int_equal(message->next_attempt_ms, STORE_NEVER_MS);
	queue_message_free(message);
}

/* A shorter retry_max, or a clock that goes back, makes a deep queue due:
 * not in one moment. */
static void what_becomes_due_together_is_spread(void **state)
{
	struct fixture *fixture = *state;
	enum { MANY = 150 };
	char ids[MANY][MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < MANY; i++) {
		fixture_submit(fixture, ids[i]);
		fixture_finish(fixture, fixture_take(fixture, ids[i]), QUEUE_DEFERRED,
			(int64_t)fixture->settings.retry_max_s * 1000 - 1);
	}
	fixture_close(fixture);
	fixture->settings.retry_max_s = 60;
	fixture_open(fixture);
	int64_t opened_ms = g_get_real_time() / 1000, last_ms = 0;
	fixture_finish(fixture, fixture_take(fixture, ids[0]), QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	unsigned due_at_once = 0;
	for (unsigned i = 1; i < MANY; i++) {
		struct queue_message *message = fixture_look(fixture, ids[i]);
		due_at_once += message->next_attempt_ms <= opened_ms + 200;
		last_ms = MAX(last_ms, message->next_attempt_ms);
		queue_message_free(message);
	}
	assert_in_range(due_at_once, 1, MANY / 2);
	assert_in_range(last_ms - opened_ms, 1000, 60000);
}

static void orphans_are_removed_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	char kept[MESSAGE_ID_BYTES], sent[MESSAGE_ID_BYTES], orphan[MESSAGE_ID_BYTES];
	fixture_submit(fixture, sent);
	fixture_finish(fixture, fixture_take(fixture, sent), QUEUE_SENT, 0);
	fixture_submit(fixture, kept);
	message_id_new(orphan);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	const char *const files[] = { orphan, sent, "README" };
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path =
			g_build_filename(fixture->directory, "incoming", files[i], NULL);
		assert_true(g_file_set_contents(path, "half", 4, NULL));
	}
	fixture_open(fixture);
	assert_false(fixture_has_file(fixture, orphan));
	assert_false(fixture_has_file(fixture, sent));
	assert_true(fixture_has_file(fixture, kept));
	g_autofree char *readme = fixture_path(fixture, "incoming/README");
	assert_int_equal(g_access(readme, F_OK), 0);
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 0);
}

static void a_row_without_a_file_is_dead(void **state)
{
	struct fixture *fixture = *state;
	char whole[MESSAGE_ID_BYTES], broken[MESSAGE_ID_BYTES];
	fixture_submit(fixture, whole);
	fixture_submit(fixture, broken);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_autofree char *path = fixture_spool(fixture, broken);
	g_unlink(path);
	fixture_open(fixture);
	struct queue_message *seen = fixture_look(fixture, broken);
	assert_int_equal(seen->state, QUEUE_DEAD);
	assert_true(seen->finished_ms > 0);
	assert_non_null(strstr(seen->reason, "missing"));
	const struct queue_recipient *recipient = seen->recipients->pdata[0];
	assert_int_equal(recipient->state, QUEUE_DEAD);
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 1);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 1);

	GError *error = NULL;
	assert_int_equal(queue_open_spool(fixture->queue, seen, &error), -1);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT));
	g_error_free(error);
	queue_message_free(seen);
}

int main(void)
{
#define QUEUE_TEST(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(each_state_survives_a_restart),
		QUEUE_TEST(only_those_whom_the_dot_concerned_are_uncertain),
		QUEUE_TEST(what_a_wrong_clock_planned_is_due),
		QUEUE_TEST(what_becomes_due_together_is_spread),
		QUEUE_TEST(orphans_are_removed_and_nothing_else),
		QUEUE_TEST(a_row_without_a_file_is_dead),
	};
	alarm(120); /* a queue that hangs fails the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
