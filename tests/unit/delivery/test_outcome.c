/* outcome: from the recipients' verdicts to the message's state, and when
 * it is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/groups.h"
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
	{ "what waits by itself outweighs what a person must mend", "hd", QUEUE_DEFERRED,
		false, "<d1@example.com>: 450 said so" },
	{ "held outweighs what is settled", "sxh", QUEUE_HELD, false,
		"<h2@example.com>: 535 said so (mend it)" },
	{ "uncertain outweighs held", "hu", QUEUE_UNCERTAIN, true,
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
	{ 'h', RELAY_HELD, 535, "said so" },
};

static struct queue_message *message_with(const char *states, struct outcome *outcome)
{
	struct queue_message *message = queue_message_new();
	for (size_t i = 0; states[i]; i++) {
		g_autofree char *address =
			g_strdup_printf("%c%zu@example.com", states[i], i);
		struct queue_recipient *recipient =
			queue_message_add_recipient(message, address, address);
		assert_true(groups_is_open(recipient));
		for (size_t v = 0; v < G_N_ELEMENTS(verdicts); v++) {
			struct relay_recipient result = { .verdict = verdicts[v].verdict,
				.reply_code = verdicts[v].code,
				.reply = g_strdup(verdicts[v].reply),
				.failure = QUEUE_FAILURE_UPSTREAM,
				.hold = g_strdup("relay default: credentials"),
				.advice = "mend it" };
			if (verdicts[v].letter == states[i]) {
				outcome_take_verdict(recipient, &result);
				outcome_note(outcome, &result);
			}
			relay_recipient_clear(&result);
		}
	}
	return message;
}

static void recipients_make_the_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message = message_with(cases[i].states, &outcome);
		outcome_of_recipients(&outcome, message, NULL);
		print_message("%s\n", cases[i].name);
		if (message->state == QUEUE_HELD)
			assert_string_equal(message->hold, "relay default: credentials");
		else
			assert_null(message->hold);
		outcome_deinit(&outcome);
		assert_int_equal(message->state, cases[i].want);
		assert_int_equal(message->uncertain, cases[i].uncertain);
		assert_string_equal(message->reason, cases[i].reason);
		queue_message_free(message);
	}
}

static void once_at_most_waits_for_a_person(void **state)
{
	(void)state;
	static const struct {
		const char *states;
		enum queue_state want;
		enum queue_state
			recipient; /* the first, which may not be sent to again */
		const char *hold;
	} kept_cases[] = {
		{ "u", QUEUE_HELD, QUEUE_HELD, NULL },
		{ "us", QUEUE_HELD, QUEUE_HELD, NULL },
		{ "ux", QUEUE_HELD, QUEUE_HELD, NULL },
		{ "ud", QUEUE_DEFERRED, QUEUE_UNCERTAIN, NULL },
		{ "uu", QUEUE_UNCERTAIN, QUEUE_UNCERTAIN, NULL },
		{ "uh", QUEUE_HELD, QUEUE_UNCERTAIN, "relay default: credentials" },
		{ "ss", QUEUE_SENT, QUEUE_SENT, NULL },
		{ "du", QUEUE_UNCERTAIN, QUEUE_DEFERRED, NULL },
	};
	static const bool kept[] = { true, false, false };
	const struct conf_queue settings = { .retry_first_s = 1, .lifetime_s = 60 };
	for (size_t i = 0; i < G_N_ELEMENTS(kept_cases); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message =
			message_with(kept_cases[i].states, &outcome);
		const struct queue_recipient *first = message->recipients->pdata[0];
		print_message("%s\n", kept_cases[i].states);
		outcome_of_recipients(&outcome, message, kept);
		assert_int_equal(message->state, kept_cases[i].want);
		assert_int_equal(first->state, kept_cases[i].recipient);
		assert_int_equal(
			message->uncertain, strchr(kept_cases[i].states, 'u') != NULL);
		if (kept_cases[i].hold)
			assert_string_equal(message->hold, kept_cases[i].hold);
		else
			assert_null(message->hold);
		/* A person may take any time. */
		if (message->state == QUEUE_HELD && !message->hold) {
			message->received_ms = 1;
			const struct outcome_times times = { 900000, 60001, 1 };
			outcome_schedule(&outcome, message, &settings, &times);
			assert_int_equal(message->state, QUEUE_HELD);
			assert_int_equal(message->finished_ms, 0);
		}
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

/* Only an answer about the message itself tells more than the silence before it. */
static void what_may_have_arrived_may_still(void **state)
{
	(void)state;
	static const struct {
		struct relay_recipient result;
		enum queue_state recipient, message;
	} tries[] = {
		{ { .verdict = RELAY_DEFERRED }, QUEUE_UNCERTAIN, QUEUE_DEFERRED },
		{ { .verdict = RELAY_DEFERRED, .reply_code = 421, .unusable = true },
			QUEUE_UNCERTAIN, QUEUE_DEFERRED },
		{ { .verdict = RELAY_HELD,
			  .reply_code = 535,
			  .unusable = true,
			  .hold = (char *)"relay default: credentials" },
			QUEUE_UNCERTAIN, QUEUE_HELD },
		{ { .verdict = RELAY_UNCERTAIN }, QUEUE_UNCERTAIN, QUEUE_UNCERTAIN },
		{ { .verdict = RELAY_DEFERRED, .reply_code = 451 }, QUEUE_DEFERRED,
			QUEUE_DEFERRED },
		{ { .verdict = RELAY_REFUSED, .reply_code = 550 }, QUEUE_DEAD,
			QUEUE_DEAD },
		{ { .verdict = RELAY_REFUSED }, QUEUE_DEAD, QUEUE_DEAD },
		{ { .verdict = RELAY_SENT, .reply_code = 250 }, QUEUE_SENT, QUEUE_SENT },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(tries); i++) {
		struct outcome before = { 0 }, outcome = { 0 };
		struct queue_message *message = message_with("u", &before);
		const struct queue_recipient *first = message->recipients->pdata[0];
		struct relay_recipient result = tries[i].result;
		print_message("%zu\n", i);
		result.reply = (char *)"so it was";
		outcome_take_verdict(message->recipients->pdata[0], &result);
		outcome_note(&outcome, &result);
		outcome_of_recipients(&outcome, message, NULL);
		assert_int_equal(first->state, tries[i].recipient);
		assert_int_equal(first->reply_code, tries[i].result.reply_code);
		assert_string_equal(first->reply, "so it was");
		assert_int_equal(message->state, tries[i].message);
		if (message->state == QUEUE_HELD)
			assert_string_equal(message->hold, tries[i].result.hold);
		else
			assert_null(message->hold);
		queue_message_free(message);
		outcome_deinit(&before);
		outcome_deinit(&outcome);
	}
}

static void kinds_of_failure_are_joined(void **state)
{
	(void)state;
	static const struct {
		enum queue_failure a, b, want;
	} kinds[] = {
		{ QUEUE_FAILURE_UPSTREAM, QUEUE_FAILURE_UPSTREAM,
			QUEUE_FAILURE_UPSTREAM },
		{ QUEUE_FAILURE_THROTTLE, QUEUE_FAILURE_THROTTLE,
			QUEUE_FAILURE_THROTTLE },
		{ QUEUE_FAILURE_UPSTREAM, QUEUE_FAILURE_THROTTLE, QUEUE_FAILURE_MESSAGE },
		{ QUEUE_FAILURE_MESSAGE, QUEUE_FAILURE_UPSTREAM, QUEUE_FAILURE_MESSAGE },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		struct outcome outcome = { 0 };
		const struct relay_recipient a = { .verdict = RELAY_DEFERRED,
			.failure = kinds[i].a },
					     b = { .verdict = RELAY_DEFERRED,
						     .failure = kinds[i].b },
					     sent = { .verdict = RELAY_SENT };
		outcome_note(&outcome, &a);
		outcome_note(&outcome, &sent);
		outcome_note(&outcome, &b);
		assert_true(outcome.deferred);
		assert_int_equal(outcome.failure, kinds[i].want);
		outcome_deinit(&outcome);
	}
}

static void settled_recipients_stay_settled(void **state)
{
	(void)state;
	struct outcome outcome = { 0 };
	g_autoptr(GError) error = g_error_new_literal(
		GATEWAY_ERROR, GATEWAY_ERROR_REJECT, "the header block is too large");
	struct queue_message *message = message_with("sd", &outcome);
	outcome_of_failure(
		&outcome, message, "links", error, NULL, QUEUE_FAILURE_UPSTREAM);
	assert_int_equal(message->state, QUEUE_DEAD);
	const struct queue_recipient *sent = g_ptr_array_index(message->recipients, 0);
	const struct queue_recipient *open = g_ptr_array_index(message->recipients, 1);
	assert_int_equal(sent->state, QUEUE_SENT);
	assert_int_equal(open->state, QUEUE_DEAD);
	assert_string_equal(message->reason, "links: the header block is too large");
	/* Where its report has to wait, the next attempt still knows why. */
	outcome_of_recipients(&outcome, message, NULL);
	assert_string_equal(message->reason,
		"<d1@example.com>: links: the header block is too large");
	queue_message_free(message);
	outcome_deinit(&outcome);
}

static void what_a_person_must_mend_holds(void **state)
{
	(void)state;
	struct outcome outcome = { 0 };
	g_autoptr(GError) error =
		g_error_new_literal(GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "access denied");
	struct queue_message *message = message_with("sd", &outcome);
	outcome_of_failure(&outcome, message, "upload", error, g_strdup("store: access"),
		QUEUE_FAILURE_UPSTREAM);
	const struct queue_recipient *sent = g_ptr_array_index(message->recipients, 0);
	const struct queue_recipient *open = g_ptr_array_index(message->recipients, 1);
	assert_int_equal(message->state, QUEUE_HELD);
	assert_string_equal(message->hold, "store: access");
	assert_int_equal(sent->state, QUEUE_SENT);
	assert_int_equal(open->state, QUEUE_HELD);
	queue_message_free(message);
	outcome_deinit(&outcome);
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
		{ "h", 0, 0, QUEUE_HELD, false },
		{ "h", 3599999, 0, QUEUE_HELD, false },
		{ "h", 3600000, 0, QUEUE_DEAD, true },
		{ "h", 9000000, 5400001, QUEUE_HELD, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message = message_with(times[i].states, &outcome);
		int64_t now_ms = received_ms + times[i].age_ms;
		message->received_ms = received_ms;
		message->attempts = 1;
		message->finished_ms = 5; /* of an earlier end, before a retry by hand */
		outcome_of_recipients(&outcome, message, NULL);
		const struct outcome_times plan = { now_ms,
			received_ms + times[i].retried_at_ms + 3600000, INT64_MAX };
		outcome_schedule(&outcome, message, &settings, &plan);
		assert_int_equal(message->state, times[i].want);
		assert_int_equal(message->finished_ms, times[i].finished ? now_ms : 0);
		if (message->state == QUEUE_HELD)
			assert_true(message->next_attempt_ms > now_ms);
		else if (!times[i].finished)
			assert_in_range(
				message->next_attempt_ms, now_ms + 1, now_ms + 1200000);
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

static void what_cannot_be_told_is_put_off(void **state)
{
	(void)state;
	const struct conf_queue settings = { .retry_first_s = 10, .retry_max_s = 1200 };
	const struct {
		const char *states;
		enum queue_state want;
		enum queue_state recipients[2]; /* as they were */
		const char *prefix;             /* of the reason */
		bool sooner;
	} puts_off[] = {
		{ "sx", QUEUE_DEFERRED, { QUEUE_SENT, QUEUE_DEAD }, "", true },
		{ "ss", QUEUE_DEFERRED, { QUEUE_SENT, QUEUE_SENT }, "sent; ", true },
		{ "xd", QUEUE_DEFERRED, { QUEUE_DEAD, QUEUE_DEFERRED }, "", false },
		{ "xh", QUEUE_HELD, { QUEUE_DEAD, QUEUE_HELD }, "", true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(puts_off); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message =
			message_with(puts_off[i].states, &outcome);
		outcome_of_recipients(&outcome, message, NULL);
		message->attempts = 1;
		message->finished_ms = queue_state_is_final(message->state) ? 7 : 0;
		message->next_attempt_ms = 9000000;
		g_autofree char *reason =
			g_strconcat(puts_off[i].prefix, message->reason, NULL);
		outcome_put_off(message, &settings, 1000, "no room");
		assert_int_equal(message->state, puts_off[i].want);
		for (guint r = 0; r < 2; r++) {
			const struct queue_recipient *one = message->recipients->pdata[r];
			assert_int_equal(one->state, puts_off[i].recipients[r]);
		}
		assert_int_equal(message->finished_ms, 0);
		assert_true(g_str_has_prefix(message->reason, reason));
		if (i < 2)
			assert_non_null(strstr(message->reason, "no room"));
		if (puts_off[i].sooner)
			assert_in_range(message->next_attempt_ms, 1001, 1000 + 1200000);
		else
			assert_true(message->next_attempt_ms == 9000000);
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

static void who_asked_is_told_of_a_delay_in_time(void **state)
{
	(void)state;
	const struct conf_queue settings = {
		.retry_first_s = 43200, .retry_max_s = 43200, .lifetime_s = 86400
	};
	const struct outcome_times times[] = {
		{ 1000, 86400000, 14400000 },     /* in time */
		{ 14400000, 86400000, 14400000 }, /* it is told now */
		{ 1000, 86400000, INT64_MAX },    /* nobody asked for it */
	};
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(times); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message = message_with(i % 2 ? "h" : "d", &outcome);
		message->attempts = 1;
		outcome_of_recipients(&outcome, message, NULL);
		outcome_schedule(&outcome, message, &settings, &times[i / 2]);
		assert_int_equal(message->next_attempt_ms == 14400000, i < 2);
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

/* Whatever kept each of them, what is given up has ended for all. */
static void an_end_is_each_recipients(void **state)
{
	(void)state;
	static const struct {
		const char *states;
		enum queue_state want[2];
		guint events; /* of those whose end differs from another's */
	} ends[] = {
		{ "dd", { QUEUE_DEAD, QUEUE_DEAD }, 0 },
		{ "uh", { QUEUE_DEAD, QUEUE_DEAD }, 0 },
		{ "sd", { QUEUE_SENT, QUEUE_DEAD }, 1 },
		{ "xu", { QUEUE_DEAD, QUEUE_DEAD }, 1 },
		{ "ss", { QUEUE_SENT, QUEUE_SENT }, 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message = message_with(ends[i].states, &outcome);
		outcome_end_recipients(message, NULL);
		for (guint r = 0; r < 2; r++) {
			const struct queue_recipient *one = message->recipients->pdata[r];
			assert_int_equal(one->state, ends[i].want[r]);
		}
		assert_int_equal(message->events->len, ends[i].events);
		for (guint e = 0; e < message->events->len; e++) {
			const struct queue_event *event = message->events->pdata[e];
			assert_int_equal(event->recipient, 1);
			assert_int_equal(event->state, QUEUE_DEAD);
		}
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

/* The others' end lets nobody send again what may have come already. */
static void what_is_sent_once_at_most_outlives_the_others(void **state)
{
	(void)state;
	static const struct {
		const char *states;
		enum queue_state want;
		enum queue_state recipients[2];
	} ends[] = {
		{ "ud", QUEUE_HELD, { QUEUE_HELD, QUEUE_DEAD } },
		{ "uh", QUEUE_HELD, { QUEUE_HELD, QUEUE_DEAD } },
		{ "us", QUEUE_HELD, { QUEUE_HELD, QUEUE_SENT } },
		{ "uu", QUEUE_HELD, { QUEUE_HELD, QUEUE_DEAD } },
		{ "du", QUEUE_DEAD, { QUEUE_DEFERRED, QUEUE_UNCERTAIN } },
	};
	static const bool kept[] = { true, false };
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
		struct outcome outcome = { 0 };
		struct queue_message *message = message_with(ends[i].states, &outcome);
		message->state = QUEUE_DEAD;
		message->finished_ms = 7;
		message->reason = g_strdup("not delivered");
		outcome_keep(message, kept);
		assert_true(g_str_has_prefix(message->reason, "not delivered"));
		assert_int_equal(strstr(message->reason, "once at most") != NULL,
			ends[i].want == QUEUE_HELD);
		assert_int_equal(message->state, ends[i].want);
		assert_int_equal(
			message->finished_ms, ends[i].want == QUEUE_HELD ? 0 : 7);
		assert_null(message->hold);
		for (guint r = 0; r < 2; r++) {
			const struct queue_recipient *one = message->recipients->pdata[r];
			assert_int_equal(one->state, ends[i].recipients[r]);
		}
		queue_message_free(message);
		outcome_deinit(&outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_make_the_state),
		cmocka_unit_test(once_at_most_waits_for_a_person),
		cmocka_unit_test(what_may_have_arrived_may_still),
		cmocka_unit_test(kinds_of_failure_are_joined),
		cmocka_unit_test(settled_recipients_stay_settled),
		cmocka_unit_test(what_a_person_must_mend_holds),
		cmocka_unit_test(what_waits_gets_a_time),
		cmocka_unit_test(who_asked_is_told_of_a_delay_in_time),
		cmocka_unit_test(what_cannot_be_told_is_put_off),
		cmocka_unit_test(an_end_is_each_recipients),
		cmocka_unit_test(what_is_sent_once_at_most_outlives_the_others),
	};
	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
