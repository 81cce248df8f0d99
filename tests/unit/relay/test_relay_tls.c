/* relay: TLS that must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"
#include <string.h>

static void run_bad_tls(
	SSL_CTX *context, const struct peer_script *base, const char *reason)
{
	static const enum peer_tls modes[] = { PEER_STARTTLS, PEER_WRAPPER };
	for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
		struct peer_script script = *base;
		struct scene s;
		script.tls = modes[i];
		script.context = context;
		scene_init(&s, &script);
		s.settings.host = "localhost";
		s.settings.user = "user";
		s.settings.password = "secret";
		scene_send(&s, "to@example.org", NULL);
		bool may_pass = strstr(reason, "handshake");
		scene_expect(
			&s, 0, may_pass ? RELAY_DEFERRED : RELAY_HELD, 0, reason, "TLS");
		assert_int_equal(scene_count(&s, "AUTH"), 0);
		assert_int_equal(scene_count(&s, "MAIL"), 0);
		scene_deinit(&s);
	}
	SSL_CTX_free(context);
}

static void test_bad_certificates(void **unused)
{
	(void)unused;
	static const struct peer_script usual = { 0 };
	run_bad_tls(peer_context(&scene_ca, "DNS:other.example.com", 5), &usual,
		"ostname mismatch");
	run_bad_tls(peer_context(&scene_ca, "DNS:l*", 5), &usual, "ostname mismatch");
	run_bad_tls(
		peer_context(&scene_ca, "IP:127.0.0.1", 5), &usual, "ostname mismatch");
	run_bad_tls(peer_context(&scene_ca, "DNS:localhost", -1), &usual, "expired");
	run_bad_tls(peer_context(&scene_other_ca, "DNS:localhost", 5), &usual,
		"unable to get local issuer certificate");
}

static void test_old_tls_version(void **unused)
{
	(void)unused;
	SSL_CTX *context = peer_context(&scene_ca, "DNS:localhost", 5);
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
	run_bad_tls(context, &(struct peer_script){ 0 },
		"TLS handshake with localhost failed");
}

static void test_tls_name(void **unused)
{
	(void)unused;
	struct scene s;
	SSL_CTX *context = peer_context(&scene_ca, "DNS:email-smtp.example.com", 5);
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS, .context = context });
	s.settings.tls_name = "email-smtp.example.com";
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "tls_name");
	scene_deinit(&s);
	SSL_CTX_free(context);
}

static void test_starttls_must_be_offered(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ .tls = PEER_PLAIN });
	s.settings.tls = CONF_TLS_REQUIRED;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_HELD, 0, "STARTTLS", "not offered");
	assert_int_equal(scene_count(&s, "MAIL"), 0);
	scene_deinit(&s);
}

static void test_starttls_refused(void **unused)
{
	(void)unused;
	static const struct {
		const char *text;
		int code;
		enum relay_verdict verdict;
	} cases[] = { { "454 4.7.0 no TLS now\r\n", 454, RELAY_DEFERRED },
		{ "502 what\r\n", 502, RELAY_HELD },
		{ "250 sure\r\n", 250, RELAY_DEFERRED } };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct peer_rule rules[] = { { "STARTTLS", PEER_REPLY, cases[i].text, 0 },
			{ 0 } };
		struct scene s;
		scene_init(&s,
			&(struct peer_script){ .tls = PEER_STARTTLS, .rules = rules });
		scene_send(&s, "to@example.org", NULL);
		assert_int_equal(s.recipients[0].verdict, cases[i].verdict);
		assert_int_equal(s.recipients[0].reply_code, cases[i].code);
		assert_int_equal(scene_count(&s, "MAIL"), 0);
		scene_deinit(&s);
	}
}

static void test_injection_before_tls(void **unused)
{
	(void)unused;
	struct scene s;
	SSL_CTX *context = peer_context(&scene_ca, "IP:127.0.0.1", 5);
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS,
			       .context = context,
			       .inject = "250-evil\r\n250 AUTH PLAIN\r\n" });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 0, "in the clear", "injection");
	assert_int_equal(scene_count(&s, "MAIL"), 0);
	scene_deinit(&s);
	SSL_CTX_free(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_certificates),
		cmocka_unit_test(test_old_tls_version),
		cmocka_unit_test(test_tls_name),
		cmocka_unit_test(test_starttls_must_be_offered),
		cmocka_unit_test(test_starttls_refused),
		cmocka_unit_test(test_injection_before_tls),
	};
	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
