/* relay: what goes out as content, and what ends it early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"
#include <string.h>

static char *expected_wire(const char *text)
{
	GString *wire = g_string_new("content:");
	bool line_start = true;
	for (const char *p = text; *p; p++) {
		if (line_start && *p == '.')
			g_string_append_c(wire, '.');
		g_string_append_c(wire, *p);
		line_start = *p == '\n';
	}
	if (!line_start)
		g_string_append(wire, "\r\n");
	return g_string_free(wire, FALSE);
}

/* Sizes around the blocks and buffers, lines with dots at their starts. */
static void test_large_content(void **unused)
{
	(void)unused;
	static const size_t sizes[] = { 1, 32767, 32768, 32769, 65530, 65533, 65536,
		65537, 98304, 300000, 5 << 20 };
	static const enum peer_tls modes[] = { PEER_PLAIN, PEER_WRAPPER };
	SSL_CTX *context = peer_context(&scene_ca, "IP:127.0.0.1", 5);
	for (size_t i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
		struct scene s;
		scene_init(&s,
			&(struct peer_script){ .tls = modes[i % 2], .context = context });
		g_autoptr(GString) text = g_string_new(NULL);
		while (text->len < sizes[i / 2])
			g_string_append_printf(
				text, "%s%zu\r\n", text->len % 3 ? "." : "", text->len);
		g_string_truncate(text, sizes[i / 2]);
		if (text->str[text->len - 1] == '\r')
			text->str[text->len - 1] = 'x';
		scene_content(&s, text->str, text->len);
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, RELAY_SENT, 250, NULL, "large");
		g_autofree char *want = expected_wire(text->str);
		g_autofree char *log = peer_log(s.peer);
		const char *got = strstr(log, "content:");
		assert_non_null(got);
		assert_memory_equal(got, want, MIN(strlen(want), strlen(got)));
		assert_true(g_str_has_prefix(got, want));
		assert_int_equal(s.dots, 1);
		scene_deinit(&s);
	}
	SSL_CTX_free(context);
}

static void test_given_up_before_the_dot(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.refuse_dot = true;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_DEFERRED, 0, "the journal is full", "refused");
	assert_true(peer_await(s.peer, "content cut"));
	assert_int_equal(scene_count(&s, "content:"), 0);
	s.refuse_dot = false;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "again");
	assert_int_equal(scene_count(&s, "content:"), 1);
	scene_deinit(&s);
}

/* The original is shorter than it was: what could be read must not be
 * taken for the message. */
static void test_content_not_readable(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_content(&s, "half\r\n", 6);
	splice_free(&s.splice);
	s.splice = splice_new(200000);
	s.message.content = s.splice;
	scene_send(&s, "to@example.org", NULL);
	assert_int_equal(s.recipients[0].verdict, RELAY_DEFERRED);
	assert_int_equal(s.dots, 0);
	assert_true(peer_await(s.peer, "content cut"));
	assert_int_equal(scene_count(&s, "content:"), 0);
	scene_deinit(&s);
}

static void test_early_answer(void **unused)
{
	(void)unused;
	static const struct {
		enum peer_action action;
		const char *text;
		enum relay_verdict want;
		int code;
	} cases[] = {
		{ PEER_REPLY, "552 5.3.4 enough\r\n", RELAY_REFUSED, 552 },
		{ PEER_REPLY, "451 4.3.0 later\r\n", RELAY_DEFERRED, 451 },
		{ PEER_REPLY_CLOSE, "552 5.3.4 enough\r\n", RELAY_REFUSED, 552 },
		{ PEER_REPLY_CLOSE, "421 4.3.2 bye\r\n", RELAY_DEFERRED, 421 },
		{ PEER_REPLY_CLOSE, "552 5.3", RELAY_DEFERRED, 0 },
		{ PEER_CLOSE, NULL, RELAY_DEFERRED, 0 },
	};
	g_autofree char *line = g_strnfill(900, 'x');
	g_autoptr(GString) text = g_string_new(NULL);
	while (text->len < 30 << 20)
		g_string_append_printf(text, "%s\r\n", line);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct peer_rule rules[] = {
			{ "CONTENT", cases[i].action, cases[i].text, 0 }, { 0 }
		};
		struct scene s;
		scene_init(&s, &(struct peer_script){ .rules = rules });
		scene_content(&s, text->str, text->len);
		scene_send(&s, "to@example.org", NULL);
		scene_expect(&s, 0, cases[i].want, cases[i].code, NULL, "early");
		assert_int_equal(s.dots, 0);
		scene_deinit(&s);
	}
}

static void test_limits_before_any_connection(void **unused)
{
	(void)unused;
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.max_message_size = 10;
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0,
		"5.3.4 the message has 20 octets, the relay takes 10", "size");
	assert_int_equal(scene_count(&s, "connect"), 0);
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ .ehlo = "250-SIZE 15\r\n" });
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "5.3.4", "SIZE");
	assert_int_equal(scene_count(&s, "MAIL"), 0);
	scene_deinit(&s);
}

static void test_long_lines(void **unused)
{
	(void)unused;
	g_autofree char *line = g_strnfill(1500, 'x');
	struct scene s;
	scene_init(&s, &(struct peer_script){ 0 });
	scene_content(&s, line, strlen(line));
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_SENT, 250, NULL, "not SES");
	scene_deinit(&s);

	scene_init(&s, &(struct peer_script){ 0 });
	s.settings.host = "email-smtp.eu-west-1.amazonaws.com";
	scene_content(&s, line, strlen(line));
	scene_send(&s, "to@example.org", NULL);
	scene_expect(&s, 0, RELAY_REFUSED, 0, "998", "SES");
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_content),
		cmocka_unit_test(test_given_up_before_the_dot),
		cmocka_unit_test(test_content_not_readable),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_limits_before_any_connection),
		cmocka_unit_test(test_long_lines),
	};
	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
