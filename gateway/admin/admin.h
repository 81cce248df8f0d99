/*
 * admin - GET /metrics, /healthz and /readyz for operators, on the front loop
 * (libmicrohttpd's epoll descriptor under a uv_poll; see libraries' notes on its timer).
 * Thread: the loop's.
 */
#ifndef GATEWAY_ADMIN_ADMIN_H
#define GATEWAY_ADMIN_ADMIN_H

#include "gateway/admin/metrics.h"
#include <stdbool.h>
#include <uv.h>

struct admin;

struct admin_source {
	struct metrics *metrics;
	/* NULL when mail is being accepted, else the reason why not (static or owned by
	 * context): /readyz answers 200 or 503 with it. */
	const char *(*not_ready)(void *context);
	/* Called before each /metrics, to bring gauges up to date. */
	void (*refresh)(void *context);
	void *context;
};

/* address "HOST:PORT", numeric. Port taken: NULL with error, naming the address. */
struct admin *admin_new(uv_loop_t *loop, const char *address,
	const struct admin_source *source, GError **error);
/* The port in use, where address asked for port 0. */
unsigned admin_port(const struct admin *admin);

/* Stops at once; handles close with the loop's next turns. Sets *admin to NULL. */
void admin_free(struct admin **admin);

#endif
