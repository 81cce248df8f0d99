/* Credentials that the store refuses are asked for anew, once; and a store that is down
 * gets no multiple of its requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/s3/scripted_server.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define REFUSED(status, code)                                                            \
	"HTTP/1.1 " status "\r\nContent-Type: application/xml\r\n"                       \
	"Connection: close\r\n\r\n<Error><Code>" code "</Code>"                          \
	"<Message>m</Message></Error>"
#define EXPIRED REFUSED("400 Bad Request", "ExpiredToken")

static char *directory, *config, *counter;

/* A program that gives other keys each time: ID1, ID2, ... */
static int set_up(void **state)
{
	(void)state;
	directory = g_dir_make_tmp("renewal-XXXXXX", NULL);
	config = g_build_filename(directory, "config", NULL);
	counter = g_build_filename(directory, "asked", NULL);
	g_autofree char *program = g_build_filename(directory, "program", NULL);
	g_autofree char *script =
		g_strdup_printf("#!/bin/sh\n"
				"echo >> '%s'\n"
				"n=$(wc -l < '%s')\n"
				"echo \"{\\\"Version\\\": 1, "
				"\\\"AccessKeyId\\\": \\\"ID$n\\\", "
				"\\\"SecretAccessKey\\\": \\\"s\\\", "
				"\\\"SessionToken\\\": \\\"t$n\\\"}\"\n",
			counter, counter);
	g_autofree char *text =
		g_strdup_printf("[profile work]\ncredential_process = %s\n", program);
	assert_true(g_file_set_contents(program, script, -1, NULL));
	assert_int_equal(0, g_chmod(program, 0700));
	assert_true(g_file_set_contents(config, text, -1, NULL));
	g_setenv("AWS_CONFIG_FILE", config, TRUE);
	g_setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", TRUE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	g_autofree char *program = g_build_filename(directory, "program", NULL);
	g_remove(program);
	g_remove(config);
	g_remove(counter);
	g_rmdir(directory);
	g_clear_pointer(&directory, g_free);
	g_clear_pointer(&config, g_free);
	g_clear_pointer(&counter, g_free);
	return 0;
}

static size_t times_asked(void)
{
	g_autofree char *lines = NULL;
	gsize length = 0;
	return g_file_get_contents(counter, &lines, &length, NULL) ? length : 0;
}

static struct s3_store *renewing_store(const char *url, unsigned connections)
{
	struct s3_settings settings = settings_at(url, 3);
	settings.access_key_id = settings.secret_access_key = NULL;
	settings.session_token = NULL;
	settings.profile = "work";
	settings.connections = connections;
	return store_with(&settings);
}

static void refused_credentials_are_asked_for_anew(void **state)
{
	(void)state;
	static const char *const codes[] = { EXPIRED,
		REFUSED("400 Bad Request", "InvalidToken"),
		REFUSED("400 Bad Request", "TokenRefreshRequired"),
		REFUSED("403 Forbidden", "InvalidAccessKeyId") };
	for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
		const struct turn turns[] = { { ANSWER_CLOSE, codes[i] }, { ANSWER, OK },
			{ ANSWER, OK } };
		struct server server;
		g_remove(counter);
		server_start(&server, turns, G_N_ELEMENTS(turns));
		struct s3_store *store = renewing_store(server.url, 2);
		struct s3_object object = object_of("mail/k", "x", 1);
		assert_true(s3_store_put(store, &object, 1, NULL));
		assert_true(s3_store_put(store, &object, 1, NULL));
		s3_store_free(&store);
		assert_int_equal(times_asked(), 2);
		assert_int_equal(server.heads->len, 3);
		assert_text_has(server.heads->pdata[0], "Credential=ID1/");
		assert_text_has(server.heads->pdata[1], "Credential=ID2/");
		assert_text_has(server.heads->pdata[1], "x-amz-security-token: t2\r\n");
		assert_text_has(server.heads->pdata[2], "Credential=ID2/");
		server_stop(&server);
		close(object.fd);
	}
}

/* Whatever is under way with them is refused at once: that is one reason to ask. */
static void many_refusals_ask_once(void **state)
{
	(void)state;
	enum { N = 8 };
	struct turn turns[2 * N];
	for (size_t i = 0; i < 2 * N; i++)
		turns[i] = i < N ? (struct turn){ ANSWER_CLOSE, EXPIRED }
				 : (struct turn){ ANSWER, OK };
	struct server server;
	server_start(&server, turns, 2 * N);
	server.gathers = N;
	struct s3_store *store = renewing_store(server.url, N);
	struct s3_object objects[N];
	for (size_t i = 0; i < N; i++)
		objects[i] = object_of("mail/k", "x", 1);
	g_autoptr(GError) error = NULL;
	if (!s3_store_put(store, objects, N, &error))
		fail_msg("%s", error->message);
	s3_store_free(&store);
	assert_int_equal(times_asked(), 2);
	assert_int_equal(server.heads->len, 2 * N);
	server_stop(&server);
	for (size_t i = 0; i < N; i++)
		close(objects[i].fd);
}

static void what_is_refused_for_good_is_no_storm(void **state)
{
	(void)state;
	struct turn turns[64];
	for (size_t i = 0; i < G_N_ELEMENTS(turns); i++)
		turns[i] = (struct turn){ ANSWER_CLOSE, EXPIRED };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = renewing_store(server.url, 2);
	struct s3_object object = object_of("mail/k", "x", 1);
	for (size_t i = 0; i < 10; i++) {
		g_autoptr(GError) error = NULL;
		assert_false(s3_store_put(store, &object, 1, &error));
		assert_string_equal(s3_error_subject(error), "credentials");
		assert_text_has(error->message, "renew");
	}
	s3_store_free(&store);
	assert_int_equal(times_asked(), 2);
	assert_int_equal(server.heads->len, 11);
	server_stop(&server);
	close(object.fd);
}

/* Keys in the settings have no source that could give others. */
static void fixed_keys_are_not_asked_for(void **state)
{
	(void)state;
	const struct turn turns[] = { { ANSWER_CLOSE, EXPIRED } };
	struct server server;
	server_start(&server, turns, 1);
	struct s3_store *store = store_at(server.url, 3);
	struct s3_object object = object_of("mail/k", "x", 1);
	g_autoptr(GError) error = NULL;
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_string_equal(s3_error_subject(error), "credentials");
	s3_store_free(&store);
	assert_int_equal(server.heads->len, 1);
	server_stop(&server);
	close(object.fd);
}

/* ---- the budget ---- */

enum { CALLERS = 30, PUTS = 5, RETRIES = 100 };

static gpointer put_often(gpointer data)
{
	struct s3_store *store = data;
	struct s3_object object = object_of("mail/k", "x", 1);
	size_t said = 0;
	for (size_t i = 0; i < PUTS; i++) {
		g_autoptr(GError) error = NULL;
		assert_false(s3_store_put(store, &object, 1, &error));
		assert_int_equal(error->code, S3_ERROR_RETRY);
		assert_false(s3_error_is_throttle(error));
		said += strstr(error->message, "not tried again at once") != NULL;
	}
	close(object.fd);
	return GSIZE_TO_POINTER(said);
}

static void a_store_that_is_down_gets_no_multiple(void **state)
{
	(void)state;
	static struct turn turns[CALLERS * PUTS * 3];
	for (size_t i = 0; i < G_N_ELEMENTS(turns); i++)
		turns[i] = (struct turn){ ANSWER,
			"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n" };
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_settings settings = settings_at(server.url, 3);
	settings.connections = 16;
	struct s3_store *store = store_with(&settings);
	GThread *callers[CALLERS];
	size_t said = 0;
	for (size_t i = 0; i < CALLERS; i++)
		callers[i] = g_thread_new("caller", put_often, store);
	for (size_t i = 0; i < CALLERS; i++)
		said += GPOINTER_TO_SIZE(g_thread_join(callers[i]));
	s3_store_free(&store);
	assert_int_equal(server.heads->len, CALLERS * PUTS + RETRIES);
	assert_in_range(said, 1, CALLERS * PUTS);
	server_stop(&server);
}

/* While it is paused for SlowDown, no other upload begins. */
static void slow_down_pauses_others(void **state)
{
	(void)state;
	const struct turn turns[] = {
		{ ANSWER, "HTTP/1.1 503 Slow Down\r\nRetry-After: 1\r\n"
			  "Content-Length: 42\r\n\r\n"
			  "<Error><Code>SlowDown</Code></Error>      " },
		{ ANSWER, OK },
	};
	struct server server;
	server_start(&server, turns, G_N_ELEMENTS(turns));
	struct s3_store *store = store_at(server.url, 1);
	struct s3_object object = object_of("mail/k", "x", 1);
	g_autoptr(GError) error = NULL;
	int64_t before_us = g_get_monotonic_time();
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_true(s3_error_is_throttle(error));
	assert_null(s3_error_subject(error));
	assert_true(s3_store_put(store, &object, 1, NULL));
	assert_true(g_get_monotonic_time() - before_us > 900 * 1000);
	s3_store_free(&store);
	server_stop(&server);
	close(object.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			refused_credentials_are_asked_for_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			many_refusals_ask_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_refused_for_good_is_no_storm, set_up, tear_down),
		cmocka_unit_test(fixed_keys_are_not_asked_for),
		cmocka_unit_test(a_store_that_is_down_gets_no_multiple),
		cmocka_unit_test(slow_down_pauses_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
