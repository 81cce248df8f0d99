/* The queue while it runs and after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include "gateway/queue/lanes.h"
#include "tests/unit/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

static void reopen(struct fixture *fixture)
{
	fixture_close(fixture);
	fixture_open(fixture);
}

/* Once a later submission is durable, so is what was handed in before it. */
static void settle(struct fixture *fixture)
{
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	fixture_submit(fixture, id);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_DEFERRED, HOUR_MS);
}

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
	reopen(fixture);
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
	settle(fixture);
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
	settle(fixture);
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
		settle(fixture);
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
	reopen(fixture);
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
	assert_in_range(took_us, 149000, 5000000);
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
	reopen(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), N);
	/* Same millisecond, same due time: then by ID. */
	qsort(ids, N, MESSAGE_ID_BYTES, (int (*)(const void *, const void *))strcmp);
	for (unsigned i = 0; i < N; i++)
		fixture_finish(fixture, fixture_take(fixture, ids[i]), QUEUE_SENT, 0);
	settle(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), N + 1);
	g_free(ids);
}

static void new_mail_passes_a_backlog_and_the_backlog_new_mail(void **state)
{
	struct fixture *fixture = *state;
	char old[2][MESSAGE_ID_BYTES], fresh[2][MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 2; i++)
		fixture_submit(fixture, old[i]);
	qsort(old, 2, MESSAGE_ID_BYTES, (int (*)(const void *, const void *))strcmp);
	reopen(fixture);
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
	reopen(fixture);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
}

/* --- restart --- */

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
	reopen(fixture); /* as far ahead as may be: it waits */
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

/* A shorter retry_max, or a clock that goes back, makes a deep queue due: not in one moment. */
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
	assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 1);
	assert_int_equal(fixture_count(fixture, QUEUE_RECEIVED), 1);

	GError *error = NULL;
	assert_int_equal(queue_open_spool(fixture->queue, seen, &error), -1);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT));
	g_error_free(error);
	queue_message_free(seen);
}

/* --- opening --- */

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

static void a_second_gateway_is_refused_with_the_first_ones_process(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *process = g_strdup_printf("process %ld)", (long)getpid());
	check_refused(fixture, process);
	reopen(fixture);
}

static void a_lock_that_was_removed_by_hand_lets_no_second_gateway_in(void **state)
{
	struct fixture *fixture = *state;
	g_autofree char *lock = fixture_path(fixture, "lock");
	assert_int_equal(g_unlink(lock), 0);
	check_refused(fixture, "another gateway");
	reopen(fixture);
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
			reopen(fixture);
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
	reopen(crowd.fixture);
	assert_int_equal(fixture_count(crowd.fixture, QUEUE_SENT), SUBMITTERS * EACH);
	assert_int_equal(fixture_count(crowd.fixture, QUEUE_UNCERTAIN), 0);
	assert_int_equal(g_hash_table_size(crowd.seen), SUBMITTERS * EACH);
	g_hash_table_unref(crowd.seen);
	g_mutex_clear(&crowd.lock);
}

/* --- disks that fail --- */

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
	settle(fixture);
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
		QUEUE_TEST(the_row_and_the_file_are_there_before_the_verdict),
		QUEUE_TEST(its_octets_stay_in_memory_while_few_wait),
		QUEUE_TEST(a_message_comes_back_as_it_was),
		QUEUE_TEST(relaying_journals_the_recipients_settled_before),
		QUEUE_TEST(attachments_are_recorded_with_the_next_commit),
		QUEUE_TEST(each_end_is_recorded),
		QUEUE_TEST(a_deferred_message_comes_back_when_due),
		QUEUE_TEST(a_backlog_longer_than_memory_comes_in_order),
		QUEUE_TEST(new_mail_passes_a_backlog_and_the_backlog_new_mail),
		QUEUE_TEST(stop_wakes_who_waits),
		QUEUE_TEST(each_state_survives_a_restart),
		QUEUE_TEST(only_those_whom_the_dot_concerned_are_uncertain),
		QUEUE_TEST(what_a_wrong_clock_planned_is_due),
		QUEUE_TEST(what_becomes_due_together_is_spread),
		QUEUE_TEST(orphans_are_removed_and_nothing_else),
		QUEUE_TEST(mail_without_its_record_is_not_touched),
		QUEUE_TEST(a_row_without_a_file_is_dead),
		QUEUE_TEST(a_second_gateway_is_refused_with_the_first_ones_process),
		QUEUE_TEST(a_lock_that_was_removed_by_hand_lets_no_second_gateway_in),
		QUEUE_TEST(a_command_that_looks_does_not_keep_a_gateway_from_starting),
		QUEUE_TEST(what_is_no_queue_is_refused),
		QUEUE_TEST(an_older_queue_is_brought_up_to_date),
		QUEUE_TEST(damage_is_noticed),
		QUEUE_TEST(nobody_else_may_look),
		QUEUE_TEST(room_ends_at_floors_and_ceiling),
		QUEUE_TEST(statistics_are_right_also_after_a_restart),
		QUEUE_TEST(old_history_is_purged_and_the_dead_are_not),
		QUEUE_TEST(each_of_many_is_sent_once),
		QUEUE_TEST(a_disk_that_fails_loses_nothing),
		cmocka_unit_test(a_full_disk_is_retried_later),
	};
	alarm(120); /* a queue that hangs fails the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
