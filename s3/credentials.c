/* The chain of credential sources and the files behind it. Sources that ask
 * a service (IMDS, containers, STS) fit in as further rows of the table;
 * expiry is already honoured. */
#include "s3/credentials.h"
#include "s3/profile.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_FILE_MAX_BYTES ((size_t)64 << 10)
/* A session token is about 1 KB; it goes into a header and a link. */
#define KEY_MAX_BYTES 8192

/* A file as it was when it was read. */
struct watched {
	char *path;
	bool exists;
	struct stat stat;
};

struct s3_credentials_chain {
	const struct s3_settings *settings;
	GMutex lock;
	struct s3_credentials *current;
	GArray *watched; /* struct watched: files that current was made from */
};

static const char *given(const char *text)
{
	return text && *text ? text : NULL;
}

static const char *environment(const char *name)
{
	return given(g_getenv(name));
}

/* The value of a secret that g_autoptr wipes. */
typedef char secret_text;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(secret_text, sigv4_wipe)

void s3_credentials_unref(struct s3_credentials *credentials)
{
	if (!credentials || !g_atomic_ref_count_dec(&credentials->references))
		return;
	sigv4_wipe((char *)credentials->keys.access_key_id);
	sigv4_wipe((char *)credentials->keys.secret_access_key);
	sigv4_wipe((char *)credentials->keys.session_token);
	g_free(credentials);
}

static struct s3_credentials *s3_credentials_ref(struct s3_credentials *credentials)
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
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s: no %s (it takes a key id and a secret)",
			source, what);
	else
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s: the %s is empty or not one word of plain "
			"ASCII",
			source, what);
	return false;
}

static struct s3_credentials *make_credentials(const char *id, const char *secret,
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
	credentials->source = source;
	return credentials;
}

/* ---- files ---- */

static void clear_watched(gpointer data)
{
	g_free(((struct watched *)data)->path);
}

/* Before the file is read, so that a change in between is seen as one. */
static void watch(GArray *watched, const char *path)
{
	struct watched entry = { .path = g_strdup(path) };
	entry.exists = stat(path, &entry.stat) == 0;
	g_array_append_val(watched, entry);
}

static bool has_changed(const struct watched *entry)
{
	struct stat now;
	if (stat(entry->path, &now) < 0)
		return entry->exists;
	return !entry->exists || now.st_ino != entry->stat.st_ino ||
	       now.st_dev != entry->stat.st_dev || now.st_size != entry->stat.st_size ||
	       now.st_mtim.tv_sec != entry->stat.st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != entry->stat.st_mtim.tv_nsec;
}

static bool any_changed(const GArray *watched)
{
	for (size_t i = 0; i < watched->len; i++)
		if (has_changed(&g_array_index(watched, struct watched, i)))
			return true;
	return false;
}

/* At most max_bytes of fd; -1 with errno (EFBIG beyond that). */
static ssize_t read_up_to(int fd, char *buffer, size_t max_bytes)
{
	size_t length = 0;
	while (length <= max_bytes) {
		ssize_t n = read(fd, buffer + length, max_bytes + 1 - length);
		if (n == 0)
			return (ssize_t)length;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			length += (size_t)n;
	}
	errno = EFBIG;
	return -1;
}

/* The file's text, NUL-ended, and its length; NULL with errno. sigv4_wipe() it. */
static char *read_file(
	GArray *watched, const char *path, size_t max_bytes, size_t *length)
{
	watch(watched, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	char *buffer = g_malloc(max_bytes + 2);
	ssize_t n = read_up_to(fd, buffer, max_bytes);
	int saved = errno;
	close(fd);
	if (n < 0) {
		OPENSSL_cleanse(buffer, max_bytes + 2);
		g_free(buffer);
		errno = saved;
		return NULL;
	}
	char *text = g_memdup2(buffer, (size_t)n + 1);
	text[n] = '\0';
	OPENSSL_cleanse(buffer, (size_t)n);
	g_free(buffer);
	*length = (size_t)n;
	return text;
}

/* value itself, or what stands in file, or NULL in *out when neither is given. */
static bool value_or_file(GArray *watched, const char *value, const char *file,
	const char *source, char **out, GError **error)
{
	*out = NULL;
	if (given(value)) {
		*out = g_strdup(value);
		return true;
	}
	if (!given(file))
		return true;
	size_t length = 0;
	char *text = read_file(watched, file, SECRET_FILE_MAX_BYTES, &length);
	if (!text) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s: cannot read %s: %s", source, file,
			g_strerror(errno));
		return false;
	}
	*out = g_strchomp(text);
	return true;
}

/* ---- sources ---- */

static bool settings_given(const struct s3_settings *s, GArray *watched)
{
	(void)watched;
	return given(s->access_key_id) || given(s->access_key_id_file) ||
	       given(s->secret_access_key) || given(s->secret_access_key_file);
}

static struct s3_credentials *settings_load(
	const struct s3_settings *s, GArray *watched, const char *source, GError **error)
{
	g_autoptr(secret_text) id = NULL, secret = NULL, token = NULL;
	if (!value_or_file(watched, s->access_key_id, s->access_key_id_file, source, &id,
		    error) ||
		!value_or_file(watched, s->secret_access_key, s->secret_access_key_file,
			source, &secret, error) ||
		!value_or_file(watched, s->session_token, s->session_token_file, source,
			&token, error))
		return NULL;
	return make_credentials(id, secret, token, 0, source, error);
}

static bool environment_given(const struct s3_settings *s, GArray *watched)
{
	(void)s, (void)watched;
	return environment("AWS_ACCESS_KEY_ID") ||
	       environment("AWS_ACCESS_KEY_ID_FILE") ||
	       environment("AWS_SECRET_ACCESS_KEY") ||
	       environment("AWS_SECRET_ACCESS_KEY_FILE");
}

static bool parse_expiration(
	const char *text, const char *source, int64_t *expires_at_s, GError **error)
{
	*expires_at_s = 0;
	if (!text)
		return true;
	g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
	g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, utc);
	if (time) {
		*expires_at_s = g_date_time_to_unix(time);
		return true;
	}
	g_set_error(error, S3_ERROR, S3_ERROR_MEND,
		"credentials from %s: AWS_CREDENTIAL_EXPIRATION is no time like "
		"2026-01-31T12:00:00Z",
		source);
	return false;
}

static struct s3_credentials *environment_load(
	const struct s3_settings *s, GArray *watched, const char *source, GError **error)
{
	(void)s;
	g_autoptr(secret_text) id = NULL, secret = NULL, token = NULL;
	int64_t expires_at_s;
	if (!value_or_file(watched, g_getenv("AWS_ACCESS_KEY_ID"),
		    g_getenv("AWS_ACCESS_KEY_ID_FILE"), source, &id, error) ||
		!value_or_file(watched, g_getenv("AWS_SECRET_ACCESS_KEY"),
			g_getenv("AWS_SECRET_ACCESS_KEY_FILE"), source, &secret, error) ||
		!value_or_file(watched, g_getenv("AWS_SESSION_TOKEN"),
			g_getenv("AWS_SESSION_TOKEN_FILE"), source, &token, error) ||
		!parse_expiration(environment("AWS_CREDENTIAL_EXPIRATION"), source,
			&expires_at_s, error))
		return NULL;
	return make_credentials(id, secret, token, expires_at_s, source, error);
}

static const char *profile_name(const struct s3_settings *s)
{
	const char *name = given(s->profile) ? s->profile : environment("AWS_PROFILE");
	return name ? name : "default";
}

static char *aws_file(const char *setting, const char *variable, const char *name)
{
	const char *path = given(setting) ? setting : environment(variable);
	if (path)
		return g_strdup(path);
	const char *home = environment("HOME");
	return g_build_filename(home ? home : g_get_home_dir(), ".aws", name, NULL);
}

static char *credentials_path(const struct s3_settings *s)
{
	return aws_file(
		s->credentials_file, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
}

static char *config_path(void)
{
	return aws_file(NULL, "AWS_CONFIG_FILE", "config");
}

/* *settings gets the profile or NULL; false when the file is there but cannot be read. */
static bool read_profile(GArray *watched, const char *path, const char *profile,
	bool config_file, GHashTable **settings, GError **error)
{
	*settings = NULL;
	size_t length = 0;
	g_autoptr(secret_text) text =
		read_file(watched, path, S3_PROFILE_FILE_MAX_BYTES, &length);
	if (text) {
		*settings = s3_profile_parse(text, length, profile, config_file);
		return true;
	}
	if (errno == ENOENT || errno == ENOTDIR)
		return true;
	g_set_error(error, S3_ERROR, S3_ERROR_MEND,
		"credentials file: cannot read %s: %s", path, g_strerror(errno));
	return false;
}

static const char *setting(GHashTable *settings, const char *name)
{
	return settings ? given(g_hash_table_lookup(settings, name)) : NULL;
}

/* Ways to credentials that a profile may name, the static keys among them. */
static const char *const profile_ways[] = { "aws_access_key_id", "aws_secret_access_key",
	"role_arn", "credential_process", "sso_session", "sso_start_url",
	"web_identity_token_file", NULL };

static const char *way_of(GHashTable *settings)
{
	for (size_t i = 0; profile_ways[i]; i++)
		if (setting(settings, profile_ways[i]))
			return profile_ways[i];
	return NULL;
}

static bool profile_in_settings(const struct s3_settings *s, GArray *watched)
{
	(void)watched;
	return given(s->profile) || given(s->credentials_file);
}

/* Named by AWS_PROFILE, or there. A file that cannot be read counts:
 * its error must be seen. */
static bool profile_found(const struct s3_settings *s, GArray *watched)
{
	if (environment("AWS_PROFILE") || environment("AWS_SHARED_CREDENTIALS_FILE"))
		return true;
	g_autofree char *path = credentials_path(s);
	g_autofree char *config = config_path();
	g_autoptr(GHashTable) from_credentials = NULL;
	g_autoptr(GHashTable) from_config = NULL;
	if (!read_profile(
		    watched, path, profile_name(s), false, &from_credentials, NULL) ||
		!read_profile(watched, config, profile_name(s), true, &from_config, NULL))
		return true;
	return way_of(from_credentials) || way_of(from_config);
}

static struct s3_credentials *profile_load(
	const struct s3_settings *s, GArray *watched, const char *source, GError **error)
{
	const char *name = profile_name(s);
	g_autofree char *path = credentials_path(s);
	g_autofree char *config = config_path();
	g_autoptr(GHashTable) from_credentials = NULL;
	g_autoptr(GHashTable) from_config = NULL;
	if (!read_profile(watched, path, name, false, &from_credentials, error) ||
		!read_profile(watched, config, name, true, &from_config, error))
		return NULL;

	GHashTable *keys = way_of(from_credentials) ? from_credentials : from_config;
	const char *way = way_of(keys);
	if (!way) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s: profile \"%s\" has no keys in %s or %s",
			source, name, path, config);
		return NULL;
	}
	if (!g_str_has_prefix(way, "aws_")) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s: profile \"%s\" uses %s, which is not "
			"supported: give aws_access_key_id and aws_secret_access_key",
			source, name, way);
		return NULL;
	}
	return make_credentials(setting(keys, "aws_access_key_id"),
		setting(keys, "aws_secret_access_key"),
		setting(keys, "aws_session_token"), 0, source, error);
}

/* In the order in which they are asked. */
static const struct source {
	const char *name;
	bool (*given)(const struct s3_settings *, GArray *watched);
	struct s3_credentials *(*load)(const struct s3_settings *, GArray *watched,
		const char *name, GError **error);
} sources[] = {
	{ "the settings", settings_given, settings_load },
	{ "the profile in the settings", profile_in_settings, profile_load },
	{ "the environment", environment_given, environment_load },
	{ "the shared credentials files", profile_found, profile_load },
};

/* ---- the chain ---- */

struct s3_credentials_chain *s3_credentials_chain_new(const struct s3_settings *settings)
{
	struct s3_credentials_chain *chain = g_new0(struct s3_credentials_chain, 1);
	chain->settings = settings;
	chain->watched = g_array_new(FALSE, FALSE, sizeof(struct watched));
	g_array_set_clear_func(chain->watched, clear_watched);
	g_mutex_init(&chain->lock);
	return chain;
}

void s3_credentials_chain_free(struct s3_credentials_chain **chain)
{
	if (!*chain)
		return;
	s3_credentials_unref((*chain)->current);
	g_array_unref((*chain)->watched);
	g_mutex_clear(&(*chain)->lock);
	g_free(*chain);
	*chain = NULL;
}

static struct s3_credentials *load(struct s3_credentials_chain *chain, GError **error)
{
	g_array_set_size(chain->watched, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++)
		if (sources[i].given(chain->settings, chain->watched))
			return sources[i].load(
				chain->settings, chain->watched, sources[i].name, error);
	g_set_error(error, S3_ERROR, S3_ERROR_MEND,
		"no credentials for S3: none in the settings, in AWS_ACCESS_KEY_ID and "
		"AWS_SECRET_ACCESS_KEY, or in profile \"%s\" of the shared credentials "
		"file",
		profile_name(chain->settings));
	return NULL;
}

static struct s3_credentials *get_locked(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error)
{
	if (!chain->current || any_changed(chain->watched)) {
		s3_credentials_unref(chain->current);
		chain->current = load(chain, error);
		if (!chain->current)
			return NULL;
	}
	if (chain->current->expires_at_s && chain->current->expires_at_s <= now_s) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"credentials from %s have expired: renew them",
			chain->current->source);
		return NULL;
	}
	return s3_credentials_ref(chain->current);
}

struct s3_credentials *s3_credentials_chain_get(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error)
{
	g_mutex_lock(&chain->lock);
	struct s3_credentials *credentials = get_locked(chain, now_s, error);
	g_mutex_unlock(&chain->lock);
	return credentials;
}
