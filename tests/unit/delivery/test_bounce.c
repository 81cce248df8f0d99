/* bounce: who hears what, and that a report holds what RFC 3464 asks for and nothing that
 * others could have slipped in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/bounce.h"
#include <gmime/gmime.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned notify;
	enum queue_state before, after;
	bool over, relay_reports;
	enum bounce_action want;
} choices[] = {
	{ "refused", QUEUE_NOTIFY_DEFAULT, QUEUE_RECEIVED, QUEUE_DEAD, false, false,
		BOUNCE_FAILED },
	{ "refused, FAILURE asked for", QUEUE_NOTIFY_FAILURE, QUEUE_DEFERRED, QUEUE_DEAD,
		false, true, BOUNCE_FAILED },
	{ "refused, NEVER", QUEUE_NOTIFY_NEVER, QUEUE_RECEIVED, QUEUE_DEAD, false, false,
		BOUNCE_NOTHING },
	{ "refused, SUCCESS only", QUEUE_NOTIFY_SUCCESS, QUEUE_RECEIVED, QUEUE_DEAD,
		false, false, BOUNCE_NOTHING },
	{ "refused by an earlier attempt", QUEUE_NOTIFY_DEFAULT, QUEUE_DEAD, QUEUE_DEAD,
		false, false, BOUNCE_NOTHING },
	{ "waits", QUEUE_NOTIFY_DEFAULT, QUEUE_RECEIVED, QUEUE_DEFERRED, false, false,
		BOUNCE_NOTHING },
	{ "waited too long", QUEUE_NOTIFY_DEFAULT, QUEUE_DEFERRED, QUEUE_DEFERRED, true,
		false, BOUNCE_FAILED },
	{ "held too long", QUEUE_NOTIFY_DEFAULT, QUEUE_HELD, QUEUE_HELD, true, false,
		BOUNCE_FAILED },
	{ "held", QUEUE_NOTIFY_DEFAULT, QUEUE_DEFERRED, QUEUE_HELD, false, false,
		BOUNCE_NOTHING },
	{ "may have arrived", QUEUE_NOTIFY_DEFAULT, QUEUE_UNCERTAIN, QUEUE_UNCERTAIN,
		true, false, BOUNCE_NOTHING },
	{ "sent, nothing asked for", QUEUE_NOTIFY_DEFAULT, QUEUE_RECEIVED, QUEUE_SENT,
		false, false, BOUNCE_NOTHING },
	{ "sent, SUCCESS", QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE, QUEUE_RECEIVED,
		QUEUE_SENT, false, false, BOUNCE_RELAYED },
	{ "sent, SUCCESS, the relay tells", QUEUE_NOTIFY_SUCCESS, QUEUE_RECEIVED,
		QUEUE_SENT, false, true, BOUNCE_NOTHING },
	{ "sent earlier", QUEUE_NOTIFY_SUCCESS, QUEUE_SENT, QUEUE_SENT, false, false,
		BOUNCE_NOTHING },
};

static void test_choice(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
		struct queue_recipient recipient = { .notify = choices[i].notify,
			.state = choices[i].after };
		enum bounce_action action =
			bounce_action_for(&recipient, choices[i].before, choices[i].over,
				false, choices[i].relay_reports);
		if (action != choices[i].want)
			fail_msg("%s: action %d", choices[i].name, (int)action);
	}
}

static void test_answers(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		bool is_answer;
	} cases[] = {
		{ "From: a@b\r\nAuto-Submitted: auto-replied\r\n\r\nx", true },
		{ "auto-submitted:\r\n AUTO-Replied (vacation)\r\n", true },
		{ "Content-Type: Multipart/Report; boundary=x\r\n\r\n", true },
		{ "junk\r\nAuto-Submitted: auto-replied\r\n\r\n", true },
		{ "Auto-Submitted: auto-generated\r\n\r\n", false },
		{ "Auto-Submitted: no\r\nPrecedence: bulk\r\n\r\n", false },
		{ "Subject: x\r\n\r\nAuto-Submitted: auto-replied\r\n", false },
		{ "", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (bounce_is_answer(cases[i].header, strlen(cases[i].header)) !=
			cases[i].is_answer)
			fail_msg("\"%s\"", cases[i].header);
	}
}

static void test_own_path(void **state)
{
	(void)state;
	char envelope[] = "bounces@example.com";
	struct conf_sender sender = { .envelope = envelope, .envelope_has_id = true };
	assert_true(bounce_is_own_path(&sender, "bounces+01abc@example.com"));
	assert_true(bounce_is_own_path(&sender, "Bounces+01abc@EXAMPLE.com"));
	assert_false(bounce_is_own_path(&sender, "bounces@example.com"));
	assert_false(bounce_is_own_path(&sender, "bounces+01abc@example.org"));
	assert_false(bounce_is_own_path(&sender, "bounce+01abc@example.com"));
	assert_false(bounce_is_own_path(&sender, "camera"));
	sender.envelope_has_id = false;
	assert_false(bounce_is_own_path(&sender, "bounces+01abc@example.com"));
}

static void test_possible(void **state)
{
	(void)state;
	struct queue_message message = { .reverse_path = (char *)"a@example.com" };
	assert_false(bounce_is_possible(&message)); /* a stranger's */
	message.may_bounce = true;
	assert_true(bounce_is_possible(&message));
	message.reverse_path = (char *)"";
	assert_false(bounce_is_possible(&message));
}

static struct queue_message *make_message(void)
{
	struct queue_message *message = queue_message_new();
	message->reverse_path = g_strdup("camera@example.com");
	message->envid = g_strdup("QQ+3D1");
	message->may_bounce = true;
	struct queue_recipient *gone =
		queue_message_add_recipient(message, "gone@example.net", "x@example.org");
	gone->state = QUEUE_DEAD;
	gone->reply_code = 550;
	gone->reply = g_strdup("5.1.1 no such\r\nBcc: victim@example.com\r\n\xc3\xbcser");
	gone->orcpt = g_strdup("rfc822;g+6Fne@example.net");
	struct queue_recipient *fine =
		queue_message_add_recipient(message, "fine@example.net", "y@example.org");
	fine->state = QUEUE_SENT;
	fine->reply_code = 250;
	fine->reply = g_strdup("2.0.0 Ok");
	return message;
}

static GString *print(const struct queue_message *message,
	const enum bounce_action *actions, const char *original, bool is_whole)
{
	const struct bounce bounce = { .message = message,
		.actions = actions,
		.id = "01hzx",
		.hostname = "gateway.example.com",
		.from = "gateway@example.com",
		.relay = "smtp.example.org",
		.original = original,
		.original_bytes = strlen(original),
		.is_whole = is_whole,
		.now_s = 1700000000,
		.until_s = 1700345600 };
	return bounce_print(&bounce);
}

static void assert_has(const GString *text, const char *part)
{
	if (!strstr(text->str, part))
		fail_msg("\"%s\" is missing in:\n%s", part, text->str);
}

static const char original[] = "Subject: \xe2\x82\xac 5\r\nX-A: b\r\n\r\nsecret body\r\n";

static void test_report(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_RELAYED };
	g_autoptr(GString) text = print(message, actions, original, false);
	assert_has(text, "\r\nTo: <camera@example.com>\r\n");
	assert_has(text, "\r\nAuto-Submitted: auto-replied\r\n");
	assert_has(text, "report-type=delivery-status");
	assert_has(text, "\r\nOriginal-Envelope-Id: QQ=1\r\n");
	assert_has(text, "\r\nReporting-MTA: dns;gateway.example.com\r\n");
	assert_has(text, "\r\nOriginal-Recipient: rfc822;gone@example.net\r\n");
	assert_has(text, "\r\nFinal-Recipient: rfc822;gone@example.net\r\n");
	assert_has(text, "\r\nAction: failed\r\nStatus: 5.1.1\r\n");
	assert_has(text, "\r\nRemote-MTA: dns;smtp.example.org\r\n");
	assert_has(text, "\r\nAction: relayed\r\nStatus: 2.0.0\r\n");
	assert_has(text, "Content-Type: text/rfc822-headers\r\n");
	assert_has(text, "\r\nX-A: b\r\n");
	assert_null(strstr(text->str, "secret body"));
	assert_null(strstr(text->str, "\nBcc:"));
	assert_null(strstr(text->str, "x@example.org")); /* where it was mapped to */
	for (size_t i = 0; i < text->len; i++) {
		if (text->str[i] == '\n')
			assert_int_equal(text->str[i - 1], '\r');
	}
	queue_message_free(message);
}

/* Of those that were asked to be told of a delay, when it is time. */
static void test_choice_of_delayed(void **state)
{
	(void)state;
	static const struct {
		unsigned notify;
		enum queue_state after;
		bool over;
		enum bounce_action want;
	} delays[] = {
		{ QUEUE_NOTIFY_DELAY, QUEUE_DEFERRED, false, BOUNCE_DELAYED },
		{ QUEUE_NOTIFY_DELAY | QUEUE_NOTIFY_FAILURE, QUEUE_UNCERTAIN, false,
			BOUNCE_DELAYED },
		{ QUEUE_NOTIFY_DEFAULT, QUEUE_DEFERRED, false, BOUNCE_NOTHING },
		{ QUEUE_NOTIFY_NEVER, QUEUE_DEFERRED, false, BOUNCE_NOTHING },
		{ QUEUE_NOTIFY_DELAY, QUEUE_SENT, false, BOUNCE_NOTHING },
		{ QUEUE_NOTIFY_DELAY, QUEUE_DEFERRED, true, BOUNCE_NOTHING },
		{ QUEUE_NOTIFY_DELAY | QUEUE_NOTIFY_FAILURE, QUEUE_DEAD, true,
			BOUNCE_FAILED },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(delays); i++) {
		struct queue_recipient recipient = { .notify = delays[i].notify,
			.state = delays[i].after };
		assert_int_equal(bounce_action_for(&recipient, QUEUE_DEFERRED,
					 delays[i].over, true, false),
			delays[i].want);
	}
}

static void test_delay(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	struct queue_recipient *waits = message->recipients->pdata[0];
	waits->state = QUEUE_DEFERRED;
	waits->reply_code = 451;
	g_free(waits->reply);
	waits->reply = g_strdup("4.7.1 come again");
	const enum bounce_action actions[] = { BOUNCE_DELAYED, BOUNCE_NOTHING };
	g_autoptr(GString) text = print(message, actions, original, false);
	assert_has(text, "\r\nSubject: Mail is delayed\r\n");
	assert_has(text, "451 4.7.1 come again\r\n");
	assert_has(text, "\r\nAction: delayed\r\nStatus: 4.7.1\r\n");
	assert_has(text, "\r\nWill-Retry-Until: Sat, 18 Nov 2023 22:13:20 +0000\r\n");
	assert_null(strstr(text->str, "fine@example.net"));
	assert_null(strstr(text->str, "could not be delivered"));
	queue_message_free(message);
}

#define HOUR_MS (3600 * INT64_C(1000))

/* Once: at the first attempt from the fourth hour on. */
static void test_when_it_is_late(void **state)
{
	(void)state;
	static const struct {
		int64_t planned_ms, now_ms; /* from when it came */
		bool want;
	} cases[] = {
		{ 0, 1, false },
		{ 3 * HOUR_MS, 4 * HOUR_MS - 1, false },
		{ 3 * HOUR_MS, 4 * HOUR_MS, true }, /* nobody had time for it */
		{ 4 * HOUR_MS, 4 * HOUR_MS + 5, true },
		{ 4 * HOUR_MS + 1, 4 * HOUR_MS + 1, false },
		{ 9 * HOUR_MS, 9 * HOUR_MS, false },
	};
	struct queue_message *message = make_message();
	struct queue_recipient *first = message->recipients->pdata[0];
	first->state = QUEUE_DEFERRED;
	assert_true(bounce_delay_ms(message, 0) == INT64_MAX);
	first->notify = QUEUE_NOTIFY_DELAY;
	assert_true(bounce_delay_ms(message, 0) == message->received_ms + 4 * HOUR_MS);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		int64_t now_ms = message->received_ms + cases[i].now_ms;
		message->next_attempt_ms = message->received_ms + cases[i].planned_ms;
		assert_int_equal(bounce_is_late(message, now_ms, 0), cases[i].want);
	}
	/* The clock was set forward by a year: that is no delay. */
	message->next_attempt_ms = message->received_ms + 5000;
	assert_false(bounce_is_late(
		message, message->received_ms + 8767 * HOUR_MS, 8766 * HOUR_MS));
	assert_true(bounce_is_late(
		message, message->received_ms + 8770 * HOUR_MS, 8766 * HOUR_MS));
	message->next_attempt_ms = message->received_ms + 4 * HOUR_MS;
	message->may_bounce = false;
	assert_false(bounce_is_late(message, message->received_ms + 4 * HOUR_MS, 0));
	queue_message_free(message);
}

static void test_whole_original(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	g_autoptr(GString) text = print(message, actions, original, true);
	assert_has(text, "Content-Type: message/rfc822\r\n");
	assert_has(text, "secret body");
	assert_null(strstr(text->str, "fine@example.net"));
	queue_message_free(message);
}

static void test_cut_header(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	g_autoptr(GString) text =
		print(message, actions, "Subject: a\r\nX-Long: not whole", false);
	assert_has(text, "\r\nSubject: a\r\n");
	assert_null(strstr(text->str, "X-Long"));
	g_autoptr(GString) none = print(message, actions, "", false);
	assert_has(none, "text/rfc822-headers");
	queue_message_free(message);
}

/* Whether the header section that begins at name says 8bit. */
static bool says_8bit(const GString *text, const char *name)
{
	const char *at = strstr(text->str, name);
	assert_non_null(at);
	g_autofree char *section = g_strndup(at, (gsize)(strstr(at, "\r\n\r\n") - at));
	return strstr(section, "\r\nContent-Transfer-Encoding: 8bit") != NULL;
}

static void test_encodings(void **state)
{
	(void)state;
	static const struct {
		const char *reply, *original;
		bool report, words, header;
	} cases[] = {
		{ "5.1.1 no", "Subject: a\r\n\r\n", false, false, false },
		{ "5.1.1 n\xc3\xb3", "Subject: a\r\n\r\n", true, true, false },
		{ "5.1.1 no", "Subject: \xe9\r\n\r\n", true, false, true },
	};
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = make_message();
		struct queue_recipient *gone = message->recipients->pdata[0];
		g_free(gone->reply);
		gone->reply = g_strdup(cases[i].reply);
		g_autoptr(GString) text =
			print(message, actions, cases[i].original, false);
		assert_int_equal(says_8bit(text, "From: "), cases[i].report);
		assert_int_equal(
			says_8bit(text, "Content-Type: text/plain"), cases[i].words);
		assert_int_equal(says_8bit(text, "Content-Type: text/rfc822-headers"),
			cases[i].header);
		queue_message_free(message);
	}
}

static void test_nul(void **state)
{
	(void)state;
	static const char bytes[] = "Subject: a\0b\r\n\r\nsecret\0body\r\n";
	struct queue_message *message = make_message();
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	const struct bounce bounce = { .message = message,
		.actions = actions,
		.id = "01hzx",
		.hostname = "gateway.example.com",
		.from = "gateway@example.com",
		.original = bytes,
		.original_bytes = sizeof bytes - 1,
		.is_whole = true };
	g_autoptr(GString) text = bounce_print(&bounce);
	assert_null(memchr(text->str, '\0', text->len));
	assert_has(text, "text/rfc822-headers");
	assert_has(text, "Subject: a b\r\n");
	assert_null(strstr(text->str, "secret"));
	queue_message_free(message);
}

static const struct {
	const char *reply, *want;
} statuses[] = {
	{ "5.7.1 no", "Status: 5.7.1\r\n" },
	{ "no code at all", "Status: 5.0.0\r\n" },
	{ "4.7.1 of another class", "Status: 5.0.0\r\n" },
	{ "5..1 broken", "Status: 5.0.0\r\n" },
	{ "5.1. broken", "Status: 5.0.0\r\n" },
	{ "5.1.1.1 broken", "Status: 5.0.0\r\n" },
	{ "5.100.100 fits", "Status: 5.100.100\r\n" },
	{ "5.1000.1 broken", "Status: 5.0.0\r\n" },
	{ "5.1.1", "Status: 5.1.1\r\n" },
	{ "5.1.", "Status: 5.0.0\r\n" },
	{ NULL, "Status: 5.0.0\r\n" },
};

static void test_status(void **state)
{
	(void)state;
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
		struct queue_message *message = make_message();
		struct queue_recipient *gone = message->recipients->pdata[0];
		g_free(gone->reply);
		gone->reply = g_strdup(statuses[i].reply);
		g_autoptr(GString) text = print(message, actions, "", false);
		assert_has(text, statuses[i].want);
		queue_message_free(message);
	}
}

int main(void)
{
	g_mime_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_possible),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_own_path),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_choice_of_delayed),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_when_it_is_late),
		cmocka_unit_test(test_whole_original),
		cmocka_unit_test(test_cut_header),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_status),
	};
	int failures = cmocka_run_group_tests(tests, NULL, NULL);
	g_mime_shutdown();
	return failures;
}
