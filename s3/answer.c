/* S3's error answers: parsed, classified, explained. Trying again is client.c's. */
#include "s3/answer.h"
#include "s3/error.h"
#include <stdlib.h>
#include <string.h>

/* Worth saying; and what Amazon still takes. */
#define CLOCK_OFF_MAX_S 300
#define CLOCK_TAKEN_S   900

/* SLOW: as RETRY, and the store asks for less. */
enum kind { RETRY, SLOW, MEND };

/* What follows it depends on the request. */
static const char check_policy[] = "this key may not do that here: check its IAM policy";
static const char check_kms_policy[] =
	"this identity may not use the KMS key: allow it "
	"kms:GenerateDataKey and, for large objects, kms:Decrypt, in "
	"its IAM policy and in the key policy";
static const char check_key[] =
	"check the access key id: there is no such key at this endpoint";
static const char check_secret[] =
	"check the secret access key: it does not belong to this access "
	"key id";
static const char check_token[] = "the session token has expired or is wrong: renew it";
static const char check_clock[] = "this machine's clock is wrong: set it (NTP)";
static const char check_bucket[] = "check the bucket's name and the endpoint";
static const char check_owner[] =
	"check s3.expected_bucket_owner: it must be the 12 digits of "
	"the account";
static const char check_bucket_state[] =
	"check the bucket: another configuration of it forbids this";
static const char check_region[] = "check the region: the bucket lies elsewhere";
static const char check_scope[] =
	"check the region, which the bucket is not in, and the access "
	"key id";
static const char check_account[] =
	"the account is closed, unpaid or not signed up for S3";
static const char check_size[] = "the object is too large for this store";
static const char check_quota[] = "the store's quota is used up";
static const char check_options[] =
	"this store does not know something that the settings ask for: "
	"check s3.encryption, storage_class, tags, checksum and "
	"object_lock";
static const char check_request[] =
	"check what the message names: s3.checksum, encryption, "
	"object_lock (which the bucket must have), storage_class and "
	"tags";
static const char check_prefix[] =
	"check s3.prefix: with what follows it, keys are too long for "
	"this store";
static const char check_kms[] =
	"check the KMS key (s3.kms_key_id, or the bucket's own): "
	"disabled, deleted, in another region or not for this identity";
static const char check_encryption[] =
	"check s3.encryption, kms_key_id and kms_context: the bucket "
	"wants it otherwise";
static const char check_endpoint[] =
	"check the endpoint: what answers there is no S3 server";
static const char check_proxy[] =
	"check the endpoint: something before it changes requests";
static const char check_signature[] =
	"check the endpoint: this store does not know Signature Version "
	"4";
static const char check_damaged[] = "the content was damaged on the way";
static const char check_cut[] = "the upload was cut short";
static const char check_part[] = "a part of the upload was lost";
static const char check_upload[] = "the store has dropped the upload's parts";
static const char check_other[] = "another object has this key";
static const char check_class[] = "check s3.storage_class";
static const char check_tags[] = "check s3.tags, and the organisation's tag policies";
static const char check_lock[] =
	"check s3.object_lock: the bucket must have object lock, and "
	"s3.object_lock_days must suit it";
static const char check_acl[] =
	"check the endpoint: an ACL was seen, which is never sent";
static const char check_archive[] = "the object that has this key lies in an archive";

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what Ceph,
 * Swift, MinIO and others call the same things. In the order of strcmp(). */
static const struct meaning {
	const char *code;
	enum kind kind;
	const char *advice;
	enum s3_subject subject; /* of MEND */
} meanings[] = {
	{ "AccessControlListNotSupported", MEND, check_acl, S3_SUBJECT_SETTINGS },
	{ "AccessDenied", MEND, check_policy, S3_SUBJECT_ACCESS },
	{ "AccessForbidden", MEND, check_policy, S3_SUBJECT_ACCESS },
	{ "AccountProblem", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "AccountSuspended", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "AllAccessDisabled", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "AuthorizationHeaderMalformed", MEND, check_scope, S3_SUBJECT_REGION },
	{ "BadDigest", RETRY, check_damaged, 0 },
	{ "BandwidthLimitExceeded", SLOW, NULL, 0 },
	{ "BucketQuotaExceeded", MEND, check_quota, S3_SUBJECT_QUOTA },
	{ "ConditionalRequestConflict", RETRY, NULL, 0 },
	{ "CredentialsNotSupported", MEND, check_key, S3_SUBJECT_CREDENTIALS },
	{ "EndpointNotFound", MEND, check_endpoint, S3_SUBJECT_ENDPOINT },
	{ "EntityTooLarge", MEND, check_size, S3_SUBJECT_OBJECT },
	{ "ExpiredToken", MEND, check_token, S3_SUBJECT_CREDENTIALS },
	{ "IllegalLocationConstraintException", MEND, check_region, S3_SUBJECT_REGION },
	{ "IncompleteBody", RETRY, check_cut, 0 },
	{ "InternalError", RETRY, NULL, 0 },
	{ "InvalidAccessKeyId", MEND, check_key, S3_SUBJECT_CREDENTIALS },
	{ "InvalidArgument", MEND, check_request, S3_SUBJECT_SETTINGS },
	{ "InvalidBucketName", MEND, check_bucket, S3_SUBJECT_BUCKET },
	{ "InvalidBucketOwnerAWSAccountID", MEND, check_owner, S3_SUBJECT_BUCKET },
	{ "InvalidBucketState", MEND, check_bucket_state, S3_SUBJECT_BUCKET },
	{ "InvalidDigest", RETRY, check_damaged, 0 },
	{ "InvalidEncryptionAlgorithmError", MEND, check_encryption,
		S3_SUBJECT_ENCRYPTION },
	{ "InvalidHostHeader", MEND, check_proxy, S3_SUBJECT_ENDPOINT },
	{ "InvalidLocationConstraint", MEND, check_region, S3_SUBJECT_REGION },
	{ "InvalidObjectState", MEND, check_archive, S3_SUBJECT_OBJECT },
	{ "InvalidPart", RETRY, check_part, 0 },
	{ "InvalidPartOrder", RETRY, check_part, 0 },
	{ "InvalidPayer", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "InvalidRegion", MEND, check_region, S3_SUBJECT_REGION },
	{ "InvalidRequest", MEND, check_request, S3_SUBJECT_SETTINGS },
	{ "InvalidRetentionPeriod", MEND, check_lock, S3_SUBJECT_SETTINGS },
	{ "InvalidSecurity", MEND, check_key, S3_SUBJECT_CREDENTIALS },
	{ "InvalidSignature", MEND, check_secret, S3_SUBJECT_CREDENTIALS },
	{ "InvalidStorageClass", MEND, check_class, S3_SUBJECT_SETTINGS },
	{ "InvalidTag", MEND, check_tags, S3_SUBJECT_SETTINGS },
	{ "InvalidToken", MEND, check_token, S3_SUBJECT_CREDENTIALS },
	{ "KMS.AccessDeniedException", MEND, check_kms_policy, S3_SUBJECT_ENCRYPTION },
	{ "KMS.DisabledException", MEND, check_kms, S3_SUBJECT_ENCRYPTION },
	{ "KMS.InternalException", RETRY, NULL, 0 },
	{ "KMS.InvalidKeyUsageException", MEND, check_kms, S3_SUBJECT_ENCRYPTION },
	{ "KMS.InvalidStateException", MEND, check_kms, S3_SUBJECT_ENCRYPTION },
	{ "KMS.KMSInvalidStateException", MEND, check_kms, S3_SUBJECT_ENCRYPTION },
	{ "KMS.NotFoundException", MEND, check_kms, S3_SUBJECT_ENCRYPTION },
	{ "KMS.ThrottlingException", SLOW, NULL, 0 },
	{ "KeyTooLongError", MEND, check_prefix, S3_SUBJECT_SETTINGS },
	{ "MethodNotAllowed", MEND, check_endpoint, S3_SUBJECT_ENDPOINT },
	{ "MissingContentLength", MEND, check_proxy, S3_SUBJECT_ENDPOINT },
	{ "MissingSecurityHeader", MEND, check_proxy, S3_SUBJECT_ENDPOINT },
	{ "NoSuchAccessPoint", MEND, check_bucket, S3_SUBJECT_BUCKET },
	{ "NoSuchBucket", MEND, check_bucket, S3_SUBJECT_BUCKET },
	{ "NoSuchUpload", RETRY, check_upload, 0 },
	{ "NotImplemented", MEND, check_options, S3_SUBJECT_SETTINGS },
	{ "NotSignedUp", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "ObjectLockConfigurationNotFoundError", MEND, check_lock, S3_SUBJECT_SETTINGS },
	{ "OperationAborted", RETRY, NULL, 0 },
	{ "PermanentRedirect", MEND, check_region, S3_SUBJECT_REGION },
	{ "PreconditionFailed", MEND, check_other, S3_SUBJECT_OBJECT },
	{ "PriorRequestNotComplete", SLOW, NULL, 0 },
	{ "QuotaExceeded", MEND, check_quota, S3_SUBJECT_QUOTA },
	{ "RequestExpired", MEND, check_clock, S3_SUBJECT_CLOCK },
	{ "RequestLimitExceeded", SLOW, NULL, 0 },
	{ "RequestTimeTooSkewed", MEND, check_clock, S3_SUBJECT_CLOCK },
	{ "RequestTimeout", RETRY, NULL, 0 },
	{ "ServiceUnavailable", SLOW, NULL, 0 },
	{ "SignatureDoesNotMatch", MEND, check_secret, S3_SUBJECT_CREDENTIALS },
	{ "SlowDown", SLOW, NULL, 0 },
	{ "SlowDownRead", SLOW, NULL, 0 },
	{ "SlowDownWrite", SLOW, NULL, 0 },
	{ "StorageCapExceeded", MEND, check_quota, S3_SUBJECT_QUOTA },
	{ "TagPolicyException", MEND, check_tags, S3_SUBJECT_SETTINGS },
	{ "TemporaryRedirect", MEND, check_region, S3_SUBJECT_REGION },
	{ "Throttling", SLOW, NULL, 0 },
	{ "ThrottlingException", SLOW, NULL, 0 },
	{ "TokenRefreshRequired", MEND, check_token, S3_SUBJECT_CREDENTIALS },
	{ "TooManyRequests", SLOW, NULL, 0 },
	{ "UnauthorizedAccess", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "UnexpectedContent", MEND, check_proxy, S3_SUBJECT_ENDPOINT },
	{ "UnsupportedSignature", MEND, check_signature, S3_SUBJECT_ENDPOINT },
	{ "UserSuspended", MEND, check_account, S3_SUBJECT_ACCOUNT },
	{ "XAmzContentChecksumMismatch", RETRY, check_damaged, 0 },
	{ "XAmzContentSHA256Mismatch", RETRY, check_damaged, 0 },
	{ "XMinioAdminBucketQuotaExceeded", MEND, check_quota, S3_SUBJECT_QUOTA },
	{ "XMinioStorageFull", MEND, check_quota, S3_SUBJECT_QUOTA },
};

/* Where the code says nothing. First match. */
static const struct status_meaning {
	long from, to;
	struct meaning meaning;
} status_meanings[] = {
	{ 200, 299, { "", MEND, check_endpoint, S3_SUBJECT_ENDPOINT } },
	{ 301, 301, { "", MEND, check_region, S3_SUBJECT_REGION } },
	{ 307, 308, { "", MEND, check_region, S3_SUBJECT_REGION } },
	{ 400, 400,
		{ "", MEND,
			"check region, endpoint and key: the request was not understood",
			S3_SUBJECT_SETTINGS } },
	{ 401, 403, { "", MEND, check_policy, S3_SUBJECT_ACCESS } },
	{ 404, 404, { "", MEND, check_bucket, S3_SUBJECT_BUCKET } },
	{ 408, 409, { "", RETRY, NULL, 0 } },
	{ 413, 413, { "", MEND, check_size, S3_SUBJECT_OBJECT } },
	{ 425, 425, { "", RETRY, NULL, 0 } },
	{ 429, 429, { "", SLOW, NULL, 0 } },
	{ 501, 501, { "", MEND, check_options, S3_SUBJECT_SETTINGS } },
	{ 503, 503, { "", SLOW, NULL, 0 } },
	{ 507, 507, { "", MEND, check_quota, S3_SUBJECT_QUOTA } },
	{ 500, 599, { "", RETRY, NULL, 0 } },
	{ 0, INT32_MAX, { "", MEND, check_endpoint, S3_SUBJECT_ENDPOINT } },
};

/* A 200 that became an error while it was waited for. */
static const struct meaning late_failure = { "", RETRY, NULL, 0 };
static const struct meaning kms_unknown = { "", MEND, check_kms, S3_SUBJECT_ENCRYPTION };
static const struct meaning kms_denied = { "", MEND, check_kms_policy,
	S3_SUBJECT_ENCRYPTION };

static int compare_code(const void *code, const void *meaning)
{
	return strcmp(code, ((const struct meaning *)meaning)->code);
}

static const struct meaning *meaning_of(const char *code)
{
	return bsearch(code, meanings, G_N_ELEMENTS(meanings), sizeof(meanings[0]),
		compare_code);
}

static const struct meaning *judge(const struct s3_answer *answer)
{
	const struct meaning *meaning = meaning_of(answer->code);
	if (meaning && meaning->subject == S3_SUBJECT_ACCESS &&
		strstr(answer->message, "kms:"))
		return &kms_denied;
	if (meaning && meaning->subject == S3_SUBJECT_CREDENTIALS &&
		strstr(answer->message, "kms-keyid")) /* Ceph's */
		return &kms_unknown;
	if (meaning)
		return meaning;
	if (answer->status < 300 && *answer->code)
		return &late_failure;
	size_t i = 0;
	while (answer->status < status_meanings[i].from ||
		answer->status > status_meanings[i].to)
		i++;
	return &status_meanings[i].meaning;
}

bool s3_answer_is_transient(const struct s3_answer *answer)
{
	return judge(answer)->kind != MEND;
}

bool s3_answer_is_about_token(const struct s3_answer *answer)
{
	static const char *const codes[] = { "ExpiredToken", "InvalidToken",
		"TokenRefreshRequired", "InvalidAccessKeyId", NULL };
	return answer->status >= 400 && answer->status < 500 &&
	       g_strv_contains(codes, answer->code);
}

bool s3_answer_is_about_clock(const struct s3_answer *answer)
{
	if (strcmp(answer->code, "RequestTimeTooSkewed") == 0 ||
		strcmp(answer->code, "RequestExpired") == 0)
		return true;
	return answer->status == 403 && ABS(answer->clock_off_s) > CLOCK_TAKEN_S;
}

bool s3_answer_is_about_region(const struct s3_answer *answer)
{
	return *answer->region && (answer->status == 301 || answer->status == 307 ||
					  answer->status == 308 || answer->status == 400);
}

bool s3_answer_etag_is_md5(const struct s3_answer *answer)
{
	size_t digits = 0;
	while (g_ascii_isxdigit(answer->etag[digits]))
		digits++;
	return digits == 32 && answer->etag[digits] == '\0' &&
	       !g_str_has_prefix(answer->encryption, "aws:kms");
}

void s3_answer_set(char *field, size_t field_bytes, const char *text, size_t text_bytes)
{
	g_autofree char *valid =
		g_utf8_make_valid(text, (gssize)MIN(text_bytes, field_bytes));
	size_t used = 0;
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		size_t bytes = (size_t)(g_utf8_next_char(p) - p);
		if (used + bytes >= field_bytes)
			break;
		if (g_unichar_iscntrl(g_utf8_get_char(p)))
			field[used++] = ' ';
		else
			memcpy(field + used, p, bytes), used += bytes;
	}
	field[used] = '\0';
}

static void on_start(GMarkupParseContext *context, const char *name,
	const char **attribute_names, const char **attribute_values, gpointer data,
	GError **error)
{
	struct s3_answer *answer = data;
	(void)context, (void)attribute_names, (void)attribute_values, (void)error;
	if (!*answer->root)
		s3_answer_set(answer->root, sizeof(answer->root), name, strlen(name));
}

/* The elements right under the root. */
static void on_text(GMarkupParseContext *context, const char *text, gsize text_bytes,
	gpointer data, GError **error)
{
	struct s3_answer *answer = data;
	const GSList *stack = g_markup_parse_context_get_element_stack(context);
	(void)error;
	if (text_bytes == 0 || !stack || !stack->next || stack->next->next)
		return;
	const char *name = stack->data;
	if (strcmp(name, "Code") == 0)
		s3_answer_set(answer->code, sizeof(answer->code), text, text_bytes);
	else if (strcmp(name, "Message") == 0)
		s3_answer_set(answer->message, sizeof(answer->message), text, text_bytes);
	else if (strcmp(name, "RequestId") == 0)
		s3_answer_set(
			answer->request_id, sizeof(answer->request_id), text, text_bytes);
	else if (strcmp(name, "Region") == 0)
		s3_answer_set(answer->region, sizeof(answer->region), text, text_bytes);
	else if (strcmp(name, "Endpoint") == 0)
		s3_answer_set(
			answer->endpoint, sizeof(answer->endpoint), text, text_bytes);
	else if (strcmp(name, "UploadId") == 0)
		s3_answer_set(
			answer->upload_id, sizeof(answer->upload_id), text, text_bytes);
}

void s3_answer_read_body(struct s3_answer *answer, const char *body, size_t body_bytes)
{
	static const GMarkupParser parser = {
		.start_element = on_start,
		.text = on_text,
	};
	GMarkupParseContext *context = g_markup_parse_context_new(
		&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, answer, NULL);
	g_markup_parse_context_parse(
		context, body, (gssize)MIN(body_bytes, S3_ANSWER_BODY_MAX_BYTES), NULL);
	g_markup_parse_context_free(context);
}

static void append_field(GString *text, const char *before, const char *field)
{
	if (*field)
		g_string_append_printf(text, "%s%s", before, field);
}

static void append_permission(GString *text, const char *permission)
{
	g_string_append_printf(text, " (%s on the prefix)%s",
		permission ? permission : "s3:PutObject",
		permission ? " and the bucket policy"
			   : ", the bucket policy and, with SSE-KMS, "
			     "kms:GenerateDataKey");
}

GError *s3_answer_error(
	const struct s3_answer *answer, const char *bucket, const char *region)
{
	const struct meaning *meaning = judge(answer);
	g_autoptr(GString) text = g_string_new(NULL);
	g_string_append_printf(text, "S3 answered %ld", answer->status);
	append_field(text, " ", answer->code);
	append_field(text, ": ", answer->message);
	append_field(text, ", endpoint ", answer->endpoint);
	append_field(text, ", request ID ", answer->request_id);
	if (meaning->advice)
		g_string_append_printf(text, "; %s", meaning->advice);
	if (meaning->advice == check_policy)
		append_permission(text, answer->permission);
	if (meaning->kind == MEND)
		g_string_append_printf(
			text, " (bucket \"%s\", region \"%s\")", bucket, region);
	if (*answer->region && strcmp(answer->region, region) != 0)
		g_string_append_printf(
			text, "; the bucket's region is \"%s\"", answer->region);
	if (ABS(answer->clock_off_s) > CLOCK_OFF_MAX_S)
		g_string_append_printf(text,
			"; this machine's clock is %" G_GINT64_FORMAT
			" s %s the server's",
			ABS(answer->clock_off_s),
			answer->clock_off_s < 0 ? "behind" : "ahead of");
	GError *error = g_error_new_literal(S3_ERROR,
		meaning->kind == MEND ? S3_ERROR_MEND : S3_ERROR_RETRY, text->str);
	s3_error_set_subject(error, meaning->subject);
	s3_error_set_throttle(error, meaning->kind == SLOW);
	return error;
}
