/* The store: settings checked once, then one of two ways to keep
 * objects, one way to link. */
#include "s3/client.h"
#include "s3/directory.h"
#include "s3/error.h"
#include "s3/name.h"
#include "s3/presign.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_DEFAULT        8
#define CONNECTIONS_MAX            256
#define CONNECT_TIMEOUT_DEFAULT_MS 10000
#define STALL_TIMEOUT_DEFAULT_MS   30000
#define TIMEOUT_MAX_MS             3600000
#define ATTEMPTS_DEFAULT           3
#define ATTEMPTS_MAX               10
#define PREFIX_MAX_BYTES           512

struct s3_store {
	struct s3_settings
		settings; /* defaults filled in; strings are the settings' own */
	const char *bucket, *region;
	char *access_key_id, *secret_access_key; /* of a directory, else NULL */
	struct s3_endpoint endpoint;
	struct s3_credentials_chain *credentials;
	struct sigv4_signer *signer;
	struct s3_client *client; /* NULL: a directory */
};

/* ---- settings ---- */

static const char *environment_region(void)
{
	const char *region = g_getenv("AWS_REGION");
	return region && *region ? region : g_getenv("AWS_DEFAULT_REGION");
}

static bool check_number(unsigned *number, unsigned otherwise, unsigned max,
	const char *name, GError **error)
{
	if (*number == 0)
		*number = otherwise;
	return *number <= max ||
	       s3_fail(error, S3_ERROR_CONFIG, "s3: %s must be 1 to %u", name, max);
}

static bool check_numbers(struct s3_settings *s, GError **error)
{
	return check_number(&s->connections, CONNECTIONS_DEFAULT, CONNECTIONS_MAX,
		       "connections", error) &&
	       check_number(&s->connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS,
		       TIMEOUT_MAX_MS, "connect_timeout (in ms)", error) &&
	       check_number(&s->stall_timeout_ms, STALL_TIMEOUT_DEFAULT_MS,
		       TIMEOUT_MAX_MS, "stall_timeout (in ms)", error) &&
	       check_number(
		       &s->attempts, ATTEMPTS_DEFAULT, ATTEMPTS_MAX, "attempts", error);
}

static bool check_prefix(const char *prefix, GError **error)
{
	if (!prefix || !*prefix)
		return true;
	if (s3_name_is_key(prefix) && strlen(prefix) <= PREFIX_MAX_BYTES)
		return true;
	return s3_fail(error, S3_ERROR_CONFIG,
		"s3: prefix \"%s\" must be of A-Z, a-z, 0-9, \".\", \"_\", \"-\" and "
		"single \"/\" within, at most %d long",
		prefix, PREFIX_MAX_BYTES);
}

static bool check_ca_file(const char *ca_file, GError **error)
{
	if (!ca_file || access(ca_file, R_OK) == 0)
		return true;
	return s3_fail(
		error, S3_ERROR_CONFIG, "s3: ca_file %s: %s", ca_file, g_strerror(errno));
}

static bool check_settings(struct s3_settings *s, GError **error)
{
	if (s->directory && !s->directory_url)
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: a directory needs the URL at which it is served");
	return check_numbers(s, error) && check_prefix(s->prefix, error) &&
	       check_ca_file(s->ca_file, error);
}

/* ---- the two ways ---- */

/* Credentials of the kinds that need no network are known now, so
 * a mistake is one now. */
static bool check_credentials(struct s3_store *store, GError **error)
{
	g_autoptr(GError) cause = NULL;
	struct s3_credentials *credentials =
		s3_credentials_chain_get(store->credentials, (int64_t)time(NULL), &cause);
	if (!credentials)
		return s3_fail(error, S3_ERROR_CONFIG, "s3: %s", cause->message);
	s3_credentials_unref(credentials);
	return true;
}

static bool open_bucket(struct s3_store *store, GError **error)
{
	const struct s3_settings *s = &store->settings;
	store->bucket = s->bucket;
	store->region = s->region ? s->region : environment_region();
	/* Most stores other than Amazon's take this one, whatever they are. */
	if (!store->region && s->endpoint)
		store->region = "us-east-1";
	if (!s3_endpoint_init(&store->endpoint, s->endpoint, store->region, s->bucket,
		    s->path_style, error))
		return false;
	store->credentials = s3_credentials_chain_new(s);
	store->signer = sigv4_signer_new(store->region, "s3");
	if (!check_credentials(store, error))
		return false;
	const struct s3_client_settings client = {
		.endpoint = &store->endpoint,
		.bucket = store->bucket,
		.region = store->region,
		.signer = store->signer,
		.credentials = store->credentials,
		.ca_file = s->ca_file,
		.connections = s->connections,
		.connect_timeout_ms = s->connect_timeout_ms,
		.stall_timeout_ms = s->stall_timeout_ms,
		.attempts = s->attempts,
	};
	store->client = s3_client_new(&client, error);
	return store->client != NULL;
}

static bool open_directory(struct s3_store *store, GError **error)
{
	struct s3_settings *s = &store->settings;
	store->bucket = s->bucket ? s->bucket : S3_DIRECTORY_BUCKET;
	store->region = s->region ? s->region : S3_DIRECTORY_REGION;
	if (!s3_endpoint_init(&store->endpoint, s->directory_url, store->region,
		    store->bucket, true, error) ||
		!s3_directory_prepare(s->directory, error) ||
		!s3_directory_credentials(s->directory, &store->access_key_id,
			&store->secret_access_key, error))
		return false;
	s->access_key_id = store->access_key_id;
	s->secret_access_key = store->secret_access_key;
	s->session_token = s->session_token_file = NULL;
	store->credentials = s3_credentials_chain_new(s);
	store->signer = sigv4_signer_new(store->region, "s3");
	return true;
}

/* ---- the store ---- */

struct s3_store *s3_store_new(const struct s3_settings *settings, GError **error)
{
	struct s3_store *store = g_new0(struct s3_store, 1);
	store->settings = *settings;
	if (!check_settings(&store->settings, error) ||
		!(settings->directory ? open_directory(store, error)
				      : open_bucket(store, error)))
		s3_store_free(&store);
	return store;
}

void s3_store_free(struct s3_store **store)
{
	struct s3_store *gone = g_steal_pointer(store);
	if (!gone)
		return;
	s3_client_free(&gone->client);
	s3_credentials_chain_free(&gone->credentials);
	sigv4_signer_free(&gone->signer);
	s3_endpoint_deinit(&gone->endpoint);
	sigv4_wipe(gone->secret_access_key);
	g_free(gone->access_key_id);
	g_free(gone);
}

const char *s3_store_bucket(const struct s3_store *store)
{
	return store->bucket;
}

const char *s3_store_region(const struct s3_store *store)
{
	return store->region;
}

static bool put_in_directory(const char *directory, const struct s3_object *objects,
	size_t n_objects, GError **error)
{
	for (size_t i = 0; i < n_objects; i++) {
		if (s3_directory_put(directory, &objects[i], error))
			continue;
		g_prefix_error(error, "object %s: ", objects[i].key);
		return false;
	}
	return true;
}

bool s3_store_put(struct s3_store *store, const struct s3_object *objects,
	size_t n_objects, GError **error)
{
	if (store->client)
		return s3_client_put(store->client, objects, n_objects, error);
	return put_in_directory(store->settings.directory, objects, n_objects, error);
}

char *s3_store_presign(struct s3_store *store, const char *key, const char *file_name,
	const char *media_type, int64_t now_s, unsigned expiry_s, int64_t *expires_at_s,
	GError **error)
{
	struct s3_credentials *credentials =
		s3_credentials_chain_get(store->credentials, now_s, error);
	if (!credentials)
		return NULL;
	char *url = s3_presign_url(&store->endpoint, store->signer, credentials, key,
		file_name, media_type, now_s, expiry_s, expires_at_s, error);
	s3_credentials_unref(credentials);
	return url;
}
