/* A profile of AWS's shared credentials and config files, and the profiles it leads to.
 * The credentials file comes first where both say something. */
#include "s3/credential_file.h"
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/profile.h"
#include "s3/provider_kinds.h"
#include <errno.h>
#include <string.h>

/* Profiles that lead to one another by source_profile. */
#define PROFILES_MAX 8

/* Both files, as they were read once. */
struct files {
	char *credentials_path, *config_path;
	char *credentials, *config; /* their texts, NULL: not there */
	size_t credentials_bytes, config_bytes;
	const char *region;    /* of the settings or the environment, or NULL */
	bool dual_stack, fips; /* of the settings */
	const char *seen[PROFILES_MAX];
	unsigned n_seen;
};

/* Of one profile: NULL where the file has no such section. */
struct profile {
	const char *name;
	char *source; /* "profile \"work\"" */
	GHashTable *credentials, *config;
	GHashTable *services; /* that it names */
};

static const char *given(const char *text)
{
	return text && *text ? text : NULL;
}

/* ---- the files ---- */

static char *aws_file(const char *setting, const char *variable, const char *name)
{
	const char *path = given(setting) ? setting : s3_provider_variable(variable);
	if (path)
		return g_strdup(path);
	const char *home = s3_provider_variable("HOME");
	return g_build_filename(home ? home : g_get_home_dir(), ".aws", name, NULL);
}

static bool read_one(
	GArray *watched, const char *path, char **text, size_t *bytes, GError **error)
{
	*text = s3_credential_file_read(watched, path, S3_PROFILE_FILE_MAX_BYTES, bytes);
	if (*text && !s3_profile_has_form(*text, *bytes))
		return s3_fail(error, S3_ERROR_MEND,
			"credentials file: %s has no [section]: it is no such file",
			path);
	if (*text || errno == ENOENT || errno == ENOTDIR)
		return true;
	return s3_fail(error, S3_ERROR_MEND, "credentials file: cannot read %s: %s", path,
		g_strerror(errno));
}

static void clear_files(struct files *files)
{
	g_free(files->credentials_path);
	g_free(files->config_path);
	sigv4_wipe(files->credentials);
	sigv4_wipe(files->config);
}

static bool read_files(struct files *files, const struct s3_settings *settings,
	GArray *watched, GError **error)
{
	*files = (struct files){
		.credentials_path = aws_file(settings->credentials_file,
			"AWS_SHARED_CREDENTIALS_FILE", "credentials"),
		.config_path = aws_file(NULL, "AWS_CONFIG_FILE", "config"),
		.region = given(settings->region) ? settings->region
						  : s3_provider_environment_region(),
		.dual_stack = settings->dual_stack,
		.fips = settings->fips,
	};
	if (read_one(watched, files->credentials_path, &files->credentials,
		    &files->credentials_bytes, error) &&
		read_one(watched, files->config_path, &files->config,
			&files->config_bytes, error))
		return true;
	clear_files(files);
	return false;
}

/* ---- one profile ---- */

static const char *setting_in(GHashTable *table, const char *name)
{
	return table ? given(g_hash_table_lookup(table, name)) : NULL;
}

static void find(struct profile *profile, const struct files *files, const char *name)
{
	*profile = (struct profile){ .name = name };
	profile->source = g_strdup_printf("profile \"%s\"", name);
	if (files->credentials)
		profile->credentials = s3_profile_parse(files->credentials,
			files->credentials_bytes, name, S3_PROFILE_CREDENTIALS);
	if (files->config)
		profile->config = s3_profile_parse(
			files->config, files->config_bytes, name, S3_PROFILE_CONFIG);
	const char *services = setting_in(profile->config, "services");
	if (services)
		profile->services = s3_profile_parse(files->config, files->config_bytes,
			services, S3_PROFILE_SERVICES);
}

static void clear_profile(struct profile *profile)
{
	g_free(profile->source);
	g_clear_pointer(&profile->credentials, g_hash_table_unref);
	g_clear_pointer(&profile->config, g_hash_table_unref);
	g_clear_pointer(&profile->services, g_hash_table_unref);
}

static const char *setting(const struct profile *profile, const char *name)
{
	const char *value = setting_in(profile->credentials, name);
	return value ? value : setting_in(profile->config, name);
}

static bool has_keys_in(GHashTable *table)
{
	return setting_in(table, "aws_access_key_id") ||
	       setting_in(table, "aws_secret_access_key");
}

static bool has_keys(const struct profile *profile)
{
	return has_keys_in(profile->credentials) || has_keys_in(profile->config);
}

/* id and secret of one file: halves of two would be no pair. */
static struct s3_provider *keys_of(const struct profile *profile, GError **error)
{
	GHashTable *keys = has_keys_in(profile->credentials) ? profile->credentials
							     : profile->config;
	return s3_provider_of_keys(s3_credential_set_new(
		setting_in(keys, "aws_access_key_id"),
		setting_in(keys, "aws_secret_access_key"),
		setting_in(keys, "aws_session_token"), 0, profile->source, error));
}

/* ---- roles ---- */

static struct s3_provider *resolve(
	struct files *files, const char *name, GArray *watched, GError **error);

static struct s3_provider *named_source(
	const struct profile *profile, const char *word, GArray *watched, GError **error)
{
	if (strcmp(word, "Environment") == 0)
		return s3_provider_environment(watched, error);
	if (strcmp(word, "EcsContainer") == 0)
		return s3_provider_container(error);
	if (strcmp(word, "Ec2InstanceMetadata") == 0)
		return s3_provider_instance(error);
	return s3_provider_refuse(profile->source, error,
		"credential_source must be Environment, Ec2InstanceMetadata or "
		"EcsContainer");
}

/* Whose keys ask for the role. A profile may be its own source, with keys of its own. */
static struct s3_provider *base_of(struct files *files, const struct profile *profile,
	GArray *watched, GError **error)
{
	const char *source_profile = setting(profile, "source_profile");
	const char *credential_source = setting(profile, "credential_source");
	if (!source_profile == !credential_source)
		return s3_provider_refuse(profile->source, error,
			"role_arn needs %s source_profile %s credential_source beside it",
			source_profile ? "only one of" : "a",
			source_profile ? "and" : "or a");
	if (credential_source)
		return named_source(profile, credential_source, watched, error);
	if (strcmp(source_profile, profile->name) == 0 && has_keys(profile))
		return keys_of(profile, error);
	return resolve(files, source_profile, watched, error);
}

/* How STS is to be asked, as this profile has it. */
static struct s3_sts_ways sts_of(const struct files *files, const struct profile *profile)
{
	const char *url = setting_in(profile->services, "sts.endpoint_url");
	return (struct s3_sts_ways){
		.url = url ? url : setting(profile, "endpoint_url"),
		.regional_endpoints = setting(profile, "sts_regional_endpoints"),
		.ca_file = setting(profile, "ca_bundle"),
		.ignores_urls = setting(profile, "ignore_configured_endpoint_urls"),
		.dual_stack = files->dual_stack,
		.fips = files->fips,
	};
}

static struct s3_provider *role_of(struct files *files, const struct profile *profile,
	GArray *watched, GError **error)
{
	const char *region = files->region ? files->region : setting(profile, "region");
	const struct s3_provider_role_words words = {
		.role_arn = setting(profile, "role_arn"),
		.session_name = setting(profile, "role_session_name"),
		.external_id = setting(profile, "external_id"),
		.duration_seconds = setting(profile, "duration_seconds"),
		.token_file = setting(profile, "web_identity_token_file"),
		.region = region,
		.sts = sts_of(files, profile),
	};
	if (setting(profile, "mfa_serial"))
		return s3_provider_refuse(profile->source, error,
			"mfa_serial: a role that wants a second factor cannot be assumed "
			"by a service");
	g_autofree char *source =
		g_strdup_printf("%s (role %s)", profile->source, words.role_arn);
	if (words.token_file)
		return s3_provider_role(NULL, &words, source, error);
	struct s3_provider *base = base_of(files, profile, watched, error);
	return base ? s3_provider_role(base, &words, source, error) : NULL;
}

/* ---- which way a profile goes ---- */

static struct s3_provider *no_way(
	const struct files *files, const struct profile *profile, GError **error)
{
	if (setting(profile, "sso_session") || setting(profile, "sso_start_url") ||
		setting(profile, "login_session"))
		return s3_provider_refuse(profile->source, error,
			"it uses AWS's sign-in for people (sso), which ends after hours: "
			"for a service use a role; to try it out, credential_process = "
			"aws configure export-credentials --format process --profile "
			"\"%s\"",
			profile->name);
	if (setting(profile, "web_identity_token_file"))
		return s3_provider_refuse(profile->source, error,
			"web_identity_token_file needs role_arn beside it");
	return s3_provider_refuse(profile->source, error,
		"it has no keys in %s or %s, and no role_arn or credential_process",
		files->credentials_path, files->config_path);
}

static struct s3_provider *follow(struct files *files, const struct profile *profile,
	GArray *watched, GError **error)
{
	/* As a source of another's role, its own keys come first. */
	bool is_source = files->n_seen > 1;
	if (setting(profile, "role_arn") && !(is_source && has_keys(profile)))
		return role_of(files, profile, watched, error);
	if (has_keys(profile))
		return keys_of(profile, error);
	const char *process = setting(profile, "credential_process");
	if (process)
		return s3_provider_process(process, profile->source, error);
	return no_way(files, profile, error);
}

static bool enter(struct files *files, const struct profile *profile, GError **error)
{
	bool circle = false;
	for (unsigned i = 0; i < files->n_seen; i++)
		circle = circle || strcmp(files->seen[i], profile->name) == 0;
	if (!circle && files->n_seen < PROFILES_MAX) {
		files->seen[files->n_seen++] = profile->name;
		return true;
	}
	s3_provider_refuse(profile->source, error,
		circle ? "source_profile leads in a circle"
		       : "more than %d profiles lead to one another by source_profile",
		PROFILES_MAX);
	return false;
}

static struct s3_provider *resolve(
	struct files *files, const char *name, GArray *watched, GError **error)
{
	struct profile profile;
	find(&profile, files, name);
	struct s3_provider *provider = NULL;
	if (enter(files, &profile, error))
		provider = follow(files, &profile, watched, error);
	clear_profile(&profile);
	return provider;
}

/* ---- the source ---- */

const char *s3_provider_profile_name(const struct s3_settings *settings)
{
	const char *name = given(settings->profile) ? settings->profile
						    : s3_provider_variable("AWS_PROFILE");
	return name ? name : "default";
}

static bool leads_somewhere(const struct profile *profile)
{
	static const char *const ways[] = { "role_arn", "credential_process",
		"sso_session", "sso_start_url", "login_session",
		"web_identity_token_file" };
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++)
		if (setting(profile, ways[i]))
			return true;
	return has_keys(profile);
}

/* Named by AWS_PROFILE, or there. A file that cannot be read counts:
 * its error must be seen. */
bool s3_provider_profile_given(const struct s3_settings *settings, GArray *watched)
{
	if (s3_provider_variable("AWS_PROFILE") ||
		s3_provider_variable("AWS_SHARED_CREDENTIALS_FILE"))
		return true;
	struct files files;
	if (!read_files(&files, settings, watched, NULL))
		return true;
	struct profile profile;
	find(&profile, &files, s3_provider_profile_name(settings));
	bool found = leads_somewhere(&profile);
	clear_profile(&profile);
	clear_files(&files);
	return found;
}

struct s3_provider *s3_provider_profile(
	const struct s3_settings *settings, GArray *watched, GError **error)
{
	struct files files;
	if (!read_files(&files, settings, watched, error))
		return NULL;
	struct s3_provider *provider =
		resolve(&files, s3_provider_profile_name(settings), watched, error);
	clear_files(&files);
	return provider;
}

/* What is no secret. */
static void merge(GHashTable *into, GHashTable *table, const char *prefix)
{
	GHashTableIter each;
	gpointer name, value;
	if (!table)
		return;
	g_hash_table_iter_init(&each, table);
	while (g_hash_table_iter_next(&each, &name, &value))
		if (given(value) && !g_str_has_prefix(name, "aws_"))
			g_hash_table_replace(
				into, g_strconcat(prefix, name, NULL), g_strdup(value));
}

GHashTable *s3_provider_profile_table(const struct s3_settings *settings, char **source)
{
	GHashTable *table =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_autoptr(GArray) watched = s3_credential_files_new();
	struct files files;
	struct profile profile;
	*source = g_strdup_printf("profile \"%s\"", s3_provider_profile_name(settings));
	if (!read_files(&files, settings, watched, NULL))
		return table;
	find(&profile, &files, s3_provider_profile_name(settings));
	merge(table, profile.services, "services.");
	merge(table, profile.config, "");
	merge(table, profile.credentials, "");
	clear_profile(&profile);
	clear_files(&files);
	return table;
}
