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
	int kind;
	const char *says;
} verdicts[] = {
	{ 403, "AccessDenied", S3_ERROR_MEND, "s3:PutObject" },
	{ 403, "AccountProblem", S3_ERROR_MEND, "account" },
	{ 403, "AllAccessDisabled", S3_ERROR_MEND, "account" },
	{ 400, "AuthorizationHeaderMalformed", S3_ERROR_MEND, "check the region" },
	{ 400, "BadDigest", S3_ERROR_RETRY, "damaged" },
	{ 400, "EntityTooLarge", S3_ERROR_MEND, "too large" },
	{ 400, "ExpiredToken", S3_ERROR_MEND, "session token" },
	{ 400, "IllegalLocationConstraintException", S3_ERROR_MEND, "check the region" },
	{ 400, "IncompleteBody", S3_ERROR_RETRY, "cut short" },
	{ 500, "InternalError", S3_ERROR_RETRY, "500 InternalError" },
	{ 403, "InvalidAccessKeyId", S3_ERROR_MEND, "access key id" },
	{ 400, "InvalidBucketName", S3_ERROR_MEND, "bucket's name" },
	{ 400, "InvalidRegion", S3_ERROR_MEND, "check the region" },
	{ 400, "InvalidToken", S3_ERROR_MEND, "session token" },
	{ 400, "KMS.DisabledException", S3_ERROR_MEND, "KMS key" },
	{ 400, "KMS.NotFoundException", S3_ERROR_MEND, "KMS key" },
	{ 404, "NoSuchBucket", S3_ERROR_MEND, "bucket's name" },
	{ 403, "NotSignedUp", S3_ERROR_MEND, "account" },
	{ 409, "OperationAborted", S3_ERROR_RETRY, "409" },
	{ 301, "PermanentRedirect", S3_ERROR_MEND, "check the region" },
	{ 403, "QuotaExceeded", S3_ERROR_MEND, "quota" },
	{ 403, "RequestTimeTooSkewed", S3_ERROR_MEND, "clock" },
	{ 400, "RequestTimeout", S3_ERROR_RETRY, "RequestTimeout" },
	{ 503, "ServiceUnavailable", S3_ERROR_RETRY, "503" },
	{ 403, "SignatureDoesNotMatch", S3_ERROR_MEND, "secret access key" },
	{ 503, "SlowDown", S3_ERROR_RETRY, "SlowDown" },
	{ 503, "BandwidthLimitExceeded", S3_ERROR_RETRY, "503" },
	{ 409, "ConditionalRequestConflict", S3_ERROR_RETRY, "409" },
	{ 400, "InvalidDigest", S3_ERROR_RETRY, "damaged" },
	{ 400, "InvalidPart", S3_ERROR_RETRY, "part" },
	{ 400, "InvalidStorageClass", S3_ERROR_MEND, "s3.storage_class" },
	{ 400, "InvalidTag", S3_ERROR_MEND, "s3.tags" },
	{ 400, "KMS.KMSInvalidStateException", S3_ERROR_MEND, "KMS key" },
	{ 404, "NoSuchUpload", S3_ERROR_RETRY, "dropped" },
	{ 501, "NotImplemented", S3_ERROR_MEND, "does not know something" },
	{ 412, "PreconditionFailed", S3_ERROR_MEND, "another object" },
	{ 403, "RequestExpired", S3_ERROR_MEND, "clock" },
	{ 400, "RequestLimitExceeded", S3_ERROR_RETRY, "400" },
	{ 400, "Throttling", S3_ERROR_RETRY, "400" },
	{ 400, "ThrottlingException", S3_ERROR_RETRY, "400" },
	{ 400, "TooManyRequests", S3_ERROR_RETRY, "400" },
	{ 400, "XAmzContentChecksumMismatch", S3_ERROR_RETRY, "damaged" },
	{ 200, "Unheard", S3_ERROR_RETRY, "200 Unheard" },
	{ 307, "TemporaryRedirect", S3_ERROR_MEND, "check the region" },
	{ 400, "TokenRefreshRequired", S3_ERROR_MEND, "session token" },
	{ 400, "XAmzContentSHA256Mismatch", S3_ERROR_RETRY, "damaged" },
	{ 507, "XMinioStorageFull", S3_ERROR_MEND, "quota" },
	{ 301, "", S3_ERROR_MEND, "check the region" },
	{ 400, "", S3_ERROR_MEND, "check region, endpoint and key" },
	{ 403, "", S3_ERROR_MEND, "policy" },
	{ 404, "Unheard", S3_ERROR_MEND, "bucket" },
	{ 408, "", S3_ERROR_RETRY, "408" },
	{ 418, "", S3_ERROR_MEND, "check the endpoint" },
	{ 429, "", S3_ERROR_RETRY, "429" },
	{ 501, "", S3_ERROR_MEND, "does not know something" },
	{ 502, "", S3_ERROR_RETRY, "502" },
	{ 599, "Unheard", S3_ERROR_RETRY, "Unheard" },
	{ 200, "", S3_ERROR_MEND, "no S3 server" },
	{ 0, "", S3_ERROR_MEND, "check the endpoint" },
};

static void every_refusal_has_a_kind_and_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(verdicts); i++) {
		struct s3_answer answer = { .status = verdicts[i].status };
		g_strlcpy(answer.code, verdicts[i].code, sizeof(answer.code));
		g_autoptr(GError) error = s3_answer_error(&answer, "acme", "eu-west-1");
		if (error->code != verdicts[i].kind ||
			!strstr(error->message, verdicts[i].says))
			fail_msg(
				"%ld %s: %s", answer.status, answer.code, error->message);
		assert_true(s3_answer_is_transient(&answer) ==
			    (verdicts[i].kind == S3_ERROR_RETRY));
		bool names_bucket =
			strstr(error->message, "bucket \"acme\", region \"eu-west-1\"");
		assert_true(names_bucket == (verdicts[i].kind == S3_ERROR_MEND));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_read),
		cmocka_unit_test(uploads_have_names),
		cmocka_unit_test(etags_may_be_md5),
		cmocka_unit_test(fields_are_cut_between_characters),
		cmocka_unit_test(every_refusal_has_a_kind_and_a_reason),
		cmocka_unit_test(region_and_clock_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
