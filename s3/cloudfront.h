/*
 * cloudfront - links signed for Amazon CloudFront with a key pair of one's own.
 *
 * Source: "Create a signed URL using a canned policy", Amazon CloudFront Developer Guide.
 * SHA-256 (Hash-Algorithm) with RSA of 2048 bits or ECDSA on P-256: the two kinds of key
 * that CloudFront takes. A link may live for any time. Threads: any.
 */
#ifndef S3_CLOUDFRONT_H
#define S3_CLOUDFRONT_H

#include "s3/endpoint.h"
#include "s3/presign.h"

struct s3_cloudfront;

/* Reads the private key (PEM, not encrypted). S3_ERROR_CONFIG. */
struct s3_cloudfront *s3_cloudfront_new(
	const char *key_pair_id, const char *private_key_file, GError **error);
void s3_cloudfront_free(struct s3_cloudfront **cloudfront);

/*
 * The link to link->key at the distribution. Name and type of the download are in its
 * query, which is signed as a whole; the distribution must pass them on. g_free() it.
 * NULL with S3_ERROR_MEND: the key does not sign.
 */
char *s3_cloudfront_url(struct s3_cloudfront *cloudfront,
	const struct s3_endpoint *distribution, const struct s3_link *link,
	GError **error);

#endif
