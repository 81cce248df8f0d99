/* The scripted server: blocking sockets, a thread per connection. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USUAL_EHLO  "250-PIPELINING\r\n250-SIZE 41943040\r\n250-8BITMIME\r\n"
#define FLOOD_BYTES (64 << 20)

struct peer {
	struct peer_script script;
	int listen_fd;
	unsigned port;
	GThread *thread;
	GMutex mutex;
	GCond logged;
	GString *log;
	unsigned *used;      /* per rule */
	GArray *connections; /* of int, open descriptors */
	GPtrArray *threads;
	bool stopping;
};

struct connection {
	struct peer *peer;
	int fd;
	SSL *ssl;
	char buffer[16384];
	size_t at, end;
	bool closed;
};

static void note(struct peer *peer, const char *text)
{
	g_mutex_lock(&peer->mutex);
	g_string_append(peer->log, text);
	g_string_append_c(peer->log, '\n');
	g_cond_broadcast(&peer->logged);
	g_mutex_unlock(&peer->mutex);
}

static void say(struct connection *c, const char *text, size_t bytes)
{
	while (bytes > 0 && !c->closed) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, text, (int)bytes)
				   : send(c->fd, text, bytes, MSG_NOSIGNAL);
		if (n <= 0) {
			c->closed = true;
			return;
		}
		text += n;
		bytes -= (size_t)n;
	}
}

static bool fill(struct connection *c)
{
	ssize_t n = c->ssl ? SSL_read(c->ssl, c->buffer, sizeof(c->buffer))
			   : recv(c->fd, c->buffer, sizeof(c->buffer), 0);
	c->at = 0;
	c->end = n > 0 ? (size_t)n : 0;
	c->closed |= n <= 0;
	return n > 0;
}

/* A line with its end, false when the client has left. */
static bool read_line(struct connection *c, GString *line)
{
	g_string_truncate(line, 0);
	while (!c->closed) {
		if (c->at == c->end && !fill(c))
			return false;
		const char *lf = memchr(c->buffer + c->at, '\n', c->end - c->at);
		size_t stop = lf ? (size_t)(lf - c->buffer) + 1 : c->end;
		g_string_append_len(line, c->buffer + c->at, (gssize)(stop - c->at));
		c->at = stop;
		if (lf)
			return true;
	}
	return false;
}

static void wait_for_close(struct connection *c)
{
	while (fill(c))
		;
}

/* Until the client has had enough, or 20 s. */
static void dribble(struct connection *c)
{
	say(c, "250-", 4);
	for (int i = 0; i < 1000 && !c->closed; i++) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		if (poll(&p, 1, 20) > 0 && !fill(c))
			return;
		say(c, "x", 1);
	}
}

static void flood(struct connection *c)
{
	for (size_t sent = 0; sent < FLOOD_BYTES && !c->closed; sent += 70)
		say(c,
			"250-"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xx\r\n",
			72);
}

/* The rule for a command, NULL: none. */
static const struct peer_rule *find_rule(struct peer *peer, const char *line)
{
	const struct peer_rule *found = NULL;
	g_mutex_lock(&peer->mutex);
	for (size_t i = 0; peer->script.rules && peer->script.rules[i].on && !found;
		i++) {
		const struct peer_rule *rule = &peer->script.rules[i];
		if (g_str_has_prefix(line, rule->on) &&
			(!rule->times || peer->used[i] < rule->times)) {
			peer->used[i]++;
			found = rule;
		}
	}
	g_mutex_unlock(&peer->mutex);
	return found;
}

static void act_on(struct connection *c, const struct peer_rule *rule)
{
	if (rule->text)
		say(c, rule->text, strlen(rule->text));
	if (rule->action == PEER_CLOSE || rule->action == PEER_REPLY_CLOSE)
		c->closed = true;
	else if (rule->action == PEER_SILENT)
		wait_for_close(c);
	else if (rule->action == PEER_DRIBBLE)
		dribble(c);
	else if (rule->action == PEER_FLOOD)
		flood(c);
}

/* Whether a rule answered instead. */
static bool act(struct connection *c, const char *line)
{
	const struct peer_rule *rule = find_rule(c->peer, line);
	if (rule)
		act_on(c, rule);
	return rule;
}

static void answer(struct connection *c, const char *line, const char *usual)
{
	if (!act(c, line))
		say(c, usual, strlen(usual));
}

static void start_tls(struct connection *c)
{
	SSL *ssl = SSL_new(c->peer->script.context);
	SSL_set_fd(ssl, c->fd);
	c->at = c->end = 0;
	if (SSL_accept(ssl) == 1) {
		c->ssl = ssl;
		note(c->peer, "tls");
	} else {
		SSL_free(ssl);
		c->closed = true;
		note(c->peer, "no tls");
	}
}

static void on_ehlo(struct connection *c, const char *line)
{
	const struct peer_script *s = &c->peer->script;
	g_autofree char *usual =
		g_strdup_printf("250-peer\r\n%s%s%s250 ENHANCEDSTATUSCODES\r\n",
			s->ehlo ? s->ehlo : USUAL_EHLO,
			s->tls == PEER_STARTTLS && !c->ssl ? "250-STARTTLS\r\n" : "",
			s->tls == PEER_PLAIN || c->ssl ? "250-AUTH PLAIN LOGIN\r\n" : "");
	answer(c, line, usual);
}

static void on_data(struct connection *c, const char *line)
{
	const struct peer_rule *rule = find_rule(c->peer, line);
	if (rule)
		act_on(c, rule);
	else
		say(c, "354 go ahead\r\n", 14);
	if (c->closed || (rule && !g_str_has_prefix(rule->text ? rule->text : "", "354")))
		return;
	g_autoptr(GString) content = g_string_new("content:");
	g_autoptr(GString) text = g_string_new(NULL);
	bool begun = false;
	while (read_line(c, text)) {
		if (!strcmp(text->str, ".\r\n"))
			break;
		if (!begun && act(c, "CONTENT") && !c->closed)
			wait_for_close(c);
		begun = true;
		g_string_append_len(content, text->str, (gssize)text->len);
	}
	if (c->closed) {
		note(c->peer, "content cut");
		return;
	}
	note(c->peer, content->str);
	answer(c, "DOT", "250 2.0.0 Ok: queued as 4TEST0ID\r\n");
}

static void on_command(struct connection *c, const char *line)
{
	const struct peer_script *s = &c->peer->script;
	if (g_str_has_prefix(line, "EHLO")) {
		on_ehlo(c, line);
	} else if (g_str_has_prefix(line, "STARTTLS")) {
		g_autofree char *usual = g_strconcat("220 go\r\n", s->inject, NULL);
		if (act(c, line))
			return;
		say(c, usual, strlen(usual));
		if (!c->closed)
			start_tls(c);
	} else if (g_str_has_prefix(line, "AUTH PLAIN ")) {
		answer(c, line, "235 2.7.0 welcome\r\n");
	} else if (g_str_has_prefix(line, "AUTH LOGIN")) {
		answer(c, line, "334 VXNlcm5hbWU6\r\n");
	} else if (g_str_has_prefix(line, "DATA")) {
		on_data(c, line);
	} else if (g_str_has_prefix(line, "QUIT")) {
		answer(c, line, "221 bye\r\n");
		c->closed = true;
	} else {
		answer(c, line, "250 2.0.0 Ok\r\n");
	}
}

static gpointer serve(gpointer data)
{
	struct connection *c = data;
	struct peer *peer = c->peer;
	g_autoptr(GString) line = g_string_new(NULL);
	sigset_t pipe; /* in this thread only: the client's own must do without */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	note(peer, "connect");
	if (peer->script.tls == PEER_WRAPPER)
		start_tls(c);
	if (!c->closed)
		answer(c, "CONNECT", "220 peer ESMTP\r\n");
	while (read_line(c, line)) {
		g_autofree char *shown = g_strchomp(g_strdup(line->str));
		note(peer, shown);
		on_command(c, shown);
	}
	g_mutex_lock(&peer->mutex);
	for (guint i = 0; i < peer->connections->len; i++) {
		if (g_array_index(peer->connections, int, i) == c->fd)
			g_array_remove_index_fast(peer->connections, i--);
	}
	if (c->ssl)
		SSL_free(c->ssl);
	close(c->fd);
	g_mutex_unlock(&peer->mutex);
	note(peer, "close");
	g_free(c);
	return NULL;
}

static gpointer accept_all(gpointer data)
{
	struct peer *peer = data;
	for (;;) {
		int fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		struct connection *c = g_new0(struct connection, 1);
		c->peer = peer;
		c->fd = fd;
		g_mutex_lock(&peer->mutex);
		if (peer->stopping) {
			g_mutex_unlock(&peer->mutex);
			close(fd);
			g_free(c);
			return NULL;
		}
		g_array_append_val(peer->connections, fd);
		g_ptr_array_add(peer->threads, g_thread_new("peer", serve, c));
		g_mutex_unlock(&peer->mutex);
	}
}

struct peer *peer_start(const struct peer_script *script)
{
	struct peer *peer = g_new0(struct peer, 1);
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	size_t rules = 0;
	peer->script = *script;
	while (script->rules && script->rules[rules].on)
		rules++;
	peer->used = g_new0(unsigned, rules + 1);
	peer->log = g_string_new(NULL);
	peer->connections = g_array_new(FALSE, FALSE, sizeof(int));
	peer->threads = g_ptr_array_new();
	g_mutex_init(&peer->mutex);
	g_cond_init(&peer->logged);
	peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(peer->listen_fd, (const void *)&address, size) ||
		listen(peer->listen_fd, 64) ||
		getsockname(peer->listen_fd, (void *)&address, &size))
		g_error("peer: cannot listen");
	peer->port = ntohs(address.sin_port);
	peer->thread = g_thread_new("peer-accept", accept_all, peer);
	return peer;
}

unsigned peer_port(const struct peer *peer)
{
	return peer->port;
}

char *peer_log(struct peer *peer)
{
	g_mutex_lock(&peer->mutex);
	char *log = g_strdup(peer->log->str);
	g_mutex_unlock(&peer->mutex);
	return log;
}

void peer_drop_all(struct peer *peer)
{
	g_mutex_lock(&peer->mutex);
	for (guint i = 0; i < peer->connections->len; i++)
		shutdown(g_array_index(peer->connections, int, i), SHUT_RDWR);
	g_mutex_unlock(&peer->mutex);
}

bool peer_await(struct peer *peer, const char *text)
{
	int64_t until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
	bool waiting = true;
	g_mutex_lock(&peer->mutex);
	while (!strstr(peer->log->str, text) && waiting)
		waiting = g_cond_wait_until(&peer->logged, &peer->mutex, until);
	bool found = strstr(peer->log->str, text);
	g_mutex_unlock(&peer->mutex);
	return found;
}

void peer_stop(struct peer **peer)
{
	struct peer *p = *peer;
	g_mutex_lock(&p->mutex);
	p->stopping = true;
	g_mutex_unlock(&p->mutex);
	shutdown(p->listen_fd, SHUT_RDWR);
	g_thread_join(p->thread);
	close(p->listen_fd);
	peer_drop_all(p);
	for (guint i = 0; i < p->threads->len; i++)
		g_thread_join(p->threads->pdata[i]);
	g_ptr_array_free(p->threads, TRUE);
	g_array_free(p->connections, TRUE);
	g_string_free(p->log, TRUE);
	g_free(p->used);
	g_mutex_clear(&p->mutex);
	g_cond_clear(&p->logged);
	g_clear_pointer(peer, g_free);
}

/* ---- Certificates ---- */

static X509 *make_certificate(EVP_PKEY *key, const char *name, int from_days, int to_days)
{
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), g_random_int_range(1, G_MAXINT32));
	X509_gmtime_adj(X509_getm_notBefore(x), from_days * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), to_days * 86400L);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	return x;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	g_assert(extension);
	X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
}

void peer_ca_init(struct peer_ca *ca, const char *name)
{
	ca->key = EVP_EC_gen("P-256");
	ca->certificate = make_certificate(ca->key, name, -1, 10);
	X509_set_issuer_name(ca->certificate, X509_get_subject_name(ca->certificate));
	add_extension(ca->certificate, ca->certificate, NID_basic_constraints,
		"critical,CA:TRUE");
	add_extension(
		ca->certificate, ca->certificate, NID_key_usage, "critical,keyCertSign");
	X509_sign(ca->certificate, ca->key, EVP_sha256());
}

void peer_ca_deinit(struct peer_ca *ca)
{
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
}

SSL_CTX *peer_context(const struct peer_ca *ca, const char *names, int days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(key, "peer", MIN(days, 0) - 1, days);
	X509_set_issuer_name(x, X509_get_subject_name(ca->certificate));
	add_extension(x, ca->certificate, NID_subject_alt_name, names);
	X509_sign(x, ca->key, EVP_sha256());
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate(context, x) != 1 ||
		SSL_CTX_use_PrivateKey(context, key) != 1)
		g_error("peer: no certificate");
	X509_free(x);
	EVP_PKEY_free(key);
	return context;
}

void peer_ca_write(const struct peer_ca *ca, const char *path)
{
	FILE *file = fopen(path, "w");
	if (!file || PEM_write_X509(file, ca->certificate) != 1 || fclose(file))
		g_error("peer: cannot write %s", path);
}
