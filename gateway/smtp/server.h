/*
 * server - the front door: all listeners of the settings, their TLS
 * contexts, their sessions.
 *
 * Thread: the loop's, for every call. The process ignores SIGPIPE: libuv writes plainly.
 */
#ifndef GATEWAY_SMTP_SERVER_H
#define GATEWAY_SMTP_SERVER_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/queue/queue.h"
#include "gateway/smtp/settings.h"
#include <glib.h>
#include <stdbool.h>
#include <uv.h>

struct smtp_server;

/* Loads certificate and users, binds every listener. NULL with GATEWAY_ERROR_MEND naming
 * the address or file: nothing stays bound (what was opened closes with the
 * loop's next turns: run it). Takes a reference to conf; queue and metrics
 * are borrowed. */
struct smtp_server *smtp_server_new(uv_loop_t *loop, struct conf *conf,
	struct queue *queue, struct metrics *metrics, GError **error);

/* Begins to accept. */
void smtp_server_start(struct smtp_server *server);

/* Takes new settings (a reference to them): listeners are opened, closed or kept by
 * address. Open sessions go on with what they began with. False: the old ones stay in
 * force entirely. */
bool smtp_server_reload(
	struct smtp_server *server, struct smtp_settings *settings, GError **error);

/* Stops accepting. Sessions between messages get 421 4.3.2 now, others after the message
 * they are in. drained is called once, when the last session has ended (at once if there
 * is none). */
void smtp_server_drain(
	struct smtp_server *server, void (*drained)(void *context), void *context);

size_t smtp_server_sessions(const struct smtp_server *server);

/* Closes what is left, without a word. Memory goes with the loop's next turns: run it
 * until its handles have closed. Sets *server to NULL. */
void smtp_server_free(struct smtp_server **server);

#endif
