/* The socket, its limits and TLS on top. Knows nothing of SMTP. */
#include "gateway/relay/transport.h"

#include "gateway/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libetpan/mailstream_low.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct transport_trust {
	SSL_CTX *context;
	BIO_METHOD *bio_method;
};

struct transport {
	int fd;
	SSL *ssl;
	bool loopback;
	bool no_wait;      /* a read that would wait fails instead, and may be repeated */
	bool write_failed; /* and of that it died */
	int64_t stall_us, deadline_us;
	size_t received;
	char *death;
};

void transport_kill(struct transport *t, const char *reason)
{
	if (!t->death)
		t->death = g_strdup(reason);
}

const char *transport_death(const struct transport *t)
{
	return t->death;
}

bool transport_hear_out(struct transport *t)
{
	if (!t->write_failed)
		return false;
	t->write_failed = false;
	g_clear_pointer(&t->death, g_free);
	return true;
}

/* Waits for events within the limits; false: dead now. */
static bool await(struct transport *t, short events)
{
	int64_t now = g_get_monotonic_time();
	int64_t until = MIN(t->deadline_us, now + t->stall_us);
	for (;; now = g_get_monotonic_time()) {
		int64_t left_ms = until > now ? (until - now + 999) / 1000 : 0;
		struct pollfd p = { .fd = t->fd, .events = events };
		int n = poll(&p, 1, (int)MIN(left_ms, G_MAXINT));
		if (n > 0)
			return true;
		if (n == 0 && left_ms <= G_MAXINT) {
			transport_kill(t, "timed out");
			return false;
		}
		if (n < 0 && errno != EINTR) {
			transport_kill(t, g_strerror(errno));
			return false;
		}
	}
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) > 0;
}

/* -1: dead, or nothing there and no_wait. */
static ssize_t receive(struct transport *t, void *buffer, size_t bytes)
{
	while (!t->death) {
		if (t->no_wait && !is_readable(t->fd))
			return -1;
		/* A reply is rarely there already, so wait first: one
		 * system call less. */
		if (!t->no_wait && !await(t, POLLIN))
			return -1;
		ssize_t n = recv(t->fd, buffer, bytes, 0);
		if (n > 0)
			return n;
		if (n == 0)
			transport_kill(t, "the peer closed the connection");
		else if (errno != EAGAIN && errno != EINTR)
			transport_kill(t, g_strerror(errno));
	}
	return -1;
}

static void fail_write(struct transport *t, int why)
{
	transport_kill(t, g_strerror(why));
	t->write_failed = true;
}

/* All of it, or -1 and dead. */
static ssize_t transmit(struct transport *t, const char *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		if (t->death)
			return -1;
		ssize_t n = send(t->fd, data + done, bytes - done, MSG_NOSIGNAL);
		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			await(t, POLLOUT);
		else if (errno != EINTR)
			fail_write(t, errno);
	}
	return (ssize_t)bytes;
}

/*
 * OpenSSL's own socket BIO raises SIGPIPE and waits without end; this one hands its
 * octets through the functions above, so that the limits hold below TLS as well.
 */
static int bio_read(BIO *bio, char *buffer, int bytes)
{
	struct transport *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t n = receive(t, buffer, (size_t)bytes);
	if (n < 0 && !t->death)
		BIO_set_retry_read(bio);
	return (int)n;
}

static int bio_write(BIO *bio, const char *data, int bytes)
{
	BIO_clear_retry_flags(bio);
	return (int)transmit(BIO_get_data(bio), data, (size_t)bytes);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static const char *tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	return reason ? reason : "protocol error";
}

struct transport_trust *transport_trust_new(const char *ca_file, GError **error)
{
	struct transport_trust *trust = g_new0(struct transport_trust, 1);
	trust->bio_method =
		BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "relay");
	trust->context = SSL_CTX_new(TLS_client_method());
	g_assert(trust->bio_method && trust->context);
	BIO_meth_set_create(trust->bio_method, bio_create);
	BIO_meth_set_read(trust->bio_method, bio_read);
	BIO_meth_set_write(trust->bio_method, bio_write);
	BIO_meth_set_ctrl(trust->bio_method, bio_ctrl);
	SSL_CTX_set_verify(trust->context, SSL_VERIFY_PEER, NULL);
	long floor = SSL_CTX_set_min_proto_version(trust->context, TLS1_2_VERSION);
	g_assert(floor == 1); /* without it older versions would do */
	SSL_CTX_set_session_cache_mode(trust->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(trust->context, 1);
	ERR_clear_error();
	int ok = ca_file ? SSL_CTX_load_verify_file(trust->context, ca_file)
			 : SSL_CTX_set_default_verify_paths(trust->context);
	if (ok != 1) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"cannot use the CA certificates of %s: %s",
			ca_file ? ca_file : "the system", tls_reason());
		transport_trust_free(&trust);
	}
	return trust;
}

void transport_trust_free(struct transport_trust **trust)
{
	if (!*trust)
		return;
	SSL_CTX_free((*trust)->context);
	BIO_meth_free((*trust)->bio_method);
	g_clear_pointer(trust, g_free);
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	const struct in6_addr *in6 =
		&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	return address->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(in6) ||
		       (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127));
}

/* Zero, or the errno of the failure. */
static int await_connect(int fd, int64_t until_us)
{
	for (;;) {
		int64_t left_us = until_us - g_get_monotonic_time();
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = poll(&p, 1, (int)(MAX(left_us, 0) / 1000));
		if (n == 0)
			return ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n < 0)
			continue;
		int result = 0;
		socklen_t size = sizeof(result);
		return getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) ? errno
									    : result;
	}
}

/* A connected, non-blocking socket, or -1 with *why. */
static int connect_to(const struct addrinfo *a, int64_t until_us, int *why)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*why = errno;
		return -1;
	}
	*why = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (connect(fd, a->ai_addr, a->ai_addrlen))
		*why = errno == EINPROGRESS ? await_connect(fd, until_us) : errno;
	if (!*why)
		return fd;
	close(fd);
	return -1;
}

/* Each address once, beginning with the first-th. */
static struct transport *connect_any(
	const struct addrinfo *list, uint64_t first, int64_t until_us, int *why)
{
	unsigned left = 0;
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		left++;
	const struct addrinfo *a = list;
	for (uint64_t skip = left ? first % left : 0; skip > 0; skip--)
		a = a->ai_next;
	for (; left > 0; left--, a = a->ai_next ? a->ai_next : list) {
		/* One address that never answers must not use up the others' time. */
		int64_t now = g_get_monotonic_time();
		int fd = connect_to(a, now + MAX(until_us - now, 0) / left, why);
		if (fd < 0)
			continue;
		struct transport *t = g_new0(struct transport, 1);
		t->fd = fd;
		t->loopback = is_loopback(a->ai_addr);
		return t;
	}
	return NULL;
}

struct transport *transport_new(const char *host, unsigned port, uint64_t first,
	unsigned timeout_s, GError **error)
{
	int64_t until_us = g_get_monotonic_time() + (int64_t)timeout_s * G_USEC_PER_SEC;
	g_autofree char *service = g_strdup_printf("%u", port);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	int failed = getaddrinfo(host, service, &hints, &list);
	if (failed) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot look up %s: %s", host,
			failed == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(failed));
		return NULL;
	}
	int why = ETIMEDOUT;
	struct transport *t = connect_any(list, first, until_us, &why);
	freeaddrinfo(list);
	if (t)
		transport_set_limits(t, timeout_s, timeout_s);
	else
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot connect to %s port %u: %s%s", host, port, g_strerror(why),
			why == ETIMEDOUT && port == 25
				? " (port 25 is closed outwards in many networks: try "
				  "587 or 2587)"
				: "");
	return t;
}

void transport_set_limits(struct transport *t, unsigned stall_s, uint64_t total_s)
{
	uint64_t total_us = MIN(total_s, G_MAXINT32) * (uint64_t)G_USEC_PER_SEC;
	t->stall_us = (int64_t)stall_s * G_USEC_PER_SEC;
	t->deadline_us = g_get_monotonic_time() + (int64_t)total_us;
	t->received = 0;
}

/* SSL_read() and SSL_write() return 0 or less: what that means for the connection. */
static void tls_failed(struct transport *t, int returned)
{
	int kind = SSL_get_error(t->ssl, returned);
	if (kind == SSL_ERROR_ZERO_RETURN) {
		transport_kill(t, "the peer closed the connection");
	} else if (!t->death) {
		g_autofree char *reason = g_strdup_printf("TLS: %s", tls_reason());
		transport_kill(t, reason);
	}
}

static ssize_t low_read(mailstream_low *low, void *buffer, size_t bytes)
{
	struct transport *t = low->data;
	if (t->death)
		return -1;
	if (t->received > TRANSPORT_REPLY_BYTES_MAX) {
		transport_kill(t, "the reply is too long");
		return -1;
	}
	ssize_t n;
	if (t->ssl) {
		ERR_clear_error();
		n = SSL_read(t->ssl, buffer, (int)MIN(bytes, G_MAXINT));
		if (n <= 0)
			tls_failed(t, (int)n);
	} else {
		n = receive(t, buffer, bytes);
	}
	if (n <= 0)
		return -1; /* never 0: libetpan would take half a line for a whole one */
	t->received += (size_t)n;
	return n;
}

static ssize_t low_write(mailstream_low *low, const void *data, size_t bytes)
{
	struct transport *t = low->data;
	if (t->death)
		return -1;
	if (!t->ssl)
		return transmit(t, data, bytes);
	ERR_clear_error();
	int n = SSL_write(t->ssl, data, (int)MIN(bytes, G_MAXINT));
	if (n > 0)
		return n;
	tls_failed(t, n);
	return -1;
}

static void hang_up(struct transport *t)
{
	if (t->ssl && !t->death) {
		transport_set_limits(t, 1, 1);
		ERR_clear_error();
		SSL_shutdown(t->ssl);
	}
	g_clear_pointer(&t->ssl, SSL_free);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	transport_kill(t, "closed");
}

static int low_close(mailstream_low *low)
{
	hang_up(low->data);
	return 0;
}

static int low_get_fd(mailstream_low *low)
{
	return ((struct transport *)low->data)->fd;
}

static void low_free(mailstream_low *low)
{
	free(low); /* libetpan's, allocated with malloc() */
}

static mailstream_low_driver driver = {
	.mailstream_read = low_read,
	.mailstream_write = low_write,
	.mailstream_close = low_close,
	.mailstream_get_fd = low_get_fd,
	.mailstream_free = low_free,
};

mailstream_low *transport_low(struct transport *t)
{
	mailstream_low *low = mailstream_low_new(t, &driver);
	g_assert(low); /* out of memory ends the process */
	return low;
}

static void expect_name(SSL *ssl, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, name, address) == 1 ||
		inet_pton(AF_INET6, name, address) == 1) {
		int ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
		g_assert(ok == 1);
		return;
	}
	int ok = SSL_set1_host(ssl, name);
	g_assert(ok == 1); /* without it any host's certificate would do */
	SSL_set_tlsext_host_name(ssl, name);
}

bool transport_start_tls(struct transport *t, const struct transport_trust *trust,
	const char *name, GError **error)
{
	t->ssl = SSL_new(trust->context);
	BIO *bio = BIO_new(trust->bio_method);
	g_assert(t->ssl && bio);
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	expect_name(t->ssl, name);
	ERR_clear_error();
	if (SSL_connect(t->ssl) == 1)
		return true;
	long verified = SSL_get_verify_result(t->ssl);
	if (verified != X509_V_OK)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"TLS: the certificate shown for %s is not accepted: %s", name,
			X509_verify_cert_error_string(verified));
	else
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"TLS handshake with %s failed: %s", name,
			t->death ? t->death : tls_reason());
	transport_kill(t, "TLS handshake failed");
	return false;
}

bool transport_is_tls(const struct transport *t)
{
	return t->ssl;
}

bool transport_is_loopback(const struct transport *t)
{
	return t->loopback;
}

bool transport_has_input(struct transport *t)
{
	if (t->death)
		return true;
	if (!t->ssl)
		return is_readable(t->fd);
	if (SSL_pending(t->ssl) > 0)
		return true;
	if (!SSL_has_pending(t->ssl) && !is_readable(t->fd))
		return false;
	/* What is there may be TLS's own (a session ticket), and
	 * nothing to read for us. */
	char octet;
	t->no_wait = true;
	ERR_clear_error();
	int n = SSL_peek(t->ssl, &octet, 1);
	t->no_wait = false;
	return n > 0 || SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ;
}

void transport_free(struct transport **transport)
{
	struct transport *t = *transport;
	if (!t)
		return;
	transport_kill(t, "closed");
	hang_up(t);
	g_free(t->death);
	g_clear_pointer(transport, g_free);
}
