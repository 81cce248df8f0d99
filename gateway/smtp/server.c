/* The listeners of the settings and the sessions of all of them. What is said in one is
 * the connection's and the session's. */
#include "gateway/smtp/server.h"

#include "gateway/log.h"
#include "gateway/smtp/connection.h"
#include "gateway/smtp/listener.h"
#include "gateway/smtp/watch.h"

#include <sys/resource.h>

/* For the queue, the relay and the store: a door full of clients must not starve them. */
#define DESCRIPTORS_KEPT 256

struct smtp_server {
	struct front front;
	struct smtp_settings *settings;
	struct watch *watch;
	struct inherited *inherited; /* at the start only */
	GPtrArray *listeners;
	unsigned listeners_alive; /* closed ones with open sessions included */
	bool started, freed;
	void (*drained)(void *context);
	void *context;
};

static void on_commits_closed(void *context)
{
	g_free(context);
}

/* After smtp_server_free(): when the last session and listener have
 * gone, so does the rest. */
static void free_if_over(struct smtp_server *server)
{
	if (!server->freed || server->listeners_alive)
		return;
	verifier_free(&server->front.verifier);
	screener_free(&server->front.screener);
	turns_free(&server->front.turns);
	ceilings_free(&server->front.ceilings);
	g_ptr_array_unref(server->listeners);
	smtp_settings_unref(&server->settings);
	commits_close(&server->front.commits, on_commits_closed, server);
}

/* A listener lives as long as its sessions: none alive, none open. */
static void on_listener_gone(void *owner)
{
	struct smtp_server *server = owner;
	server->listeners_alive--;
	if (!server->listeners_alive && server->drained) {
		void (*drained)(void *) = server->drained;
		server->drained = NULL;
		drained(server->context); /* it may free the server */
		return;
	}
	free_if_over(server);
}

static struct listener *find_listener(
	const struct smtp_server *server, const struct sockaddr_storage *address)
{
	for (guint i = 0; i < server->listeners->len; i++) {
		struct listener *listener = g_ptr_array_index(server->listeners, i);
		if (listener_has_address(listener, address))
			return listener;
	}
	return NULL;
}

static void close_listeners(GPtrArray *listeners)
{
	for (guint i = 0; i < listeners->len; i++) {
		struct listener *listener = g_ptr_array_index(listeners, i);
		listener_close(&listener);
	}
	g_ptr_array_set_size(listeners, 0);
}

static struct listener *open_listener(struct smtp_server *server,
	struct smtp_settings *settings, size_t index, GError **error)
{
	struct listener *listener = listener_new(&server->front, settings, index,
		server->inherited, on_listener_gone, server, error);
	if (listener)
		server->listeners_alive++;
	return listener;
}

/* Opens what settings have and the server has not. False: nothing new stays open. */
static bool open_new(struct smtp_server *server, struct smtp_settings *settings,
	GPtrArray *opened, GError **error)
{
	for (size_t i = 0; i < settings->conf->n_listeners; i++) {
		if (find_listener(server, &settings->conf->listeners[i].socket_address))
			continue;
		struct listener *listener = open_listener(server, settings, i, error);
		if (!listener) {
			close_listeners(opened);
			return false;
		}
		g_ptr_array_add(opened, listener);
	}
	return true;
}

/* Moves what settings keep from the server's listeners to kept. */
static void keep_old(
	struct smtp_server *server, struct smtp_settings *settings, GPtrArray *kept)
{
	for (size_t i = 0; i < settings->conf->n_listeners; i++) {
		struct listener *listener = find_listener(
			server, &settings->conf->listeners[i].socket_address);
		if (!listener)
			continue;
		listener_set(listener, settings, i);
		g_ptr_array_remove_fast(server->listeners, listener);
		g_ptr_array_add(kept, listener);
	}
}

/* Certificates or users have changed on the disk: for clients from now on. */
static void on_fresh(void *context, struct smtp_settings *settings)
{
	struct smtp_server *server = context;
	for (size_t i = 0; i < settings->conf->n_listeners; i++) {
		struct listener *listener = find_listener(
			server, &settings->conf->listeners[i].socket_address);
		if (listener)
			listener_set(listener, settings, i);
	}
	smtp_settings_unref(&server->settings);
	server->settings = smtp_settings_ref(settings);
}

bool smtp_server_reload(
	struct smtp_server *server, struct smtp_settings *settings, GError **error)
{
	g_autoptr(GPtrArray) listeners = g_ptr_array_new();
	if (!open_new(server, settings, listeners, error))
		return false;
	for (guint i = 0; i < listeners->len && server->started; i++)
		listener_start(g_ptr_array_index(listeners, i));
	keep_old(server, settings, listeners);
	close_listeners(server->listeners); /* those no longer wanted */
	g_ptr_array_extend(server->listeners, listeners, NULL, NULL);
	smtp_settings_unref(&server->settings);
	server->settings = smtp_settings_ref(settings);
	watch_follow(server->watch, settings);
	screener_set_settings(server->front.screener, settings->conf);
	return true;
}

static bool adopt(struct smtp_server *server, struct conf *conf, GError **error)
{
	struct smtp_settings *settings =
		smtp_settings_new(conf, server->front.metrics, error);
	bool adopted = settings && smtp_server_reload(server, settings, error);
	smtp_settings_unref(&settings);
	return adopted;
}

/* Takes all descriptors that the process may have; how many clients they are for. */
static unsigned max_connections(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return G_MAXUINT;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > G_MAXINT)
		return G_MAXINT;
	unsigned all = (unsigned)limit.rlim_cur;
	return all - MIN(DESCRIPTORS_KEPT, all / 2);
}

struct smtp_server *smtp_server_new(uv_loop_t *loop, struct conf *conf,
	struct queue *queue, struct metrics *metrics, GError **error)
{
	struct smtp_server *server = g_new0(struct smtp_server, 1);
	server->front.loop = loop;
	server->front.queue = queue;
	server->front.metrics = metrics;
	server->front.verifier = verifier_new(loop);
	server->front.commits = commits_new(loop, queue);
	server->front.ceilings = ceilings_new();
	server->front.screener = screener_new(loop);
	server->front.turns = turns_new(loop, connection_continue);
	g_queue_init(&server->front.connections);
	server->front.max_connections = max_connections();
	server->listeners = g_ptr_array_new();
	server->watch = watch_new(loop, WATCH_INTERVAL_MS, metrics, on_fresh, server);
	server->inherited = inherited_new();
	bool adopted = adopt(server, conf, error);
	inherited_free(&server->inherited);
	if (!adopted)
		smtp_server_free(&server);
	return server;
}

void smtp_server_start(struct smtp_server *server)
{
	server->started = true;
	for (guint i = 0; i < server->listeners->len; i++)
		listener_start(g_ptr_array_index(server->listeners, i));
}

void smtp_server_drain(
	struct smtp_server *server, void (*drained)(void *context), void *context)
{
	server->drained = drained;
	server->context = context;
	close_listeners(server->listeners);
	for (GList *link = server->front.connections.head; link; link = link->next)
		connection_drain(link->data);
	if (!server->listeners_alive) {
		server->drained = NULL;
		drained(context);
	}
}

size_t smtp_server_sessions(const struct smtp_server *server)
{
	return g_queue_get_length((GQueue *)&server->front.connections);
}

void smtp_server_free(struct smtp_server **server)
{
	struct smtp_server *old = *server;
	*server = NULL;
	if (!old)
		return;
	old->freed = true;
	old->drained = NULL;
	watch_close(&old->watch);
	close_listeners(old->listeners);
	for (GList *link = old->front.connections.head; link; link = link->next)
		connection_close(link->data);
	free_if_over(old);
}
