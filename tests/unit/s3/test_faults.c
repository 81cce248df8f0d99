/* Every request that uploads and deletions are made of, each met by every way in
 * which a server can fail to answer: outlived within the attempts, and the next
 * answer is read from its beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/s3/scripted_server.h"
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE_BYTES ((size_t)9 << 20) /* two parts */
#define ANSWERS_MAX 6
#define LONGEST_US  (60 * G_USEC_PER_SEC) /* of a story, on a busy machine */

#define EMPTY(status, headers)                                                           \
	"HTTP/1.1 " status "\r\n" headers "Content-Length: 0\r\n\r\n"
#define WITH(status, length, body)                                                       \
	"HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n" body

#define NOTHING EMPTY("404 N", "")
#define CREATED                                                                          \
	WITH("200 OK", "93",                                                             \
		"<InitiateMultipartUploadResult><UploadId>123456789</UploadId>"          \
		"</InitiateMultipartUploadResult>")
#define PART    EMPTY("200 OK", "ETag: \"part\"\r\n")
#define DENIED  WITH("403 F", "40", "<Error><Code>AccessDenied</Code></Error>")
#define DELETED EMPTY("204 N", "")
#define COMPLETE                                                                         \
	WITH("200 OK", "91",                                                             \
		"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"            \
		"</CompleteMultipartUploadResult>")

/* Of which request at is the one that meets the fault. */
static const struct story {
	const char *name;
	const char *answers[ANSWERS_MAX];
	size_t at;
	bool is_head, large, deletes;
	bool fails; /* whatever the fault: a part is denied */
} stories[] = {
	{ "PUT", { OK }, 0, false, false, false, false },
	{ "DELETE", { DELETED }, 0, false, false, true, false },
	{ "HEAD", { NOTHING, CREATED, PART, PART, COMPLETE }, 0, true, true, false,
		false },
	{ "create", { NOTHING, CREATED, PART, PART, COMPLETE }, 1, false, true, false,
		false },
	{ "first part", { NOTHING, CREATED, PART, PART, COMPLETE }, 2, false, true, false,
		false },
	{ "last part", { NOTHING, CREATED, PART, PART, COMPLETE }, 3, false, true, false,
		false },
	{ "complete", { NOTHING, CREATED, PART, PART, COMPLETE }, 4, false, true, false,
		false },
	{ "abort", { NOTHING, CREATED, DENIED, DELETED }, 3, false, true, false, true },
};

enum effect {
	AGAIN, /* the request is made once more */
	TWICE, /* the right answer, two times */
	LATER, /* the right answer, late */
};

static const struct fault {
	const char *name;
	enum effect effect;
	struct turn turn;
	bool is_right_for_head; /* it has no body that could be wrong */
} faults[] = {
	{ "late", LATER, { LATE, NULL }, false },
	{ "answered twice", TWICE, { ANSWER, NULL }, false },
	{ "silence", AGAIN, { HANG, NULL }, false },
	{ "closed", AGAIN, { CUT, NULL }, false },
	{ "half a status line", AGAIN, { ANSWER_CLOSE, "HTTP/1.1 2" }, false },
	{ "half a header", AGAIN, { ANSWER_CLOSE, "HTTP/1.1 200 OK\r\nETa" }, false },
	{ "half a body", AGAIN,
		{ ANSWER_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<Err" },
		true },
	{ "a chunk that is none", AGAIN,
		{ ANSWER_CLOSE,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" },
		true },
	{ "headers without end", AGAIN, { FLOOD, "HTTP/1.1 200 OK\r\nX-A: " }, false },
	{ "a page without end", AGAIN, { FLOOD, "HTTP/1.1 500 X\r\n\r\n<html>" }, false },
	{ "no HTTP", AGAIN, { ANSWER_CLOSE, "220 mail.example.com ESMTP\r\n" }, false },
	{ "500", AGAIN, { ANSWER, EMPTY("500 X", "") }, false },
	{ "a proxy's page", AGAIN,
		{ ANSWER_CLOSE, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"
				"Content-Length: 15\r\n\r\n<html>Hi</html>" },
		false },
	{ "a moment of too much", AGAIN, { ANSWER, EMPTY("503 S", "") }, false },
	{ "a length that is none", AGAIN,
		{ ANSWER_CLOSE, "HTTP/1.1 500 X\r\nContent-Length: -5\r\n\r\n" }, false },
};

/* The turns of story when it meets fault; text is g_free()d by the caller. */
static size_t make_turns(const struct story *story, const struct fault *fault,
	struct turn turns[ANSWERS_MAX + 1], char **text)
{
	size_t n = 0;
	for (size_t i = 0; i < ANSWERS_MAX && story->answers[i]; i++) {
		const char *answer = story->answers[i];
		if (i == story->at && fault->effect == AGAIN)
			turns[n++] = fault->turn;
		turns[n++] = (struct turn){ ANSWER, answer };
		if (i != story->at || fault->effect == AGAIN)
			continue;
		*text = g_strconcat(answer, fault->effect == TWICE ? answer : "", NULL);
		turns[n - 1] = (struct turn){ fault->turn.manner, *text };
	}
	return n;
}

static bool act(const struct story *story, struct s3_store *store,
	const struct s3_object *object, GError **error)
{
	return story->deletes ? s3_store_delete(store, object->key, error)
			      : s3_store_put(store, object, 1, error);
}

static struct s3_store *one_by_one(const char *url)
{
	struct s3_settings settings = settings_at(url, 2);
	settings.connections = 1; /* so that answers come in the order of turns */
	settings.multipart_threshold = (uint64_t)5 << 20;
	return store_with(&settings);
}

static bool tell(const struct story *story, const struct fault *fault,
	const struct s3_object *object)
{
	struct turn turns[ANSWERS_MAX + 1];
	struct server server;
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	size_t n = make_turns(story, fault, turns, &text);
	server_start(&server, turns, n);
	struct s3_store *store = one_by_one(server.url);
	int64_t begin_us = g_get_monotonic_time();
	bool good = act(story, store, object, &error);
	int64_t took_us = g_get_monotonic_time() - begin_us;
	s3_store_free(&store);
	size_t asked = server.heads->len;
	server_stop(&server);
	bool as_told = good != story->fails && asked == n && took_us < LONGEST_US;
	if (!as_told)
		print_error("%s, %s: %zu requests, not %zu, in %" PRId64 " us: %s\n",
			story->name, fault->name, asked, n, took_us,
			error ? error->message : "stored");
	return as_told;
}

/* In a process of its own, since silence takes its time. */
static pid_t start_story(const struct story *story, const struct s3_object *object)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	bool as_told = true;
	for (size_t f = 0; f < G_N_ELEMENTS(faults); f++)
		if (!story->is_head || !faults[f].is_right_for_head)
			as_told = tell(story, &faults[f], object) && as_told;
	_exit(as_told ? 0 : 1);
}

static void every_fault_is_outlived_by_every_request(void **state)
{
	(void)state;
	g_autofree char *content = g_malloc0(LARGE_BYTES);
	struct s3_object small = object_of("mail/k", "hello", 5);
	struct s3_object large = object_of("mail/k", content, LARGE_BYTES);
	pid_t pids[G_N_ELEMENTS(stories)];
	for (size_t s = 0; s < G_N_ELEMENTS(stories); s++)
		pids[s] = start_story(&stories[s], stories[s].large ? &large : &small);
	for (size_t s = 0; s < G_N_ELEMENTS(stories); s++) {
		int status = -1;
		assert_int_equal(waitpid(pids[s], &status, 0), pids[s]);
		assert_int_equal(status, 0);
	}
	close(small.fd);
	close(large.fd);
}

/* Where nothing but the fault comes, it is an error: none of them counts as stored. */
static void no_fault_counts_as_stored(void **state)
{
	(void)state;
	struct s3_object object = object_of("mail/k", "hello", 5);
	for (size_t f = 0; f < G_N_ELEMENTS(faults); f++) {
		if (faults[f].effect != AGAIN || faults[f].turn.manner == HANG)
			continue;
		const struct turn turns[] = { faults[f].turn, faults[f].turn };
		struct server server;
		server_start(&server, turns, G_N_ELEMENTS(turns));
		struct s3_store *store = one_by_one(server.url);
		g_autoptr(GError) error = NULL;
		if (s3_store_put(store, &object, 1, &error))
			fail_msg("%s: stored", faults[f].name);
		assert_int_equal(error->code, S3_ERROR_RETRY);
		s3_store_free(&store);
		server_stop(&server);
	}
	close(object.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_is_outlived_by_every_request),
		cmocka_unit_test(no_fault_counts_as_stored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
