/* relay against a scripted server: every step, every kind of answer,
 * TLS, pool, recipients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/relay/relay.h"
#include "peer.h"
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct peer_ca ca, other_ca;
static char *directory, *ca_file;

/* A relay, its peer, and one message for it. */
struct scene {
	struct conf_relay settings;
	struct peer *peer;
	struct relay *relay;
	struct metrics *metrics;
	struct splice *splice;
	struct relay_message message;
	struct relay_recipient recipients[60];
	unsigned dots;     /* calls of before_final_dot */
	unsigned betweens; /* of between */
	int64_t asked_ms;  /* for relay_is_usable() */
	bool refuse_dot;
};

static bool before_final_dot(void *context, GError **error)
{
	struct scene *s = context;
	s->dots++;
	bool marked = false;
	for (size_t i = 0; i < s->message.n_recipients; i++)
		marked |= s->recipients[i].relaying;
	assert_true(marked);
	if (s->refuse_dot)
		g_set_error_literal(
			error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "the journal is full");
	return !s->refuse_dot;
}

static void scene_init(struct scene *s, const struct peer_script *script)
{
	*s = (struct scene){ 0 };
	s->peer = peer_start(script);
	s->settings = (struct conf_relay){
		.host = "127.0.0.1",
		.port = peer_port(s->peer),
		.tls = script->tls == PEER_PLAIN      ? CONF_TLS_NONE
		       : script->tls == PEER_STARTTLS ? CONF_TLS_REQUIRED
						      : CONF_TLS_WRAPPER,
		.ca_file = ca_file,
		.connections = 4,
		.messages_per_connection = 100,
		.connection_lifetime_s = 60,
		.connect_timeout_s = 2,
		.command_timeout_s = 1,
		.data_timeout_s = 1,
		.max_message_size = 40 << 20,
		.max_recipients = 50,
	};
	s->metrics = metrics_new();
	s->message.id = "01test";
	s->message.reverse_path = "from@example.com";
	s->message.fd = -1;
	s->message.before_final_dot = before_final_dot;
	s->message.context = s;
	s->message.recipients = s->recipients;
}

static void scene_relay(struct scene *s)
{
	g_autoptr(GError) error = NULL;
	s->relay =
		relay_new(&s->settings, "gateway.example.com", s->metrics, NULL, &error);
	if (!s->relay)
		fail_msg("%s", error->message);
}

static void scene_content(struct scene *s, const char *text, size_t bytes)
{
	s->message.fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(write(s->message.fd, text, bytes), bytes);
	s->splice = splice_new(bytes);
	s->message.content = s->splice;
}

static void scene_send(struct scene *s, ...)
{
	va_list paths;
	relay_message_deinit(&s->message);
	s->message.n_recipients = 0;
	va_start(paths, s);
	for (const char *path; (path = va_arg(paths, const char *));) {
		s->recipients[s->message.n_recipients++] =
			(struct relay_recipient){ .forward_path = path,
				.verdict = RELAY_DEFERRED };
	}
	va_end(paths);
	if (!s->relay)
		scene_relay(s);
	if (!s->splice)
		scene_content(s, "Subject: x\r\n\r\nbody\r\n", 20);
	relay_send(s->relay, &s->message);
}

static void scene_deinit(struct scene *s)
{
	relay_message_deinit(&s->message);
	relay_free(&s->relay);
	peer_stop(&s->peer);
	splice_free(&s->splice);
	if (s->message.fd >= 0)
		close(s->message.fd);
	metrics_free(&s->metrics);
}

static void expect(const struct scene *s, size_t i, enum relay_verdict verdict, int code,
	const char *text, const char *name)
{
	const struct relay_recipient *r = &s->recipients[i];
	bool fits = r->verdict == verdict && r->reply_code == code && r->reply &&
		    (!text || strstr(r->reply, text));
	if (!fits)
		fail_msg("%s, recipient %zu: verdict %d, code %d, \"%s\"", name, i,
			r->verdict, r->reply_code, r->reply ? r->reply : "(none)");
}

static unsigned count_of(struct scene *s, const char *text)
{
	g_autofree char *log = peer_log(s->peer);
	unsigned n = 0;
	for (const char *p = log; (p = strstr(p, text)); p += strlen(text))
		n++;
	return n;
}

static void expect_log(struct scene *s, const char *want)
{
	g_autofree char *log = peer_log(s->peer);
	assert_string_equal(log, want);
}

/* ---- The good path ---- */

static void test_plain(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ .tls = PEER_PLAIN });
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, "2.0.0 Ok: queued as 4TEST0ID", "plain");
	assert_string_equal(s.message.relay_id, "4TEST0ID");
	assert_int_equal(s.dots, 1);
	assert_true(metrics_get(s.metrics, METRIC_RELAY_REPLIES_TOTAL, "2xx") == 1);
	relay_free(&s.relay);
	assert_true(peer_await(s.peer, "close"));
	expect_log(&s, "connect\n"
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
	SSL_CTX *context = peer_context(&ca, "DNS:localhost,IP:127.0.0.1", 5);
	scene_init(&s, &(struct peer_script){ .tls = tls, .context = context });
	s.settings.host = host;
	s.settings.user = "user";
	s.settings.password = "secret";
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, "queued", host);
	relay_free(&s.relay);
	assert_true(peer_await(s.peer, "close"));
	expect_log(&s, want);
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
	expect(&s, 0, RELAY_SENT, 250, NULL, "a");
	expect(&s, 1, RELAY_SENT, 250, NULL, "b");
	scene_send(&s, "a@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "second");
	assert_int_equal(count_of(&s, "connect\n"), 1);
	assert_int_equal(count_of(&s, "MAIL FROM:<from@example.com>\n"), 2);
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
	expect(&s, 0, RELAY_SENT, 250, NULL, "AUTH LOGIN");
	assert_int_equal(count_of(&s, "AUTH LOGIN\ndXNlcg==\nc2VjcmV0\n"), 1);
	scene_deinit(&s);
}

static void test_8bit(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.message.body_8bit = true;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "8BITMIME");
	assert_int_equal(
		count_of(&s, "MAIL FROM:<from@example.com> SIZE=20 BODY=8BITMIME\n"), 1);
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-PIPELINING\r\n" });
	s.message.body_8bit = true;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "8-bit", "no 8BITMIME");
	assert_int_equal(count_of(&s, "MAIL"), 0);
	scene_deinit(&s);
}

static void test_smtputf8(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_send(&s, "\xc3\xa9@example.org", "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "SMTPUTF8", "not offered");
	expect(&s, 1, RELAY_SENT, 250, NULL, "the other one");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SMTPUTF8\r\n" });
	scene_send(&s, "\xc3\xa9@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "offered");
	assert_int_equal(count_of(&s, "MAIL FROM:<from@example.com> SMTPUTF8\n"), 1);
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
	expect(&s, 0, RELAY_SENT, 250, NULL, "a domain");
	expect(&s, 1, RELAY_REFUSED, 0, "5.6.7", "a local part");
	expect(&s, 2, RELAY_REFUSED, 0, "5.6.7", "no domain");
	assert_int_equal(count_of(&s, "MAIL FROM:<from@xn--bcher-kva.example>"), 1);
	assert_int_equal(count_of(&s, "RCPT TO:<to@xn--e1afmkfd.example>"), 1);
	assert_int_equal(count_of(&s, "RCPT"), 1);
	s.message.reverse_path = "\xc3\xbc@example.com";
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "5.6.7", "the sender's local part");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SMTPUTF8\r\n" });
	s.message.smtputf8 = true;
	s.message.reverse_path = "\xc3\xbc@b\xc3\xbc"
				 "cher.example";
	scene_send(&s, "\xd0\xbf@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "offered");
	assert_int_equal(count_of(&s, "MAIL FROM:<\xc3\xbc@b\xc3\xbc"
				      "cher.example> SMTPUTF8\n"),
		1);
	assert_int_equal(count_of(&s, "RCPT TO:<\xd0\xbf@example.org>\n"), 1);
	/* The header may need it, whatever the addresses. */
	s.message.reverse_path = "a@example.com";
	scene_send(&s, "b@example.org", NULL);
	assert_int_equal(count_of(&s, "MAIL FROM:<a@example.com> SMTPUTF8\n"), 1);
	scene_deinit(&s);
}

static void test_ascii_is_wanted_without_smtputf8(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_relay(&s);
	assert_false(relay_wants_ascii(s.relay, false));
	assert_int_equal(count_of(&s, "EHLO"), 0);
	assert_true(relay_wants_ascii(s.relay, true));
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "on the same connection");
	assert_int_equal(count_of(&s, "EHLO"), 1);
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
			expect(&s, i, RELAY_SENT, 250, NULL, "DSN");
		assert_int_equal(count_of(&s, " RET=HDRS ENVID=QQ314159\n"), offered);
		assert_int_equal(count_of(&s, "RCPT TO:<a@x.org> NOTIFY=SUCCESS,DELAY "
					      "ORCPT=rfc822;a+2Bb@y.org\n"),
			offered);
		assert_int_equal(count_of(&s, "RCPT TO:<b@x.org>\n"), 1);
		assert_int_equal(
			count_of(&s, "RCPT TO:<c@x.org> NOTIFY=NEVER\n"), offered);
		assert_int_equal(count_of(&s, "RSET"), 0);
		scene_deinit(&s);
	}
}

/* ---- Answers at each step ---- */

enum step { CONNECT, EHLO, AUTH, MAIL, RCPT, DATA, DOT, N_STEPS };
static const char *const step_names[] = { "CONNECT", "EHLO", "AUTH PLAIN", "MAIL", "RCPT",
	"DATA", "DOT" };

static void run_step(enum step step, enum peer_action action, const char *text,
	const char *extension, struct scene *s)
{
	static struct peer_rule rules[2];
	rules[0] = (struct peer_rule){ step_names[step], action, text, 0 };
	scene_init(s, &(struct peer_script){ .rules = rules, .ehlo = extension });
	s->settings.user = "user";
	s->settings.password = "secret";
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
				expect(&s, 0,
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
	} cases[] = {
		{ PEER_CLOSE, NULL, "closed" },
		{ PEER_REPLY_CLOSE, "25", "closed" },
		{ PEER_REPLY_CLOSE, "250-half", "closed" },
		{ PEER_REPLY_CLOSE, "250-half\r\n", "closed" },
		{ PEER_REPLY_CLOSE, "garbage\r\n", NULL },
		{ PEER_REPLY_CLOSE, "\r\n", NULL },
		{ PEER_REPLY_CLOSE, "\n\n\n", NULL },
		{ PEER_FLOOD, NULL, "too long" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (enum step step = CONNECT; step < N_STEPS; step++) {
			struct scene s;
			run_step(step, cases[i].action, cases[i].text, NULL, &s);
			bool said = step != CONNECT && cases[i].reason;
			expect(&s, 0, step == DOT ? RELAY_UNCERTAIN : RELAY_DEFERRED, 0,
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
		int64_t begin = g_get_monotonic_time();
		run_step(cases[i].step, cases[i].action, NULL, NULL, &s);
		int64_t took_ms = (g_get_monotonic_time() - begin) / 1000;
		bool dot = cases[i].step == DOT;
		expect(&s, 0, dot ? RELAY_UNCERTAIN : RELAY_DEFERRED, 0, NULL,
			step_names[cases[i].step]);
		assert_in_range(took_ms, 900, 3000);
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
		assert_int_equal(count_of(&s, "content:"), cases[i].step == DOT);
		scene_deinit(&s);
	}
}

/* ---- TLS that must not be ---- */

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
		expect(&s, 0, may_pass ? RELAY_DEFERRED : RELAY_HELD, 0, reason, "TLS");
		assert_int_equal(count_of(&s, "AUTH"), 0);
		assert_int_equal(count_of(&s, "MAIL"), 0);
		scene_deinit(&s);
	}
	SSL_CTX_free(context);
}

static void test_bad_certificates(void **unused)
{
	(void)unused;
	static const struct peer_script usual = { 0 };
	run_bad_tls(peer_context(&ca, "DNS:other.example.com", 5), &usual,
		"ostname mismatch");
	run_bad_tls(peer_context(&ca, "DNS:l*", 5), &usual, "ostname mismatch");
	run_bad_tls(peer_context(&ca, "IP:127.0.0.1", 5), &usual, "ostname mismatch");
	run_bad_tls(peer_context(&ca, "DNS:localhost", -1), &usual, "expired");
	run_bad_tls(peer_context(&other_ca, "DNS:localhost", 5), &usual,
		"unable to get local issuer certificate");
}

static void test_old_tls_version(void **unused)
{
	(void)unused;
	SSL_CTX *context = peer_context(&ca, "DNS:localhost", 5);
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
	run_bad_tls(context, &(struct peer_script){ 0 },
		"TLS handshake with localhost failed");
}

static void test_tls_name(void **unused)
{
	(void)unused;
	struct scene s;
	SSL_CTX *context = peer_context(&ca, "DNS:email-smtp.example.com", 5);
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS, .context = context });
	s.settings.tls_name = "email-smtp.example.com";
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "tls_name");
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
	expect(&s, 0, RELAY_HELD, 0, "STARTTLS", "not offered");
	assert_int_equal(count_of(&s, "MAIL"), 0);
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
		assert_int_equal(count_of(&s, "MAIL"), 0);
		scene_deinit(&s);
	}
}

static void test_injection_before_tls(void **unused)
{
	(void)unused;
	struct scene s;
	SSL_CTX *context = peer_context(&ca, "IP:127.0.0.1", 5);
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS,
			       .context = context,
			       .inject = "250-evil\r\n250 AUTH PLAIN\r\n" });
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 0, "in the clear", "injection");
	assert_int_equal(count_of(&s, "MAIL"), 0);
	scene_deinit(&s);
	SSL_CTX_free(context);
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
		expect(&s, 0, RELAY_SENT, 250, "queued", "a");
		expect(&s, 1, RELAY_REFUSED, 550, "5.1.1 gone", "gone");
		expect(&s, 2, RELAY_DEFERRED, 452, "4.2.2 full", "full");
		expect(&s, 3, RELAY_SENT, 250, "queued", "b");
		assert_true(
			metrics_get(s.metrics, METRIC_RELAY_REPLIES_TOTAL, "5xx") == 1);
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
		expect(&s, 0, RELAY_REFUSED, 550, "5.1.1 gone", "first");
		expect(&s, 1, RELAY_REFUSED, 550, "5.1.1 gone", "second");
		assert_int_equal(s.dots, 0);
		assert_int_equal(count_of(&s, "body"), 0);
		assert_int_equal(count_of(&s, "connect\n"), 1);
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
	expect(&s, 0, RELAY_REFUSED, 550, NULL, "first");
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "second");
	assert_int_equal(count_of(&s, "connect\n"), 1);
	assert_int_equal(count_of(&s, "DATA\nRSET\nMAIL"), 1);
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(count_of(&s, "RSET"), 1); /* only where it is needed */
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
		expect(&s, i, i < 2 ? RELAY_DEFERRED : RELAY_SENT, i < 2 ? 451 : 250,
			NULL, "part");
	assert_int_equal(count_of(&s, "MAIL"), 3);
	assert_int_equal(count_of(&s, "RCPT"), 5);
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
	expect(&s, 1, RELAY_SENT, 250, NULL, "b");
	assert_int_equal(count_of(&s, "RCPT"), 1);
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
		expect(&s, 0, RELAY_REFUSED, 0, "5.1.3", bad[i]);
		if (!*bad[i])
			continue;
		s.message.reverse_path = bad[i];
		scene_send(&s, "to@example.org", NULL);
		expect(&s, 0, RELAY_REFUSED, 0, "5.1.7", bad[i]);
		s.message.reverse_path = "from@example.com";
	}
	g_autofree char *local = g_strnfill(600, 'a');
	g_autofree char *tall = g_strconcat(local, "@example.org", NULL);
	scene_send(&s, tall, NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "5.1.3", "too long");
	assert_int_equal(count_of(&s, "connect"), 0);
	scene_send(&s, "\"a b>\\\"c\"@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "quoted");
	s.message.reverse_path = "";
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "null reverse-path");
	assert_int_equal(count_of(&s, "MAIL FROM:<> SIZE=20\n"), 1);
	scene_deinit(&s);
}

/* ---- Content ---- */

static char *expected_wire(const char *text)
{
	GString *wire = g_string_new("content:");
	bool line_start = true;
	for (const char *p = text; *p; p++) {
		if (line_start && *p == '.')
			g_string_append_c(wire, '.');
		g_string_append_c(wire, *p);
		line_start = *p == '\n';
	}
	if (!line_start)
		g_string_append(wire, "\r\n");
	return g_string_free(wire, FALSE);
}

/* Sizes around the blocks and buffers, lines with dots at their starts. */
static void test_large_content(void **unused)
{
	(void)unused;
	static const size_t sizes[] = { 1, 32767, 32768, 32769, 65530, 65533, 65536,
		65537, 98304, 300000, 5 << 20 };
	static const enum peer_tls modes[] = { PEER_PLAIN, PEER_WRAPPER };
	SSL_CTX *context = peer_context(&ca, "IP:127.0.0.1", 5);
	for (size_t i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
		struct scene s;
		scene_init(&s,
			&(struct peer_script){ .tls = modes[i % 2], .context = context });
		g_autoptr(GString) text = g_string_new(NULL);
		while (text->len < sizes[i / 2])
			g_string_append_printf(
				text, "%s%zu\r\n", text->len % 3 ? "." : "", text->len);
		g_string_truncate(text, sizes[i / 2]);
		if (text->str[text->len - 1] == '\r')
			text->str[text->len - 1] = 'x';
		scene_content(&s, text->str, text->len);
		scene_send(&s, "to@example.org", NULL);
		expect(&s, 0, RELAY_SENT, 250, NULL, "large");
		g_autofree char *want = expected_wire(text->str);
		g_autofree char *log = peer_log(s.peer);
		const char *got = strstr(log, "content:");
		assert_non_null(got);
		assert_memory_equal(got, want, MIN(strlen(want), strlen(got)));
		assert_true(g_str_has_prefix(got, want));
		assert_int_equal(s.dots, 1);
		scene_deinit(&s);
	}
	SSL_CTX_free(context);
}

static void test_given_up_before_the_dot(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.refuse_dot = true;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 0, "the journal is full", "refused");
	assert_true(peer_await(s.peer, "content cut"));
	assert_int_equal(count_of(&s, "content:"), 0);
	s.refuse_dot = false;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "again");
	assert_int_equal(count_of(&s, "content:"), 1);
	scene_deinit(&s);
}

/* The original is shorter than it was: what could be read must not be
 * taken for the message. */
static void test_content_not_readable(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_content(&s, "half\r\n", 6);
	splice_free(&s.splice);
	s.splice = splice_new(200000);
	s.message.content = s.splice;
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(s.recipients[0].verdict, RELAY_DEFERRED);
	assert_int_equal(s.dots, 0);
	assert_true(peer_await(s.peer, "content cut"));
	assert_int_equal(count_of(&s, "content:"), 0);
	scene_deinit(&s);
}

static void test_early_answer(void **unused)
{
	(void)unused;
	static const struct {
		enum peer_action action;
		const char *text;
		enum relay_verdict want;
		int code;
	} cases[] = {
		{ PEER_REPLY, "552 5.3.4 enough\r\n", RELAY_REFUSED, 552 },
		{ PEER_REPLY, "451 4.3.0 later\r\n", RELAY_DEFERRED, 451 },
		{ PEER_REPLY_CLOSE, "552 5.3.4 enough\r\n", RELAY_REFUSED, 552 },
		{ PEER_REPLY_CLOSE, "421 4.3.2 bye\r\n", RELAY_DEFERRED, 421 },
		{ PEER_REPLY_CLOSE, "552 5.3", RELAY_DEFERRED, 0 },
		{ PEER_CLOSE, NULL, RELAY_DEFERRED, 0 },
	};
	g_autofree char *line = g_strnfill(900, 'x');
	g_autoptr(GString) text = g_string_new(NULL);
	while (text->len < 30 << 20)
		g_string_append_printf(text, "%s\r\n", line);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct peer_rule rules[] = {
			{ "CONTENT", cases[i].action, cases[i].text, 0 }, { 0 }
		};
		struct scene s;
		scene_init(&s, &(struct peer_script){ .rules = rules });
		scene_content(&s, text->str, text->len);
		scene_send(&s, "to@example.org", NULL);
		expect(&s, 0, cases[i].want, cases[i].code, NULL, "early");
		assert_int_equal(s.dots, 0);
		scene_deinit(&s);
	}
}

static void test_limits_before_any_connection(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.max_message_size = 10;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0,
		"5.3.4 the message has 20 octets, the relay takes 10", "size");
	assert_int_equal(count_of(&s, "connect"), 0);
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SIZE 15\r\n" });
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "5.3.4", "SIZE");
	assert_int_equal(count_of(&s, "MAIL"), 0);
	scene_deinit(&s);
}

static void test_long_lines(void **unused)
{
	(void)unused;
	g_autofree char *line = g_strnfill(1500, 'x');
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_content(&s, line, strlen(line));
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "not SES");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.host = "email-smtp.eu-west-1.amazonaws.com";
	scene_content(&s, line, strlen(line));
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_REFUSED, 0, "998", "SES");
	scene_deinit(&s);
}

/* ---- The pool ---- */

static void test_connection_is_kept(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.messages_per_connection = 3;
	for (int i = 0; i < 7; i++) {
		scene_send(&s, "to@example.org", NULL);
		expect(&s, 0, RELAY_SENT, 250, NULL, "kept");
	}
	assert_int_equal(count_of(&s, "connect\n"), 3);
	assert_int_equal(count_of(&s, "QUIT"), 2);
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
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
	expect(&s, 0, RELAY_SENT, 250, NULL, "after the peer left");
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
		expect(&s, 0, RELAY_SENT, 250, NULL, "second");
		assert_int_equal(count_of(&s, "connect\n"), 2);
		assert_int_equal(s.dots, 2);
		scene_deinit(&s);
	}
	/* A fresh one is not retried. */
	struct scene s;
	scene_init(&s, &(struct peer_script){ .rules = variants[2] });
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 0, "closed", "fresh");
	assert_int_equal(count_of(&s, "connect\n"), 1);
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
	expect(&s, 0, RELAY_UNCERTAIN, 0, "no reply to the final dot", "lost");
	assert_int_equal(count_of(&s, "content:"), 2);
	assert_int_equal(count_of(&s, "connect\n"), 1);
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
	expect(&s, 0, RELAY_DEFERRED, 421, "not now", "dead");
	relay_hurry(s.relay); /* else each would wait for a probe of its own */
	for (int i = 0; i < 200; i++) {
		scene_send(&s, "to@example.org", NULL);
		expect(&s, 0, RELAY_DEFERRED, 421, "not now", "dead");
	}
	assert_int_equal(count_of(&s, "connect\n"), 1);
	scene_deinit(&s);
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
	assert_int_equal(count_of(&s, "connect\n"), 0);
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 421, "not now", "away");
	for (int i = 0; i < 100; i++)
		assert_false(is_usable(&s, false, &verdict));
	assert_int_equal(verdict, RELAY_DEFERRED);
	assert_int_equal(count_of(&s, "connect\n"), 1);
	assert_true(is_usable(&s, true, &verdict)); /* once it was time to try */
	assert_int_equal(count_of(&s, "connect\n"), 2);
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "over the connection of the try");
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
	assert_int_equal(count_of(&s, "connect\n"), 1);
	for (int i = 0; i < ASKERS; i++)
		threads[i] = g_thread_new("asker", ask_patiently, &s);
	for (int i = 0; i < ASKERS; i++)
		assert_false(GPOINTER_TO_INT(g_thread_join(threads[i])));
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
	expect(&s, 0, RELAY_HELD, 535, "wrong", "first");
	assert_false(is_usable(&s, true, &verdict));
	assert_int_equal(verdict, RELAY_HELD);
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_HELD, 535, "wrong", "second");
	assert_int_equal(count_of(&s, "connect\n"), 1);
	/* But where a person says that it is mended: once. */
	s.asked_ms = g_get_real_time() / 1000 + 1;
	while (g_get_real_time() / 1000 <= s.asked_ms)
		g_usleep(500);
	for (int i = 0; i < 20; i++)
		assert_false(is_usable(&s, false, &verdict));
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
	s.settings.data_timeout_s = 20;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 421, "not now", "first");
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "second waits for the next connection");
	assert_int_equal(count_of(&s, "connect\n"), 2);
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
	expect(&s, 0, RELAY_DEFERRED, 0, "Connection refused", "refused");
	assert_true(metrics_get(s.metrics, METRIC_RELAY_REPLIES_TOTAL, "none") == 1);
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
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_DEFERRED, 454, "Throttling", "throttled");
	int64_t begin = g_get_monotonic_time();
	scene_send(&s, "to@example.org", NULL);
	int64_t took_ms = (g_get_monotonic_time() - begin) / 1000;
	expect(&s, 0, RELAY_SENT, 250, NULL, "after the pause");
	assert_in_range(took_ms, 900, 2500);
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
	g_autofree char *path = g_build_filename(directory, "password", NULL);
	assert_true(g_file_set_contents(path, "old\n", -1, NULL));
	scene_init(&s, &(struct peer_script){ .rules = rules });
	s.settings.user = "user";
	s.settings.password_file = path;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_HELD, 535, "wrong", "old");
	assert_null(strstr(s.recipients[0].reply, "old"));
	assert_true(g_file_set_contents(path, "new\n", -1, NULL));
	relay_free(&s.relay); /* instead of waiting for the pause to end */
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "new");
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
		relay_message_deinit(&message);
	}
	return NULL;
}

static void test_many_threads(void **unused)
{
	(void)unused;
	SSL_CTX *context = peer_context(&ca, "IP:127.0.0.1", 5);
	struct scene s;
	scene_init(&s, &(struct peer_script){ .tls = PEER_STARTTLS, .context = context });
	s.settings.connections = 3;
	s.settings.messages_per_connection = 10;
	s.settings.command_timeout_s = s.settings.data_timeout_s = 20;
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
	assert_int_equal(count_of(&s, "content:"), 200);
	assert_in_range(count_of(&s, "connect\n"), 20, 23);
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
	s.settings.command_timeout_s = s.settings.data_timeout_s = 20;
	scene_send(&s, "to@example.org", NULL);
	expect(&s, 0, RELAY_SENT, 250, NULL, "first");
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
	assert_int_equal(count_of(&s, "content:"), 101);
	scene_deinit(&s);
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

static int set_up(void **unused)
{
	(void)unused;
	directory = g_dir_make_tmp("relay-test-XXXXXX", NULL);
	ca_file = g_build_filename(directory, "ca.pem", NULL);
	peer_ca_init(&ca, "Test CA");
	peer_ca_init(&other_ca, "Another CA");
	peer_ca_write(&ca, ca_file);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	g_unlink(ca_file);
	g_rmdir(directory);
	g_free(ca_file);
	g_free(directory);
	peer_ca_deinit(&ca);
	peer_ca_deinit(&other_ca);
	return 0;
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
		cmocka_unit_test(test_every_reply_at_every_step),
		cmocka_unit_test(test_no_reply_at_every_step),
		cmocka_unit_test(test_time_limits),
		cmocka_unit_test(test_wrong_success_codes),
		cmocka_unit_test(test_bad_certificates),
		cmocka_unit_test(test_old_tls_version),
		cmocka_unit_test(test_tls_name),
		cmocka_unit_test(test_starttls_must_be_offered),
		cmocka_unit_test(test_starttls_refused),
		cmocka_unit_test(test_injection_before_tls),
		cmocka_unit_test(test_one_refusal_harms_no_other),
		cmocka_unit_test(test_all_refused),
		cmocka_unit_test(test_reset_before_the_next),
		cmocka_unit_test(test_split_over_max_recipients),
		cmocka_unit_test(test_sent_recipients_are_left_alone),
		cmocka_unit_test(test_addresses_cannot_carry_commands),
		cmocka_unit_test(test_large_content),
		cmocka_unit_test(test_given_up_before_the_dot),
		cmocka_unit_test(test_content_not_readable),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_limits_before_any_connection),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_peer_left_an_idle_connection),
		cmocka_unit_test(test_stale_connection_is_retried),
		cmocka_unit_test(test_uncertain_is_not_retried),
		cmocka_unit_test(test_dead_upstream_is_not_hammered),
		cmocka_unit_test(test_faults),
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
		cmocka_unit_test(test_bad_settings),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
