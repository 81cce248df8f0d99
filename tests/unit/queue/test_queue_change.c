/* Every verb of stowage queue that changes messages, on messages in every state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "fixture.h"

#include "gateway/queue/queue_command.h"
#include "tests/unit/tree.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <unistd.h>

#define CONTENT "Subject: x\r\n\r\nbody\r\n"

/* A record and spool files without a gateway. */
struct room {
	char *directory;
	struct conf conf;
	struct store *store;
};

static int set_up(void **state)
{
	struct room *room = g_new0(struct room, 1);
	room->directory = g_dir_make_tmp("stowage-change-XXXXXX", NULL);
	room->conf.queue.directory = room->directory;
	g_autofree char *path = g_build_filename(room->directory, "queue.db", NULL);
	room->store = store_open_owner(path, NULL);
	*state = room;
	return room->store ? 0 : -1;
}

static int tear_down(void **state)
{
	struct room *room = *state;
	store_close(&room->store);
	tree_remove(room->directory);
	g_free(room->directory);
	g_free(room);
	return 0;
}

static bool is_final(enum queue_state state)
{
	return state == QUEUE_SENT || state == QUEUE_BOUNCED || state == QUEUE_DEAD;
}

static char *path_of(const struct room *room, const char *id)
{
	g_autofree char *spool = g_build_filename(room->directory, "incoming", NULL);
	return spool_path(spool, id);
}

static bool has_file(const struct room *room, const char *id)
{
	g_autofree char *path = path_of(room, id);
	return g_access(path, F_OK) == 0;
}

/* Takes message. One of its three recipients is sent already. */
static void insert(struct room *room, struct queue_message *message)
{
	struct store_totals changes = { 0 };
	changes.messages[message->state]++;
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *recipient = message->recipients->pdata[i];
		recipient->state = i == 0 ? QUEUE_SENT : message->state;
	}
	assert_true(store_begin(room->store, NULL));
	assert_true(store_insert(room->store, message, NULL));
	assert_true(store_put_attachments(room->store, message, NULL));
	assert_true(store_add_totals(room->store, &changes, NULL));
	assert_true(store_commit(room->store, NULL));
	if (message->state != QUEUE_SENT) {
		g_autofree char *path = path_of(room, message->id);
		g_autofree char *folder = g_path_get_dirname(path);
		assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
		assert_true(g_file_set_contents(path, CONTENT, -1, NULL));
	}
	queue_message_free(message);
}

static struct queue_message *made(enum queue_state state, const char *hold)
{
	struct queue_message *message = fixture_message(3);
	message->state = state;
	message->attempts = 7;
	message->hold = g_strdup(hold);
	message->received_ms -= 60000;
	message->next_attempt_ms =
		state == QUEUE_HELD ? STORE_NEVER_MS : message->received_ms + 3600000;
	message->finished_ms = is_final(state) ? message->received_ms : 0;
	message->size = strlen(CONTENT);
	return message;
}

static void put(struct room *room, enum queue_state state, const char *hold,
	char id[MESSAGE_ID_BYTES])
{
	struct queue_message *message = made(state, hold);
	memcpy(id, message->id, MESSAGE_ID_BYTES);
	insert(room, message);
}

static struct queue_message *load(const struct room *room, const char *id)
{
	struct queue_message *message = NULL;
	assert_true(store_load(room->store, id, &message, NULL));
	if (message)
		assert_true(store_load_events(room->store, message, NULL));
	return message;
}

/* Whether the totals are what counting gives. */
static void check_totals(struct room *room)
{
	struct store_totals kept, counted;
	assert_true(store_totals(room->store, &kept, NULL));
	assert_true(store_begin(room->store, NULL));
	assert_true(store_recount(room->store, NULL));
	assert_true(store_commit(room->store, NULL));
	assert_true(store_totals(room->store, &counted, NULL));
	assert_memory_equal(&kept, &counted, sizeof kept);
}

/* As a gateway that runs on the queue; close() it. */
static int take_lock(const struct room *room)
{
	g_autofree char *path = g_build_filename(room->directory, "lock", NULL);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	return fd;
}

/* --- every verb and state --- */

#define FAULT "relay default: credentials"

enum { NO = -1, GONE = QUEUE_STATES };

static const struct matrix_case {
	const char *verb, *option;
	enum queue_state state;
	const char *hold;
	int becomes; /* NO: it stays */
	int code;
	bool reopens; /* the recipients that were not sent */
} matrix[] = {
	{ "retry", NULL, QUEUE_RECEIVED, NULL, QUEUE_RECEIVED, 0, false },
	{ "retry", NULL, QUEUE_REWRITING, NULL, QUEUE_REWRITING, 0, false },
	{ "retry", NULL, QUEUE_UPLOADING, NULL, QUEUE_UPLOADING, 0, false },
	{ "retry", NULL, QUEUE_DEFERRED, NULL, QUEUE_DEFERRED, 0, false },
	{ "retry", NULL, QUEUE_RELAYING, NULL, NO, EX_TEMPFAIL, false },
	{ "retry", NULL, QUEUE_UNCERTAIN, NULL, QUEUE_UNCERTAIN, 0, false },
	{ "retry", NULL, QUEUE_HELD, FAULT, QUEUE_DEFERRED, 0, true },
	{ "retry", NULL, QUEUE_HELD, NULL, NO, EX_DATAERR, false },
	{ "retry", NULL, QUEUE_SENT, NULL, NO, EX_DATAERR, false },
	{ "retry", NULL, QUEUE_BOUNCED, NULL, QUEUE_DEFERRED, 0, true },
	{ "retry", NULL, QUEUE_DEAD, NULL, QUEUE_DEFERRED, 0, true },

	{ "redrive", NULL, QUEUE_DEFERRED, NULL, QUEUE_DEFERRED, 0, true },
	{ "redrive", NULL, QUEUE_RELAYING, NULL, NO, EX_TEMPFAIL, false },
	{ "redrive", NULL, QUEUE_HELD, FAULT, QUEUE_DEFERRED, 0, true },
	{ "redrive", NULL, QUEUE_HELD, NULL, QUEUE_DEFERRED, 0, true },
	{ "redrive", NULL, QUEUE_SENT, NULL, NO, EX_DATAERR, false },
	{ "redrive", "--again", QUEUE_SENT, NULL, NO, EX_DATAERR, false },
	{ "redrive", NULL, QUEUE_BOUNCED, NULL, QUEUE_DEFERRED, 0, true },
	{ "redrive", NULL, QUEUE_DEAD, NULL, QUEUE_DEFERRED, 0, true },
	{ "redrive", "--again", QUEUE_DEAD, NULL, QUEUE_DEFERRED, 0, true },

	{ "hold", NULL, QUEUE_RECEIVED, NULL, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_REWRITING, NULL, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_UPLOADING, NULL, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_DEFERRED, NULL, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_RELAYING, NULL, NO, EX_TEMPFAIL, false },
	{ "hold", NULL, QUEUE_UNCERTAIN, NULL, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_HELD, FAULT, QUEUE_HELD, 0, false },
	{ "hold", NULL, QUEUE_HELD, NULL, NO, EX_DATAERR, false },
	{ "hold", NULL, QUEUE_SENT, NULL, NO, EX_DATAERR, false },
	{ "hold", NULL, QUEUE_BOUNCED, NULL, NO, EX_DATAERR, false },
	{ "hold", NULL, QUEUE_DEAD, NULL, NO, EX_DATAERR, false },

	{ "release", NULL, QUEUE_RECEIVED, NULL, NO, EX_DATAERR, false },
	{ "release", NULL, QUEUE_RELAYING, NULL, NO, EX_DATAERR, false },
	{ "release", NULL, QUEUE_HELD, FAULT, NO, EX_DATAERR, false },
	{ "release", NULL, QUEUE_HELD, NULL, QUEUE_DEFERRED, 0, false },
	{ "release", NULL, QUEUE_SENT, NULL, NO, EX_DATAERR, false },
	{ "release", NULL, QUEUE_DEAD, NULL, NO, EX_DATAERR, false },

	{ "delete", NULL, QUEUE_RECEIVED, NULL, NO, EX_DATAERR, false },
	{ "delete", "--yes", QUEUE_RECEIVED, NULL, GONE, 0, false },
	{ "delete", "--yes", QUEUE_UPLOADING, NULL, GONE, 0, false },
	{ "delete", NULL, QUEUE_DEFERRED, NULL, NO, EX_DATAERR, false },
	{ "delete", "--yes", QUEUE_DEFERRED, NULL, GONE, 0, false },
	{ "delete", "--yes", QUEUE_RELAYING, NULL, NO, EX_TEMPFAIL, false },
	{ "delete", "--yes", QUEUE_UNCERTAIN, NULL, GONE, 0, false },
	{ "delete", NULL, QUEUE_HELD, NULL, NO, EX_DATAERR, false },
	{ "delete", "--yes", QUEUE_HELD, NULL, GONE, 0, false },
	{ "delete", NULL, QUEUE_SENT, NULL, GONE, 0, false },
	{ "delete", NULL, QUEUE_BOUNCED, NULL, GONE, 0, false },
	{ "delete", NULL, QUEUE_DEAD, NULL, GONE, 0, false },
};

/* The row is as it was made, in each of what a verb could have touched. */
static void check_untouched(
	const struct queue_message *message, const struct matrix_case *c)
{
	assert_int_equal(message->state, c->state);
	assert_int_equal(message->attempts, 7);
	assert_int_equal(message->retried_ms, 0);
	assert_int_equal(message->events->len, 1); /* its reception */
	for (guint i = 1; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		assert_int_equal(recipient->state, c->state);
	}
}

static void check_changed(
	const struct queue_message *message, const struct matrix_case *c)
{
	bool held = c->becomes == QUEUE_HELD;
	assert_int_equal(message->state, c->becomes);
	assert_null(message->hold);
	assert_int_equal(message->finished_ms, 0);
	assert_int_equal(message->events->len, 2);
	if (held)
		assert_true(message->next_attempt_ms == STORE_NEVER_MS);
	else
		assert_in_range(message->next_attempt_ms, message->received_ms + 60000,
			g_get_real_time() / 1000);
	assert_int_equal(message->retried_ms, held ? 0 : message->next_attempt_ms);
	assert_int_equal(message->attempts, strcmp(c->verb, "redrive") ? 7 : 0);
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		enum queue_state before = i == 0 ? QUEUE_SENT : c->state;
		bool reopened = c->reopens && (i > 0 || c->option);
		assert_int_equal(recipient->state, reopened ? QUEUE_DEFERRED : before);
	}
}

static void check_case(struct room *room, const struct matrix_case *c, const char *id)
{
	struct queue_message *message = load(room, id);
	if (c->becomes == GONE) {
		assert_null(message);
		assert_false(has_file(room, id));
		return;
	}
	assert_non_null(message);
	assert_int_equal(has_file(room, id), c->state != QUEUE_SENT);
	if (c->becomes == NO)
		check_untouched(message, c);
	else
		check_changed(message, c);
	queue_message_free(message);
}

static void each_verb_meets_each_state(void **state)
{
	struct room *room = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(matrix); i++) {
		const struct matrix_case *c = &matrix[i];
		char id[MESSAGE_ID_BYTES];
		put(room, c->state, c->hold, id);
		print_message("%s %s %s\n", c->verb, c->option ? c->option : "",
			queue_state_name(c->state));
		/* First without doing it: then nothing is touched. */
		const struct matrix_case untouched = { .state = c->state, .becomes = NO };
		struct ran dry = capture_run(queue_command, &room->conf,
			ARGUMENTS(c->verb, id, "--dry-run", c->option));
		check_case(room, &untouched, id);
		assert_int_equal(!strstr(dry.out, "would be"),
			c->becomes == NO &&
				(c->code != EX_DATAERR || strcmp(c->verb, "delete")));
		capture_clear(&dry);
		capture_check(queue_command, &room->conf,
			ARGUMENTS(c->verb, id, c->option), c->code,
			c->becomes == NO ? "" : id, c->becomes == NO ? id : "");
		check_case(room, c, id);
	}
	check_totals(room);
}

static void what_a_gateway_works_on_is_not_deleted(void **state)
{
	static const enum queue_state states[] = { QUEUE_REWRITING, QUEUE_UPLOADING,
		QUEUE_RELAYING };
	struct room *room = *state;
	int lock = take_lock(room);
	for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
		char id[MESSAGE_ID_BYTES];
		put(room, states[i], NULL, id);
		capture_check(queue_command, &room->conf,
			ARGUMENTS("delete", "--yes", id), EX_TEMPFAIL, "",
			"at this moment");
		assert_true(has_file(room, id));
	}
	close(lock);
	check_totals(room);
}

/* --- many --- */

static void filters_choose(void **state)
{
	struct room *room = *state;
	char id[MESSAGE_ID_BYTES], held[MESSAGE_ID_BYTES], faulty[MESSAGE_ID_BYTES];
	for (unsigned i = 0; i < 450; i++)
		put(room, i % 2 ? QUEUE_DEAD : QUEUE_DEFERRED, NULL, id);
	put(room, QUEUE_HELD, NULL, held);
	put(room, QUEUE_HELD, FAULT, faulty);
	static const struct {
		const char *arguments[8];
		const char *out;
	} cases[] = {
		{ { "redrive", "--all", "--dry-run" }, "225 messages would be sent" },
		{ { "retry", "--all", "--dry-run" }, "451 messages would be due now" },
		{ { "hold", "--all", "--dry-run" }, "226 messages would be held" },
		{ { "release", "--all", "--dry-run" }, "1 message would be due now" },
		{ { "retry", "--hold", "default", "--dry-run" }, "1 message would" },
		{ { "redrive", "--state", "dead", "--sender", "nobody@x", "--dry-run" },
			"No message matches" },
		{ { "redrive", "--recipient", "*@in.example.com", "--limit", "3" },
			"3 messages sent from the beginning" },
		{ { "redrive", "--older-than", "1h" }, "No message matches" },
		{ { "redrive", "--all" }, "222 messages sent from the beginning" },
		{ { "hold", "--state=deferred", "--newer-than=1h" },
			"450 messages held" },
		{ { "hold", "--all" }, "1 message held" },
		{ { "hold", "--all" }, "No message matches" },
		{ { "release", "--all" }, "452 messages due now" },
		{ { "delete", "--state=deferred", "--yes", "--limit=450" },
			"450 messages deleted" },
		{ { "hold", "--all", "--limit=1" }, "1 message held" },
		{ { "delete", "--all", "--yes" }, "2 messages deleted" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		capture_check(queue_command, &room->conf, cases[i].arguments, EX_OK,
			cases[i].out, "");
		check_totals(room);
	}
}

static void json_has_a_line_for_each(void **state)
{
	struct room *room = *state;
	char dead[MESSAGE_ID_BYTES], sent[MESSAGE_ID_BYTES];
	put(room, QUEUE_DEAD, NULL, dead);
	put(room, QUEUE_SENT, NULL, sent);
	struct ran ran = capture_run(
		queue_command, &room->conf, ARGUMENTS("retry", "--json", sent, dead));
	assert_int_equal(ran.code, EX_DATAERR);
	g_auto(GStrv) lines = g_strsplit(ran.out, "\n", -1);
	assert_int_equal(g_strv_length(lines), 3); /* the last one is empty */
	for (unsigned i = 0; i < 2; i++) {
		json_t *object = json_loads(lines[i], 0, NULL);
		bool done = i == 1; /* once it is durable */
		assert_string_equal(json_string_value(json_object_get(object, "id")),
			done ? dead : sent);
		assert_string_equal(
			json_string_value(json_object_get(object, "verb")), "retry");
		assert_string_equal(json_string_value(json_object_get(object, "was")),
			done ? "dead" : "sent");
		assert_int_equal(json_is_true(json_object_get(object, "done")), done);
		assert_int_equal(json_is_null(json_object_get(object, "refused")), done);
		json_decref(object);
	}
	capture_clear(&ran);
}

static void files_in_the_store_are_not_forgotten(void **state)
{
	struct room *room = *state;
	char id[MESSAGE_ID_BYTES];
	struct queue_message *message = made(QUEUE_DEAD, NULL);
	memcpy(id, message->id, sizeof id);
	struct queue_attachment *attachment = queue_message_add_attachment(message);
	attachment->key = g_strdup("mail/2026/x.pdf");
	insert(room, message);
	capture_check(queue_command, &room->conf, ARGUMENTS("delete", id), EX_DATAERR, "",
		"1 file in the store: stowage links revoke");
	capture_check(queue_command, &room->conf,
		ARGUMENTS("delete", id, "--keep-objects"), EX_OK, "mail/2026/x.pdf", "");
	assert_null(load(room, id));
}

/* --- export --- */

static char *contents(const char *path)
{
	char *text = NULL;
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

static void export_gives_the_octets(void **state)
{
	struct room *room = *state;
	char dead[MESSAGE_ID_BYTES], sent[MESSAGE_ID_BYTES], lost[MESSAGE_ID_BYTES];
	put(room, QUEUE_DEAD, NULL, dead);
	put(room, QUEUE_SENT, NULL, sent);
	put(room, QUEUE_DEAD, NULL, lost);
	g_autofree char *lost_path = path_of(room, lost);
	g_unlink(lost_path);
	struct ran ran =
		capture_run(queue_command, &room->conf, ARGUMENTS("export", dead));
	assert_int_equal(ran.code, EX_OK);
	assert_string_equal(ran.out, CONTENT);
	capture_clear(&ran);
	capture_check(queue_command, &room->conf, ARGUMENTS("export", sent), EX_NOINPUT,
		"", "the original is gone");
	capture_check(queue_command, &room->conf, ARGUMENTS("export", lost), EX_NOINPUT,
		"", "file is missing");
	capture_check(queue_command, &room->conf, ARGUMENTS("export", "--envelope", dead),
		EX_OK,
		"X-Stowage-Reverse-Path: <sender@example.org>\r\n"
		"X-Stowage-Recipient: <r0@example.com>; sent\r\n"
		"X-Stowage-Recipient: <r1@example.com>; dead\r\n"
		"X-Stowage-Recipient: <r2@example.com>; dead\r\n" CONTENT,
		"");
}

static void export_overwrites_nothing(void **state)
{
	struct room *room = *state;
	char one[MESSAGE_ID_BYTES], two[MESSAGE_ID_BYTES];
	put(room, QUEUE_DEAD, NULL, one);
	put(room, QUEUE_DEFERRED, NULL, two);
	g_autofree char *directory = g_build_filename(room->directory, "out", NULL);
	g_autofree char *name = g_strconcat(one, ".eml", NULL);
	g_autofree char *path = g_build_filename(directory, name, NULL);
	g_autofree char *maildir = g_build_filename(room->directory, "Maildir", NULL);
	g_autofree char *mail_name = g_strconcat(two, ".stowage", NULL);
	g_autofree char *mail_path = g_build_filename(maildir, "new", mail_name, NULL);
	const char *const *to_directory =
		ARGUMENTS("export", "--all", "--directory", directory);
	const char *const *to_maildir =
		ARGUMENTS("export", "--all", "--maildir", maildir);
	capture_check(queue_command, &room->conf, to_directory, EX_OK,
		"2 messages exported", "");
	g_autofree char *exported = contents(path);
	assert_string_equal(exported, CONTENT);
	assert_true(g_file_set_contents(path, "mine", -1, NULL));
	capture_check(queue_command, &room->conf, to_directory, EX_CANTCREAT,
		"0 messages exported", "File exists");
	g_autofree char *kept = contents(path);
	assert_string_equal(kept, "mine");

	capture_check(queue_command, &room->conf, to_maildir, EX_OK, mail_path, "");
	g_autofree char *mail = contents(mail_path);
	assert_string_equal(mail, CONTENT);
	capture_check(queue_command, &room->conf, to_maildir, EX_CANTCREAT,
		"0 messages exported", "File exists");
	g_autofree char *drafts = g_build_filename(maildir, "tmp", NULL);
	assert_int_equal(g_rmdir(drafts), 0); /* nothing is left in it */
}

/* --- what strangers send --- */

static void hostile_addresses_harm_nothing(void **state)
{
	static const char *const hostile[] = { "x'); DROP TABLE messages; --@a.example",
		"\033]0;owned\007@a.example", "\xff\xfe@a.example",
		"a\r\nBcc: b@a.example", "%n%s%n@a.example" };
	struct room *room = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(hostile); i++) {
		char id[MESSAGE_ID_BYTES];
		struct queue_message *message = made(QUEUE_DEAD, NULL);
		struct queue_recipient *recipient = message->recipients->pdata[1];
		memcpy(id, message->id, sizeof id);
		g_free(message->reverse_path);
		message->reverse_path = g_strdup(hostile[i]);
		g_free(recipient->forward_path);
		recipient->forward_path = g_strdup(hostile[i]);
		message->reason = g_strdup(hostile[i]);
		insert(room, message);
		struct ran ran = capture_run(queue_command, &room->conf,
			ARGUMENTS("export", "--envelope", id));
		assert_int_equal(ran.code, EX_OK);
		assert_null(strstr(ran.out, "\r\nBcc:"));
		assert_null(strchr(ran.out, '\033'));
		assert_true(g_utf8_validate(ran.out, -1, NULL));
		capture_clear(&ran);
		capture_check(queue_command, &room->conf,
			ARGUMENTS("retry", "--state=dead", "--sender", hostile[i],
				"--recipient", hostile[i], "--reason", hostile[i]),
			EX_OK, "1 message due now", "");
	}
	g_autofree char *huge = g_strnfill(100000, '*');
	capture_check(queue_command, &room->conf,
		ARGUMENTS("list", "--sender", huge, "--reason", huge), EX_OK,
		"0 messages", "");
	capture_check(queue_command, &room->conf, ARGUMENTS("show", huge), EX_USAGE, "",
		"not an ID");
	check_totals(room);
}

static void a_history_is_shown(void **state)
{
	struct room *room = *state;
	char id[MESSAGE_ID_BYTES];
	struct queue_message *message = made(QUEUE_HELD, FAULT);
	memcpy(id, message->id, sizeof id);
	message->priority = CONF_PRIORITY_HIGH;
	queue_message_add_event(
		message, 1, QUEUE_DEFERRED, 451, "4.7.1 \033[2Jlater", "relay default");
	assert_true(store_begin(room->store, NULL));
	assert_true(store_put_events(room->store, message, NULL));
	assert_true(store_commit(room->store, NULL));
	insert(room, message);
	capture_check(queue_command, &room->conf, ARGUMENTS("show", id), EX_OK,
		"deferred   r1@in.example.com  451 4.7.1 \\u001b[2Jlater (relay default)",
		"");
	capture_check(queue_command, &room->conf, ARGUMENTS("show", id), EX_OK,
		"Held by       " FAULT "\n", "");
	capture_check(queue_command, &room->conf, ARGUMENTS("show", id), EX_OK,
		"Priority      high\n", "");
	struct ran ran =
		capture_run(queue_command, &room->conf, ARGUMENTS("show", id, "--json"));
	json_t *object = json_loads(ran.out, 0, NULL);
	const json_t *event = json_array_get(json_object_get(object, "history"), 1);
	assert_string_equal(json_string_value(json_object_get(object, "hold")), FAULT);
	assert_string_equal(json_string_value(json_object_get(event, "recipient")),
		"r1@in.example.com");
	assert_int_equal(json_integer_value(json_object_get(event, "reply_code")), 451);
	assert_string_equal(
		json_string_value(json_object_get(event, "peer")), "relay default");
	json_decref(object);
	capture_clear(&ran);
}

int main(void)
{
#define ROOM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROOM_TEST(each_verb_meets_each_state),
		ROOM_TEST(what_a_gateway_works_on_is_not_deleted),
		ROOM_TEST(filters_choose),
		ROOM_TEST(json_has_a_line_for_each),
		ROOM_TEST(files_in_the_store_are_not_forgotten),
		ROOM_TEST(export_gives_the_octets),
		ROOM_TEST(export_overwrites_nothing),
		ROOM_TEST(hostile_addresses_harm_nothing),
		ROOM_TEST(a_history_is_shown),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
