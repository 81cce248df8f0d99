/*
 * provider_kinds - the ways to credentials, one function each that makes a provider.
 * Within s3/provider*.c only.
 *
 * Each returns NULL with S3_ERROR_MEND when what configures it is wrong; the text names
 * the source. *_given(): whether it is configured at all, be it wrongly.
 */
#ifndef S3_PROVIDER_KINDS_H
#define S3_PROVIDER_KINDS_H

#include "s3/provider.h"

/* An environment variable that is set and not empty, else NULL. */
const char *s3_provider_variable(const char *name);

/* Whether it says "true", in any case. */
bool s3_provider_variable_is_true(const char *name);

/* A provider of kind, source copied, nothing else in it. */
struct s3_provider *s3_provider_new(
	const struct s3_provider_kind *kind, const char *source);

/* Fills error with "credentials from SOURCE: ..."; NULL. */
struct s3_provider *s3_provider_refuse(
	const char *source, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Takes credentials; NULL in it gives NULL. */
struct s3_provider *s3_provider_of_keys(struct s3_credentials *credentials);

bool s3_provider_settings_given(const struct s3_settings *settings);
struct s3_provider *s3_provider_settings(
	const struct s3_settings *settings, GArray *files, GError **error);

bool s3_provider_environment_given(void);
struct s3_provider *s3_provider_environment(GArray *files, GError **error);

/* How STS is asked, beside what the environment says of that, which comes first. */
struct s3_sts_ways {
	const char *url;                /* endpoint_url; NULL: Amazon's for the region */
	const char *regional_endpoints; /* "legacy", "regional"; NULL: regional */
	const char *ignores_urls;       /* "true": url is not meant */
	const char *ca_file;            /* NULL: the distribution's */
	bool dual_stack, fips;
};

/* A role to assume; base is taken, and NULL in it gives NULL. duration_seconds is text,
 * or NULL; so may session_name and external_id be. region NULL: see s3_sts_url(). */
struct s3_provider_role_words {
	const char *role_arn, *session_name, *external_id, *duration_seconds, *region;
	const char *token_file; /* of a web identity: then there is no base */
	struct s3_sts_ways sts;
};
struct s3_provider *s3_provider_role(struct s3_provider *base,
	const struct s3_provider_role_words *words, const char *source, GError **error);

bool s3_provider_web_identity_given(void);
struct s3_provider *s3_provider_web_identity(
	const char *region, const struct s3_sts_ways *sts, GError **error);

/* profile of the shared files; credentials_file NULL: where AWS has it. */
bool s3_provider_profile_given(const struct s3_settings *settings, GArray *files);
struct s3_provider *s3_provider_profile(
	const struct s3_settings *settings, GArray *files, GError **error);
/*
 * What that profile says beside its keys: names to values, a nested one as "s3.name", one
 * of its services as "services.s3.name". Empty where there is none. g_hash_table_unref().
 * *source is for people, g_free() it.
 */
GHashTable *s3_provider_profile_table(const struct s3_settings *settings, char **source);
/* Of the settings, or AWS_PROFILE, or "default". */
const char *s3_provider_profile_name(const struct s3_settings *settings);

struct s3_provider *s3_provider_process(
	const char *command_line, const char *source, GError **error);

bool s3_provider_container_given(void);
struct s3_provider *s3_provider_container(GError **error);

bool s3_provider_instance_given(void);
struct s3_provider *s3_provider_instance(GError **error);

/* "AWS_REGION", "AWS_DEFAULT_REGION", or NULL. */
const char *s3_provider_environment_region(void);

#endif
