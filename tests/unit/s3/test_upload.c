/* What is asked of the store, in which order, until an object is there once and whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/multipart.h"
#include "tests/unit/s3/scripted_server.h"
#include <string.h>
#include <unistd.h>

#define SHA256_OF_HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define MD5_OF_HELLO    "5d41402abc4b2a76b9719d911017c592"
#define LARGE_BYTES     ((size_t)9 << 20) /* two parts, of zeros */
#define MD5_OF_PART_1   "96995b58d4cbf6aaa9041b4f00c7f6ae"
#define MD5_OF_PART_2   "b6d81b360a5672d80c27430f39153e2c"
#define EMPTY(status, headers)                                                           \
	"HTTP/1.1 " status "\r\n" headers "Content-Length: 0\r\n\r\n"
#define BODY(status, body)                                                               \
	"HTTP/1.1 " status "\r\nConnection: close\r\n\r\n<?xml version=\"1.0\"?>" body
#define XML(status, code) BODY(status, "<Error><Code>" code "</Code></Error>")
#define THERE(size, headers)                                                             \
	"HTTP/1.1 200 OK\r\nContent-Length: " size "\r\n" headers "\r\n"
#define SAME  THERE("5", "x-amz-meta-sha256: " SHA256_OF_HELLO "\r\n")
#define TAKEN XML("412 P", "PreconditionFailed")
#define CREATED                                                                          \
	BODY("200 OK", "<InitiateMultipartUploadResult><UploadId>U/1+ </UploadId>"       \
		       "</InitiateMultipartUploadResult>")
#define PART   EMPTY("200 OK", "ETag: \"part\"\r\n")
#define PART_1 EMPTY("200 OK", "ETag: \"" MD5_OF_PART_1 "\"\r\n")
#define PART_2 EMPTY("200 OK", "ETag: \"" MD5_OF_PART_2 "\"\r\n")
#define COMPLETE                                                                         \
	BODY("200 OK", "<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;"            \
		       "</ETag></CompleteMultipartUploadResult>")
#define NOTHING EMPTY("404 N", "")
#define DELETED EMPTY("204 N", "")

#define CREATE_LINE   "POST /bucket/mail/k?uploads= HTTP"
#define PART_LINE(n)  "PUT /bucket/mail/k?partNumber=" n "&uploadId=U%2F1%2B%20 HTTP"
#define COMPLETE_LINE "POST /bucket/mail/k?uploadId=U%2F1%2B%20 HTTP"
#define ABORT_LINE    "DELETE /bucket/mail/k?uploadId=U%2F1%2B%20 HTTP"
#define PUT_LINE      "PUT /bucket/mail/k HTTP"
#define HEAD_LINE     "HEAD /bucket/mail/k HTTP"
#define CONDITION     "If-None-Match: *"

struct want {
	const char *line;        /* how the request begins */
	const char *has, *lacks; /* in its head; NULL: nothing */
};

struct story {
	const char *name;
	struct turn turns[10];
	struct want wants[10];
	int kind; /* of the error; -1: stored */
	const char *says;
	bool large;
	unsigned attempts; /* 0: 1 */
	enum s3_checksum checksum;
	enum s3_if_none_match if_none_match;
};

static const struct story stories[] = {
	{ "there already, the same", { { ANSWER_CLOSE, TAKEN }, { ANSWER_CLOSE, SAME } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, CONDITION } },
		.kind = -1 },
	{ "there already, of another size",
		{ { ANSWER_CLOSE, TAKEN }, { ANSWER_CLOSE, THERE("6", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "another object has this key" },
	{ "there already, of other content",
		{ { ANSWER_CLOSE, TAKEN },
			{ ANSWER_CLOSE, THERE("5", "x-amz-meta-sha256: 00\r\n") } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "another object has this key" },
	{ "there already, its MD5 is wrong: written anew",
		{ { ANSWER_CLOSE, TAKEN },
			{ ANSWER_CLOSE,
				THERE("5", "x-amz-meta-sha256: " SHA256_OF_HELLO "\r\n"
					   "ETag: "
					   "\"d41d8cd98f00b204e9800998ecf8427e\"\r\n") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, NULL },
			{ PUT_LINE, NULL, CONDITION } },
		.kind = -1 },
	{ "there already, who may only write cannot look: written anew",
		{ { ANSWER_CLOSE, TAKEN }, { ANSWER_CLOSE, EMPTY("403 F", "") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, NULL },
			{ PUT_LINE, NULL, CONDITION } },
		.kind = -1 },
	{ "there already, it does not say what: not overwritten",
		{ { ANSWER_CLOSE, TAKEN }, { ANSWER_CLOSE, EMPTY("500 I", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { HEAD_LINE, NULL, NULL } },
		.kind = S3_ERROR_RETRY, .says = "S3 answered 500" },
	{ "an answer lost, then found done",
		{ { CUT, NULL }, { ANSWER_CLOSE, TAKEN }, { ANSWER_CLOSE, SAME } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, CONDITION, NULL },
			{ HEAD_LINE, NULL, NULL } },
		.kind = -1, .attempts = 2 },
	{ "a conflict is waited out",
		{ { ANSWER_CLOSE, XML("409 C", "ConditionalRequestConflict") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, CONDITION, NULL } },
		.kind = -1, .attempts = 2 },
	{ "conditions are not known (501)",
		{ { ANSWER_CLOSE, XML("501 N", "NotImplemented") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, NULL, CONDITION } },
		.kind = -1 },
	{ "conditions are not known (400)",
		{ { ANSWER_CLOSE, XML("400 B", "InvalidArgument") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, NULL, CONDITION } },
		.kind = -1 },
	{ "something else is not known",
		{ { ANSWER_CLOSE, XML("501 N", "NotImplemented") },
			{ ANSWER_CLOSE, XML("501 N", "NotImplemented") } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, NULL, CONDITION } },
		.kind = S3_ERROR_MEND, .says = "does not know something" },
	{ "no conditions wanted", { { ANSWER, EMPTY("200 OK", "") } },
		{ { PUT_LINE, NULL, CONDITION } }, .kind = -1,
		.if_none_match = S3_IF_NONE_MATCH_OFF },
	{ "MD5 is sent and compared",
		{ { ANSWER, EMPTY("200 OK", "ETag: \"" MD5_OF_HELLO "\"\r\n") } },
		{ { PUT_LINE, "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", "checksum" } },
		.kind = -1, .checksum = S3_CHECKSUM_MD5 },
	{ "an ETag of another kind",
		{ { ANSWER, EMPTY("200 OK", "ETag: \"" SHA256_OF_HELLO "\"\r\n") } },
		{ { PUT_LINE, NULL, "Content-MD5" } }, .kind = -1 },
	{ "what was stored wrong is overwritten",
		{ { ANSWER, EMPTY("200 OK",
				    "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n") },
			{ ANSWER, EMPTY("200 OK", "ETag: \"" MD5_OF_HELLO "\"\r\n") } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, NULL, CONDITION } },
		.kind = -1, .attempts = 2 },
	{ "SHA-256 is sent, another comes back",
		{ { ANSWER, EMPTY("200 OK", "x-amz-checksum-sha256: AAAA\r\n") } },
		{ { PUT_LINE,
			"x-amz-checksum-sha256: "
			"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
			"Content-MD5" } },
		.kind = S3_ERROR_RETRY, .says = "stored something else",
		.checksum = S3_CHECKSUM_SHA256 },
	{ "a weak ETag is compared alike, behind two heads that announce it",
		{ { ANSWER_CLOSE,
			  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
			  "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n\r\n" EMPTY(
				  "200 OK",
				  "ETag: W/\"d41d8cd98f00b204e9800998ecf8427e\"\r\n") },
			{ ANSWER_CLOSE,
				"HTTP/1.0 200 OK\r\n"
				"ETag: W/\"5d41402abc4b2a76b9719d911017c592\"\r\n"
				"ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n\r\n" } },
		{ { PUT_LINE, CONDITION, NULL }, { PUT_LINE, NULL, CONDITION } },
		.kind = -1, .attempts = 2, .checksum = S3_CHECKSUM_MD5 },
	{ "nothing is compared",
		{ { ANSWER, EMPTY("200 OK",
				    "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n") } },
		{ { PUT_LINE, NULL, "Content-MD5" } }, .kind = -1,
		.checksum = S3_CHECKSUM_NONE },

	{ "in parts",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART }, { ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL },
			{ CREATE_LINE, "Content-Disposition: attachment", NULL },
			{ PART_LINE("1"), "Content-Length: 8388608\r\n", "x-amz-meta" },
			{ PART_LINE("2"), "Content-Length: 1048576\r\n", NULL },
			{ COMPLETE_LINE, CONDITION, NULL } },
		.kind = -1, .large = true },
	{ "in parts, with checksums",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART }, { ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL },
			{ CREATE_LINE, "x-amz-checksum-algorithm: SHA256",
				"x-amz-checksum-sha256" },
			{ PART_LINE("1"), "x-amz-checksum-sha256: ", NULL },
			{ PART_LINE("2"), "x-amz-checksum-sha256: ", NULL },
			{ COMPLETE_LINE, NULL, NULL } },
		.kind = -1, .large = true, .checksum = S3_CHECKSUM_SHA256 },
	{ "in parts, one of them twice",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER_CLOSE, XML("503 S", "SlowDown") }, { ANSWER, PART },
			{ ANSWER, PART }, { ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ "PUT ", NULL, NULL }, { "PUT ", NULL, NULL },
			{ "PUT ", NULL, NULL }, { COMPLETE_LINE, NULL, NULL } },
		.kind = -1, .large = true, .attempts = 2 },
	{ "in parts, what is there cannot be learnt",
		{ { ANSWER_CLOSE, EMPTY("500 I", "") }, { ANSWER_CLOSE, CREATED },
			{ ANSWER, PART }, { ANSWER, PART }, { ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ COMPLETE_LINE, CONDITION, NULL } },
		.kind = -1, .large = true },
	{ "in parts, something else is there",
		{ { ANSWER_CLOSE, THERE("9437184", "x-amz-meta-sha256: 00\r\n") } },
		{ { HEAD_LINE, NULL, NULL } }, .kind = S3_ERROR_MEND,
		.says = "another object", .large = true },
	{ "in parts, a part is refused",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER_CLOSE, XML("403 F", "AccessDenied") },
			{ ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "403 AccessDenied", .large = true },
	{ "in parts, a part is not named",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER, EMPTY("200 OK", "") }, { ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "no S3 server", .large = true },
	{ "in parts, 200 and then an error",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART },
			{ ANSWER_CLOSE, XML("200 OK", "InternalError") },
			{ ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ COMPLETE_LINE, NULL, NULL }, { ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_RETRY, .says = "200 InternalError", .large = true },
	{ "in parts, 200 and no word of it",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART }, { ANSWER, EMPTY("200 OK", "") },
			{ ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ COMPLETE_LINE, NULL, NULL }, { ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "no S3 server", .large = true },
	{ "in parts, their upload is gone and nothing is there",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART }, { ANSWER_CLOSE, XML("404 N", "NoSuchUpload") },
			{ ANSWER_CLOSE, NOTHING }, { ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ COMPLETE_LINE, NULL, NULL }, { HEAD_LINE, NULL, NULL },
			{ ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_RETRY, .says = "NoSuchUpload", .large = true },
	{ "in parts, conditions are not known",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED }, { ANSWER, PART },
			{ ANSWER, PART },
			{ ANSWER_CLOSE, XML("501 N", "NotImplemented") },
			{ ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, CONDITION },
			{ PART_LINE("1"), NULL, CONDITION },
			{ PART_LINE("2"), NULL, CONDITION },
			{ COMPLETE_LINE, CONDITION, NULL },
			{ COMPLETE_LINE, NULL, CONDITION } },
		.kind = -1, .large = true },
	{ "in parts, one of them stored wrong",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER, PART_1 }, { ANSWER, PART_1 }, { ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_RETRY, .says = "stored something else", .large = true },
	{ "in parts, stored right",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER, PART_1 }, { ANSWER, PART_2 },
			{ ANSWER_CLOSE, COMPLETE } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ COMPLETE_LINE, NULL, NULL } },
		.kind = -1, .large = true },
	{ "in parts, one of them accepted and not stored",
		{ { ANSWER_CLOSE, NOTHING }, { ANSWER_CLOSE, CREATED },
			{ ANSWER, PART_1 },
			{ ANSWER, EMPTY("202 A", "ETag: \"" MD5_OF_PART_2 "\"\r\n") },
			{ ANSWER, DELETED } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL },
			{ PART_LINE("1"), NULL, NULL }, { PART_LINE("2"), NULL, NULL },
			{ ABORT_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "202", .large = true },
	{ "in parts, none begun",
		{ { ANSWER_CLOSE, NOTHING },
			{ ANSWER, EMPTY("200 OK", "ETag: \"x\"\r\n") } },
		{ { HEAD_LINE, NULL, NULL }, { CREATE_LINE, NULL, NULL } },
		.kind = S3_ERROR_MEND, .says = "no S3 server", .large = true },
};

static size_t count_turns(const struct turn *turns, size_t room)
{
	size_t n = 0;
	while (n < room && (turns[n].text || turns[n].manner != ANSWER))
		n++;
	return n;
}

static void check_requests(const struct story *story, const struct server *server)
{
	size_t n = 0;
	while (n < G_N_ELEMENTS(story->wants) && story->wants[n].line)
		n++;
	for (size_t i = 0; i < MIN(n, server->heads->len); i++) {
		const char *head = server->heads->pdata[i];
		const struct want *want = &story->wants[i];
		if (!g_str_has_prefix(head, want->line) ||
			(want->has && !strstr(head, want->has)) ||
			(want->lacks && strstr(head, want->lacks)))
			fail_msg("%s: request %zu is\n%s", story->name, i + 1, head);
		if (!g_str_has_prefix(head, "HEAD") && !strstr(head, "Content-Length: "))
			fail_msg("%s: no length: %s", story->name, head);
	}
	if (server->heads->len != n)
		fail_msg("%s: %u requests", story->name, server->heads->len);
}

static void run_story(const struct story *story)
{
	struct server server;
	server_start(&server, story->turns,
		count_turns(story->turns, G_N_ELEMENTS(story->turns)));
	struct s3_settings settings =
		settings_at(server.url, story->attempts ? story->attempts : 1);
	settings.connections = 1;
	settings.multipart_threshold = 1 << 20;
	settings.checksum = story->checksum;
	settings.if_none_match = story->if_none_match;
	struct s3_store *store = store_with(&settings);
	g_autofree char *large = g_malloc0(LARGE_BYTES);
	struct s3_object object = story->large ? object_of("mail/k", large, LARGE_BYTES)
					       : object_of("mail/k", "hello", 5);
	g_autoptr(GError) error = NULL;
	bool stored = s3_store_put(store, &object, 1, &error);
	s3_store_free(&store);
	close(object.fd);
	if (stored != (story->kind == -1) || stored != !error)
		fail_msg("%s: %s", story->name, error ? error->message : "stored");
	check_requests(story, &server);
	server_stop(&server);
	if (!error)
		return;
	if (error->code != story->kind)
		fail_msg("%s: kind %d: %s", story->name, error->code, error->message);
	assert_text_has(error->message, story->says);
	assert_text_has(error->message, "object mail/k: ");
}

static void stories_end_as_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(stories); i++)
		run_story(&stories[i]);
}

/* Once refused for a condition, a store is not sent another. */
static void what_a_store_does_not_know_is_remembered(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER_CLOSE, XML("501 N", "NotImplemented") },
		{ ANSWER, EMPTY("200 OK", "") }, { ANSWER, EMPTY("200 OK", "") } };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/k", "hello", 5);
	assert_true(s3_store_put(store, &object, 1, NULL));
	assert_true(s3_store_put(store, &object, 1, NULL));
	s3_store_free(&store);
	close(object.fd);
	assert_int_equal(server.heads->len, 3);
	assert_null(strstr(server.heads->pdata[2], CONDITION));
	server_stop(&server);
}

#define PROVEN                                                                           \
	EMPTY("200 OK",                                                                  \
		"x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="    \
		"\r\n")

/* Which proof a store gives of what it has stored is found with its first objects. */
static const struct proof {
	const char *name;
	struct turn turns[5];
	bool sends[5]; /* the checksum, for each request */
	int kind;      /* of the last object's error; -1: stored */
} proofs[] = {
	{ "it answers with the checksum",
		{ { ANSWER, EMPTY("200 OK", "") }, { ANSWER, PROVEN },
			{ ANSWER, PROVEN } },
		{ false, true, true }, -1 },
	{ "it answers with another",
		{ { ANSWER, EMPTY("200 OK", "") }, { ANSWER, PROVEN },
			{ ANSWER, EMPTY("200 OK", "x-amz-checksum-sha256: AAAA\r\n") } },
		{ false, true, true }, S3_ERROR_RETRY },
	{ "it passes over it",
		{ { ANSWER, EMPTY("200 OK", "ETag: \"" MD5_OF_HELLO "\"\r\n") },
			{ ANSWER, EMPTY("200 OK", "ETag: \"" MD5_OF_HELLO "\"\r\n") },
			{ ANSWER, EMPTY("200 OK", "ETag: \"d41d8cd98f00b204e9800998"
						  "ecf8427e\"\r\n") } },
		{ false, true, false }, S3_ERROR_RETRY },
	{ "it refuses it",
		{ { ANSWER, EMPTY("200 OK", "") },
			{ ANSWER_CLOSE, XML("501 N", "NotImplemented") },
			{ ANSWER, EMPTY("200 OK", "ETag: \"" MD5_OF_HELLO "\"\r\n") },
			{ ANSWER, EMPTY("200 OK", "ETag: \"d41d8cd98f00b204e9800998"
						  "ecf8427e\"\r\n") } },
		{ false, true, false, false }, S3_ERROR_RETRY },
	{ "something on the way takes it out",
		{ { ANSWER, EMPTY("200 OK", "") },
			{ ANSWER_CLOSE, XML("403 F", "SignatureDoesNotMatch") },
			{ ANSWER, EMPTY("200 OK", "") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ false, true, false, false }, -1 },
	{ "it refuses it and says nothing",
		{ { ANSWER, EMPTY("200 OK", "") },
			{ ANSWER_CLOSE, XML("400 B", "InvalidRequest") },
			{ ANSWER, EMPTY("200 OK", "") },
			{ ANSWER, EMPTY("200 OK", "") } },
		{ false, true, false, false }, -1 },
};

static void check_proof(const struct proof *proof)
{
	struct server server;
	size_t n = count_turns(proof->turns, G_N_ELEMENTS(proof->turns));
	server_start(&server, proof->turns, n);
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/k", "hello", 5);
	assert_true(s3_store_put(store, &object, 1, NULL));
	assert_true(s3_store_put(store, &object, 1, NULL));
	g_autoptr(GError) error = NULL;
	bool stored = s3_store_put(store, &object, 1, &error);
	s3_store_free(&store);
	close(object.fd);
	if (stored != (proof->kind == -1) || (error && error->code != proof->kind))
		fail_msg("%s: %s", proof->name, error ? error->message : "stored");
	assert_int_equal(server.heads->len, n);
	for (size_t i = 0; i < n; i++) {
		const char *head = server.heads->pdata[i];
		g_assert(head);
		bool sent = strstr(head, "\r\nx-amz-checksum-sha256: ");
		if (sent != proof->sends[i] || !strstr(head, CONDITION))
			fail_msg("%s: request %zu is\n%s", proof->name, i + 1, head);
		/* What is sent is signed. */
		assert_true(!strstr(head, ";x-amz-checksum-sha256;") == !sent);
	}
	server_stop(&server);
}

static void the_proof_that_a_store_gives_is_learnt(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(proofs); i++)
		check_proof(&proofs[i]);
}

/* Region and time of the server hold for what comes after, links too. */
static void region_and_clock_are_learnt(void **state)
{
	(void)state;
	const struct turn turns[] = {
		{ ANSWER_CLOSE, "HTTP/1.1 301 M\r\nx-amz-bucket-region: us-west-2\r\n"
				"Content-Length: 0\r\n\r\n" },
		{ ANSWER_CLOSE,
			"HTTP/1.1 403 F\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n"
			"Connection: close\r\n\r\n<Error><Code>"
			"RequestTimeTooSkewed</Code></Error>" },
		{ ANSWER, EMPTY("200 OK", "") }, { ANSWER, EMPTY("200 OK", "") }
	};
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/k", "hello", 5);
	assert_true(s3_store_put(store, &object, 1, NULL));
	assert_true(s3_store_put(store, &object, 1, NULL));
	assert_string_equal(s3_store_region(store), "us-west-2");
	int64_t now_s = g_get_real_time() / G_USEC_PER_SEC, end_s = 0;
	g_autofree char *url = s3_store_presign(
		store, "mail/k", "k", "text/plain", now_s, 60, &end_s, NULL);
	assert_text_has(url, "%2Fus-west-2%2Fs3%2F");
	assert_text_has(url, "X-Amz-Date=20130524T00");
	/* in true time, which is the server's */
	assert_in_range(end_s, 1369353600, 1369353600 + 120);
	s3_store_free(&store);
	close(object.fd);
	assert_int_equal(server.heads->len, 4);
	assert_text_has(server.heads->pdata[0], "/eu-west-1/s3/aws4_request");
	for (size_t i = 1; i < 4; i++)
		assert_text_has(server.heads->pdata[i], "/us-west-2/s3/aws4_request");
	for (size_t i = 2; i < 4; i++)
		assert_text_has(server.heads->pdata[i], "x-amz-date: 20130524T00");
	server_stop(&server);
}

static void parts_are_as_few_as_allowed(void **state)
{
	(void)state;
	static const struct {
		uint64_t size, want;
	} cases[] = { { 1, 8 << 20 }, { UINT64_C(10000) << 23, 8 << 20 },
		{ (UINT64_C(10000) << 23) + 1, 9 << 20 },
		{ UINT64_C(5) << 40, UINT64_C(525) << 20 } };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t bytes = s3_multipart_part_bytes(cases[i].size);
		assert_int_equal(bytes, cases[i].want);
		assert_true((cases[i].size + bytes - 1) / bytes <= 10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stories_end_as_told),
		cmocka_unit_test(what_a_store_does_not_know_is_remembered),
		cmocka_unit_test(the_proof_that_a_store_gives_is_learnt),
		cmocka_unit_test(region_and_clock_are_learnt),
		cmocka_unit_test(parts_are_as_few_as_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
