/* relay: every kind of answer at every step, and to each recipient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"
#include "tests/unit/metric.h"

/* ---- Answers at each step ---- */

enum step { CONNECT, EHLO, AUTH, MAIL, RCPT, DATA, DOT, N_STEPS };
static const char *const step_names[] = { "CONNECT", "EHLO", "AUTH PLAIN", "MAIL", "RCPT",
	"DATA", "DOT" };

static void prepare_step(enum step step, enum peer_action action, const char *text,
	const char *extension, struct scene *s)
{
	static struct peer_rule rules[2];
	rules[0] = (struct peer_rule){ step_names[step], action, text, 0 };
	scene_init(s, &(struct peer_script){ .rules = rules, .ehlo = extension });
	s->settings.user = "user";
	s->settings.password = "secret";
}

static void run_step(enum step step, enum peer_action action, const char *text,
	const char *extension, struct scene *s)
{
	prepare_step(step, action, text, extension, s);
	scene_send(s, "to@example.org", NULL);
}

static void test_every_reply_at_every_step(void **unused)
{
	(void)unused;
	static const struct {
		enum peer_action action;
		const char *text;
		int code;
		enum relay_verdict session, transaction; /* before and after AUTH */
	} cases[] = {
		{ PEER_REPLY, "450 4.2.0 later\r\n", 450, RELAY_DEFERRED,
			RELAY_DEFERRED },
		{ PEER_REPLY, "451-a\r\n451 b\r\n", 451, RELAY_DEFERRED, RELAY_DEFERRED },
		{ PEER_REPLY,
			"454 Throttling failure: Maximum sending rate exceeded.\r\n", 454,
			RELAY_DEFERRED, RELAY_DEFERRED },
		{ PEER_REPLY_CLOSE, "421 4.3.2 bye\r\n", 421, RELAY_DEFERRED,
			RELAY_DEFERRED },
		{ PEER_REPLY, "550 5.1.1 no\r\n", 550, RELAY_HELD, RELAY_REFUSED },
		{ PEER_REPLY, "552 Message is too long.\r\n", 552, RELAY_HELD,
			RELAY_REFUSED },
		{ PEER_REPLY, "535 Authentication Credentials Invalid\r\n", 535,
			RELAY_HELD, RELAY_HELD },
		{ PEER_REPLY, "530 Authentication required\r\n", 530, RELAY_HELD,
			RELAY_HELD },
		{ PEER_REPLY,
			"554 Message rejected: Email address is not verified. The "
			"following "
			"identities failed the check in region EU-WEST-1: a@b\r\n",
			554, RELAY_HELD, RELAY_HELD },
	};
	static const char *const extensions[] = { NULL, "250-HELP\r\n" };
	for (size_t e = 0; e < G_N_ELEMENTS(extensions); e++) {
		for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
			for (enum step step = CONNECT; step < N_STEPS; step++) {
				struct scene s;
				run_step(step, cases[i].action, cases[i].text,
					extensions[e], &s);
				g_autofree char *name = g_strconcat(
					step_names[step], " ", cases[i].text, NULL);
				scene_expect(&s, 0,
					step < MAIL ? cases[i].session
						    : cases[i].transaction,
					cases[i].code, NULL, name);
				assert_int_equal(s.dots, step == DOT);
				assert_null(s.message.relay_id);
				scene_deinit(&s);
			}
		}
	}
}

/* No usable reply: deferred, but uncertain after the final dot. */
static void test_no_reply_at_every_step(void **unused)
{
	(void)unused;
	static const struct {
		enum peer_action action;
		const char *text, *reason;
		bool tells; /* its first line does, at the final dot */
	} cases[] = {
		{ PEER_CLOSE, NULL, "closed", false },
		{ PEER_REPLY_CLOSE, "25", "closed", false },
		{ PEER_REPLY_CLOSE, "250-half", "closed", false },
		{ PEER_REPLY_CLOSE, "250-half\r\n", "closed", true },
		{ PEER_REPLY_CLOSE, "garbage\r\n", NULL, false },
		{ PEER_REPLY_CLOSE, "\r\n", NULL, false },
		{ PEER_REPLY_CLOSE, "\n\n\n", NULL, false },
		{ PEER_FLOOD, NULL, "too long", true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (enum step step = CONNECT; step < N_STEPS; step++) {
			struct scene s;
			run_step(step, cases[i].action, cases[i].text, NULL, &s);
			bool said = step != CONNECT && cases[i].reason;
			if (step == DOT && cases[i].tells)
				scene_expect(&s, 0, RELAY_SENT, 250, NULL, "DOT");
			else
				scene_expect(&s, 0,
					step == DOT ? RELAY_UNCERTAIN : RELAY_DEFERRED, 0,
					said ? cases[i].reason : NULL, step_names[step]);
			assert_int_equal(s.dots, step == DOT);
			scene_deinit(&s);
		}
	}
}

static void test_time_limits(void **unused)
{
	(void)unused;
	static const struct {
		enum step step;
		enum peer_action action;
	} cases[] = {
		{ CONNECT, PEER_SILENT },
		{ CONNECT, PEER_DRIBBLE },
		{ EHLO, PEER_DRIBBLE },
		{ MAIL, PEER_SILENT },
		{ RCPT, PEER_DRIBBLE },
		{ DATA, PEER_SILENT },
		{ DOT, PEER_SILENT },
		{ DOT, PEER_DRIBBLE },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct scene s;
		prepare_step(cases[i].step, cases[i].action, NULL, NULL, &s);
		s.settings.command_timeout_s = s.settings.data_timeout_s = 2;
		int64_t begin = g_get_monotonic_time();
		scene_send(&s, "to@example.org", NULL);
		int64_t took_ms = (g_get_monotonic_time() - begin) / 1000;
		bool dot = cases[i].step == DOT;
		scene_expect(&s, 0, dot ? RELAY_UNCERTAIN : RELAY_DEFERRED, 0, NULL,
			step_names[cases[i].step]);
		assert_in_range(took_ms, 1900, 15000); /* it dribbles for longer */
		scene_deinit(&s);
	}
}

static void test_wrong_success_codes(void **unused)
{
	(void)unused;
	static const struct {
		enum step step;
		const char *text;
		enum relay_verdict want;
	} cases[] = {
		{ CONNECT, "250 hello\r\n", RELAY_DEFERRED },
		{ EHLO, "354 hello\r\n", RELAY_DEFERRED },
		{ AUTH, "250 welcome\r\n", RELAY_DEFERRED },
		{ MAIL, "354 go\r\n", RELAY_DEFERRED },
		{ RCPT, "354 go\r\n", RELAY_DEFERRED },
		{ DATA, "250 taken\r\n", RELAY_DEFERRED },
		{ DOT, "354 go on\r\n", RELAY_UNCERTAIN },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct scene s;
		run_step(cases[i].step, PEER_REPLY, cases[i].text, NULL, &s);
		assert_int_equal(s.recipients[0].verdict, cases[i].want);
		assert_int_equal(scene_count(&s, "content:"), cases[i].step == DOT);
		scene_deinit(&s);
	}
}

/* What a verdict says beside itself: how soon, by whom, whether by another relay. */
static void test_faults(void **unused)
{
	(void)unused;
	static const struct {
		enum step step;
		enum peer_action action;
		const char *text;
		enum relay_verdict verdict;
		enum queue_failure failure;
		bool unusable, of_message;
		const char *hold;
	} cases[] = {
		{ CONNECT, PEER_CLOSE, NULL, RELAY_DEFERRED, QUEUE_FAILURE_UPSTREAM, true,
			false, NULL },
		{ CONNECT, PEER_REPLY_CLOSE, "421 bye\r\n", RELAY_DEFERRED,
			QUEUE_FAILURE_UPSTREAM, true, false, NULL },
		{ CONNECT, PEER_REPLY_CLOSE,
			"421 Too many concurrent SMTP connections\r\n", RELAY_DEFERRED,
			QUEUE_FAILURE_THROTTLE, true, false, NULL },
		{ EHLO, PEER_REPLY, "554 no\r\n", RELAY_HELD, QUEUE_FAILURE_UPSTREAM,
			true, false, "relay tried: connection" },
		{ AUTH, PEER_REPLY, "535 wrong\r\n", RELAY_HELD, QUEUE_FAILURE_UPSTREAM,
			true, false, "relay tried: credentials" },
		{ AUTH, PEER_REPLY, "454 Temporary authentication failure\r\n",
			RELAY_DEFERRED, QUEUE_FAILURE_UPSTREAM, true, false, NULL },
		{ MAIL, PEER_REPLY, "451 later\r\n", RELAY_DEFERRED,
			QUEUE_FAILURE_MESSAGE, false, false, NULL },
		{ MAIL, PEER_REPLY_CLOSE, "421 bye\r\n", RELAY_DEFERRED,
			QUEUE_FAILURE_UPSTREAM, true, false, NULL },
		{ RCPT, PEER_REPLY, "450 later\r\n", RELAY_DEFERRED,
			QUEUE_FAILURE_MESSAGE, false, false, NULL },
		{ RCPT, PEER_REPLY, "550 no\r\n", RELAY_REFUSED, QUEUE_FAILURE_MESSAGE,
			false, false, NULL },
		{ DATA, PEER_CLOSE, NULL, RELAY_DEFERRED, QUEUE_FAILURE_UPSTREAM, true,
			false, NULL },
		{ DOT, PEER_CLOSE, NULL, RELAY_UNCERTAIN, QUEUE_FAILURE_MESSAGE, false,
			false, NULL },
		{ DOT, PEER_REPLY,
			"454 Throttling failure: Maximum sending rate exceeded.\r\n",
			RELAY_DEFERRED, QUEUE_FAILURE_THROTTLE, false, false, NULL },
		{ DOT, PEER_REPLY,
			"454 Throttling failure: Daily message quota exceeded.\r\n",
			RELAY_HELD, QUEUE_FAILURE_UPSTREAM, true, true,
			"relay tried: quota" },
		{ DOT, PEER_REPLY,
			"554 Message rejected: Email address is not verified. The "
			"following identities failed the check in region EU-WEST-1: "
			"a@b.example\r\n",
			RELAY_HELD, QUEUE_FAILURE_UPSTREAM, true, true,
			"relay tried: sender b.example" },
		{ DOT, PEER_REPLY, "250 ok\r\n", RELAY_SENT, QUEUE_FAILURE_MESSAGE, false,
			false, NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct peer_rule rules[2] = { { step_names[cases[i].step],
			cases[i].action, cases[i].text, 0 } };
		struct scene s;
		scene_init(&s, &(struct peer_script){ .rules = rules });
		s.settings.name = "tried";
		s.settings.user = "user";
		s.settings.password = "secret";
		scene_send(&s, "to@example.org", NULL);
		const struct relay_recipient *r = &s.recipients[0];
		print_message("%s %s\n", step_names[cases[i].step],
			cases[i].text ? cases[i].text : "closes");
		assert_int_equal(r->verdict, cases[i].verdict);
		assert_int_equal(r->failure, cases[i].failure);
		assert_int_equal(r->unusable, cases[i].unusable);
		assert_int_equal(r->of_message, cases[i].of_message);
		assert_string_equal(
			r->hold ? r->hold : "", cases[i].hold ? cases[i].hold : "");
		assert_string_equal(r->relay, "tried");
		assert_false(r->relaying);
		scene_deinit(&s);
	}
}

/* ---- Recipients ---- */

static void test_one_refusal_harms_no_other(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "RCPT TO:<gone@", PEER_REPLY, "550 5.1.1 gone\r\n", 0 },
		{ "RCPT TO:<full@", PEER_REPLY, "452 4.2.2 full\r\n", 0 },
		{ 0 },
	};
	static const char *const extensions[] = { NULL, "250-HELP\r\n" };
	for (size_t e = 0; e < G_N_ELEMENTS(extensions); e++) {
		struct scene s;
		scene_init(&s,
			&(struct peer_script){ .rules = rules, .ehlo = extensions[e] });
		scene_send(&s, "a@example.org", "gone@example.org", "full@example.org",
			"b@example.org", NULL);
		scene_expect(&s, 0, RELAY_SENT, 250, "queued", "a");
		scene_expect(&s, 1, RELAY_REFUSED, 550, "5.1.1 gone", "gone");
		scene_expect(&s, 2, RELAY_DEFERRED, 452, "4.2.2 full", "full");
		scene_expect(&s, 3, RELAY_SENT, 250, "queued", "b");
		assert_true(metric_value(s.metrics,
				    "stowage_relay_replies_total{class=\"5xx\"}") == 1);
		scene_deinit(&s);
	}
}

/* Then 354 comes or not; either way no content goes out. */
static void test_all_refused(void **unused)
{
	(void)unused;
	static const struct peer_rule variants[][3] = {
		{ { "RCPT TO:<gone@", PEER_REPLY, "550 5.1.1 gone\r\n", 0 },
			{ "DATA", PEER_REPLY, "554 5.5.1 no valid recipients\r\n", 1 },
			{ 0 } },
		{ { "RCPT TO:<gone@", PEER_REPLY, "550 5.1.1 gone\r\n", 0 }, { 0 } },
		{ { "MAIL", PEER_REPLY, "550 5.1.1 gone\r\n", 1 },
			{ "DATA", PEER_REPLY, "503 5.5.1 no\r\n", 1 }, { 0 } },
	};
	static const char *const extensions[] = { NULL, "250-HELP\r\n" };
	for (size_t i = 0; i < 2 * G_N_ELEMENTS(variants); i++) {
		struct scene s;
		scene_init(&s, &(struct peer_script){ .rules = variants[i / 2],
				       .ehlo = extensions[i % 2] });
		scene_send(&s, "gone@example.org", "gone@example.com", NULL);
		scene_expect(&s, 0, RELAY_REFUSED, 550, "5.1.1 gone", "first");
		scene_expect(&s, 1, RELAY_REFUSED, 550, "5.1.1 gone", "second");
		assert_int_equal(s.dots, 0);
		assert_int_equal(scene_count(&s, "body"), 0);
		assert_int_equal(scene_count(&s, "connect\n"), 1);
		scene_deinit(&s);
	}
}

static void test_reset_before_the_next(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "RCPT", PEER_REPLY, "550 5.1.1 gone\r\n", 1 },
		{ "DATA", PEER_REPLY, "554 5.5.1 no valid recipients\r\n", 1 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_send(&s, "gone@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 550, NULL, "first");
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "second");
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	assert_int_equal(scene_count(&s, "DATA\nRSET\nMAIL"), 1);
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(scene_count(&s, "RSET"), 1); /* only where it is needed */
	scene_deinit(&s);
}

static void test_split_over_max_recipients(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "MAIL", PEER_REPLY, "451 4.3.0 not this one\r\n", 1 },
		{ "DATA", PEER_REPLY, "503 5.5.1 no\r\n", 1 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.max_recipients = 2;
	scene_send(&s, "a@example.org", "b@example.org", "c@example.org", "d@example.org",
		"e@example.org", NULL);
	for (size_t i = 0; i < 5; i++)
		scene_expect(&s, i, i < 2 ? RELAY_DEFERRED : RELAY_SENT,
			i < 2 ? 451 : 250, NULL, "part");
	assert_int_equal(scene_count(&s, "MAIL"), 3);
	assert_int_equal(scene_count(&s, "RCPT"), 5);
	assert_int_equal(s.dots, 2);
	scene_deinit(&s);
}

static void test_sent_recipients_are_left_alone(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_relay(&s);
	scene_content(&s, "x\r\n", 3);
	s.message.n_recipients = 2;
	s.recipients[0] = (struct relay_recipient){ .forward_path = "a@example.org",
		.verdict = RELAY_SENT };
	s.recipients[1] = (struct relay_recipient){ .forward_path = "b@example.org",
		.verdict = RELAY_DEFERRED };
	relay_send(s.relay, &s.message);
	assert_null(s.recipients[0].reply);
	scene_expect(&s, 1, RELAY_SENT, 250, NULL, "b");
	assert_int_equal(scene_count(&s, "RCPT"), 1);
	scene_deinit(&s);
}

static void test_addresses_cannot_carry_commands(void **unused)
{
	(void)unused;
	static const char *const bad[] = { "a@b\r\nRCPT TO:<evil@c", "a@b\nX", "a@b\rX",
		"a b@c", "a@b>", "<a@b", "a@b> SIZE=1", "\"a@b", "\"a\r\n\"@b",
		"\"a\\\r\"@b", "a@b\t", "" };
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		scene_send(&s, bad[i], NULL);
		scene_expect(&s, 0, RELAY_REFUSED, 0, "5.1.3", bad[i]);
		if (!*bad[i])
			continue;
		s.message.reverse_path = bad[i];
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, RELAY_REFUSED, 0, "5.1.7", bad[i]);
		s.message.reverse_path = "from@example.com";
	}
	g_autofree char *local = g_strnfill(600, 'a');
	g_autofree char *tall = g_strconcat(local, "@example.org", NULL);
	scene_send(&s, tall, NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "5.1.3", "too long");
	assert_int_equal(scene_count(&s, "connect"), 0);
	scene_send(&s, "\"a b>\\\"c\"@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "quoted");
	s.message.reverse_path = "";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "null reverse-path");
	assert_int_equal(scene_count(&s, "MAIL FROM:<> SIZE=20\n"), 1);
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reply_at_every_step),
		cmocka_unit_test(test_no_reply_at_every_step),
		cmocka_unit_test(test_time_limits),
		cmocka_unit_test(test_wrong_success_codes),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_one_refusal_harms_no_other),
		cmocka_unit_test(test_all_refused),
		cmocka_unit_test(test_reset_before_the_next),
		cmocka_unit_test(test_split_over_max_recipients),
		cmocka_unit_test(test_sent_recipients_are_left_alone),
		cmocka_unit_test(test_addresses_cannot_carry_commands),
	};
	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
