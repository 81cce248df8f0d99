/* Finds and sends an object, or says why not. Judging links is presigned.c's, ranges and
 * conditions are http.c's. */
#include "gateway/admin/objects_answer.h"

#include "gateway/admin/http.h"
#include "gateway/admin/presigned.h"
#include "gateway/error.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MODE   0750
#define REQUEST_ID_BYTES 8

/* One answer in the making. */
struct reply {
	const struct objects_source *source;
	struct MHD_Connection *connection;
	struct presigned *link;
	struct objects_outcome *outcome;
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

int objects_open_directory(const char *directory, GError **error)
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

/* Queues and releases the response. */
static enum MHD_Result send_response(
	struct reply *reply, unsigned status, struct MHD_Response *response)
{
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "x-amz-request-id", reply->outcome->request_id);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(
		response, "Content-Security-Policy", "default-src 'none'; sandbox");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	reply->outcome->status = status;
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
	append_element(xml, "RequestId", reply->outcome->request_id);
	g_string_append(xml, "</Error>\n");
	return xml;
}

static enum MHD_Result send_fault(struct reply *reply,
	const struct presigned_fault *fault, const char *field, const char *value)
{
	GString *xml = fault_body(reply, fault);
	size_t bytes = xml->len;
	reply->outcome->reason = fault->code;
	reply->outcome->bytes = bytes;
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
	reply->outcome->bytes = status == MHD_HTTP_NOT_MODIFIED ? 0 : length;
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
	reply->outcome->key = g_strdup(link->key);
	if (!*link->bucket)
		return send_fault(reply, &no_listing, NULL, NULL);
	if (strcmp(link->bucket, reply->source->bucket))
		return send_fault(reply, &no_bucket, NULL, NULL);
	if (!link->key)
		return send_fault(reply, &no_listing, NULL, NULL);
	struct stat file;
	int fd = presigned_key_is_plain(link->key)
			 ? open_object(reply->source->directory, link->key, &file)
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

/* Who may read an object may ask about it. Links are signed for GET, and
 * those who look at links before their readers do ask with HEAD: unlike S3's,
 * these do not seem broken. */
static bool is_granted(struct presigned *link, const struct presigned_request *request,
	const struct presigned_keys *keys)
{
	struct presigned_request get = *request;
	if (presigned_check(link, request, keys))
		return true;
	if (strcmp(request->method, "HEAD"))
		return false;
	presigned_deinit(link);
	get.method = "GET";
	return presigned_check(link, &get, keys);
}

enum MHD_Result objects_answer(const struct objects_source *source,
	struct MHD_Connection *connection, const char *method, const char *target,
	struct objects_outcome *outcome)
{
	static const struct presigned_fault bad_method = { MHD_HTTP_METHOD_NOT_ALLOWED,
		"MethodNotAllowed",
		"The specified method is not allowed against this resource." };
	const struct presigned_keys keys = { source->access_key_id,
		source->secret_access_key, source->region };
	const struct presigned_request request = { .method = method,
		.target = target,
		.now_s = g_get_real_time() / G_USEC_PER_SEC,
		.header = header_of,
		.context = connection };
	struct presigned link = { 0 };
	struct reply reply = { source, connection, &link, outcome };
	new_request_id(outcome->request_id);
	enum MHD_Result result;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		result = send_fault(&reply, &bad_method, "Allow", "GET, HEAD");
	else if (is_granted(&link, &request, &keys))
		result = send_granted(&reply);
	else
		result = send_fault(&reply, &link.fault, NULL, NULL);
	presigned_deinit(&link);
	return result;
}

enum MHD_Result objects_answer_later(struct MHD_Connection *connection, unsigned retry_s,
	struct objects_outcome *outcome)
{
	static const struct presigned_fault fault = { MHD_HTTP_TOO_MANY_REQUESTS,
		"SlowDown", "Please reduce your request rate." };
	struct presigned link = { 0 };
	struct reply reply = { NULL, connection, &link, outcome };
	char text[16];
	new_request_id(outcome->request_id);
	g_snprintf(text, sizeof(text), "%u", retry_s);
	return send_fault(&reply, &fault, "Retry-After", text);
}
