/* The history of messages: what is kept of it, and states that last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

static struct queue_message *look_with_events(
	const struct fixture *fixture, const char *id)
{
	GError *error = NULL;
	struct queue_message *message = NULL;
	g_autofree char *path = fixture_path(fixture, "queue.db");
	struct store *store = store_open_visitor(path, true, &error);
	if (!store || !store_load(store, id, &message, &error) || !message ||
		!store_load_events(store, message, &error))
		fail_msg("%s", error ? error->message : "no such message");
	store_close(&store);
	return message;
}

static const struct queue_event *event_at(const struct queue_message *message, guint i)
{
	assert_true(i < message->events->len);
	return message->events->pdata[i];
}

static void check_event(const struct queue_message *message, guint i,
	enum queue_state state, int recipient, int reply_code, const char *text,
	const char *peer)
{
	const struct queue_event *event = event_at(message, i);
	assert_int_equal(event->state, state);
	assert_int_equal(event->recipient, recipient);
	assert_int_equal(event->reply_code, reply_code);
	assert_int_equal(g_strcmp0(event->text, text), 0);
	assert_int_equal(g_strcmp0(event->peer, peer), 0);
	assert_true(event->at_ms >= message->received_ms);
}

static void each_step_is_kept_in_order(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	queue_note_state(fixture->queue, message, QUEUE_REWRITING);
	queue_note_state(fixture->queue, message, QUEUE_UPLOADING);
	queue_message_add_event(message, -1, QUEUE_RELAYING, 0, NULL, "default");
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	struct queue_message *seen = look_with_events(fixture, id);
	assert_int_equal(seen->events->len, 4);
	queue_message_free(seen);

	queue_message_add_event(
		message, 0, QUEUE_DEFERRED, 451, "4.7.1 \"later\" \\ \t\x01", "default");
	fixture_finish(fixture, message, QUEUE_DEFERRED, 1);
	message = fixture_take(fixture, id);
	assert_int_equal(message->events->len, 0);
	queue_message_add_event(message, 0, QUEUE_SENT, 250, "Ok \xc3\xa9\xff", "second");
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);

	seen = look_with_events(fixture, id);
	assert_int_equal(seen->events->len, 6);
	check_event(seen, 0, QUEUE_RECEIVED, -1, 0, NULL, "192.0.2.1");
	check_event(seen, 1, QUEUE_REWRITING, -1, 0, NULL, NULL);
	check_event(seen, 2, QUEUE_UPLOADING, -1, 0, NULL, NULL);
	check_event(seen, 3, QUEUE_RELAYING, -1, 0, NULL, "default");
	check_event(
		seen, 4, QUEUE_DEFERRED, 0, 451, "4.7.1 \"later\" \\ \t\x01", "default");
	check_event(seen, 5, QUEUE_SENT, 0, 250, "Ok \xc3\xa9\xef\xbf\xbd", "second");
	queue_message_free(seen);
	/* A person may ask for it in SQL. */
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) - 1 FROM history "
		"WHERE number = 4 AND state = 'sent' AND reply_code = 250");
}

static void of_many_events_the_first_and_the_last_are_kept(void **state)
{
	struct fixture *fixture = *state;
	enum { ROUNDS = 4, EACH = 700 };
	char id[MESSAGE_ID_BYTES];
	unsigned number = 0;
	fixture_submit(fixture, id);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct queue_message *message = fixture_take(fixture, id);
		for (unsigned i = 0; i < EACH; i++) {
			g_autofree char *text = g_strdup_printf("%u", ++number);
			queue_message_add_event(
				message, 0, QUEUE_DEFERRED, 450, text, NULL);
		}
		fixture_finish(fixture, message, QUEUE_DEFERRED,
			round + 1 < ROUNDS ? 0 : HOUR_MS);
	}
	queue_stop(fixture->queue);
	fixture_close(fixture);
	struct queue_message *seen = look_with_events(fixture, id);
	assert_in_range(seen->events->len, QUEUE_EVENTS_MAX / 2, QUEUE_EVENTS_MAX + 1);
	assert_string_equal(event_at(seen, 1)->text, "1");
	assert_string_equal(event_at(seen, 400)->text, "400");
	assert_string_equal(event_at(seen, seen->events->len - 1)->text, "2800");
	assert_string_equal(event_at(seen, seen->events->len - 400)->text, "2401");
	queue_message_free(seen);

	/* In memory too, where nothing is recorded for long. */
	struct queue_message *message = fixture_message(1);
	for (unsigned i = 0; i < 3 * QUEUE_EVENTS_MAX; i++)
		queue_message_add_event(message, (int)i, QUEUE_DEFERRED, 450, NULL, NULL);
	assert_int_equal(message->events->len, QUEUE_EVENTS_MAX);
	assert_int_equal(event_at(message, 0)->recipient, 0);
	assert_int_equal(event_at(message, QUEUE_EVENTS_MAX - 1)->recipient,
		3 * QUEUE_EVENTS_MAX - 1);
	queue_message_free(message);
}

static void wait_for_state(
	const struct fixture *fixture, const char *id, enum queue_state want)
{
	for (unsigned i = 0; i < 6000; i++) {
		struct queue_message *message = fixture_look(fixture, id);
		bool is_there = message->state == want;
		queue_message_free(message);
		if (is_there)
			return;
		g_usleep(10000);
	}
	fail_msg("%s is not %s", id, queue_state_name(want));
}

static void a_state_that_lasts_is_recorded_and_ends_with_the_process(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	queue_note_state(fixture->queue, message, QUEUE_UPLOADING);
	wait_for_state(fixture, id, QUEUE_UPLOADING);
	assert_int_equal(fixture_count(fixture, QUEUE_UPLOADING), 1);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 0);
	queue_stop(fixture->queue);
	fixture_close(fixture); /* as if it had been killed: the message is in flight */
	queue_message_free(message);

	fixture_open(fixture);
	message = fixture_take(fixture, id);
	assert_int_equal(message->state, QUEUE_DEFERRED);
	assert_false(message->uncertain);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	struct queue_message *seen = look_with_events(fixture, id);
	assert_int_equal(seen->state, QUEUE_SENT);
	assert_int_equal(event_at(seen, 1)->state, QUEUE_DEFERRED);
	assert_non_null(strstr(event_at(seen, 1)->text, "in the middle"));
	queue_message_free(seen);
}

static void a_relay_cut_off_is_an_event(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	queue_message_add_event(message, -1, QUEUE_RELAYING, 0, NULL, "default");
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	queue_stop(fixture->queue);
	fixture_close(fixture);
	queue_message_free(message);
	fixture_open(fixture);
	message = fixture_take(fixture, id);
	assert_int_equal(message->state, QUEUE_UNCERTAIN);
	assert_true(message->uncertain);
	fixture_finish(fixture, message, QUEUE_DEFERRED, HOUR_MS);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	struct queue_message *seen = look_with_events(fixture, id);
	assert_int_equal(seen->events->len, 3);
	check_event(seen, 1, QUEUE_RELAYING, -1, 0, NULL, "default");
	assert_int_equal(event_at(seen, 2)->state, QUEUE_UNCERTAIN);
	assert_non_null(event_at(seen, 2)->text);
	queue_message_free(seen);
}

static void wait_until_gone(const struct fixture *fixture, const char *id)
{
	struct queue_message *message = NULL;
	for (unsigned i = 0; i < 6000; i++) {
		message = fixture_look(fixture, id);
		if (!message)
			return;
		queue_message_free(message);
		g_usleep(10000);
	}
	fail_msg("%s is still there", id);
}

static void history_goes_with_its_message(void **state)
{
	struct fixture *fixture = *state;
	static const enum queue_state fates[] = { QUEUE_SENT, QUEUE_BOUNCED, QUEUE_DEAD };
	char ids[3][MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 3; i++) {
		fixture_submit(fixture, ids[i]);
		struct queue_message *message = fixture_take(fixture, ids[i]);
		queue_message_add_event(message, -1, fates[i], 550, "no", NULL);
		fixture_finish(fixture, message, fates[i], 0);
	}
	fixture_close(fixture);
	fixture_execute(fixture, "UPDATE messages SET finished_ms = 1");
	/* Dead ones are kept where nothing else is said. */
	fixture_open(fixture);
	wait_until_gone(fixture, ids[0]);
	wait_until_gone(fixture, ids[1]);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	struct queue_message *dead = look_with_events(fixture, ids[2]);
	assert_int_equal(dead->events->len, 2);
	queue_message_free(dead);
	assert_true(fixture_has_file(fixture, ids[2]));

	fixture->settings.dead_retention_s = 3600;
	fixture_open(fixture);
	wait_until_gone(fixture, ids[2]);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_false(fixture_has_file(fixture, ids[2]));
	fixture_open(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 0);
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) FROM events;"
		"INSERT INTO must_be_empty SELECT count(*) FROM messages");
}

static void notes_outlive_the_process(void **state)
{
	struct fixture *fixture = *state;
	assert_null(queue_recall(fixture->queue, "pace.default"));
	queue_remember(fixture->queue, "pace.default", "14");
	queue_remember(fixture->queue, "pace.default", "12.5");
	g_autofree char *now = queue_recall(fixture->queue, "pace.default");
	assert_string_equal(now, "12.5");
	fixture_close(fixture);
	fixture_open(fixture);
	g_autofree char *later = queue_recall(fixture->queue, "pace.default");
	assert_string_equal(later, "12.5");
}

int main(void)
{
#define HISTORY_TEST(name)                                                               \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(each_step_is_kept_in_order),
		HISTORY_TEST(of_many_events_the_first_and_the_last_are_kept),
		HISTORY_TEST(a_state_that_lasts_is_recorded_and_ends_with_the_process),
		HISTORY_TEST(a_relay_cut_off_is_an_event),
		HISTORY_TEST(history_goes_with_its_message),
		HISTORY_TEST(notes_outlive_the_process),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
