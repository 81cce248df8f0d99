/* outcome: from the recipients' verdicts to the message's state, and when it is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/outcome.h"
#include "gateway/error.h"
#include <string.h>

static const struct {
	const char *name;
	const char *states; /* of the recipients: one letter each, see state_of() */
	enum queue_state want;
	bool uncertain;
	const char *reason;
} cases[] = {
	{ "all sent", "ss", QUEUE_SENT, false, "250 said so" },
	{ "one refused", "sx", QUEUE_DEAD, false, "<x1@example.com>: 550 said so" },
	{ "one refused, one to be tried again", "xd", QUEUE_DEFERRED, false,
		"<d1@example.com>: 450 said so" },
	{ "no reply to the final dot", "su", QUEUE_UNCERTAIN, true,
		"<u1@example.com>: said so" },
	{ "uncertain outweighs deferred", "du", QUEUE_UNCERTAIN, true,
		"<u1@example.com>: said so" },
	{ "nobody", "", QUEUE_DEAD, false, "no recipients" },
};

static const struct {
	char letter;
	enum relay_verdict verdict;
	int code;
	const char *reply;
} verdicts[] = {
	{ 's', RELAY_SENT, 250, "250 said so" },
	{ 'x', RELAY_REFUSED, 550, "said so" },
	{ 'd', RELAY_DEFERRED, 450, "said so" },
	{ 'u', RELAY_UNCERTAIN, 0, "said so" },
};

static struct queue_message *message_with(const char *states)
{
	struct queue_message *message = queue_message_new();
	for (size_t i = 0; states[i]; i++) {
		g_autofree char *address =
			g_strdup_printf("%c%zu@example.com", states[i], i);
		struct queue_recipient *recipient =
			queue_message_add_recipient(message, address, address);
		assert_true(outcome_is_open(recipient));
		for (size_t v = 0; v < G_N_ELEMENTS(verdicts); v++) {
			struct relay_recipient result = { .verdict = verdicts[v].verdict,
				.reply_code = verdicts[v].code,
				.reply = g_strdup(verdicts[v].reply) };
			if (verdicts[v].letter == states[i])
				outcome_take_verdict(recipient, &result);
			g_free(result.reply);
		}
	}
	return message;
}

static void recipients_make_the_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = message_with(cases[i].states);
		outcome_of_recipients(message);
		print_message("%s\n", cases[i].name);
		assert_int_equal(message->state, cases[i].want);
		assert_int_equal(message->uncertain, cases[i].uncertain);
		assert_string_equal(message->reason, cases[i].reason);
		queue_message_free(message);
	}
}

static void settled_recipients_stay_settled(void **state)
{
	(void)state;
	g_autoptr(GError) error = g_error_new_literal(
		GATEWAY_ERROR, GATEWAY_ERROR_REJECT, "the header block is too large");
	struct queue_message *message = message_with("sd");
	outcome_of_failure(message, "links", error);
	assert_int_equal(message->state, QUEUE_DEAD);
	const struct queue_recipient *sent = g_ptr_array_index(message->recipients, 0);
	const struct queue_recipient *open = g_ptr_array_index(message->recipients, 1);
	assert_int_equal(sent->state, QUEUE_SENT);
	assert_int_equal(open->state, QUEUE_DEAD);
	assert_string_equal(message->reason, "links: the header block is too large");
	queue_message_free(message);
}

static void what_waits_gets_a_time(void **state)
{
	(void)state;
	const struct conf_queue settings = {
		.retry_first_s = 10, .retry_max_s = 1200, .lifetime_s = 3600
	};
	const int64_t received_ms = 1000000;
	const struct {
		const char *states;
		int64_t age_ms;
		int64_t retried_at_ms; /* by hand, at this age; 0: never */
		enum queue_state want;
		bool finished;
	} times[] = {
		{ "d", 0, 0, QUEUE_DEFERRED, false },
		{ "d", 3599999, 0, QUEUE_DEFERRED, false },
		{ "d", 3600000, 0, QUEUE_DEAD, true },
		{ "d", 9000000, 9000000, QUEUE_DEFERRED, false },
		{ "d", 9000000, 5400001, QUEUE_DEFERRED, false },
		{ "d", 9000000, 5400000, QUEUE_DEAD, true },
		{ "u", 0, 0, QUEUE_UNCERTAIN, false },
		{ "s", 3600000, 0, QUEUE_SENT, true },
		{ "x", 0, 0, QUEUE_DEAD, true },
		{ "x", 9000000, 9000000, QUEUE_DEAD, true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		struct queue_message *message = message_with(times[i].states);
		int64_t now_ms = received_ms + times[i].age_ms;
		message->received_ms = received_ms;
		if (times[i].retried_at_ms)
			message->retried_ms = received_ms + times[i].retried_at_ms;
		message->attempts = 1;
		message->finished_ms = 5; /* of an earlier end, before a retry by hand */
		outcome_of_recipients(message);
		outcome_schedule(message, &settings, now_ms);
		assert_int_equal(message->state, times[i].want);
		assert_int_equal(message->finished_ms, times[i].finished ? now_ms : 0);
		if (!times[i].finished)
			assert_in_range(
				message->next_attempt_ms, now_ms + 1, now_ms + 1200000);
		queue_message_free(message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_make_the_state),
		cmocka_unit_test(settled_recipients_stay_settled),
		cmocka_unit_test(what_waits_gets_a_time),
	};
	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
