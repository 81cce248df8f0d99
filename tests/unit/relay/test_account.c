/* account: what GetAccount answers, and where it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/relay/account.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUOTA(text) "{\"SendQuota\":{" text "}}"

static bool is(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void test_an_answer(void **unused)
{
	(void)unused;
	static const char answer[] =
		"{\"DedicatedIpAutoWarmupEnabled\":false,\"EnforcementStatus\":"
		"\"PROBATION\","
		"\"ProductionAccessEnabled\":true,\"SendQuota\":{\"Max24HourSend\":"
		"50000.0,"
		"\"MaxSendRate\":14.0,\"SentLast24Hours\":12},\"SendingEnabled\":true}";
	struct account account;
	assert_true(account_parse(answer, strlen(answer), &account, NULL));
	assert_true(is(account.rate, 14) && is(account.quota, 50000));
	assert_true(is(account.sent_24h, 12));
	assert_true(account.sends && account.production);
	assert_string_equal(account.enforcement, "PROBATION");
}

static void test_states(void **unused)
{
	(void)unused;
	static const struct {
		const char *more;
		bool sends, production;
	} cases[] = {
		{ "", true, true },
		{ ",\"SendingEnabled\":false", false, true },
		{ ",\"EnforcementStatus\":\"SHUTDOWN\"", false, true },
		{ ",\"EnforcementStatus\":\"HEALTHY\"", true, true },
		{ ",\"ProductionAccessEnabled\":false", true, false },
		{ ",\"EnforcementStatus\":7,\"SendingEnabled\":\"no\"", true, true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *json =
			g_strconcat("{\"SendQuota\":{\"Max24HourSend\":-1,"
				    "\"MaxSendRate\":1.5}",
				cases[i].more, "}", NULL);
		struct account account;
		assert_true(account_parse(json, strlen(json), &account, NULL));
		assert_true(is(account.quota, -1) && is(account.rate, 1.5));
		assert_int_equal(account.sends, cases[i].sends);
		assert_int_equal(account.production, cases[i].production);
	}
}

/* What it says of itself is shown, and may be anything. */
static void test_words_are_cleaned(void **unused)
{
	(void)unused;
	static const char answer[] =
		"{\"SendQuota\":{},\"EnforcementStatus\":\"BAD\\u001b[2J "
		"looooooooooooooooooooooooooooooooooooooooooooong\"}";
	struct account account;
	assert_true(account_parse(answer, strlen(answer), &account, NULL));
	assert_string_equal(account.enforcement, "BAD??2J?loooooooooooooooooooooo");
}

static void test_other_answers_are_refused(void **unused)
{
	(void)unused;
	static const char *const refused[] = { "", "x", "[]", "null", "7", "{}",
		"{\"SendQuota\":7}", "{\"SendQuota\":null}", "{\"SendQuota\":[]}",
		QUOTA("\"MaxSendRate\":\"14\""), QUOTA("\"MaxSendRate\":-1"),
		QUOTA("\"MaxSendRate\":1e300"), QUOTA("\"Max24HourSend\":-2"),
		QUOTA("\"Max24HourSend\":1e13"), QUOTA("\"SentLast24Hours\":-1"),
		QUOTA("\"SentLast24Hours\":null"), QUOTA("\"MaxSendRate\":14") "x",
		"{\"SendQuota\":{\"MaxSendRate\":14}" };
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		struct account account;
		g_autoptr(GError) error = NULL;
		if (account_parse(refused[i], strlen(refused[i]), &account, &error))
			fail_msg("%s is taken", refused[i]);
		assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	}
	g_autofree char *deep = g_malloc0(50001);
	memset(deep, '[', 50000);
	struct account account;
	assert_false(account_parse(deep, 50000, &account, NULL));
}

static void test_where_it_is_asked(void **unused)
{
	(void)unused;
	static const struct {
		struct conf_relay settings;
		bool asks;
		const char *refusal; /* NULL: none */
	} cases[] = {
		{ { .host = "email-smtp.eu-west-1.amazonaws.com" }, true, NULL },
		{ { .host = "email-smtp.cn-north-1.amazonaws.com.cn" }, true, NULL },
		{ { .host = "smtp.example.com" }, false, NULL },
		{ { .host = "smtp.example.com", .region = "eu-west-1" }, true, NULL },
		{ { .host = "smtp.example.com",
			  .api_endpoint = "https://email.eu-west-1.amazonaws.com" },
			true, NULL },
		{ { .host = "smtp.example.com",
			  .api_endpoint = "https://ses.example.com" },
			false, "relay.region" },
		{ { .host = "smtp.example.com",
			  .region = "eu-west-1",
			  .api_endpoint = "http://ses.example.com" },
			false, "https" },
		{ { .host = "localhost",
			  .region = "eu-west-1",
			  .api_endpoint = "http://127.0.0.1:4566/" },
			true, NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct account_source *source =
			account_source_new(&cases[i].settings, &error);
		if (!source != !cases[i].asks || !error != !cases[i].refusal)
			fail_msg("case %zu", i);
		if (error)
			assert_non_null(strstr(error->message, cases[i].refusal));
		account_source_free(&source);
	}
}

static void test_without_credentials(void **unused)
{
	(void)unused;
	const struct conf_relay settings = { .host = "localhost",
		.region = "eu-west-1",
		.api_endpoint = "http://127.0.0.1:1" };
	g_autoptr(GError) error = NULL;
	struct account account;
	struct account_source *source = account_source_new(&settings, NULL);
	assert_false(account_ask(source, -1, &account, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	assert_non_null(strstr(error->message, "credentials"));
	account_source_free(&source);
}

/* The secret is in no text; a service that is away may come back. */
static void test_nobody_answers(void **unused)
{
	(void)unused;
	const struct conf_relay settings = { .host = "localhost",
		.region = "eu-west-1",
		.iam_access_key_id = "AKIDEXAMPLE",
		.iam_secret_access_key = "SECRETEXAMPLE",
		.api_endpoint = "http://127.0.0.1:1" };
	g_autoptr(GError) error = NULL;
	struct account account;
	struct account_source *source = account_source_new(&settings, NULL);
	assert_false(account_ask(source, -1, &account, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	assert_null(strstr(error->message, "EXAMPLE"));
	account_source_free(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_answer),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_words_are_cleaned),
		cmocka_unit_test(test_other_answers_are_refused),
		cmocka_unit_test(test_where_it_is_asked),
		cmocka_unit_test(test_without_credentials),
		cmocka_unit_test(test_nobody_answers),
	};
	static const char *const variables[] = { "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" };
	for (size_t i = 0; i < G_N_ELEMENTS(variables); i++)
		unsetenv(variables[i]);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("HOME", "/nonexistent", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
