/* Signature Version 4: canonical request, string to sign, signing key, signature. Who the
 * keys belong to and where the request goes is the callers' business. */
#include "s3/sigv4.h"
#include "s3/digest.h"
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define DATE_BYTES 9 /* "20130524" and its NUL */

struct sigv4_signer {
	char *region, *service;
	GMutex lock;
	/* The signing key and what it was derived from. */
	char *secret;
	char date[DATE_BYTES];
	uint8_t key[S3_SHA256_BYTES];
};

/* A pair in the form that is hashed; index keeps equal header names in their order. */
struct canonical_pair {
	char *name, *value;
	size_t index;
};

struct sigv4_signer *sigv4_signer_new(const char *region, const char *service)
{
	struct sigv4_signer *signer = g_new0(struct sigv4_signer, 1);
	signer->region = g_strdup(region);
	signer->service = g_strdup(service);
	g_mutex_init(&signer->lock);
	return signer;
}

void sigv4_wipe(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	g_free(secret);
}

void sigv4_signer_free(struct sigv4_signer **signer)
{
	if (!*signer)
		return;
	sigv4_wipe((*signer)->secret);
	OPENSSL_cleanse((*signer)->key, sizeof((*signer)->key));
	g_mutex_clear(&(*signer)->lock);
	g_free((*signer)->region);
	g_free((*signer)->service);
	g_free(*signer);
	*signer = NULL;
}

void sigv4_format_time(int64_t time_s, char out[SIGV4_TIME_BYTES])
{
	struct tm tm;
	time_t t = (time_t)CLAMP(time_s, 0, INT64_C(253402300799));
	gmtime_r(&t, &tm);
	strftime(out, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_append_encoded(GString *out, const char *text, bool keep_slashes)
{
	static const char hex[16] = "0123456789ABCDEF";
	for (const char *p = text; *p; p++) {
		uint8_t c = (uint8_t)*p;
		if (g_ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~' ||
			(c == '/' && keep_slashes)) {
			g_string_append_c(out, (char)c);
		} else {
			char encoded[3] = { '%', hex[c >> 4], hex[c & 15] };
			g_string_append_len(out, encoded, sizeof(encoded));
		}
	}
}

static char *encoded(const char *text)
{
	GString *out = g_string_sized_new(strlen(text) + 16);
	sigv4_append_encoded(out, text, false);
	return g_string_free(out, FALSE);
}

void sigv4_hex(const uint8_t digest[32], char out[65])
{
	static const char hex[16] = "0123456789abcdef";
	for (size_t i = 0; i < 32; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	out[64] = '\0';
}

static void append_hex(GString *out, const uint8_t digest[S3_SHA256_BYTES])
{
	char text[65];
	sigv4_hex(digest, text);
	g_string_append(out, text);
}

static void derive_key(struct sigv4_signer *signer, const char *secret, const char *date)
{
	sigv4_wipe(signer->secret);
	signer->secret = g_strdup(secret);
	memcpy(signer->date, date, DATE_BYTES);

	char *start = g_strconcat("AWS4", secret, NULL);
	s3_hmac_sha256(start, strlen(start), date, signer->key);
	sigv4_wipe(start);
	s3_hmac_sha256(signer->key, sizeof(signer->key), signer->region, signer->key);
	s3_hmac_sha256(signer->key, sizeof(signer->key), signer->service, signer->key);
	s3_hmac_sha256(signer->key, sizeof(signer->key), "aws4_request", signer->key);
}

static void get_key(struct sigv4_signer *signer, const char *secret, const char *date,
	uint8_t key[S3_SHA256_BYTES])
{
	g_mutex_lock(&signer->lock);
	if (!signer->secret || strcmp(signer->date, date) != 0 ||
		strcmp(signer->secret, secret) != 0)
		derive_key(signer, secret, date);
	memcpy(key, signer->key, S3_SHA256_BYTES);
	g_mutex_unlock(&signer->lock);
}

static void clear_pair(gpointer data)
{
	struct canonical_pair *pair = data;
	g_free(pair->name);
	g_free(pair->value);
}

static GArray *new_pairs(size_t n)
{
	GArray *pairs =
		g_array_sized_new(FALSE, FALSE, sizeof(struct canonical_pair), (guint)n);
	g_array_set_clear_func(pairs, clear_pair);
	return pairs;
}

/* Takes name and value. */
static void add_pair(GArray *pairs, char *name, char *value)
{
	struct canonical_pair pair = { name, value, pairs->len };
	g_array_append_val(pairs, pair);
}

static const struct canonical_pair *pair_at(const GArray *pairs, size_t i)
{
	return &g_array_index(pairs, struct canonical_pair, i);
}

static int compare_headers(gconstpointer a, gconstpointer b)
{
	const struct canonical_pair *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_parameters(gconstpointer a, gconstpointer b)
{
	const struct canonical_pair *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->value, y->value);
}

/* Blanks at the ends go, runs of them within become one space. */
static char *header_value(const char *value)
{
	GString *out = g_string_sized_new(strlen(value) + 1);
	for (const char *p = value; *p; p++) {
		if (!g_ascii_isspace(*p))
			g_string_append_c(out, *p);
		else if (out->len && p[1] && !g_ascii_isspace(p[1]))
			g_string_append_c(out, ' ');
	}
	return g_string_free(out, FALSE);
}

static void add_header(GArray *headers, const char *name, const char *value)
{
	add_pair(headers, g_ascii_strdown(name, -1), header_value(value ? value : ""));
}

static GArray *canonical_headers(const struct sigv4_request *request, size_t n_more)
{
	GArray *headers = new_pairs(request->n_headers + n_more);
	add_header(headers, "host", request->host);
	for (size_t i = 0; i < request->n_headers; i++)
		add_header(headers, request->headers[i].name, request->headers[i].value);
	return headers;
}

static void add_parameter(GArray *query, const char *name, const char *value)
{
	add_pair(query, encoded(name), encoded(value ? value : ""));
}

static GArray *canonical_query(const struct sigv4_request *request, size_t n_more)
{
	GArray *query = new_pairs(request->n_query + n_more);
	for (size_t i = 0; i < request->n_query; i++)
		add_parameter(query, request->query[i].name, request->query[i].value);
	return query;
}

static void append_query(GString *out, const GArray *query)
{
	for (size_t i = 0; i < query->len; i++) {
		if (i)
			g_string_append_c(out, '&');
		g_string_append(out, pair_at(query, i)->name);
		g_string_append_c(out, '=');
		g_string_append(out, pair_at(query, i)->value);
	}
}

static bool repeats_name(const GArray *headers, size_t i)
{
	return i && strcmp(pair_at(headers, i)->name, pair_at(headers, i - 1)->name) == 0;
}

/* headers sorted: "host;x-amz-date" */
static void append_signed_headers(GString *out, const GArray *headers)
{
	for (size_t i = 0; i < headers->len; i++) {
		if (repeats_name(headers, i))
			continue;
		if (i)
			g_string_append_c(out, ';');
		g_string_append(out, pair_at(headers, i)->name);
	}
}

/* headers sorted: "host:example.com\n..."; values of one name are joined by commas. */
static void append_headers(GString *out, const GArray *headers)
{
	for (size_t i = 0; i < headers->len; i++) {
		if (repeats_name(headers, i)) {
			g_string_append_c(out, ',');
		} else {
			if (i)
				g_string_append_c(out, '\n');
			g_string_append(out, pair_at(headers, i)->name);
			g_string_append_c(out, ':');
		}
		g_string_append(out, pair_at(headers, i)->value);
	}
	g_string_append_c(out, '\n');
}

static void digest_request(const struct sigv4_request *request, const GArray *query,
	const GArray *headers, uint8_t digest[S3_SHA256_BYTES])
{
	GString *text = g_string_sized_new(1536);
	g_string_append(text, request->method);
	g_string_append_c(text, '\n');
	sigv4_append_encoded(text, request->path, true);
	g_string_append_c(text, '\n');
	append_query(text, query);
	g_string_append_c(text, '\n');
	append_headers(text, headers);
	g_string_append_c(text, '\n');
	append_signed_headers(text, headers);
	g_string_append_c(text, '\n');
	g_string_append(text, request->payload_sha256);
	s3_sha256(text->str, text->len, digest);
	g_string_free(text, TRUE);
}

static char *scope_of(const struct sigv4_signer *signer, const char *time)
{
	return g_strdup_printf(
		"%.8s/%s/%s/aws4_request", time, signer->region, signer->service);
}

static void append_signature(GString *out, struct sigv4_signer *signer,
	const char *secret, const char *time, const char *scope,
	const uint8_t request[S3_SHA256_BYTES])
{
	g_autoptr(GString) text = g_string_sized_new(256);
	g_string_append_printf(text, ALGORITHM "\n%s\n%s\n", time, scope);
	append_hex(text, request);

	char date[DATE_BYTES];
	uint8_t key[S3_SHA256_BYTES], signature[S3_SHA256_BYTES];
	g_strlcpy(date, time, sizeof(date));
	get_key(signer, secret, date, key);
	s3_hmac_sha256(key, sizeof(key), text->str, signature);
	OPENSSL_cleanse(key, sizeof(key));
	append_hex(out, signature);
}

char *sigv4_authorization(struct sigv4_signer *signer, const struct sigv4_keys *keys,
	const struct sigv4_request *request, int64_t time_s)
{
	char time[SIGV4_TIME_BYTES];
	sigv4_format_time(time_s, time);
	g_autofree char *scope = scope_of(signer, time);

	g_autoptr(GArray) query = canonical_query(request, 0);
	g_array_sort(query, compare_parameters);
	g_autoptr(GArray) headers = canonical_headers(request, 3);
	add_header(headers, "x-amz-date", time);
	if (keys->session_token)
		add_header(headers, "x-amz-security-token", keys->session_token);
	g_array_sort(headers, compare_headers);

	uint8_t digest[S3_SHA256_BYTES];
	digest_request(request, query, headers, digest);

	GString *out = g_string_sized_new(384);
	g_string_append_printf(out,
		ALGORITHM " Credential=%s/%s, SignedHeaders=", keys->access_key_id,
		scope);
	append_signed_headers(out, headers);
	g_string_append(out, ", Signature=");
	append_signature(out, signer, keys->secret_access_key, time, scope, digest);
	return g_string_free(out, FALSE);
}

static void add_presign_parameters(GArray *query, const struct sigv4_keys *keys,
	const GArray *headers, const char *time, const char *scope, unsigned expiry_s)
{
	g_autofree char *credential = g_strconcat(keys->access_key_id, "/", scope, NULL);
	g_autofree char *expires = g_strdup_printf("%u", expiry_s);
	g_autoptr(GString) names = g_string_new(NULL);
	append_signed_headers(names, headers);

	add_parameter(query, "X-Amz-Algorithm", ALGORITHM);
	add_parameter(query, "X-Amz-Credential", credential);
	add_parameter(query, "X-Amz-Date", time);
	add_parameter(query, "X-Amz-Expires", expires);
	add_parameter(query, "X-Amz-SignedHeaders", names->str);
	if (keys->session_token)
		add_parameter(query, "X-Amz-Security-Token", keys->session_token);
}

char *sigv4_presigned_query(struct sigv4_signer *signer, const struct sigv4_keys *keys,
	const struct sigv4_request *request, int64_t time_s, unsigned expiry_s)
{
	char time[SIGV4_TIME_BYTES];
	sigv4_format_time(time_s, time);
	g_autofree char *scope = scope_of(signer, time);

	g_autoptr(GArray) headers = canonical_headers(request, 1);
	g_array_sort(headers, compare_headers);
	g_autoptr(GArray) query = canonical_query(request, 6);
	add_presign_parameters(query, keys, headers, time, scope, expiry_s);
	g_array_sort(query, compare_parameters);

	uint8_t digest[S3_SHA256_BYTES];
	digest_request(request, query, headers, digest);

	GString *out = g_string_sized_new(768);
	append_query(out, query);
	g_string_append(out, "&X-Amz-Signature=");
	append_signature(out, signer, keys->secret_access_key, time, scope, digest);
	return g_string_free(out, FALSE);
}
