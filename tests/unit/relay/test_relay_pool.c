/* relay: connections kept, shared, lost, and not to be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"
#include "tests/unit/metric.h"
#include <glib/gstdio.h>
#include <string.h>

static void test_connection_is_kept(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.messages_per_connection = 3;
	for (int i = 0; i < 7; i++) {
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, RELAY_SENT, 250, NULL, "kept");
	}
	assert_int_equal(scene_count(&s, "connect\n"), 3);
	assert_int_equal(scene_count(&s, "QUIT"), 2);
	scene_deinit(&s);
}

static void test_lifetime(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.connection_lifetime_s = 0;
	scene_send(&s, "to@example.org", NULL);
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

static void test_peer_left_an_idle_connection(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_send(&s, "to@example.org", NULL);
	peer_drop_all(s.peer);
	assert_true(peer_await(s.peer, "close"));
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "after the peer left");
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

/* It leaves only as the next message begins: that one is not to suffer. */
static void test_stale_connection_is_retried(void **unused)
{
	(void)unused;
	static const struct peer_rule variants[][2] = {
		{ { "MAIL FROM:<second@", PEER_CLOSE, NULL, 1 }, { 0 } },
		{ { "MAIL FROM:<second@", PEER_REPLY_CLOSE, "421 4.4.2 timeout\r\n", 1 },
			{ 0 } },
		{ { "DATA", PEER_CLOSE, NULL, 0 }, { 0 } },
	};
	for (size_t i = 0; i < 2; i++) {
		struct scene s;
		scene_init(&s, &(struct peer_script){ .rules = variants[i] });
		scene_send(&s, "to@example.org", NULL);
		s.message.reverse_path = "second@example.com";
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, RELAY_SENT, 250, NULL, "second");
		assert_int_equal(scene_count(&s, "connect\n"), 2);
		assert_int_equal(s.dots, 2);
		scene_deinit(&s);
	}
	/* A fresh one is not retried. */
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = variants[2] });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 0, "closed", "fresh");
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	scene_deinit(&s);
}

/* Lost after the dot: never sent again by itself, also on a kept connection. */
static void test_uncertain_is_not_retried(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "DOT", PEER_REPLY, "250 ok\r\n", 1 },
		{ "DOT", PEER_CLOSE, NULL, 1 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_send(&s, "to@example.org", NULL);
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_UNCERTAIN, 0, "no reply to the final dot", "lost");
	assert_int_equal(scene_count(&s, "content:"), 2);
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	scene_deinit(&s);
}

static void test_dead_upstream_is_not_hammered(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "CONNECT", PEER_REPLY_CLOSE, "421 4.3.2 not now\r\n", 0 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 421, "not now", "dead");
	relay_hurry(s.relay); /* else each would wait for a probe of its own */
	for (int i = 0; i < 200; i++) {
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, RELAY_DEFERRED, 421, "not now", "dead");
	}
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	scene_deinit(&s);
}

static bool is_usable(struct scene *s, bool patient, enum relay_verdict *verdict)
{
	struct relay_recipient why = { 0 };
	bool usable = relay_is_usable(
		s->relay, CONF_PRIORITY_NORMAL, patient, s->asked_ms, &why);
	if (!usable) {
		assert_non_null(why.reply);
		assert_true(why.unusable);
		assert_string_equal(why.relay, "default");
		*verdict = why.verdict;
	}
	relay_recipient_clear(&why);
	return usable;
}

/* One that is known to be away costs nothing but a try now and then. */
static void test_usable(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "CONNECT", PEER_REPLY_CLOSE, "421 4.3.2 not now\r\n", 1 },
		{ 0 },
	};
	struct scene s;
	enum relay_verdict verdict = RELAY_SENT;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_relay(&s);
	assert_true(is_usable(&s, false, &verdict));
	assert_int_equal(scene_count(&s, "connect\n"), 0);
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 421, "not now", "away");
	for (int i = 0; i < 100; i++)
		assert_false(is_usable(&s, false, &verdict));
	assert_int_equal(verdict, RELAY_DEFERRED);
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	assert_true(is_usable(&s, true, &verdict)); /* once it was time to try */
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "over the connection of the try");
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

static gpointer ask_patiently(gpointer data)
{
	enum relay_verdict verdict;
	return GINT_TO_POINTER(is_usable(data, true, &verdict));
}

/* After an outage one goes ahead; whoever comes meanwhile does not wait. */
static void test_one_tries_for_all(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "CONNECT", PEER_REPLY_CLOSE, "421 4.3.2 not now\r\n", 0 },
		{ 0 },
	};
	enum { ASKERS = 8 };
	GThread *threads[ASKERS];
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	for (int i = 0; i < ASKERS; i++)
		threads[i] = g_thread_new("asker", ask_patiently, &s);
	for (int i = 0; i < ASKERS; i++)
		assert_false(GPOINTER_TO_INT(g_thread_join(threads[i])));
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

/* What a person must mend is not asked for in between. */
static void test_mending_is_not_waited_for(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "AUTH PLAIN", PEER_REPLY, "535 wrong\r\n", 0 },
		{ 0 },
	};
	struct scene s;
	enum relay_verdict verdict = RELAY_SENT;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.user = "user";
	s.settings.password = "secret";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_HELD, 535, "wrong", "first");
	assert_false(is_usable(&s, true, &verdict));
	assert_int_equal(verdict, RELAY_HELD);
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_HELD, 535, "wrong", "second");
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	/* But where a person says that it is mended: once. */
	s.asked_ms = g_get_real_time() / 1000 + 1;
	while (g_get_real_time() / 1000 <= s.asked_ms)
		g_usleep(500);
	for (int i = 0; i < 20; i++)
		assert_false(is_usable(&s, false, &verdict));
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

/* Each chunk but the last is followed by a call, when its verdicts stand. */
static void count_between(void *context)
{
	struct scene *s = context;
	assert_true(s->message.recipients[0].verdict == RELAY_SENT);
	s->betweens++;
}

static void test_between_chunks(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.max_recipients = 1;
	s.message.between = count_between;
	scene_send(&s, "a@example.org", "b@example.org", "c@example.org", NULL);
	assert_int_equal(s.dots, 3);
	assert_int_equal(s.betweens, 2);
	scene_deinit(&s);
}

static void test_an_old_failure_is_not_a_later_messages(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "CONNECT", PEER_REPLY_CLOSE, "421 4.3.2 not now\r\n", 1 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 421, "not now", "first");
	scene_send(&s, "to@example.org", NULL);
	scene_expect(
		&s, 0, RELAY_SENT, 250, NULL, "second waits for the next connection");
	assert_int_equal(scene_count(&s, "connect\n"), 2);
	scene_deinit(&s);
}

static void test_nobody_listens(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	unsigned port = peer_port(s.peer);
	peer_stop(&s.peer);
	s.settings.port = port;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 0, "Connection refused", "refused");
	assert_true(metric_value(s.metrics,
			    "stowage_relay_replies_total{class=\"none\"}") == 1);
	s.peer = peer_start(&(struct peer_script){ 0 });
	scene_deinit(&s);
}

static void test_throttling_pauses_the_relay(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "DOT", PEER_REPLY,
			"454 Throttling failure: Maximum sending rate exceeded.\r\n", 1 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	int64_t begin = g_get_monotonic_time();
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 454, "Throttling", "throttled");
	scene_send(&s, "to@example.org", NULL);
	int64_t took_ms = (g_get_monotonic_time() - begin) / 1000;
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "after the pause");
	assert_in_range(took_ms, 900, 20000);
	scene_deinit(&s);
}

/* A password that was set right is used with the next connection. */
static void test_secret_is_read_again(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "AUTH PLAIN AHVzZXIAb2xk", PEER_REPLY, "535 wrong\r\n", 0 },
		{ 0 },
	};
	struct scene s;
	g_autofree char *path = g_build_filename(scene_directory, "password", NULL);
	assert_true(g_file_set_contents(path, "old\n", -1, NULL));
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.user = "user";
	s.settings.password_file = path;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_HELD, 535, "wrong", "old");
	assert_null(strstr(s.recipients[0].reply, "old"));
	assert_true(g_file_set_contents(path, "new\n", -1, NULL));
	relay_free(&s.relay); /* instead of waiting for the pause to end */
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "new");
	g_unlink(path);
	scene_deinit(&s);
}

struct sender {
	struct scene *scene;
	unsigned sent;
};

static gpointer send_many(gpointer data)
{
	struct sender *sender = data;
	for (int i = 0; i < 25; i++) {
		struct relay_recipient recipient = { .forward_path = "to@example.org",
			.verdict = RELAY_DEFERRED };
		struct relay_message message = sender->scene->message;
		message.recipients = &recipient;
		message.n_recipients = 1;
		message.before_final_dot = NULL;
		message.relay_id = NULL;
		relay_send(sender->scene->relay, &message);
		sender->sent += recipient.verdict == RELAY_SENT;
		scene_clear(&message);
	}
	return NULL;
}

static void test_many_threads(void **unused)
{
	(void)unused;
	SSL_CTX *context = peer_context(&scene_ca, "IP:127.0.0.1", 5);
	struct scene s;
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS, .context = context });
	s.settings.connections = 3;
	s.settings.messages_per_connection = 10;
	scene_relay(&s);
	scene_content(&s, "x\r\n", 3);
	struct sender senders[8];
	GThread *threads[8];
	for (size_t i = 0; i < 8; i++) {
		senders[i] = (struct sender){ &s, 0 };
		threads[i] = g_thread_new("sender", send_many, &senders[i]);
	}
	unsigned sent = 0;
	for (size_t i = 0; i < 8; i++) {
		g_thread_join(threads[i]);
		sent += senders[i].sent;
	}
	assert_int_equal(sent, 200);
	assert_int_equal(scene_count(&s, "content:"), 200);
	assert_in_range(scene_count(&s, "connect\n"), 20, 23);
	scene_deinit(&s);
	SSL_CTX_free(context);
}

/* The peer wants no second connection: then the first one serves all,
 * and nothing is deferred. */
static void test_fewer_connections_than_wanted(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "CONNECT", PEER_REPLY, "220 peer\r\n", 1 },
		{ "CONNECT", PEER_REPLY_CLOSE,
			"421 Too many concurrent SMTP connections\r\n", 0 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.messages_per_connection = 1000;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "first");
	struct sender senders[4];
	GThread *threads[4];
	for (size_t i = 0; i < 4; i++) {
		senders[i] = (struct sender){ &s, 0 };
		threads[i] = g_thread_new("sender", send_many, &senders[i]);
	}
	for (size_t i = 0; i < 4; i++) {
		g_thread_join(threads[i]);
		assert_int_equal(senders[i].sent, 25);
	}
	assert_int_equal(scene_count(&s, "content:"), 101);
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_peer_left_an_idle_connection),
		cmocka_unit_test(test_stale_connection_is_retried),
		cmocka_unit_test(test_uncertain_is_not_retried),
		cmocka_unit_test(test_dead_upstream_is_not_hammered),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_one_tries_for_all),
		cmocka_unit_test(test_mending_is_not_waited_for),
		cmocka_unit_test(test_between_chunks),
		cmocka_unit_test(test_an_old_failure_is_not_a_later_messages),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_throttling_pauses_the_relay),
		cmocka_unit_test(test_secret_is_read_again),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_fewer_connections_than_wanted),
	};
	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
