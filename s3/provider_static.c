/* Keys that are known: from the settings and from the environment, each as text or in a
 * file. */
#include "s3/credential_file.h"
#include "s3/credential_set.h"
#include "s3/provider_kinds.h"

static const struct s3_provider_kind known_keys = { .load = NULL };

struct s3_provider *s3_provider_of_keys(struct s3_credentials *credentials)
{
	if (!credentials)
		return NULL;
	struct s3_provider *provider = s3_provider_new(&known_keys, credentials->source);
	provider->keys = credentials;
	return provider;
}

/* ---- the settings ---- */

static bool given(const char *text)
{
	return text && *text;
}

bool s3_provider_settings_given(const struct s3_settings *s)
{
	return given(s->access_key_id) || given(s->access_key_id_file) ||
	       given(s->secret_access_key) || given(s->secret_access_key_file);
}

struct s3_provider *s3_provider_settings(
	const struct s3_settings *s, GArray *files, GError **error)
{
	static const char source[] = "the settings";
	g_autoptr(secret_text) id = NULL, secret = NULL, token = NULL;
	if (!s3_credential_value(
		    files, s->access_key_id, s->access_key_id_file, source, &id, error) ||
		!s3_credential_value(files, s->secret_access_key,
			s->secret_access_key_file, source, &secret, error) ||
		!s3_credential_value(files, s->session_token, s->session_token_file,
			source, &token, error))
		return NULL;
	return s3_provider_of_keys(
		s3_credential_set_new(id, secret, token, 0, source, error));
}

/* ---- the environment ---- */

bool s3_provider_environment_given(void)
{
	return s3_provider_variable("AWS_ACCESS_KEY_ID") ||
	       s3_provider_variable("AWS_ACCESS_KEY_ID_FILE") ||
	       s3_provider_variable("AWS_SECRET_ACCESS_KEY") ||
	       s3_provider_variable("AWS_SECRET_ACCESS_KEY_FILE");
}

struct s3_provider *s3_provider_environment(GArray *files, GError **error)
{
	static const char source[] = "the environment";
	g_autoptr(secret_text) id = NULL, secret = NULL, token = NULL;
	if (!s3_credential_value(files, g_getenv("AWS_ACCESS_KEY_ID"),
		    g_getenv("AWS_ACCESS_KEY_ID_FILE"), source, &id, error) ||
		!s3_credential_value(files, g_getenv("AWS_SECRET_ACCESS_KEY"),
			g_getenv("AWS_SECRET_ACCESS_KEY_FILE"), source, &secret, error) ||
		!s3_credential_value(files, g_getenv("AWS_SESSION_TOKEN"),
			g_getenv("AWS_SESSION_TOKEN_FILE"), source, &token, error))
		return NULL;
	const char *expiration = s3_provider_variable("AWS_CREDENTIAL_EXPIRATION");
	int64_t expires_at_s = 0;
	if (expiration && !s3_credential_set_parse_time(expiration, &expires_at_s))
		return s3_provider_refuse(source, error,
			"AWS_CREDENTIAL_EXPIRATION is no time like "
			"2026-01-31T12:00:00Z");
	return s3_provider_of_keys(
		s3_credential_set_new(id, secret, token, expires_at_s, source, error));
}
