/* The table of sources in the order in which they are asked. What each one is stands in a
 * file of its own. */
#include "s3/provider.h"
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/provider_kinds.h"
#include <string.h>

const char *s3_provider_variable(const char *name)
{
	const char *value = g_getenv(name);
	return value && *value ? value : NULL;
}

bool s3_provider_variable_is_true(const char *name)
{
	const char *value = s3_provider_variable(name);
	return value && g_ascii_strcasecmp(value, "true") == 0;
}

const char *s3_provider_environment_region(void)
{
	const char *region = s3_provider_variable("AWS_REGION");
	return region ? region : s3_provider_variable("AWS_DEFAULT_REGION");
}

/* ---- one provider ---- */

struct s3_provider *s3_provider_new(
	const struct s3_provider_kind *kind, const char *source)
{
	struct s3_provider *provider = g_new0(struct s3_provider, 1);
	g_atomic_ref_count_init(&provider->references);
	provider->kind = kind;
	provider->source = g_strdup(source);
	return provider;
}

struct s3_provider *s3_provider_ref(struct s3_provider *provider)
{
	g_atomic_ref_count_inc(&provider->references);
	return provider;
}

void s3_provider_unref(struct s3_provider *provider)
{
	/* Chains of roles are short: profiles bound them. */
	while (provider && g_atomic_ref_count_dec(&provider->references)) {
		struct s3_provider *base = provider->base;
		s3_credentials_unref(provider->keys);
		g_strfreev(provider->command);
		sigv4_wipe(provider->token);
		g_free(provider->source);
		g_free(provider->role_arn);
		g_free(provider->role_session_name);
		g_free(provider->external_id);
		g_free(provider->url);
		g_free(provider->region);
		g_free(provider->token_file);
		g_free(provider->ca_file);
		g_free(provider);
		provider = base;
	}
}

struct s3_provider *s3_provider_refuse(
	const char *source, GError **error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *reason = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	s3_fail(error, S3_ERROR_MEND, "credentials from %s: %s", source, reason);
	return NULL;
}

struct s3_credentials *s3_provider_load(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	if (provider->keys)
		return s3_credential_set_ref(provider->keys);
	return provider->kind->load(provider, stop_fd, error);
}

bool s3_provider_is_remote(const struct s3_provider *provider)
{
	return provider->keys == NULL;
}

/* ---- which one ---- */

static const char *region_of(const struct s3_settings *s)
{
	return s->region && *s->region ? s->region : s3_provider_environment_region();
}

static bool settings_given(const struct s3_settings *s, GArray *files)
{
	(void)files;
	return s3_provider_settings_given(s);
}

static bool profile_in_settings(const struct s3_settings *s, GArray *files)
{
	(void)files;
	return (s->profile && *s->profile) ||
	       (s->credentials_file && *s->credentials_file);
}

static bool environment_given(const struct s3_settings *s, GArray *files)
{
	(void)s, (void)files;
	return s3_provider_environment_given();
}

static struct s3_provider *environment(
	const struct s3_settings *s, GArray *files, GError **error)
{
	(void)s;
	return s3_provider_environment(files, error);
}

static bool web_identity_given(const struct s3_settings *s, GArray *files)
{
	(void)s, (void)files;
	return s3_provider_web_identity_given();
}

/* Borrows from the profile's table. */
static struct s3_sts_ways sts_ways(const struct s3_settings *s, GHashTable *profile)
{
	const char *url = g_hash_table_lookup(profile, "services.sts.endpoint_url");
	return (struct s3_sts_ways){
		.url = url ? url : g_hash_table_lookup(profile, "endpoint_url"),
		.regional_endpoints =
			g_hash_table_lookup(profile, "sts_regional_endpoints"),
		.ignores_urls =
			g_hash_table_lookup(profile, "ignore_configured_endpoint_urls"),
		.ca_file = g_hash_table_lookup(profile, "ca_bundle"),
		.dual_stack = s->dual_stack,
		.fips = s->fips,
	};
}

static struct s3_provider *web_identity(
	const struct s3_settings *s, GArray *files, GError **error)
{
	g_autofree char *source = NULL;
	g_autoptr(GHashTable) profile = s3_provider_profile_table(s, &source);
	const struct s3_sts_ways sts = sts_ways(s, profile);
	(void)files;
	return s3_provider_web_identity(region_of(s), &sts, error);
}

static bool container_given(const struct s3_settings *s, GArray *files)
{
	(void)s, (void)files;
	return s3_provider_container_given();
}

static struct s3_provider *container(
	const struct s3_settings *s, GArray *files, GError **error)
{
	(void)s, (void)files;
	return s3_provider_container(error);
}

static bool instance_given(const struct s3_settings *s, GArray *files)
{
	(void)s, (void)files;
	return s3_provider_instance_given();
}

static struct s3_provider *instance(
	const struct s3_settings *s, GArray *files, GError **error)
{
	(void)s, (void)files;
	return s3_provider_instance(error);
}

static const struct source {
	bool (*given)(const struct s3_settings *, GArray *files);
	struct s3_provider *(*make)(
		const struct s3_settings *, GArray *files, GError **error);
} sources[] = {
	{ settings_given, s3_provider_settings },
	{ profile_in_settings, s3_provider_profile },
	{ environment_given, environment },
	{ web_identity_given, web_identity },
	{ s3_provider_profile_given, s3_provider_profile },
	{ container_given, container },
	{ instance_given, instance },
};

static struct s3_provider *first_given(
	const struct s3_settings *settings, GArray *files, GError **error)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++)
		if (sources[i].given(settings, files))
			return sources[i].make(settings, files, error);
	s3_fail(error, S3_ERROR_MEND,
		"no credentials for S3: none in the settings, in AWS_ACCESS_KEY_ID and "
		"AWS_SECRET_ACCESS_KEY, in AWS_WEB_IDENTITY_TOKEN_FILE, in profile "
		"\"%s\" of the shared credentials and config files, from a container's "
		"AWS_CONTAINER_CREDENTIALS_*_URI; and %s",
		s3_provider_profile_name(settings),
		s3_provider_variable_is_true("AWS_EC2_METADATA_DISABLED")
			? "AWS_EC2_METADATA_DISABLED is true"
			: "this is no EC2 instance");
	return NULL;
}

struct s3_provider *s3_provider_resolve(
	const struct s3_settings *settings, GArray *files, GError **error)
{
	struct s3_provider *provider = first_given(settings, files, error);
	if (!provider || !settings->role_arn || !*settings->role_arn ||
		settings->directory)
		return provider;
	g_autofree char *named = NULL;
	g_autoptr(GHashTable) profile = s3_provider_profile_table(settings, &named);
	g_autofree char *source =
		g_strdup_printf("role %s by %s", settings->role_arn, provider->source);
	const struct s3_provider_role_words words = {
		.role_arn = settings->role_arn,
		.session_name = settings->role_session_name,
		.external_id = settings->external_id,
		.region = region_of(settings),
		.sts = sts_ways(settings, profile),
	};
	return s3_provider_role(provider, &words, source, error);
}
