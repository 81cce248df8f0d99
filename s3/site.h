/*
 * site - where the bucket is, and what its server has taught: region, clock, what it does
 * not know.
 *
 * A region learnt makes a new place; places stay valid as long as their
 * site. Threads: any.
 */
#ifndef S3_SITE_H
#define S3_SITE_H

#include "s3/endpoint.h"
#include "s3/sigv4.h"

struct s3_place {
	struct s3_endpoint endpoint;
	char *region;
	struct sigv4_signer *signer;
};

/* Borrowed for the call, the strings for the site's life. url NULL: Amazon's. */
struct s3_address {
	const char *url, *region, *bucket;
	bool path_style, dual_stack, fips;
};

struct s3_site;

/* NULL with S3_ERROR_CONFIG. */
struct s3_site *s3_site_new(const struct s3_address *address, GError **error);
void s3_site_free(struct s3_site **site);

/* Where to ask at present. */
const struct s3_place *s3_site_place(struct s3_site *site);
const char *s3_site_bucket(const struct s3_site *site);
bool s3_site_is_amazon(const struct s3_site *site);

/*
 * A server that was asked at place says that the bucket is in region. True when it makes
 * sense to ask again: there is another place now. Amazon's regions change the host, and
 * only within a partition; elsewhere only the signature changes. Said in the log.
 */
bool s3_site_learn_region(
	struct s3_site *site, const struct s3_place *place, const char *region);

/* Unix time as the server has it. */
int64_t s3_site_now_s(struct s3_site *site);
/* The same for a moment of our clock. */
int64_t s3_site_time_s(struct s3_site *site, int64_t time_s);

/* This machine's clock is off_s ahead of the server's, which refused a signature for it.
 * True when that is news: signatures made from now on are other ones. Said in the log. */
bool s3_site_learn_clock(struct s3_site *site, int64_t off_s);

/* Whether "If-None-Match: *" is worth sending; it is, until the server is found not to
 * know it. */
bool s3_site_knows_conditions(struct s3_site *site);
void s3_site_learn_no_conditions(struct s3_site *site);

/* The same of "Expect: 100-continue". */
bool s3_site_knows_expectations(struct s3_site *site);
void s3_site_learn_no_expectations(struct s3_site *site);

/* The server was asked to encrypt and does not say that it has. Said in the log, once. */
void s3_site_learn_unencrypted(struct s3_site *site);

/* How the server proves what it has stored, beside refusing what is not as signed. */
enum s3_proof {
	S3_PROOF_UNKNOWN, /* nothing was stored yet */
	S3_PROOF_TRIAL,   /* it has not been sent an x-amz-checksum-sha256 yet */
	S3_PROOF_SHA256,  /* it answers with it */
	S3_PROOF_ETAG,    /* that is an MD5 */
	S3_PROOF_NONE,
};

enum s3_proof s3_site_proof(struct s3_site *site);
void s3_site_learn_proof(struct s3_site *site, enum s3_proof proof);

#endif
