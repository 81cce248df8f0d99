/*
 * presign - links to objects: a GET signed by query, with the name
 * and type of the download.
 */
#ifndef S3_PRESIGN_H
#define S3_PRESIGN_H

#include "s3/credentials.h"
#include "s3/endpoint.h"

/* What STS gives is good for 36 hours at most; said nowhere, that is the best truth. */
#define S3_PRESIGN_SESSION_MAX_S 129600

/* See s3_store_presign(). */
char *s3_presign_url(const struct s3_endpoint *endpoint, struct sigv4_signer *signer,
	const struct s3_credentials *credentials, const char *key, const char *file_name,
	const char *media_type, int64_t now_s, unsigned expiry_s, int64_t *expires_at_s,
	GError **error);

#endif
