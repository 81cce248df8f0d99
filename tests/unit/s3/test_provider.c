/* Which source the settings, the environment and AWS's files lead to. Nobody is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/credential_file.h"
#include "s3/provider.h"
#include <glib/gstdio.h>
#include <string.h>

#define ROLE "arn:aws:iam::123456789012:role/r"

static char *directory, *config;

/* An environment without AWS's variables, and a config file of our own. */
static void clear_environment(void)
{
	g_auto(GStrv) names = g_listenv();
	for (char **name = names; *name; name++)
		if (g_str_has_prefix(*name, "AWS_"))
			g_unsetenv(*name);
	g_setenv("AWS_EC2_METADATA_DISABLED", "true", TRUE);
	g_setenv("AWS_CONFIG_FILE", config, TRUE);
	g_setenv("HOME", directory, TRUE);
}

static int set_up(void **state)
{
	(void)state;
	directory = g_dir_make_tmp("provider-XXXXXX", NULL);
	config = g_build_filename(directory, "config", NULL);
	clear_environment();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	g_remove(config);
	g_rmdir(directory);
	g_free(config);
	g_free(directory);
	return 0;
}

/* "SOURCE | URL", "ERROR: text" */
static char *outcome(const struct s3_settings *settings)
{
	g_autoptr(GArray) files = s3_credential_files_new();
	g_autoptr(GError) error = NULL;
	struct s3_provider *provider = s3_provider_resolve(settings, files, &error);
	if (!provider)
		return g_strconcat("ERROR: ", error->message, NULL);
	char *text = g_strdup_printf("%s | %s%s%s", provider->source,
		provider->url ? provider->url : "-", provider->base ? " | by " : "",
		provider->base ? provider->base->source : "");
	s3_provider_unref(provider);
	return text;
}

static void expect(const struct s3_settings *settings, const char *what, const char *want)
{
	g_autofree char *got = outcome(settings);
	bool error = g_str_has_prefix(want, "ERROR: ");
	if (error ? !g_str_has_prefix(got, "ERROR: ") || !strstr(got, want + 7)
		  : strcmp(got, want) != 0)
		fail_msg("%s\ngot  %s\nwant %s", what, got, want);
}

/* ---- the environment ---- */

static const struct {
	const char *variables; /* "NAME=VALUE NAME=VALUE" */
	const char *want;
} environments[] = {
	{ "", "ERROR: no credentials for S3: none in the settings" },
	{ "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1",
		"ERROR: AWS_EC2_METADATA_DISABLED is true" },
	{ "AWS_EC2_METADATA_DISABLED=false "
	  "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1/",
		"the EC2 instance's metadata service | http://127.0.0.1:1" },
	{ "AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=x",
		"ERROR: AWS_EC2_METADATA_SERVICE_ENDPOINT is not like" },
	{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x",
		"the container's credential service | http://169.254.170.2/v2/x" },
	{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=@evil.example/x",
		"ERROR: RELATIVE_URI must begin with" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials",
		"the container's credential service | "
		"http://169.254.170.23/v1/credentials" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://[fd00:ec2::23]/v1",
		"the container's credential service | http://[fd00:ec2::23]/v1" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.9:8/x",
		"the container's credential service | http://127.0.0.9:8/x" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=https://any.example/x",
		"the container's credential service | https://any.example/x" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://any.example/x",
		"ERROR: FULL_URI must be https, or http at 169.254.170.2" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1.evil.example/x",
		"ERROR: FULL_URI must be https" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1@evil.example/x",
		"ERROR: FULL_URI must be https" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.169.254/x",
		"ERROR: FULL_URI must be https" },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI=file:///etc/passwd",
		"ERROR: FULL_URI must be https" },
	{ "AWS_ROLE_ARN=" ROLE, "ERROR: no credentials for S3" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t", "ERROR: AWS_ROLE_ARN is not set" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=" ROLE
	  " AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x AWS_REGION=eu-west-1",
		"role " ROLE " by the web identity in /t | "
		"https://sts.eu-west-1.amazonaws.com/" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=" ROLE
	  " AWS_ROLE_SESSION_NAME=a:b",
		"ERROR: role_session_name must be 2 to 64" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=" ROLE
	  " AWS_ENDPOINT_URL_STS=http://127.0.0.1:9 AWS_ENDPOINT_URL=http://127.0.0.1:8",
		"role " ROLE " by the web identity in /t | http://127.0.0.1:9/" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=" ROLE
	  " AWS_ENDPOINT_URL=http://127.0.0.1:8 AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=TRUE",
		"role " ROLE " by the web identity in /t | https://sts.amazonaws.com/" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=" ROLE
	  " AWS_ENDPOINT_URL=http://sts.example",
		"ERROR: must be https://HOST[:PORT], http is for loopback only" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ACCESS_KEY_ID=A AWS_SECRET_ACCESS_KEY=B",
		"the environment | -" },
	{ "AWS_PROFILE=none AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x",
		"ERROR: profile \"none\": it has no keys in" },
};

static void the_environment_leads(void **state)
{
	(void)state;
	const struct s3_settings settings = { 0 };
	for (size_t i = 0; i < G_N_ELEMENTS(environments); i++) {
		g_auto(GStrv) pairs = g_strsplit(environments[i].variables, " ", -1);
		clear_environment();
		for (char **pair = pairs; *pair; pair++) {
			char *equals = strchr(*pair, '=');
			*equals = '\0';
			g_setenv(*pair, equals + 1, TRUE);
		}
		expect(&settings, environments[i].variables, environments[i].want);
	}
}

static void a_role_stands_on_what_was_found(void **state)
{
	(void)state;
	struct s3_settings settings = { .access_key_id = "A",
		.secret_access_key = "B",
		.region = "eu-west-1",
		.role_arn = ROLE };
	expect(&settings, "role",
		"role " ROLE " by the settings | https://sts.eu-west-1.amazonaws.com/ "
		"| by the settings");
	settings.role_session_name = "a b";
	expect(&settings, "name", "ERROR: role_session_name must be");
	settings.role_session_name = NULL;
	settings.role_arn = "r";
	expect(&settings, "arn", "ERROR: role_arn \"r\" is not like arn:aws:iam::");
	settings.directory = "/d";
	expect(&settings, "directory", "the settings | -");
}

/* ---- profiles ---- */

#define KEYS "aws_access_key_id=A\naws_secret_access_key=B\n"

static const struct {
	const char *config; /* profile p is asked for */
	const char *want;
} profiles[] = {
	{ "[profile p]\n" KEYS, "profile \"p\" | -" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=q\nregion=eu-west-3\n"
	  "[profile q]\n" KEYS,
		"profile \"p\" (role " ROLE ") | https://sts.eu-west-3.amazonaws.com/ | "
		"by profile \"q\"" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=p\n" KEYS,
		"profile \"p\" (role " ROLE ") | https://sts.amazonaws.com/ | by profile "
		"\"p\"" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=q\n"
	  "[profile q]\nrole_arn=" ROLE "\nsource_profile=p\n" KEYS,
		"profile \"p\" (role " ROLE ") | https://sts.amazonaws.com/ | by profile "
		"\"q\"" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=p\n",
		"ERROR: profile \"p\": source_profile leads in a circle" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=q\n"
	  "[profile q]\nrole_arn=" ROLE "\nsource_profile=p\n",
		"ERROR: profile \"p\": source_profile leads in a circle" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=q\n",
		"ERROR: profile \"q\": it has no keys in" },
	{ "[profile p]\nrole_arn=" ROLE "\n",
		"ERROR: role_arn needs a source_profile or a credential_source" },
	{ "[profile p]\nrole_arn=" ROLE
	  "\nsource_profile=q\ncredential_source=Environment\n",
		"ERROR: role_arn needs only one of source_profile and" },
	{ "[profile p]\nrole_arn=" ROLE "\ncredential_source=Environment\n",
		"ERROR: the environment: no access key id" },
	{ "[profile p]\nrole_arn=" ROLE "\ncredential_source=Ec2InstanceMetadata\n",
		"ERROR: AWS_EC2_METADATA_DISABLED is true" },
	{ "[profile p]\nrole_arn=" ROLE "\ncredential_source=EcsContainer\n",
		"ERROR: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor" },
	{ "[profile p]\nrole_arn=" ROLE "\ncredential_source=Else\n",
		"ERROR: credential_source must be Environment" },
	{ "[profile p]\nrole_arn=" ROLE "\nsource_profile=q\nmfa_serial=m\n",
		"ERROR: profile \"p\": mfa_serial" },
	{ "[profile p]\nrole_arn=" ROLE "\nduration_seconds=60\nsource_profile=q\n"
	  "[profile q]\n" KEYS,
		"ERROR: duration_seconds must be 900 to 43200" },
	{ "[profile p]\nrole_arn=" ROLE "\nweb_identity_token_file=/t\n",
		"profile \"p\" (role " ROLE ") | https://sts.amazonaws.com/" },
	{ "[profile p]\nweb_identity_token_file=/t\n",
		"ERROR: web_identity_token_file needs role_arn" },
	{ "[profile p]\ncredential_process=/bin/x \"a b\" c\n", "profile \"p\" | -" },
	{ "[profile p]\nsso_session=s\n", "ERROR: credential_process = aws configure" },
	{ "[profile p]\nlogin_session=s\n", "ERROR: credential_process = aws configure" },
	{ "aws_access_key_id=A\n", "ERROR: has no [section]: it is no such file" },
	{ "[profile p]\nregion=x\n", "ERROR: profile \"p\": it has no keys in" },
};

static void profiles_lead_on(void **state)
{
	(void)state;
	const struct s3_settings settings = { .profile = "p" };
	clear_environment();
	for (size_t i = 0; i < G_N_ELEMENTS(profiles); i++) {
		assert_true(g_file_set_contents(config, profiles[i].config, -1, NULL));
		expect(&settings, profiles[i].config, profiles[i].want);
	}
}

static void long_chains_of_profiles_are_refused(void **state)
{
	(void)state;
	g_autoptr(GString) text =
		g_string_new("[profile p]\nrole_arn=" ROLE "\nsource_profile=1\n");
	for (int i = 1; i < 20; i++)
		g_string_append_printf(text,
			"[profile %d]\nrole_arn=" ROLE "\nsource_profile=%d\n", i, i + 1);
	clear_environment();
	assert_true(g_file_set_contents(config, text->str, -1, NULL));
	const struct s3_settings settings = { .profile = "p" };
	expect(&settings, "twenty", "ERROR: more than 8 profiles lead to one another");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_environment_leads),
		TEST(a_role_stands_on_what_was_found),
		TEST(profiles_lead_on),
		TEST(long_chains_of_profiles_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
