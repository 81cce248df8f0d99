/* The screener against a name server on the same loop that answers by a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_message.h"
#include "gateway/log.h"
#include "gateway/smtp/dns.h"
#include "gateway/smtp/screener.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <glib.h>
#include <netinet/in.h>
#include <string.h>

#define TIMEOUT_MS      1500
#define ANSWERS_MAX     8
#define TURNS_WITHIN_MS 60000

/* ---- a name server ---- */

enum how { ANSWERS, FAILS, IS_SILENT, SENDS_GARBAGE, HAS_WRONG_ID, LOSES_THE_FIRST };

struct answer {
	const char *name;
	unsigned type;
	enum how how;
	const char *data[3]; /* of one record each; none: there is no such name */
};

struct name_server {
	uv_udp_t socket;
	uint16_t port;
	char text[32]; /* as in dns.servers */
	const struct answer *script;
	GPtrArray *asked; /* names */
	char buffer[2048];
};

struct reply {
	uv_udp_send_t request;
	GByteArray *message;
};

static void on_sent(uv_udp_send_t *request, int status)
{
	(void)status;
	struct reply *reply = request->data;
	g_byte_array_unref(reply->message);
	g_free(reply);
}

static void send_message(
	struct name_server *server, GByteArray *message, const struct sockaddr *to)
{
	struct reply *reply = g_new0(struct reply, 1);
	reply->message = message;
	reply->request.data = reply;
	uv_buf_t buffer = uv_buf_init((char *)message->data, message->len);
	assert_int_equal(
		uv_udp_send(&reply->request, &server->socket, &buffer, 1, to, on_sent),
		0);
}

static const struct answer *find(
	const struct name_server *server, const char *name, unsigned type)
{
	for (size_t i = 0; i < ANSWERS_MAX && server->script[i].name; i++)
		if (server->script[i].type == type &&
			!g_ascii_strcasecmp(server->script[i].name, name))
			return &server->script[i];
	return NULL;
}

static bool is_first(const struct name_server *server, const char *name)
{
	guint n = 0;
	for (guint i = 0; i < server->asked->len; i++)
		n += !strcmp(g_ptr_array_index(server->asked, i), name);
	return n == 1;
}

static void answer_question(struct name_server *server, uint16_t id, const char *name,
	unsigned type, const struct sockaddr *to)
{
	const struct answer *answer = find(server, name, type);
	enum how how = answer ? answer->how : ANSWERS;
	if (how == IS_SILENT || (how == LOSES_THE_FIRST && is_first(server, name)))
		return;
	bool found = answer && answer->data[0];
	unsigned rcode = how == FAILS ? ns_r_servfail
			 : found      ? ns_r_noerror
				      : ns_r_nxdomain;
	GByteArray *message = dns_message_new(
		how == HAS_WRONG_ID ? (uint16_t)~id : id, rcode, name, type);
	for (size_t i = 0; found && i < G_N_ELEMENTS(answer->data) && answer->data[i];
		i++)
		dns_message_add(message, FALSE, name, type, 300, answer->data[i]);
	if (how == SENDS_GARBAGE)
		memset(message->data + 4, 0xc1, message->len - 4);
	send_message(server, message, to);
}

static void on_question(uv_udp_t *socket, ssize_t n, const uv_buf_t *buffer,
	const struct sockaddr *from, unsigned flags)
{
	(void)flags;
	struct name_server *server = socket->data;
	if (n <= 0 || !from)
		return;
	const uint8_t *octets = (const uint8_t *)buffer->base;
	unsigned type = 0;
	size_t n_question = 0;
	g_autofree char *name =
		dns_message_question(octets, (size_t)n, &type, &n_question);
	assert_non_null(name);
	g_ptr_array_add(server->asked, g_strdup(name));
	answer_question(server, (uint16_t)(octets[0] << 8 | octets[1]), name, type, from);
}

static void on_buffer(uv_handle_t *socket, size_t wanted, uv_buf_t *buffer)
{
	(void)wanted;
	struct name_server *server = socket->data;
	*buffer = uv_buf_init(server->buffer, sizeof(server->buffer));
}

static void name_server_start(
	struct name_server *server, uv_loop_t *loop, const struct answer *script)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int length = sizeof(address);
	memset(server, 0, sizeof(*server));
	server->script = script;
	server->asked = g_ptr_array_new_with_free_func(g_free);
	server->socket.data = server;
	uv_udp_init(loop, &server->socket);
	assert_int_equal(
		uv_udp_bind(&server->socket, (const struct sockaddr *)&address, 0), 0);
	uv_udp_getsockname(&server->socket, (struct sockaddr *)&address, &length);
	server->port = ntohs(address.sin_port);
	g_snprintf(server->text, sizeof(server->text), "127.0.0.1:%u", server->port);
	uv_udp_recv_start(&server->socket, on_buffer, on_question);
}

static void name_server_stop(struct name_server *server)
{
	uv_close((uv_handle_t *)&server->socket, NULL);
	g_ptr_array_unref(server->asked);
}

/* ---- a loop with both ---- */

struct bed {
	uv_loop_t loop;
	struct name_server server;
	struct screener *screener;
	const char *servers[2];
	struct conf conf;
	unsigned n_done;
	char *name, *zone; /* of the last result */
};

static void bed_set_settings(struct bed *bed, const char *server)
{
	bed->servers[0] = server;
	bed->conf = (struct conf){ .dns_servers = bed->servers,
		.dns_timeout_ms = TIMEOUT_MS };
	screener_set_settings(bed->screener, &bed->conf);
}

static struct bed *bed_new(const struct answer *script)
{
	struct bed *bed = g_new0(struct bed, 1);
	uv_loop_init(&bed->loop);
	name_server_start(&bed->server, &bed->loop, script);
	bed->screener = screener_new(&bed->loop);
	bed_set_settings(bed, bed->server.text);
	return bed;
}

/* Nothing may be left on the loop: it would not end. */
static void bed_free(struct bed *bed)
{
	screener_free(&bed->screener);
	assert_null(bed->screener);
	name_server_stop(&bed->server);
	uv_run(&bed->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&bed->loop), 0);
	g_free(bed->name);
	g_free(bed->zone);
	g_free(bed);
}

static void on_done(void *context, const struct screening_result *result)
{
	struct bed *bed = context;
	bed->n_done++;
	g_free(bed->name);
	g_free(bed->zone);
	bed->name = g_strdup(result->name);
	bed->zone = g_strdup(result->zone);
}

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		return address;
	}
	v6->sin6_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	return address;
}

static struct screening *start(
	struct bed *bed, const struct conf_listener *listener, const char *client)
{
	struct sockaddr_storage address = address_of(client);
	unsigned before = bed->n_done;
	struct screening *screening = screener_start(
		bed->screener, listener, (const struct sockaddr *)&address, on_done, bed);
	assert_int_equal(bed->n_done, before); /* later, whatever is known */
	return screening;
}

static void run_until(struct bed *bed, unsigned n_done)
{
	uint64_t end_ms = uv_hrtime() / 1000000 + TURNS_WITHIN_MS;
	while (bed->n_done < n_done && uv_hrtime() / 1000000 < end_ms)
		uv_run(&bed->loop, UV_RUN_ONCE);
	assert_int_equal(bed->n_done, n_done);
}

/* ---- what is found out ---- */

#define CLIENT_PTR "99.2.0.192.in-addr.arpa"
static const char *const two_zones[] = { "one.test", "two.test", NULL };

static const struct {
	const char *what, *client;
	bool asks_lists, asks_name;
	struct answer script[ANSWERS_MAX];
	const char *want_name, *want_zone;
	unsigned want_asked;
} cases[] = {
	{ "listed by the second", "192.0.2.99", true, false,
		{ { "99.2.0.192.two.test", ns_t_a, ANSWERS, { "127.0.0.2" } } }, NULL,
		"two.test", 2 },
	{ "listed by both: the first is named", "192.0.2.99", true, false,
		{ { "99.2.0.192.two.test", ns_t_a, ANSWERS, { "127.0.0.2" } },
			{ "99.2.0.192.one.test", ns_t_a, ANSWERS, { "127.0.0.9" } } },
		NULL, "one.test", 2 },
	{ "listed by none", "192.0.2.99", true, false, { { 0 } }, NULL, NULL, 2 },
	{ "IPv6 is listed by nibbles", "2001:db8::1", true, false,
		{ { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
		    "one.test",
			ns_t_a, ANSWERS, { "127.0.0.2" } } },
		NULL, "one.test", 2 },
	{ "a list that declines", "192.0.2.99", true, false,
		{ { "99.2.0.192.one.test", ns_t_a, ANSWERS, { "127.255.255.254" } } },
		NULL, NULL, 2 },
	{ "a list that is none", "192.0.2.99", true, false,
		{ { "99.2.0.192.one.test", ns_t_a, ANSWERS, { "192.0.2.80" } } }, NULL,
		NULL, 2 },
	{ "a name that leads back", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } },
			{ "mx.example", ns_t_a, ANSWERS,
				{ "192.0.2.1", "192.0.2.99" } } },
		"mx.example", NULL, 2 },
	{ "of two names, the one that leads back", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "bad.example", "mx.example" } },
			{ "bad.example", ns_t_a, ANSWERS, { "192.0.2.1" } },
			{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.99" } } },
		"mx.example", NULL, 3 },
	{ "an IPv4 client of an IPv6 socket", "::ffff:192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } },
			{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.99" } } },
		"mx.example", NULL, 2 },
	{ "an IPv6 client", "2001:db8::1", false, true,
		{ { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
		    "ip6.arpa",
			  ns_t_ptr, ANSWERS, { "mx.example" } },
			{ "mx.example", ns_t_aaaa, ANSWERS, { "2001:db8::1" } } },
		"mx.example", NULL, 2 },
	{ "a name that leads elsewhere", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } },
			{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.1" } } },
		NULL, NULL, 2 },
	{ "a name that is nobody's", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } } }, NULL, NULL, 2 },
	{ "a name that is none is not asked for", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "192.0.2.99" } } }, NULL, NULL, 1 },
	{ "no name", "192.0.2.99", false, true, { { 0 } }, NULL, NULL, 1 },
	{ "lists and name", "192.0.2.99", true, true,
		{ { CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } },
			{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.99" } },
			{ "99.2.0.192.one.test", ns_t_a, ANSWERS, { "127.0.0.2" } } },
		"mx.example", "one.test", 4 },
	{ "a lost question is asked again", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, LOSES_THE_FIRST, { "mx.example" } },
			{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.99" } } },
		"mx.example", NULL, 3 },
	{ "silence about one, an answer about the other", "192.0.2.99", true, true,
		{ { CLIENT_PTR, ns_t_ptr, IS_SILENT, { NULL } },
			{ "99.2.0.192.one.test", ns_t_a, ANSWERS, { "127.0.0.2" } } },
		NULL, "one.test", 4 },
	{ "a server that fails", "192.0.2.99", true, false,
		{ { "99.2.0.192.one.test", ns_t_a, FAILS, { NULL } } }, NULL, NULL, 3 },
	{ "garbage", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, SENDS_GARBAGE, { "mx.example" } } }, NULL, NULL,
		0 },
	{ "an answer to another question", "192.0.2.99", false, true,
		{ { CLIENT_PTR, ns_t_ptr, HAS_WRONG_ID, { "mx.example" } } }, NULL, NULL,
		2 },
	{ "nothing is asked for", "192.0.2.99", false, false, { { 0 } }, NULL, NULL, 0 },
};

static void assert_text(const char *got, const char *want)
{
	assert_true(!got == !want);
	if (want)
		assert_string_equal(got, want);
}

static struct conf_listener listener_of(bool asks_lists, bool asks_name)
{
	return (struct conf_listener){
		.dnsbl = asks_lists ? two_zones : NULL,
		.reverse_dns = asks_name ? CONF_REVERSE_DNS_LOG : CONF_REVERSE_DNS_OFF,
	};
}

static void clients_are_screened(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		print_message("%s\n", cases[i].what);
		struct bed *bed = bed_new(cases[i].script);
		struct conf_listener listener =
			listener_of(cases[i].asks_lists, cases[i].asks_name);
		uint64_t began_ms = uv_hrtime() / 1000000;
		start(bed, &listener, cases[i].client);
		run_until(bed, 1);
		assert_in_range(uv_hrtime() / 1000000 - began_ms, 0, 3 * TIMEOUT_MS);
		assert_text(bed->name, cases[i].want_name);
		assert_text(bed->zone, cases[i].want_zone);
		if (cases[i].want_asked)
			assert_int_equal(bed->server.asked->len, cases[i].want_asked);
		bed_free(bed);
	}
}

/* ---- how often it is asked ---- */

static const struct answer mx_script[ANSWERS_MAX] = {
	{ CLIENT_PTR, ns_t_ptr, ANSWERS, { "mx.example" } },
	{ "mx.example", ns_t_a, ANSWERS, { "192.0.2.99" } },
};

static void what_is_known_is_not_asked_again(void **state)
{
	(void)state;
	struct bed *bed = bed_new(mx_script);
	struct conf_listener listener = listener_of(true, true);
	for (unsigned i = 1; i <= 3; i++) {
		start(bed, &listener, "192.0.2.99");
		run_until(bed, i);
		assert_string_equal(bed->name, "mx.example");
		assert_int_equal(bed->server.asked->len, 4);
	}
	bed_free(bed);
}

static void what_is_being_asked_is_not_asked_again(void **state)
{
	(void)state;
	struct bed *bed = bed_new(mx_script);
	struct conf_listener listener = listener_of(true, true);
	for (unsigned i = 0; i < 50; i++)
		start(bed, &listener, "192.0.2.99");
	run_until(bed, 50);
	assert_int_equal(bed->server.asked->len, 4);
	bed_free(bed);
}

static void new_servers_are_asked_anew(void **state)
{
	(void)state;
	static const struct answer silent_script[ANSWERS_MAX] = {
		{ CLIENT_PTR, ns_t_ptr, IS_SILENT, { NULL } },
	};
	struct bed *bed = bed_new(silent_script);
	struct name_server other;
	name_server_start(&other, &bed->loop, mx_script);
	struct conf_listener listener = listener_of(false, true);
	start(bed, &listener, "192.0.2.99"); /* of the old */
	bed_set_settings(bed, other.text);
	start(bed, &listener, "192.0.2.99");
	run_until(bed, 1);
	assert_text(bed->name, "mx.example");
	assert_int_equal(other.asked->len, 2);
	run_until(bed, 2);
	assert_null(bed->name);
	start(bed, &listener, "192.0.2.99"); /* the old failure counts for nothing */
	run_until(bed, 3);
	assert_text(bed->name, "mx.example");
	assert_int_equal(other.asked->len, 2);
	name_server_stop(&other);
	bed_free(bed);
}

static void without_servers_nobody_waits(void **state)
{
	(void)state;
	struct bed *bed = bed_new(mx_script);
	bed_set_settings(bed, "no address");
	struct conf_listener listener = listener_of(true, true);
	start(bed, &listener, "192.0.2.99");
	run_until(bed, 1);
	assert_null(bed->name);
	assert_null(bed->zone);
	assert_int_equal(bed->server.asked->len, 0);
	bed_free(bed);
}

/* A closed port: the question fails while it is being asked, or right after. */
static void a_server_that_is_down_refuses_nobody(void **state)
{
	(void)state;
	struct bed *bed = bed_new(mx_script);
	struct name_server other;
	name_server_start(&other, &bed->loop, mx_script);
	bed_set_settings(bed, other.text);
	name_server_stop(&other);
	struct conf_listener listener = listener_of(true, true);
	start(bed, &listener, "192.0.2.99");
	run_until(bed, 1);
	assert_null(bed->zone);
	bed_free(bed);
}

static void count_answer(void *context, struct dns_answer *answer)
{
	unsigned *results = context;
	results[answer->result]++;
}

static void lookups_under_way_are_bounded(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct name_server server;
	static const struct answer script[ANSWERS_MAX] = { { 0 } };
	const char *servers[] = { server.text, NULL };
	unsigned results[3] = { 0 };
	uv_loop_init(&loop);
	name_server_start(&server, &loop, script);
	struct dns *dns = dns_new(&loop);
	dns_set_servers(dns, servers, TIMEOUT_MS);
	for (unsigned i = 0; i < DNS_LOOKUPS_MAX + 5; i++) {
		g_autofree char *name = g_strdup_printf("%u.test", i);
		struct dns_question *question =
			dns_ask(dns, DNS_A, name, count_answer, results);
		assert_true(!question == (i >= DNS_LOOKUPS_MAX));
	}
	assert_int_equal(results[DNS_FAILED], 5);
	uint64_t end_ms = uv_hrtime() / 1000000 + TURNS_WITHIN_MS;
	while (results[DNS_NONE] + results[DNS_FAILED] < DNS_LOOKUPS_MAX + 5 &&
		uv_hrtime() / 1000000 < end_ms)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(results[DNS_NONE] + results[DNS_FAILED], DNS_LOOKUPS_MAX + 5);
	/* and there is room again */
	struct dns_question *more =
		dns_ask(dns, DNS_A, "more.test", count_answer, results);
	assert_non_null(more);
	dns_question_forget(&more);
	dns_free(&dns);
	name_server_stop(&server);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- ends ---- */

static void who_is_forgotten_is_not_told(void **state)
{
	(void)state;
	struct bed *bed = bed_new(mx_script);
	struct conf_listener listener = listener_of(true, true);
	struct screening *gone = start(bed, &listener, "192.0.2.99");
	start(bed, &listener, "192.0.2.99");
	screening_forget(&gone);
	assert_null(gone);
	screening_forget(&gone);
	run_until(bed, 1);
	for (unsigned i = 0; i < 20; i++)
		uv_run(&bed->loop, UV_RUN_NOWAIT);
	assert_int_equal(bed->n_done, 1);
	bed_free(bed);
}

static void the_end_comes_at_any_time(void **state)
{
	(void)state;
	for (unsigned turns = 0; turns < 12; turns++) {
		struct bed *bed = bed_new(mx_script);
		struct conf_listener listener = listener_of(true, true);
		start(bed, &listener, "192.0.2.99");
		bed_set_settings(bed, bed->server.text);
		start(bed, &listener, "192.0.2.99");
		for (unsigned i = 0; i < turns; i++)
			uv_run(&bed->loop, UV_RUN_NOWAIT);
		bed_free(bed);
	}
}

static void on_done_free(void *context, const struct screening_result *result)
{
	struct bed *bed = context;
	on_done(bed, result);
	screener_free(&bed->screener);
}

/* By an answer from outside, and by one that is known. */
static void who_is_told_may_end_it_all(void **state)
{
	(void)state;
	for (unsigned known = 0; known < 2; known++) {
		struct bed *bed = bed_new(mx_script);
		struct conf_listener listener = listener_of(true, true);
		struct sockaddr_storage client = address_of("192.0.2.99");
		if (known) {
			start(bed, &listener, "192.0.2.99");
			run_until(bed, 1);
		}
		screener_start(bed->screener, &listener, (const struct sockaddr *)&client,
			on_done_free, bed);
		screener_start(bed->screener, &listener, (const struct sockaddr *)&client,
			on_done_free, bed);
		run_until(bed, known + 1);
		bed_free(bed);
	}
}

/* ---- who is screened ---- */

static const struct {
	const char *client;
	bool asks_lists, asks_name, has_servers, want;
} wanted[] = {
	{ "192.0.2.99", true, false, false, true },
	{ "192.0.2.99", false, true, false, true },
	{ "192.0.2.99", false, false, true, false },
	{ "2001:db8::1", true, true, false, true },
	{ "127.0.0.1", true, true, false, false },
	{ "127.0.0.1", true, true, true, true },
	{ "::1", true, true, false, false },
	{ "::ffff:127.0.0.1", true, true, false, false },
};

static void who_is_screened(void **state)
{
	(void)state;
	static const char *const servers[] = { "192.0.2.53", NULL };
	for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
		struct conf conf = { .dns_servers =
					     wanted[i].has_servers ? servers : NULL };
		struct conf_listener listener =
			listener_of(wanted[i].asks_lists, wanted[i].asks_name);
		struct sockaddr_storage client = address_of(wanted[i].client);
		assert_int_equal(screener_is_wanted(&conf, &listener,
					 (const struct sockaddr *)&client),
			wanted[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_screened),
		cmocka_unit_test(what_is_known_is_not_asked_again),
		cmocka_unit_test(what_is_being_asked_is_not_asked_again),
		cmocka_unit_test(new_servers_are_asked_anew),
		cmocka_unit_test(without_servers_nobody_waits),
		cmocka_unit_test(a_server_that_is_down_refuses_nobody),
		cmocka_unit_test(lookups_under_way_are_bounded),
		cmocka_unit_test(who_is_forgotten_is_not_told),
		cmocka_unit_test(the_end_comes_at_any_time),
		cmocka_unit_test(who_is_told_may_end_it_all),
		cmocka_unit_test(who_is_screened),
	};
	log_init(false, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
