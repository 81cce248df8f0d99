/* The whole front door over loopback, with the real queue behind it. The server runs on a
 * thread with its loop; the test is the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/smtp/server.h"
#include "tests/unit/tree.h"
#include <crypt.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum port { MX, LAN, SUBMIT, SUBMITS, ELSEWHERE, FEW, HASTY, PORTS };

static struct {
	char *directory;
	unsigned ports[PORTS];
	struct conf *conf;
	struct queue *queue;
	struct metrics *metrics;
	struct smtp_server *server;
	/* the loop's thread */
	GThread *thread;
	uv_loop_t loop;
	uv_async_t call;
	GMutex lock;
	GCond done;
	void (*function)(void); /* to be run on the loop; under the lock */
	bool drained;
	bool lose_key;
	char *reload_error;
} t;

/* ---- the server's side ---- */

static void on_call(uv_async_t *async)
{
	(void)async;
	g_mutex_lock(&t.lock);
	if (t.function)
		t.function();
	t.function = NULL;
	g_cond_signal(&t.done);
	g_mutex_unlock(&t.lock);
}

static void call(void (*function)(void))
{
	g_mutex_lock(&t.lock);
	t.function = function;
	uv_async_send(&t.call);
	while (t.function)
		g_cond_wait(&t.done, &t.lock);
	g_mutex_unlock(&t.lock);
}

static void *run_loop(void *unused)
{
	(void)unused;
	uv_run(&t.loop, UV_RUN_DEFAULT);
	return NULL;
}

static unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static char *path_of(const char *name)
{
	return g_build_filename(t.directory, name, NULL);
}

static const char settings[] =
	"hostname: mx.example\n"
	"listeners:\n"
	"  - { name: mx, address: '127.0.0.1:%u', tls: starttls, recipients: "
	"{ '@in.example': 'ops@out.example', 'two@in.example': 'two@out.example' } }\n"
	"  - { name: lan, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 ], "
	"max_message_size: 8MiB }\n"
	"  - { name: submit, address: '127.0.0.1:%u', tls: required, auth: required }\n"
	"  - { name: submits, address: '127.0.0.1:%u', tls: wrapper, auth: required }\n"
	"  - { name: elsewhere, address: '127.0.0.1:%u', tls: none, networks: [ "
	"192.0.2.0/24 ] }\n"
	"  - { name: few, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 ], "
	"max_connections: 1 }\n"
	"  - { name: hasty, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 "
	"], command_timeout: 1s, data_timeout: 1s }\n"
	"tls: { certificate: %s/cert.pem, key: %s/key.pem }\n"
	"auth: { users: %s/users }\n"
	"s3: { directory: %s/objects, directory_url: 'http://127.0.0.1:1', "
	"access_key_id: a, secret_access_key: b }\n"
	"relay: { maildir: %s/maildir }\n"
	"queue: { directory: %s/queue, min_free: 0, min_free_inodes: 0 }\n"
	"admin: { listen: off }\n";

static struct conf *load_settings(void)
{
	const unsigned *p = t.ports;
	const char *d = t.directory;
	g_autofree char *text = g_strdup_printf(
		settings, p[0], p[1], p[2], p[3], p[4], p[5], p[6], d, d, d, d, d, d);
	g_autofree char *path = path_of("stowage.yaml");
	assert_true(g_file_set_contents(path, text, -1, NULL));
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problems, NULL);
	if (!conf)
		fail_msg("%s", (const char *)g_ptr_array_index(problems, 0));
	return conf;
}

static void make_files(void)
{
	g_autofree char *certificate = path_of("cert.pem"), *key = path_of("key.pem");
	g_autofree char *users = path_of("users"), *objects = path_of("objects");
	certificate_make(certificate, key, 3600);
	g_autofree char *line = g_strdup_printf(
		"device:%s\n", crypt("sesame", "$6$rounds=1000$saltsalt$"));
	assert_true(g_file_set_contents_full(
		users, line, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	assert_int_equal(g_mkdir_with_parents(objects, 0700), 0);
}

static int start(void **state)
{
	(void)state;
	g_autoptr(GError) error = NULL;
	log_init(false, LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN); /* as the gateway does: libuv writes plainly */
	t.directory = g_dir_make_tmp("stowage-smtp-XXXXXX", NULL);
	for (size_t i = 0; i < PORTS; i++)
		t.ports[i] = free_port();
	make_files();
	t.conf = load_settings();
	t.metrics = metrics_new();
	t.queue = queue_new(&t.conf->queue, &error);
	assert_null(error);
	uv_loop_init(&t.loop);
	uv_async_init(&t.loop, &t.call, on_call);
	t.server = smtp_server_new(&t.loop, t.conf, t.queue, t.metrics, &error);
	if (!t.server)
		fail_msg("%s", error->message);
	smtp_server_start(t.server);
	t.thread = g_thread_new("loop", run_loop, NULL);
	return 0;
}

static void free_server(void)
{
	smtp_server_free(&t.server);
	uv_close((uv_handle_t *)&t.call, NULL);
}

static int stop(void **state)
{
	(void)state;
	call(free_server);
	g_thread_join(t.thread);
	assert_int_equal(uv_loop_close(&t.loop), 0); /* every handle is closed */
	queue_free(&t.queue);
	metrics_free(&t.metrics);
	conf_unref(t.conf);
	tree_remove(t.directory);
	g_free(t.directory);
	g_free(t.reload_error);
	return 0;
}

/* ---- the client's side ---- */

struct peer {
	int fd;
	SSL *ssl;
	GString *got;
};

static void peer_open(struct peer *peer, enum port port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)t.ports[port]),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 20 };
	*peer = (struct peer){ .fd = socket(AF_INET, SOCK_STREAM, 0),
		.got = g_string_new(NULL) };
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(
		connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void peer_close(struct peer *peer)
{
	SSL_free(peer->ssl);
	close(peer->fd);
	g_string_free(peer->got, TRUE);
}

static bool peer_start_tls(struct peer *peer)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	peer->ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(peer->ssl, peer->fd);
	return SSL_connect(peer->ssl) == 1;
}

static void send_bytes(struct peer *peer, const char *bytes, size_t n_bytes)
{
	while (n_bytes) {
		ssize_t n = peer->ssl ? SSL_write(peer->ssl, bytes, (int)n_bytes)
				      : send(peer->fd, bytes, n_bytes, MSG_NOSIGNAL);
		assert_true(n > 0);
		bytes += n;
		n_bytes -= (size_t)n;
	}
}

static void say(struct peer *peer, const char *text)
{
	send_bytes(peer, text, strlen(text));
}

/* Reads more; false at the end. */
static bool hear(struct peer *peer)
{
	char buffer[4096];
	ssize_t n = peer->ssl ? SSL_read(peer->ssl, buffer, sizeof(buffer))
			      : recv(peer->fd, buffer, sizeof(buffer), 0);
	if (n > 0)
		g_string_append_len(peer->got, buffer, n);
	return n > 0;
}

/* The next whole reply must begin with want; returns its last line, to be freed. */
static char *expect(struct peer *peer, const char *want)
{
	for (;;) {
		char *end;
		while ((end = strstr(peer->got->str, "\r\n"))) {
			g_autofree char *line =
				g_strndup(peer->got->str, (gsize)(end - peer->got->str));
			g_string_erase(peer->got, 0, end - peer->got->str + 2);
			if (line[3] == '-')
				continue;
			if (!g_str_has_prefix(line, want))
				fail_msg("\"%s\", not \"%s\"", line, want);
			return g_steal_pointer(&line);
		}
		if (!hear(peer))
			fail_msg("closed, not \"%s\"", want);
	}
}

static void expect_only(struct peer *peer, const char *want)
{
	g_free(expect(peer, want));
}

static void expect_end(struct peer *peer)
{
	while (hear(peer))
		;
	assert_string_equal(peer->got->str, "");
}

static void greet(struct peer *peer, enum port port)
{
	peer_open(peer, port);
	expect_only(peer, "220 mx.example ");
	say(peer, "EHLO client.example\r\n");
	expect_only(peer, "250 ");
}

static void begin_data(struct peer *peer)
{
	say(peer, "MAIL FROM:<from@out.example>\r\nRCPT TO:<to@in.example>\r\nDATA\r\n");
	expect_only(peer, "250 2.1.0");
	expect_only(peer, "250 2.1.5");
	expect_only(peer, "354 ");
}

static char *id_of(const char *reply)
{
	g_assert(g_str_has_prefix(reply, "250 2.0.0 Ok: queued as "));
	return g_strdup(strrchr(reply, ' ') + 1);
}

/* The queue's message, its file's content in *content. */
static struct queue_message *take(char **content, gsize *n_bytes)
{
	struct queue_message *message = queue_take(t.queue);
	assert_non_null(message);
	int fd = queue_open_spool(t.queue, message, NULL);
	assert_true(fd >= 0);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	assert_true(g_file_get_contents(path, content, n_bytes, NULL));
	close(fd);
	return message;
}

static void finish(struct queue_message *message)
{
	message->state = QUEUE_SENT;
	queue_finish(t.queue, message);
}

/* ---- tests ---- */

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
	assert_true(metrics_get(t.metrics, METRIC_MESSAGES_RECEIVED_TOTAL, "mx") >= 1);
	assert_true(metrics_get(t.metrics, METRIC_BYTES_RECEIVED_TOTAL, "mx") >=
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
	const char *spool = queue_spool_directory(t.queue);
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
	sessions_seen = t.server ? smtp_server_sessions(t.server) : 0;
}

static void wait_for_sessions(size_t want)
{
	for (int i = 0; i < 2000; i++) {
		call(look_at_sessions);
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
	double before = metrics_get(t.metrics, METRIC_TLS_FAILURES_TOTAL, "mx");
	greet(&peer, MX);
	say(&peer, "STARTTLS\r\nMAIL FROM:<a@b.example>\r\n");
	expect_only(&peer, "220 2.0.0");
	expect_end(&peer);
	peer_close(&peer);
	assert_true(
		metrics_get(t.metrics, METRIC_TLS_FAILURES_TOTAL, "mx") == before + 1);
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
	struct conf *conf = load_settings();
	g_autofree char *key = path_of("key.pem"), *spare = path_of("spare.pem");
	if (t.lose_key) /* after the settings were checked: another's key is there */
		certificate_make(spare, key, 7200);
	struct smtp_settings *fresh = smtp_settings_new(conf, t.metrics, &error);
	if (fresh)
		smtp_server_reload(t.server, fresh, &error);
	smtp_settings_unref(&fresh);
	g_free(t.reload_error);
	t.reload_error = error ? g_strdup(error->message) : NULL;
	conf_unref(conf);
}

static void settings_change(void **state)
{
	(void)state;
	struct peer open, peer;
	unsigned old = t.ports[FEW], taken = t.ports[MX];
	greet(&open, FEW);
	t.ports[FEW] = free_port();
	call(reload);
	assert_null(t.reload_error);
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
	t.ports[MX] = old;
	call(reload);
	g_autofree char *name = g_strdup_printf("127.0.0.1:%u", old);
	assert_non_null(strstr(t.reload_error, name));
	t.ports[MX] = taken;
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
	g_autofree char *certificate = path_of("cert.pem"), *key = path_of("key.pem");
	certificate_make(certificate, key, 7200);
	call(reload);
	assert_null(t.reload_error);
	X509 *new = certificate_shown();
	assert_int_not_equal(X509_cmp(old, new), 0);
	assert_true(metrics_get(t.metrics, METRIC_CERTIFICATE_EXPIRY_SECONDS, NULL) >
		    (double)(time(NULL) + 7000));
	t.lose_key = true;
	call(reload);
	assert_non_null(strstr(t.reload_error, key));
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
	assert_null(smtp_server_new(&loop, t.conf, t.queue, t.metrics, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	g_autofree char *name = g_strdup_printf("127.0.0.1:%u: ", t.ports[MX]);
	assert_non_null(strstr(error->message, name));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* What a gateway does then. */
static void on_drained(void *context)
{
	*(bool *)context = true;
	smtp_server_free(&t.server);
}

static void drain(void)
{
	smtp_server_drain(t.server, on_drained, &t.drained);
}

/* The last test: nothing listens behind it. */
static void drained(void **state)
{
	(void)state;
	struct peer idle, busy;
	greet(&idle, MX);
	greet(&busy, MX);
	begin_data(&busy);
	call(drain);
	expect_only(&idle, "421 4.3.2");
	expect_end(&idle);
	peer_close(&idle);
	assert_false(t.drained);
	say(&busy, "x\r\n.\r\n");
	expect_only(&busy, "250 2.0.0");
	expect_only(&busy, "421 4.3.2");
	expect_end(&busy);
	peer_close(&busy);
	wait_for_sessions(0);
	for (int i = 0; i < 1000 && !t.drained; i++)
		call(look_at_sessions);
	assert_true(t.drained);
	g_autofree char *content = NULL;
	gsize n_bytes;
	finish(take(&content, &n_bytes));
	assert_true(metrics_get(t.metrics, METRIC_SESSIONS, "mx") == 0);
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
	return cmocka_run_group_tests(tests, start, stop);
}
