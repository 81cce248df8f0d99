/* S3's refusals: read, classified, explained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/answer.h"
#include <string.h>

static void bodies_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *body, *code, *message, *request_id, *region;
	} cases[] = {
		{ "<?xml version=\"1.0\"?>\n<Error><Code>A</Code><Message>m "
		  "&lt;1&gt;</Message>"
		  "<RequestId>R</RequestId><Region>r-1</Region></Error>",
			"A", "m <1>", "R", "r-1" },
		{ "<Error xmlns=\"x\">\n <Code>A</Code>\n</Error>", "A", "", "", "" },
		{ "<Error><Inner><Code>A</Code></Inner><Code>B</Code></Error>", "B", "",
			"", "" },
		{ "<Code>A</Code>", "", "", "", "" },
		{ "<Error><Code>A</Code><Message>half", "A", "", "", "" },
		{ "<Error><Message>a\nb</Message></Error>", "", "a b", "", "" },
		{ "<html><body>no</body></html>", "", "", "", "" },
		{ "{\"error\": 1}", "", "", "", "" },
		{ "", "", "", "", "" },
		{ "<Error><Code>A</Code><Message><![CDATA[b]]></Message></Error>", "A",
			"b", "", "" },
		{ "<Error><Code>\xff</Code></Error>", "", "", "", "" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_answer answer = { 0 };
		s3_answer_read_body(&answer, cases[i].body, strlen(cases[i].body));
		assert_string_equal(answer.code, cases[i].code);
		assert_string_equal(answer.message, cases[i].message);
		assert_string_equal(answer.request_id, cases[i].request_id);
		assert_string_equal(answer.region, cases[i].region);
	}
}

static void fields_are_cut_between_characters(void **state)
{
	(void)state;
	char field[8];
	s3_answer_set(field, sizeof(field), "abcdef\xc3\xa4xyz", 11);
	assert_string_equal(field, "abcdef");
	s3_answer_set(field, sizeof(field), "abcde\xc3\xa4xyz", 10);
	assert_string_equal(field, "abcde\xc3\xa4");
	s3_answer_set(field, sizeof(field), "a\nb\0c", 5);
	assert_string_equal(field, "a b\xef\xbf\xbd"
				   "c");
	s3_answer_set(field, sizeof(field), "", 0);
	assert_string_equal(field, "");
}

static const struct {
	long status;
	const char *code;
	const char *subject; /* to mend; NULL: it passes by itself */
	bool is_throttle;
	const char *says;
} verdicts[] = {
	{ 403, "AccessDenied", "access", false, "s3:PutObject" },
	{ 400, "AccessControlListNotSupported", "settings", false, "ACL" },
	{ 403, "AccessForbidden", "access", false, "policy" },
	{ 403, "AccountProblem", "account", false, "account" },
	{ 403, "AccountSuspended", "account", false, "account" },
	{ 403, "AllAccessDisabled", "account", false, "account" },
	{ 400, "AuthorizationHeaderMalformed", "region", false, "check the region" },
	{ 400, "BadDigest", NULL, false, "damaged" },
	{ 503, "BandwidthLimitExceeded", NULL, true, "503" },
	{ 403, "BucketQuotaExceeded", "quota", false, "quota" },
	{ 409, "ConditionalRequestConflict", NULL, false, "409" },
	{ 400, "CredentialsNotSupported", "credentials", false, "access key id" },
	{ 404, "EndpointNotFound", "endpoint", false, "endpoint" },
	{ 400, "EntityTooLarge", "object", false, "too large" },
	{ 400, "ExpiredToken", "credentials", false, "session token" },
	{ 400, "IllegalLocationConstraintException", "region", false,
		"check the region" },
	{ 400, "IncompleteBody", NULL, false, "cut short" },
	{ 500, "InternalError", NULL, false, "500 InternalError" },
	{ 403, "InvalidAccessKeyId", "credentials", false, "access key id" },
	{ 400, "InvalidArgument", "settings", false, "s3.checksum" },
	{ 400, "InvalidBucketName", "bucket", false, "bucket's name" },
	{ 400, "InvalidBucketOwnerAWSAccountID", "bucket", false,
		"s3.expected_bucket_owner" },
	{ 409, "InvalidBucketState", "bucket", false, "bucket" },
	{ 400, "InvalidDigest", NULL, false, "damaged" },
	{ 400, "InvalidEncryptionAlgorithmError", "encryption", false, "s3.encryption" },
	{ 400, "InvalidHostHeader", "endpoint", false, "endpoint" },
	{ 400, "InvalidLocationConstraint", "region", false, "check the region" },
	{ 403, "InvalidObjectState", "object", false, "archive" },
	{ 400, "InvalidPart", NULL, false, "part" },
	{ 400, "InvalidPartOrder", NULL, false, "part" },
	{ 403, "InvalidPayer", "account", false, "account" },
	{ 400, "InvalidRegion", "region", false, "check the region" },
	{ 400, "InvalidRequest", "settings", false, "object_lock" },
	{ 400, "InvalidRetentionPeriod", "settings", false, "s3.object_lock" },
	{ 403, "InvalidSecurity", "credentials", false, "access key id" },
	{ 400, "InvalidSignature", "credentials", false, "secret access key" },
	{ 400, "InvalidStorageClass", "settings", false, "s3.storage_class" },
	{ 400, "InvalidTag", "settings", false, "s3.tags" },
	{ 400, "InvalidToken", "credentials", false, "session token" },
	{ 400, "KMS.AccessDeniedException", "encryption", false, "kms:GenerateDataKey" },
	{ 400, "KMS.DisabledException", "encryption", false, "KMS key" },
	{ 500, "KMS.InternalException", NULL, false, "500" },
	{ 400, "KMS.InvalidKeyUsageException", "encryption", false, "KMS key" },
	{ 400, "KMS.InvalidStateException", "encryption", false, "KMS key" },
	{ 400, "KMS.KMSInvalidStateException", "encryption", false, "KMS key" },
	{ 400, "KMS.NotFoundException", "encryption", false, "KMS key" },
	{ 400, "KMS.ThrottlingException", NULL, true, "400" },
	{ 400, "KeyTooLongError", "settings", false, "s3.prefix" },
	{ 405, "MethodNotAllowed", "endpoint", false, "endpoint" },
	{ 411, "MissingContentLength", "endpoint", false, "endpoint" },
	{ 400, "MissingSecurityHeader", "endpoint", false, "endpoint" },
	{ 404, "NoSuchAccessPoint", "bucket", false, "bucket's name" },
	{ 404, "NoSuchBucket", "bucket", false, "bucket's name" },
	{ 404, "NoSuchUpload", NULL, false, "dropped" },
	{ 501, "NotImplemented", "settings", false, "does not know something" },
	{ 403, "NotSignedUp", "account", false, "account" },
	{ 404, "ObjectLockConfigurationNotFoundError", "settings", false, "object_lock" },
	{ 409, "OperationAborted", NULL, false, "409" },
	{ 301, "PermanentRedirect", "region", false, "check the region" },
	{ 412, "PreconditionFailed", "object", false, "another object" },
	{ 400, "PriorRequestNotComplete", NULL, true, "400" },
	{ 403, "QuotaExceeded", "quota", false, "quota" },
	{ 403, "RequestExpired", "clock", false, "clock" },
	{ 400, "RequestLimitExceeded", NULL, true, "400" },
	{ 403, "RequestTimeTooSkewed", "clock", false, "clock" },
	{ 400, "RequestTimeout", NULL, false, "RequestTimeout" },
	{ 503, "ServiceUnavailable", NULL, true, "503" },
	{ 403, "SignatureDoesNotMatch", "credentials", false, "secret access key" },
	{ 503, "SlowDown", NULL, true, "SlowDown" },
	{ 503, "SlowDownRead", NULL, true, "SlowDown" },
	{ 503, "SlowDownWrite", NULL, true, "SlowDown" },
	{ 403, "StorageCapExceeded", "quota", false, "quota" },
	{ 400, "TagPolicyException", "settings", false, "s3.tags" },
	{ 307, "TemporaryRedirect", "region", false, "check the region" },
	{ 400, "Throttling", NULL, true, "400" },
	{ 400, "ThrottlingException", NULL, true, "400" },
	{ 400, "TokenRefreshRequired", "credentials", false, "session token" },
	{ 400, "TooManyRequests", NULL, true, "400" },
	{ 403, "UnauthorizedAccess", "account", false, "account" },
	{ 400, "UnexpectedContent", "endpoint", false, "endpoint" },
	{ 400, "UnsupportedSignature", "endpoint", false, "Signature Version 4" },
	{ 403, "UserSuspended", "account", false, "account" },
	{ 400, "XAmzContentChecksumMismatch", NULL, false, "damaged" },
	{ 400, "XAmzContentSHA256Mismatch", NULL, false, "damaged" },
	{ 400, "XMinioAdminBucketQuotaExceeded", "quota", false, "quota" },
	{ 507, "XMinioStorageFull", "quota", false, "quota" },
	{ 200, "Unheard", NULL, false, "200 Unheard" },
	{ 301, "", "region", false, "check the region" },
	{ 302, "", "endpoint", false, "no S3 server" },
	{ 308, "", "region", false, "check the region" },
	{ 400, "", "settings", false, "check region, endpoint and key" },
	{ 403, "", "access", false, "policy" },
	{ 404, "Unheard", "bucket", false, "bucket" },
	{ 407, "", "endpoint", false, "check the endpoint" },
	{ 408, "", NULL, false, "408" },
	{ 413, "", "object", false, "too large" },
	{ 418, "", "endpoint", false, "check the endpoint" },
	{ 425, "", NULL, false, "425" },
	{ 429, "", NULL, true, "429" },
	{ 501, "", "settings", false, "does not know something" },
	{ 502, "", NULL, false, "502" },
	{ 503, "", NULL, true, "503" },
	{ 507, "", "quota", false, "quota" },
	{ 599, "Unheard", NULL, false, "Unheard" },
	{ 200, "", "endpoint", false, "no S3 server" },
	{ 0, "", "endpoint", false, "check the endpoint" },
};

static void every_refusal_has_a_kind_and_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(verdicts); i++) {
		struct s3_answer answer = { .status = verdicts[i].status };
		g_strlcpy(answer.code, verdicts[i].code, sizeof(answer.code));
		g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
		bool passes = verdicts[i].subject == NULL;
		if (error->code != (passes ? S3_ERROR_RETRY : S3_ERROR_MEND) ||
			g_strcmp0(s3_error_subject(error), verdicts[i].subject) != 0 ||
			s3_error_is_throttle(error) != verdicts[i].is_throttle ||
			!strstr(error->message, verdicts[i].says))
			fail_msg("%ld %s: %s, %s", answer.status, answer.code,
				s3_error_subject(error), error->message);
		assert_true(s3_answer_is_transient(&answer) == passes);
		bool names_bucket =
			strstr(error->message, "bucket \"acme\", region \"eu-west-1\"");
		assert_true(names_bucket == !passes);
	}
}

/* Amazon says AccessDenied for KMS too; only the message tells. */
static void a_denied_kms_key_is_no_denied_bucket(void **state)
{
	(void)state;
	struct s3_answer answer = { .status = 403,
		.code = "AccessDenied",
		.message = "User: arn:aws:iam::1:user/a is not authorized to perform: "
			   "kms:GenerateDataKey on resource" };
	g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_string_equal(s3_error_subject(error), "encryption");
	assert_non_null(strstr(error->message, "key policy"));
}

/* Ceph takes the KMS key's name for an access key's. */
static void an_unknown_kms_key_is_no_unknown_access_key(void **state)
{
	(void)state;
	struct s3_answer answer = { .status = 403,
		.code = "InvalidAccessKeyId",
		.message = "Failed to retrieve the actual key, kms-keyid: nokey" };
	g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_string_equal(s3_error_subject(error), "encryption");
	assert_non_null(strstr(error->message, "check the KMS key"));
}

static void errors_keep_their_subject(void **state)
{
	(void)state;
	const struct s3_answer answer = { .status = 404, .code = "NoSuchBucket" };
	GError *error = s3_answer_error(&answer, "acme", "eu-west-1");
	g_prefix_error(&error, "object a: ");
	g_autoptr(GError) copy = g_error_copy(error);
	g_error_free(error);
	assert_string_equal(s3_error_subject(copy), "bucket");
	g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, 1, "x");
	assert_null(s3_error_subject(foreign));
	assert_false(s3_error_is_throttle(foreign));
	g_autoptr(GError) plain = g_error_new(S3_ERROR, S3_ERROR_MEND, "x");
	assert_string_equal(s3_error_subject(plain), "settings");
}

static void refused_credentials_may_be_renewed(void **state)
{
	(void)state;
	static const struct {
		long status;
		const char *code;
		bool want;
	} cases[] = {
		{ 400, "ExpiredToken", true },
		{ 403, "ExpiredToken", true },
		{ 400, "InvalidToken", true },
		{ 400, "TokenRefreshRequired", true },
		{ 403, "InvalidAccessKeyId", true },
		{ 403, "AccessDenied", false },
		{ 403, "SignatureDoesNotMatch", false },
		{ 500, "ExpiredToken", false },
		{ 200, "ExpiredToken", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_answer answer = { .status = cases[i].status };
		g_strlcpy(answer.code, cases[i].code, sizeof(answer.code));
		assert_true(s3_answer_is_about_token(&answer) == cases[i].want);
	}
}

static void region_and_clock_are_told(void **state)
{
	(void)state;
	struct s3_answer answer = { .status = 403,
		.code = "RequestTimeTooSkewed",
		.region = "us-west-2",
		.clock_off_s = -4000 };
	g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_non_null(strstr(error->message, "the bucket's region is \"us-west-2\""));
	assert_non_null(strstr(error->message, "clock is 4000 s behind the server's"));
	answer.clock_off_s = 100;
	g_strlcpy(answer.region, "eu-west-1", sizeof(answer.region));
	g_autoptr(GError) calm = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_null(strstr(calm->message, "the bucket's region is"));
	assert_null(strstr(calm->message, " s ahead of"));
}

static void uploads_have_names(void **state)
{
	(void)state;
	static const struct {
		const char *body, *root, *upload_id;
	} bodies[] = {
		{ "<?xml version=\"1.0\"?>\n<InitiateMultipartUploadResult "
		  "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>b</Bucket>"
		  "<UploadId>2~a&amp;b</UploadId></InitiateMultipartUploadResult>",
			"InitiateMultipartUploadResult", "2~a&b" },
		{ "   \n<CompleteMultipartUploadResult><ETag>x</ETag>",
			"CompleteMultipartUploadResult", "" },
		{ "<a><UploadId><UploadId>x</UploadId></UploadId></a>", "a", "" },
		{ "UploadId", "", "" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(bodies); i++) {
		struct s3_answer answer = { 0 };
		s3_answer_read_body(&answer, bodies[i].body, strlen(bodies[i].body));
		assert_string_equal(answer.root, bodies[i].root);
		assert_string_equal(answer.upload_id, bodies[i].upload_id);
	}
}

static void etags_may_be_md5(void **state)
{
	(void)state;
	static const struct {
		const char *etag, *encryption;
		bool want;
	} etags[] = { { "d41d8cd98f00b204e9800998ecf8427e", "", true },
		{ "D41D8CD98F00B204E9800998ECF8427E", "AES256", true },
		{ "d41d8cd98f00b204e9800998ecf8427e", "aws:kms", false },
		{ "d41d8cd98f00b204e9800998ecf8427e", "aws:kms:dsse", false },
		{ "d41d8cd98f00b204e9800998ecf8427e-1", "", false },
		{ "d41d8cd98f00b204e9800998ecf8427", "", false }, { "", "", false } };
	for (size_t i = 0; i < G_N_ELEMENTS(etags); i++) {
		struct s3_answer answer = { 0 };
		g_strlcpy(answer.etag, etags[i].etag, sizeof(answer.etag));
		g_strlcpy(answer.encryption, etags[i].encryption,
			sizeof(answer.encryption));
		assert_true(s3_answer_etag_is_md5(&answer) == etags[i].want);
	}
}

static void the_permission_is_the_requests(void **state)
{
	(void)state;
	struct s3_answer answer = { .status = 403, .permission = "s3:DeleteObject" };
	g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_non_null(strstr(error->message,
		"its IAM policy (s3:DeleteObject on the prefix) and the bucket policy"));
	assert_null(strstr(error->message, "s3:PutObject"));
}

static void a_redirect_tells_where_to(void **state)
{
	(void)state;
	static const char body[] =
		"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message>"
		"<Endpoint>acme.s3.eu-south-2.amazonaws.com</Endpoint></Error>";
	struct s3_answer answer = { .status = 301 };
	s3_answer_read_body(&answer, body, strlen(body));
	g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
	assert_non_null(strstr(error->message,
		"elsewhere, endpoint acme.s3.eu-south-2.amazonaws.com; "
		"check the region"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_read),
		cmocka_unit_test(uploads_have_names),
		cmocka_unit_test(etags_may_be_md5),
		cmocka_unit_test(fields_are_cut_between_characters),
		cmocka_unit_test(every_refusal_has_a_kind_and_a_reason),
		cmocka_unit_test(a_denied_kms_key_is_no_denied_bucket),
		cmocka_unit_test(an_unknown_kms_key_is_no_unknown_access_key),
		cmocka_unit_test(errors_keep_their_subject),
		cmocka_unit_test(refused_credentials_may_be_renewed),
		cmocka_unit_test(region_and_clock_are_told),
		cmocka_unit_test(the_permission_is_the_requests),
		cmocka_unit_test(a_redirect_tells_where_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
