/* log: what a line holds, and that what a peer sent can neither break nor forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/log.h"
#include <glib.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

/* Runs write with standard error led into a file; what it wrote, g_free(). */
static char *captured(void (*write)(const char *), const char *text)
{
	g_autofree char *path = NULL;
	int file = g_file_open_tmp("log-XXXXXX", &path, NULL);
	int saved = dup(STDERR_FILENO);
	assert_true(file >= 0 && saved >= 0);
	dup2(file, STDERR_FILENO);
	write(text);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(file);
	char *got = NULL;
	assert_true(g_file_get_contents(path, &got, NULL, NULL));
	g_unlink(path);
	return got;
}

static void write_event(const char *text)
{
	log_info("message.accepted", LOG_TEXT("id", "01abc"),
		LOG_NUMBER("size", 5000000000), LOG_TEXT("user", NULL),
		LOG_TEXT("helo", text));
}

static void write_debug(const char *text)
{
	log_debug("session.opened", LOG_TEXT("client", text));
}

static const struct {
	const char *name, *helo, *want;
} texts[] = {
	{ "plain", "client.example", "client.example" },
	{ "quotes and line ends", "a\"b\\c\r\n{\"event\":\"forged\"}",
		"a\"b\\c\r\n{\"event\":\"forged\"}" },
	{ "control characters", "a\033[2Jb\001", "a\033[2Jb\001" },
	{ "control characters beyond ASCII's", "a\177b\302\2332J\342\200\256c",
		"a\177b\302\2332J\342\200\256c" },
	{ "UTF-8", "b\303\274ro", "b\303\274ro" },
	{ "invalid UTF-8 is replaced", "b\374ro", "b\357\277\275ro" },
};

static void json_line_is_one_object(void **state)
{
	(void)state;
	log_init(false, LOG_LEVEL_INFO);
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *line = captured(write_event, texts[i].helo);
		assert_non_null(strchr(line, '\n'));
		assert_string_equal(strchr(line, '\n'), "\n");
		assert_null(strchr(line, '\177'));
		assert_null(strstr(line, "\302\233"));
		assert_null(strstr(line, "\342\200\256"));
		json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(object);
		assert_string_equal(json_string_value(json_object_get(object, "event")),
			"message.accepted");
		assert_string_equal(
			json_string_value(json_object_get(object, "level")), "info");
		assert_int_equal(
			json_integer_value(json_object_get(object, "size")), 5000000000);
		assert_string_equal(json_string_value(json_object_get(object, "helo")),
			texts[i].want);
		assert_null(json_object_get(object, "user"));
		assert_int_equal(
			strlen(json_string_value(json_object_get(object, "time"))), 24);
		json_decref(object);
	}
}

static void json_escapes_are_the_short_ones(void **state)
{
	(void)state;
	log_init(false, LOG_LEVEL_INFO);
	g_autofree char *line = captured(write_event, "\"\\\b\f\n\r\t/\001\177\303\274");
	assert_non_null(strstr(line, ",\"helo\":\"\\\"\\\\\\b\\f\\n\\r\\t/\\u0001\\u007f"
				     "\303\274\"}\n"));
	g_autofree char *tag = captured(write_event, "a\363\240\201\201\360\237\223\267");
	assert_non_null(strstr(tag, ",\"helo\":\"a\\udb40\\udc41\360\237\223\267\"}\n"));
}

static void human_line_shows_no_control_character(void **state)
{
	(void)state;
	log_init(true, LOG_LEVEL_INFO);
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *line = captured(write_event, texts[i].helo);
		assert_string_equal(strchr(line, '\n'), "\n");
		for (const char *p = line; *p != '\n'; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
		assert_non_null(
			strstr(line, "message.accepted  id=01abc  size=5000000000"));
	}
}

static void level_below_the_least_is_left_out(void **state)
{
	(void)state;
	log_init(false, LOG_LEVEL_INFO);
	g_autofree char *none = captured(write_debug, "192.0.2.1");
	assert_string_equal(none, "");
	log_init(false, LOG_LEVEL_DEBUG);
	g_autofree char *some = captured(write_debug, "192.0.2.1");
	assert_non_null(strstr(some, "\"client\":\"192.0.2.1\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_line_is_one_object),
		cmocka_unit_test(json_escapes_are_the_short_ones),
		cmocka_unit_test(human_line_shows_no_control_character),
		cmocka_unit_test(level_below_the_least_is_left_out),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
