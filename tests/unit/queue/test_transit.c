/* Messages of queue_pass(), and of what went before them in the lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include "gateway/queue/lanes.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

struct answer {
	GMutex lock;
	GCond changed;
	struct queue *queue;
	bool keep;
	bool is_passed, is_kept;
	enum queue_state state;
	char *reason;
	GError *error;
};

static void take_kept(void *context, const char *id, const GError *error)
{
	struct answer *answer = context;
	g_assert(message_id_is_valid(id));
	g_mutex_lock(&answer->lock);
	answer->is_kept = true;
	answer->error = error ? g_error_copy(error) : NULL;
	g_cond_signal(&answer->changed);
	g_mutex_unlock(&answer->lock);
}

static void take_passed(void *context, struct queue_message *message)
{
	struct answer *answer = context;
	g_mutex_lock(&answer->lock);
	answer->is_passed = true;
	answer->state = message->state;
	answer->reason = g_strdup(message->reason);
	if (answer->keep)
		queue_keep(answer->queue, message, take_kept, answer);
	g_cond_signal(&answer->changed);
	g_mutex_unlock(&answer->lock);
}

static void await(struct answer *answer, const bool *what)
{
	g_mutex_lock(&answer->lock);
	while (!*what)
		g_cond_wait(&answer->changed, &answer->lock);
	g_mutex_unlock(&answer->lock);
}

static void answer_clear(struct answer *answer)
{
	g_mutex_clear(&answer->lock);
	g_cond_clear(&answer->changed);
	g_clear_error(&answer->error);
	g_free(answer->reason);
}

static void pass(
	struct fixture *fixture, struct answer *answer, char id[MESSAGE_ID_BYTES])
{
	struct queue_message *message = fixture_message(2);
	memcpy(id, message->id, MESSAGE_ID_BYTES);
	struct spool *spool = spool_new(queue_spool_directory(fixture->queue), id);
	spool_append(spool, "Subject: x\r\n\r\nbody\r\n", 20);
	g_mutex_init(&answer->lock);
	g_cond_init(&answer->changed);
	answer->queue = fixture->queue;
	queue_pass(fixture->queue, message, spool, take_passed, answer);
}

static void check_readable(struct fixture *fixture, const struct queue_message *message)
{
	int fd = queue_open_spool(fixture->queue, message, NULL);
	char content[32];
	assert_true(fd >= 0);
	assert_int_equal(read(fd, content, sizeof content), 20);
	close(fd);
}

static void what_passes_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = { 0 };
	char id[MESSAGE_ID_BYTES];
	pass(fixture, &answer, id);
	struct queue_message *message = fixture_take(fixture, id);
	check_readable(fixture, message);
	queue_note_state(fixture->queue, message, QUEUE_REWRITING);
	assert_true(queue_mark_relaying(fixture->queue, message, NULL));
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	await(&answer, &answer.is_passed);
	assert_int_equal(answer.state, QUEUE_SENT);
	assert_null(fixture_look(fixture, id));
	assert_false(fixture_has_file(fixture, id));
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), 0);
	answer_clear(&answer);
}

/* As far as somebody may have got them. */
static void links_of_what_passed_are_recorded(void **state)
{
	static const struct {
		enum queue_state ends, recorded; /* RECEIVED: not at all */
	} cases[] = {
		{ QUEUE_SENT, QUEUE_SENT },
		{ QUEUE_UNCERTAIN, QUEUE_BOUNCED },
		{ QUEUE_DEFERRED, QUEUE_RECEIVED },
		{ QUEUE_DEAD, QUEUE_RECEIVED },
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct answer answer = { 0 };
		char id[MESSAGE_ID_BYTES];
		pass(fixture, &answer, id);
		struct queue_message *message = fixture_take(fixture, id);
		queue_message_add_attachment(message)->key = g_strdup("k");
		queue_record_attachments(fixture->queue, message); /* not yet */
		fixture_finish(fixture, message, cases[i].ends, 0);
		await(&answer, &answer.is_passed);
		assert_int_equal(answer.state, cases[i].ends);
		fixture_reopen(fixture);
		message = fixture_look(fixture, id);
		assert_int_equal(message != NULL, cases[i].recorded != QUEUE_RECEIVED);
		if (message) {
			assert_int_equal(message->state, cases[i].recorded);
			assert_true(message->finished_ms > 0);
			const struct queue_attachment *link =
				message->attachments->pdata[0];
			assert_string_equal(link->key, "k");
		}
		queue_message_free(message);
		assert_false(fixture_has_file(fixture, id));
		answer_clear(&answer);
	}
	assert_int_equal(fixture_count(fixture, QUEUE_SENT), 1);
	assert_int_equal(fixture_count(fixture, QUEUE_BOUNCED), 1);
}

static void what_is_kept_is_durable(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = { .keep = true };
	char id[MESSAGE_ID_BYTES];
	pass(fixture, &answer, id);
	struct queue_message *message = fixture_take(fixture, id);
	struct queue_attachment *attachment = queue_message_add_attachment(message);
	attachment->key = g_strdup("k");
	struct queue_recipient *sent = message->recipients->pdata[0];
	struct queue_recipient *later = message->recipients->pdata[1];
	queue_message_add_event(message, 0, QUEUE_SENT, 250, "Ok", "default");
	message->state = QUEUE_DEFERRED;
	message->attempts = 1;
	message->next_attempt_ms = g_get_real_time() / 1000 + 1;
	sent->state = QUEUE_SENT;
	later->state = QUEUE_DEFERRED;
	queue_finish(fixture->queue, message);
	await(&answer, &answer.is_kept);
	assert_null(answer.error);
	assert_true(fixture_has_file(fixture, id));

	message = fixture_take(fixture, id);
	check_readable(fixture, message);
	assert_int_equal(message->attempts, 1);
	assert_int_equal(message->attachments->len, 1);
	sent = message->recipients->pdata[0];
	assert_int_equal(sent->state, QUEUE_SENT);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_false(fixture_has_file(fixture, id));
	message = fixture_look(fixture, id);
	assert_int_equal(message->state, QUEUE_SENT);
	queue_message_free(message);
	answer_clear(&answer);
}

/* The verdict comes before the file goes. */
static void wait_until_gone(const struct fixture *fixture, const char *id)
{
	for (unsigned i = 0; i < 6000 && fixture_has_file(fixture, id); i++)
		g_usleep(10000);
	assert_false(fixture_has_file(fixture, id));
}

static void what_is_not_taken_is_given_back_at_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct answer before = { 0 }, after = { 0 };
	char first[MESSAGE_ID_BYTES], second[MESSAGE_ID_BYTES];
	pass(fixture, &before, first);
	queue_stop(fixture->queue);
	pass(fixture, &after, second);
	await(&before, &before.is_passed);
	await(&after, &after.is_passed);
	assert_int_equal(before.state, QUEUE_DEFERRED);
	assert_int_equal(after.state, QUEUE_DEFERRED);
	assert_non_null(before.reason);
	wait_until_gone(fixture, first);
	wait_until_gone(fixture, second);
	answer_clear(&before);
	answer_clear(&after);
}

/* --- lanes --- */

static void fill(struct lanes *lanes, enum conf_priority priority, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct queue_message *message = fixture_message(1);
		message->priority = priority;
		assert_true(lanes_push(&lanes_band(lanes, priority)->fresh, message));
	}
}

static void the_more_urgent_go_first_and_none_is_starved(void **state)
{
	(void)state;
	struct lanes lanes = { 0 };
	unsigned taken[CONF_PRIORITY_LISTENER] = { 0 };
	bool refill;
	fill(&lanes, CONF_PRIORITY_LOW, 100);
	fill(&lanes, CONF_PRIORITY_NORMAL, 100);
	fill(&lanes, CONF_PRIORITY_HIGH, 100);
	for (unsigned i = 0; i < 96; i++) {
		struct queue_message *message = lanes_pop(&lanes, &refill);
		if (i == 0)
			assert_int_equal(message->priority, CONF_PRIORITY_HIGH);
		taken[message->priority]++;
		queue_message_free(message);
	}
	assert_true(taken[CONF_PRIORITY_HIGH] > 3 * taken[CONF_PRIORITY_NORMAL]);
	assert_true(taken[CONF_PRIORITY_NORMAL] > taken[CONF_PRIORITY_LOW]);
	assert_true(taken[CONF_PRIORITY_LOW] >= 6);
	lanes_clear(&lanes);
}

static void the_disk_gives_the_urgent_first(void **state)
{
	struct fixture *fixture = *state;
	static const enum conf_priority priorities[] = { CONF_PRIORITY_LOW,
		CONF_PRIORITY_NORMAL, CONF_PRIORITY_HIGH };
	enum { EACH = 150 }; /* more than a lane holds */
	unsigned taken[3] = { 0 };
	for (unsigned i = 0; i < 3 * EACH; i++) {
		struct queue_message *message = fixture_message(1);
		message->priority = priorities[i / EACH];
		assert_true(fixture_submit_message(fixture, message, "x\r\n", 3, NULL));
	}
	queue_stop(fixture->queue);
	fixture_close(fixture);
	fixture_open(fixture);
	for (unsigned i = 0; i < 3 * EACH; i++) {
		struct queue_message *message = queue_take(fixture->queue);
		if (i < EACH)
			taken[message->priority]++;
		fixture_finish(fixture, message, QUEUE_SENT, 0);
	}
	assert_true(taken[CONF_PRIORITY_HIGH] > taken[CONF_PRIORITY_NORMAL]);
	assert_true(taken[CONF_PRIORITY_NORMAL] > taken[CONF_PRIORITY_LOW]);
}

/* --- the spool's folders --- */

static void a_file_of_an_earlier_version_is_found(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_autofree char *nested = fixture_spool(fixture, id);
	g_autofree char *flat =
		g_build_filename(fixture->directory, "incoming", id, NULL);
	assert_string_not_equal(nested, flat);
	assert_int_equal(g_rename(nested, flat), 0);
	fixture_open(fixture);
	g_autofree char *found = fixture_spool(fixture, id);
	assert_string_equal(found, flat);
	struct queue_message *message = fixture_take(fixture, id);
	check_readable(fixture, message);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	queue_stop(fixture->queue);
	fixture_close(fixture);
	assert_int_not_equal(g_access(flat, F_OK), 0);
}

static void a_file_cut_short_is_said_to_be(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES];
	g_autoptr(GError) error = NULL;
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	g_autofree char *path = fixture_spool(fixture, id);
	assert_int_equal(truncate(path, 7), 0);
	assert_int_equal(queue_open_spool(fixture->queue, message, &error), -1);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT));
	assert_non_null(strstr(error->message, "7 octets"));
	fixture_finish(fixture, message, QUEUE_DEAD, 0);
}

static void empty_folders_go(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES], orphan[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	g_autofree char *path = fixture_spool(fixture, id);
	g_autofree char *folder = g_path_get_dirname(path);
	assert_int_equal(g_access(folder, F_OK), 0);
	fixture_finish(fixture, fixture_take(fixture, id), QUEUE_SENT, 0);
	for (unsigned i = 0; i < 6000 && g_access(folder, F_OK) == 0; i++)
		g_usleep(10000);
	assert_int_not_equal(g_access(folder, F_OK), 0);

	/* And what a crash left of earlier ones. */
	queue_stop(fixture->queue);
	fixture_close(fixture);
	g_strlcpy(orphan, "01jd3v5h8k9m0n1p2q3r4s5t6v", sizeof orphan);
	g_autofree char *old = fixture_spool(fixture, orphan);
	g_autofree char *old_folder = g_path_get_dirname(old);
	assert_int_equal(g_mkdir(old_folder, 0700), 0);
	assert_true(g_file_set_contents(old, "half", 4, NULL));
	fixture_open(fixture);
	assert_int_not_equal(g_access(old_folder, F_OK), 0);
}

int main(void)
{
#define TRANSIT_TEST(name)                                                               \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TRANSIT_TEST(what_passes_leaves_nothing),
		TRANSIT_TEST(links_of_what_passed_are_recorded),
		TRANSIT_TEST(what_is_kept_is_durable),
		TRANSIT_TEST(what_is_not_taken_is_given_back_at_the_end),
		cmocka_unit_test(the_more_urgent_go_first_and_none_is_starved),
		TRANSIT_TEST(the_disk_gives_the_urgent_first),
		TRANSIT_TEST(a_file_of_an_earlier_version_is_found),
		TRANSIT_TEST(a_file_cut_short_is_said_to_be),
		TRANSIT_TEST(empty_folders_go),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
