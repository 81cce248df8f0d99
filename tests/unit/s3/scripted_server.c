/* Threads that speak HTTP from a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/s3/scripted_server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than the machine takes by itself, shorter than any limit of the tests. */
#define LATE_US 300000

struct connection {
	struct server *server;
	int fd;
};

static bool take_turn(struct server *server, struct turn *turn)
{
	g_mutex_lock(&server->lock);
	bool has = server->next < server->n_turns;
	if (has)
		*turn = server->turns[server->next++];
	g_mutex_unlock(&server->lock);
	return has;
}

static size_t length_of(const char *head)
{
	const char *field = strstr(head, "\r\nContent-Length: ");
	return field ? strtoul(field + 18, NULL, 10) : 0;
}

/* The head up to its empty line; what came with it of the body goes to body. */
static bool read_head(int fd, GString *head, GByteArray *body)
{
	char buffer[4096];
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		if (n <= 0)
			return false;
		g_string_append_len(head, buffer, n);
		const char *end = strstr(head->str, "\r\n\r\n");
		if (!end)
			continue;
		size_t head_bytes = (size_t)(end + 4 - head->str);
		g_byte_array_append(
			body, (const guint8 *)end + 4, (guint)(head->len - head_bytes));
		g_string_truncate(head, head_bytes);
		return true;
	}
}

static bool read_body(int fd, GByteArray *body, size_t length)
{
	guint8 buffer[65536];
	while (body->len < length) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		if (n <= 0)
			return false;
		g_byte_array_append(body, buffer, (guint)n);
	}
	return true;
}

static void send_text(int fd, const char *text)
{
	size_t left = strlen(text);
	while (left) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

static void wait_for_close(int fd)
{
	char buffer[4096];
	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
}

static void flood(int fd)
{
	static const char junk[16384];
	while (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0)
		;
}

static void record(struct server *server, GString *head, GByteArray *body)
{
	g_mutex_lock(&server->lock);
	g_ptr_array_add(server->heads, g_strdup(head->str));
	g_ptr_array_add(server->bodies, g_byte_array_ref(body));
	g_cond_broadcast(&server->asked);
	g_mutex_unlock(&server->lock);
}

static void wait_for_heads(struct server *server)
{
	g_mutex_lock(&server->lock);
	while (server->heads->len < server->gathers)
		g_cond_wait(&server->asked, &server->lock);
	g_mutex_unlock(&server->lock);
}

/* One request; false when the connection is to end. */
static bool serve_one(struct server *server, int fd)
{
	g_autoptr(GString) head = g_string_new(NULL);
	g_autoptr(GByteArray) body = g_byte_array_new();
	struct turn turn;
	if (!read_head(fd, head, body) || !take_turn(server, &turn))
		return false;
	if (strstr(head->str, "\r\nExpect: 100-continue\r\n") && turn.manner != EARLY)
		send_text(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	if (turn.manner != EARLY && !read_body(fd, body, length_of(head->str)))
		return false;
	record(server, head, body);
	wait_for_heads(server);
	if (turn.manner == HANG)
		wait_for_close(fd);
	if (turn.manner == HANG || turn.manner == CUT)
		return false;
	if (turn.manner == LATE)
		g_usleep(LATE_US);
	send_text(fd, turn.text);
	if (turn.manner == FLOOD)
		flood(fd);
	if (turn.manner == EARLY) {
		shutdown(fd, SHUT_WR);
		wait_for_close(fd);
	}
	return turn.manner == ANSWER || turn.manner == LATE;
}

static gpointer serve_connection(gpointer data)
{
	struct connection *connection = data;
	while (serve_one(connection->server, connection->fd))
		;
	close(connection->fd);
	g_free(connection);
	return NULL;
}

static gpointer serve(gpointer data)
{
	struct server *server = data;
	int fd;
	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = g_new(struct connection, 1);
		*connection = (struct connection){ server, fd };
		g_mutex_lock(&server->lock);
		server->n_connections++;
		g_mutex_unlock(&server->lock);
		g_ptr_array_add(server->connections,
			g_thread_new("connection", serve_connection, connection));
	}
	return NULL;
}

void server_start(struct server *server, const struct turn *turns, size_t n_turns)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	*server = (struct server){ .turns = turns, .n_turns = n_turns };
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, bind(server->listener, (struct sockaddr *)&address, length));
	assert_int_equal(0, listen(server->listener, 16));
	assert_int_equal(
		0, getsockname(server->listener, (struct sockaddr *)&address, &length));
	server->url = g_strdup_printf("http://127.0.0.1:%u", ntohs(address.sin_port));
	g_mutex_init(&server->lock);
	g_cond_init(&server->asked);
	server->heads = g_ptr_array_new_with_free_func(g_free);
	server->bodies =
		g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
	server->connections = g_ptr_array_new();
	server->thread = g_thread_new("server", serve, server);
}

void server_stop(struct server *server)
{
	g_mutex_lock(&server->lock);
	server->gathers = 0;
	g_cond_broadcast(&server->asked);
	g_mutex_unlock(&server->lock);
	shutdown(server->listener, SHUT_RDWR);
	g_thread_join(server->thread);
	for (size_t i = 0; i < server->connections->len; i++)
		g_thread_join(server->connections->pdata[i]);
	close(server->listener);
	g_ptr_array_unref(server->connections);
	g_ptr_array_unref(server->heads);
	g_ptr_array_unref(server->bodies);
	g_cond_clear(&server->asked);
	g_mutex_clear(&server->lock);
	g_free(server->url);
}

static int content_fd(const char *content, size_t size)
{
	int fd = memfd_create("object", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(size, write(fd, content, size));
	return fd;
}

struct s3_object object_of(const char *key, const char *content, size_t size)
{
	struct s3_object object = { .key = key,
		.fd = content_fd(content, size),
		.size = size,
		.media_type = "text/html",
		.file_name = "r\xc3\xa9sum\xc3\xa9 \"1\".html",
		.message_id = "4x5" };
	SHA256((const uint8_t *)content, size, object.sha256);
	return object;
}

struct s3_settings settings_at(const char *url, unsigned attempts)
{
	return (struct s3_settings){ .bucket = "bucket",
		.region = "eu-west-1",
		.endpoint = url,
		.access_key_id = "AKIDEXAMPLE",
		.secret_access_key = "verysecret",
		.session_token = "sessiontoken",
		.connections = 2,
		.connect_timeout_ms = 20000,
		.stall_timeout_ms = 3000,
		.attempts = attempts };
}

struct s3_store *store_with(const struct s3_settings *settings)
{
	g_autoptr(GError) error = NULL;
	struct s3_store *store = s3_store_new(settings, &error);
	if (!store)
		fail_msg("%s", error->message);
	return store;
}

struct s3_store *store_at(const char *url, unsigned attempts)
{
	struct s3_settings settings = settings_at(url, attempts);
	return store_with(&settings);
}

void assert_text_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is missing in:\n%s", part, text);
}
