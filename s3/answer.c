/* S3's error answers: parsed, classified, explained. Trying again is client.c's. */
#include "s3/answer.h"
#include <stdlib.h>
#include <string.h>

/* Worth saying; and what Amazon still takes. */
#define CLOCK_OFF_MAX_S 300
#define CLOCK_TAKEN_S   900

enum { RETRY = S3_ERROR_RETRY, MEND = S3_ERROR_MEND };

static const char check_policy[] = "this key may not write here: check its IAM policy "
				   "(s3:PutObject on the prefix), the "
				   "bucket policy and, with SSE-KMS, kms:GenerateDataKey";
static const char check_key[] =
	"check the access key id: there is no such key at this endpoint";
static const char check_secret[] =
	"check the secret access key: it does not belong to this access key id";
static const char check_token[] = "the session token has expired or is wrong: renew it";
static const char check_clock[] = "this machine's clock is wrong: set it (NTP)";
static const char check_bucket[] = "check the bucket's name and the endpoint";
static const char check_region[] = "check the region: the bucket lies elsewhere";
static const char check_account[] =
	"the account is closed, unpaid or not signed up for S3";
static const char check_size[] = "the object is too large for this store";
static const char check_quota[] = "the store's quota is used up";
static const char check_options[] =
	"this store does not know something that the settings ask for: check "
	"s3.encryption, storage_class, tags, checksum and object_lock";
static const char check_kms[] =
	"check the bucket's KMS key: disabled, deleted or not for this "
	"identity";

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what Ceph,
 * Swift and MinIO call the same things. */
static const struct meaning {
	const char *code;
	int kind;
	const char *advice;
} meanings[] = {
	{ "AccessDenied", MEND, check_policy },
	{ "AccountProblem", MEND, check_account },
	{ "AllAccessDisabled", MEND, check_account },
	{ "AuthorizationHeaderMalformed", MEND, check_region },
	{ "BadDigest", RETRY, "the content was damaged on the way" },
	{ "BandwidthLimitExceeded", RETRY, NULL },
	{ "ConditionalRequestConflict", RETRY, NULL },
	{ "EntityTooLarge", MEND, check_size },
	{ "ExpiredToken", MEND, check_token },
	{ "IllegalLocationConstraintException", MEND, check_region },
	{ "IncompleteBody", RETRY, "the upload was cut short" },
	{ "InternalError", RETRY, NULL },
	{ "InvalidAccessKeyId", MEND, check_key },
	{ "InvalidBucketName", MEND, check_bucket },
	{ "InvalidDigest", RETRY, "the content was damaged on the way" },
	{ "InvalidObjectState", MEND, check_policy },
	{ "InvalidPart", RETRY, "a part of the upload was lost" },
	{ "InvalidRegion", MEND, check_region },
	{ "InvalidStorageClass", MEND, "check s3.storage_class" },
	{ "InvalidTag", MEND, "check s3.tags" },
	{ "InvalidToken", MEND, check_token },
	{ "KMS.DisabledException", MEND, check_kms },
	{ "KMS.InvalidStateException", MEND, check_kms },
	{ "KMS.KMSInvalidStateException", MEND, check_kms },
	{ "KMS.NotFoundException", MEND, check_kms },
	{ "NoSuchBucket", MEND, check_bucket },
	{ "NoSuchUpload", RETRY, "the store has dropped the upload's parts" },
	{ "NotImplemented", MEND, check_options },
	{ "NotSignedUp", MEND, check_account },
	{ "OperationAborted", RETRY, NULL },
	{ "PermanentRedirect", MEND, check_region },
	{ "PreconditionFailed", MEND, "another object has this key" },
	{ "QuotaExceeded", MEND, check_quota },
	{ "RequestExpired", MEND, check_clock },
	{ "RequestLimitExceeded", RETRY, NULL },
	{ "RequestTimeTooSkewed", MEND, check_clock },
	{ "RequestTimeout", RETRY, NULL },
	{ "ServiceUnavailable", RETRY, NULL },
	{ "SignatureDoesNotMatch", MEND, check_secret },
	{ "SlowDown", RETRY, NULL },
	{ "TemporaryRedirect", MEND, check_region },
	{ "Throttling", RETRY, NULL },
	{ "ThrottlingException", RETRY, NULL },
	{ "TokenRefreshRequired", MEND, check_token },
	{ "TooManyRequests", RETRY, NULL },
	{ "XAmzContentChecksumMismatch", RETRY, "the content was damaged on the way" },
	{ "XAmzContentSHA256Mismatch", RETRY, "the content was damaged on the way" },
	{ "XMinioStorageFull", MEND, check_quota },
};

/* Where the code says nothing. First match. */
static const struct status_meaning {
	long from, to;
	int kind;
	const char *advice;
} status_meanings[] = {
	{ 200, 299, MEND, "check the endpoint: what answers there is no S3 server" },
	{ 300, 399, MEND, check_region },
	{ 400, 400, MEND,
		"check region, endpoint and key: the request was not understood" },
	{ 401, 403, MEND, check_policy },
	{ 404, 404, MEND, check_bucket },
	{ 408, 409, RETRY, NULL },
	{ 413, 413, MEND, check_size },
	{ 425, 425, RETRY, NULL },
	{ 429, 429, RETRY, NULL },
	{ 501, 501, MEND, check_options },
	{ 507, 507, MEND, check_quota },
	{ 500, 599, RETRY, NULL },
	{ 0, INT32_MAX, MEND, "check the endpoint: this is no answer of an S3 server" },
};

static int compare_code(const void *code, const void *meaning)
{
	return strcmp(code, ((const struct meaning *)meaning)->code);
}

static const struct meaning *meaning_of(const char *code)
{
	return bsearch(code, meanings, G_N_ELEMENTS(meanings), sizeof(meanings[0]),
		compare_code);
}

static int judge(const struct s3_answer *answer, const char **advice)
{
	const struct meaning *meaning = meaning_of(answer->code);
	if (meaning) {
		*advice = meaning->advice;
		return meaning->kind;
	}
	*advice = NULL;
	if (answer->status < 300 && *answer->code)
		return RETRY; /* a 200 that became an error while it was waited for */
	size_t i = 0;
	while (answer->status < status_meanings[i].from ||
		answer->status > status_meanings[i].to)
		i++;
	*advice = status_meanings[i].advice;
	return status_meanings[i].kind;
}

bool s3_answer_is_transient(const struct s3_answer *answer)
{
	const char *advice;
	return judge(answer, &advice) == RETRY;
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

GError *s3_answer_error(
	const struct s3_answer *answer, const char *bucket, const char *region)
{
	const char *advice;
	int kind = judge(answer, &advice);
	g_autoptr(GString) text = g_string_new(NULL);
	g_string_append_printf(text, "S3 answered %ld", answer->status);
	append_field(text, " ", answer->code);
	append_field(text, ": ", answer->message);
	append_field(text, ", request ID ", answer->request_id);
	if (advice)
		g_string_append_printf(text, "; %s", advice);
	if (kind == MEND)
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
	return g_error_new_literal(S3_ERROR, kind, text->str);
}
