/* Judges presigned requests. Reads nothing but the request; files are objects.c's. */
#include "gateway/admin/presigned.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#define TARGET_BYTES       8192
#define PARAMETERS_MAX     64
#define SIGNED_HEADERS_MAX 16
#define KEY_BYTES          1024
#define EXPIRES_MAX_S      604800
#define FUTURE_MAX_S       900

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define SIGNATURE_LEN ((size_t)2 * SHA256_DIGEST_LENGTH)
#define NOT_SIGNED    "X-Amz-Signature"

const char *const presigned_override_fields[PRESIGNED_OVERRIDES] = {
	[PRESIGNED_CONTENT_TYPE] = "Content-Type",
	[PRESIGNED_CONTENT_LANGUAGE] = "Content-Language",
	[PRESIGNED_EXPIRES] = "Expires",
	[PRESIGNED_CACHE_CONTROL] = "Cache-Control",
	[PRESIGNED_CONTENT_DISPOSITION] = "Content-Disposition",
	[PRESIGNED_CONTENT_ENCODING] = "Content-Encoding",
};

static const char *const override_parameters[PRESIGNED_OVERRIDES] = {
	[PRESIGNED_CONTENT_TYPE] = "response-content-type",
	[PRESIGNED_CONTENT_LANGUAGE] = "response-content-language",
	[PRESIGNED_EXPIRES] = "response-expires",
	[PRESIGNED_CACHE_CONTROL] = "response-cache-control",
	[PRESIGNED_CONTENT_DISPOSITION] = "response-content-disposition",
	[PRESIGNED_CONTENT_ENCODING] = "response-content-encoding",
};

/* What these ask for is another operation than reading an object. */
static const char *const subresources[] = { "acl", "attributes", "legal-hold",
	"partNumber", "policy", "retention", "tagging", "torrent", "uploadId", "uploads",
	"versionId", "versions" };

struct parameter {
	char *name, *value;                 /* decoded */
	char *encoded_name, *encoded_value; /* as they are signed */
};

/* One request under judgement. */
struct trial {
	const struct presigned_request *request;
	const struct presigned_keys *keys;
	struct presigned *result;
	GPtrArray *parameters; /* of struct parameter */
	char *path;            /* encoded as it is signed */
	char **scope;          /* key id, date, region, service, "aws4_request" */
	char **signed_headers;
};

static bool refuse(
	struct trial *trial, unsigned status, const char *code, const char *message)
{
	trial->result->fault = (struct presigned_fault){ status, code, message };
	return false;
}

static bool refuse_query(struct trial *trial, const char *message)
{
	return refuse(trial, 400, "AuthorizationQueryParametersError", message);
}

/* --- reading the target --- */

/* NULL: a broken escape, or one for NUL. */
static char *decode(const char *text, size_t bytes, bool plus_is_blank)
{
	GString *decoded = g_string_sized_new(bytes);
	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];
		if (c == '%') {
			int high = i + 2 < bytes ? g_ascii_xdigit_value(text[i + 1]) : -1;
			int low = high >= 0 ? g_ascii_xdigit_value(text[i + 2]) : -1;
			if (low < 0 || (!high && !low)) {
				g_string_free(decoded, TRUE);
				return NULL;
			}
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		g_string_append_c(decoded, c);
	}
	return g_string_free(decoded, FALSE);
}

static char *encode(const char *text, bool keep_slash)
{
	GString *encoded = g_string_sized_new(strlen(text) + 16);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (g_ascii_isalnum(c) || strchr("-._~", c) || (keep_slash && c == '/'))
			g_string_append_c(encoded, (char)c);
		else
			g_string_append_printf(encoded, "%%%02X", c);
	}
	return g_string_free(encoded, FALSE);
}

static void parameter_free(void *data)
{
	struct parameter *parameter = data;
	g_free(parameter->name);
	g_free(parameter->value);
	g_free(parameter->encoded_name);
	g_free(parameter->encoded_value);
	g_free(parameter);
}

static bool add_parameter(struct trial *trial, const char *text, size_t bytes)
{
	const char *equals = memchr(text, '=', bytes);
	size_t name_bytes = equals ? (size_t)(equals - text) : bytes;
	size_t value_at = equals ? name_bytes + 1 : bytes;
	struct parameter *parameter = g_new0(struct parameter, 1);
	g_ptr_array_add(trial->parameters, parameter);
	parameter->name = decode(text, name_bytes, true);
	parameter->value = decode(text + value_at, bytes - value_at, true);
	if (!parameter->name || !parameter->value)
		return false;
	parameter->encoded_name = encode(parameter->name, false);
	parameter->encoded_value = encode(parameter->value, false);
	return true;
}

static bool read_query(struct trial *trial, const char *query)
{
	while (*query) {
		size_t bytes = strcspn(query, "&");
		if (bytes && (trial->parameters->len >= PARAMETERS_MAX ||
				     !add_parameter(trial, query, bytes)))
			return false;
		query += bytes + (query[bytes] == '&');
	}
	return true;
}

static void read_path(struct trial *trial, const char *path)
{
	const char *bucket = path + 1;
	size_t bytes = strcspn(bucket, "/");
	trial->path = encode(path, true);
	trial->result->bucket = g_strndup(bucket, bytes);
	if (bucket[bytes] && bucket[bytes + 1])
		trial->result->key = g_strdup(bucket + bytes + 1);
}

static bool check_target(struct trial *trial)
{
	const char *target = trial->request->target;
	size_t path_bytes = strcspn(target, "?");
	g_autofree char *path =
		strlen(target) <= TARGET_BYTES ? decode(target, path_bytes, false) : NULL;
	if (!path || *path != '/' ||
		(target[path_bytes] && !read_query(trial, target + path_bytes + 1)))
		return refuse(
			trial, 400, "InvalidURI", "Couldn't parse the specified URI.");
	read_path(trial, path);
	return true;
}

static const char *value_of(const struct trial *trial, const char *name)
{
	for (guint i = 0; i < trial->parameters->len; i++) {
		const struct parameter *parameter = trial->parameters->pdata[i];
		if (!strcmp(parameter->name, name))
			return parameter->value;
	}
	return NULL;
}

static bool has_doubles(const struct trial *trial, const char *prefix)
{
	for (guint i = 0; i < trial->parameters->len; i++) {
		const struct parameter *a = trial->parameters->pdata[i];
		for (guint j = i + 1; j < trial->parameters->len; j++) {
			const struct parameter *b = trial->parameters->pdata[j];
			if (g_str_has_prefix(a->name, prefix) &&
				!strcmp(a->name, b->name))
				return true;
		}
	}
	return false;
}

/* --- the checks, in their order --- */

static bool check_presence(struct trial *trial)
{
	static const char *const needed[] = { "X-Amz-Algorithm", "X-Amz-Credential",
		"X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires" };
	size_t found = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++)
		found += value_of(trial, needed[i]) != NULL;
	if (!found)
		return refuse(trial, 403, "AccessDenied", "Access Denied");
	if (trial->request->header(trial->request->context, "authorization"))
		return refuse(trial, 400, "InvalidArgument",
			"Only one auth mechanism allowed: the query or the "
			"Authorization header.");
	if (found < G_N_ELEMENTS(needed) || has_doubles(trial, "X-Amz-"))
		return refuse_query(trial,
			"Query-string authentication version 4 requires the "
			"X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, "
			"X-Amz-SignedHeaders, and X-Amz-Expires parameters, each once.");
	if (strcmp(value_of(trial, "X-Amz-Algorithm"), ALGORITHM))
		return refuse_query(
			trial, "X-Amz-Algorithm only supports \"" ALGORITHM "\"");
	return true;
}

static bool check_scope(struct trial *trial)
{
	trial->scope = g_strsplit(value_of(trial, "X-Amz-Credential"), "/", 6);
	if (g_strv_length(trial->scope) != 5 || strcmp(trial->scope[4], "aws4_request"))
		return refuse_query(trial,
			"Error parsing the X-Amz-Credential parameter; the Credential is "
			"mal-formed; expecting "
			"\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
	if (strcmp(trial->scope[3], "s3"))
		return refuse_query(trial, "Error parsing the X-Amz-Credential "
					   "parameter; incorrect service. "
					   "This endpoint belongs to \"s3\".");
	if (strcmp(trial->scope[2], trial->keys->region))
		return refuse_query(trial, "Error parsing the X-Amz-Credential "
					   "parameter; the region is wrong.");
	return true;
}

static bool all_digits(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (!g_ascii_isdigit(text[i]))
			return false;
	}
	return true;
}

static int number(const char *digits, size_t bytes)
{
	int value = 0;
	for (size_t i = 0; i < bytes; i++)
		value = value * 10 + (digits[i] - '0');
	return value;
}

/* "20251121T000000Z" as Unix time; false: not of this form. */
static bool read_time(const char *text, int64_t *time_s)
{
	if (strlen(text) != 16 || !all_digits(text, 8) || text[8] != 'T' ||
		!all_digits(text + 9, 6) || text[15] != 'Z')
		return false;
	g_autoptr(GDateTime) time = g_date_time_new_utc(number(text, 4),
		number(text + 4, 2), number(text + 6, 2), number(text + 9, 2),
		number(text + 11, 2), number(text + 13, 2));
	if (!time)
		return false;
	*time_s = g_date_time_to_unix(time);
	return true;
}

static bool check_time(struct trial *trial)
{
	const char *date = value_of(trial, "X-Amz-Date");
	const char *expires = value_of(trial, "X-Amz-Expires");
	int64_t signed_s;
	if (!read_time(date, &signed_s))
		return refuse_query(trial,
			"X-Amz-Date must be in the ISO8601 Long Format "
			"\"yyyyMMdd'T'HHmmss'Z'\"");
	if (strlen(trial->scope[1]) != 8 || strncmp(trial->scope[1], date, 8))
		return refuse_query(trial,
			"Invalid credential date. This date is not the "
			"same as X-Amz-Date.");
	size_t digits = strlen(expires);
	if (!digits || !all_digits(expires, digits))
		return refuse_query(trial, "X-Amz-Expires should be a number");
	if (digits > 6 || number(expires, digits) > EXPIRES_MAX_S)
		return refuse_query(trial, "X-Amz-Expires must be less than a week (in "
					   "seconds); that is, the given X-Amz-Expires "
					   "must be less than 604800 seconds");
	if (!number(expires, digits))
		return refuse_query(trial, "X-Amz-Expires must be positive");
	trial->result->expires_s = (unsigned)number(expires, digits);
	trial->result->expires_at_s = signed_s + trial->result->expires_s;
	if (signed_s > trial->request->now_s + FUTURE_MAX_S)
		return refuse(trial, 403, "AccessDenied", "Request is not valid yet");
	if (trial->request->now_s > trial->result->expires_at_s)
		return refuse(trial, 403, "AccessDenied", "Request has expired");
	return true;
}

static bool check_key_id(struct trial *trial)
{
	if (value_of(trial, "X-Amz-Security-Token"))
		return refuse(trial, 400, "InvalidToken",
			"The provided token is malformed or otherwise invalid.");
	if (strcmp(trial->scope[0], trial->keys->access_key_id))
		return refuse(trial, 403, "InvalidAccessKeyId",
			"The AWS Access Key Id you provided does not exist in our "
			"records.");
	return true;
}

static bool check_signed_headers(struct trial *trial)
{
	trial->signed_headers = g_strsplit(
		value_of(trial, "X-Amz-SignedHeaders"), ";", SIGNED_HEADERS_MAX + 1);
	if (!g_strv_contains((const char *const *)trial->signed_headers, "host") ||
		g_strv_length(trial->signed_headers) > SIGNED_HEADERS_MAX)
		return refuse_query(trial, "X-Amz-SignedHeaders must name \"host\" and "
					   "at most 15 others");
	for (char **name = trial->signed_headers; *name; name++) {
		if (!trial->request->header(trial->request->context, *name))
			return refuse(trial, 403, "AccessDenied",
				"There were headers signed which are not in the request");
	}
	return true;
}

/* --- the signature --- */

static int compare_parameters(const void *a, const void *b)
{
	const struct parameter *x = *(const struct parameter *const *)a;
	const struct parameter *y = *(const struct parameter *const *)b;
	int names = strcmp(x->encoded_name, y->encoded_name);
	return names ? names : strcmp(x->encoded_value, y->encoded_value);
}

static void append_query(GString *out, struct trial *trial)
{
	g_ptr_array_sort(trial->parameters, compare_parameters);
	const char *separator = "";
	for (guint i = 0; i < trial->parameters->len; i++) {
		const struct parameter *parameter = trial->parameters->pdata[i];
		if (!strcmp(parameter->name, NOT_SIGNED))
			continue;
		g_string_append_printf(out, "%s%s=%s", separator, parameter->encoded_name,
			parameter->encoded_value);
		separator = "&";
	}
	g_string_append_c(out, '\n');
}

/* Without white space at its ends, and with one blank for each run of it. */
static void append_header(GString *out, const char *name, const char *value)
{
	g_string_append_printf(out, "%s:", name);
	size_t start = out->len;
	bool pending = false;
	for (; *value; value++) {
		if (*value == ' ' || *value == '\t') {
			pending = out->len > start;
			continue;
		}
		if (pending)
			g_string_append_c(out, ' ');
		pending = false;
		g_string_append_c(out, *value);
	}
	g_string_append_c(out, '\n');
}

static GString *canonical_request(struct trial *trial)
{
	const struct presigned_request *request = trial->request;
	const char *payload = value_of(trial, "X-Amz-Content-Sha256");
	GString *out = g_string_sized_new(1024);
	g_string_append_printf(out, "%s\n%s\n", request->method, trial->path);
	append_query(out, trial);
	for (char **name = trial->signed_headers; *name; name++)
		append_header(out, *name, request->header(request->context, *name));
	g_string_append_printf(out, "\n%s\n%s", value_of(trial, "X-Amz-SignedHeaders"),
		payload ? payload : "UNSIGNED-PAYLOAD");
	return out;
}

static void hex_of(
	const uint8_t digest[SHA256_DIGEST_LENGTH], char hex[SIGNATURE_LEN + 1])
{
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
		g_snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void mac(uint8_t digest[SHA256_DIGEST_LENGTH], const void *key, size_t key_bytes,
	const char *text)
{
	unsigned length = SHA256_DIGEST_LENGTH;
	uint8_t out[SHA256_DIGEST_LENGTH];
	bool done = HMAC(EVP_sha256(), key, (int)key_bytes, (const unsigned char *)text,
		strlen(text), out, &length);
	g_assert(done); /* fails only without memory */
	memcpy(digest, out, sizeof(out));
	OPENSSL_cleanse(out, sizeof(out));
}

static void sign(struct trial *trial, const char *text, char hex[SIGNATURE_LEN + 1])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char *secret = g_strconcat("AWS4", trial->keys->secret_access_key, NULL);
	mac(digest, secret, strlen(secret), trial->scope[1]);
	OPENSSL_cleanse(secret, strlen(secret));
	g_free(secret);
	for (size_t i = 2; i < 5; i++)
		mac(digest, digest, sizeof(digest), trial->scope[i]);
	mac(digest, digest, sizeof(digest), text);
	hex_of(digest, hex);
	OPENSSL_cleanse(digest, sizeof(digest));
}

static bool check_signature(struct trial *trial)
{
	g_autoptr(GString) canonical = canonical_request(trial);
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hash[SIGNATURE_LEN + 1], good[SIGNATURE_LEN + 1];
	SHA256((const unsigned char *)canonical->str, canonical->len, digest);
	hex_of(digest, hash);
	g_autofree char *text = g_strdup_printf(ALGORITHM "\n%s\n%s/%s/%s/%s\n%s",
		value_of(trial, "X-Amz-Date"), trial->scope[1], trial->scope[2],
		trial->scope[3], trial->scope[4], hash);
	sign(trial, text, good);
	const char *given = value_of(trial, "X-Amz-Signature");
	bool same = strlen(given) == SIGNATURE_LEN &&
		    !CRYPTO_memcmp(given, good, SIGNATURE_LEN);
	OPENSSL_cleanse(good, sizeof(good));
	return same ? true
		    : refuse(trial, 403, "SignatureDoesNotMatch",
			      "The request signature we calculated does not match the "
			      "signature you provided. Check your key and signing "
			      "method.");
}

/* --- what a good signature grants --- */

/* A header field's value in ISO-8859-1; NULL where it cannot be one. */
static char *field_value(const char *text)
{
	if (!g_utf8_validate(text, -1, NULL))
		return NULL;
	GString *value = g_string_new(NULL);
	for (; *text; text = g_utf8_next_char(text)) {
		gunichar c = g_utf8_get_char(text);
		if (c > 0xff || g_unichar_iscntrl(c)) {
			g_string_free(value, TRUE);
			return NULL;
		}
		g_string_append_c(value, (char)c);
	}
	return g_string_free(value, FALSE);
}

static bool read_overrides(struct trial *trial)
{
	if (has_doubles(trial, "response-"))
		return refuse(trial, 400, "InvalidArgument",
			"A response header was given more than once.");
	for (size_t i = 0; i < PRESIGNED_OVERRIDES; i++) {
		const char *value = value_of(trial, override_parameters[i]);
		if (!value)
			continue;
		trial->result->overrides[i] = field_value(value);
		if (!trial->result->overrides[i])
			return refuse(trial, 400, "InvalidArgument",
				"Header value cannot be represented using ISO-8859-1.");
	}
	return true;
}

static bool check_operation(struct trial *trial)
{
	for (size_t i = 0; i < G_N_ELEMENTS(subresources); i++) {
		if (value_of(trial, subresources[i]))
			return refuse(trial, 501, "NotImplemented",
				"A parameter you provided implies functionality that is "
				"not implemented.");
	}
	return true;
}

bool presigned_check(struct presigned *result, const struct presigned_request *request,
	const struct presigned_keys *keys)
{
	static bool (*const checks[])(struct trial *) = { check_target, check_presence,
		check_scope, check_time, check_key_id, check_signed_headers,
		check_signature, check_operation, read_overrides };
	*result = (struct presigned){ 0 };
	struct trial trial = { .request = request,
		.keys = keys,
		.result = result,
		.parameters = g_ptr_array_new_with_free_func(parameter_free) };
	bool granted = true;
	for (size_t i = 0; granted && i < G_N_ELEMENTS(checks); i++)
		granted = checks[i](&trial);
	g_ptr_array_unref(trial.parameters);
	g_free(trial.path);
	g_strfreev(trial.scope);
	g_strfreev(trial.signed_headers);
	return granted;
}

void presigned_deinit(struct presigned *result)
{
	g_clear_pointer(&result->bucket, g_free);
	g_clear_pointer(&result->key, g_free);
	for (size_t i = 0; i < PRESIGNED_OVERRIDES; i++)
		g_clear_pointer(&result->overrides[i], g_free);
}

bool presigned_key_is_plain(const char *key)
{
	size_t length = strlen(key);
	if (!length || length > KEY_BYTES ||
		strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789._/-") != length)
		return false;
	g_auto(GStrv) names = g_strsplit(key, "/", -1);
	for (char **name = names; *name; name++) {
		if (!**name || !strcmp(*name, ".") || !strcmp(*name, ".."))
			return false;
	}
	return true;
}
