/* relay against a scripted server: all as it should be, and settings that cannot work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "scene.h"
#include "tests/unit/metric.h"
#include <string.h>

/* ---- The good path ---- */

static void test_plain(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ .tls = PEER_PLAIN });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, "2.0.0 Ok: queued as 4TEST0ID", "plain");
	assert_string_equal(s.message.relay_id, "4TEST0ID");
	assert_int_equal(s.dots, 1);
	assert_true(metric_value(s.metrics,
			    "stowage_relay_replies_total{class=\"2xx\"}") == 1);
	relay_free(&s.relay);
	assert_true(peer_await(s.peer, "close"));
	scene_expect_log(&s, "connect\n"
			     "EHLO gateway.example.com\n"
			     "MAIL FROM:<from@example.com> SIZE=20\n"
			     "RCPT TO:<to@example.org>\n"
			     "DATA\n"
			     "content:Subject: x\r\n\r\nbody\r\n\n"
			     "QUIT\n"
			     "close\n");
	scene_deinit(&s);
}

static void run_tls(enum peer_tls tls, const char *host, const char *want)
{
	struct scene s;
	SSL_CTX *context = peer_context(&scene_ca, "DNS:localhost,IP:127.0.0.1", 5);
	scene_init(&s, &(struct peer_script){ .tls = tls, .context = context });
	s.settings.host = host;
	s.settings.user = "user";
	s.settings.password = "secret";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, "queued", host);
	relay_free(&s.relay);
	assert_true(peer_await(s.peer, "close"));
	scene_expect_log(&s, want);
	scene_deinit(&s);
	SSL_CTX_free(context);
}

#define AFTER_TLS                                                                        \
	"EHLO gateway.example.com\n"                                                     \
	"AUTH PLAIN AHVzZXIAc2VjcmV0\n"                                                  \
	"MAIL FROM:<from@example.com> SIZE=20\n"                                         \
	"RCPT TO:<to@example.org>\n"                                                     \
	"DATA\n"                                                                         \
	"content:Subject: x\r\n\r\nbody\r\n\n"                                           \
	"QUIT\n"                                                                         \
	"close\n"

static void test_starttls(void **unused)
{
	(void)unused;
	static const char want[] =
		"connect\nEHLO gateway.example.com\nSTARTTLS\ntls\n" AFTER_TLS;
	run_tls(PEER_STARTTLS, "localhost", want);
	run_tls(PEER_STARTTLS, "127.0.0.1", want);
}

static void test_wrapper(void **unused)
{
	(void)unused;
	run_tls(PEER_WRAPPER, "localhost", "connect\ntls\n" AFTER_TLS);
}

static void test_without_pipelining(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ .ehlo = "250-HELP\r\n" });
	scene_send(&s, "a@example.org", "b@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "a");
	scene_expect(&s, 1, RELAY_SENT, 250, NULL, "b");
	scene_send(&s, "a@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "second");
	assert_int_equal(scene_count(&s, "connect\n"), 1);
	assert_int_equal(scene_count(&s, "MAIL FROM:<from@example.com>\n"), 2);
	scene_deinit(&s);
}

static void test_auth_login(void **unused)
{
	(void)unused;
	static const struct peer_rule rules[] = {
		{ "dXNlcg==", PEER_REPLY, "334 UGFzc3dvcmQ6\r\n", 0 },
		{ "c2VjcmV0", PEER_REPLY, "235 ok\r\n", 0 },
		{ "AUTH PLAIN", PEER_REPLY, "504 5.5.4 not this one\r\n", 0 },
		{ 0 },
	};
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.user = "user";
	s.settings.password = "secret";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "AUTH LOGIN");
	assert_int_equal(scene_count(&s, "AUTH LOGIN\ndXNlcg==\nc2VjcmV0\n"), 1);
	scene_deinit(&s);
}

static void test_8bit(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.message.body_8bit = true;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "8BITMIME");
	assert_int_equal(
		scene_count(&s, "MAIL FROM:<from@example.com> SIZE=20 BODY=8BITMIME\n"),
		1);
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-PIPELINING\r\n" });
	s.message.body_8bit = true;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "8-bit", "no 8BITMIME");
	assert_int_equal(scene_count(&s, "MAIL"), 0);
	scene_deinit(&s);
}

static void test_smtputf8(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_send(&s, "\xc3\xa9@example.org", "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "SMTPUTF8", "not offered");
	scene_expect(&s, 1, RELAY_SENT, 250, NULL, "the other one");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SMTPUTF8\r\n" });
	scene_send(&s, "\xc3\xa9@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "offered");
	assert_int_equal(scene_count(&s, "MAIL FROM:<from@example.com> SMTPUTF8\n"), 1);
	scene_deinit(&s);
}

/* Where the relay has no SMTPUTF8 a domain is named by its A-labels. */
static void test_a_labels(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.message.smtputf8 = true;
	s.message.reverse_path = "from@b\xc3\xbc"
				 "cher.example";
	scene_send(&s, "to@\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.example",
		"\xd0\xbf@example.org", "to@\xe2\x80\xae.example", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "a domain");
	scene_expect(&s, 1, RELAY_REFUSED, 0, "5.6.7", "a local part");
	scene_expect(&s, 2, RELAY_REFUSED, 0, "5.6.7", "no domain");
	assert_int_equal(scene_count(&s, "MAIL FROM:<from@xn--bcher-kva.example>"), 1);
	assert_int_equal(scene_count(&s, "RCPT TO:<to@xn--e1afmkfd.example>"), 1);
	assert_int_equal(scene_count(&s, "RCPT"), 1);
	s.message.reverse_path = "\xc3\xbc@example.com";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "5.6.7", "the sender's local part");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SMTPUTF8\r\n" });
	s.message.smtputf8 = true;
	s.message.reverse_path = "\xc3\xbc@b\xc3\xbc"
				 "cher.example";
	scene_send(&s, "\xd0\xbf@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "offered");
	assert_int_equal(scene_count(&s, "MAIL FROM:<\xc3\xbc@b\xc3\xbc"
					 "cher.example> SMTPUTF8\n"),
		1);
	assert_int_equal(scene_count(&s, "RCPT TO:<\xd0\xbf@example.org>\n"), 1);
	/* The header may need it, whatever the addresses. */
	s.message.reverse_path = "a@example.com";
	scene_send(&s, "b@example.org", NULL);
	assert_int_equal(scene_count(&s, "MAIL FROM:<a@example.com> SMTPUTF8\n"), 1);
	scene_deinit(&s);
}

static void test_ascii_is_wanted_without_smtputf8(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_relay(&s);
	assert_false(relay_wants_ascii(s.relay, false));
	assert_int_equal(scene_count(&s, "EHLO"), 0);
	assert_true(relay_wants_ascii(s.relay, true));
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "on the same connection");
	assert_int_equal(scene_count(&s, "EHLO"), 1);
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SMTPUTF8\r\n" });
	scene_relay(&s);
	assert_false(relay_wants_ascii(s.relay, true));
	scene_deinit(&s);
}

static void test_dsn(void **unused)
{
	(void)unused;
	for (unsigned offered = 0; offered < 2; offered++) {
		struct scene s;
		scene_init(&s,
			&(struct peer_script){ .ehlo = offered ? "250-DSN\r\n" : NULL });
		s.message.ret = "HDRS";
		s.message.envid = "QQ314159";
		scene_relay(&s);
		scene_content(&s, "Subject: x\r\n\r\nbody\r\n", 20);
		s.message.n_recipients = 3;
		s.recipients[0] = (struct relay_recipient){ .forward_path = "a@x.org",
			.notify = "SUCCESS,DELAY",
			.orcpt = "rfc822;a+2Bb@y.org",
			.verdict = RELAY_DEFERRED };
		s.recipients[1] = (struct relay_recipient){ .forward_path = "b@x.org",
			.verdict = RELAY_DEFERRED };
		/* What a damaged queue may say ends no command. */
		s.recipients[2] = (struct relay_recipient){ .forward_path = "c@x.org",
			.notify = "NEVER",
			.orcpt = "rfc822;c\r\nRSET",
			.verdict = RELAY_DEFERRED };
		relay_send(s.relay, &s.message);
		for (size_t i = 0; i < 3; i++)
			scene_expect(&s, i, RELAY_SENT, 250, NULL, "DSN");
		assert_int_equal(scene_count(&s, " RET=HDRS ENVID=QQ314159\n"), offered);
		assert_int_equal(scene_count(&s, "RCPT TO:<a@x.org> NOTIFY=SUCCESS,DELAY "
						 "ORCPT=rfc822;a+2Bb@y.org\n"),
			offered);
		assert_int_equal(scene_count(&s, "RCPT TO:<b@x.org>\n"), 1);
		assert_int_equal(
			scene_count(&s, "RCPT TO:<c@x.org> NOTIFY=NEVER\n"), offered);
		assert_int_equal(scene_count(&s, "RSET"), 0);
		scene_deinit(&s);
	}
}

/* ---- Settings ---- */

static void test_bad_settings(void **unused)
{
	(void)unused;
	static const struct {
		struct conf_relay settings;
		const char *want;
	} cases[] = {
		{ { .host = "h", .tls = CONF_TLS_REQUIRED, .ca_file = "/nonexistent/ca" },
			"/nonexistent/ca" },
		{ { .host = "h", .user = "u", .password_file = "/nonexistent/p" },
			"relay.password_file" },
		{ { .maildir = "/proc/no/maildir" }, "relay.maildir" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct metrics *metrics = metrics_new();
		assert_null(relay_new(&cases[i].settings, "h", metrics, NULL, &error));
		assert_int_equal(error->code, GATEWAY_ERROR_MEND);
		assert_non_null(strstr(error->message, cases[i].want));
		metrics_free(&metrics);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_starttls),
		cmocka_unit_test(test_wrapper),
		cmocka_unit_test(test_without_pipelining),
		cmocka_unit_test(test_auth_login),
		cmocka_unit_test(test_8bit),
		cmocka_unit_test(test_smtputf8),
		cmocka_unit_test(test_a_labels),
		cmocka_unit_test(test_ascii_is_wanted_without_smtputf8),
		cmocka_unit_test(test_dsn),
		cmocka_unit_test(test_bad_settings),
	};
	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
