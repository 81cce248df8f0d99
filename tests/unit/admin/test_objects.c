/* objects: what s3/ stores and signs can be fetched, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/objects.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include "s3/s3.h"
#include "tests/unit/admin/client.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY     "mail/2025/1-a.txt"
#define CONTENT "0123456789"

struct fixture {
	char *directory, *url;
	struct s3_settings settings;
	struct s3_store *store;
	struct objects *objects;
	unsigned port;
};

static void put(
	struct fixture *fixture, const char *key, const char *content, size_t bytes)
{
	int fd = memfd_create("object", MFD_CLOEXEC);
	assert_int_equal(write(fd, content, bytes), bytes);
	struct s3_object object = { .key = key,
		.fd = fd,
		.size = bytes,
		.media_type = "text/plain",
		.file_name = "a.txt",
		.message_id = "01kah0" };
	assert_true(s3_store_put(fixture->store, &object, 1, NULL));
	close(fd);
}

static int set_up(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	fixture->directory = g_dir_make_tmp("stowage-objects-XXXXXX", NULL);
	char *id = NULL, *secret = NULL;
	assert_true(s3_directory_credentials(fixture->directory, &id, &secret, NULL));
	const struct objects_settings settings = { "127.0.0.1:0", fixture->directory,
		S3_DIRECTORY_BUCKET, S3_DIRECTORY_REGION, id, secret, NULL };
	fixture->objects = objects_new(&settings, NULL);
	assert_non_null(fixture->objects);
	fixture->port = objects_port(fixture->objects);
	g_free(id);
	g_free(secret);
	fixture->url = g_strdup_printf("http://127.0.0.1:%u", fixture->port);
	fixture->settings = (struct s3_settings){ .directory = fixture->directory,
		.directory_url = fixture->url };
	fixture->store = s3_store_new(&fixture->settings, NULL);
	assert_non_null(fixture->store);
	put(fixture, KEY, CONTENT, strlen(CONTENT));
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	objects_free(&fixture->objects);
	assert_null(fixture->objects);
	s3_store_free(&fixture->store);
	tree_remove(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->url);
	g_free(fixture);
	return 0;
}

/* A link without scheme and host; g_free(). */
static char *link_to(const struct fixture *fixture, const char *key)
{
	int64_t expires_at_s;
	g_autofree char *url =
		s3_store_presign(fixture->store, key, "B\xc3\xa4r.txt", "text/plain",
			g_get_real_time() / G_USEC_PER_SEC, 600, &expires_at_s, NULL);
	assert_true(g_str_has_prefix(url, fixture->url));
	return g_strdup(url + strlen(fixture->url));
}

static void assert_field(const GString *answer, const char *name, const char *want)
{
	g_autofree char *value = client_header(answer, name);
	assert_string_equal(value, want);
}

static void test_fetch(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *link = link_to(fixture, KEY);
	GString *answer = client_fetch(fixture->port, "GET", link, "");
	assert_int_equal(client_status(answer), 200);
	assert_string_equal(client_body(answer), CONTENT);
	assert_field(answer, "Content-Length", "10");
	assert_field(answer, "Content-Type", "text/plain");
	assert_field(answer, "Accept-Ranges", "bytes");
	assert_field(answer, "X-Content-Type-Options", "nosniff");
	g_autofree char *disposition = client_header(answer, "Content-Disposition");
	assert_true(g_str_has_prefix(disposition, "attachment;"));
	assert_non_null(strstr(disposition, "filename*=UTF-8''B%C3%A4r.txt"));
	g_autofree char *id = client_header(answer, "x-amz-request-id");
	assert_int_equal(strlen(id), 16);

	g_autofree char *etag = client_header(answer, "ETag");
	g_autofree char *if_none_match = g_strdup_printf("If-None-Match: %s\r\n", etag);
	g_string_free(answer, TRUE);
	answer = client_fetch(fixture->port, "GET", link, if_none_match);
	assert_int_equal(client_status(answer), 304);
	assert_string_equal(client_body(answer), "");
	g_string_free(answer, TRUE);
}

/* Mail scanners ask about a link before its reader follows it. */
static void test_head_by_a_link(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *link = link_to(fixture, KEY);
	GString *answer = client_fetch(fixture->port, "HEAD", link, "");
	assert_int_equal(client_status(answer), 200);
	assert_string_equal(client_body(answer), "");
	assert_field(answer, "Content-Length", "10");
	g_autofree char *disposition = client_header(answer, "Content-Disposition");
	assert_true(g_str_has_prefix(disposition, "attachment;"));
	g_string_free(answer, TRUE);
}

static void test_ranges(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *link = link_to(fixture, KEY);
	GString *answer =
		client_fetch(fixture->port, "GET", link, "Range: bytes=3-5\r\n");
	assert_int_equal(client_status(answer), 206);
	assert_string_equal(client_body(answer), "345");
	assert_field(answer, "Content-Range", "bytes 3-5/10");
	g_string_free(answer, TRUE);
	answer = client_fetch(fixture->port, "GET", link, "Range: bytes=10-\r\n");
	assert_int_equal(client_status(answer), 416);
	assert_field(answer, "Content-Range", "bytes */10");
	assert_non_null(strstr(client_body(answer), "<Code>InvalidRange</Code>"));
	g_string_free(answer, TRUE);
}

static void test_large_and_empty(void **state)
{
	struct fixture *fixture = *state;
	size_t bytes = 3000000;
	g_autofree char *content = g_malloc(bytes);
	for (size_t i = 0; i < bytes; i++)
		content[i] = (char)(i * 7 + i / 251);
	put(fixture, "large", content, bytes);
	put(fixture, "empty", "", 0);
	g_autofree char *large = link_to(fixture, "large");
	GString *answer = client_fetch(fixture->port, "GET", large, "");
	const char *body = client_body(answer);
	assert_int_equal(answer->len - (size_t)(body - answer->str), bytes);
	assert_memory_equal(body, content, bytes);
	g_string_free(answer, TRUE);
	g_autofree char *empty = link_to(fixture, "empty");
	answer = client_fetch(fixture->port, "GET", empty, "");
	assert_int_equal(client_status(answer), 200);
	assert_string_equal(client_body(answer), "");
	g_string_free(answer, TRUE);
}

static void assert_refused(const struct fixture *fixture, const char *method,
	const char *target, unsigned status, const char *code)
{
	GString *answer = client_fetch(fixture->port, method, target, "");
	g_autofree char *element = g_strdup_printf("<Code>%s</Code>", code);
	if (client_status(answer) != status)
		print_error("case: %s %s\n", method, target);
	assert_int_equal(client_status(answer), status);
	assert_field(answer, "Content-Type", "application/xml");
	if (strcmp(method, "HEAD"))
		assert_non_null(strstr(client_body(answer), element));
	else
		assert_string_equal(client_body(answer), "");
	g_string_free(answer, TRUE);
}

static void test_refusals(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *link = link_to(fixture, KEY);
	g_autofree char *unsigned_link = g_strndup(link, strcspn(link, "?"));
	g_autofree char *forged = g_strdup(link);
	char *last = forged + strlen(forged) - 1;
	*last = *last == '0' ? '1' : '0';
	assert_refused(fixture, "GET", unsigned_link, 403, "AccessDenied");
	assert_refused(fixture, "GET", forged, 403, "SignatureDoesNotMatch");
	assert_refused(fixture, "HEAD", forged, 403, "SignatureDoesNotMatch");
	assert_refused(fixture, "PUT", link, 405, "MethodNotAllowed");
	assert_refused(fixture, "DELETE", link, 405, "MethodNotAllowed");
	assert_refused(fixture, "GET", "/", 403, "AccessDenied");
	assert_refused(fixture, "GET", "/%", 400, "InvalidURI");
}

static void test_expired(void **state)
{
	const struct fixture *fixture = *state;
	int64_t expires_at_s, now_s = g_get_real_time() / G_USEC_PER_SEC;
	g_autofree char *url = s3_store_presign(fixture->store, KEY, "a.txt",
		"text/plain", now_s - 100, 60, &expires_at_s, NULL);
	GString *answer =
		client_fetch(fixture->port, "GET", url + strlen(fixture->url), "");
	assert_int_equal(client_status(answer), 403);
	assert_non_null(strstr(client_body(answer),
		"<Code>AccessDenied</Code><Message>Request has expired</Message>"
		"<X-Amz-Expires>60</X-Amz-Expires><Expires>"));
	g_string_free(answer, TRUE);
}

/* A good signature alone opens no file outside, and nothing but plain files. */
static void test_only_plain_files(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *objects = g_build_filename(fixture->directory, "objects", NULL);
	g_autofree char *file_link = g_build_filename(objects, "link", NULL);
	g_autofree char *directory_link = g_build_filename(objects, "up", NULL);
	g_autofree char *fifo = g_build_filename(objects, "fifo", NULL);
	assert_int_equal(symlink("../credentials", file_link), 0);
	assert_int_equal(symlink("..", directory_link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	static const char *const keys[] = { "link", "up/credentials", "fifo", "mail",
		"../credentials", "mail/../../credentials", "mail//2025/1-a.txt",
		"./mail/2025/1-a.txt", "missing", "mail/missing", KEY "/x" };
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autofree char *link = link_to(fixture, keys[i]);
		assert_refused(fixture, "GET", link, 404, "NoSuchKey");
	}
}

static void test_other_bucket(void **state)
{
	struct fixture *fixture = *state;
	struct s3_settings settings = fixture->settings;
	settings.bucket = "other";
	struct s3_store *own = fixture->store;
	fixture->store = s3_store_new(&settings, NULL);
	g_autofree char *link = link_to(fixture, KEY);
	assert_refused(fixture, "GET", link, 404, "NoSuchBucket");
	s3_store_free(&fixture->store);
	fixture->store = own;
}

/* Connections in the middle of a request or an answer do not hinder the end. */
static void test_stops_at_once(void **state)
{
	struct fixture *fixture = *state;
	int half = client_connect(fixture->port);
	assert_int_equal(send(half, "GET /stow", 9, MSG_NOSIGNAL), 9);
	g_autofree char *content = g_malloc0(20000000);
	put(fixture, "huge", content, 20000000);
	g_autofree char *link = link_to(fixture, "huge");
	g_autofree char *request = g_strdup_printf(
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", link, fixture->port);
	int slow = client_connect(fixture->port);
	assert_true(send(slow, request, strlen(request), MSG_NOSIGNAL) > 0);
	char status[12];
	assert_int_equal(recv(slow, status, sizeof(status), MSG_WAITALL), sizeof(status));
	assert_memory_equal(status, "HTTP/1.1 200", sizeof(status));
	objects_free(&fixture->objects);
	close(slow);
	close(half);
}

static void test_errors(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *taken = g_strdup_printf("127.0.0.1:%u", fixture->port);
	struct objects_settings settings = { taken, fixture->directory, "b", "r", "i",
		"s", NULL };
	GError *error = NULL;
	assert_null(objects_new(&settings, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	assert_non_null(strstr(error->message, taken));
	g_clear_error(&error);
	settings.address = "127.0.0.1:0";
	settings.directory = "/dev/null/x";
	assert_null(objects_new(&settings, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	assert_non_null(strstr(error->message, "/dev/null/x"));
	g_clear_error(&error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fetch),
		TEST(test_head_by_a_link),
		TEST(test_ranges),
		TEST(test_large_and_empty),
		TEST(test_refusals),
		TEST(test_expired),
		TEST(test_only_plain_files),
		TEST(test_other_bucket),
		TEST(test_stops_at_once),
		TEST(test_errors),
	};
	signal(SIGPIPE, SIG_IGN);
	log_init(false, LOG_LEVEL_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
