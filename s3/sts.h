/*
 * sts - requests to AWS's Security Token Service and its answers. Pure.
 *
 * Source: AWS Security Token Service API Reference, version 2011-06-15: the query
 * protocol, answers in XML; endpoints by region as in "AWS STS regionalised endpoints".
 */
#ifndef S3_STS_H
#define S3_STS_H

#include "s3/credentials.h"

struct s3_sts_role {
	const char *role_arn, *session_name;
	const char *external_id;        /* NULL: none */
	const char *web_identity_token; /* NULL: AssumeRole, else ...WithWebIdentity */
	unsigned duration_s;            /* 0: STS's own, 1 hour */
};

/* The form to POST; it may hold a token: sigv4_wipe() it. */
char *s3_sts_form(const struct s3_sts_role *role);

struct s3_sts_endpoint {
	const char *region; /* NULL: none is known */
	bool legacy; /* the global one for regions that had none of their own once */
	bool dual_stack, fips;
};

/*
 * Where to send it, "https://host[:port]/", and the region to sign for. Without a region,
 * or as legacy says: the global endpoint. g_free() both.
 */
char *s3_sts_url(const struct s3_sts_endpoint *endpoint, char **signing_region);

/*
 * What came back with this HTTP status. NULL with S3_ERROR_RETRY (5xx, throttling, an
 * answer that is no XML of STS) or S3_ERROR_MEND, naming STS's code and message.
 */
struct s3_credentials *s3_sts_read(long status, const char *body, size_t body_bytes,
	const char *source, GError **error);

/* Whether arn looks like arn:PARTITION:iam::ACCOUNT:role/NAME. */
bool s3_sts_is_role_arn(const char *arn);

/* 2 to 64 of A-Z a-z 0-9 + = , . @ - _ */
bool s3_sts_is_session_name(const char *name);

#endif
