/* The whole front door over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate.h"
#include "gateway/error.h"
#include "peer.h"
#include "tests/unit/metric.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char *id_of(const char *reply)
{
	g_assert(g_str_has_prefix(reply, "250 2.0.0 Ok: queued as "));
	return g_strdup(strrchr(reply, ' ') + 1);
}

/* The queue's message, its file's content in *content. */
static struct queue_message *take(char **content, gsize *n_bytes)
{
	struct queue_message *message = queue_take(door.queue);
	assert_non_null(message);
	int fd = queue_open_spool(door.queue, message, NULL);
	assert_true(fd >= 0);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	assert_true(g_file_get_contents(path, content, n_bytes, NULL));
	close(fd);
	return message;
}

static void finish(struct queue_message *message)
{
	message->state = QUEUE_SENT;
	queue_finish(door.queue, message);
}

static void a_message_arrives(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, MX);
	begin_data(&peer);
	say(&peer, "Subject: x\r\n\r\n..dot\r\n.\r\n");
	g_autofree char *reply = expect(&peer, "250 2.0.0 Ok: queued as ");
	g_autofree char *id = id_of(reply), *content = NULL;
	gsize n_bytes;
	struct queue_message *message = take(&content, &n_bytes);
	assert_string_equal(message->id, id);
	assert_string_equal(message->listener, "mx");
	assert_string_equal(message->client, "127.0.0.1");
	assert_string_equal(message->helo, "client.example");
	assert_string_equal(message->reverse_path, "from@out.example");
	assert_null(message->user);
	assert_int_equal(message->recipients->len, 1);
	const struct queue_recipient *recipient =
		g_ptr_array_index(message->recipients, 0);
	assert_string_equal(recipient->original, "to@in.example");
	assert_string_equal(recipient->forward_path, "ops@out.example");
	assert_int_equal(message->size, n_bytes);
	g_autofree char *received =
		g_strdup_printf("Received: from client.example ([127.0.0.1])\r\n\tby "
				"mx.example (Stowage) with ESMTP "
				"id %s\r\n\tfor <to@in.example>;\r\n\t",
			id);
	assert_true(g_str_has_prefix(content, received));
	assert_true(g_str_has_suffix(content, " +0000\r\nSubject: x\r\n\r\n.dot\r\n"));
	finish(message);
	say(&peer, "QUIT\r\n");
	expect_only(&peer, "221 2.0.0");
	expect_end(&peer);
	peer_close(&peer);
	assert_true(metric_value(door.metrics,
			    "stowage_messages_received_total{listener=\"mx\"}") >= 1);
	assert_true(metric_value(door.metrics,
			    "stowage_bytes_received_total{listener=\"mx\"}") >=
		    (double)n_bytes);
}

static void many_in_one_breath(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, MX);
	g_autoptr(GString) all = g_string_new(NULL);
	for (int i = 0; i < 20; i++)
		g_string_append_printf(all,
			"MAIL FROM:<>\r\nRCPT TO:<a@in.example>\r\nRCPT "
			"TO:<two@in.example>\r\n"
			"RCPT TO:<a@in.example>\r\nDATA\r\nN: %d\r\n\r\n.\r\n",
			i);
	say(&peer, all->str);
	for (int i = 0; i < 20; i++) {
		for (int j = 0; j < 4; j++)
			expect_only(&peer, "250 2.1.");
		expect_only(&peer, "354");
		expect_only(&peer, "250 2.0.0");
	}
	peer_close(&peer);
	for (int i = 0; i < 20; i++) {
		g_autofree char *content = NULL,
				*end = g_strdup_printf("\r\nN: %d\r\n\r\n", i);
		gsize n_bytes;
		struct queue_message *message = take(&content, &n_bytes);
		assert_true(g_str_has_suffix(content, end));
		assert_int_equal(message->recipients->len, 2); /* the same one once */
		finish(message);
	}
}

static void a_large_message(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, LAN);
	begin_data(&peer);
	g_autoptr(GString) body = g_string_new("Subject: large\r\n\r\n");
	for (int i = 0; body->len < 7 << 20; i++)
		g_string_append_printf(body, "line %d of this text\r\n", i);
	send_bytes(&peer, body->str, body->len);
	say(&peer, ".\r\n");
	expect_only(&peer, "250 2.0.0");
	g_autofree char *content = NULL;
	gsize n_bytes;
	struct queue_message *message = take(&content, &n_bytes);
	assert_true(n_bytes > body->len);
	assert_memory_equal(content + n_bytes - body->len, body->str, body->len);
	finish(message);
	begin_data(
		&peer); /* the next one is too large: refused, and the session goes on */
	for (int i = 0; i < 2; i++)
		send_bytes(&peer, body->str, body->len);
	say(&peer, "\r\n.\r\nNOOP\r\n");
	expect_only(&peer, "552 5.3.4");
	expect_only(&peer, "250 2.0.0");
	peer_close(&peer);
}

static size_t spool_files(void)
{
	size_t n = 0;
	const char *name;
	const char *spool = queue_spool_directory(door.queue);
	g_autoptr(GDir) directory = g_dir_open(spool, 0, NULL);
	while ((name = g_dir_read_name(directory))) {
		g_autofree char *path = g_build_filename(spool, name, NULL);
		g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
		while (folder && g_dir_read_name(folder))
			n++;
	}
	return n;
}

static void wait_for_sessions(size_t want);
static size_t sessions_seen;

static void look_at_sessions(void)
{
	sessions_seen = door.server ? smtp_server_sessions(door.server) : 0;
}

static void wait_for_sessions(size_t want)
{
	for (int i = 0; i < 2000; i++) {
		door_call(look_at_sessions);
		if (sessions_seen == want)
			return;
		g_usleep(5000);
	}
	fail_msg("%zu sessions, not %zu", sessions_seen, want);
}

static void who_leaves_early_leaves_nothing(void **state)
{
	(void)state;
	struct peer peer;
	wait_for_sessions(0);
	size_t before = spool_files();
	greet(&peer, LAN);
	begin_data(&peer);
	g_autofree char *body = g_strnfill(1 << 20, 'x');
	send_bytes(&peer, body, 1 << 20);
	peer_close(&peer);
	wait_for_sessions(0);
	for (int i = 0; i < 6000 && spool_files() != before; i++)
		g_usleep(10000); /* another thread removes it */
	assert_int_equal(spool_files(), before);
}

static void strangers_do_not_relay(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, MX);
	say(&peer,
		"MAIL FROM:<a@b.example>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n");
	expect_only(&peer, "250");
	expect_only(&peer, "550 5.");
	expect_only(&peer, "503 5.5.1");
	peer_close(&peer);
	peer_open(&peer, ELSEWHERE);
	expect_only(&peer, "554 5.7.1 mx.example ");
	expect_end(&peer);
	peer_close(&peer);
}

static void too_many_connections(void **state)
{
	(void)state;
	struct peer first, second;
	greet(&first, FEW);
	peer_open(&second, FEW);
	expect_only(&second, "421 4.7.0");
	expect_end(&second);
	peer_close(&second);
	peer_close(&first);
	wait_for_sessions(0);
	greet(&first, FEW);
	peer_close(&first);
}

static void starttls_and_auth(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, SUBMIT);
	say(&peer, "MAIL FROM:<a@b.example>\r\n");
	expect_only(&peer, "530 5.7.0");
	say(&peer, "STARTTLS\r\n");
	expect_only(&peer, "220 2.0.0");
	assert_true(peer_start_tls(&peer));
	say(&peer, "EHLO [127.0.0.1]\r\nMAIL FROM:<a@b.example>\r\nAUTH PLAIN "
		   "AGRldmljZQBzZXNhbWU=\r\n");
	expect_only(&peer, "250 ");
	expect_only(&peer, "530 5.7.0");
	expect_only(&peer, "235 2.7.0");
	begin_data(&peer);
	say(&peer, "x\r\n.\r\n");
	expect_only(&peer, "250 2.0.0");
	g_autofree char *content = NULL;
	gsize n_bytes;
	struct queue_message *message = take(&content, &n_bytes);
	assert_string_equal(message->user, "device");
	assert_non_null(strstr(content, "Received: from [127.0.0.1] ([127.0.0.1])\r\n"));
	assert_non_null(strstr(content, " with ESMTPSA id "));
	assert_non_null(strstr(content, "\r\n\t(TLSv1.3 TLS_"));
	finish(message);
	say(&peer, "QUIT\r\n");
	expect_only(&peer, "221");
	expect_end(&peer);
	peer_close(&peer);
}

static void tls_from_the_first_byte(void **state)
{
	(void)state;
	struct peer peer;
	peer_open(&peer, SUBMITS);
	assert_true(peer_start_tls(&peer));
	expect_only(&peer, "220 ");
	say(&peer, "EHLO a\r\nSTARTTLS\r\nAUTH LOGIN\r\nZGV2aWNl\r\nc2VzYW1l\r\n");
	expect_only(&peer, "250 ");
	expect_only(&peer, "503 5.5.1");
	expect_only(&peer, "334 VXNlcm5hbWU6");
	expect_only(&peer, "334 UGFzc3dvcmQ6");
	expect_only(&peer, "235 2.7.0");
	peer_close(&peer);
	peer_open(&peer, SUBMITS); /* someone who does not know */
	say(&peer, "EHLO a\r\n");
	while (hear(&peer))
		;
	assert_null(strstr(peer.got->str, "250"));
	peer_close(&peer);
}

static void injected_behind_starttls(void **state)
{
	(void)state;
	struct peer peer;
	double before =
		metric_value(door.metrics, "stowage_tls_failures_total{listener=\"mx\"}");
	greet(&peer, MX);
	say(&peer, "STARTTLS\r\nMAIL FROM:<a@b.example>\r\n");
	expect_only(&peer, "220 2.0.0");
	expect_end(&peer);
	peer_close(&peer);
	assert_true(metric_value(door.metrics,
			    "stowage_tls_failures_total{listener=\"mx\"}") == before + 1);
}

static void a_wrong_password_waits(void **state)
{
	(void)state;
	struct peer peer;
	peer_open(&peer, SUBMITS);
	assert_true(peer_start_tls(&peer));
	expect_only(&peer, "220 ");
	say(&peer, "EHLO a\r\n");
	expect_only(&peer, "250 ");
	int64_t start_us = g_get_monotonic_time();
	say(&peer, "AUTH PLAIN AGRldmljZQB3cm9uZw==\r\n");
	expect_only(&peer, "535 5.7.8");
	assert_true(g_get_monotonic_time() - start_us >= 900000);
	say(&peer, "AUTH PLAIN AG5vYm9keQB3cm9uZw==\r\n"); /* leaves while it waits */
	peer_close(&peer);
	wait_for_sessions(0);
}

static void patience_ends(void **state)
{
	(void)state;
	struct peer peer;
	peer_open(&peer, HASTY);
	expect_only(&peer, "220 ");
	say(&peer, "EHL");
	expect_only(&peer, "421 4.4.2");
	expect_end(&peer);
	peer_close(&peer);
	greet(&peer, HASTY);
	begin_data(&peer);
	say(&peer, "a\r\n");
	expect_only(&peer, "421 4.4.2");
	expect_end(&peer);
	peer_close(&peer);
	peer_open(&peer, LAN); /* lines that end with LF alone */
	expect_only(&peer, "220 ");
	say(&peer, "EHLO a\n");
	expect_only(&peer, "500 5.5.2");
	say(&peer, "EHLO a\r\n");
	expect_only(&peer, "250 ");
	peer_close(&peer);
}

/* Half a megabyte of commands whose replies are never read: the server stops reading, and
 * goes on serving others. */
static void a_deaf_client_hurts_nobody(void **state)
{
	(void)state;
	struct peer deaf, other;
	int small = 4096;
	greet(&deaf, HASTY);
	setsockopt(deaf.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	struct timeval patience = { .tv_usec = 300000 };
	setsockopt(deaf.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	g_autoptr(GString) flood = g_string_new(NULL);
	for (int i = 0; i < 2000; i++)
		g_string_append(flood, "EHLO a\r\nMAIL FROM:<a@b>\r\nRSET\r\n");
	for (int i = 0; i < 20; i++)
		(void)!send(deaf.fd, flood->str, flood->len, MSG_NOSIGNAL);
	greet(&other, HASTY);
	peer_close(&other);
	wait_for_sessions(0); /* the deaf one is closed in time */
	peer_close(&deaf);
}

/* The client sends all, closes its half and listens. */
static void half_closed(void **state)
{
	(void)state;
	struct peer peer;
	peer_open(&peer, MX);
	expect_only(&peer, "220");
	say(&peer,
		"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@in.example>\r\nDATA\r\nx\r\n.\r\n");
	shutdown(peer.fd, SHUT_WR);
	expect_only(&peer, "250 ");
	expect_only(&peer, "250 2.1.0");
	expect_only(&peer, "250 2.1.5");
	expect_only(&peer, "354");
	expect_only(&peer, "250 2.0.0");
	expect_end(&peer);
	peer_close(&peer);
	g_autofree char *content = NULL;
	gsize n_bytes;
	finish(take(&content, &n_bytes));
}

/* The client is gone before its 250: the message stays. */
static void accepted_is_accepted(void **state)
{
	(void)state;
	struct peer peer;
	greet(&peer, MX);
	begin_data(&peer);
	say(&peer, "gone\r\n.\r\n");
	struct linger hard = { .l_onoff = 1 };
	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	g_autofree char *content = NULL;
	gsize n_bytes;
	struct queue_message *message = take(&content, &n_bytes);
	peer_close(&peer);
	assert_true(g_str_has_suffix(content, "\r\ngone\r\n"));
	finish(message);
	wait_for_sessions(0);
}

static void reload(void)
{
	g_autoptr(GError) error = NULL;
	struct conf *conf = door_load_settings();
	g_autofree char *key = door_path("key.pem"), *spare = door_path("spare.pem");
	if (door.lose_key) /* after the settings were checked: another's key is there */
		certificate_make(spare, key, 7200);
	struct smtp_settings *fresh = smtp_settings_new(conf, door.metrics, &error);
	if (fresh)
		smtp_server_reload(door.server, fresh, &error);
	smtp_settings_unref(&fresh);
	g_free(door.reload_error);
	door.reload_error = error ? g_strdup(error->message) : NULL;
	conf_unref(conf);
}

static void settings_change(void **state)
{
	(void)state;
	struct peer open, peer;
	unsigned old = door.ports[FEW], taken = door.ports[MX];
	greet(&open, FEW);
	door.ports[FEW] = door_free_port();
	door_call(reload);
	assert_null(door.reload_error);
	say(&open, "NOOP\r\n"); /* its listener has gone, it has not */
	expect_only(&open, "250 2.0.0");
	greet(&peer, FEW);
	peer_close(&peer);
	/* a port that another has: all stays as it was */
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)old),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int reuse = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	door.ports[MX] = old;
	door_call(reload);
	g_autofree char *name = g_strdup_printf("127.0.0.1:%u", old);
	assert_non_null(strstr(door.reload_error, name));
	door.ports[MX] = taken;
	greet(&peer, MX);
	peer_close(&peer);
	peer_close(&open);
	close(fd);
}

static X509 *certificate_shown(void)
{
	struct peer peer;
	peer_open(&peer, SUBMITS);
	assert_true(peer_start_tls(&peer));
	expect_only(&peer, "220 ");
	X509 *shown = SSL_get1_peer_certificate(peer.ssl);
	peer_close(&peer);
	assert_non_null(shown);
	return shown;
}

static void certificates_change(void **state)
{
	(void)state;
	X509 *old = certificate_shown();
	g_autofree char *certificate = door_path("cert.pem"), *key = door_path("key.pem");
	certificate_make(certificate, key, 7200);
	door_call(reload);
	assert_null(door.reload_error);
	X509 *new = certificate_shown();
	assert_int_not_equal(X509_cmp(old, new), 0);
	assert_true(metric_value(door.metrics, "stowage_certificate_expiry_seconds") >
		    (double)(time(NULL) + 7000));
	door.lose_key = true;
	door_call(reload);
	assert_non_null(strstr(door.reload_error, key));
	X509 *still = certificate_shown();
	assert_int_equal(X509_cmp(new, still), 0);
	X509_free(old);
	X509_free(new);
	X509_free(still);
}

static void port_taken(void **state)
{
	(void)state;
	g_autoptr(GError) error = NULL;
	uv_loop_t loop;
	uv_loop_init(&loop);
	assert_null(smtp_server_new(&loop, door.conf, door.queue, door.metrics, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	g_autofree char *name = g_strdup_printf("127.0.0.1:%u: ", door.ports[MX]);
	assert_non_null(strstr(error->message, name));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* What a gateway does then. */
static void on_drained(void *context)
{
	*(bool *)context = true;
	smtp_server_free(&door.server);
}

static void drain(void)
{
	smtp_server_drain(door.server, on_drained, &door.drained);
}

/* The last test: nothing listens behind it. */
static void drained(void **state)
{
	(void)state;
	struct peer idle, busy;
	greet(&idle, MX);
	greet(&busy, MX);
	begin_data(&busy);
	door_call(drain);
	expect_only(&idle, "421 4.3.2");
	expect_end(&idle);
	peer_close(&idle);
	assert_false(door.drained);
	say(&busy, "x\r\n.\r\n");
	expect_only(&busy, "250 2.0.0");
	expect_only(&busy, "421 4.3.2");
	expect_end(&busy);
	peer_close(&busy);
	wait_for_sessions(0);
	for (int i = 0; i < 1000 && !door.drained; i++)
		door_call(look_at_sessions);
	assert_true(door.drained);
	g_autofree char *content = NULL;
	gsize n_bytes;
	finish(take(&content, &n_bytes));
	assert_true(metric_value(door.metrics, "stowage_sessions{listener=\"mx\"}") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives),
		cmocka_unit_test(many_in_one_breath),
		cmocka_unit_test(a_large_message),
		cmocka_unit_test(who_leaves_early_leaves_nothing),
		cmocka_unit_test(strangers_do_not_relay),
		cmocka_unit_test(too_many_connections),
		cmocka_unit_test(starttls_and_auth),
		cmocka_unit_test(tls_from_the_first_byte),
		cmocka_unit_test(injected_behind_starttls),
		cmocka_unit_test(a_wrong_password_waits),
		cmocka_unit_test(patience_ends),
		cmocka_unit_test(a_deaf_client_hurts_nobody),
		cmocka_unit_test(half_closed),
		cmocka_unit_test(accepted_is_accepted),
		cmocka_unit_test(settings_change),
		cmocka_unit_test(port_taken),
		cmocka_unit_test(certificates_change),
		cmocka_unit_test(drained),
	};
	return cmocka_run_group_tests(tests, door_start, door_stop);
}
