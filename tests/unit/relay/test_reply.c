/* reply: lines to a reply, a reply to a verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/reply.h"
#include <string.h>

/* Feeds text line by line; false when a line is refused or the reply
 * does not end with it. */
static bool feed(struct reply *reply, const char *text)
{
	reply_clear(reply);
	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');
		end += *end == '\n';
		if (!reply_add_line(reply, p, (size_t)(end - p)))
			return false;
		p = end;
	}
	return reply->complete;
}

static void test_parse(void **unused)
{
	(void)unused;
	static const struct {
		const char *in;
		int code; /* 0: no reply */
		const char *print;
	} cases[] = {
		{ "250 Ok\r\n", 250, "Ok" },
		{ "250\r\n", 250, "" },
		{ "250 \r\n", 250, "" },
		{ "354 go\n", 354, "go" },
		{ "250-a\r\n250-b\r\n250 c\r\n", 250, "a b c" },
		{ "550-5.1.1 No such\r\n550 5.1.1 user\r\n", 550, "5.1.1 No such user" },
		{ "550-5.1.1 No\r\n550 5.1.1\r\n", 550, "5.1.1 No 5.1.1" },
		{ "550-4.0.0 x\r\n450 y\r\n", 450, "4.0.0 x y" },
		{ "550 a\tb\x01 c\x7f\r\n", 550, "a b  c " },
		{ "550 \xff\r\n", 550, "\xef\xbf\xbd" },
		{ "199 no\r\n", 0, NULL },
		{ "600 no\r\n", 0, NULL },
		{ "25 no\r\n", 0, NULL },
		{ "2500 no\r\n", 0, NULL },
		{ "250_no\r\n", 0, NULL },
		{ "hello\r\n", 0, NULL },
		{ "\r\n", 0, NULL },
		{ "", 0, NULL },
		{ "-50 a\r\n", 0, NULL },
		{ "2 0 a\r\n", 0, NULL },
		{ "250-half\r\n", 0, NULL },
		{ "250 a\r\n250 b\r\n", 0, NULL },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		bool whole = feed(&reply, cases[i].in);
		if (whole != (cases[i].code != 0))
			fail_msg("\"%s\"", cases[i].in);
		if (!whole)
			continue;
		g_autofree char *print = reply_print(&reply);
		assert_int_equal(reply.code, cases[i].code);
		assert_string_equal(print, cases[i].print);
	}
	reply_deinit(&reply);
}

static void test_nul_does_not_hide_text(void **unused)
{
	(void)unused;
	struct reply reply;
	reply_init(&reply);
	assert_true(reply_add_line(&reply, "550 a\0b\r\n", 9));
	assert_string_equal(reply.text->str, "a?b");
	reply_deinit(&reply);
}

static void test_text_is_bounded(void **unused)
{
	(void)unused;
	struct reply reply;
	reply_init(&reply);
	g_autofree char *fill = g_strnfill(1000, 'x');
	g_autofree char *line = g_strconcat("250-", fill, "\r\n", NULL);
	for (int i = 0; i < 100; i++)
		assert_true(reply_add_line(&reply, line, strlen(line)));
	assert_true(reply_add_line(&reply, "250 end\r\n", 9));
	assert_true(reply.complete);
	assert_true(reply.text->len <= REPLY_TEXT_BYTES_MAX);
	reply_deinit(&reply);
}

static void test_enhanced(void **unused)
{
	(void)unused;
	static const struct {
		const char *in;
		bool want;
		unsigned status[3];
	} cases[] = {
		{ "550 5.1.1 x\r\n", true, { 5, 1, 1 } },
		{ "450 4.7.123\r\n", true, { 4, 7, 123 } },
		{ "550-5.7.26 a\r\n550 5.7.26 b\r\n", true, { 5, 7, 26 } },
		{ "550 3.1.1 x\r\n", false, { 0 } },
		{ "550 5.1 x\r\n", false, { 0 } },
		{ "550 5.1.1x\r\n", false, { 0 } },
		{ "550 5.1.1234 x\r\n", false, { 0 } },
		{ "550 x 5.1.1\r\n", false, { 0 } },
		{ "550\r\n", false, { 0 } },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		unsigned status[3];
		assert_true(feed(&reply, cases[i].in));
		assert_int_equal(reply_enhanced(&reply, status), cases[i].want);
		if (cases[i].want)
			assert_memory_equal(status, cases[i].status, sizeof(status));
	}
	reply_deinit(&reply);
}

static void test_classify(void **unused)
{
	(void)unused;
	static const struct {
		const char *in;
		enum reply_kind want;
	} cases[] = {
		{ "250 Ok", REPLY_DONE },
		{ "354 go", REPLY_DONE },
		{ "421 Too many concurrent SMTP connections", REPLY_THROTTLE },
		{ "421 4.3.2 shutting down", REPLY_RETRY },
		{ "450 4.2.1 greylisted", REPLY_RETRY },
		{ "451 Temporary service failure", REPLY_RETRY },
		{ "451 Timeout waiting for data from client.", REPLY_RETRY },
		{ "452 4.3.1 full", REPLY_RETRY },
		{ "454 Throttling failure: Maximum sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 4.7.0 Throttling failure: Maximum sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 Throttling failure: Daily message quota exceeded.", REPLY_MEND },
		{ "454 Temporary authentication failure", REPLY_RETRY },
		{ "454 Temporary service failure", REPLY_RETRY },
		{ "500 what", REPLY_REFUSE },
		{ "501 Invalid MAIL FROM address provided", REPLY_REFUSE },
		{ "503 5.5.1 bad sequence", REPLY_RETRY },
		{ "530 Authentication required", REPLY_MEND },
		{ "530 Must issue a STARTTLS command first", REPLY_MEND },
		{ "534 5.7.9 mechanism too weak", REPLY_MEND },
		{ "535 Authentication Credentials Invalid", REPLY_MEND },
		{ "535 Account not subscribed to SES", REPLY_MEND },
		{ "538 5.7.11 Encryption required", REPLY_MEND },
		{ "550 5.1.1 no such user", REPLY_REFUSE },
		{ "550 5.7.1 Recipient address rejected: Access denied", REPLY_REFUSE },
		{ "552 Message is too long.", REPLY_REFUSE },
		{ "553 <x> Invalid email address", REPLY_REFUSE },
		{ "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to "
		  "perform `ses:SendRawEmail' on resource `arn:aws:ses:x'",
			REPLY_MEND },
		{ "554 5.7.1 <a@b>: Relay access denied", REPLY_MEND },
		{ "554 Message rejected: Email address is not verified. The following "
		  "identities failed the check in region EU-WEST-1: a@b",
			REPLY_MEND },
		{ "554 Message rejected: Sending paused for this account.", REPLY_MEND },
		{ "554 Configuration set does not exist: x", REPLY_MEND },
		{ "554 Transaction failed: Duplicate header 'DKIM-Signature'.",
			REPLY_REFUSE },
		{ "554 Message rejected: Message contains virus", REPLY_REFUSE },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *advice;
		assert_true(feed(&reply, cases[i].in));
		enum reply_kind kind = reply_classify(&reply, &advice);
		if (kind != cases[i].want)
			fail_msg("\"%s\": %d", cases[i].in, kind);
		if (kind == REPLY_MEND)
			assert_non_null(advice);
		bool refused = kind == REPLY_REFUSE;
		assert_int_equal(reply_classify_session(&reply, NULL),
			refused ? REPLY_MEND : kind);
	}
	reply_deinit(&reply);
}

static void test_message_id(void **unused)
{
	(void)unused;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "250 Ok 0102018e1b2c3d4e-6c5f0f4e-1b2c-4d5e-8f90-a1b2c3d4e5f6-000000",
			"0102018e1b2c3d4e-6c5f0f4e-1b2c-4d5e-8f90-a1b2c3d4e5f6-000000" },
		{ "250 2.0.0 Ok: queued as 4XkT6Y1zQnz9s", "4XkT6Y1zQnz9s" },
		{ "250 OK id=1qXyZ2-0001Ab-Cd", "1qXyZ2-0001Ab-Cd" },
		{ "250 2.0.0 Ok 0102018e1b2c3d4e-6c5f", "0102018e1b2c3d4e-6c5f" },
		{ "250 Ok", NULL },
		{ "250 Ok thanks", NULL },
		{ "250 Ok thank you very much indeed", NULL },
		{ "250 2.0.0 Ok: queued as ", NULL },
		{ "250 queued as <bad\"id", NULL },
		{ "251 Ok 0102018e1b2c3d4e-6c5f", NULL },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		assert_true(feed(&reply, cases[i].in));
		g_autofree char *id = reply_message_id(&reply);
		if (g_strcmp0(id, cases[i].want) != 0)
			fail_msg("\"%s\": %s", cases[i].in, id ? id : "none");
	}
	reply_deinit(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_nul_does_not_hide_text),
		cmocka_unit_test(test_text_is_bounded),
		cmocka_unit_test(test_enhanced),
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_message_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
