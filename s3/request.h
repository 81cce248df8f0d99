/*
 * request - the headers of requests about an object, as the settings want them. Pure.
 *
 * Source: "PutObject" and "CreateMultipartUpload", Amazon S3 API Reference.
 */
#ifndef S3_REQUEST_H
#define S3_REQUEST_H

#include "s3/s3.h"
#include "s3/sigv4.h"
#include "s3/site.h"

#define S3_HEADERS_MAX 32

/* Whether S3 takes it as a tag of an object, "name=value". False with S3_ERROR_CONFIG. */
bool s3_tag_check(const char *tag, GError **error);

/* What holds for every object of a store. */
struct s3_plan {
	const struct s3_settings *settings; /* borrowed */
	char *tagging;                      /* x-amz-tagging; NULL: none */
	char *context; /* x-amz-server-side-encryption-context; NULL: none */
	bool sends_sha256, sends_md5, checks_etag;
	bool seeks_proof; /* sends and checks by what the server was found to know */
	bool sends_condition;
	bool is_unsigned; /* payloads are not part of signatures */
	uint64_t multipart_threshold;
};

/* False with S3_ERROR_CONFIG. is_amazon: not at an endpoint of the settings. */
bool s3_plan_init(struct s3_plan *plan, const struct s3_settings *settings,
	bool is_amazon, bool is_tls, GError **error);
void s3_plan_deinit(struct s3_plan *plan);

/* The plan for objects in one piece and a server that proves what it stores so. It
 * borrows from plan: no deinit. */
struct s3_plan s3_plan_for(const struct s3_plan *plan, enum s3_proof proof);

struct s3_headers {
	struct sigv4_pair pairs[S3_HEADERS_MAX];
	size_t n;
	char *owned[S3_HEADERS_MAX]; /* values that go with it */
	size_t n_owned;
};

void s3_headers_clear(struct s3_headers *headers);

/* What says how the object is kept: for PUT, and for CREATE of an upload in parts. */
void s3_headers_object(struct s3_headers *headers, const struct s3_plan *plan,
	const struct s3_object *object, bool in_parts, int64_t now_s);
/* What every other request needs. */
void s3_headers_common(struct s3_headers *headers, const struct s3_plan *plan);
/* The body's digests, as far as the plan sends them; md5 may be NULL. */
void s3_headers_digests(struct s3_headers *headers, const struct s3_plan *plan,
	const uint8_t sha256[32], const uint8_t *md5);
/* The SHA-256 among them, as it is sent; NULL: none is. */
const char *s3_headers_checksum(const struct s3_headers *headers);

#endif
