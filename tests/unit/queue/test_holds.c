/* What faults hold back, and what a person does to a message in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

static void hold(struct fixture *fixture, struct queue_message *message, const char *what)
{
	g_free(message->hold);
	message->hold = g_strdup(what);
	fixture_finish(fixture, message, QUEUE_HELD, 0);
}

static void put_held(struct fixture *fixture, const char *what, char id[MESSAGE_ID_BYTES])
{
	fixture_submit(fixture, id);
	hold(fixture, fixture_take(fixture, id), what);
}

static void wait_for_count(
	const struct fixture *fixture, enum queue_state state, size_t want)
{
	for (unsigned i = 0; i < 6000 && fixture_count(fixture, state) != want; i++)
		g_usleep(10000);
	assert_int_equal(fixture_count(fixture, state), want);
}

struct held {
	const char *what;
	uint64_t messages;
};

static bool see_hold(void *context, const struct store_hold *seen)
{
	struct held *held = context;
	if (!strcmp(seen->hold, held->what))
		held->messages = seen->messages;
	return true;
}

/* As another process sees it. */
static uint64_t held_for(const struct fixture *fixture, const char *what)
{
	struct held held = { .what = what };
	g_autofree char *path = fixture_path(fixture, "queue.db");
	struct store *store = store_open_visitor(path, true, NULL);
	assert_non_null(store);
	assert_true(store_scan_holds(store, see_hold, &held, NULL));
	store_close(&store);
	return held.messages;
}

/* --- what the operator hears --- */

struct ear {
	FILE *file;
	int standard_error;
};

static void begin_to_listen(struct ear *ear)
{
	ear->file = tmpfile();
	assert_non_null(ear->file);
	ear->standard_error = dup(STDERR_FILENO);
	assert_true(dup2(fileno(ear->file), STDERR_FILENO) >= 0);
}

/* How often an event was logged so far, with that hold (NULL: with any). */
static unsigned heard(const struct ear *ear, const char *event, const char *what)
{
	g_autofree char *named =
		what ? g_strdup_printf("\"hold\":\"%s\"", what) : g_strdup("\"hold\":");
	char line[2048];
	unsigned n = 0;
	rewind(ear->file);
	while (fgets(line, sizeof line, ear->file))
		n += strstr(line, event) && strstr(line, named);
	return n;
}

static void stop_listening(struct ear *ear)
{
	assert_true(dup2(ear->standard_error, STDERR_FILENO) >= 0);
	close(ear->standard_error);
	fclose(ear->file);
}

static void wait_to_hear(
	const struct ear *ear, const char *event, const char *what, unsigned want)
{
	for (unsigned i = 0; i < 6000 && heard(ear, event, what) != want; i++)
		g_usleep(10000);
	assert_int_equal(heard(ear, event, what), want);
}

/* --- what is held, and let go --- */

static void one_is_tried_and_the_others_follow(void **state)
{
	struct fixture *fixture = *state;
	enum { MANY = 600 }; /* more than one step of a release */
	char id[MESSAGE_ID_BYTES], other[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < MANY; i++)
		put_held(fixture, "relay default: credentials", id);
	put_held(fixture, "store: access", other);
	wait_for_count(fixture, QUEUE_HELD, MANY + 1);
	assert_int_equal(held_for(fixture, "relay default: credentials"), MANY);
	fixture_reopen(fixture);
	assert_int_equal(held_for(fixture, "relay default: credentials"), MANY);

	/* One of each at the start. */
	bool mended = false;
	for (unsigned i = 0; i < 2; i++) {
		struct queue_message *probe = queue_take(fixture->queue);
		assert_int_equal(probe->state, QUEUE_HELD);
		if (!strcmp(probe->hold, "store: access")) {
			fixture_finish(fixture, probe, QUEUE_HELD, 0);
			continue;
		}
		mended = true;
		fixture_finish(fixture, probe, QUEUE_SENT, 0);
	}
	assert_true(mended);
	for (unsigned i = 1; i < MANY; i++) {
		struct queue_message *message = queue_take(fixture->queue);
		assert_int_equal(message->state, QUEUE_DEFERRED);
		assert_null(message->hold);
		fixture_finish(fixture, message, QUEUE_SENT, 0);
	}
	wait_for_count(fixture, QUEUE_SENT, MANY);
	assert_int_equal(fixture_count(fixture, QUEUE_HELD), 1);
	assert_int_equal(held_for(fixture, "relay default: credentials"), 0);
	assert_int_equal(held_for(fixture, "store: access"), 1);
}

struct trier {
	struct fixture *fixture;
	gint *tried;
};

static void *try_and_hold(void *context)
{
	const struct trier *trier = context;
	struct queue_message *message;
	while ((message = queue_take(trier->fixture->queue)) != NULL) {
		hold(trier->fixture, message, "relay default: quota");
		g_atomic_int_inc(trier->tried);
	}
	return NULL;
}

static void a_release_ends_where_the_fault_is_still_there(void **state)
{
	struct fixture *fixture = *state;
	enum { MANY = 1500 };
	char id[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < MANY; i++)
		put_held(fixture, "relay default: quota", id);
	wait_for_count(fixture, QUEUE_HELD, MANY);
	queue_release(fixture->queue, "relay default: quota");
	gint tried = 0;
	struct trier trier = { fixture, &tried };
	GThread *thread = g_thread_new("trier", try_and_hold, &trier);
	for (unsigned i = 0; i < 6000 && g_atomic_int_get(&tried) == 0; i++)
		g_usleep(10000);
	/* Between two steps of the release it may seem over. */
	for (unsigned i = 0, steady = 0; i < 6000 && steady < 100; i++) {
		bool all = fixture_count(fixture, QUEUE_HELD) == MANY;
		steady = all ? steady + 1 : 0;
		g_usleep(10000);
	}
	queue_stop(fixture->queue);
	g_thread_join(thread);
	assert_in_range(tried, 1, MANY - 1);
	assert_int_equal(held_for(fixture, "relay default: quota"), MANY);
}

static void a_call_releases_one_hold_or_all(void **state)
{
	struct fixture *fixture = *state;
	char a[MESSAGE_ID_BYTES], b[MESSAGE_ID_BYTES], c[MESSAGE_ID_BYTES];
	put_held(fixture, "a", a);
	put_held(fixture, "b", b);
	put_held(fixture, NULL, c); /* by a person */
	wait_for_count(fixture, QUEUE_HELD, 3);
	queue_release(fixture->queue, "b");
	fixture_finish(fixture, fixture_take(fixture, b), QUEUE_SENT, 0);
	queue_release(fixture->queue, NULL);
	fixture_finish(fixture, fixture_take(fixture, a), QUEUE_SENT, 0);
	wait_for_count(fixture, QUEUE_SENT, 2);
	assert_int_equal(fixture_count(fixture, QUEUE_HELD), 1);
	struct queue_message *message = fixture_look(fixture, c);
	assert_int_equal(message->next_attempt_ms, STORE_NEVER_MS);
	assert_null(message->hold);
	queue_message_free(message);
}

static void lifetime_runs_on_while_a_fault_holds(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	put_held(fixture, "a", id);
	wait_for_count(fixture, QUEUE_HELD, 1);
	struct queue_message *message = fixture_look(fixture, id);
	assert_string_equal(message->hold, "a");
	assert_int_equal(message->next_attempt_ms,
		message->received_ms + (int64_t)fixture->settings.lifetime_s * 1000);
	queue_message_free(message);
}

/* Where its sender is to be told of something before. What was told is recorded. */
static void what_a_fault_holds_may_be_due_before_its_end(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	struct queue_recipient *recipient = message->recipients->pdata[0];
	recipient->told = QUEUE_NOTIFY_DELAY;
	int64_t planned_ms = message->received_ms + 20000;
	message->next_attempt_ms = planned_ms;
	message->hold = g_strdup("a");
	message->state = QUEUE_HELD;
	queue_finish(fixture->queue, message);
	wait_for_count(fixture, QUEUE_HELD, 1);
	message = fixture_look(fixture, id);
	recipient = message->recipients->pdata[0];
	assert_int_equal(message->next_attempt_ms, planned_ms);
	assert_int_equal(recipient->told, QUEUE_NOTIFY_DELAY);
	queue_message_free(message);
}

static void many_holds_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	enum { MANY = 300 };
	char id[MESSAGE_ID_BYTES];
	struct ear ear;
	begin_to_listen(&ear);
	for (unsigned i = 0; i < MANY; i++) {
		g_autofree char *what = g_strdup_printf("sender %u", i);
		put_held(fixture, what, id);
	}
	wait_for_count(fixture, QUEUE_HELD, MANY);
	unsigned watched = heard(&ear, "queue.needs_attention", NULL);
	assert_in_range(watched, 100, MANY - 1);
	/* Those beyond the bound have their turn once others have ended. */
	queue_release(fixture->queue, NULL);
	for (unsigned i = 0; i < MANY; i++) {
		fixture_finish(fixture, queue_take(fixture->queue), QUEUE_SENT, 0);
		if (i == watched - 1) {
			wait_for_count(fixture, QUEUE_SENT, watched);
			wait_to_hear(&ear, "queue.needs_attention", NULL, MANY);
			queue_release(fixture->queue, NULL);
		}
	}
	wait_for_count(fixture, QUEUE_SENT, MANY);
	stop_listening(&ear);
}

/* --- a person, while it is in flight --- */

#define PERSON_HOLDS                                                                     \
	"UPDATE messages SET state = 'held', next_attempt_ms = 9223372036854775807;"     \
	"UPDATE totals SET messages = messages - 1 WHERE state = 'received';"            \
	"UPDATE totals SET messages = messages + 1 WHERE state = 'held';"
#define PERSON_DELETES                                                                   \
	"DELETE FROM messages; DELETE FROM recipients;"                                  \
	"UPDATE totals SET messages = messages - 1 WHERE state = 'received';"

static void check_totals(const struct fixture *fixture)
{
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) FROM totals t WHERE messages "
		"<> (SELECT count(*) FROM messages m WHERE m.state = t.state)");
}

static void a_person_who_holds_a_message_in_flight_is_heard(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		enum queue_state outcome, want;
	} cases[] = {
		{ QUEUE_DEFERRED, QUEUE_HELD },
		{ QUEUE_SENT, QUEUE_SENT },
		{ QUEUE_DEAD, QUEUE_DEAD },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char id[MESSAGE_ID_BYTES];
		g_autoptr(GError) error = NULL;
		fixture_submit(fixture, id);
		struct queue_message *message = fixture_take(fixture, id);
		fixture_execute(fixture, PERSON_HOLDS);
		assert_false(queue_mark_relaying(fixture->queue, message, &error));
		assert_non_null(strstr(error->message, "held"));
		fixture_finish(fixture, message, cases[i].outcome, 0);
		queue_stop(fixture->queue);
		fixture_close(fixture);
		message = fixture_look(fixture, id);
		assert_int_equal(message->state, cases[i].want);
		queue_message_free(message);
		check_totals(fixture);
		fixture_execute(fixture, "DELETE FROM messages");
		fixture_open(fixture);
	}
}

/* As the command does, whatever state the record is in; in the year 2100. */
#define PERSON_RETRIES                                                                   \
	"UPDATE totals SET messages = messages - 1 WHERE state = "                       \
	"(SELECT state FROM messages);"                                                  \
	"UPDATE messages SET state = 'deferred', hold = NULL, retried_ms = "             \
	"4102444800000;"                                                                 \
	"UPDATE totals SET messages = messages + 1 WHERE state = 'deferred';"

static void a_person_who_retries_a_message_in_flight_is_heard(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		enum queue_state outcome, want;
		const char *hold;
	} cases[] = {
		{ QUEUE_DEFERRED, QUEUE_DEFERRED, NULL },
		{ QUEUE_UNCERTAIN, QUEUE_UNCERTAIN, NULL },
		{ QUEUE_HELD, QUEUE_DEFERRED, "relay default: credentials" },
	};
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	fixture_execute(fixture, PERSON_RETRIES);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		message->hold = g_strdup(cases[i].hold);
		message->retried_ms = 0; /* as it was when it was taken */
		fixture_finish(fixture, message, cases[i].outcome, HOUR_MS);
		message = fixture_take(fixture, id); /* now, not in an hour */
		assert_int_equal(message->state, cases[i].want);
		assert_null(message->hold);
		assert_true(message->retried_ms > 0);
		check_totals(fixture);
	}
	/* Once: it has been tried since. */
	fixture_finish(fixture, message, QUEUE_DEFERRED, HOUR_MS);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	message = fixture_look(fixture, id);
	assert_true(message->next_attempt_ms > g_get_real_time() / 1000 + HOUR_MS / 2);
	queue_message_free(message);
}

static void a_person_who_holds_a_probe_is_heard(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES], other[MESSAGE_ID_BYTES];
	put_held(fixture, "a", id);
	put_held(fixture, "a", other);
	wait_for_count(fixture, QUEUE_HELD, 2);
	struct ear ear;
	begin_to_listen(&ear);
	fixture_reopen(fixture);
	struct queue_message *probe = queue_take(fixture->queue);
	g_autofree char *sql = g_strdup_printf(
		"UPDATE messages SET hold = NULL, next_attempt_ms = 9223372036854775807 "
		"WHERE id = '%s'",
		probe->id);
	memcpy(id, probe->id, sizeof id);
	fixture_execute(fixture, sql);
	fixture_finish(fixture, probe, QUEUE_DEFERRED, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_int_equal(held_for(fixture, "a"), 1);
	assert_int_equal(heard(&ear, "queue.mended", "a"), 0);
	stop_listening(&ear);
	probe = fixture_look(fixture, id);
	assert_int_equal(probe->state, QUEUE_HELD);
	assert_null(probe->hold);
	assert_int_equal(probe->next_attempt_ms, STORE_NEVER_MS);
	queue_message_free(probe);
	check_totals(fixture);
}

static void a_message_deleted_in_flight_is_gone(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	g_autoptr(GError) error = NULL;
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	fixture_execute(fixture, PERSON_DELETES);
	queue_message_add_attachment(message);
	queue_record_attachments(fixture->queue, message);
	assert_false(queue_mark_relaying(fixture->queue, message, &error));
	assert_non_null(strstr(error->message, "deleted"));
	fixture_finish(fixture, message, QUEUE_DEFERRED, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_null(fixture_look(fixture, id));
	assert_false(fixture_has_file(fixture, id));
	check_totals(fixture);
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) FROM attachments;"
		"INSERT INTO must_be_empty SELECT count(*) FROM events");
}

#define DUE_FOR_A_PERSON                                                                 \
	"UPDATE totals SET messages = messages - 1 WHERE state = 'held';"                \
	"UPDATE totals SET messages = messages + 1 WHERE state = 'deferred';"            \
	"UPDATE messages SET state = 'deferred', hold = NULL, next_attempt_ms = 0, "     \
	"retried_ms = 1 WHERE id = (SELECT id FROM messages WHERE hold = 'a' AND id "    \
	"<> '%s' LIMIT 1)"

/* The one that is tried meanwhile still stands in the record as held. */
static void what_is_mended_raises_no_alert(void **state)
{
	struct fixture *fixture = *state;
	struct ear ear;
	char id[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 3; i++)
		put_held(fixture, "a", id);
	wait_for_count(fixture, QUEUE_HELD, 3);
	begin_to_listen(&ear);
	fixture_reopen(fixture);
	struct queue_message *probe = queue_take(fixture->queue);
	g_autofree char *retry = g_strdup_printf(DUE_FOR_A_PERSON, probe->id);
	fixture_execute(fixture, retry);
	fixture_finish(fixture, queue_take(fixture->queue), QUEUE_SENT, 0);
	queue_release(fixture->queue, "a"); /* it got through */
	struct queue_message *last = queue_take(fixture->queue);
	wait_to_hear(&ear, "queue.mended", "a", 1);
	fixture_execute(fixture, "UPDATE messages SET hold = 'b' WHERE state = 'sent'");
	wait_to_hear(&ear, "queue.needs_attention", "b", 1);
	assert_int_equal(heard(&ear, "queue.needs_attention", "a"), 1); /* at the start */
	fixture_finish(fixture, probe, QUEUE_SENT, 0);
	fixture_finish(fixture, last, QUEUE_SENT, 0);
	wait_for_count(fixture, QUEUE_SENT, 3);
	stop_listening(&ear);
	assert_int_equal(held_for(fixture, "a"), 0);
}

/* All that waited for it goes for a person: who was alerted hears that it is over. */
static void what_a_person_lets_go_is_over(void **state)
{
	struct fixture *fixture = *state;
	struct ear ear;
	char id[MESSAGE_ID_BYTES];
	begin_to_listen(&ear);
	put_held(fixture, "a", id);
	put_held(fixture, "a", id);
	wait_for_count(fixture, QUEUE_HELD, 2);
	fixture_execute(fixture,
		"UPDATE totals SET messages = 0 WHERE state = 'held';"
		"UPDATE totals SET messages = 2 WHERE state = 'deferred';"
		"UPDATE messages SET state = 'deferred', hold = NULL, "
		"next_attempt_ms = 0, retried_ms = 1");
	wait_to_hear(&ear, "queue.mended", "a", 1);
	/* The first finds it as it was, the second finds it mended. */
	hold(fixture, queue_take(fixture->queue), "a");
	wait_to_hear(&ear, "queue.needs_attention", "a", 2);
	fixture_finish(fixture, queue_take(fixture->queue), QUEUE_SENT, 0);
	queue_release(fixture->queue, "a");
	fixture_finish(fixture, queue_take(fixture->queue), QUEUE_SENT, 0);
	wait_to_hear(&ear, "queue.mended", "a", 2);
	wait_for_count(fixture, QUEUE_SENT, 2);
	stop_listening(&ear);
}

static void a_deleted_message_holds_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct ear ear;
	char id[MESSAGE_ID_BYTES], next[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	fixture_execute(fixture, PERSON_DELETES);
	begin_to_listen(&ear);
	hold(fixture, message, "a");
	put_held(fixture, "b", next); /* both have ended then */
	wait_for_count(fixture, QUEUE_HELD, 1);
	assert_int_equal(heard(&ear, "queue.needs_attention", "b"), 1);
	assert_int_equal(heard(&ear, "queue.needs_attention", "a"), 0);
	stop_listening(&ear);
	assert_int_equal(held_for(fixture, "a"), 0);
}

int main(void)
{
#define HOLDS_TEST(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		HOLDS_TEST(one_is_tried_and_the_others_follow),
		HOLDS_TEST(a_release_ends_where_the_fault_is_still_there),
		HOLDS_TEST(a_call_releases_one_hold_or_all),
		HOLDS_TEST(lifetime_runs_on_while_a_fault_holds),
		HOLDS_TEST(what_a_fault_holds_may_be_due_before_its_end),
		HOLDS_TEST(many_holds_are_bounded),
		HOLDS_TEST(a_person_who_holds_a_message_in_flight_is_heard),
		HOLDS_TEST(a_person_who_retries_a_message_in_flight_is_heard),
		HOLDS_TEST(a_person_who_holds_a_probe_is_heard),
		HOLDS_TEST(a_message_deleted_in_flight_is_gone),
		HOLDS_TEST(what_is_mended_raises_no_alert),
		HOLDS_TEST(what_a_person_lets_go_is_over),
		HOLDS_TEST(a_deleted_message_holds_nothing),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
