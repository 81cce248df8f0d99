/* What a client that waits for the next hop is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/hop.h"
#include <string.h>

#define RECIPIENTS_MAX 3
#define ID             "01jd0000000000000000000000"

struct recipient {
	enum queue_state state;
	int code;
	const char *reply;
};

static const struct hop_case {
	const char *name;
	struct recipient recipients[RECIPIENTS_MAX];
	const char *want; /* the reply line */
	const char *relay_id, *reason;
	bool untried;
} cases[] = {
	{ .name = "sent",
		{ { QUEUE_SENT, 250, "2.0.0 Ok x" } },
		"250 2.0.0 Ok: relayed as 0102-x (" ID ")\r\n",
		.relay_id = "0102-x" },
	{ .name = "sent, and no ID is known",
		{ { QUEUE_SENT, 250, "ok" } },
		"250 2.0.0 Ok: relayed (" ID ")\r\n" },
	{ .name = "an ID that is no such thing",
		{ { QUEUE_SENT, 250, "ok" } },
		"250 2.0.0 Ok: relayed as a b?c (" ID ")\r\n",
		.relay_id = "a\r\n\r\nb\x01"
			    "c" },
	{ .name = "sent to all",
		{ { QUEUE_SENT, 250, "a" }, { QUEUE_SENT, 250, "b" } },
		"250 2.0.0 Ok: relayed (" ID ")\r\n" },
	{ .name = "refused",
		{ { QUEUE_DEAD, 550, "5.1.1 User unknown" } },
		"550 5.1.1 User unknown (" ID ")\r\n" },
	{ .name = "refused without an enhanced code",
		{ { QUEUE_DEAD, 553, "No thanks" } },
		"553 5.0.0 No thanks (" ID ")\r\n" },
	{ .name = "refused with one of another class",
		{ { QUEUE_DEAD, 554, "4.3.0 Later" } },
		"554 5.0.0 Later (" ID ")\r\n" },
	{ .name = "refused with a code that is no client's",
		{ { QUEUE_DEAD, 503, "5.5.1 MAIL?" } },
		"554 5.5.1 The next hop said 503 MAIL? (" ID ")\r\n" },
	{ .name = "refused without a word",
		{ { QUEUE_DEAD, 550, "" } },
		"550 5.0.0 (" ID ")\r\n" },
	{ .name = "refused, and nobody kept the word",
		{ { QUEUE_DEAD, 550, NULL } },
		"550 5.0.0 (" ID ")\r\n" },
	{ .name = "refused in many lines",
		{ { QUEUE_DEAD, 552, "5.3.4 Too\r\n552  large\t\xc3\xbc" } },
		"552 5.3.4 Too 552 large ? (" ID ")\r\n" },
	{ .name = "what looks like an enhanced code",
		{ { QUEUE_DEAD, 550, "5.1 addresses" } },
		"550 5.0.0 5.1 addresses (" ID ")\r\n" },
	{ .name = "and another",
		{ { QUEUE_DEAD, 550, "5.1.1234 addresses" } },
		"550 5.0.0 5.1.1234 addresses (" ID ")\r\n" },
	{ .name = "and a third",
		{ { QUEUE_DEAD, 550, "55.1.1 x" } },
		"550 5.0.0 55.1.1 x (" ID ")\r\n" },
	{ .name = "the next hop's word before ours",
		{ { QUEUE_DEAD, 0, "too large" }, { QUEUE_BOUNCED, 551, "5.1.6 moved" } },
		"551 5.1.6 moved (" ID ")\r\n" },
	{ .name = "refused before the next hop heard of it",
		{ { QUEUE_DEAD, 0, "5.6.7 Not ASCII" } },
		"554 5.6.7 Not ASCII (" ID ")\r\n" },
	{ .name = "refused here without a code",
		{ { QUEUE_DEAD, 0, "too large" } },
		"554 5.6.0 too large (" ID ")\r\n" },
	{ .name = "refused by a step",
		{ { QUEUE_DEAD, 0, NULL } },
		"554 5.6.0 rewrite: headers (" ID ")\r\n",
		.reason = "rewrite: headers" },
	{ .name = "refused for no reason",
		{ { QUEUE_DEAD, 0, NULL } },
		"554 5.6.0 The message cannot be sent on (" ID ")\r\n" },
	{ .name = "deferred",
		{ { QUEUE_DEFERRED, 450, "4.2.1 Busy" } },
		"451 4.2.1 The next hop said 450 Busy (" ID ")\r\n" },
	{ .name = "deferred with our code",
		{ { QUEUE_DEFERRED, 451, "Greylisted" } },
		"451 4.4.0 Greylisted (" ID ")\r\n" },
	{ .name = "no next hop",
		{ { QUEUE_DEFERRED, 0, "10.1.2.3:25: refused" } },
		"451 4.4.1 The next hop cannot be used now, try again later (" ID
		")\r\n" },
	{ .name = "no store",
		{ { QUEUE_DEFERRED, 0, NULL } },
		"451 4.3.0 The message cannot be processed now, try again later (" ID
		")\r\n",
		.reason = "upload: s3.example: refused" },
	{ .name = "no answer",
		{ { QUEUE_UNCERTAIN, 0, "timeout" } },
		"451 4.4.2 The next hop did not answer the end of the message, try again "
		"later (" ID ")\r\n" },
	{ .name = "held",
		{ { QUEUE_HELD, 0, "credentials" } },
		"451 4.3.5 Something has to be set right here first, try again later (" ID
		")\r\n" },
	{ .name = "held by what the next hop said",
		{ { QUEUE_HELD, 554,
			"Message rejected: Email address is not verified." } },
		"451 4.3.5 The next hop said 554 Message rejected: Email address is not "
		"verified. (" ID ")\r\n" },
	{ .name = "not tried",
		{ { QUEUE_RECEIVED, 0, NULL } },
		"451 4.3.2 Not tried: the gateway is stopping, try again later (" ID
		")\r\n",
		.untried = true },
	{ .name = "some refused, others not, and nobody has it",
		{ { QUEUE_DEAD, 550, "5.1.1 who?" },
			{ QUEUE_DEFERRED, 421, "4.7.0 slow" } },
		"451 4.7.0 The next hop said 421 slow (" ID ")\r\n" },
};

static struct queue_message *message_of(const struct hop_case *c)
{
	struct queue_message *message = queue_message_new();
	g_strlcpy(message->id, ID, sizeof(message->id));
	message->relay_id = g_strdup(c->relay_id);
	message->reason = g_strdup(c->reason);
	message->attempts = c->untried ? 0 : 1;
	for (size_t i = 0; i < RECIPIENTS_MAX; i++) {
		const struct recipient *from = &c->recipients[i];
		if (!from->code && !from->reply && from->state == QUEUE_RECEIVED && i)
			break;
		struct queue_recipient *recipient =
			queue_message_add_recipient(message, "a@b", "a@b");
		recipient->state = from->state;
		recipient->reply_code = from->code;
		recipient->reply = g_strdup(from->reply);
	}
	return message;
}

static char *line_of(const struct queue_message *message)
{
	g_autofree char *detail = NULL;
	enum smtp_reply_id id = hop_reply(message, &detail);
	GString *line = g_string_new(NULL);
	smtp_reply_append(line, id, detail);
	return g_string_free(line, FALSE);
}

static void said(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = message_of(&cases[i]);
		g_autofree char *line = line_of(message);
		if (strcmp(line, cases[i].want))
			fail_msg("%s:\n got %s want %s", cases[i].name, line,
				cases[i].want);
		assert_false(hop_has_some(message));
		queue_message_free(message);
	}
}

/* RFC 5321, section 4.5.3.1.5. */
static void fits_a_line(void **state)
{
	(void)state;
	g_autofree char *text = g_strnfill(100000, 'x');
	static const struct recipient longest[] = { { QUEUE_SENT, 250, "" },
		{ QUEUE_DEAD, 550, "" }, { QUEUE_DEAD, 503, "" }, { QUEUE_DEAD, 0, "" },
		{ QUEUE_HELD, 554, "" }, { QUEUE_DEFERRED, 421, "" } };
	for (size_t i = 0; i < G_N_ELEMENTS(longest); i++) {
		struct hop_case c = { .recipients = { longest[i] }, .relay_id = text };
		c.recipients[0].reply = text;
		struct queue_message *message = message_of(&c);
		g_autofree char *line = line_of(message);
		assert_in_range(strlen(line), 400, 512);
		assert_non_null(strstr(line, "(" ID ")\r\n"));
		queue_message_free(message);
	}
}

static void without_enhanced_codes(void **state)
{
	(void)state;
	g_autoptr(GString) line = g_string_new(NULL);
	smtp_reply_append_plain(line, REPLY_HOP_550, "5.1.1 User unknown");
	smtp_reply_append_plain(line, REPLY_RELAYED, "2.0.0 Ok: relayed");
	assert_string_equal(line->str, "550 User unknown\r\n250 Ok: relayed\r\n");
}

static void some_have_it(void **state)
{
	static const struct {
		enum queue_state states[2];
		bool want;
	} mixtures[] = {
		{ { QUEUE_SENT, QUEUE_SENT }, false },
		{ { QUEUE_SENT, QUEUE_DEAD }, true },
		{ { QUEUE_BOUNCED, QUEUE_SENT }, true },
		{ { QUEUE_SENT, QUEUE_DEFERRED }, true },
		{ { QUEUE_UNCERTAIN, QUEUE_SENT }, true },
		{ { QUEUE_SENT, QUEUE_HELD }, true },
		{ { QUEUE_DEAD, QUEUE_DEFERRED }, false },
		{ { QUEUE_DEAD, QUEUE_DEAD }, false },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(mixtures); i++) {
		struct hop_case c = { .recipients = { { mixtures[i].states[0], 1, "" },
					      { mixtures[i].states[1], 1, "" } } };
		struct queue_message *message = message_of(&c);
		assert_int_equal(hop_has_some(message), mixtures[i].want);
		queue_message_free(message);
	}
}

/* Its route sends it once at most, and the relay did not say whether it has it. */
static void it_may_have_it(void **state)
{
	static const struct hop_case c = { .recipients = { { QUEUE_HELD, 0, "" } } };
	(void)state;
	struct queue_message *message = message_of(&c);
	message->state = QUEUE_HELD;
	assert_false(hop_has_some(message));
	message->uncertain = true;
	assert_true(hop_has_some(message));
	message->hold = g_strdup("relay default: credentials");
	assert_false(hop_has_some(message));
	queue_message_free(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(said),
		cmocka_unit_test(fits_a_line),
		cmocka_unit_test(without_enhanced_codes),
		cmocka_unit_test(some_have_it),
		cmocka_unit_test(it_may_have_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
