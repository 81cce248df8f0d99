/* STS's forms, endpoints and answers, and the JSON of the other services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/credential_set.h"
#include "s3/sts.h"
#include <string.h>

static void forms_are_encoded(void **state)
{
	(void)state;
	static const struct {
		struct s3_sts_role role;
		const char *want;
	} cases[] = {
		{ { .role_arn = "arn:aws:iam::1:role/a", .session_name = "s@x" },
			"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%"
			"3A1%3Arole%2Fa&RoleSessionName=s%40x" },
		{ { .role_arn = "r",
			  .session_name = "s",
			  .external_id = "a&b=c d",
			  .duration_s = 900 },
			"Action=AssumeRole&Version=2011-06-15&RoleArn=r&RoleSessionName="
			"s&"
			"ExternalId=a%26b%3Dc%20d&DurationSeconds=900" },
		{ { .role_arn = "r", .session_name = "s", .web_identity_token = "a.b+c" },
			"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r&"
			"RoleSessionName=s&WebIdentityToken=a.b%2Bc" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *form = s3_sts_form(&cases[i].role);
		assert_string_equal(form, cases[i].want);
	}
}

static void endpoints_go_by_partition(void **state)
{
	(void)state;
	static const struct {
		const char *region;
		bool legacy;
		const char *url, *signing;
	} cases[] = {
		{ "eu-west-1", false, "https://sts.eu-west-1.amazonaws.com/",
			"eu-west-1" },
		{ "eu-west-1", true, "https://sts.amazonaws.com/", "us-east-1" },
		{ "eu-south-1", true, "https://sts.eu-south-1.amazonaws.com/",
			"eu-south-1" },
		{ "us-gov-west-1", false, "https://sts.us-gov-west-1.amazonaws.com/",
			"us-gov-west-1" },
		{ "cn-north-1", true, "https://sts.cn-north-1.amazonaws.com.cn/",
			"cn-north-1" },
		{ "us-iso-east-1", false, "https://sts.us-iso-east-1.c2s.ic.gov/",
			"us-iso-east-1" },
		{ NULL, false, "https://sts.amazonaws.com/", "us-east-1" },
		{ "aws-global", false, "https://sts.amazonaws.com/", "us-east-1" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *signing = NULL;
		const struct s3_sts_endpoint endpoint = { cases[i].region,
			cases[i].legacy, false, false };
		g_autofree char *url = s3_sts_url(&endpoint, &signing);
		assert_string_equal(url, cases[i].url);
		assert_string_equal(signing, cases[i].signing);
	}
}

static void dual_stack_and_fips_have_hosts_of_their_own(void **state)
{
	(void)state;
	static const struct {
		struct s3_sts_endpoint endpoint;
		const char *url, *signing;
	} cases[] = {
		{ { "us-east-2", true, false, true },
			"https://sts-fips.us-east-2.amazonaws.com/", "us-east-2" },
		{ { "eu-west-1", true, true, false }, "https://sts.eu-west-1.api.aws/",
			"eu-west-1" },
		{ { "us-west-2", false, true, true },
			"https://sts-fips.us-west-2.api.aws/", "us-west-2" },
		{ { "cn-north-1", false, true, false },
			"https://sts.cn-north-1.api.amazonwebservices.com.cn/",
			"cn-north-1" },
		{ { "us-gov-west-1", false, false, true },
			"https://sts.us-gov-west-1.amazonaws.com/", "us-gov-west-1" },
		{ { NULL, false, false, true },
			"https://sts-fips.us-east-1.amazonaws.com/", "us-east-1" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *signing = NULL;
		g_autofree char *url = s3_sts_url(&cases[i].endpoint, &signing);
		assert_string_equal(url, cases[i].url);
		assert_string_equal(signing, cases[i].signing);
	}
}

/* "ID SECRET TOKEN EXPIRY", or "retry: text" or "mend: text" */
static char *outcome(struct s3_credentials *got, GError *error)
{
	if (!got) {
		char *text =
			g_strconcat(error->code == S3_ERROR_RETRY ? "retry: " : "mend: ",
				error->message, NULL);
		g_error_free(error);
		return text;
	}
	char *text = g_strdup_printf("%s %s %s %" G_GINT64_FORMAT,
		got->keys.access_key_id, got->keys.secret_access_key,
		got->keys.session_token ? got->keys.session_token : "-",
		got->expires_at_s);
	s3_credentials_unref(got);
	return text;
}

static void expect(const char *body, const char *got, const char *want)
{
	if (!g_str_has_prefix(got, want))
		fail_msg("%s\ngot  %s\nwant %s", body, got, want);
}

#define RESULT(inside)                                                                   \
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"       \
	"<AssumeRoleResult><AssumedRoleUser><Arn>x</Arn></AssumedRoleUser>"              \
	"<Credentials>" inside "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define FAILED(code)                                                                     \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code                           \
	"</Code><Message>why\n&amp; so</Message></Error><RequestId>r-1</RequestId>"      \
	"</ErrorResponse>"

static void answers_of_sts_are_read(void **state)
{
	(void)state;
	static const struct {
		long status;
		const char *body, *want;
	} cases[] = {
		{ 200,
			RESULT("<AccessKeyId>I</AccessKeyId><SecretAccessKey>S/+="
			       "</SecretAccessKey><SessionToken>T</SessionToken>"
			       "<Expiration>2026-08-06T00:00:00Z</Expiration>"),
			"I S/+= T 1785974400" },
		{ 200,
			RESULT("<Expiration>2026-08-06T02:00:00.000+02:00</Expiration>"
			       "<SessionToken>T</SessionToken><SecretAccessKey>"
			       "<![CDATA[S]]></SecretAccessKey><AccessKeyId>I</"
			       "AccessKeyId>"
			       "<AccessKeyId>J</AccessKeyId>"),
			"I S T 1785974400" },
		{ 200, RESULT("<AccessKeyId>I</AccessKeyId>"),
			"retry: credentials from X: the answer is not STS's" },
		{ 200,
			RESULT("<AccessKeyId>I\nJ</AccessKeyId><SecretAccessKey>S"
			       "</SecretAccessKey><SessionToken>T</SessionToken>"
			       "<Expiration>2026-08-06T00:00:00Z</Expiration>"),
			"mend: credentials from X: the access key id is empty or not" },
		{ 200, "<html><p>Sign in to the hotel's network</html>",
			"retry: credentials from X: the answer is not STS's" },
		{ 200, "", "retry: credentials from X: the answer is not STS's" },
		{ 403, FAILED("AccessDenied"),
			"mend: credentials from X: STS answered 403 AccessDenied: why & "
			"so, request ID r-1; check the role's trust policy" },
		{ 400, FAILED("ExpiredTokenException"),
			"mend: credentials from X: STS answered 400" },
		{ 400, FAILED("IDPCommunicationError"),
			"retry: credentials from X: STS answered 400" },
		{ 400, FAILED("Throttling"), "retry: " },
		{ 400, FAILED("Whatever"), "mend: " },
		{ 503, FAILED("Whatever"), "retry: " },
		{ 502, "<html>", "retry: credentials from X: STS answered 502" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		GError *error = NULL;
		struct s3_credentials *got = s3_sts_read(cases[i].status, cases[i].body,
			strlen(cases[i].body), "X", &error);
		g_autofree char *text = outcome(got, error);
		expect(cases[i].body, text, cases[i].want);
	}
}

static void json_of_services_is_read(void **state)
{
	(void)state;
	static const struct {
		bool is_process;
		const char *json, *want;
	} cases[] = {
		{ false,
			"{\"Code\":\"Success\",\"AccessKeyId\":\"I\",\"SecretAccessKey\":"
			"\"S\",\"Token\":\"T\",\"Expiration\":\"2026-08-06T00:00:00Z\"}",
			"I S T 1785974400" },
		{ false,
			"{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\",\"Token\":"
			"\"T\"}",
			"mend: credentials from X: Expiration is missing" },
		{ false, "{\"Code\":\"AssumeRoleUnauthorizedAccess\\n\"}",
			"retry: credentials from X: it says "
			"AssumeRoleUnauthorizedAccess" },
		{ false, "[]", "mend: credentials from X: its answer is no JSON object" },
		{ false, "", "mend: credentials from X: its answer is no JSON object" },
		{ false, "{\"AccessKeyId\":1,\"Expiration\":\"2026-08-06T00:00:00Z\"}",
			"mend: credentials from X: no access key id" },
		{ false, "{\"Expiration\":\"soon\"}",
			"mend: credentials from X: Expiration is no time" },
		{ true,
			"{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
			"\"Expiration\":"
			"1785974400}",
			"mend: credentials from X: Expiration is no time" },
		{ true, "{\"Version\":1,\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\"}",
			"I S - 0" },
		{ true,
			"{\"Version\":1,\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\","
			"\"SessionToken\":\"T\",\"Expiration\":\"2026-08-06T00:00:00Z\"}",
			"I S T 1785974400" },
		{ true, "{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\"}",
			"mend: credentials from X: its output must say \"Version\": 1" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		GError *error = NULL;
		struct s3_credentials *got = s3_credential_set_parse(cases[i].json,
			strlen(cases[i].json), cases[i].is_process, "X", &error);
		g_autofree char *text = outcome(got, error);
		expect(cases[i].json, text, cases[i].want);
	}
}

static void names_are_checked(void **state)
{
	(void)state;
	static const struct {
		const char *arn;
		bool good;
	} arns[] = { { "arn:aws:iam::123456789012:role/a", true },
		{ "arn:aws-cn:iam::123456789012:role/path/a", true },
		{ "arn:minio:iam:::role/x", true }, { "", false }, { "role/a", false },
		{ "arn:aws:iam::1:user/a", false }, { "arn:aws:iam::1:role/", false },
		{ "arn:aws:iam::1:role/a b", false } };
	for (size_t i = 0; i < G_N_ELEMENTS(arns); i++)
		assert_int_equal(s3_sts_is_role_arn(arns[i].arn), arns[i].good);
	assert_true(s3_sts_is_session_name("a-b@c.d"));
	assert_false(s3_sts_is_session_name("a"));
	assert_false(s3_sts_is_session_name("a b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_are_encoded),
		cmocka_unit_test(endpoints_go_by_partition),
		cmocka_unit_test(dual_stack_and_fips_have_hosts_of_their_own),
		cmocka_unit_test(answers_of_sts_are_read),
		cmocka_unit_test(json_of_services_is_read),
		cmocka_unit_test(names_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
