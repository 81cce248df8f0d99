/*
 * endpoint - where a bucket answers: URL, Host header and path of its objects. Pure.
 *
 * Source: "Amazon S3 endpoints and quotas", AWS General Reference;
 * partitions by region prefix.
 */
#ifndef S3_ENDPOINT_H
#define S3_ENDPOINT_H

#include "s3/s3.h"

struct s3_endpoint {
	char *origin; /* "https://host[:port]" */
	char *host;   /* as in the Host header: without the scheme's own port */
	char *base;   /* raw path before "/key": "", "/bucket", "/base/bucket" */
};

/*
 * The endpoint of bucket: at url if given, else Amazon's for region. Path style when
 * asked for, and where a bucket cannot stand in the host name: IP addresses, localhost,
 * names with dots under TLS (no wildcard certificate covers them). False with
 * S3_ERROR_CONFIG.
 */
bool s3_endpoint_init(struct s3_endpoint *endpoint, const char *url, const char *region,
	const char *bucket, bool path_style, GError **error);

/* The URL of Amazon S3 in region: of its dual-stack (IPv6 too), its FIPS endpoints, or
 * both. g_free() it. NULL with S3_ERROR_CONFIG: there are none. */
char *s3_endpoint_amazon(const char *region, bool dual_stack, bool fips, GError **error);
/* Whether the same accounts and keys hold in both regions. */
bool s3_endpoint_same_partition(const char *region, const char *other);

/* Of a URL that stands for the bucket itself: keys follow its path. False with
 * S3_ERROR_CONFIG. */
bool s3_endpoint_init_base(struct s3_endpoint *endpoint, const char *url, GError **error);
void s3_endpoint_deinit(struct s3_endpoint *endpoint);

/* Whether url is https://host[:port][/path], or the same with http to loopback. */
bool s3_endpoint_url_is_private(const char *url);

/* Whether it is one of Amazon's own. */
bool s3_endpoint_is_amazon(const struct s3_endpoint *endpoint);

/* The raw path of key, as it is signed, and its URL without a query. g_free() them. */
char *s3_endpoint_path(const struct s3_endpoint *endpoint, const char *key);
char *s3_endpoint_url(const struct s3_endpoint *endpoint, const char *key);

/* Amazon's domain for the partition of region: "amazonaws.com". */
const char *s3_endpoint_domain(const char *region);

#endif
