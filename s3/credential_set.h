/*
 * credential_set - one set of credentials: made and checked. Pure.
 *
 * Whatever a set came from, its texts go into headers and links: each is one word of
 * plain ASCII, or there is no set.
 */
#ifndef S3_CREDENTIAL_SET_H
#define S3_CREDENTIAL_SET_H

#include "s3/credentials.h"

/* A secret that g_autoptr wipes. */
typedef char secret_text;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(secret_text, sigv4_wipe)

/* Copies all. token NULL: none. NULL with S3_ERROR_MEND, which names source. */
struct s3_credentials *s3_credential_set_new(const char *id, const char *secret,
	const char *token, int64_t expires_at_s, const char *source, GError **error);

struct s3_credentials *s3_credential_set_ref(struct s3_credentials *credentials);

/* Unix time of an ISO 8601 text, UTC where it names no zone. False: it is none. */
bool s3_credential_set_parse_time(const char *text, int64_t *time_s);

/*
 * The JSON of metadata services (AccessKeyId, SecretAccessKey, Token, Expiration, Code)
 * or, is_process, of a credential_process (Version 1, SessionToken for Token; Expiration
 * may be left out: they last). NULL with S3_ERROR_MEND, or S3_ERROR_RETRY where the
 * service itself says that it failed.
 */
struct s3_credentials *s3_credential_set_parse(const char *json, size_t json_bytes,
	bool is_process, const char *source, GError **error);

#endif
