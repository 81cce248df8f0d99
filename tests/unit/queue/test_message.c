/* IDs and states of queue.h, and the retry schedule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/queue/queue.h"
#include <string.h>

static void ids_are_valid_unique_and_in_order_of_time(void **state)
{
	(void)state;
	char first[MESSAGE_ID_BYTES], second[MESSAGE_ID_BYTES];
	message_id_new(first);
	message_id_new(second);
	assert_true(message_id_is_valid(first));
	assert_true(message_id_is_valid(second));
	assert_string_not_equal(first, second);
	assert_true(strncmp(first, second, 10) <= 0);

	struct queue_message *message = queue_message_new();
	assert_true(message_id_is_valid(message->id));
	assert_int_equal(message->next_attempt_ms, message->received_ms);
	/* The first ten digits are the time. */
	int64_t ms = 0;
	for (unsigned i = 0; i < 10; i++)
		ms = ms * 32 +
		     (strchr("0123456789abcdefghjkmnpqrstvwxyz", message->id[i]) -
			     "0123456789abcdefghjkmnpqrstvwxyz");
	assert_int_equal(ms, message->received_ms);
	queue_message_free(message);
	queue_message_free(NULL);
}

static void only_ulids_are_valid_ids(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "01jd3v5h8k9m0n1p2q3r4s5t6v", true },
		{ "7zzzzzzzzzzzzzzzzzzzzzzzzz", true },
		{ "8zzzzzzzzzzzzzzzzzzzzzzzzz", false }, /* over 48 bits of time */
		{ "01JD3V5H8K9M0N1P2Q3R4S5T6V", false },
		{ "01jd3v5h8k9m0n1p2q3r4s5t6", false },
		{ "01jd3v5h8k9m0n1p2q3r4s5t6vv", false },
		{ "01jd3v5h8k9m0n1p2q3r4s5t6i", false },
		{ "../../../../../etc/passwd0", false },
		{ "", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		assert_int_equal(message_id_is_valid(cases[i].text), cases[i].valid);
}

static void dsn_words_come_back(void **state)
{
	(void)state;
	for (unsigned notify = 0; notify < 32; notify++) {
		const char *name = queue_notify_name(notify);
		bool sound = notify == QUEUE_NOTIFY_NEVER ||
			     (notify && notify < 16 && !(notify & QUEUE_NOTIFY_NEVER));
		assert_int_equal(name != NULL, sound);
		assert_int_equal(queue_notify_parse(name),
			sound ? notify : (unsigned)QUEUE_NOTIFY_DEFAULT);
	}
	assert_string_equal(queue_notify_name(QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY),
		"FAILURE,DELAY");
	assert_int_equal(queue_notify_parse("success"), QUEUE_NOTIFY_DEFAULT);
	assert_null(queue_ret_name(QUEUE_RET_DEFAULT));
	assert_int_equal(queue_ret_parse("FULL"), QUEUE_RET_FULL);
	assert_int_equal(queue_ret_parse(queue_ret_name(QUEUE_RET_HDRS)), QUEUE_RET_HDRS);
	assert_int_equal(queue_ret_parse(NULL), QUEUE_RET_DEFAULT);
}

static void states_have_names_that_parse(void **state)
{
	(void)state;
	enum queue_state parsed;
	for (unsigned i = 0; i < QUEUE_STATES; i++) {
		assert_true(queue_state_parse(
			queue_state_name((enum queue_state)i), &parsed));
		assert_int_equal(parsed, i);
	}
	assert_false(queue_state_parse("Sent", &parsed));
	assert_false(queue_state_parse("", &parsed));
}

static void waits_grow_between_their_bounds(void **state)
{
	(void)state;
	static const struct {
		unsigned first_s, max_s, attempts;
		int64_t least_ms, most_ms;
		enum queue_failure failure;
	} cases[] = {
		{ 5, 14400, 1, 5000, 6000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 2, 8000, 12000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 3, 24000, 36000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 4, 240000, 360000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 5, 960000, 1440000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 8, 5760000, 8640000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 9, 11520000, 14400000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 4000000000, 11520000, 14400000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 0, 5000, 6000, QUEUE_FAILURE_MESSAGE },
		{ 60, 600, 2, 96000, 144000, QUEUE_FAILURE_MESSAGE },
		{ 60, 600, 4, 480000, 600000, QUEUE_FAILURE_MESSAGE },
		{ 10, 10, 3, 10000, 10000, QUEUE_FAILURE_MESSAGE },
		{ 5, 14400, 1, 5000, 6000, QUEUE_FAILURE_UPSTREAM },
		{ 5, 14400, 4, 32000, 48000, QUEUE_FAILURE_UPSTREAM },
		{ 5, 14400, 7, 240000, 300000, QUEUE_FAILURE_UPSTREAM },
		{ 5, 14400, 4000000000, 240000, 300000, QUEUE_FAILURE_UPSTREAM },
		{ 5, 60, 9, 48000, 60000, QUEUE_FAILURE_UPSTREAM },
		{ 600, 14400, 9, 600000, 600000, QUEUE_FAILURE_UPSTREAM },
		{ 5, 14400, 2, 8000, 12000, QUEUE_FAILURE_THROTTLE },
		{ 5, 14400, 9, 48000, 60000, QUEUE_FAILURE_THROTTLE },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct conf_queue settings = {
			.retry_first_s = cases[i].first_s,
			.retry_max_s = cases[i].max_s,
		};
		for (unsigned n = 0; n < 200; n++)
			assert_in_range(queue_retry_delay_ms(&settings, cases[i].failure,
						cases[i].attempts),
				cases[i].least_ms, cases[i].most_ms);
	}
}

static void waits_are_spread(void **state)
{
	(void)state;
	const struct conf_queue settings = { .retry_first_s = 5, .retry_max_s = 3600 };
	int64_t least = INT64_MAX, most = 0;
	for (unsigned n = 0; n < 200; n++) {
		int64_t wait_ms = queue_retry_delay_ms(
			&settings, QUEUE_FAILURE_MESSAGE, 9); /* at the bound */
		least = MIN(least, wait_ms);
		most = MAX(most, wait_ms);
	}
	assert_true(most - least > 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_valid_unique_and_in_order_of_time),
		cmocka_unit_test(only_ulids_are_valid_ids),
		cmocka_unit_test(dsn_words_come_back),
		cmocka_unit_test(states_have_names_that_parse),
		cmocka_unit_test(waits_grow_between_their_bounds),
		cmocka_unit_test(waits_are_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
