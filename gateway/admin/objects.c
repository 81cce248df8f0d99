/* Sends objects of a directory store to whoever holds a good link. Judging links is
 * presigned.c's, ranges and conditions are http.c's. */
#include "gateway/admin/objects.h"

#include "gateway/admin/http.h"
#include "gateway/admin/listen.h"
#include "gateway/admin/presigned.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS          2
#define CONNECTIONS      256
#define CONNECTIONS_PEER 128 /* of one address: a proxy in front is one */
#define TIMEOUT_S        30
#define MEMORY_BYTES     32768 /* of one connection: a link has up to 2 KiB */
#define DIRECTORY_MODE   0750
#define REQUEST_ID_BYTES 8

struct objects {
	struct MHD_Daemon *daemon;
	int directory; /* of the objects, O_PATH */
	char *bucket, *region, *access_key_id, *secret_access_key;
	unsigned port;
};

/* From the request line until the answer is out. */
struct request {
	char *target; /* as it was sent */
	bool begun;
};

/* One answer in the making. */
struct reply {
	const struct objects *objects;
	struct MHD_Connection *connection;
	struct presigned *link;
	char request_id[2 * REQUEST_ID_BYTES + 1];
};

/* --- files --- */

/* The object's descriptor, or -1: no such regular file. Follows no symbolic link and, the
 * key being plain, never leaves the directory. */
static int open_object(int directory, const char *key, struct stat *status)
{
	g_auto(GStrv) names = g_strsplit(key, "/", -1);
	int at = directory;
	char **name = names;
	for (; name[1] && at >= 0; name++) {
		int next =
			openat(at, *name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (at != directory)
			close(at);
		at = next;
	}
	if (at < 0)
		return -1;
	int fd = openat(
		at, *name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (at != directory)
		close(at);
	if (fd >= 0 && (fstat(fd, status) || !S_ISREG(status->st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int open_directory(const char *directory, GError **error)
{
	g_autofree char *path = g_build_filename(directory, "objects", NULL);
	int fd = -1;
	if (!g_mkdir_with_parents(path, DIRECTORY_MODE))
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"cannot open the object directory %s: %s", path,
			g_strerror(errno));
	return fd;
}

/* --- answers --- */

static const char *header_of(void *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void client_address(
	struct MHD_Connection *connection, char text[static INET6_ADDRSTRLEN])
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info ? info->client_addr : NULL;
	const void *octets = NULL;
	*text = '\0';
	if (address && address->sa_family == AF_INET)
		octets = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	else if (address && address->sa_family == AF_INET6)
		octets = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (octets)
		inet_ntop(address->sa_family, octets, text, INET6_ADDRSTRLEN);
}

/* Queues and releases the response. */
static enum MHD_Result send_response(
	struct reply *reply, unsigned status, struct MHD_Response *response)
{
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "x-amz-request-id", reply->request_id);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(
		response, "Content-Security-Policy", "default-src 'none'; sandbox");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	enum MHD_Result result = MHD_queue_response(reply->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static void append_element(GString *xml, const char *name, const char *text)
{
	if (!text)
		return;
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	for (char *p = valid; *p; p++) { /* XML 1.0 has no place for controls */
		if (g_ascii_iscntrl(*p))
			*p = '?';
	}
	g_autofree char *escaped = g_markup_escape_text(valid, -1);
	g_string_append_printf(xml, "<%s>%s</%s>", name, escaped, name);
}

static void append_time(GString *xml, const char *name, int64_t time_s)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_s);
	g_autofree char *text =
		time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
	append_element(xml, name, text);
}

/* S3 API Reference, "REST Error Responses". */
static GString *fault_body(const struct reply *reply, const struct presigned_fault *fault)
{
	const struct presigned *link = reply->link;
	GString *xml =
		g_string_new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
	append_element(xml, "Code", fault->code);
	append_element(xml, "Message", fault->message);
	if (!strcmp(fault->code, "AccessDenied") && link->expires_s) {
		g_autofree char *expires = g_strdup_printf("%u", link->expires_s);
		append_element(xml, "X-Amz-Expires", expires);
		append_time(xml, "Expires", link->expires_at_s);
		append_time(xml, "ServerTime", g_get_real_time() / G_USEC_PER_SEC);
	} else if (!strcmp(fault->code, "NoSuchKey")) {
		append_element(xml, "Key", link->key);
	} else if (!strcmp(fault->code, "NoSuchBucket")) {
		append_element(xml, "BucketName", link->bucket);
	}
	append_element(xml, "RequestId", reply->request_id);
	g_string_append(xml, "</Error>\n");
	return xml;
}

static enum MHD_Result send_fault(struct reply *reply,
	const struct presigned_fault *fault, const char *field, const char *value)
{
	char client[INET6_ADDRSTRLEN];
	client_address(reply->connection, client);
	log_info("object.refused", LOG_TEXT("reason", fault->code),
		LOG_NUMBER("status", fault->status), LOG_TEXT("client", client));
	GString *xml = fault_body(reply, fault);
	size_t bytes = xml->len;
	char *body = g_string_free(xml, FALSE);
	struct MHD_Response *response =
		MHD_create_response_from_buffer_with_free_callback(bytes, body, g_free);
	if (!response) {
		g_free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "application/xml");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	if (field)
		MHD_add_response_header(response, field, value);
	return send_response(reply, fault->status, response);
}

static void add_entity_headers(const struct reply *reply, struct MHD_Response *response,
	const struct http_entity *entity)
{
	static const char *const defaults[PRESIGNED_OVERRIDES] = {
		[PRESIGNED_CONTENT_TYPE] = "binary/octet-stream",
		[PRESIGNED_CACHE_CONTROL] = "private",
	};
	MHD_add_response_header(response, "ETag", entity->etag);
	MHD_add_response_header(response, "Last-Modified", entity->last_modified);
	MHD_add_response_header(response, "Accept-Ranges", "bytes");
	for (size_t i = 0; i < PRESIGNED_OVERRIDES; i++) {
		const char *value = reply->link->overrides[i];
		if (!value || !*value)
			value = defaults[i];
		if (value)
			MHD_add_response_header(
				response, presigned_override_fields[i], value);
	}
}

/* Takes fd. */
static enum MHD_Result send_part(struct reply *reply, int fd,
	const struct http_entity *entity, unsigned status, uint64_t offset,
	uint64_t length)
{
	struct MHD_Response *response =
		MHD_create_response_from_fd_at_offset64(length, fd, offset);
	if (!response) {
		close(fd);
		return MHD_NO;
	}
	char client[INET6_ADDRSTRLEN];
	client_address(reply->connection, client);
	log_info("object.served", LOG_TEXT("key", reply->link->key),
		LOG_NUMBER("status", status),
		LOG_NUMBER("bytes", status == MHD_HTTP_NOT_MODIFIED ? 0 : length),
		LOG_TEXT("client", client));
	add_entity_headers(reply, response, entity);
	if (status == MHD_HTTP_PARTIAL_CONTENT) {
		g_autofree char *range =
			g_strdup_printf("bytes %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT
					"/%" G_GUINT64_FORMAT,
				offset, offset + length - 1, entity->size);
		MHD_add_response_header(response, "Content-Range", range);
	}
	return send_response(reply, status, response);
}

static enum MHD_Result send_unsatisfiable(struct reply *reply, uint64_t size)
{
	static const struct presigned_fault fault = { MHD_HTTP_RANGE_NOT_SATISFIABLE,
		"InvalidRange", "The requested range is not satisfiable" };
	g_autofree char *range = g_strdup_printf("bytes */%" G_GUINT64_FORMAT, size);
	return send_fault(reply, &fault, "Content-Range", range);
}

/* Takes fd. */
static enum MHD_Result send_object(struct reply *reply, int fd, const struct stat *file)
{
	static const struct presigned_fault failed = { MHD_HTTP_PRECONDITION_FAILED,
		"PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold" };
	struct MHD_Connection *c = reply->connection;
	const struct http_conditions conditions = {
		.if_match = header_of(c, "If-Match"),
		.if_none_match = header_of(c, "If-None-Match"),
		.if_modified_since = header_of(c, "If-Modified-Since"),
		.if_unmodified_since = header_of(c, "If-Unmodified-Since"),
		.range = header_of(c, "Range"),
		.if_range = header_of(c, "If-Range"),
	};
	g_autofree char *etag = g_strdup_printf("\"%" PRIx64 "-%" PRIx64 "%08lx\"",
		(uint64_t)file->st_size, (uint64_t)file->st_mtim.tv_sec,
		file->st_mtim.tv_nsec);
	g_autofree char *modified = http_date(file->st_mtim.tv_sec);
	const struct http_entity entity = { (uint64_t)file->st_size, etag, modified,
		file->st_mtim.tv_sec };
	uint64_t offset, length;
	unsigned status = http_evaluate(&conditions, &entity, &offset, &length);
	/* 304 has no body, but the length that 200 would have. */
	if (status == MHD_HTTP_OK || status == MHD_HTTP_PARTIAL_CONTENT ||
		status == MHD_HTTP_NOT_MODIFIED)
		return send_part(reply, fd, &entity, status, offset, length);
	close(fd);
	if (status == MHD_HTTP_RANGE_NOT_SATISFIABLE)
		return send_unsatisfiable(reply, entity.size);
	return send_fault(reply, &failed, NULL, NULL);
}

static enum MHD_Result send_granted(struct reply *reply)
{
	static const struct presigned_fault no_bucket = { MHD_HTTP_NOT_FOUND,
		"NoSuchBucket", "The specified bucket does not exist" };
	static const struct presigned_fault no_key = { MHD_HTTP_NOT_FOUND, "NoSuchKey",
		"The specified key does not exist." };
	static const struct presigned_fault no_listing = { MHD_HTTP_NOT_IMPLEMENTED,
		"NotImplemented", "Only single objects can be read here." };
	const struct presigned *link = reply->link;
	if (!*link->bucket)
		return send_fault(reply, &no_listing, NULL, NULL);
	if (strcmp(link->bucket, reply->objects->bucket))
		return send_fault(reply, &no_bucket, NULL, NULL);
	if (!link->key)
		return send_fault(reply, &no_listing, NULL, NULL);
	struct stat file;
	int fd = presigned_key_is_plain(link->key)
			 ? open_object(reply->objects->directory, link->key, &file)
			 : -1;
	if (fd < 0)
		return send_fault(reply, &no_key, NULL, NULL);
	return send_object(reply, fd, &file);
}

static void new_request_id(char text[static 2 * REQUEST_ID_BYTES + 1])
{
	uint8_t random[REQUEST_ID_BYTES] = { 0 };
	(void)RAND_bytes(random, sizeof(random)); /* only names the request */
	for (size_t i = 0; i < sizeof(random); i++)
		g_snprintf(text + 2 * i, 3, "%02X", random[i]);
}

static enum MHD_Result answer(const struct objects *objects,
	struct MHD_Connection *connection, const char *method, const char *target)
{
	static const struct presigned_fault bad_method = { MHD_HTTP_METHOD_NOT_ALLOWED,
		"MethodNotAllowed",
		"The specified method is not allowed against this resource." };
	const struct presigned_keys keys = { objects->access_key_id,
		objects->secret_access_key, objects->region };
	const struct presigned_request request = { .method = method,
		.target = target,
		.now_s = g_get_real_time() / G_USEC_PER_SEC,
		.header = header_of,
		.context = connection };
	struct presigned link = { 0 };
	struct reply reply = { objects, connection, &link, "" };
	new_request_id(reply.request_id);
	enum MHD_Result result;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		result = send_fault(&reply, &bad_method, "Allow", "GET, HEAD");
	else if (presigned_check(&link, &request, &keys))
		result = send_granted(&reply);
	else
		result = send_fault(&reply, &link.fault, NULL, NULL);
	presigned_deinit(&link);
	return result;
}

/* --- libmicrohttpd's callbacks, on its threads --- */

static void *on_request_line(
	void *unused, const char *target, struct MHD_Connection *connection)
{
	(void)unused;
	(void)connection;
	struct request *request = g_new0(struct request, 1);
	request->target = g_strdup(target);
	return request;
}

static void on_completed(void *unused, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code)
{
	(void)unused;
	(void)connection;
	(void)code;
	struct request *request = *context;
	if (!request)
		return;
	g_free(request->target);
	g_free(request);
	*context = NULL;
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
	if (reads && !request->begun) { /* the header has come; the rest follows */
		request->begun = true;
		return MHD_YES;
	}
	if (reads && *upload_bytes)
		return MHD_NO; /* a body is no part of what is asked here */
	return answer(context, connection, method, request->target);
}

/* Takes fd in any case. */
static struct MHD_Daemon *start_daemon(struct objects *objects, int fd)
{
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		on_request, objects, MHD_OPTION_EXTERNAL_LOGGER, listen_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
		(unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PEER,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
		MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!daemon)
		close(fd);
	return daemon;
}

struct objects *objects_new(const struct objects_settings *settings, GError **error)
{
	int directory = open_directory(settings->directory, error);
	if (directory < 0)
		return NULL;
	int fd = listen_open(settings->address, error);
	if (fd < 0) {
		close(directory);
		return NULL;
	}
	struct objects *objects = g_new0(struct objects, 1);
	objects->directory = directory;
	objects->bucket = g_strdup(settings->bucket);
	objects->region = g_strdup(settings->region);
	objects->access_key_id = g_strdup(settings->access_key_id);
	objects->secret_access_key = g_strdup(settings->secret_access_key);
	objects->port = listen_port(fd);
	objects->daemon = start_daemon(objects, fd);
	if (!objects->daemon) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot serve objects on %s", settings->address);
		objects_free(&objects);
	}
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
	close(o->directory);
	OPENSSL_cleanse(o->secret_access_key, strlen(o->secret_access_key));
	g_free(o->secret_access_key);
	g_free(o->access_key_id);
	g_free(o->region);
	g_free(o->bucket);
	g_free(o);
}
