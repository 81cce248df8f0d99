/* Sockets of its own instead of uv_listen(): mistakes are seen at once, the
 * client's address comes with accept4(), and out of descriptors means to
 * wait, not to drop clients. */
#include "gateway/smtp/listener.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/policy/policy.h"
#include "gateway/smtp/connection.h"
#include "gateway/smtp/refusal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG          1024
#define ACCEPTS_PER_TURN 16
#define RESUME_MS        250

struct listener {
	struct front *front;
	struct smtp_settings *settings; /* a reference */
	const struct conf_listener *conf;
	struct sockaddr_storage address;
	int fd;
	uv_poll_t poll;
	uv_timer_t resume;
	unsigned connections;
	bool paused;
	unsigned pins; /* open handles and sessions */
	void (*gone)(void *owner);
	void *owner;
};

/* Why a client is not served: what it hears, a metric's label, the log's reason. */
struct refusal {
	enum smtp_reply_id id;
	const char *cause, *reason;
};

static socklen_t length_of(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

static in_port_t port_of(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6
		       ? ((const struct sockaddr_in6 *)address)->sin6_port
		       : ((const struct sockaddr_in *)address)->sin_port;
}

/* [::] takes IPv4 too, unless a listener of 0.0.0.0 does. */
static bool is_ipv6_only(const struct conf *conf, const struct conf_listener *listener)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct sockaddr_storage *other = &conf->listeners[i].socket_address;
		if (other->ss_family == AF_INET &&
			port_of(other) == port_of(&listener->socket_address) &&
			((const struct sockaddr_in *)other)->sin_addr.s_addr ==
				INADDR_ANY)
			return true;
	}
	return false;
}

static bool set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* Accepted sockets inherit TCP_NODELAY on Linux. */
static bool bind_socket(
	int fd, const struct conf *conf, const struct conf_listener *listener)
{
	const struct sockaddr_storage *address = &listener->socket_address;
	if (address->ss_family == AF_INET6 &&
		!set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_ipv6_only(conf, listener)))
		return false;
	return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	       set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
	       bind(fd, (const struct sockaddr *)address, length_of(address)) == 0 &&
	       listen(fd, BACKLOG) == 0;
}

static int open_socket(
	const struct conf *conf, const struct conf_listener *listener, GError **error)
{
	int fd = socket(listener->socket_address.ss_family,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd >= 0 && bind_socket(fd, conf, listener))
		return fd;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"listener %s: cannot listen on %s: %s", listener->name, listener->address,
		g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static void unpin(struct listener *listener)
{
	if (--listener->pins)
		return;
	void (*gone)(void *) = listener->gone;
	void *owner = listener->owner;
	smtp_settings_unref(&listener->settings);
	g_free(listener);
	gone(owner);
}

static void on_handle_closed(uv_handle_t *handle)
{
	unpin(handle->data);
}

struct listener *listener_new(struct front *front, struct smtp_settings *settings,
	size_t index, struct inherited *inherited, void (*gone)(void *owner), void *owner,
	GError **error)
{
	const struct conf_listener *conf = &settings->conf->listeners[index];
	int fd = inherited ? inherited_claim(inherited, settings->conf, index) : -1;
	if (fd < 0)
		fd = open_socket(settings->conf, conf, error);
	if (fd < 0)
		return NULL;
	struct listener *listener = g_new0(struct listener, 1);
	listener->front = front;
	listener->fd = fd;
	listener->address = conf->socket_address;
	listener->gone = gone;
	listener->owner = owner;
	listener->pins = 2;
	listener_set(listener, settings, index);
	int status = uv_poll_init(front->loop, &listener->poll, fd);
	g_assert(!status); /* a listening socket can be polled */
	uv_timer_init(front->loop, &listener->resume);
	listener->poll.data = listener->resume.data = listener;
	return listener;
}

void listener_set(struct listener *listener, struct smtp_settings *settings, size_t index)
{
	struct smtp_settings *old = listener->settings;
	listener->settings = smtp_settings_ref(settings);
	listener->conf = &settings->conf->listeners[index];
	smtp_settings_unref(&old);
}

bool listener_has_address(
	const struct listener *listener, const struct sockaddr_storage *address)
{
	return listener->address.ss_family == address->ss_family &&
	       !memcmp(&listener->address, address, length_of(address));
}

/* ---- clients ---- */

/* A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d;
 * everyone else wants a.b.c.d. */
static void unmap(struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr))
		return;
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = ipv6->sin6_port };
	memcpy(&ipv4.sin_addr, &ipv6->sin6_addr.s6_addr[12], 4);
	memset(address, 0, sizeof(*address));
	memcpy(address, &ipv4, sizeof(ipv4));
}

/* What came already: closing with input unread would reset the connection, and our line
 * with it. */
static void drop_input(int fd)
{
	char bytes[4096];
	for (unsigned i = 0; i < 4; i++) {
		if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			return;
	}
}

/* Says one line and closes, with no session made. A client that begins
 * with TLS hears nothing. */
static void refuse(struct listener *listener, int fd, const struct sockaddr_storage *peer,
	const struct refusal *refusal)
{
	char client[INET6_ADDRSTRLEN];
	uv_ip_name((const struct sockaddr *)peer, client, sizeof(client));
	refusal_tell(
		listener->front, listener->conf, client, refusal->cause, refusal->reason);
	metrics_add(listener->front->metrics, METRIC_REPLIES_TOTAL,
		refusal->id == REPLY_CLIENT_REFUSED ? "554" : "421", 1);
	if (listener->conf->tls != CONF_TLS_WRAPPER) {
		g_autoptr(GString) line = g_string_sized_new(128);
		smtp_reply_append(line, refusal->id, listener->settings->conf->hostname);
		ssize_t sent =
			send(fd, line->str, line->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)sent; /* into an empty buffer, to one who may be gone */
		drop_input(fd);
	}
	close(fd);
}

static void on_ended(void *owner)
{
	struct listener *listener = owner;
	listener->connections--;
	unpin(listener);
}

/* What holds for all who connect, proxies too. */
static bool has_room(const struct listener *listener, struct refusal *refusal)
{
	struct front *front = listener->front;
	if (listener->connections >= listener->conf->max_connections) {
		*refusal = (struct refusal){ REPLY_TOO_MANY_CONNECTIONS,
			"max_connections", "max_connections reached" };
		return false;
	}
	if (g_queue_get_length(&front->connections) >= front->max_connections) {
		*refusal = (struct refusal){ REPLY_TOO_MANY_CONNECTIONS, "descriptors",
			"as many connections as descriptors allow (ulimit -n)" };
		return false;
	}
	return true;
}

/* True: counted in the ceilings. */
static bool may_enter(const struct listener *listener, const struct sockaddr *peer,
	struct refusal *refusal)
{
	if (!policy_client(listener->conf, peer)) {
		*refusal = (struct refusal){ REPLY_CLIENT_REFUSED, "networks",
			"not of the listener's networks" };
		return false;
	}
	const char *ceiling =
		ceilings_enter(listener->front->ceilings, listener->conf, peer);
	if (ceiling)
		*refusal = (struct refusal){ REPLY_TOO_MANY_FROM_CLIENT, ceiling,
			"as many connections as one may have" };
	return !ceiling;
}

static void serve(struct listener *listener, int fd, struct sockaddr_storage *peer)
{
	struct refusal refusal;
	unmap(peer);
	const struct sockaddr *address = (const struct sockaddr *)peer;
	if (!has_room(listener, &refusal) ||
		(!connection_is_proxied(listener->conf, address) &&
			!may_enter(listener, address, &refusal))) {
		refuse(listener, fd, peer, &refusal);
		return;
	}
	listener->connections++;
	listener->pins++;
	connection_open(listener->front, listener->settings, listener->conf, fd, peer,
		on_ended, listener);
}

static void on_resume(uv_timer_t *timer)
{
	listener_start(timer->data);
}

/* Out of descriptors or memory: the kernel holds the clients until
 * some of ours have gone. */
static void pause_accepting(struct listener *listener, int reason)
{
	if (!listener->paused)
		log_error("listener.paused", LOG_TEXT("listener", listener->conf->name),
			LOG_TEXT("reason", g_strerror(reason)));
	listener->paused = true;
	uv_poll_stop(&listener->poll);
	uv_timer_start(&listener->resume, on_resume, RESUME_MS, 0);
}

/* Linux also tells of errors that the new connection has had already (accept(2)). */
static bool is_clients_fault(int reason)
{
	static const int faults[] = { ECONNABORTED, EINTR, EPROTO, EPERM, ENETDOWN,
		ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH };
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
		if (reason == faults[i])
			return true;
	}
	return false;
}

static void on_clients(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	struct listener *listener = poll->data;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t length = sizeof(peer);
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			listener->paused = false;
			serve(listener, fd, &peer);
		} else if (errno == EAGAIN)
			return;
		else if (!is_clients_fault(errno)) {
			pause_accepting(listener, errno);
			return;
		}
	}
}

void listener_start(struct listener *listener)
{
	uv_poll_start(&listener->poll, UV_READABLE, on_clients);
}

void listener_close(struct listener **listener)
{
	struct listener *old = *listener;
	*listener = NULL;
	uv_poll_stop(&old->poll);
	close(old->fd);
	uv_close((uv_handle_t *)&old->poll, on_handle_closed);
	uv_close((uv_handle_t *)&old->resume, on_handle_closed);
}
