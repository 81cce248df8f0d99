/* Three pages for operators and their machines. What the numbers mean is metrics.c's. */
#include "gateway/admin/admin.h"

#include "gateway/admin/listen.h"
#include "gateway/error.h"
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS      64
#define CONNECTIONS_PEER 32 /* of one address: a scraper leaves a few open */
#define TIMEOUT_S        15
#define MEMORY_BYTES     16384 /* of one connection: its request line and header */

struct admin {
	struct admin_source source;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;   /* on libmicrohttpd's epoll descriptor */
	uv_timer_t timer; /* for its time limits */
	unsigned open_handles;
	unsigned port;
};

struct page {
	unsigned status;
	const char *type;
	GString *body;
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

static struct page plain_page(unsigned status, const char *text)
{
	struct page page = { status, TEXT_PLAIN, g_string_new(text) };
	g_string_append_c(page.body, '\n');
	return page;
}

static struct page metrics_page(const struct admin_source *source)
{
	if (source->refresh)
		source->refresh(source->context);
	return (struct page){ MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
		metrics_print(source->metrics) };
}

static struct page healthz_page(const struct admin_source *source)
{
	(void)source;
	return plain_page(MHD_HTTP_OK, "ok");
}

static struct page readyz_page(const struct admin_source *source)
{
	const char *reason =
		source->not_ready ? source->not_ready(source->context) : NULL;
	return reason ? plain_page(MHD_HTTP_SERVICE_UNAVAILABLE, reason)
		      : plain_page(MHD_HTTP_OK, "ok");
}

static const struct route {
	const char *path;
	struct page (*page)(const struct admin_source *);
} routes[] = {
	{ "/metrics", metrics_page },
	{ "/healthz", healthz_page },
	{ "/readyz", readyz_page },
};

static struct page find_page(const struct admin_source *source, const char *path)
{
	for (size_t i = 0; i < G_N_ELEMENTS(routes); i++) {
		if (!strcmp(path, routes[i].path))
			return routes[i].page(source);
	}
	return plain_page(MHD_HTTP_NOT_FOUND,
		"not found; there are /metrics, /healthz and /readyz");
}

/* Takes the page's body. */
static enum MHD_Result answer(
	struct MHD_Connection *connection, const struct page *page, bool allow)
{
	size_t bytes = page->body->len;
	char *body = g_string_free(page->body, FALSE);
	struct MHD_Response *response =
		MHD_create_response_from_buffer_with_free_callback(bytes, body, g_free);
	if (!response) {
		g_free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", page->type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (allow)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, page->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_bytes, void **request)
{
	(void)version;
	(void)upload;
	static char seen;
	const struct admin *admin = context;
	if (strcmp(method, "GET") && strcmp(method, "HEAD")) {
		struct page page =
			plain_page(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
		return answer(connection, &page, true);
	}
	if (!*request) { /* the header has come; the rest of the request follows */
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_bytes)
		return MHD_NO; /* a body is no part of what is asked here */
	struct page page = find_page(&admin->source, path);
	return answer(connection, &page, false);
}

/* --- libmicrohttpd under libuv --- */

static void on_timer(uv_timer_t *timer);

static void run(struct admin *admin)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	MHD_run(admin->daemon);
	if (MHD_get_timeout(admin->daemon, &wait_ms) == MHD_YES)
		uv_timer_start(&admin->timer, on_timer, wait_ms, 0);
	else
		uv_timer_stop(&admin->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
	struct admin *admin = handle->data;
	if (!--admin->open_handles)
		g_free(admin);
}

/* Takes fd in any case. */
static struct MHD_Daemon *start_daemon(struct admin *admin, int fd)
{
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, on_request, admin, MHD_OPTION_EXTERNAL_LOGGER, listen_log,
		NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_PEER, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)MEMORY_BYTES, MHD_OPTION_END);
	if (!daemon)
		close(fd);
	return daemon;
}

struct admin *admin_new(uv_loop_t *loop, const char *address,
	const struct admin_source *source, GError **error)
{
	int fd = listen_open(address, error);
	if (fd < 0)
		return NULL;
	struct admin *admin = g_new0(struct admin, 1);
	admin->source = *source;
	admin->port = listen_port(fd);
	admin->daemon = start_daemon(admin, fd);
	const union MHD_DaemonInfo *info =
		admin->daemon
			? MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD)
			: NULL;
	if (!info || uv_poll_init(loop, &admin->poll, info->epoll_fd)) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot serve HTTP on %s", address);
		if (admin->daemon)
			MHD_stop_daemon(admin->daemon);
		g_free(admin);
		return NULL;
	}
	uv_timer_init(loop, &admin->timer);
	admin->poll.data = admin->timer.data = admin;
	admin->open_handles = 2;
	uv_poll_start(&admin->poll, UV_READABLE, on_readable);
	return admin;
}

unsigned admin_port(const struct admin *admin)
{
	return admin->port;
}

void admin_free(struct admin **admin)
{
	struct admin *a = *admin;
	if (!a)
		return;
	*admin = NULL;
	uv_close((uv_handle_t *)&a->poll, on_closed);
	uv_close((uv_handle_t *)&a->timer, on_closed);
	/* The descriptor leaves the loop with uv_close(): it may go now. */
	MHD_stop_daemon(a->daemon);
}
