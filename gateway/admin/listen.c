/* Opens listening sockets for admin.c and objects.c. What is said over them is theirs. */
#include "gateway/admin/listen.h"

#include "conf/network.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128

static bool bind_and_listen(int fd, const struct sockaddr_storage *address)
{
	const int on = 1;
	socklen_t size = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
							: sizeof(struct sockaddr_in);
	/* A restart must not wait for connections of before to fade away. */
	return !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	       !bind(fd, (const struct sockaddr *)address, size) && !listen(fd, BACKLOG);
}

int listen_open(const char *address, GError **error)
{
	struct sockaddr_storage parsed;
	g_autoptr(GError) cause = NULL;
	if (!conf_address_parse(address, &parsed, &cause)) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"cannot listen on %s: %s", address, cause->message);
		return -1;
	}
	int fd = socket(parsed.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind_and_listen(fd, &parsed))
		return fd;
	int saved = errno;
	if (fd >= 0)
		close(fd);
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "cannot listen on %s: %s",
		address, g_strerror(saved));
	return -1;
}

unsigned listen_port(int fd)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t size = sizeof(bound);
	if (getsockname(fd, (struct sockaddr *)&bound, &size))
		return 0;
	return ntohs(bound.ss_family == AF_INET6
			     ? ((const struct sockaddr_in6 *)&bound)->sin6_port
			     : ((const struct sockaddr_in *)&bound)->sin_port);
}

void listen_log(void *unused, const char *format, va_list arguments)
{
	(void)unused;
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	log_debug("http.library", LOG_TEXT("reason", g_strchomp(text)));
}
