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
	long status; /* HTTP */
	char code[64];
	char message[240];
	char request_id[96];
	char region[64];     /* where the bucket is, if the answer said so */
	int64_t clock_off_s; /* our clock minus the server's */
};

/* Reads Code, Message, RequestId and Region out of the body of an error; what is broken
 * or missing stays empty. */
void s3_answer_read_body(struct s3_answer *answer, const char *body, size_t body_bytes);

/* Copies text into field, cleaned as said above. */
void s3_answer_set(char *field, size_t field_bytes, const char *text, size_t text_bytes);

/* Whether another attempt right away may do better (5xx, SlowDown, damage on the way). */
bool s3_answer_is_transient(const struct s3_answer *answer);

/* The error for it: status, code, message, request ID, and which of key, bucket, region,
 * clock or policy to look at. */
GError *s3_answer_error(
	const struct s3_answer *answer, const char *bucket, const char *region);

#endif
