/* Checks what will sign, and reads the JSON in which services and
 * programs hand it out. */
#include "s3/credential_set.h"
#include "s3/answer.h"
#include "s3/error.h"
#include <jansson.h>
#include <openssl/crypto.h>
#include <string.h>

/* A session token is about 1 KB; it goes into a header and a link. */
#define KEY_MAX_BYTES 8192

void s3_credentials_unref(struct s3_credentials *credentials)
{
	if (!credentials || !g_atomic_ref_count_dec(&credentials->references))
		return;
	sigv4_wipe((char *)credentials->keys.access_key_id);
	sigv4_wipe((char *)credentials->keys.secret_access_key);
	sigv4_wipe((char *)credentials->keys.session_token);
	g_free((char *)credentials->source);
	g_free(credentials);
}

struct s3_credentials *s3_credential_set_ref(struct s3_credentials *credentials)
{
	g_atomic_ref_count_inc(&credentials->references);
	return credentials;
}

/* Keys go into headers: whatever file or variable they came from,
 * nothing else may follow. */
static bool is_key(const char *text)
{
	size_t length = strlen(text);
	if (length == 0 || length > KEY_MAX_BYTES)
		return false;
	for (const char *p = text; *p; p++)
		if (!g_ascii_isgraph(*p))
			return false;
	return true;
}

static bool check_key(
	const char *what, const char *text, const char *source, GError **error)
{
	if (text && is_key(text))
		return true;
	if (!text)
		return s3_fail(error, S3_ERROR_MEND,
			"credentials from %s: no %s (it takes a key id and a secret)",
			source, what);
	return s3_fail(error, S3_ERROR_MEND,
		"credentials from %s: the %s is empty or not one word of plain ASCII",
		source, what);
}

struct s3_credentials *s3_credential_set_new(const char *id, const char *secret,
	const char *token, int64_t expires_at_s, const char *source, GError **error)
{
	if (!check_key("access key id", id, source, error) ||
		!check_key("secret access key", secret, source, error) ||
		(token && !check_key("session token", token, source, error)))
		return NULL;
	struct s3_credentials *credentials = g_new0(struct s3_credentials, 1);
	g_atomic_ref_count_init(&credentials->references);
	credentials->keys.access_key_id = g_strdup(id);
	credentials->keys.secret_access_key = g_strdup(secret);
	credentials->keys.session_token = g_strdup(token);
	credentials->expires_at_s = expires_at_s;
	credentials->source = g_strdup(source);
	return credentials;
}

bool s3_credential_set_parse_time(const char *text, int64_t *time_s)
{
	g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
	g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, utc);
	if (time)
		*time_s = g_date_time_to_unix(time);
	return time != NULL;
}

/* ---- JSON ---- */

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static bool check_json(
	const json_t *root, bool is_process, const char *source, GError **error)
{
	if (!json_is_object(root))
		return s3_fail(error, S3_ERROR_MEND,
			"credentials from %s: its answer is no JSON object", source);
	if (is_process && json_integer_value(json_object_get(root, "Version")) != 1)
		return s3_fail(error, S3_ERROR_MEND,
			"credentials from %s: its output must say \"Version\": 1",
			source);
	const char *code = member(root, "Code");
	if (!code || strcmp(code, "Success") == 0)
		return true;
	char clean[64];
	s3_answer_set(clean, sizeof(clean), code, strlen(code));
	return s3_fail(
		error, S3_ERROR_RETRY, "credentials from %s: it says %s", source, clean);
}

static bool read_expiration(const json_t *root, bool is_process, const char *source,
	int64_t *expires_at_s, GError **error)
{
	const json_t *given = json_object_get(root, "Expiration");
	const char *text = json_string_value(given);
	bool is_missing = !given || json_is_null(given);
	*expires_at_s = 0;
	if (text ? s3_credential_set_parse_time(text, expires_at_s)
		 : is_missing && is_process)
		return true;
	return s3_fail(error, S3_ERROR_MEND, "credentials from %s: Expiration is %s",
		source, is_missing ? "missing" : "no time like 2026-01-31T12:00:00Z");
}

static struct s3_credentials *read_json(
	const json_t *root, bool is_process, const char *source, GError **error)
{
	int64_t expires_at_s;
	if (!check_json(root, is_process, source, error) ||
		!read_expiration(root, is_process, source, &expires_at_s, error))
		return NULL;
	return s3_credential_set_new(member(root, "AccessKeyId"),
		member(root, "SecretAccessKey"),
		member(root, is_process ? "SessionToken" : "Token"), expires_at_s, source,
		error);
}

/* jansson frees its texts as they are. */
static void wipe_members(json_t *root)
{
	const char *name;
	json_t *value;
	json_object_foreach(root, name, value) if (json_is_string(value)) OPENSSL_cleanse(
		(char *)json_string_value(value), json_string_length(value));
}

struct s3_credentials *s3_credential_set_parse(const char *json, size_t json_bytes,
	bool is_process, const char *source, GError **error)
{
	json_t *root = json_loadb(json, json_bytes, JSON_REJECT_DUPLICATES, NULL);
	struct s3_credentials *credentials = read_json(root, is_process, source, error);
	if (root)
		wipe_members(root);
	json_decref(root);
	return credentials;
}
