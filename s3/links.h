/*
 * links - who signs links to objects, for which host, and until when they are good.
 *
 * Uploads and links may be two identities: one that may only write, one that may only
 * read. Threads: any.
 */
#ifndef S3_LINKS_H
#define S3_LINKS_H

#include "s3/credentials.h"
#include "s3/endpoint.h"
#include "s3/presign.h"

struct s3_links;

/* All borrowed, for the links' life. */
struct s3_links_basis {
	const struct s3_settings *settings;
	const char *region;
	struct s3_credentials_chain *uploads;
};

/* S3_ERROR_CONFIG. Credentials are not asked for yet. */
struct s3_links *s3_links_new(const struct s3_links_basis *basis, GError **error);
void s3_links_free(struct s3_links **links);

/* What signs; NULL: no AWS credentials (CloudFront). Borrowed. */
struct s3_credentials_chain *s3_links_credentials(const struct s3_links *links);

/* See s3_store_presign(): link->life_s is what is asked for, *expires_at_s gets the true
 * end. endpoint and signer are those of uploads at present. */
char *s3_links_url(struct s3_links *links, const struct s3_endpoint *endpoint,
	struct sigv4_signer *signer, const struct s3_link *link, int64_t *expires_at_s,
	GError **error);

/* See s3_store_link_warning(). */
char *s3_links_warning(struct s3_links *links, int64_t now_s, unsigned expiry_s);

#endif
