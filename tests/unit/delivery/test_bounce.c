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
	unsigned notify, told;
	enum queue_state state;
	bool over, late;
	enum bounce_action want;
} choices[] = {
	{ "refused", 0, 0, QUEUE_DEAD, false, false, BOUNCE_FAILED },
	{ "refused, FAILURE asked for", QUEUE_NOTIFY_FAILURE, QUEUE_NOTIFY_DELAY,
		QUEUE_DEAD, false, false, BOUNCE_FAILED },
	{ "refused, NEVER", QUEUE_NOTIFY_NEVER, 0, QUEUE_DEAD, true, true,
		BOUNCE_NOTHING },
	{ "refused, SUCCESS only", QUEUE_NOTIFY_SUCCESS, 0, QUEUE_DEAD, false, false,
		BOUNCE_NOTHING },
	{ "told already", 0, 0, QUEUE_BOUNCED, true, true, BOUNCE_NOTHING },
	{ "waits", 0, 0, QUEUE_DEFERRED, false, false, BOUNCE_NOTHING },
	{ "waited too long", 0, 0, QUEUE_DEFERRED, true, false, BOUNCE_FAILED },
	{ "held too long", 0, 0, QUEUE_HELD, true, false, BOUNCE_FAILED },
	{ "held", 0, 0, QUEUE_HELD, false, true, BOUNCE_NOTHING },
	{ "may have arrived", 0, 0, QUEUE_UNCERTAIN, false, true, BOUNCE_NOTHING },
	{ "may have arrived, given up", 0, 0, QUEUE_UNCERTAIN, true, false,
		BOUNCE_UNKNOWN },
	{ "may have arrived, given up, NEVER", QUEUE_NOTIFY_NEVER, 0, QUEUE_UNCERTAIN,
		true, false, BOUNCE_NOTHING },
	{ "sent, nothing asked for", 0, 0, QUEUE_SENT, false, false, BOUNCE_NOTHING },
	{ "sent, SUCCESS", QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE, 0, QUEUE_SENT,
		false, false, BOUNCE_RELAYED },
	{ "sent, SUCCESS, others have failed", QUEUE_NOTIFY_SUCCESS, 0, QUEUE_SENT, true,
		true, BOUNCE_RELAYED },
	{ "sent, SUCCESS, told already", QUEUE_NOTIFY_SUCCESS, QUEUE_NOTIFY_SUCCESS,
		QUEUE_SENT, false, false, BOUNCE_NOTHING },
	{ "late, DELAY", QUEUE_NOTIFY_DELAY, 0, QUEUE_DEFERRED, false, true,
		BOUNCE_DELAYED },
	{ "late and held, DELAY", QUEUE_NOTIFY_DELAY, 0, QUEUE_HELD, false, true,
		BOUNCE_DELAYED },
	{ "late, uncertain, DELAY", QUEUE_NOTIFY_DELAY | QUEUE_NOTIFY_FAILURE, 0,
		QUEUE_UNCERTAIN, false, true, BOUNCE_DELAYED },
	{ "late, DELAY, told already", QUEUE_NOTIFY_DELAY, QUEUE_NOTIFY_DELAY,
		QUEUE_DEFERRED, false, true, BOUNCE_NOTHING },
	{ "late, nothing asked for", 0, 0, QUEUE_DEFERRED, false, true, BOUNCE_NOTHING },
	{ "late, NEVER", QUEUE_NOTIFY_NEVER, 0, QUEUE_DEFERRED, false, true,
		BOUNCE_NOTHING },
	{ "late, DELAY, but sent", QUEUE_NOTIFY_DELAY, 0, QUEUE_SENT, false, true,
		BOUNCE_NOTHING },
	{ "given up, DELAY only", QUEUE_NOTIFY_DELAY, 0, QUEUE_DEFERRED, true, true,
		BOUNCE_NOTHING },
	{ "given up, DELAY too", QUEUE_NOTIFY_DELAY | QUEUE_NOTIFY_FAILURE, 0, QUEUE_DEAD,
		true, true, BOUNCE_FAILED },
};

static void test_choice(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
		struct queue_recipient recipient = { .notify = choices[i].notify,
			.told = choices[i].told,
			.state = choices[i].state };
		enum bounce_action action =
			bounce_action_for(&recipient, choices[i].over, choices[i].late);
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
		{ "Auto-Submitted: (a (nested) \\) comment)\r\n\tauto-replied\r\n\r\n",
			true },
		{ "Auto-Submitted: auto-replied; owner-email=\"a@b\"\r\n\r\n", true },
		{ "Auto-Submitted: auto-replied (vacation) ; x=y\r\n\r\n", true },
		{ "Auto-Submitted:auto-replied", true },
		{ "Content-Type: (x) multipart (y) / (z) report;boundary=x\r\n\r\n",
			true },
		{ "Auto-Submitted: auto-replied-never\r\n\r\n", false },
		{ "Auto-Submitted: (auto-replied\r\n\r\n", false },
		{ "Auto-Submitted: (auto-replied\\", false },
		{ "Auto-Submitted: (auto-replied)\r\n\r\n", false },
		{ "Auto-Submitted:\r\n\r\n", false },
		{ "Content-Type: multipart/reports\r\n\r\n", false },
		{ "Content-Type: text/plain; name=\"multipart/report\"\r\n\r\n", false },
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
	static const char *const hosts[] = { "smtp.example.org", NULL };
	const struct bounce bounce = { .message = message,
		.actions = actions,
		.hosts = hosts,
		.id = "01hzx",
		.hostname = "gateway.example.com",
		.from = "gateway@example.com",
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
	const char *remote =
		strstr(text->str, "\r\nRemote-MTA: dns;smtp.example.org\r\n");
	assert_non_null(remote);
	assert_null(strstr(remote + 2, "\r\nRemote-MTA:")); /* of whom it is not known */
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

/* From the fourth hour on, until it was told. */
static void test_when_it_is_late(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	struct queue_recipient *first = message->recipients->pdata[0];
	first->state = QUEUE_DEFERRED;
	assert_true(bounce_delay_ms(message, 0) == INT64_MAX);
	first->notify = QUEUE_NOTIFY_DELAY;
	assert_true(bounce_delay_ms(message, 0) == message->received_ms + 4 * HOUR_MS);
	/* The clock was set forward by a year: that is no delay. */
	assert_true(bounce_delay_ms(message, 8766 * HOUR_MS) ==
		    message->received_ms + 8770 * HOUR_MS);
	message->may_bounce = false;
	assert_true(bounce_delay_ms(message, 0) == INT64_MAX);
	message->may_bounce = true;
	first->told = QUEUE_NOTIFY_DELAY;
	assert_true(bounce_delay_ms(message, 0) == INT64_MAX);
	queue_message_free(message);
}

/* Which of its end the report is of: a refusal, or its time. */
static void test_status_at_the_end(void **state)
{
	(void)state;
	static const struct {
		enum queue_state state;
		int reply_code;
		const char *want;
	} ends[] = {
		{ QUEUE_DEAD, 550, "Status: 5.0.0\r\n" },
		{ QUEUE_DEAD, 0, "Status: 5.0.0\r\n" },
		{ QUEUE_DEAD, 450, "Status: 5.4.7\r\n" },
		{ QUEUE_DEFERRED, 450, "Status: 5.4.7\r\n" },
		{ QUEUE_HELD, 535, "Status: 5.4.7\r\n" },
	};
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
		struct queue_message *message = make_message();
		struct queue_recipient *gone = message->recipients->pdata[0];
		gone->state = ends[i].state;
		gone->reply_code = ends[i].reply_code;
		g_clear_pointer(&gone->reply, g_free);
		g_autoptr(GString) text = print(message, actions, "", false);
		assert_has(text, ends[i].want);
		queue_message_free(message);
	}
}

static void test_what_nobody_knows(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	struct queue_recipient *lost = message->recipients->pdata[0];
	lost->state = QUEUE_UNCERTAIN;
	lost->reply_code = 0;
	g_free(lost->reply);
	lost->reply = g_strdup("connection lost");
	const enum bounce_action actions[] = { BOUNCE_UNKNOWN, BOUNCE_NOTHING };
	g_autoptr(GString) text = print(message, actions, original, false);
	assert_has(text, "\r\nSubject: Mail may not have been delivered\r\n");
	assert_has(text, "whether it arrived");
	assert_has(text, "  connection lost\r\n");
	assert_has(text, "\r\nAction: failed\r\nStatus: 4.4.2\r\n");
	assert_null(strstr(text->str, "could not be delivered"));
	assert_null(strstr(text->str, "fine@example.net"));
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

static void test_beyond_ascii(void **state)
{
	(void)state;
	struct queue_message *message = make_message();
	struct queue_recipient *gone = message->recipients->pdata[0];
	g_free(gone->original);
	gone->original = g_strdup("gone+a@b\xc3\xbc"
				  "cher.example");
	g_free(gone->orcpt);
	gone->orcpt = g_strdup("utf-8;\xe2\x82\xac@example.net");
	g_free(gone->reply);
	gone->reply = g_strdup("5.1.1 n\xf3 \xf0\x9f\x93\xb7");
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	g_autoptr(GString) text = print(message, actions, "Subject: a\r\n\r\n", false);
	assert_has(
		text, "\r\nFinal-Recipient: utf-8;gone\\x{2B}a@b\\x{FC}cher.example\r\n");
	assert_has(text, "\r\nOriginal-Recipient: utf-8;\\x{20AC}@example.net\r\n");
	assert_has(text, "Diagnostic-Code: smtp;550 5.1.1 n\\x{FFFD} \\x{1F4F7}\r\n");
	assert_has(text, "<gone+a@b\xc3\xbc"
			 "cher.example>");
	queue_message_free(message);
}

/* What is returned as header where the body begins in a way of its own. */
static void test_what_is_no_header(void **state)
{
	(void)state;
	static const char *const originals[] = {
		"hello\r\nworld\r\n\r\nsecret\r\n\r\n",
		"\r\nhello\r\n\r\nsecret\r\n",
		"Subject: a\r\nhello\r\nworld: x\r\n\r\nsecret\r\n",
		"Subject: a\n\nhello\r\n\r\nsecret\r\n",
		" hello\r\n\r\nsecret\r\n",
	};
	struct queue_message *message = make_message();
	const enum bounce_action actions[] = { BOUNCE_FAILED, BOUNCE_NOTHING };
	for (size_t i = 0; i < 2 * G_N_ELEMENTS(originals); i++) {
		g_autofree char *whole = g_strdup_printf("%s%s%s%s",
			i % 2 ? "Received: from a\r\n\tby b id " : "",
			i % 2 ? message->id : "",
			i % 2 ? ";\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n" : "",
			originals[i / 2]);
		g_autoptr(GString) text = print(message, actions, whole, false);
		assert_null(strstr(text->str, "hello"));
		assert_null(strstr(text->str, "secret"));
		if (i % 2)
			assert_has(text, "\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n");
	}
	g_autoptr(GString) text = print(message, actions,
		"From alice Thu Jan 1\r\nX-A: 1\r\nbroken\r\nSubject: b\r\n\r\nsecret",
		false);
	assert_has(text, "\r\nSubject: b\r\n");
	assert_null(strstr(text->str, "secret"));
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
	const char *const hosts[] = { NULL, NULL };
	const struct bounce bounce = { .message = message,
		.actions = actions,
		.hosts = hosts,
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
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_when_it_is_late),
		cmocka_unit_test(test_status_at_the_end),
		cmocka_unit_test(test_what_nobody_knows),
		cmocka_unit_test(test_what_is_no_header),
		cmocka_unit_test(test_beyond_ascii),
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
