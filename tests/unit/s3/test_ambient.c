/* What surrounds the settings, and that it comes after them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/ambient.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION",
	"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE",
	"AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
	"AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
	"AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE" };

static char *config;

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(variables); i++)
		g_unsetenv(variables[i]);
	g_setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", TRUE);
	int fd = g_file_open_tmp("config-XXXXXX", &config, NULL);
	assert_true(fd >= 0);
	close(fd);
	g_setenv("AWS_CONFIG_FILE", config, TRUE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	g_remove(config);
	g_clear_pointer(&config, g_free);
	return 0;
}

#define PROFILE                                                                          \
	"[default]\nregion = eu-north-1\n[profile work]\nregion = eu-west-2\n"           \
	"endpoint_url = https://all.example\nca_bundle = /ca.pem\n"                      \
	"use_fips_endpoint = true\nuse_dualstack_endpoint = true\nservices = mine\n"     \
	"request_checksum_calculation = when_required\n"                                 \
	"s3 =\n  addressing_style = path\n"                                              \
	"[services mine]\ns3 =\n  endpoint_url = https://s3.example\n"

struct want {
	const char *region, *endpoint, *ca_file;
	bool dual_stack, fips, path_style, only_required;
	enum s3_checksum checksum;
	const char *words; /* joined by ", " */
};

static const struct {
	const char *name, *profile;
	const char *environment[4]; /* NAME=VALUE */
	struct s3_settings settings;
	struct want want;
} cases[] = {
	{ "nothing", "", { NULL }, { .bucket = "b" }, { .words = "" } },
	{ "a region of the environment", PROFILE,
		{ "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-3" }, { 0 },
		{ .region = "eu-west-1", .words = "region eu-west-1 (AWS_REGION)" } },
	{ "the older variable", PROFILE,
		{ "AWS_REGION=", "AWS_DEFAULT_REGION=eu-west-3" }, { 0 },
		{ .region = "eu-west-3",
			.words = "region eu-west-3 (AWS_DEFAULT_REGION)" } },
	{ "a region of the profile", PROFILE, { NULL }, { 0 },
		{ .region = "eu-north-1",
			.words = "region eu-north-1 (profile \"default\")" } },
	{ "settings come first", PROFILE,
		{ "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=https://e.example",
			"AWS_CA_BUNDLE=/e.pem", "AWS_USE_FIPS_ENDPOINT=true" },
		{ .region = "us-east-1",
			.endpoint = "https://s.example",
			.ca_file = "/s.pem",
			.fips_given = true,
			.checksum = S3_CHECKSUM_MD5 },
		{ .region = "us-east-1",
			.endpoint = "https://s.example",
			.ca_file = "/s.pem",
			.checksum = S3_CHECKSUM_MD5,
			.words = "" } },
	{ "the service's variable first", PROFILE,
		{ "AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000",
			"AWS_ENDPOINT_URL=https://e.example" },
		{ .region = "r" },
		{ .region = "r",
			.endpoint = "http://127.0.0.1:9000",
			.words = "endpoint http://127.0.0.1:9000 "
				 "(AWS_ENDPOINT_URL_S3)" } },
	{ "endpoints may be told to be ignored", PROFILE,
		{ "AWS_ENDPOINT_URL_S3=https://a.example",
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=TRUE" },
		{ .region = "r" }, { .region = "r", .words = "" } },
	{ "by the profile too",
		"[default]\nignore_configured_endpoint_urls = true\n"
		"endpoint_url = https://a.example\n",
		{ NULL }, { .region = "r" }, { .region = "r", .words = "" } },
	{ "switches of the environment", "",
		{ "AWS_USE_FIPS_ENDPOINT=True", "AWS_USE_DUALSTACK_ENDPOINT=false",
			"AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_SUPPORTED",
			"AWS_CA_BUNDLE=/e.pem" },
		{ .region = "r" },
		{ .region = "r",
			.ca_file = "/e.pem",
			.fips = true,
			.checksum = S3_CHECKSUM_SHA256,
			.words = "ca_file /e.pem (AWS_CA_BUNDLE), dual_stack false "
				 "(AWS_USE_DUALSTACK_ENDPOINT), fips True "
				 "(AWS_USE_FIPS_ENDPOINT), checksum WHEN_SUPPORTED "
				 "(AWS_REQUEST_CHECKSUM_CALCULATION)" } },
	{ "all of a profile", PROFILE, { NULL }, { .profile = "work" },
		{ .region = "eu-west-2",
			.endpoint = "https://s3.example",
			.ca_file = "/ca.pem",
			.dual_stack = true,
			.fips = true,
			.path_style = true,
			.only_required = true,
			.words =
				"region eu-west-2 (profile \"work\"), endpoint "
				"https://s3.example (profile \"work\"), ca_file /ca.pem "
				"(profile \"work\"), dual_stack true (profile \"work\"), "
				"fips true (profile \"work\"), addressing style path "
				"(profile \"work\"), checksum when_required (profile "
				"\"work\")" } },
	{ "a false in the settings is one", PROFILE, { NULL },
		{ .profile = "work",
			.region = "r",
			.endpoint = "https://s.example",
			.ca_file = "/s.pem",
			.dual_stack_given = true,
			.fips_given = true,
			.path_style_given = true,
			.checksum = S3_CHECKSUM_NONE },
		{ .region = "r",
			.endpoint = "https://s.example",
			.ca_file = "/s.pem",
			.checksum = S3_CHECKSUM_NONE,
			.words = "" } },
	{ "no such profile", PROFILE, { "AWS_PROFILE=gone" }, { .region = "r" },
		{ .region = "r", .words = "" } },
	{ "a directory needs none of it", PROFILE, { "AWS_REGION=eu-west-1" },
		{ .directory = "/d" }, { .words = "" } },
};

static void give(const char *profile, const char *const *environment)
{
	assert_true(g_file_set_contents(config, profile, -1, NULL));
	for (size_t i = 0; i < 4 && environment[i]; i++) {
		g_auto(GStrv) pair = g_strsplit(environment[i], "=", 2);
		g_setenv(pair[0], pair[1], TRUE);
	}
}

static void check(const char *name, const struct s3_settings *got,
	const struct s3_ambient *ambient, const struct want *want)
{
	g_autofree char *words = g_strjoinv(", ", (char **)s3_ambient_words(ambient));
	if (g_strcmp0(got->region, want->region) ||
		g_strcmp0(got->endpoint, want->endpoint) ||
		g_strcmp0(got->ca_file, want->ca_file) ||
		got->dual_stack != want->dual_stack || got->fips != want->fips ||
		got->path_style != want->path_style || got->checksum != want->checksum ||
		got->checksum_only_required != want->only_required ||
		strcmp(words, want->words))
		fail_msg("%s: %s; %s %s %s %d %d %d", name, words, got->region,
			got->endpoint, got->ca_file, got->dual_stack, got->fips,
			got->path_style);
}

static void settings_then_environment_then_profile(void **state)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		set_up(state);
		give(cases[i].profile, cases[i].environment);
		struct s3_settings settings = cases[i].settings;
		struct s3_ambient *ambient = s3_ambient_new(&settings, NULL);
		assert_non_null(ambient);
		s3_ambient_apply(ambient, &settings);
		check(cases[i].name, &settings, ambient, &cases[i].want);
		s3_ambient_free(&ambient);
		tear_down(state);
	}
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const struct {
		const char *profile, *environment[4], *says;
	} wrong[] = {
		{ "", { "AWS_ENDPOINT_URL_S3=minio:9000" }, "AWS_ENDPOINT_URL_S3" },
		{ "", { "AWS_ENDPOINT_URL=http://minio:9000" }, "http to loopback" },
		{ "[default]\nendpoint_url = x\n", { NULL }, "profile \"default\"" },
		{ "", { "AWS_USE_FIPS_ENDPOINT=yes" }, "true or false" },
		{ "", { "AWS_USE_DUALSTACK_ENDPOINT=1" }, "true or false" },
		{ "", { "AWS_REQUEST_CHECKSUM_CALCULATION=never" }, "when_required" },
		{ "[default]\ns3 =\n  addressing_style = both\n", { NULL },
			"auto, virtual or path" },
		{ "", { "AWS_ENDPOINT_URL=https://me:secret@s3.example" },
			"endpoint \"...@...\", from AWS_ENDPOINT_URL, is not like" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		set_up(state);
		give(wrong[i].profile, wrong[i].environment);
		const struct s3_settings settings = { .bucket = "b" };
		g_autoptr(GError) error = NULL;
		assert_null(s3_ambient_new(&settings, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		if (!strstr(error->message, wrong[i].says))
			fail_msg("%s: %s", wrong[i].says, error->message);
		tear_down(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_then_environment_then_profile),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
