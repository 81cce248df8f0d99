/* ses and credentials: SMTP passwords, host names, where the secrets come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/relay/credentials.h"
#include "gateway/relay/relay.h"
#include <glib/gstdio.h>
#include <string.h>

#define EXAMPLE_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EXAMPLE_EU     "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk"

/* Values of AWS's published algorithm, computed by another implementation of it. */
static void test_password(void **unused)
{
	(void)unused;
	static const struct {
		const char *secret, *region, *want;
	} cases[] = {
		{ EXAMPLE_SECRET, "us-east-1",
			"BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9" },
		{ EXAMPLE_SECRET, "eu-west-1", EXAMPLE_EU },
		{ EXAMPLE_SECRET, "ap-southeast-2",
			"BLNVIwl1Vk66qi8YP1q44PSaqUtaoyrS/0LT79VaGBfa" },
		{ EXAMPLE_SECRET, "us-gov-west-1",
			"BHW/eHvx1MM9YwW4wrJG6MGVQmLDCAM99G9YiSdGEIAw" },
		{ "short", "eu-central-1",
			"BHIpdjDQ9Cd+ZlOg7+FIJPWd+WnMBAjHBsubYY/ABv3Z" },
		{ "", "us-west-2", "BMyZ+O7eBNH1IGfr+zMrAOu8wKvVWYf1Ffz1SMKVkdjM" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			"cn-north-1", "BIX/jp9qKLCuW3qwZv7cJvGExwZ0ffkI02ZQYfhp5XW6" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *got =
			ses_smtp_password(cases[i].secret, cases[i].region);
		assert_string_equal(got, cases[i].want);
	}
}

static void test_region(void **unused)
{
	(void)unused;
	static const struct {
		const char *host, *want;
	} cases[] = {
		{ "email-smtp.eu-west-1.amazonaws.com", "eu-west-1" },
		{ "Email-SMTP.EU-West-1.AmazonAWS.com.", "eu-west-1" },
		{ "email-smtp-fips.us-east-1.amazonaws.com", "us-east-1" },
		{ "email-smtp.us-gov-west-1.amazonaws.com", "us-gov-west-1" },
		{ "email-smtp.cn-north-1.amazonaws.com.cn", "cn-north-1" },
		{ "vpce-0a1b-2c3d.email-smtp.eu-west-1.vpce.amazonaws.com", "eu-west-1" },
		{ "vpce-0a1b-2c3d-eu-west-1a.email-smtp.eu-west-1.vpce.amazonaws.com",
			"eu-west-1" },
		{ "x.email-smtp.eu-west-1.amazonaws.com", NULL },
		{ "email-smtp.eu-west-1.amazonaws.com.example.com", NULL },
		{ "email-smtp.eu-west-1.amazonaws.org", NULL },
		{ "email-smtp.example.amazonaws.com", NULL },
		{ "email-smtp.eu_west-1.amazonaws.com", NULL },
		{ "email.eu-west-1.amazonaws.com", NULL },
		{ "email-smtp", NULL },
		{ "vpce-1", NULL },
		{ "smtp.example.com", NULL },
		{ "127.0.0.1", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *got = ses_region_of_host(cases[i].host);
		if (g_strcmp0(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].host, got ? got : "none");
	}
}

static void test_credentials(void **unused)
{
	(void)unused;
	static const struct {
		const char *name;
		struct conf_relay settings;
		const char *user, *password; /* NULL: none */
		const char *error;           /* a part of it */
	} cases[] = {
		{ "none", { .host = "h" }, NULL, NULL, NULL },
		{ "plain", { .host = "h", .user = "u", .password = "p" }, "u", "p",
			NULL },
		{ "no password", { .host = "h", .user = "u" }, NULL, NULL,
			"belong together" },
		{ "no user", { .host = "h", .password = "p" }, NULL, NULL,
			"belong together" },
		{ "no file",
			{ .host = "h", .user = "u", .password_file = "/nonexistent/x" },
			NULL, NULL, "relay.password_file" },
		{ "derived",
			{ .host = "email-smtp.eu-west-1.amazonaws.com",
				.iam_access_key_id = "AKIAEXAMPLE",
				.iam_secret_access_key = EXAMPLE_SECRET },
			"AKIAEXAMPLE", EXAMPLE_EU, NULL },
		{ "region given",
			{ .host = "127.0.0.1",
				.region = "eu-west-1",
				.iam_access_key_id = "AKIAEXAMPLE",
				.iam_secret_access_key = EXAMPLE_SECRET },
			"AKIAEXAMPLE", EXAMPLE_EU, NULL },
		{ "no region",
			{ .host = "127.0.0.1",
				.iam_access_key_id = "AKIAEXAMPLE",
				.iam_secret_access_key = EXAMPLE_SECRET },
			NULL, NULL, "relay.region" },
		{ "half a key",
			{ .host = "email-smtp.eu-west-1.amazonaws.com",
				.iam_access_key_id = "AKIAEXAMPLE" },
			NULL, NULL, "iam_secret_access_key" },
		{ "temporary key",
			{ .host = "email-smtp.eu-west-1.amazonaws.com",
				.iam_access_key_id = "ASIAEXAMPLE",
				.iam_secret_access_key = EXAMPLE_SECRET },
			NULL, NULL, "temporary" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct credentials c;
		g_autoptr(GError) error = NULL;
		bool ok = credentials_load(&c, &cases[i].settings, &error);
		if (ok != !cases[i].error)
			fail_msg("%s: %s", cases[i].name,
				error ? error->message : "no error");
		if (!ok) {
			assert_int_equal(error->code, GATEWAY_ERROR_MEND);
			assert_non_null(strstr(error->message, cases[i].error));
			assert_null(strstr(error->message, EXAMPLE_SECRET));
		}
		assert_int_equal(g_strcmp0(c.user, cases[i].user), 0);
		assert_int_equal(g_strcmp0(c.password, cases[i].password), 0);
		credentials_wipe(&c);
		assert_null(c.user);
		assert_null(c.password);
	}
}

static void test_rotated_file(void **unused)
{
	(void)unused;
	g_autofree char *directory = g_dir_make_tmp("relay-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "password", NULL);
	struct conf_relay settings = { .host = "h", .user = "u", .password_file = path };
	static const char *const contents[] = { "first\n", "second\n" };
	for (size_t i = 0; i < G_N_ELEMENTS(contents); i++) {
		struct credentials c;
		assert_true(g_file_set_contents(path, contents[i], -1, NULL));
		assert_true(credentials_load(&c, &settings, NULL));
		assert_memory_equal(c.password, contents[i], strlen(c.password));
		assert_int_equal(strlen(c.password) + 1, strlen(contents[i]));
		credentials_wipe(&c);
	}
	g_unlink(path);
	g_rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_region),
		cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_rotated_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
