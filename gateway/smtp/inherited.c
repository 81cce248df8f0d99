/* Looks at what was inherited, and matches it with the settings. */
#include "gateway/smtp/inherited.h"

#include "gateway/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

struct heir {
	int fd; /* -1: claimed */
	char *name;
	struct sockaddr_storage address;
	bool too_open; /* for the listener of its name */
};

struct inherited {
	struct heir *sockets;
	size_t n;
};

static bool is_same_address(
	const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)b;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)b;
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		       a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
	       IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

static char *print_address(const struct sockaddr_storage *address)
{
	char host[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof(host));
		return g_strdup_printf("%s:%u", host, ntohs(ipv4->sin_port));
	}
	inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof(host));
	return g_strdup_printf("[%s]:%u", host, ntohs(ipv6->sin6_port));
}

static void report_unused(const char *name, const char *address, const char *reason)
{
	log_warning("socket.unused", LOG_TEXT("name", name), LOG_TEXT("address", address),
		LOG_TEXT("reason", reason));
}

/* As our own are. */
static bool prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL), on = 1;
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
}

/* False: it is nothing that a listener could use, and closed. */
static bool take(struct heir *heir, int fd, const char *name)
{
	socklen_t length = sizeof(heir->address);
	*heir = (struct heir){ .fd = fd };
	bool is_good = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 &&
		       getsockname(fd, (struct sockaddr *)&heir->address, &length) == 0 &&
		       (heir->address.ss_family == AF_INET ||
			       heir->address.ss_family == AF_INET6) &&
		       prepare(fd);
	if (is_good) {
		heir->name = g_strdup(name);
		return true;
	}
	report_unused(name, NULL, "it is no listening TCP socket");
	close(fd);
	return false;
}

struct inherited *inherited_new(void)
{
	struct inherited *inherited = g_new0(struct inherited, 1);
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	if (n < 0)
		report_unused(NULL, NULL, g_strerror(-n));
	inherited->sockets = g_new0(struct heir, (gsize)MAX(n, 0));
	for (int i = 0; i < n; i++)
		inherited->n += take(&inherited->sockets[inherited->n],
			SD_LISTEN_FDS_START + i, names[i]);
	for (char **name = names; name && *name; name++)
		free(*name); /* by the library's malloc() */
	free(names);
	return inherited;
}

static bool is_address_of_any(
	const struct conf *conf, const struct sockaddr_storage *address)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (is_same_address(&conf->listeners[i].socket_address, address))
			return true;
	}
	return false;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	return conf_address_is_loopback((const struct sockaddr *)address);
}

/* What a listener of loopback allows was judged by its address. */
static bool suits(struct heir *heir, const struct conf_listener *listener)
{
	heir->too_open =
		is_loopback(&listener->socket_address) && !is_loopback(&heir->address);
	return !heir->too_open;
}

static struct heir *find(
	struct inherited *inherited, const struct conf *conf, size_t index)
{
	const struct conf_listener *listener = &conf->listeners[index];
	for (size_t i = 0; i < inherited->n; i++) {
		struct heir *heir = &inherited->sockets[i];
		if (heir->fd >= 0 &&
			is_same_address(&heir->address, &listener->socket_address))
			return heir;
	}
	for (size_t i = 0; i < inherited->n; i++) {
		struct heir *heir = &inherited->sockets[i];
		if (heir->fd >= 0 && g_str_equal(heir->name, listener->name) &&
			!is_address_of_any(conf, &heir->address) && suits(heir, listener))
			return heir;
	}
	return NULL;
}

int inherited_claim(struct inherited *inherited, const struct conf *conf, size_t index)
{
	struct heir *heir = find(inherited, conf, index);
	if (!heir)
		return -1;
	g_autofree char *address = print_address(&heir->address);
	log_info("listener.inherited", LOG_TEXT("listener", conf->listeners[index].name),
		LOG_TEXT("address", address), LOG_TEXT("name", heir->name));
	int fd = heir->fd;
	heir->fd = -1;
	return fd;
}

void inherited_free(struct inherited **inherited)
{
	struct inherited *old = *inherited;
	*inherited = NULL;
	if (!old)
		return;
	for (size_t i = 0; i < old->n; i++) {
		struct heir *heir = &old->sockets[i];
		g_autofree char *address = print_address(&heir->address);
		if (heir->fd >= 0) {
			report_unused(heir->name, address,
				heir->too_open ? "the listener of its name is on "
						 "loopback, and this socket is not"
					       : "no listener has its address or its "
						 "name");
			close(heir->fd);
		}
		g_free(heir->name);
	}
	g_free(old->sockets);
	g_free(old);
}
