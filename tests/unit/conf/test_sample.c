/* The sample: every setting, and sound once its comments are taken off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/schema.h"
#include "tests/unit/conf/loading.h"
#include <string.h>

/* Each line's # taken away, the sample is a file with every option in it. */
static char *uncommented_sample(void)
{
	char *sample = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&sample, &length);
	conf_print_sample(out);
	fclose(out);
	g_auto(GStrv) lines = g_strsplit(sample, "\n", -1);
	free(sample);
	for (size_t i = 0; lines[i] != NULL; i++) {
		assert_true(*lines[i] == '\0' || *lines[i] == '#');
		assert_true(strlen(lines[i]) <= 90);
		if (*lines[i] == '#')
			memmove(lines[i], lines[i] + 1, strlen(lines[i]));
	}
	return g_strjoinv("\n", lines);
}

static void check_fields_appear(const char *sample, const struct conf_section *section)
{
	for (size_t i = 0; i < section->n_fields; i++) {
		const struct conf_field *field = &section->fields[i];
		g_autofree char *line = g_strconcat(" ", field->key, ":", NULL);
		if (strstr(sample, line) == NULL && strstr(sample, line + 1) == NULL)
			fail_msg("%s is not in the sample", field->key);
		assert_non_null(field->help);
		if (field->section != NULL)
			check_fields_appear(sample, field->section);
	}
}

static void test_sample(void **state)
{
	(void)state;
	g_autofree char *sample = uncommented_sample();
	g_autofree char *problems = NULL, *warnings = NULL;
	check_fields_appear(sample, &conf_schema);
	/* All is right by itself, but nobody would set all of it at once. */
	assert_null(load(sample, &problems, &warnings));
	g_auto(GStrv) lines = g_strsplit(problems, "\n", -1);
	for (size_t i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
		if (strstr(lines[i], " is given beside ") == NULL)
			fail_msg("%s", lines[i]);
}

/* The same, one alternative left out of each pair: sound as a whole. */
static void test_sample_sound(void **state)
{
	static const char *const left_out[] = { "directory: /var/lib/stowage/objects",
		"directory_url:", "directory_m", "listen: \"127.0.0.1:8025\"", "listen_",
		"client_ca:", "maildir:", "access_key_id_file:",
		"secret_access_key_file:", "session_token_file:", "credentials_file:",
		"profile: mail", "profile: links", "password_file:", "iam_",
		"session_token:", "cloudfront:", "url:", "key_pair_id:",
		"private_key_file:" };
	(void)state;
	g_autofree char *sample = uncommented_sample();
	g_auto(GStrv) lines = g_strsplit(sample, "\n", -1);
	for (size_t i = 0; lines[i] != NULL; i++)
		for (size_t j = 0; j < G_N_ELEMENTS(left_out); j++)
			if (g_str_has_prefix(
				    lines[i] + strspn(lines[i], " "), left_out[j]))
				*lines[i] = '#';
	g_autofree char *text = g_strjoinv("\n", lines);
	g_autofree char *problems = NULL, *warnings = NULL;
	struct conf *conf = load(text, &problems, &warnings);
	assert_string_equal(problems, "");
	assert_string_equal(warnings, "");
	assert_int_equal(conf->n_listeners, 1);
	assert_int_equal(conf->listeners[0].max_message_size, 150 * 1024 * 1024);
	assert_int_equal(conf->relay.data_timeout_s, 600);
	assert_string_equal(conf->relay.delivers[0], "in.example.com");
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_sample_sound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
