/*
 * provider - one way to credentials, as the settings, the environment and AWS's files
 * describe it; and which of them it is.
 *
 * Resolving reads files and asks nobody. Loading may ask a service or run a program: it
 * blocks, within bounds. A provider does not change once made. Threads: any.
 */
#ifndef S3_PROVIDER_H
#define S3_PROVIDER_H

#include "s3/credentials.h"

struct s3_provider;

struct s3_provider_kind {
	/* NULL: the keys are known already. It returns NULL with S3_ERROR_RETRY or
	 * S3_ERROR_MEND. A readable stop_fd (-1: none) ends it early. */
	struct s3_credentials *(*load)(
		const struct s3_provider *provider, int stop_fd, GError **error);
};

struct s3_provider {
	gatomicrefcount references;
	const struct s3_provider_kind *kind;
	char *source; /* for people: "the environment" */
	/* What follows is NULL or 0 where the kind has no use for it. */
	struct s3_credentials *keys; /* known ones */
	struct s3_provider *base;    /* role: who asks for it */
	char **command;              /* process */
	char *role_arn, *role_session_name, *external_id;
	unsigned duration_s;
	char *url;        /* container, instance: of the service; roles: of STS */
	char *region;     /* role: to sign for */
	char *ca_file;    /* roles: who may vouch for STS; NULL: the distribution's */
	char *token_file; /* web identity, container: read at each load */
	char *token;      /* container: a secret */
	unsigned timeout_ms, attempts; /* instance */
};

/*
 * The first way that is configured, in the order that credentials.h says. The files that
 * say so are added to files (credential_file.h). NULL with S3_ERROR_MEND: none, or that
 * one cannot work as it is configured.
 */
struct s3_provider *s3_provider_resolve(
	const struct s3_settings *settings, GArray *files, GError **error);

struct s3_provider *s3_provider_ref(struct s3_provider *provider);
void s3_provider_unref(struct s3_provider *provider);

/* What it gives now. Reference-counted; NULL with error. Blocks. */
struct s3_credentials *s3_provider_load(
	const struct s3_provider *provider, int stop_fd, GError **error);

/* Whether loading asks a service or runs a program. */
bool s3_provider_is_remote(const struct s3_provider *provider);

#endif
