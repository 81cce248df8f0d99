/* S3's error answers: parsed, classified, explained. Trying again is client.c's. */
#include "s3/answer.h"
#include <stdlib.h>
#include <string.h>

/* A difference that Amazon still takes is 15 minutes. */
#define CLOCK_OFF_MAX_S 300

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
	{ "EntityTooLarge", MEND, check_size },
	{ "ExpiredToken", MEND, check_token },
	{ "IllegalLocationConstraintException", MEND, check_region },
	{ "IncompleteBody", RETRY, "the upload was cut short" },
	{ "InternalError", RETRY, NULL },
	{ "InvalidAccessKeyId", MEND, check_key },
	{ "InvalidBucketName", MEND, check_bucket },
	{ "InvalidObjectState", MEND, check_policy },
	{ "InvalidRegion", MEND, check_region },
	{ "InvalidToken", MEND, check_token },
	{ "KMS.DisabledException", MEND, check_kms },
	{ "KMS.InvalidStateException", MEND, check_kms },
	{ "KMS.NotFoundException", MEND, check_kms },
	{ "NoSuchBucket", MEND, check_bucket },
	{ "NotSignedUp", MEND, check_account },
	{ "OperationAborted", RETRY, NULL },
	{ "PermanentRedirect", MEND, check_region },
	{ "QuotaExceeded", MEND, check_quota },
	{ "RequestTimeTooSkewed", MEND, check_clock },
	{ "RequestTimeout", RETRY, NULL },
	{ "ServiceUnavailable", RETRY, NULL },
	{ "SignatureDoesNotMatch", MEND, check_secret },
	{ "SlowDown", RETRY, NULL },
	{ "TemporaryRedirect", MEND, check_region },
	{ "TokenRefreshRequired", MEND, check_token },
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

/* The elements right under <Error>. */
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
}

void s3_answer_read_body(struct s3_answer *answer, const char *body, size_t body_bytes)
{
	static const GMarkupParser parser = { .text = on_text };
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
