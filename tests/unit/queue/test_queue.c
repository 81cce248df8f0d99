/* The queue while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include "gateway/queue/lanes.h"
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

/* --- durable before the verdict --- */

struct witness {
	struct fixture *fixture;
	GMutex lock;
	GCond seen;
	bool row, file, is_seen;
};

static void bear_witness(void *context, const char *id, const GError *error)
{
	struct witness *witness = context;
	struct queue_message *message = fixture_look(witness->fixture, id);
	g_mutex_lock(&witness->lock);
	witness->row = !error && message && message->state == QUEUE_RECEIVED;
	witness->file = fixture_has_file(witness->fixture, id);
	witness->is_seen = true;
	g_cond_signal(&witness->seen);
	g_mutex_unlock(&witness->lock);
	queue_message_free(message);
}

static void the_row_and_the_file_are_there_before_the_verdict(void **state)
{
	struct witness witness = { .fixture = *state };
	g_mutex_init(&witness.lock);
	g_cond_init(&witness.seen);
	struct queue_message *message = fixture_message(1);
	struct spool *spool =
		spool_new(queue_spool_directory(witness.fixture->queue), message->id);
	spool_append(spool, "x\r\n", 3);
	queue_submit(witness.fixture->queue, message, spool, bear_witness, &witness);
	g_mutex_lock(&witness.lock);
	while (!witness.is_seen)
		g_cond_wait(&witness.seen, &witness.lock);
	g_mutex_unlock(&witness.lock);
	assert_true(witness.row);
	assert_true(witness.file);
}

/* --- what is written comes back --- */

static void fill_everything(struct queue_message *message)
{
	message->body_8bit = true;
	message->smtputf8 = true;
	message->may_bounce = true;
	message->ret = QUEUE_RET_HDRS;
	message->envid = g_strdup("QQ+2B314159");
	message->user = g_strdup("alice");
	message->reason = g_strdup("first");
	struct queue_recipient *second = message->recipients->pdata[1];
	second->notify = QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY;
	second->orcpt = g_strdup("rfc822;r1@in.example.com");
	second->reply_code = 451;
	second->reply = g_strdup("4.7.1 later, \xc3\xa9\xff");
}

static void check_everything(
	const struct queue_message *got, const struct queue_message *want)
{
	assert_string_equal(got->id, want->id);
	assert_memory_equal(got->seed, want->seed, sizeof got->seed);
	assert_int_equal(got->state, want->state);
	assert_int_equal(got->attempts, want->attempts);
	assert_int_equal(got->received_ms, want->received_ms);
	assert_int_equal(got->next_attempt_ms, want->next_attempt_ms);
	assert_int_equal(got->size, want->size);
	assert_int_equal(got->body_8bit, want->body_8bit);
	assert_int_equal(got->smtputf8, want->smtputf8);
	assert_int_equal(got->may_bounce, want->may_bounce);
	assert_int_equal(got->ret, want->ret);
	assert_string_equal(got->envid, want->envid);
	assert_int_equal(got->uncertain, want->uncertain);
	assert_string_equal(got->listener, want->listener);
	assert_string_equal(got->client, want->client);
	assert_string_equal(got->helo, want->helo);
	assert_string_equal(got->user, want->user);
	assert_string_equal(got->reverse_path, want->reverse_path);
	assert_string_equal(got->reason, want->reason);
	assert_null(got->relay_id);
	assert_int_equal(got->recipients->len, want->recipients->len);
	for (guint i = 0; i < got->recipients->len; i++) {
		const struct queue_recipient *g = got->recipients->pdata[i];
		const struct queue_recipient *w = want->recipients->pdata[i];
		assert_string_equal(g->original, w->original);
		assert_string_equal(g->forward_path, w->forward_path);
		assert_int_equal(g->notify, w->notify);
		assert_int_equal(g_strcmp0(g->orcpt, w->orcpt), 0);
		assert_int_equal(g->state, w->state);
		assert_int_equal(g->reply_code, w->reply_code);
		assert_int_equal(g_strcmp0(g->reply, w->reply), 0);
	}
}

static void its_octets_stay_in_memory_while_few_wait(void **state)
{
	struct fixture *fixture = *state;
	char ids[LANE_OCTETS + 2][MESSAGE_ID_BYTES]; /* the last may come late */
	for (size_t i = 0; i < G_N_ELEMENTS(ids); i++)
		fixture_submit(fixture, ids[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
		struct queue_message *message = fixture_take(fixture, ids[i]);
		if (i < LANE_OCTETS)
			assert_memory_equal(
				message->octets, "Subject: x\r\n\r\nbody\r\n", 20);
		else if (i == LANE_OCTETS)
			assert_null(message->octets);
		fixture_finish(fixture, message, QUEUE_SENT, 0);
	}
}

static void a_message_comes_back_as_it_was(void **state)
{
	struct fixture *fixture = *state;
	struct queue_message *sent = fixture_message(3);
	fill_everything(sent);
	/* A second set of the same values, since the queue takes the first. */
	struct queue_message *want = fixture_message(3);
	fill_everything(want);
	memcpy(want->id, sent->id, sizeof want->id);
	memcpy(want->seed, sent->seed, sizeof want->seed);
	want->received_ms = sent->received_ms;
	want->next_attempt_ms = sent->next_attempt_ms;
	want->size = 5;
	assert_true(fixture_submit_message(fixture, sent, "a\r\nb\n", 5, NULL));

	struct queue_message *message = fixture_take(fixture, want->id);
	check_everything(message, want);
	queue_message_free(message);
	queue_stop(fixture->queue);
	fixture_reopen(fixture);
	message = fixture_take(fixture, want->id);
	check_everything(message, want);

	GError *error = NULL;
	char content[8] = "";
	int fd = queue_open_spool(fixture->queue, message, &error);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, content, sizeof content), 5);
	assert_memory_equal(content, "a\r\nb\n", 5);
	assert_int_equal(write(fd, "x", 1), -1);
	close(fd);
	queue_message_free(message);
	queue_message_free(want);
}

static void add_attachment(struct queue_message *message, size_t number, const char *name)
{
	struct queue_attachment *attachment = queue_message_add_attachment(message);
	attachment->number = number;
	attachment->key = g_strdup_printf("mail/%zu", number);
	attachment->file_name = g_strdup(name);
	attachment->media_type = g_strdup("application/pdf");
	attachment->size = (uint64_t)5 << 32;
	memset(attachment->sha256, 'a', 64);
	attachment->expires_at_s = 1800000000;
}

static void relaying_journals_the_recipients_settled_before(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	struct queue_recipient *recipient = message->recipients->pdata[0];
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	struct queue_message *seen = fixture_look(fixture, id);
	const struct queue_recipient *journalled = seen->recipients->pdata[0];
	assert_int_equal(journalled->state, QUEUE_RECEIVED);
	queue_message_free(seen);

	/* Sent in a first transaction, while a second one is still to come. */
	recipient->state = QUEUE_SENT;
	recipient->reply_code = 250;
	recipient->reply = g_strdup("Ok");
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	seen = fixture_look(fixture, id);
	journalled = seen->recipients->pdata[0];
	assert_int_equal(seen->state, QUEUE_RELAYING);
	assert_int_equal(journalled->state, QUEUE_SENT);
	assert_string_equal(journalled->reply, "Ok");
	queue_message_free(seen);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	fixture_settle(fixture);
}

static void attachments_are_recorded_with_the_next_commit(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	add_attachment(message, 3, "\xc3\xa9t\xc3\xa9.pdf");
	add_attachment(message, 5, NULL);
	queue_record_attachments(fixture->queue, message);
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));

	struct queue_message *seen = fixture_look(fixture, id);
	assert_int_equal(seen->state, QUEUE_RELAYING);
	assert_int_equal(seen->attachments->len, 2);
	const struct queue_attachment *first = seen->attachments->pdata[0];
	const struct queue_attachment *second = seen->attachments->pdata[1];
	assert_int_equal(first->number, 3);
	assert_string_equal(first->key, "mail/3");
	assert_string_equal(first->file_name, "\xc3\xa9t\xc3\xa9.pdf");
	assert_string_equal(first->media_type, "application/pdf");
	assert_true(first->size == (uint64_t)5 << 32);
	assert_int_equal(strspn(first->sha256, "a"), 64);
	assert_int_equal(first->expires_at_s, 1800000000);
	assert_int_equal(second->number, 5);
	assert_null(second->file_name);
	queue_message_free(seen);

	/* Again with a new expiry, as after a retry: replaced, not doubled. */
	queue_record_attachments(fixture->queue, message);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	fixture_settle(fixture);
	seen = fixture_look(fixture, id);
	assert_int_equal(seen->attachments->len, 2);
	queue_message_free(seen);
}

/* --- the ends of a flight --- */

static void each_end_is_recorded(void **state)
{
	static const struct {
		enum queue_state given, stored;
		bool finished, file, uncertain;
	} cases[] = {
		{ QUEUE_SENT, QUEUE_SENT, true, false, false },
		{ QUEUE_BOUNCED, QUEUE_BOUNCED, true, true, false },
		{ QUEUE_DEAD, QUEUE_DEAD, true, true, false },
		{ QUEUE_DEFERRED, QUEUE_DEFERRED, false, true, false },
		{ QUEUE_UNCERTAIN, QUEUE_UNCERTAIN, false, true, true },
		{ QUEUE_RELAYING, QUEUE_UNCERTAIN, false, true, true },
		{ QUEUE_HELD, QUEUE_HELD, false, true, false },
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char id[MESSAGE_ID_BYTES];
		fixture_submit(fixture, id);
		struct queue_message *message = fixture_take(fixture, id);
		message->relay_id = g_strdup("relay's");
		message->reason = g_strdup("because");
		fixture_finish(fixture, message, cases[i].given, HOUR_MS);
		fixture_settle(fixture);
		struct queue_message *seen = fixture_look(fixture, id);
		assert_int_equal(seen->state, cases[i].stored);
		assert_int_equal(seen->finished_ms != 0, cases[i].finished);
		assert_int_equal(seen->uncertain, cases[i].uncertain);
		assert_int_equal(seen->attempts, 1);
		assert_string_equal(seen->relay_id, "relay's");
		assert_string_equal(seen->reason, "because");
		assert_int_equal(fixture_has_file(fixture, id), cases[i].file);
		assert_true(fixture_count(fixture, cases[i].stored) > 0);
		queue_message_free(seen);
	}
	fixture_reopen(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_RELAYING), 0);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 0);
	assert_int_equal(fixture_count(fixture, QUEUE_UNCERTAIN), 2);
}

static void a_deferred_message_comes_back_when_due(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	int64_t before_us = g_get_monotonic_time();
	fixture_finish(fixture, message, QUEUE_DEFERRED, 150);
	message = fixture_take(fixture, id);
	int64_t took_us = g_get_monotonic_time() - before_us;
	assert_in_range(took_us, 149000, 60000000);
	assert_int_equal(message->attempts, 1);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
}

static void a_backlog_longer_than_memory_comes_in_order(void **state)
{
	struct fixture *fixture = *state;
	enum { N = 700 };
	char(*ids)[MESSAGE_ID_BYTES] = g_malloc_n(N, MESSAGE_ID_BYTES);
	for (unsigned i = 0; i < N; i++)
		fixture_submit(fixture, ids[i]);
	queue_stop(fixture->queue);
	fixture_reopen(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), N);
	/* Same millisecond, same due time: then by ID. */
	qsort(ids, N, MESSAGE_ID_BYTES, (int (*)(const void *, const void *))strcmp);
	for (unsigned i = 0; i < N; i++)
		fixture_finish(fixture, fixture_take(fixture, ids[i]), QUEUE_SENT, 0);
	fixture_settle(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), N + 1);
	g_free(ids);
}

/* As after an outage: all of them were tried in vain, and are due. */
static void the_last_of_a_backlog_need_not_wait_for_all_of_it(void **state)
{
	struct fixture *fixture = *state;
	enum { N = 400, SOON = 200 };
	char ids[N][MESSAGE_ID_BYTES];
	bool took_first = false, took_last = false;
	for (unsigned i = 0; i < N; i++)
		fixture_submit(fixture, ids[i]);
	qsort(ids, N, MESSAGE_ID_BYTES, (int (*)(const void *, const void *))strcmp);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	fixture_execute(fixture, "UPDATE messages SET state = 'deferred'");
	fixture_open(fixture);
	for (unsigned i = 0; i < SOON; i++) {
		struct queue_message *message = queue_take(fixture->queue);
		took_first = took_first || !strcmp(message->id, ids[0]);
		took_last = took_last || !strcmp(message->id, ids[N - 1]);
		fixture_finish(fixture, message, QUEUE_SENT, 0);
	}
	assert_true(took_first);
	assert_true(took_last);
}

static void new_mail_passes_a_backlog_and_the_backlog_new_mail(void **state)
{
	struct fixture *fixture = *state;
	char old[2][MESSAGE_ID_BYTES], fresh[2][MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 2; i++)
		fixture_submit(fixture, old[i]);
	qsort(old, 2, MESSAGE_ID_BYTES, (int (*)(const void *, const void *))strcmp);
	fixture_reopen(fixture);
	struct queue_message *first = fixture_take(fixture, old[0]);
	fixture_submit(fixture, fresh[0]);
	fixture_submit(fixture, fresh[1]);
	fixture_finish(fixture, fixture_take(fixture, fresh[0]), QUEUE_SENT, 0);
	fixture_finish(fixture, fixture_take(fixture, old[1]), QUEUE_SENT, 0);
	fixture_finish(fixture, fixture_take(fixture, fresh[1]), QUEUE_SENT, 0);
	fixture_finish(fixture, first, QUEUE_SENT, 0);
}

static void *take_one(void *queue)
{
	return queue_take(queue);
}

static void stop_wakes_who_waits(void **state)
{
	struct fixture *fixture = *state;
	GThread *takers[3];
	for (size_t i = 0; i < G_N_ELEMENTS(takers); i++)
		takers[i] = g_thread_new("taker", take_one, fixture->queue);
	queue_stop(fixture->queue);
	for (size_t i = 0; i < G_N_ELEMENTS(takers); i++)
		assert_null(g_thread_join(takers[i]));
	/* Submissions still work, and wait for the next start. */
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	assert_null(queue_take(fixture->queue));
	fixture_reopen(fixture);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
}

/* --- room and statistics --- */

static void room_ends_at_floors_and_ceiling(void **state)
{
	struct fixture *fixture = *state;
	struct conf_queue settings = fixture->settings;
	g_autoptr(GError) error = NULL;
	char id[MESSAGE_ID_BYTES];
	assert_true(queue_has_room(fixture->queue, 1000, NULL));
	assert_false(queue_has_room(fixture->queue, UINT64_MAX, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));

	settings.min_free_bytes = UINT64_MAX;
	queue_set_settings(fixture->queue, &settings);
	assert_false(queue_has_room(fixture->queue, 0, NULL));
	settings.min_free_bytes = 0;
	settings.max_messages = 1;
	queue_set_settings(fixture->queue, &settings);
	assert_true(queue_has_room(fixture->queue, 0, NULL));
	fixture_submit(fixture, id);
	assert_false(queue_has_room(fixture->queue, 0, NULL));
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_DEAD, 0);
	settings.max_messages = 2;
	queue_set_settings(fixture->queue, &settings);
	fixture_submit(fixture, id);
	assert_true(queue_has_room(fixture->queue, 0, NULL));
}

static void statistics_are_right_also_after_a_restart(void **state)
{
	struct fixture *fixture = *state;
	char ids[4][MESSAGE_ID_BYTES];
	size_t counts[QUEUE_STATES];
	int64_t oldest_ms;
	queue_statistics(fixture->queue, counts, &oldest_ms);
	assert_int_equal(oldest_ms, 0);
	for (unsigned i = 0; i < 4; i++)
		fixture_submit(fixture, ids[i]);
	fixture_finish(fixture, fixture_take(fixture, ids[0]), QUEUE_SENT, 0);
	fixture_finish(fixture, fixture_take(fixture, ids[1]), QUEUE_DEAD, 0);
	fixture_finish(fixture, fixture_take(fixture, ids[2]), QUEUE_DEFERRED, HOUR_MS);
	struct queue_message *last = fixture_take(fixture, ids[3]);
	assert_true(queue_mark_relaying(fixture->queue, last, NULL));
	for (unsigned round = 0; round < 2; round++) {
		queue_statistics(fixture->queue, counts, &oldest_ms);
		assert_int_equal(counts[QUEUE_RECEIVED], 0);
		assert_int_equal(counts[QUEUE_SENT], 1);
		assert_int_equal(counts[QUEUE_DEAD], 1);
		assert_int_equal(counts[QUEUE_DEFERRED], 1);
		assert_int_equal(counts[QUEUE_RELAYING], round == 0);
		assert_int_equal(counts[QUEUE_UNCERTAIN], round == 1);
		if (round == 0)
			fixture_reopen(fixture);
	}
	struct queue_message *oldest = fixture_look(fixture, ids[2]);
	assert_true(oldest_ms == oldest->received_ms || oldest_ms == last->received_ms);
	queue_message_free(oldest);
	queue_message_free(last);
}

static void old_history_is_purged_and_the_dead_are_not(void **state)
{
	struct fixture *fixture = *state;
	char sent[MESSAGE_ID_BYTES], dead[MESSAGE_ID_BYTES], recent[MESSAGE_ID_BYTES];
	fixture_submit(fixture, sent);
	struct queue_message *message = fixture_take(fixture, sent);
	add_attachment(message, 1, "a");
	queue_record_attachments(fixture->queue, message);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	fixture_submit(fixture, dead);
	fixture_finish(fixture, fixture_take(fixture, dead), QUEUE_DEAD, 0);
	fixture_submit(fixture, recent);
	fixture_close(fixture);
	fixture_execute(
		fixture, "UPDATE messages SET finished_ms = 1 WHERE finished_ms > 0");
	fixture_open(fixture);
	fixture_finish(fixture, fixture_take(fixture, recent), QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	/* The first housekeeping comes at the start, before the writer ends. */
	fixture_close(fixture);
	fixture_open(fixture);
	assert_null(fixture_look(fixture, sent));
	message = fixture_look(fixture, dead);
	assert_non_null(message);
	queue_message_free(message);
	message = fixture_look(fixture, recent);
	assert_non_null(message);
	queue_message_free(message);
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), 1);
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 1);
	fixture_execute(fixture,
		"CREATE TEMP TABLE must_be_empty (n INTEGER CHECK (n = 0));"
		"INSERT INTO must_be_empty SELECT count(*) FROM attachments;"
		"INSERT INTO must_be_empty SELECT count(*) - 2 FROM recipients;");
}

/* --- many at once --- */

enum { SUBMITTERS = 6, TAKERS = 4, EACH = 60 };

struct crowd {
	struct fixture *fixture;
	gint taken;
	GMutex lock;
	GHashTable *seen; /* ids sent */
};

static void *submit_many(void *context)
{
	struct crowd *crowd = context;
	char id[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < EACH; i++)
		fixture_submit(crowd->fixture, id);
	return NULL;
}

static void *take_many(void *context)
{
	struct crowd *crowd = context;
	struct queue_message *message;
	while ((message = queue_take(crowd->fixture->queue)) != NULL) {
		bool again = message->attempts == 0 && message->id[25] < '8';
		g_assert(queue_mark_relaying(crowd->fixture->queue, message, NULL));
		if (again) {
			fixture_finish(crowd->fixture, message, QUEUE_DEFERRED, 1);
			continue;
		}
		g_mutex_lock(&crowd->lock);
		bool is_new = g_hash_table_add(crowd->seen, g_strdup(message->id));
		g_mutex_unlock(&crowd->lock);
		g_assert(is_new);
		fixture_finish(crowd->fixture, message, QUEUE_SENT, 0);
		if (g_atomic_int_add(&crowd->taken, 1) + 1 == SUBMITTERS * EACH)
			queue_stop(crowd->fixture->queue);
	}
	return NULL;
}

static void each_of_many_is_sent_once(void **state)
{
	struct crowd crowd = { .fixture = *state };
	GThread *threads[SUBMITTERS + TAKERS];
	g_mutex_init(&crowd.lock);
	crowd.seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (unsigned i = 0; i < SUBMITTERS + TAKERS; i++)
		threads[i] = g_thread_new(
			"crowd", i < SUBMITTERS ? submit_many : take_many, &crowd);
	for (unsigned i = 0; i < SUBMITTERS + TAKERS; i++)
		g_thread_join(threads[i]);
	fixture_reopen(crowd.fixture);
	assert_int_equal(fixture_count(crowd.fixture, QUEUE_SENT), SUBMITTERS * EACH);
	assert_int_equal(fixture_count(crowd.fixture, QUEUE_UNCERTAIN), 0);
	assert_int_equal(g_hash_table_size(crowd.seen), SUBMITTERS * EACH);
	g_hash_table_unref(crowd.seen);
	g_mutex_clear(&crowd.lock);
}

int main(void)
{
#define QUEUE_TEST(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(the_row_and_the_file_are_there_before_the_verdict),
		QUEUE_TEST(its_octets_stay_in_memory_while_few_wait),
		QUEUE_TEST(a_message_comes_back_as_it_was),
		QUEUE_TEST(relaying_journals_the_recipients_settled_before),
		QUEUE_TEST(attachments_are_recorded_with_the_next_commit),
		QUEUE_TEST(each_end_is_recorded),
		QUEUE_TEST(a_deferred_message_comes_back_when_due),
		QUEUE_TEST(a_backlog_longer_than_memory_comes_in_order),
		QUEUE_TEST(the_last_of_a_backlog_need_not_wait_for_all_of_it),
		QUEUE_TEST(new_mail_passes_a_backlog_and_the_backlog_new_mail),
		QUEUE_TEST(stop_wakes_who_waits),
		QUEUE_TEST(room_ends_at_floors_and_ceiling),
		QUEUE_TEST(statistics_are_right_also_after_a_restart),
		QUEUE_TEST(old_history_is_purged_and_the_dead_are_not),
		QUEUE_TEST(each_of_many_is_sent_once),
	};
	alarm(120); /* a queue that hangs fails the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
