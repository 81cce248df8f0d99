/* The store: settings checked once, then one of two ways to keep
 * objects, one way to link. */
#include "s3/ambient.h"
#include "s3/client.h"
#include "s3/directory.h"
#include "s3/error.h"
#include "s3/links.h"
#include "s3/name.h"
#include "s3/retention.h"
#include "s3/transfer.h"
#include "s3/upload.h"
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
	/* defaults filled in; strings are the settings' own, or ambient's */
	struct s3_settings settings;
	struct s3_ambient *ambient;
	const char *bucket;
	char *access_key_id, *secret_access_key; /* of a directory, else NULL */
	struct s3_site *site;
	struct s3_plan plan; /* of a bucket */
	struct s3_credentials_chain *credentials;
	struct s3_client *client; /* NULL: a directory */
	struct s3_directory *directory;
	struct s3_links *links;
	struct s3_retention *retention; /* NULL: a directory */
	gint has_looked_at_lock;
};

/* ---- settings ---- */

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
static bool check_credentials(struct s3_credentials_chain *chain, GError **error)
{
	g_autoptr(GError) cause = NULL;
	if (s3_credentials_chain_check(chain, (int64_t)time(NULL), &cause))
		return true;
	return s3_fail(error, S3_ERROR_CONFIG, "s3: %s", cause->message);
}

static struct s3_client_settings client_settings(const struct s3_store *store)
{
	const struct s3_settings *s = &store->settings;
	return (struct s3_client_settings){
		.site = store->site,
		.credentials = store->credentials,
		.ca_file = s->ca_file,
		.connections = s->connections,
		.connect_timeout_ms = s->connect_timeout_ms,
		.stall_timeout_ms = s->stall_timeout_ms,
		.attempts = s->attempts,
	};
}

static bool open_links(struct s3_store *store, GError **error)
{
	const struct s3_links_basis basis = {
		.settings = &store->settings,
		.region = s3_site_place(store->site)->region,
		.uploads = store->credentials,
	};
	store->links = s3_links_new(&basis, error);
	if (!store->links)
		return false;
	struct s3_credentials_chain *own = s3_links_credentials(store->links);
	if (!own || own == store->credentials || check_credentials(own, error))
		return true;
	g_prefix_error(error, "links: ");
	return false;
}

static bool is_tls(const struct s3_store *store)
{
	return g_str_has_prefix(s3_site_place(store->site)->endpoint.origin, "https:");
}

static bool open_site(struct s3_store *store, const char *region, GError **error)
{
	const struct s3_settings *s = &store->settings;
	const struct s3_address address = {
		.url = s->directory ? s->directory_url : s->endpoint,
		.region = region,
		.bucket = store->bucket,
		.path_style = s->path_style || s->directory,
		.dual_stack = s->dual_stack,
		.fips = s->fips,
	};
	store->site = s3_site_new(&address, error);
	return store->site != NULL;
}

static void open_retention(struct s3_store *store)
{
	const struct s3_retention_basis basis = {
		.site = store->site,
		.links = s3_links_credentials(store->links),
		.uploads = store->credentials,
		.ca_file = store->settings.ca_file,
		.prefix = store->settings.prefix,
		.tags = store->settings.tags,
	};
	store->retention = s3_retention_new(&basis);
}

static bool open_bucket(struct s3_store *store, GError **error)
{
	const struct s3_settings *s = &store->settings;
	store->bucket = s->bucket;
	const char *region = s->region;
	/* Most stores other than Amazon's take this one, whatever they are. */
	if (!region && s->endpoint)
		region = "us-east-1";
	if (!open_site(store, region, error) ||
		!s3_plan_init(&store->plan, s, s3_site_is_amazon(store->site),
			is_tls(store), error))
		return false;
	store->credentials = s3_credentials_chain_new(s);
	if (!check_credentials(store->credentials, error) || !open_links(store, error))
		return false;
	open_retention(store);
	const struct s3_client_settings client = client_settings(store);
	store->client = s3_client_new(&client, error);
	return store->client != NULL;
}

static bool open_directory(struct s3_store *store, GError **error)
{
	struct s3_settings *s = &store->settings;
	store->bucket = s->bucket ? s->bucket : S3_DIRECTORY_BUCKET;
	if (!open_site(store, s->region ? s->region : S3_DIRECTORY_REGION, error))
		return false;
	store->directory = s3_directory_open(
		s->directory, s->directory_max_bytes, s->directory_min_free_bytes, error);
	if (!store->directory ||
		!s3_directory_credentials(s->directory, &store->access_key_id,
			&store->secret_access_key, error))
		return false;
	s->access_key_id = store->access_key_id;
	s->secret_access_key = store->secret_access_key;
	s->session_token = s->session_token_file = NULL;
	store->credentials = s3_credentials_chain_new(s);
	return open_links(store, error);
}

/* ---- the store ---- */

static bool fill_in(struct s3_store *store, GError **error)
{
	store->ambient = s3_ambient_new(&store->settings, error);
	if (!store->ambient)
		return false;
	s3_ambient_apply(store->ambient, &store->settings);
	return true;
}

const char *const *s3_store_ambient(const struct s3_store *store)
{
	return s3_ambient_words(store->ambient);
}

char **s3_settings_ambient(const struct s3_settings *settings, GError **error)
{
	struct s3_ambient *ambient = s3_ambient_new(settings, error);
	if (!ambient)
		return NULL;
	char **words = g_strdupv((char **)s3_ambient_words(ambient));
	s3_ambient_free(&ambient);
	return words;
}

struct s3_store *s3_store_new(const struct s3_settings *settings, GError **error)
{
	struct s3_store *store = g_new0(struct s3_store, 1);
	store->settings = *settings;
	if (!fill_in(store, error) || !check_settings(&store->settings, error) ||
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
	s3_retention_free(&gone->retention);
	s3_client_free(&gone->client);
	s3_directory_close(&gone->directory);
	s3_links_free(&gone->links);
	s3_credentials_chain_free(&gone->credentials);
	s3_plan_deinit(&gone->plan);
	s3_site_free(&gone->site);
	s3_ambient_free(&gone->ambient);
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
	return s3_site_place(store->site)->region;
}

static bool put_in_directory(struct s3_directory *directory,
	const struct s3_object *objects, size_t n_objects, GError **error)
{
	for (size_t i = 0; i < n_objects; i++) {
		if (s3_directory_put(directory, &objects[i], error))
			continue;
		g_prefix_error(error, "object %s: ", objects[i].key);
		return false;
	}
	return true;
}

/* With the credentials of links, if there are such. The transfer's
 * error is the caller's. */
static bool look(struct s3_store *store, const char *key, struct s3_transfer *transfer)
{
	struct s3_headers headers = { 0 };
	s3_headers_common(&headers, &store->plan);
	*transfer = (struct s3_transfer){
		.action = S3_HEAD,
		.key = key,
		.credentials = s3_links_credentials(store->links),
		.headers = headers.pairs,
		.n_headers = headers.n,
		.payload_sha256 = S3_EMPTY_SHA256,
	};
	bool found = s3_client_run(store->client, transfer);
	s3_headers_clear(&headers);
	return found;
}

/* Amazon refuses what it cannot lock. Others may leave the word aside, and then do not
 * say it back. */
static void look_at_lock(struct s3_store *store, const char *key)
{
	struct s3_transfer transfer;
	if (store->settings.lock == S3_LOCK_NONE || s3_site_is_amazon(store->site) ||
		!g_atomic_int_compare_and_exchange(&store->has_looked_at_lock, 0, 1))
		return;
	bool seen = look(store, key, &transfer);
	if (!seen && g_error_matches(transfer.error, S3_ERROR, S3_ERROR_RETRY))
		g_atomic_int_set(&store->has_looked_at_lock, 0);
	else if (!seen)
		g_warning("whether the store of bucket %s locks what it is to "
			  "(s3.object_lock) cannot be seen: %s",
			store->bucket, transfer.error->message);
	else if (!*transfer.answer.lock)
		g_warning(
			"the store of bucket %s does not say that it has locked what "
			"it was to (s3.object_lock): see whether it can; some tell only "
			"a key of links that has s3:GetObjectRetention",
			store->bucket);
	g_clear_error(&transfer.error);
}

bool s3_store_put(struct s3_store *store, const struct s3_object *objects,
	size_t n_objects, GError **error)
{
	if (!store->client)
		return put_in_directory(store->directory, objects, n_objects, error);
	if (!s3_upload(store->client, &store->plan, objects, n_objects, error))
		return false;
	if (n_objects > 0)
		look_at_lock(store, objects[0].key);
	return true;
}

char *s3_store_presign(struct s3_store *store, const char *key, const char *file_name,
	const char *media_type, int64_t now_s, unsigned expiry_s, int64_t *expires_at_s,
	GError **error)
{
	const struct s3_place *place = s3_site_place(store->site);
	/* The server's clock is the one that ends a link. */
	const struct s3_link link = { key, file_name, media_type,
		s3_site_time_s(store->site, now_s), expiry_s };
	return s3_links_url(store->links, &place->endpoint, place->signer, &link,
		expires_at_s, error);
}

char *s3_store_link_warning(struct s3_store *store, int64_t now_s, unsigned expiry_s)
{
	return s3_links_warning(store->links, now_s, expiry_s);
}

void s3_store_watch_lifecycle(struct s3_store *store, unsigned expiry_s)
{
	if (store->retention)
		s3_retention_watch(store->retention, expiry_s);
}

void s3_store_ask_lifecycle(struct s3_store *store)
{
	if (store->retention)
		s3_retention_ask(store->retention);
}

int64_t s3_store_kept_s(struct s3_store *store, const char *key, int64_t stored_s)
{
	return store->retention ? s3_retention_kept_s(store->retention, key, stored_s)
				: 0;
}

enum s3_presence s3_store_find(struct s3_store *store, const char *key, GError **error)
{
	if (!s3_name_is_key(key)) {
		s3_fail_about(error, S3_SUBJECT_OBJECT, "\"%s\" cannot be a key", key);
		return S3_UNKNOWN;
	}
	if (!store->client)
		return s3_directory_find(store->settings.directory, key, error);
	struct s3_transfer transfer;
	enum s3_presence presence = S3_UNKNOWN;
	if (look(store, key, &transfer))
		presence = S3_PRESENT;
	else if (transfer.answer.status == 404)
		presence = S3_ABSENT;
	if (presence == S3_UNKNOWN)
		g_propagate_error(error, transfer.error);
	else
		g_clear_error(&transfer.error);
	return presence;
}

bool s3_store_delete(struct s3_store *store, const char *key, GError **error)
{
	if (!s3_name_is_key(key))
		return s3_fail_about(
			error, S3_SUBJECT_OBJECT, "\"%s\" cannot be a key", key);
	if (!store->client)
		return s3_directory_delete(store->settings.directory, key, error);
	struct s3_headers headers = { 0 };
	s3_headers_common(&headers, &store->plan);
	struct s3_transfer transfer = {
		.action = S3_DELETE,
		.key = key,
		.headers = headers.pairs,
		.n_headers = headers.n,
		.payload_sha256 = S3_EMPTY_SHA256,
	};
	if (s3_client_run(store->client, &transfer))
		return true;
	if (transfer.answer.status == 403)
		g_prefix_error(&transfer.error,
			"deleting takes s3:DeleteObject, which uploads do not need: ");
	g_propagate_error(error, transfer.error);
	return false;
}
