/* Uploads against a scripted server that answers as told: well,
 * badly, late or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/s3/scripted_server.h"
#include <string.h>
#include <unistd.h>

/* ---- tests ---- */

static void requests_carry_what_was_said(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER, OK } };
	struct server server;
	server_start(&server, turns, 1);
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/a.txt", "hello", 5);
	assert_true(s3_store_put(store, &object, 1, NULL));
	s3_store_free(&store);

	const char *head = server.heads->pdata[0];
	GByteArray *body = server.bodies->pdata[0];
	assert_memory_equal(body->data, "hello", 5);
	assert_int_equal(body->len, 5);
	static const char *const parts[] = {
		"PUT /bucket/mail/a.txt HTTP/1.1\r\n",
		"\r\nContent-Length: 5\r\n",
		"\r\nContent-Type: application/octet-stream\r\n",
		"\r\nContent-Disposition: attachment; filename=\"r_sum_ _1_.html\"; "
		"filename*=UTF-8''r%C3%A9sum%C3%A9%20%221%22.html\r\n",
		"\r\nx-amz-content-sha256: "
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n",
		"\r\nx-amz-meta-sha256: "
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n",
		"\r\nx-amz-meta-filename: r%C3%A9sum%C3%A9%20%221%22.html\r\n",
		"\r\nx-amz-meta-message-id: 4x5\r\n",
		"\r\nIf-None-Match: *\r\n",
		"\r\nx-amz-security-token: sessiontoken\r\n",
		"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
		"/eu-west-1/s3/aws4_request, "
		"SignedHeaders=content-disposition;content-type;host;if-none-match;"
		"x-amz-content-sha256;x-amz-date;x-amz-meta-filename;x-amz-meta-message-"
		"id;x-amz-meta-sha256;x-amz-security-token, Signature=",
	};
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
		assert_text_has(head, parts[i]);
	assert_null(strstr(head, "Expect:"));
	assert_null(strstr(head, "Transfer-Encoding:"));
	assert_null(strstr(head, "verysecret"));
	server_stop(&server);
	close(object.fd);
}

#define XML(status, code, message)                                                       \
	"HTTP/1.1 " status                                                               \
	"\r\nContent-Type: application/xml\r\nx-amz-request-id: H1\r\n"                  \
	"Connection: close\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"          \
	"<Error><Code>" code "</Code><Message>" message                                  \
	"</Message><RequestId>R1</RequestId></Error>"

#define REGION(region)                                                                   \
	"HTTP/1.1 400 B\r\nConnection: close\r\n\r\n<Error><Code>"                       \
	"AuthorizationHeaderMalformed</Code><Region>" region "</Region></Error>"
#define CLOCK                                                                            \
	"HTTP/1.1 403 F\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n"                      \
	"Connection: close\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code></Error>"
#define CLOCK_OF(year)                                                                   \
	"HTTP/1.1 403 F\r\nDate: 01 Jan " year " 00:00:00 GMT\r\n"                       \
	"Connection: close\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code></Error>"
#define ETAG(etag) "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"" etag "\"\r\n\r\n"

static const struct fault {
	const char *name;
	struct turn turns[6];
	unsigned attempts;
	int kind; /* of the error; -1: stored */
	const char *says[3];
	size_t requests;
} faults[] = {
	{ "500 then 200",
		{ { ANSWER_CLOSE, XML("500 X", "InternalError", "try") },
			{ ANSWER, OK } },
		3, -1, { NULL }, 2 },
	{ "SlowDown, then 200",
		{ { ANSWER_CLOSE, XML("503 Slow Down", "SlowDown", "less") },
			{ ANSWER, OK } },
		3, -1, { NULL }, 2 },
	{ "SlowDown to the end",
		{ { ANSWER_CLOSE, XML("503 Slow Down", "SlowDown", "less") },
			{ ANSWER_CLOSE, XML("503 Slow Down", "SlowDown", "less") } },
		2, S3_ERROR_RETRY,
		{ "503 SlowDown: less", "request ID R1", "object mail/k: " }, 2 },
	{ "500 without a body",
		{ { ANSWER, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n" },
			{ ANSWER, OK } },
		2, -1, { NULL }, 2 },
	{ "closed in mid-answer",
		{ { ANSWER_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" },
			{ ANSWER, OK } },
		2, -1, { NULL }, 2 },
	{ "closed in mid-header",
		{ { ANSWER_CLOSE, "HTTP/1.1 200 OK\r\nConte" }, { ANSWER, OK } }, 2, -1,
		{ NULL }, 2 },
	{ "closed without a word", { { CUT, NULL }, { ANSWER, OK } }, 2, -1, { NULL },
		2 },
	{ "no HTTP at all", { { ANSWER_CLOSE, "220 mail.example.com ESMTP\r\n" } }, 1,
		S3_ERROR_RETRY, { "S3 at 127.0.0.1" }, 1 },
	{ "403 AccessDenied",
		{ { ANSWER_CLOSE, XML("403 F", "AccessDenied", "Access Denied") } }, 3,
		S3_ERROR_MEND,
		{ "403 AccessDenied: Access Denied, request ID R1", "s3:PutObject",
			"bucket \"bucket\"" },
		1 },
	{ "403 before the body", { { EARLY, XML("403 F", "InvalidAccessKeyId", "no") } },
		1, S3_ERROR_MEND, { "InvalidAccessKeyId", "check the access key id" },
		1 },
	{ "404", { { ANSWER_CLOSE, XML("404 N", "NoSuchBucket", "gone") } }, 3,
		S3_ERROR_MEND, { "check the bucket's name" }, 1 },
	{ "a region that is not to be had",
		{ { ANSWER_CLOSE,
			"HTTP/1.1 301 M\r\nx-amz-bucket-region: eu-west-1\r\n"
			"Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" } },
		3, S3_ERROR_MEND, { "check the region", "region \"eu-west-1\"" }, 1 },
	{ "a region without end",
		{ { ANSWER_CLOSE, REGION("a-1") }, { ANSWER_CLOSE, REGION("a-2") },
			{ ANSWER_CLOSE, REGION("a-3") }, { ANSWER_CLOSE, REGION("a-4") },
			{ ANSWER_CLOSE, REGION("a-5") } },
		1, S3_ERROR_MEND, { "region is \"a-5\"" }, 5 },
	{ "a clock that is never right",
		{ { ANSWER_CLOSE, CLOCK }, { ANSWER_CLOSE, CLOCK } }, 3, S3_ERROR_MEND,
		{ "clock is wrong", "ahead of the server's" }, 2 },
	{ "a clock of the far future", { { ANSWER_CLOSE, CLOCK_OF("9999") } }, 3,
		S3_ERROR_MEND, { "clock is wrong" }, 1 },
	{ "a clock of long ago", { { ANSWER_CLOSE, CLOCK_OF("1900") } }, 3, S3_ERROR_MEND,
		{ "clock is wrong" }, 1 },
	{ "an error that says 200",
		{ { ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n"
			    "ETag: \"0a-1\"\r\n\r\n"
			    "<Error><Code>InternalError</Code></Error>" },
			{ ANSWER, OK } },
		2, -1, { NULL }, 2 },
	{ "an ETag that is another content's",
		{ { ANSWER, ETAG("d41d8cd98f00b204e9800998ecf8427e") },
			{ ANSWER, ETAG("d41d8cd98f00b204e9800998ecf8427e") } },
		2, S3_ERROR_RETRY, { "stored something else", "ETag", "s3.checksum" },
		2 },
	{ "an ETag that is no MD5",
		{ { ANSWER, ETAG("d41d8cd98f00b204e9800998ecf8427e-2") } }, 2, -1,
		{ NULL }, 1 },
	{ "an ETag under KMS",
		{ { ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
			    "x-amz-server-side-encryption: aws:kms\r\n"
			    "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n\r\n" } },
		2, -1, { NULL }, 1 },
	{ "an error without end",
		{ { FLOOD, "HTTP/1.1 403 "
			   "F\r\n\r\n<Error><Code>AccessDenied</Code></Error>" } },
		3, S3_ERROR_MEND, { "403 AccessDenied" }, 1 },
	{ "a page instead of S3", { { FLOOD, "HTTP/1.1 200 OK\r\n\r\n<html>" } }, 3,
		S3_ERROR_MEND, { "no S3 server" }, 1 },
	{ "a short page instead of S3",
		{ { ANSWER_CLOSE, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
				  "Content-Length: 15\r\n\r\n<html>Hi</html>" } },
		3, S3_ERROR_MEND, { "no S3 server" }, 1 },
	{ "an answer of few words",
		{ { ANSWER, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" } }, 3,
		-1, { NULL }, 1 },
	{ "accepted, not stored",
		{ { ANSWER, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n" } }, 3,
		S3_ERROR_MEND, { "202", "no S3 server" }, 1 },
	{ "a portal's redirect",
		{ { ANSWER, "HTTP/1.1 302 Found\r\nLocation: /login\r\n"
			    "Content-Length: 0\r\n\r\n" } },
		3, S3_ERROR_MEND, { "302", "no S3 server" }, 1 },
	{ "headers without end", { { FLOOD, "HTTP/1.1 200 OK\r\nX-A: " } }, 1,
		S3_ERROR_RETRY, { "S3 at 127.0.0.1" }, 1 },
	{ "silence", { { HANG, NULL } }, 1, S3_ERROR_RETRY, { "S3 at 127.0.0.1" }, 1 },
	{ "silence, then 200", { { HANG, NULL }, { ANSWER, OK } }, 2, -1, { NULL }, 2 },
};

static size_t count_turns(const struct turn *turns, size_t room)
{
	size_t n = 0;
	while (n < room && (turns[n].text || turns[n].manner != ANSWER))
		n++;
	return n;
}

static void run_fault(const struct fault *f)
{
	struct server server;
	server_start(&server, f->turns, count_turns(f->turns, G_N_ELEMENTS(f->turns)));
	struct s3_store *store = store_at(server.url, f->attempts);
	g_autofree char *content = g_malloc0(200000);
	struct s3_object object = object_of("mail/k", content, 200000);
	g_autoptr(GError) error = NULL;
	bool stored = s3_store_put(store, &object, 1, &error);
	s3_store_free(&store);
	server_stop(&server);
	close(object.fd);

	if (stored != (f->kind == -1) || stored != !error)
		fail_msg("%s: %s", f->name, error ? error->message : "stored");
	if (server.next != f->requests)
		fail_msg("%s: %zu requests", f->name, server.next);
	if (!error)
		return;
	assert_true(error->domain == S3_ERROR);
	if (error->code != f->kind)
		fail_msg("%s: kind %d: %s", f->name, error->code, error->message);
	for (size_t i = 0; i < G_N_ELEMENTS(f->says) && f->says[i]; i++)
		assert_text_has(error->message, f->says[i]);
	assert_null(strstr(error->message, "Signature"));
	assert_null(strstr(error->message, "sessiontoken"));
}

static void faults_are_outlived_or_explained(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++)
		run_fault(&faults[i]);
}

/* The server drops a kept connection just when it is used again. */
static void stale_connection_is_replaced_at_once(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER, OK }, { CUT, NULL }, { ANSWER, OK } };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/k", "hello", 5);
	g_autoptr(GError) error = NULL;
	assert_true(s3_store_put(store, &object, 1, &error));
	assert_true(s3_store_put(store, &object, 1, &error));
	s3_store_free(&store);
	server_stop(&server);
	close(object.fd);
	assert_int_equal(server.next, 3);
	assert_int_equal(server.n_connections, 2);
}

static void connections_are_kept_and_bounded(void **state)
{
	(void)state;
	enum { N = 20 };
	struct turn turns[2 * N];
	for (size_t i = 0; i < G_N_ELEMENTS(turns); i++)
		turns[i] = (struct turn){ ANSWER, OK };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object objects[N];
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
	for (size_t i = 0; i < N; i++) {
		g_ptr_array_add(keys, g_strdup_printf("mail/%zu", i));
		objects[i] =
			object_of(keys->pdata[i], keys->pdata[i], strlen(keys->pdata[i]));
	}
	assert_true(s3_store_put(store, objects, N, NULL));
	assert_true(s3_store_put(store, objects, N, NULL));
	s3_store_free(&store);
	for (size_t i = 0; i < N; i++)
		close(objects[i].fd);
	assert_int_equal(server.heads->len, 2 * N);
	assert_in_range(server.n_connections, 1, 2);
	server_stop(&server);
}

static void large_body_waits_for_continue(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER, OK } };
	struct server server;
	server_start(&server, turns, 1);
	struct s3_store *store = store_at(server.url, 1);
	size_t size = (3 << 20) + 7;
	g_autofree char *content = g_malloc(size);
	for (size_t i = 0; i < size; i++)
		content[i] = (char)(i * 7 >> 3);
	struct s3_object object = object_of("mail/k", content, size);
	assert_true(s3_store_put(store, &object, 1, NULL));
	s3_store_free(&store);
	close(object.fd);
	assert_text_has(server.heads->pdata[0], "\r\nExpect: 100-continue\r\n");
	GByteArray *body = server.bodies->pdata[0];
	assert_int_equal(body->len, size);
	assert_memory_equal(body->data, content, size);
	server_stop(&server);
}

static void large_body_needs_no_continue(void **state)
{
	(void)state;
	const struct turn turns[] = { { EARLY, OK },
		{ EARLY, "HTTP/1.1 417 E\r\nConnection: close\r\n"
			 "Content-Length: 0\r\n\r\n" },
		{ ANSWER, OK } };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 2);
	g_autofree char *content = g_malloc0(3 << 20);
	struct s3_object object = object_of("mail/k", content, 3 << 20);
	assert_true(s3_store_put(store, &object, 1, NULL));
	s3_store_free(&store);
	close(object.fd);
	assert_int_equal(server.heads->len, 3);
	assert_text_has(server.heads->pdata[1], "\r\nExpect: 100-continue\r\n");
	assert_text_has(server.heads->pdata[2], "\r\nIf-None-Match: *\r\n");
	assert_null(strstr(server.heads->pdata[2], "\r\nExpect: "));
	assert_int_equal(((GByteArray *)server.bodies->pdata[2])->len, 3 << 20);
	server_stop(&server);
}

/* A second attempt sends the body again from its start. */
static void empty_and_retried_bodies_are_whole(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER, OK },
		{ ANSWER_CLOSE, XML("500 X", "InternalError", "x") }, { ANSWER, OK } };
	struct server server;
	server_start(&server, turns, 3);
	struct s3_store *store = store_at(server.url, 2);
	struct s3_object empty = object_of("mail/empty", "", 0);
	struct s3_object full = object_of("mail/full", "hello", 5);
	assert_true(s3_store_put(store, &empty, 1, NULL));
	assert_true(s3_store_put(store, &full, 1, NULL));
	s3_store_free(&store);
	close(empty.fd);
	close(full.fd);
	assert_text_has(server.heads->pdata[0], "\r\nContent-Length: 0\r\n");
	GByteArray *again = server.bodies->pdata[2];
	assert_int_equal(again->len, 5);
	assert_memory_equal(again->data, "hello", 5);
	server_stop(&server);
}

static void short_file_is_said(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER, OK } };
	struct server server;
	server_start(&server, turns, 1);
	struct s3_store *store = store_at(server.url, 3);
	struct s3_object object = object_of("mail/k", "hello", 5);
	object.size = 6;
	g_autoptr(GError) error = NULL;
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_int_equal(error->code, S3_ERROR_RETRY);
	assert_text_has(error->message, "shorter than said");
	s3_store_free(&store);
	server_stop(&server);
	close(object.fd);
}

static void closed_port_and_odd_keys_are_said(void **state)
{
	(void)state;
	struct server server;
	server_start(&server, NULL, 0);
	g_autofree char *url = g_strdup(server.url);
	server_stop(&server);
	struct s3_store *store = store_at(url, 2);
	struct s3_object object = object_of("mail/k", "hello", 5);
	g_autoptr(GError) error = NULL;
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_int_equal(error->code, S3_ERROR_RETRY);
	assert_text_has(error->message, "object mail/k: S3 at 127.0.0.1");
	g_clear_error(&error);
	object.key = "mail/../k";
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_int_equal(error->code, S3_ERROR_MEND);
	assert_true(s3_store_put(store, NULL, 0, NULL));
	s3_store_free(&store);
	close(object.fd);
}

static gpointer put_some(gpointer data)
{
	struct s3_store *store = data;
	struct s3_object object = object_of("mail/k", "hello", 5);
	size_t stored = 0;
	for (size_t i = 0; i < 25; i++)
		stored += s3_store_put(store, &object, 1, NULL);
	close(object.fd);
	return GSIZE_TO_POINTER(stored);
}

static void many_callers_share_the_store(void **state)
{
	(void)state;
	struct turn turns[100];
	for (size_t i = 0; i < G_N_ELEMENTS(turns); i++)
		turns[i] = (struct turn){ ANSWER, OK };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	GThread *threads[4];
	for (size_t i = 0; i < 4; i++)
		threads[i] = g_thread_new("put", put_some, store);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(25, GPOINTER_TO_SIZE(g_thread_join(threads[i])));
	s3_store_free(&store);
	assert_in_range(server.n_connections, 1, 2);
	server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_carry_what_was_said),
		cmocka_unit_test(faults_are_outlived_or_explained),
		cmocka_unit_test(stale_connection_is_replaced_at_once),
		cmocka_unit_test(connections_are_kept_and_bounded),
		cmocka_unit_test(large_body_waits_for_continue),
		cmocka_unit_test(large_body_needs_no_continue),
		cmocka_unit_test(empty_and_retried_bodies_are_whole),
		cmocka_unit_test(short_file_is_said),
		cmocka_unit_test(closed_port_and_odd_keys_are_said),
		cmocka_unit_test(many_callers_share_the_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
