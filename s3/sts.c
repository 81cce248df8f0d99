/* STS's query protocol: a form out, XML in. */
#include "s3/sts.h"
#include "s3/answer.h"
#include "s3/credential_set.h"
#include "s3/endpoint.h"
#include "s3/error.h"
#include <openssl/crypto.h>
#include <string.h>

#define API_VERSION     "2011-06-15"
#define VALUE_MAX_BYTES 8192

bool s3_sts_is_role_arn(const char *arn)
{
	g_auto(GStrv) parts = g_strsplit(arn, ":", 6);
	return g_strv_length(parts) == 6 && strlen(arn) <= 2048 &&
	       strcmp(parts[0], "arn") == 0 && *parts[1] &&
	       g_str_has_prefix(parts[5], "role/") && parts[5][5] &&
	       !strpbrk(arn, " \t\r\n");
}

bool s3_sts_is_session_name(const char *name)
{
	size_t length = strlen(name);
	if (length < 2 || length > 64)
		return false;
	for (const char *p = name; *p; p++)
		if (!g_ascii_isalnum(*p) && !strchr("+=,.@-_", *p))
			return false;
	return true;
}

/* ---- the request ---- */

static void add_field(GString *form, const char *name, const char *value)
{
	if (!value)
		return;
	g_string_append_printf(form, "&%s=", name);
	sigv4_append_encoded(form, value, false);
}

char *s3_sts_form(const struct s3_sts_role *role)
{
	size_t token_bytes =
		role->web_identity_token ? strlen(role->web_identity_token) : 0;
	/* Room for all of it, so that no copy of the token stays behind. */
	GString *form = g_string_sized_new(16384 + 3 * token_bytes);
	g_string_append(form, "Action=AssumeRole");
	if (role->web_identity_token)
		g_string_append(form, "WithWebIdentity");
	add_field(form, "Version", API_VERSION);
	add_field(form, "RoleArn", role->role_arn);
	add_field(form, "RoleSessionName", role->session_name);
	add_field(form, "ExternalId", role->external_id);
	add_field(form, "WebIdentityToken", role->web_identity_token);
	if (role->duration_s)
		g_string_append_printf(form, "&DurationSeconds=%u", role->duration_s);
	return g_string_free(form, FALSE);
}

/* AWS SDKs and Tools Reference Guide, "Dual-stack and FIPS endpoints". */
static const char *dual_stack_domain(const char *region)
{
	return g_str_has_prefix(region, "cn-") ? "api.amazonwebservices.com.cn"
					       : "api.aws";
}

static char *special_url(const struct s3_sts_endpoint *endpoint, const char *region)
{
	/* The government's are FIPS endpoints under their plain names. */
	bool fips = endpoint->fips && !g_str_has_prefix(region, "us-gov-");
	return g_strdup_printf("https://sts%s.%s.%s/", fips ? "-fips" : "", region,
		endpoint->dual_stack ? dual_stack_domain(region)
				     : s3_endpoint_domain(region));
}

char *s3_sts_url(const struct s3_sts_endpoint *endpoint, char **signing_region)
{
	static const char *const first[] = { "ap-northeast-1", "ap-south-1",
		"ap-southeast-1", "ap-southeast-2", "aws-global", "ca-central-1",
		"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
		"sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2", NULL };
	const char *region = endpoint->region;
	bool none = !region || strcmp(region, "aws-global") == 0;
	bool global = none || (endpoint->legacy && g_strv_contains(first, region));
	if (endpoint->fips || endpoint->dual_stack) {
		*signing_region = g_strdup(none ? "us-east-1" : region);
		return special_url(endpoint, *signing_region);
	}
	*signing_region = g_strdup(global ? "us-east-1" : region);
	if (global)
		return g_strdup("https://sts.amazonaws.com/");
	return g_strdup_printf("https://sts.%s.%s/", region, s3_endpoint_domain(region));
}

/* ---- the answer ---- */

struct reading {
	char *id, *secret, *token, *expiration;
	struct s3_answer failure; /* code, message, request_id */
};

/* The field for the element we are in: .../Credentials/NAME of the answer. */
static char **credential_field(struct reading *reading, const GSList *stack)
{
	const char *name = stack->data;
	if (!stack->next || strcmp(stack->next->data, "Credentials") != 0)
		return NULL;
	if (strcmp(name, "AccessKeyId") == 0)
		return &reading->id;
	if (strcmp(name, "SecretAccessKey") == 0)
		return &reading->secret;
	if (strcmp(name, "SessionToken") == 0)
		return &reading->token;
	if (strcmp(name, "Expiration") == 0)
		return &reading->expiration;
	return NULL;
}

static void read_failure(
	struct reading *reading, const GSList *stack, const char *text, size_t text_bytes)
{
	const char *name = stack->data;
	struct s3_answer *failure = &reading->failure;
	bool inside = stack->next && strcmp(stack->next->data, "Error") == 0;
	if (inside && strcmp(name, "Code") == 0)
		s3_answer_set(failure->code, sizeof(failure->code), text, text_bytes);
	else if (inside && strcmp(name, "Message") == 0)
		s3_answer_set(
			failure->message, sizeof(failure->message), text, text_bytes);
	else if (strcmp(name, "RequestId") == 0)
		s3_answer_set(failure->request_id, sizeof(failure->request_id), text,
			text_bytes);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize text_bytes,
	gpointer data, GError **error)
{
	struct reading *reading = data;
	const GSList *stack = g_markup_parse_context_get_element_stack(context);
	(void)error;
	if (!stack || text_bytes == 0 || text_bytes > VALUE_MAX_BYTES)
		return;
	char **field = credential_field(reading, stack);
	if (!field)
		read_failure(reading, stack, text, text_bytes);
	else if (!*field)
		*field = g_strndup(text, text_bytes);
}

static void read_xml(struct reading *reading, const char *body, size_t body_bytes)
{
	static const GMarkupParser parser = { .text = on_text };
	GMarkupParseContext *context = g_markup_parse_context_new(
		&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, reading, NULL);
	g_markup_parse_context_parse(context, body, (gssize)body_bytes, NULL);
	g_markup_parse_context_free(context);
}

static void clear_reading(struct reading *reading)
{
	sigv4_wipe(reading->id);
	sigv4_wipe(reading->secret);
	sigv4_wipe(reading->token);
	g_free(reading->expiration);
}

/* What a person can do about it. */
static const struct meaning {
	const char *code;
	bool passes; /* by itself */
	const char *advice;
} meanings[] = {
	{ "AccessDenied", false,
		"check the role's trust policy, its external id, and that these "
		"credentials may sts:AssumeRole it" },
	{ "ExpiredToken", false, "the credentials that ask have expired: renew them" },
	{ "ExpiredTokenException", false,
		"the web identity token has expired: whoever writes its file has "
		"stopped" },
	{ "IDPCommunicationError", true, NULL },
	{ "InternalFailure", true, NULL },
	{ "InvalidClientTokenId", false, "there is no such access key id" },
	{ "InvalidIdentityToken", false,
		"check that the role's account trusts this identity provider" },
	{ "RegionDisabledException", false,
		"check the region: STS is not active there for this account" },
	{ "RequestExpired", false, "this machine's clock is wrong: set it (NTP)" },
	{ "ServiceUnavailable", true, NULL },
	{ "SignatureDoesNotMatch", false,
		"check the secret access key and this machine's clock" },
	{ "Throttling", true, NULL },
	{ "ThrottlingException", true, NULL },
	{ "ValidationError", false,
		"check role_arn, role_session_name and duration_seconds" },
};

static const struct meaning *meaning_of(const char *code)
{
	for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
		if (strcmp(meanings[i].code, code) == 0)
			return &meanings[i];
	return NULL;
}

static void fail(
	const struct s3_answer *failure, long status, const char *source, GError **error)
{
	const struct meaning *meaning = meaning_of(failure->code);
	bool passes = meaning ? meaning->passes
			      : status >= 500 || status == 429 || !*failure->code;
	const char *advice = meaning ? meaning->advice : NULL;
	s3_fail(error, passes ? S3_ERROR_RETRY : S3_ERROR_MEND,
		"credentials from %s: STS answered %ld%s%s%s%s%s%s%s%s", source, status,
		*failure->code ? " " : "", failure->code, *failure->message ? ": " : "",
		failure->message, *failure->request_id ? ", request ID " : "",
		failure->request_id, advice ? "; " : "", advice ? advice : "");
}

static struct s3_credentials *make(
	const struct reading *reading, const char *source, GError **error)
{
	int64_t expires_at_s = 0;
	if (!reading->id || !reading->secret || !reading->token || !reading->expiration ||
		!s3_credential_set_parse_time(reading->expiration, &expires_at_s)) {
		s3_fail(error, S3_ERROR_RETRY,
			"credentials from %s: the answer is not STS's: a key, a token or "
			"their expiration is missing",
			source);
		return NULL;
	}
	return s3_credential_set_new(reading->id, reading->secret, reading->token,
		expires_at_s, source, error);
}

struct s3_credentials *s3_sts_read(long status, const char *body, size_t body_bytes,
	const char *source, GError **error)
{
	struct reading reading = { 0 };
	struct s3_credentials *credentials = NULL;
	read_xml(&reading, body, body_bytes);
	if (status == 200)
		credentials = make(&reading, source, error);
	else
		fail(&reading.failure, status, source, error);
	clear_reading(&reading);
	return credentials;
}
