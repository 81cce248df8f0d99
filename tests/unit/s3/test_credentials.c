/* The chain of credentials: its order, its files, and that it never falls through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/credentials.h"
#include <glib/gstdio.h>
#include <string.h>

#define NOW 1785974400 /* 2026-08-06T00:00:00Z */

static const char *const variables[] = { "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID_FILE",
	"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE", "AWS_SESSION_TOKEN",
	"AWS_SESSION_TOKEN_FILE", "AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE",
	"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS" };

static char *directory;

static char *file(const char *name)
{
	return g_build_filename(directory, name, NULL);
}

static void write_file(const char *name, const char *text)
{
	g_autofree char *path = file(name);
	assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A HOME without files and an environment without keys. */
static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(variables); i++)
		g_unsetenv(variables[i]);
	directory = g_dir_make_tmp("credentials-XXXXXX", NULL);
	g_setenv("HOME", directory, TRUE);
	g_setenv("AWS_EC2_METADATA_DISABLED", "true", TRUE);
	return directory ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	g_autofree char *aws = file(".aws");
	const char *const directories[] = { aws, directory };
	for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
		g_autoptr(GDir) dir = g_dir_open(directories[i], 0, NULL);
		const char *name;
		while (dir && (name = g_dir_read_name(dir))) {
			g_autofree char *path =
				g_build_filename(directories[i], name, NULL);
			g_remove(path);
		}
		g_rmdir(directories[i]);
	}
	g_clear_pointer(&directory, g_free);
	return 0;
}

/* "ID SECRET TOKEN" or "ERROR: text" */
static char *outcome(struct s3_credentials_chain *chain)
{
	g_autoptr(GError) error = NULL;
	struct s3_credentials *credentials = s3_credentials_chain_get(chain, NOW, &error);
	if (!credentials) {
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_MEND));
		return g_strconcat("ERROR: ", error->message, NULL);
	}
	const struct sigv4_keys *keys = &credentials->keys;
	char *text = g_strdup_printf("%s %s %s", keys->access_key_id,
		keys->secret_access_key, keys->session_token ? keys->session_token : "-");
	s3_credentials_unref(credentials);
	return text;
}

static void expect(struct s3_credentials_chain *chain, const char *want)
{
	g_autofree char *got = outcome(chain);
	bool error = g_str_has_prefix(want, "ERROR: ");
	if (error ? !g_str_has_prefix(got, "ERROR: ") || !strstr(got, want + 7)
		  : strcmp(got, want) != 0)
		fail_msg("got  %s\nwant %s", got, want);
}

static void expect_once(const struct s3_settings *settings, const char *want)
{
	struct s3_credentials_chain *chain = s3_credentials_chain_new(settings);
	expect(chain, want);
	s3_credentials_chain_free(&chain);
	assert_null(chain);
}

static void nothing_is_said_so(void **state)
{
	(void)state;
	struct s3_settings settings = { 0 };
	expect_once(&settings, "ERROR: no credentials for S3");
}

static void order_is_settings_environment_profile(void **state)
{
	(void)state;
	write_file("credentials",
		"[default]\naws_access_key_id=P\naws_secret_access_key=PS\n"
		"[work]\naws_access_key_id=W\naws_secret_access_key=WS\n"
		"aws_session_token=WT\n");
	g_autofree char *path = file("credentials");
	struct s3_settings none = { 0 }, named = { .profile = "work" },
			   given = { .access_key_id = "S",
				   .secret_access_key = "SS",
				   .profile = "work" },
			   by_file = { .credentials_file = path };
	g_setenv("AWS_SHARED_CREDENTIALS_FILE", path, TRUE);
	expect_once(&none, "P PS -");
	g_setenv("AWS_PROFILE", "work", TRUE);
	expect_once(&none, "W WS WT");
	g_setenv("AWS_ACCESS_KEY_ID", "E", TRUE);
	g_setenv("AWS_SECRET_ACCESS_KEY", "ES", TRUE);
	expect_once(&none, "E ES -");
	g_setenv("AWS_SESSION_TOKEN", "ET", TRUE);
	expect_once(&none, "E ES ET");
	expect_once(&named, "W WS WT");
	expect_once(&by_file, "W WS WT");
	expect_once(&given, "S SS -");
}

static void failing_source_is_not_passed_over(void **state)
{
	(void)state;
	g_setenv("AWS_ACCESS_KEY_ID", "E", TRUE);
	struct s3_settings none = { 0 }, half = { .access_key_id = "S" },
			   gone = { .access_key_id = "S",
				   .secret_access_key_file = "/nonexistent/secret" },
			   named = { .profile = "work" },
			   odd = { .access_key_id = "a b", .secret_access_key = "c" },
			   broken = { .access_key_id = "a\r\nX: y",
				   .secret_access_key = "c" };
	expect_once(&none, "ERROR: the environment: no secret access key");
	g_setenv("AWS_SECRET_ACCESS_KEY", "ES", TRUE);
	expect_once(&none, "E ES -");
	expect_once(&half, "ERROR: the settings: no secret access key");
	expect_once(&gone, "ERROR: cannot read /nonexistent/secret: No such file");
	expect_once(&named, "ERROR: profile \"work\": it has no keys in ");
	expect_once(&odd, "ERROR: the access key id is empty or not one word");
	expect_once(&broken, "ERROR: the access key id is empty or not one word");
}

static void profiles_in_both_files(void **state)
{
	(void)state;
	g_autofree char *aws = file(".aws");
	assert_int_equal(0, g_mkdir(aws, 0700));
	struct s3_settings none = { 0 }, named = { .profile = "work" };
	write_file(".aws/config",
		"[default]\nregion = x\n[profile work]\n"
		"aws_access_key_id=C\naws_secret_access_key=CS\n"
		"[profile role]\nrole_arn = arn:x\nsource_profile = work\n");
	expect_once(&none, "ERROR: no credentials for S3");
	expect_once(&named, "C CS -");
	g_setenv("AWS_PROFILE", "role", TRUE);
	expect_once(&none, "ERROR: profile \"role\" (role arn:x): role_arn \"arn:x\" is "
			   "not like arn:aws:iam::");
	write_file(".aws/credentials", "[work]\naws_access_key_id=P\n");
	expect_once(&named, "ERROR: no secret access key");
	write_file(".aws/credentials",
		"[work]\naws_access_key_id=P\naws_secret_access_key=PS\n");
	expect_once(&named, "P PS -");
}

static void programs_give_credentials(void **state)
{
	(void)state;
	static const struct {
		const char *profile, *want;
	} cases[] = {
		{ "good", "I S T" },
		{ "odd", "ERROR: profile \"odd\": no access key id" },
		{ "fails", "ERROR: profile \"fails\": false ended with status 1" },
		{ "gone", "ERROR: cannot run /nonexistent/program: there is no such "
			  "program" },
		{ "floods", "ERROR: the output of yes: File too large" },
		{ "unclosed",
			"ERROR: profile \"unclosed\": credential_process: a quote" },
	};
	g_autofree char *aws = file(".aws");
	assert_int_equal(0, g_mkdir(aws, 0700));
	write_file(".aws/config",
		"[profile odd]\ncredential_process = printf '{\"Version\": 1}'\n"
		"[profile good]\n"
		"credential_process = printf '{\"Version\":1,\"AccessKeyId\":\"I\",'"
		"'\"SecretAccessKey\":\"S\",\"SessionToken\":\"T\"}'\n"
		"[profile fails]\ncredential_process = false secret-argument\n"
		"[profile gone]\ncredential_process = /nonexistent/program\n"
		"[profile floods]\ncredential_process = yes\n"
		"[profile unclosed]\ncredential_process = 'yes\n");
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_settings settings = { .profile = cases[i].profile };
		expect_once(&settings, cases[i].want);
	}
}

static void renewed_well_before_the_end(void **state)
{
	(void)state;
	static const struct {
		int64_t life_s, at_earliest_s, at_latest_s;
	} cases[] = { { 21600, 20610, 20700 }, { 3600, 2610, 2700 }, { 900, 570, 600 },
		{ 9, 6, 6 }, { 2, 1, 1 }, { 0, 1, 1 } };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		assert_int_equal(s3_credentials_renew_in_s(cases[i].life_s, 0),
			cases[i].at_latest_s);
		assert_int_equal(s3_credentials_renew_in_s(cases[i].life_s, 1),
			cases[i].at_earliest_s);
	}
}

static void changed_files_are_read_again(void **state)
{
	(void)state;
	g_autofree char *id = file("id");
	g_autofree char *secret = file("secret");
	struct s3_settings settings = { .access_key_id_file = id,
		.secret_access_key_file = secret };
	write_file("id", "A\n");
	write_file("secret", "B\r\n");
	struct s3_credentials_chain *chain = s3_credentials_chain_new(&settings);
	expect(chain, "A B -");
	expect(chain, "A B -");
	write_file("secret", "C");
	expect(chain, "A C -");
	g_remove(secret);
	expect(chain, "ERROR: cannot read ");
	expect(chain, "ERROR: cannot read ");
	write_file("secret", "");
	expect(chain, "ERROR: secret access key is empty");
	write_file("secret", "D\n\n");
	expect(chain, "A D -");
	g_autofree char *huge = g_strnfill(70000, 'x');
	write_file("secret", huge);
	expect(chain, "ERROR: File too large");
	s3_credentials_chain_free(&chain);
}

static void kept_while_nothing_changes(void **state)
{
	(void)state;
	struct s3_settings settings = { .access_key_id = "A", .secret_access_key = "B" };
	struct s3_credentials_chain *chain = s3_credentials_chain_new(&settings);
	struct s3_credentials *one = s3_credentials_chain_get(chain, NOW, NULL);
	struct s3_credentials *two = s3_credentials_chain_get(chain, NOW + 1, NULL);
	assert_non_null(one);
	assert_ptr_equal(one, two);
	s3_credentials_chain_free(&chain);
	assert_string_equal(one->keys.access_key_id, "A"); /* alive by its references */
	s3_credentials_unref(one);
	s3_credentials_unref(two);
}

static void expiry_is_kept_to(void **state)
{
	(void)state;
	struct s3_settings settings = { 0 };
	g_setenv("AWS_ACCESS_KEY_ID", "E", TRUE);
	g_setenv("AWS_SECRET_ACCESS_KEY", "ES", TRUE);
	g_setenv("AWS_SESSION_TOKEN", "ET", TRUE);
	g_setenv("AWS_CREDENTIAL_EXPIRATION", "2026-08-06T00:00:01Z", TRUE);
	struct s3_credentials_chain *chain = s3_credentials_chain_new(&settings);
	struct s3_credentials *credentials = s3_credentials_chain_get(chain, NOW, NULL);
	assert_int_equal(credentials->expires_at_s, NOW + 1);
	s3_credentials_unref(credentials);
	g_autoptr(GError) error = NULL;
	assert_null(s3_credentials_chain_get(chain, NOW + 1, &error));
	assert_non_null(strstr(error->message, "the environment have expired"));
	s3_credentials_chain_free(&chain);
	g_setenv("AWS_CREDENTIAL_EXPIRATION", "tomorrow", TRUE);
	expect_once(&settings, "ERROR: AWS_CREDENTIAL_EXPIRATION is no time");
}

static void variables_may_name_files(void **state)
{
	(void)state;
	g_autofree char *secret = file("secret");
	write_file("secret", "FS\n");
	g_setenv("AWS_ACCESS_KEY_ID", "E", TRUE);
	g_setenv("AWS_SECRET_ACCESS_KEY_FILE", secret, TRUE);
	struct s3_settings settings = { 0 };
	expect_once(&settings, "E FS -");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_said_so),
		TEST(order_is_settings_environment_profile),
		TEST(failing_source_is_not_passed_over),
		TEST(profiles_in_both_files),
		TEST(programs_give_credentials),
		TEST(renewed_well_before_the_end),
		TEST(changed_files_are_read_again),
		TEST(kept_while_nothing_changes),
		TEST(expiry_is_kept_to),
		TEST(variables_may_name_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
