/* Completes, loads and compares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/conf/loading.h"
#include <string.h>

/* What a case does not bring itself, by top-level key. */
static const struct {
	const char *key, *text;
} base[] = {
	{ "hostname", "hostname: mail.example.com\n" },
	{ "listeners", "listeners: [ { name: in, address: \"127.0.0.1:2525\", tls: none, "
		       "networks: [ 127.0.0.0/8 ] } ]\n" },
	{ "s3", "s3: { bucket: box, region: eu-west-1 }\n" },
	{ "relay", "relay: { host: localhost, tls: none }\n" },
};

static bool has_key(const char *text, const char *key)
{
	g_autofree char *first = g_strconcat(key, ":", NULL);
	g_autofree char *later = g_strconcat("\n", first, NULL);
	return g_str_has_prefix(text, first) || strstr(text, later) != NULL;
}

char *completed(const char *text)
{
	GString *whole = g_string_new(text);
	for (size_t i = 0; i < G_N_ELEMENTS(base); i++)
		if (!has_key(text, base[i].key))
			g_string_append(whole, base[i].text);
	return g_string_free(whole, FALSE);
}

static char *joined(const GPtrArray *lines)
{
	GString *text = g_string_new(NULL);
	for (size_t i = 0; i < lines->len; i++)
		g_string_append_printf(text, "%s\n", (const char *)lines->pdata[i]);
	return g_string_free(text, FALSE);
}

struct conf *load(const char *text, char **problems, char **warnings)
{
	g_autoptr(GPtrArray) problem_lines = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) warning_lines = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load_text(
		"f", text, strlen(text), false, problem_lines, warning_lines);
	assert_int_equal(conf == NULL, problem_lines->len > 0);
	*problems = joined(problem_lines);
	*warnings = joined(warning_lines);
	return conf;
}

bool matches(const char *text, const char *got, const char *want)
{
	g_autofree char *trimmed = g_strchomp(g_strdup(got));
	g_auto(GStrv) got_lines = g_strsplit(trimmed, "\n", -1);
	g_auto(GStrv) want_lines = g_strsplit(want, "\n", -1);
	bool same = g_strv_length(got_lines) == g_strv_length(want_lines);
	for (size_t i = 0; same && want_lines[i] != NULL; i++)
		same = g_str_has_prefix(got_lines[i], want_lines[i]);
	if (!same)
		print_error("for\n%s\n  got\n%s  instead of\n%s\n\n", text, got, want);
	return same;
}

void check_mistakes(const struct mistake *mistakes, size_t n)
{
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++) {
		g_autofree char *text = completed(mistakes[i].text);
		g_autofree char *problems = NULL, *warnings = NULL;
		struct conf *conf = load(text, &problems, &warnings);
		wrong += !matches(text, problems, mistakes[i].want) ||
			 !g_utf8_validate(problems, -1, NULL);
		conf_unref(conf);
	}
	assert_int_equal(wrong, 0);
}

void check_warnings(const struct mistake *cases, size_t n)
{
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++) {
		g_autofree char *whole = completed(cases[i].text);
		/* Behind the end of a document nothing may follow. */
		g_auto(GStrv) halves = g_strsplit(whole, "...\n", 2);
		g_autofree char *text = g_strjoinv(NULL, halves);
		g_autofree char *problems = NULL, *warnings = NULL;
		struct conf *conf = load(text, &problems, &warnings);
		wrong += !matches(text, problems, "") ||
			 !matches(text, warnings, cases[i].want);
		conf_unref(conf);
	}
	assert_int_equal(wrong, 0);
}

struct conf *load_sound(const char *part)
{
	g_autofree char *text = completed(part);
	g_autofree char *problems = NULL, *warnings = NULL;
	struct conf *conf = load(text, &problems, &warnings);
	if (conf == NULL)
		fail_msg("%s", problems);
	return conf;
}
