/*
 * answer - what S3 said when it refused, and what a person can do about it. Pure.
 */
#ifndef S3_ANSWER_H
#define S3_ANSWER_H

#include "s3/s3.h"

#define S3_ANSWER_BODY_MAX_BYTES                                                         \
	((size_t)64 << 10) /* of an error's XML; more is not read */

/* Texts are UTF-8 without control characters, cut to their room;
 * empty where not given. */
struct s3_answer {
	long status;            /* HTTP */
	const char *permission; /* that the request takes; static; NULL: s3:PutObject */
	char code[64];
	char message[240];
	char request_id[96];
	char region[64];        /* where the bucket is, if the answer said so */
	char endpoint[128];     /* the same as a host */
	int64_t clock_off_s;    /* our clock minus the server's */
	unsigned retry_after_s; /* up to a minute; 0: not said */
	char root[48];          /* the body's outermost element */
	char upload_id[1024];
	/* headers */
	char etag[160];         /* without its quotes */
	char checksum[64];      /* x-amz-checksum-sha256 */
	char encryption[32];    /* x-amz-server-side-encryption */
	char lock[32];          /* x-amz-object-lock-mode */
	char stored_sha256[72]; /* x-amz-meta-sha256 */
	int64_t size;           /* Content-Length; -1: not given */
};

/* Reads root, Code, Message, RequestId, Region, Endpoint and UploadId out of a body; what
 * is broken or missing stays empty. */
void s3_answer_read_body(struct s3_answer *answer, const char *body, size_t body_bytes);

/* Copies text into field, cleaned as said above. */
void s3_answer_set(char *field, size_t field_bytes, const char *text, size_t text_bytes);

/* Whether another attempt right away may do better (5xx, SlowDown, damage on the way). */
bool s3_answer_is_transient(const struct s3_answer *answer);

/* Whether it refuses the credentials for what new ones of the same source would mend. */
bool s3_answer_is_about_token(const struct s3_answer *answer);

/* Whether it refuses for this machine's clock. */
bool s3_answer_is_about_clock(const struct s3_answer *answer);

/* Whether it sends us to the region that it names. */
bool s3_answer_is_about_region(const struct s3_answer *answer);

/* Whether etag is the MD5 of the content: what it is by custom, except where it is
 * encrypted with KMS or was stored in parts. */
bool s3_answer_etag_is_md5(const struct s3_answer *answer);

/* The error for it: status, code, message, request ID, and which of key, bucket, region,
 * clock or policy to look at. */
GError *s3_answer_error(
	const struct s3_answer *answer, const char *bucket, const char *region);

#endif
