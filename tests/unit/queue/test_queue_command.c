/* stowage queue list|show|retry, with its output and exit code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "fixture.h"

#include "gateway/queue/queue_command.h"
#include "gateway/queue/queue_text.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)
static struct ran run(struct fixture *fixture, const char *const *arguments)
{
	const struct conf conf = { .queue = fixture->settings };
	return capture_run(queue_command, &conf, arguments);
}

static void check_run(struct fixture *fixture, const char *const *arguments, int code,
	const char *out, const char *err)
{
	const struct conf conf = { .queue = fixture->settings };
	capture_check(queue_command, &conf, arguments, code, out, err);
}

/* A message in state, its row durable. */
static void put(
	struct fixture *fixture, enum queue_state state, char id[MESSAGE_ID_BYTES])
{
	fixture_submit(fixture, id);
	if (state == QUEUE_RECEIVED)
		return;
	struct queue_message *message = fixture_take(fixture, id);
	message->reason = g_strdup("451 4.7.1 later");
	fixture_finish(fixture, message, state, HOUR_MS);
	fixture_close(fixture);
	fixture_open(fixture);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *arguments[5];
		const char *err;
	} cases[] = {
		{ { "frobnicate" }, "not a verb" },
		{ { "list", "--color" }, "unknown option" },
		{ { "list", "--yes" }, "not an option of this verb" },
		{ { "list", "01jd", "--all" }, "either IDs or filters" },
		{ { "list", "01jd", "--limit", "3" }, "either IDs or filters" },
		{ { "show" }, "which messages?" },
		{ { "show", "../../x" }, "not an ID" },
		{ { "show", "%" }, "not an ID" },
		{ { "show", "0123456789012345678901234567" }, "not an ID" },
		{ { "retry" }, "which messages?" },
		{ { "retry", "--limit", "3" }, "which messages?" },
		{ { "retry", "--all", "01jd" }, "either IDs or filters" },
		{ { "hold" }, "which messages?" },
		{ { "delete" }, "delete takes IDs" },
		{ { "delete", "--sender", "a@b" }, "delete takes IDs" },
		{ { "export" }, "takes one message" },
		{ { "export", "--all" }, "takes one message" },
		{ { "export", "01jd", "--json" }, "goes with --directory" },
		{ { "export", "--directory", "x" }, "which messages?" },
		{ { "export", "--directory=x", "--maildir=y", "a" },
			"either --directory" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check_run(*state, cases[i].arguments, EX_USAGE, NULL, cases[i].err);
	capture_check(queue_command, NULL, ARGUMENTS(NULL), EX_USAGE, NULL, "verb");
	capture_check(queue_command, NULL, ARGUMENTS("help"), EX_OK, "redrive", NULL);
	capture_check(queue_command, NULL, ARGUMENTS("-h"), EX_OK, "redrive", NULL);
	capture_check(
		queue_command, NULL, ARGUMENTS("list", "--help"), EX_OK, "redrive", NULL);
	capture_check(
		queue_command, NULL, ARGUMENTS("delete", "-h"), EX_OK, "redrive", NULL);
}

static void a_queue_that_is_not_there_is_said(void **state)
{
	struct fixture *fixture = *state;
	fixture_close(fixture);
	g_autofree char *database = fixture_path(fixture, "queue.db");
	assert_true(g_file_set_contents(database, "", 0, NULL));
	check_run(fixture, ARGUMENTS("list"), EX_DATAERR, NULL, "is empty");
	tree_remove(fixture->directory);
	check_run(fixture, ARGUMENTS("list"), EX_NOINPUT, NULL, "no queue in");
	check_run(fixture, ARGUMENTS("retry", "--all"), EX_NOINPUT, NULL, "no queue in");
	assert_int_not_equal(g_access(fixture->directory, F_OK), 0);
}

static void list_shows_what_is_unfinished(void **state)
{
	struct fixture *fixture = *state;
	char deferred[MESSAGE_ID_BYTES], dead[MESSAGE_ID_BYTES], sent[MESSAGE_ID_BYTES];
	check_run(fixture, ARGUMENTS("list"), EX_OK, "0 messages listed", NULL);
	put(fixture, QUEUE_DEFERRED, deferred);
	put(fixture, QUEUE_DEAD, dead);
	put(fixture, QUEUE_SENT, sent);
	struct ran ran = run(fixture, ARGUMENTS("list"));
	assert_int_equal(ran.code, EX_OK);
	assert_non_null(strstr(ran.out, "ID   "));
	assert_non_null(strstr(ran.out, deferred));
	assert_null(strstr(ran.out, dead));
	assert_non_null(strstr(ran.out, "sender@example.org  r0@in.example.com"));
	assert_non_null(strstr(ran.out, "in 59m"));
	assert_non_null(strstr(ran.out, "451 4.7.1 later"));
	assert_non_null(strstr(ran.out, "1 message listed; 1 dead"));
	g_free(ran.out);
	g_free(ran.err);
	check_run(fixture, ARGUMENTS("list", "--state", "dead"), EX_OK, dead, NULL);
	check_run(fixture, ARGUMENTS("list", "--state", "sent", "--limit", "1"), EX_OK,
		"1 message listed", NULL);
	check_run(
		fixture, ARGUMENTS("list", "--state", "held"), EX_OK, "0 messages", NULL);
	fixture_close(fixture);
	check_run(fixture, ARGUMENTS("list"), EX_OK, deferred, NULL);
}

static void a_hostile_message_does_not_reach_the_terminal(void **state)
{
	struct fixture *fixture = *state;
	struct queue_message *message = fixture_message(1);
	struct queue_recipient *recipient = message->recipients->pdata[0];
	char id[MESSAGE_ID_BYTES];
	memcpy(id, message->id, sizeof id);
	g_free(message->reverse_path);
	message->reverse_path = g_strdup("a\033[2J\xff@example.org");
	g_free(recipient->original);
	recipient->original = g_strdup("x\xe2\x80\xae\n@example.com");
	assert_true(fixture_submit_message(fixture, message, "x", 1, NULL));
	const char *const *const commands[] = { ARGUMENTS("list"),
		ARGUMENTS("show", id) };
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		struct ran ran = run(fixture, commands[i]);
		assert_int_equal(ran.code, EX_OK);
		assert_null(strchr(ran.out, '\033'));
		assert_null(strstr(ran.out, "\xe2\x80\xae"));
		assert_true(g_utf8_validate(ran.out, -1, NULL));
		assert_non_null(strstr(ran.out, "a\\u001b[2J"));
		g_free(ran.out);
		g_free(ran.err);
	}
	struct ran ran = run(fixture, ARGUMENTS("show", id, "--json"));
	json_t *object = json_loads(ran.out, 0, NULL);
	assert_non_null(object);
	json_decref(object);
	g_free(ran.out);
	g_free(ran.err);
}

static void json_has_a_line_for_each_message(void **state)
{
	struct fixture *fixture = *state;
	char deferred[MESSAGE_ID_BYTES], received[MESSAGE_ID_BYTES];
	put(fixture, QUEUE_DEFERRED, deferred);
	put(fixture, QUEUE_RECEIVED, received);
	struct ran ran = run(fixture, ARGUMENTS("list", "--json"));
	g_auto(GStrv) lines = g_strsplit(ran.out, "\n", -1);
	assert_int_equal(g_strv_length(lines), 3); /* the last one is empty */
	json_t *object = json_loads(lines[0], 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "id")), deferred);
	assert_string_equal(
		json_string_value(json_object_get(object, "state")), "deferred");
	assert_int_equal(json_integer_value(json_object_get(object, "attempts")), 1);
	assert_int_equal(json_integer_value(json_object_get(object, "size")), 20);
	assert_true(json_is_null(json_object_get(object, "finished")));
	assert_true(json_is_string(json_object_get(object, "next_attempt")));
	const json_t *recipient =
		json_array_get(json_object_get(object, "recipients"), 0);
	assert_string_equal(json_string_value(json_object_get(recipient, "forward_path")),
		"r0@example.com");
	json_decref(object);
	g_free(ran.out);
	g_free(ran.err);
}

static void show_has_what_dsn_asks_for(void **state)
{
	struct fixture *fixture = *state;
	struct queue_message *message = fixture_message(2);
	struct queue_recipient *recipient = message->recipients->pdata[1];
	char id[MESSAGE_ID_BYTES];
	memcpy(id, message->id, sizeof id);
	message->smtputf8 = message->may_bounce = true;
	message->ret = QUEUE_RET_FULL;
	message->envid = g_strdup("QQ314159");
	recipient->notify = QUEUE_NOTIFY_NEVER;
	recipient->orcpt = g_strdup("rfc822;b+40c@d.org");
	assert_true(fixture_submit_message(fixture, message, "x", 1, NULL));
	static const char *const wanted[] = { "octets), SMTPUTF8", "May bounce    yes",
		"DSN           RET=FULL ENVID=QQ314159\n",
		"r1@example.com  received  NOTIFY=NEVER  ORCPT=rfc822;b+40c@d.org\n",
		"r0@example.com  received\n" };
	for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
		check_run(fixture, ARGUMENTS("show", id), EX_OK, wanted[i], NULL);
	struct ran ran = run(fixture, ARGUMENTS("show", id, "--json"));
	json_t *object = json_loads(ran.out, 0, NULL);
	const json_t *recipients = json_object_get(object, "recipients");
	const json_t *plain = json_array_get(recipients, 0),
		     *asked = json_array_get(recipients, 1);
	assert_true(json_is_true(json_object_get(object, "smtputf8")));
	assert_true(json_is_true(json_object_get(object, "may_bounce")));
	assert_string_equal(json_string_value(json_object_get(object, "ret")), "FULL");
	assert_string_equal(
		json_string_value(json_object_get(object, "envid")), "QQ314159");
	assert_true(json_is_null(json_object_get(plain, "notify")));
	assert_true(json_is_null(json_object_get(plain, "orcpt")));
	assert_string_equal(json_string_value(json_object_get(asked, "notify")), "NEVER");
	assert_string_equal(
		json_string_value(json_object_get(asked, "orcpt")), "rfc822;b+40c@d.org");
	json_decref(object);
	g_free(ran.out);
	g_free(ran.err);
}

static void show_has_everything(void **state)
{
	struct fixture *fixture = *state;
	char id[MESSAGE_ID_BYTES], other[MESSAGE_ID_BYTES];
	fixture_submit(fixture, id);
	struct queue_message *message = fixture_take(fixture, id);
	struct queue_attachment *attachment = queue_message_add_attachment(message);
	attachment->number = 2;
	attachment->key = g_strdup("mail/2026/x.pdf");
	attachment->file_name = g_strdup("report.pdf");
	attachment->media_type = g_strdup("application/pdf");
	attachment->size = 2048;
	memset(attachment->sha256, 'b', 64);
	attachment->expires_at_s = 1800000000;
	struct queue_recipient *recipient = message->recipients->pdata[0];
	recipient->reply_code = 250;
	recipient->reply = g_strdup("2.0.0 Ok 0100");
	message->relay_id = g_strdup("0100");
	queue_record_attachments(fixture->queue, message);
	fixture_finish(fixture, message, QUEUE_SENT, 0);
	put(fixture, QUEUE_DEFERRED, other);
	static const char *const wanted[] = { "sent", "Client        192.0.2.1",
		"HELO          client.example", "<sender@example.org>",
		"r0@in.example.com -> r0@example.com  sent  250 2.0.0 Ok 0100",
		"2  report.pdf  application/pdf", "(2048 octets)", "key mail/2026/x.pdf",
		"sha256 bbbb", "2027-01-15T08:00:00Z" };
	for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
		check_run(fixture, ARGUMENTS("show", id), EX_OK, wanted[i], NULL);
	check_run(fixture, ARGUMENTS("show", id, "--json"), EX_OK, "\"mail/2026/x.pdf\"",
		NULL);

	g_autofree char *upper = g_ascii_strup(id, 20);
	check_run(fixture, ARGUMENTS("show", upper), EX_OK, id, NULL);
	check_run(fixture, ARGUMENTS("show", "0"), EX_USAGE, NULL, "more than one");
	check_run(fixture, ARGUMENTS("show", "7zz"), EX_NOINPUT, NULL, "no such message");
}

static void retry_makes_due(void **state)
{
	static const enum queue_state states[] = { QUEUE_DEFERRED, QUEUE_DEAD,
		QUEUE_UNCERTAIN };
	struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
		char id[MESSAGE_ID_BYTES];
		put(fixture, states[i], id);
		check_run(fixture, ARGUMENTS("retry", id), EX_OK, "due now", NULL);
		/* The running queue notices by itself. */
		struct queue_message *message = fixture_take(fixture, id);
		const struct queue_recipient *recipient = message->recipients->pdata[0];
		bool uncertain = states[i] == QUEUE_UNCERTAIN;
		enum queue_state want = uncertain ? QUEUE_UNCERTAIN : QUEUE_DEFERRED;
		assert_int_equal(message->state, want);
		assert_int_equal(recipient->state, want);
		assert_int_equal(message->uncertain, uncertain);
		assert_int_equal(message->finished_ms, 0);
		assert_int_equal(message->attempts, 1);
		assert_in_range(message->retried_ms, message->received_ms,
			g_get_real_time() / 1000);
		assert_int_equal(fixture_count(fixture, want), 1);
		assert_int_equal(fixture_count(fixture, QUEUE_DEAD), 0);
		assert_int_equal(fixture_count(fixture, QUEUE_HELD), 0);
		fixture_finish(fixture, message, QUEUE_SENT, 0);
	}
}

static void retry_works_on_a_queue_at_rest(void **state)
{
	struct fixture *fixture = *state;
	char deferred[MESSAGE_ID_BYTES], dead[MESSAGE_ID_BYTES];
	put(fixture, QUEUE_DEFERRED, deferred);
	put(fixture, QUEUE_DEAD, dead);
	fixture_close(fixture);
	struct ran ran = run(fixture, ARGUMENTS("retry", "--all"));
	assert_int_equal(ran.code, EX_OK);
	assert_non_null(strstr(ran.out, deferred));
	assert_non_null(strstr(ran.out, dead));
	g_free(ran.out);
	g_free(ran.err);
	fixture_open(fixture);
	assert_int_equal(fixture_count(fixture, QUEUE_DEFERRED), 2);
	for (unsigned i = 0; i < 2; i++)
		fixture_finish(fixture, queue_take(fixture->queue), QUEUE_SENT, 0);
	fixture_close(fixture);
	fixture_open(fixture);
	check_run(
		fixture, ARGUMENTS("retry", "--all"), EX_OK, "No message matches", NULL);
}

static void retry_refuses_what_cannot_be(void **state)
{
	struct fixture *fixture = *state;
	char sent[MESSAGE_ID_BYTES], fileless[MESSAGE_ID_BYTES], other[MESSAGE_ID_BYTES];
	put(fixture, QUEUE_SENT, sent);
	put(fixture, QUEUE_DEAD, fileless);
	put(fixture, QUEUE_DEAD, other);
	g_autofree char *path = fixture_spool(fixture, fileless);
	g_unlink(path);
	check_run(fixture, ARGUMENTS("retry", sent), EX_DATAERR, NULL, "was sent");
	check_run(fixture, ARGUMENTS("retry", fileless), EX_DATAERR, NULL, "missing");
	/* One that cannot be does not hold up one that can. */
	check_run(fixture, ARGUMENTS("retry", fileless, other), EX_DATAERR, other,
		fileless);
	fixture_finish(fixture, fixture_take(fixture, other), QUEUE_SENT, 0);
}

static void a_reply_without_code_stands_apart(void **state)
{
	(void)state;
	struct queue_message *message = fixture_message(1);
	struct queue_recipient *recipient = message->recipients->pdata[0];
	recipient->state = QUEUE_UNCERTAIN;
	recipient->reply = g_strdup("no reply came");
	g_autofree char *text = queue_text_show(message, 0);
	assert_non_null(strstr(text, "  uncertain  no reply came\n"));
	recipient->reply_code = 450;
	g_autofree char *coded = queue_text_show(message, 0);
	assert_non_null(strstr(coded, "  uncertain  450 no reply came\n"));
	queue_message_free(message);
}

/* What a fault holds is given up at its time, unless somebody is to hear of it before. */
static void a_time_is_the_end_where_nobody_hears_of_a_delay(void **state)
{
	(void)state;
	static const struct {
		enum queue_state recipient;
		unsigned told;
		bool may_bounce;
		const char *reverse_path, *want;
	} cases[] = {
		{ QUEUE_HELD, 0, true, "a@example.com", "at the latest in 1m" },
		{ QUEUE_HELD, QUEUE_NOTIFY_DELAY, true, "a@example.com",
			"given up in 1m" },
		{ QUEUE_HELD, 0, false, "a@example.com", "given up in 1m" },
		{ QUEUE_HELD, 0, true, "", "given up in 1m" },
		{ QUEUE_SENT, 0, true, "a@example.com", "given up in 1m" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = fixture_message(1);
		struct queue_recipient *recipient = message->recipients->pdata[0];
		message->state = QUEUE_HELD;
		message->hold = g_strdup("relay default: credentials");
		message->next_attempt_ms = 60000;
		message->may_bounce = cases[i].may_bounce;
		g_free(message->reverse_path);
		message->reverse_path = g_strdup(cases[i].reverse_path);
		recipient->state = cases[i].recipient;
		recipient->notify = QUEUE_NOTIFY_DELAY;
		recipient->told = cases[i].told;
		g_autofree char *text = queue_text_show(message, 0);
		assert_non_null(strstr(text, cases[i].want));
		queue_message_free(message);
	}
}

int main(void)
{
#define COMMAND_TEST(name)                                                               \
	cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		COMMAND_TEST(mistakes_are_named),
		COMMAND_TEST(a_queue_that_is_not_there_is_said),
		COMMAND_TEST(list_shows_what_is_unfinished),
		COMMAND_TEST(a_hostile_message_does_not_reach_the_terminal),
		COMMAND_TEST(json_has_a_line_for_each_message),
		COMMAND_TEST(show_has_what_dsn_asks_for),
		COMMAND_TEST(show_has_everything),
		cmocka_unit_test(a_reply_without_code_stands_apart),
		cmocka_unit_test(a_time_is_the_end_where_nobody_hears_of_a_delay),
		COMMAND_TEST(retry_makes_due),
		COMMAND_TEST(retry_works_on_a_queue_at_rest),
		COMMAND_TEST(retry_refuses_what_cannot_be),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
