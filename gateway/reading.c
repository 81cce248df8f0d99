/* One piece of work for libuv's threads. What becomes of its result is serve.c's. */
#include "gateway/reading.h"

#include <openssl/crypto.h>
#include <string.h>

struct work {
	uv_work_t request;
	uv_loop_t *loop;
	struct reading reading;
	const char *path;
	struct conf *now;
	struct metrics *metrics;
	const struct relay_memory *memory;
	void (*done)(void *context, struct reading *reading);
	void *context;
};

/* What a running gateway cannot change; the reason when new settings try to. */
static const char *needs_restart(const struct conf *old, const struct conf *new)
{
	if (strcmp(old->queue.directory, new->queue.directory))
		return "queue.directory cannot change while the gateway runs: restart it";
	if (old->queue.workers != new->queue.workers)
		return "queue.workers cannot change while the gateway runs: restart it";
	if (g_strcmp0(old->admin_listen, new->admin_listen))
		return "admin.listen cannot change while the gateway runs: restart it";
	if (g_strcmp0(old->downloads.listen, new->downloads.listen) ||
		old->downloads.tls != new->downloads.tls ||
		g_strcmp0(old->s3.directory, new->s3.directory))
		return "s3.directory, s3.listen and s3.listen_tls cannot change while "
		       "the gateway runs: restart it";
	return NULL;
}

static bool open_all(struct work *work, GError **error)
{
	struct reading *reading = &work->reading;
	reading->route = route_new(reading->conf, work->metrics, work->memory, error);
	if (reading->route)
		reading->door = smtp_settings_new(reading->conf, work->metrics, error);
	return reading->door;
}

static void read_all(uv_work_t *request)
{
	struct work *work = request->data;
	struct reading *reading = &work->reading;
	g_autoptr(GError) error = NULL;
	reading->conf = conf_load(work->path, reading->problems, reading->warnings);
	if (!reading->conf)
		return;
	const char *reason = needs_restart(work->now, reading->conf);
	if (reason)
		g_ptr_array_add(reading->problems, g_strdup(reason));
	else if (!open_all(work, &error))
		g_ptr_array_add(reading->problems, g_strdup(error->message));
	/* What OpenSSL keeps for a thread would lie in libuv's until the process ends. */
	OPENSSL_thread_stop();
}

static void drop_route(uv_work_t *request)
{
	struct work *work = request->data;
	route_unref(&work->reading.route);
	OPENSSL_thread_stop();
}

static void on_dropped(uv_work_t *request, int status)
{
	struct work *work = request->data;
	(void)status; /* nothing cancels it */
	g_free(work);
}

static void on_read(uv_work_t *request, int status)
{
	struct work *work = request->data;
	struct reading *reading = &work->reading;
	(void)status;
	work->done(work->context, reading);
	smtp_settings_unref(&reading->door);
	if (reading->conf)
		conf_unref(reading->conf);
	g_ptr_array_unref(reading->problems);
	g_ptr_array_unref(reading->warnings);
	conf_unref(work->now);
	uv_queue_work(work->loop, request, drop_route, on_dropped);
}

void reading_start(uv_loop_t *loop, const char *path, struct conf *now,
	struct metrics *metrics, const struct relay_memory *memory,
	void (*done)(void *context, struct reading *reading), void *context)
{
	struct work *work = g_new0(struct work, 1);
	work->request.data = work;
	work->loop = loop;
	work->reading.problems = g_ptr_array_new_with_free_func(g_free);
	work->reading.warnings = g_ptr_array_new_with_free_func(g_free);
	work->path = path;
	work->now = conf_ref(now);
	work->metrics = metrics;
	work->memory = memory;
	work->done = done;
	work->context = context;
	uv_queue_work(loop, &work->request, read_all, on_read);
}
