/* admin: three pages on a loop, and nothing left when it has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/admin.h"
#include "gateway/error.h"
#include "tests/unit/admin/client.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A loop with its own thread, as the front loop has. */
struct fixture {
	uv_loop_t loop;
	uv_async_t stop;
	GThread *thread;
	struct metrics *metrics;
	struct admin *admin;
	unsigned port;
	gint draining; /* atomic */
};

static const char *not_ready(void *context)
{
	struct fixture *fixture = context;
	return g_atomic_int_get(&fixture->draining) ? "draining" : NULL;
}

static void refresh(void *context)
{
	struct fixture *fixture = context;
	metrics_set(fixture->metrics, METRIC_QUEUE_MESSAGES, "received", 7);
}

static void on_stop(uv_async_t *async)
{
	struct fixture *fixture = async->data;
	admin_free(&fixture->admin);
	assert_null(fixture->admin);
	uv_close((uv_handle_t *)async, NULL);
}

static void *run_loop(void *loop)
{
	uv_run(loop, UV_RUN_DEFAULT);
	return NULL;
}

static int set_up(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	fixture->metrics = metrics_new();
	const struct admin_source source = { fixture->metrics, not_ready, refresh,
		fixture };
	fixture->admin = admin_new(&fixture->loop, "127.0.0.1:0", &source, NULL);
	assert_non_null(fixture->admin);
	fixture->port = admin_port(fixture->admin);
	fixture->stop.data = fixture;
	uv_async_init(&fixture->loop, &fixture->stop, on_stop);
	fixture->thread = g_thread_new("loop", run_loop, &fixture->loop);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	uv_async_send(&fixture->stop);
	g_thread_join(fixture->thread);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	metrics_free(&fixture->metrics);
	g_free(fixture);
	return 0;
}

static const struct page_case {
	const char *method, *target;
	unsigned status;
	const char *body; /* NULL: not compared */
} pages[] = {
	{ "GET", "/healthz", 200, "ok\n" },
	{ "HEAD", "/healthz", 200, "" },
	{ "GET", "/readyz", 200, "ok\n" },
	{ "GET", "/readyz?verbose", 200, "ok\n" },
	{ "GET", "/metrics", 200, NULL },
	{ "HEAD", "/metrics", 200, "" },
	{ "GET", "/", 404, NULL },
	{ "GET", "/metrics/", 404, NULL },
	{ "GET", "/../metrics", 404, NULL },
	{ "POST", "/metrics", 405, NULL },
	{ "DELETE", "/", 405, NULL },
	{ "OPTIONS", "/healthz", 405, NULL },
};

static void test_pages(void **state)
{
	const struct fixture *fixture = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(pages); i++) {
		const struct page_case *c = &pages[i];
		GString *answer = client_fetch(fixture->port, c->method, c->target, "");
		g_autofree char *cache = client_header(answer, "Cache-Control");
		g_autofree char *allow = client_header(answer, "Allow");
		if (client_status(answer) != c->status)
			print_error("case: %s %s\n", c->method, c->target);
		assert_int_equal(client_status(answer), c->status);
		assert_string_equal(cache, "no-store");
		assert_string_equal(allow, c->status == 405 ? "GET, HEAD" : "");
		if (c->body)
			assert_string_equal(client_body(answer), c->body);
		g_string_free(answer, TRUE);
	}
}

static void test_metrics_are_fresh(void **state)
{
	const struct fixture *fixture = *state;
	GString *answer = client_fetch(fixture->port, "GET", "/metrics", "");
	g_autofree char *type = client_header(answer, "Content-Type");
	assert_string_equal(type, "text/plain; version=0.0.4; charset=utf-8");
	assert_non_null(
		strstr(answer->str, "\nstowage_queue_messages{state=\"received\"} 7\n"));
	g_string_free(answer, TRUE);
}

static void test_not_ready(void **state)
{
	struct fixture *fixture = *state;
	g_atomic_int_set(&fixture->draining, 1);
	GString *answer = client_fetch(fixture->port, "GET", "/readyz", "");
	assert_int_equal(client_status(answer), 503);
	assert_string_equal(client_body(answer), "draining\n");
	g_string_free(answer, TRUE);
	answer = client_fetch(fixture->port, "GET", "/healthz", "");
	assert_int_equal(client_status(answer), 200);
	g_string_free(answer, TRUE);
}

/* What is no request, or too much of one, ends its own connection only. */
static void test_bad_requests(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *endless = g_strnfill(40000, 'a');
	g_autofree char *huge = g_strconcat("GET /", endless, " HTTP/1.1\r\n\r\n", NULL);
	const char *const texts[] = { "\r\n\r\n\r\n", "nonsense\r\n\r\n", huge,
		"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" };
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *text = g_strdup(texts[i]);
		int fd = client_connect(fixture->port);
		(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
		close(fd);
	}
	GString *answer = client_fetch(fixture->port, "GET", "/healthz", "");
	assert_int_equal(client_status(answer), 200);
	g_string_free(answer, TRUE);
}

/* An open connection does not hinder the end: tear_down() runs with it. */
static void test_stops_with_open_connections(void **state)
{
	const struct fixture *fixture = *state;
	static const char half[] = "GET /healthz HTT";
	int fd = client_connect(fixture->port);
	assert_int_equal(
		send(fd, half, sizeof(half) - 1, MSG_NOSIGNAL), sizeof(half) - 1);
	GString *answer = client_fetch(fixture->port, "GET", "/healthz", "");
	g_string_free(answer, TRUE);
	tear_down(state);
	char octet;
	assert_true(recv(fd, &octet, 1, 0) <= 0);
	close(fd);
}

static void test_port_taken(void **state)
{
	const struct fixture *fixture = *state;
	const struct admin_source source = { fixture->metrics, NULL, NULL, NULL };
	g_autofree char *address = g_strdup_printf("127.0.0.1:%u", fixture->port);
	GError *error = NULL;
	uv_loop_t loop;
	uv_loop_init(&loop);
	assert_null(admin_new(&loop, address, &source, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	assert_non_null(strstr(error->message, address));
	assert_non_null(strstr(error->message, "in use"));
	g_clear_error(&error);
	assert_null(admin_new(&loop, "nowhere", &source, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	g_clear_error(&error);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_metrics_are_fresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_ready, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_requests, set_up, tear_down),
		cmocka_unit_test_setup(test_stops_with_open_connections, set_up),
		cmocka_unit_test_setup_teardown(test_port_taken, set_up, tear_down),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
