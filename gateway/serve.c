/* Owns the loop and the order in which things start, reload and
 * stop. Does no work itself. */
#include "gateway/serve.h"

#include "conf/conf.h"
#include "gateway/admin/admin.h"
#include "gateway/admin/metrics.h"
#include "gateway/admin/objects.h"
#include "gateway/delivery/delivery.h"
#include "gateway/log.h"
#include "gateway/parting.h"
#include "gateway/problems.h"
#include "gateway/queue/queue.h"
#include "gateway/queue/sweeper.h"
#include "gateway/reading.h"
#include "gateway/signals.h"
#include "gateway/smtp/server.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <uv.h>

#define PARTING_LEAST_US (2 * G_TIME_SPAN_SECOND)

struct gateway {
	const char *path;
	struct conf *conf;
	struct metrics *metrics;
	struct queue *queue;
	struct relay_memory *memory;
	struct route *route;
	struct delivery *delivery;
	struct smtp_server *server;
	struct objects *objects;
	struct sweeper *sweeper; /* NULL: no directory store */
	struct admin *admin;
	char *not_ready; /* the last answer to /readyz */

	uv_loop_t loop;
	struct signals *signals;
	uv_timer_t watchdog, deadline;
	uv_async_t delivery_over;
	bool reading, read_again; /* the settings; once more when that is done */
	bool stopping;
	int64_t stop_by_us; /* monotonic time */
	bool sessions_ended, deliveries_ended;
};

static const char *not_ready(void *context)
{
	struct gateway *gateway = context;
	g_autoptr(GError) error = NULL;
	g_clear_pointer(&gateway->not_ready, g_free);
	if (gateway->stopping)
		gateway->not_ready = g_strdup("stopping");
	else if (!queue_is_ready(gateway->queue, &error))
		gateway->not_ready = g_strdup(error->message);
	return gateway->not_ready;
}

static void refresh_metrics(void *context)
{
	struct gateway *gateway = context;
	size_t counts[QUEUE_STATES];
	int64_t oldest_ms;
	queue_statistics(gateway->queue, counts, &oldest_ms);
	for (unsigned state = 0; state < QUEUE_STATES; state++)
		metrics_set(gateway->metrics, METRIC_QUEUE_MESSAGES,
			queue_state_name((enum queue_state)state), (double)counts[state]);
	double age_s =
		oldest_ms ? (double)(g_get_real_time() / 1000 - oldest_ms) / 1000 : 0;
	metrics_set(gateway->metrics, METRIC_QUEUE_OLDEST_SECONDS, NULL, age_s);
}

static void close_handles(struct gateway *gateway)
{
	uv_handle_t *handles[] = {
		(uv_handle_t *)&gateway->watchdog,
		(uv_handle_t *)&gateway->deadline,
		(uv_handle_t *)&gateway->delivery_over,
	};
	for (size_t i = 0; i < G_N_ELEMENTS(handles); i++)
		uv_close(handles[i], NULL);
	signals_free(&gateway->signals);
	smtp_server_free(&gateway->server);
	if (gateway->admin)
		admin_free(&gateway->admin);
}

static void end_when_all_ended(struct gateway *gateway)
{
	if (gateway->sessions_ended && gateway->deliveries_ended)
		close_handles(gateway); /* uv_run() returns when the last has closed */
}

static void on_sessions_ended(void *context)
{
	struct gateway *gateway = context;
	gateway->sessions_ended = true;
	end_when_all_ended(gateway);
}

static void on_delivery_over(uv_async_t *handle)
{
	struct gateway *gateway = handle->data;
	gateway->deliveries_ended = true;
	end_when_all_ended(gateway);
}

/* Called on a worker's thread. */
static void tell_delivery_over(void *context)
{
	struct gateway *gateway = context;
	uv_async_send(&gateway->delivery_over);
}

/* What runs still cannot be ended from here; all that was accepted is durable, so the
 * process may end beneath it, as it may by a loss of power. */
static void leave_at_once(struct gateway *gateway, const char *reason)
{
	log_warning("gateway.stopped", LOG_TEXT("reason", reason),
		LOG_NUMBER("sessions", smtp_server_sessions(gateway->server)),
		LOG_NUMBER("deliveries", delivery_in_flight(gateway->delivery)));
	_exit(EX_OK);
}

static void on_deadline(uv_timer_t *timer)
{
	leave_at_once(timer->data,
		"shutdown_timeout passed; what was under way is tried again "
		"at the next start");
}

static void stop(struct gateway *gateway, int signal_number)
{
	if (gateway->stopping) {
		leave_at_once(gateway, "told to stop a second time");
		return;
	}
	log_info("gateway.stopping", LOG_TEXT("signal", strsignal(signal_number)),
		LOG_NUMBER("sessions", smtp_server_sessions(gateway->server)),
		LOG_NUMBER("deliveries", delivery_in_flight(gateway->delivery)));
	sd_notify(0, "STOPPING=1");
	gateway->stopping = true;
	gateway->stop_by_us = g_get_monotonic_time() +
			      gateway->conf->shutdown_timeout_s * G_TIME_SPAN_SECOND;
	uv_timer_start(&gateway->deadline, on_deadline,
		gateway->conf->shutdown_timeout_s * 1000ULL, 0);
	queue_stop(gateway->queue);
	delivery_hurry(gateway->delivery);
	smtp_server_drain(gateway->server, on_sessions_ended, gateway);
}

static void log_problems(
	const char *event, enum log_level level, const GPtrArray *problems)
{
	for (guint i = 0; i < problems->len; i++)
		log_event(
			level, event, LOG_TEXT("reason", g_ptr_array_index(problems, i)));
}

static void set_log(const struct conf *conf)
{
	bool human = conf->log_format == CONF_LOG_HUMAN ||
		     (conf->log_format == CONF_LOG_AUTO && isatty(STDERR_FILENO));
	log_init(human, conf->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}

static bool put_in_force(struct gateway *gateway, struct reading *reading, GError **error)
{
	if (gateway->objects && !objects_reload(gateway->objects, reading->conf, error))
		return false;
	if (!smtp_server_reload(gateway->server, reading->door, error)) {
		if (gateway->objects)
			objects_reload(gateway->objects, gateway->conf, NULL);
		return false;
	}
	delivery_set_route(gateway->delivery, reading->route);
	struct route *old = gateway->route;
	gateway->route = reading->route;
	reading->route = old;
	conf_unref(gateway->conf);
	gateway->conf = conf_ref(reading->conf);
	queue_set_settings(gateway->queue, &gateway->conf->queue);
	if (gateway->sweeper)
		sweeper_set_retention(gateway->sweeper, gateway->conf->s3_retention_s);
	set_log(gateway->conf);
	return true;
}

static void take_reading(struct gateway *gateway, struct reading *reading)
{
	g_autoptr(GError) error = NULL;
	log_problems("settings.warning", LOG_LEVEL_WARNING, reading->warnings);
	if (reading->problems->len)
		log_problems("settings.rejected", LOG_LEVEL_WARNING, reading->problems);
	else if (put_in_force(gateway, reading, &error))
		log_info("settings.reloaded", LOG_TEXT("file", gateway->path));
	else
		log_warning("settings.rejected", LOG_TEXT("reason", error->message));
}

static void reload(struct gateway *gateway);

static void on_read(void *context, struct reading *reading)
{
	struct gateway *gateway = context;
	gateway->reading = false;
	if (gateway->stopping)
		return;
	take_reading(gateway, reading);
	if (gateway->read_again)
		reload(gateway);
	else
		sd_notify(0, "READY=1");
}

/* However often it is told to, it reads one time after the other, and once behind the
 * last. */
static void reload(struct gateway *gateway)
{
	gateway->read_again = gateway->reading;
	if (gateway->reading)
		return;
	gateway->reading = true;
	sd_notify(0, "RELOADING=1");
	reading_start(&gateway->loop, gateway->path, gateway->conf, gateway->metrics,
		gateway->memory, on_read, gateway);
}

static void on_signal(void *context, int signal_number)
{
	struct gateway *gateway = context;
	if (signal_number != SIGHUP)
		stop(gateway, signal_number);
	else if (!gateway->stopping)
		reload(gateway);
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	sd_notify(0, "WATCHDOG=1");
}

/* 0, or libuv's error: no descriptors or memory left at the very start. */
static int init_loop(struct gateway *gateway)
{
	int bad = uv_loop_init(&gateway->loop);
	if (bad == 0) {
		gateway->signals = signals_new(&gateway->loop, on_signal, gateway);
		bad = gateway->signals ? 0 : -errno;
	}
	if (bad == 0)
		bad = uv_async_init(
			&gateway->loop, &gateway->delivery_over, on_delivery_over);
	if (bad != 0)
		return bad;
	gateway->delivery_over.data = gateway;
	uv_timer_init(&gateway->loop, &gateway->deadline);
	gateway->deadline.data = gateway;
	uv_timer_init(&gateway->loop, &gateway->watchdog);
	uint64_t watchdog_us = 0;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		uv_timer_start(&gateway->watchdog, on_watchdog, 0, watchdog_us / 2000);
	return 0;
}

static bool start_objects(struct gateway *gateway, GError **error)
{
	const struct s3_settings *s3 = &gateway->conf->s3;
	if (!s3->directory || !gateway->conf->downloads.listen)
		return true;
	g_autofree char *access_key_id = NULL;
	char *secret_access_key = NULL;
	if (!s3_directory_credentials(
		    s3->directory, &access_key_id, &secret_access_key, error))
		return false;
	const struct objects_settings settings = {
		.address = gateway->conf->downloads.listen,
		.directory = s3->directory,
		.bucket = s3_store_bucket(gateway->route->store),
		.region = s3_store_region(gateway->route->store),
		.access_key_id = access_key_id,
		.secret_access_key = secret_access_key,
		.conf = gateway->conf,
	};
	gateway->objects = objects_new(&settings, error);
	OPENSSL_cleanse(secret_access_key, strlen(secret_access_key));
	g_free(secret_access_key);
	return gateway->objects != NULL;
}

static bool start_sweeper(struct gateway *gateway, GError **error)
{
	const struct conf *conf = gateway->conf;
	if (!conf->s3.directory)
		return true;
	gateway->sweeper = sweeper_new(
		conf->s3.directory, conf->queue.directory, conf->s3_retention_s);
	return sweeper_start(gateway->sweeper, error);
}

/* In order: what can be refused comes before what does work. The workers start last, when
 * a start cannot fail any more. */
static bool start(struct gateway *gateway, GError **error)
{
	struct conf *conf = gateway->conf;
	gateway->queue = queue_new(&conf->queue, error);
	if (!gateway->queue)
		return false;
	gateway->memory = route_memory_new(gateway->queue);
	gateway->route = route_new(conf, gateway->metrics, gateway->memory, error);
	if (!gateway->route || !start_objects(gateway, error) ||
		!start_sweeper(gateway, error))
		return false;
	gateway->server = smtp_server_new(
		&gateway->loop, conf, gateway->queue, gateway->metrics, error);
	if (!gateway->server)
		return false;
	const struct admin_source source = { gateway->metrics, not_ready, refresh_metrics,
		gateway };
	if (conf->admin_listen) {
		gateway->admin =
			admin_new(&gateway->loop, conf->admin_listen, &source, error);
		if (!gateway->admin)
			return false;
	}
	gateway->delivery = delivery_new(gateway->queue, gateway->metrics, gateway->route,
		tell_delivery_over, gateway);
	smtp_server_start(gateway->server);
	return true;
}

static void log_ready(const struct gateway *gateway)
{
	g_autoptr(GString) addresses = g_string_new(NULL);
	for (size_t i = 0; i < gateway->conf->n_listeners; i++)
		g_string_append_printf(addresses, "%s%s %s", i ? ", " : "",
			gateway->conf->listeners[i].name,
			gateway->conf->listeners[i].address);
	log_info("gateway.ready", LOG_TEXT("listeners", addresses->str),
		LOG_TEXT("objects",
			gateway->objects ? gateway->conf->s3.directory_url : NULL),
		LOG_TEXT("admin", gateway->conf->admin_listen),
		LOG_NUMBER("pid", getpid()));
}

/* Who used up his time waiting for others has a little left. */
static struct parting *part(const struct gateway *gateway)
{
	int64_t least_us = g_get_monotonic_time() + PARTING_LEAST_US;
	return parting_new(MAX(gateway->stop_by_us, least_us));
}

/* Frees in the reverse order of start(), whatever of it was reached. */
static void deinit(struct gateway *gateway)
{
	delivery_free(&gateway->delivery);
	sweeper_free(&gateway->sweeper);
	if (gateway->objects)
		objects_free(&gateway->objects);
	route_unref(&gateway->route);
	route_memory_free(&gateway->memory);
	if (gateway->queue)
		queue_free(&gateway->queue);
	conf_unref(gateway->conf);
	metrics_free(&gateway->metrics);
	g_free(gateway->not_ready);
	uv_loop_close(&gateway->loop);
}

int serve(const char *path)
{
	g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
	struct gateway gateway = { .path = path };
	gateway.conf = problems_load_conf(path, warnings);
	if (!gateway.conf)
		return EX_CONFIG;
	set_log(gateway.conf);
	log_problems("settings.warning", LOG_LEVEL_WARNING, warnings);
	signal(SIGPIPE, SIG_IGN);
	signals_block();
	mime_init();
	gateway.metrics = metrics_new();
	int bad = init_loop(&gateway);
	if (bad != 0) {
		log_error("gateway.failed", LOG_TEXT("reason", uv_strerror(bad)));
		return EX_OSERR; /* with all of it given back by the process's end */
	}

	g_autoptr(GError) error = NULL;
	bool started = start(&gateway, &error);
	if (started) {
		log_ready(&gateway);
		sd_notify(0, "READY=1");
	} else {
		log_error("gateway.failed", LOG_TEXT("reason", error->message));
		close_handles(&gateway);
	}
	uv_run(&gateway.loop, UV_RUN_DEFAULT);
	struct parting *parting = started ? part(&gateway) : NULL;
	deinit(&gateway);
	parting_free(&parting);
	if (started)
		log_info("gateway.stopped", LOG_TEXT("reason", "told to stop"));
	return started ? EX_OK : EX_UNAVAILABLE;
}
