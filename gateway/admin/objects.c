/* The listener for links to a directory store: its connections, bounds and log. What is
 * answered is objects_answer.c's. */
#include "gateway/admin/objects.h"

#include "gateway/admin/listen.h"
#include "gateway/admin/objects_answer.h"
#include "gateway/admin/objects_tls.h"
#include "gateway/admin/requester.h"
#include "gateway/admin/visitors.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/queue/queue.h"
#include "gateway/smtp/ceilings.h"
#include "gateway/smtp/settings.h"
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#define THREADS          2
#define CONNECTIONS      256
#define CONNECTIONS_PEER 128 /* of one address */
#define TIMEOUT_S        30
#define MEMORY_BYTES     32768 /* of one connection: a link has up to 2 KiB */
#define LOOK_MS          5000
#define AGENT_BYTES      200

struct objects {
	struct MHD_Daemon *daemon;
	struct objects_source source;
	char *bucket, *region, *access_key_id, *secret_access_key;
	unsigned port;
	struct visitors *visitors;

	GMutex lock; /* of all below */
	struct conf *conf;
	struct objects_tls *tls; /* NULL: HTTP */
	char *certificates_look; /* their files, when they were loaded */
	struct ceilings *ceilings;
	int64_t turned_away_us; /* the last one in the log, and how many since */
	unsigned turned_away;
};

/* A connection, as long as it is open. */
struct guest {
	struct visitor *visitor;
	struct objects_tls *tls; /* the set that its handshake chooses from */
};

/* From the request line until the answer is out. */
struct request {
	char *target; /* as it was sent */
	int64_t begun_us;
	bool has_header, is_answered, was_later;
	struct objects_outcome outcome;
	struct sockaddr_storage requester;
	char *method, *agent;
};

/* --- the requester --- */

static enum MHD_Result append_hop(
	void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	GString *hops = context;
	(void)kind;
	if (value && !g_ascii_strcasecmp(name, "X-Forwarded-For"))
		g_string_append_printf(hops, "%s%s", hops->len ? "," : "", value);
	return MHD_YES;
}

/* Under lock. */
static void find_requester(const struct objects *objects,
	struct MHD_Connection *connection, struct request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	g_autoptr(GString) hops = g_string_new(NULL);
	if (!info || !info->client_addr)
		return;
	if (objects->conf && objects->conf->downloads.n_proxies)
		MHD_get_connection_values(connection, MHD_HEADER_KIND, append_hop, hops);
	requester_find(&request->requester, info->client_addr, hops->str,
		objects->conf ? objects->conf->downloads.proxies : NULL,
		objects->conf ? objects->conf->downloads.n_proxies : 0);
}

/* 0: the request may be answered; else after how many seconds. */
static unsigned must_wait_s(struct objects *objects, struct MHD_Connection *connection,
	struct request *request)
{
	unsigned wait_s = 0;
	g_mutex_lock(&objects->lock);
	find_requester(objects, connection, request);
	const struct conf_ceiling *ceiling =
		objects->conf ? &objects->conf->downloads.requests_per_minute : NULL;
	if (ceiling && request->requester.ss_family != AF_UNSPEC &&
		!ceilings_take_message(objects->ceilings, ceiling,
			(const struct sockaddr *)&request->requester,
			(uint64_t)g_get_monotonic_time() / 1000))
		wait_s = (60 + ceiling->n - 1) / ceiling->n;
	g_mutex_unlock(&objects->lock);
	return wait_s;
}

/* --- the log --- */

/* The key's last directory is named for the message; NULL where it is not. g_free(). */
static char *message_of(const char *key)
{
	g_autofree char *parent = key ? g_path_get_dirname(key) : NULL;
	g_autofree char *id = parent ? g_path_get_basename(parent) : NULL;
	return id && message_id_is_valid(id) ? g_steal_pointer(&id) : NULL;
}

static const char *reason_of(const struct request *request,
	enum MHD_RequestTerminationCode code, bool is_cut_off)
{
	if (is_cut_off)
		return "the client was too slow";
	if (code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
		return "the client stalled";
	if (code == MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
		return "the gateway stopped";
	if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		return "the client left";
	return request->outcome.reason;
}

static void log_request(const struct request *request, const char *reason)
{
	const struct objects_outcome *outcome = &request->outcome;
	char client[INET6_ADDRSTRLEN];
	requester_print(&request->requester, client);
	g_autofree char *id = message_of(outcome->key);
	int64_t took_ms = (g_get_monotonic_time() - request->begun_us) / 1000;
	bool has_body = strcmp(request->method, "HEAD") != 0;
	log_info(outcome->reason ? "object.refused" : "object.served", LOG_TEXT("id", id),
		LOG_TEXT("key", outcome->key), LOG_TEXT("method", request->method),
		LOG_NUMBER("status", outcome->status),
		LOG_NUMBER("bytes", has_body ? outcome->bytes : 0),
		LOG_NUMBER("duration_ms", took_ms), LOG_TEXT("client", client),
		LOG_TEXT("user_agent", request->agent),
		LOG_TEXT("request_id", outcome->request_id), LOG_TEXT("reason", reason));
}

/* Of those told to come later, one event a second with their number: a log is not theirs
 * to fill. */
static void log_turned_away(struct objects *objects, const struct request *request)
{
	int64_t now_us = g_get_monotonic_time();
	unsigned n = 0;
	g_mutex_lock(&objects->lock);
	objects->turned_away++;
	if (!objects->turned_away_us ||
		now_us - objects->turned_away_us >= G_TIME_SPAN_SECOND) {
		n = objects->turned_away;
		objects->turned_away = 0;
		objects->turned_away_us = now_us;
	}
	g_mutex_unlock(&objects->lock);
	if (!n)
		return;
	char client[INET6_ADDRSTRLEN];
	requester_print(&request->requester, client);
	log_warning("object.too_many_requests", LOG_TEXT("client", client),
		LOG_NUMBER("status", request->outcome.status), LOG_NUMBER("requests", n),
		LOG_TEXT("reason",
			"more than s3.listen_requests_per_minute from one address"));
}

/* --- libmicrohttpd's callbacks, on its threads --- */

static struct guest *guest_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static struct guest *greet(struct objects *objects, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct guest *guest = g_new0(struct guest, 1);
	guest->visitor = visitors_enter(objects->visitors, info ? info->connect_fd : -1);
	g_mutex_lock(&objects->lock);
	guest->tls = objects->tls ? objects_tls_ref(objects->tls) : NULL;
	g_mutex_unlock(&objects->lock);
	info = guest->tls ? MHD_get_connection_info(
				    connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)
			  : NULL;
	if (info)
		objects_tls_use(guest->tls, info->tls_session);
	return guest;
}

static void on_connection(void *context, struct MHD_Connection *connection,
	void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	struct objects *objects = context;
	struct guest *guest = *socket_context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = greet(objects, connection);
		return;
	}
	if (!guest)
		return;
	visitors_leave(objects->visitors, guest->visitor);
	objects_tls_unref(guest->tls);
	g_free(guest);
	*socket_context = NULL;
}

static void *on_request_line(
	void *unused, const char *target, struct MHD_Connection *connection)
{
	(void)unused;
	(void)connection;
	struct request *request = g_new0(struct request, 1);
	request->target = g_strdup(target);
	request->begun_us = g_get_monotonic_time();
	return request;
}

static void on_completed(void *context, struct MHD_Connection *connection,
	void **request_context, enum MHD_RequestTerminationCode code)
{
	struct objects *objects = context;
	struct request *request = *request_context;
	struct guest *guest = guest_of(connection);
	if (!request)
		return;
	bool is_cut_off = guest && visitors_answered(objects->visitors, guest->visitor);
	if (request->was_later)
		log_turned_away(objects, request);
	else if (request->is_answered)
		log_request(request, reason_of(request, code, is_cut_off));
	g_free(request->outcome.key);
	g_free(request->method);
	g_free(request->agent);
	g_free(request->target);
	g_free(request);
	*request_context = NULL;
}

static enum MHD_Result answer(struct objects *objects, struct MHD_Connection *connection,
	const char *method, struct request *request)
{
	const char *agent = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_USER_AGENT);
	struct guest *guest = guest_of(connection);
	if (guest)
		visitors_asked(objects->visitors, guest->visitor);
	request->is_answered = true;
	request->method = g_strndup(method, 16);
	request->agent = agent ? g_strndup(agent, AGENT_BYTES) : NULL;
	unsigned wait_s = must_wait_s(objects, connection, request);
	request->was_later = wait_s != 0;
	return wait_s ? objects_answer_later(connection, wait_s, &request->outcome)
		      : objects_answer(&objects->source, connection, method,
				request->target, &request->outcome);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_bytes, void **request_context)
{
	(void)path; /* decoded: of no use for a signature */
	(void)version;
	(void)upload;
	struct request *request = *request_context;
	bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");
	if (reads && !request->has_header) { /* the rest of the request follows */
		request->has_header = true;
		return MHD_YES;
	}
	if (reads && *upload_bytes)
		return MHD_NO; /* a body is no part of what is asked here */
	return answer(context, connection, method, request);
}

/* --- certificates --- */

/* False with error; *tls NULL where there is to be no TLS. */
static bool load_tls(
	struct conf *conf, struct objects_tls **tls, char **look, GError **error)
{
	*tls = NULL;
	*look = NULL;
	if (!conf || !conf->downloads.tls)
		return true;
	*look = smtp_files_look(conf, SMTP_FILES_TLS);
	*tls = objects_tls_load(conf, error);
	return *tls != NULL;
}

/* Takes all three. */
static void put_in_force(
	struct objects *objects, struct conf *conf, struct objects_tls *tls, char *look)
{
	g_mutex_lock(&objects->lock);
	struct conf *old_conf = objects->conf;
	struct objects_tls *old_tls = objects->tls;
	char *old_look = objects->certificates_look;
	objects->conf = conf;
	objects->tls = tls;
	objects->certificates_look = look;
	g_mutex_unlock(&objects->lock);
	conf_unref(old_conf);
	objects_tls_unref(old_tls);
	g_free(old_look);
}

bool objects_reload(struct objects *objects, struct conf *conf, GError **error)
{
	struct objects_tls *tls;
	char *look;
	if (!load_tls(conf, &tls, &look, error)) {
		g_free(look);
		return false;
	}
	put_in_force(objects, conf ? conf_ref(conf) : NULL, tls, look);
	return true;
}

/* On the visitors' thread. What cannot be loaded is tried again when it changes. */
static void renew_certificates(void *context)
{
	struct objects *objects = context;
	g_mutex_lock(&objects->lock);
	struct conf *conf =
		objects->conf && objects->tls ? conf_ref(objects->conf) : NULL;
	g_mutex_unlock(&objects->lock);
	if (!conf)
		return;
	g_autoptr(GError) error = NULL;
	g_autofree char *look = smtp_files_look(conf, SMTP_FILES_TLS);
	g_mutex_lock(&objects->lock);
	bool changed = strcmp(look, objects->certificates_look) != 0;
	if (changed) {
		g_free(objects->certificates_look);
		objects->certificates_look = g_strdup(look);
	}
	g_mutex_unlock(&objects->lock);
	if (changed && objects_reload(objects, conf, &error))
		log_info("objects.certificate_renewed",
			LOG_TEXT("file", conf->tls_certificate));
	else if (changed)
		log_warning(
			"objects.certificate_kept", LOG_TEXT("reason", error->message));
	conf_unref(conf);
}

/* --- the listener --- */

/* Takes fd in any case. */
static struct MHD_Daemon *start_daemon(struct objects *objects, int fd)
{
	bool is_behind = objects->conf && objects->conf->downloads.n_proxies;
	const struct MHD_OptionItem https[] = {
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)OBJECTS_TLS_PRIORITIES },
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
			(void *)(uintptr_t)objects_tls_choose },
		{ MHD_OPTION_END, 0, NULL },
	};
	const struct MHD_OptionItem http[] = { { MHD_OPTION_END, 0, NULL } };
	struct MHD_Daemon *daemon =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG |
					 (objects->tls ? MHD_USE_TLS : 0),
			0, NULL, NULL, on_request, objects, MHD_OPTION_EXTERNAL_LOGGER,
			listen_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
			MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
			MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
			MHD_OPTION_PER_IP_CONNECTION_LIMIT,
			(unsigned)(is_behind ? CONNECTIONS : CONNECTIONS_PEER),
			MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
			MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL,
			MHD_OPTION_NOTIFY_COMPLETED, on_completed, objects,
			MHD_OPTION_NOTIFY_CONNECTION, on_connection, objects,
			MHD_OPTION_ARRAY, objects->tls ? https : http, MHD_OPTION_END);
	if (!daemon)
		close(fd);
	return daemon;
}

static struct objects *new_idle(const struct objects_settings *settings)
{
	struct objects *objects = g_new0(struct objects, 1);
	g_mutex_init(&objects->lock);
	objects->bucket = g_strdup(settings->bucket);
	objects->region = g_strdup(settings->region);
	objects->access_key_id = g_strdup(settings->access_key_id);
	objects->secret_access_key = g_strdup(settings->secret_access_key);
	objects->source = (struct objects_source){ -1, objects->bucket, objects->region,
		objects->access_key_id, objects->secret_access_key };
	objects->ceilings = ceilings_new();
	return objects;
}

static bool start(
	struct objects *objects, const struct objects_settings *settings, GError **error)
{
	objects->source.directory = objects_open_directory(settings->directory, error);
	if (objects->source.directory < 0 ||
		!objects_reload(objects, settings->conf, error))
		return false;
	int fd = listen_open(settings->address, error);
	if (fd < 0)
		return false;
	objects->port = listen_port(fd);
	objects->visitors = visitors_new(LOOK_MS, renew_certificates, objects, error);
	if (!objects->visitors) {
		close(fd);
		return false;
	}
	objects->daemon = start_daemon(objects, fd);
	if (!objects->daemon)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot serve objects on %s", settings->address);
	return objects->daemon != NULL;
}

struct objects *objects_new(const struct objects_settings *settings, GError **error)
{
	struct objects *objects = new_idle(settings);
	if (!start(objects, settings, error))
		objects_free(&objects);
	return objects;
}

unsigned objects_port(const struct objects *objects)
{
	return objects->port;
}

void objects_free(struct objects **objects)
{
	struct objects *o = *objects;
	if (!o)
		return;
	*objects = NULL;
	if (o->daemon)
		MHD_stop_daemon(o->daemon);
	visitors_free(&o->visitors);
	if (o->source.directory >= 0)
		close(o->source.directory);
	ceilings_free(&o->ceilings);
	objects_tls_unref(o->tls);
	conf_unref(o->conf);
	g_mutex_clear(&o->lock);
	g_free(o->certificates_look);
	OPENSSL_cleanse(o->secret_access_key, strlen(o->secret_access_key));
	g_free(o->secret_access_key);
	g_free(o->access_key_id);
	g_free(o->region);
	g_free(o->bucket);
	g_free(o);
}
