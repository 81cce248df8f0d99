/*
 * sigv4 - AWS Signature Version 4: signs requests by header or by
 * query. Pure: no I/O, no clock.
 *
 * Source: "Signature Version 4 signing process", Amazon S3 API Reference: a path is
 * percent-encoded once and never normalised. Threads: a signer may be used from any.
 */
#ifndef S3_SIGV4_H
#define S3_SIGV4_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SIGV4_TIME_BYTES       17     /* "20130524T000000Z" and its NUL */
#define SIGV4_EXPIRY_MAX_S     604800 /* seven days: a presigned request's longest life */

/* A header or a query parameter, raw: not yet encoded, any case. value NULL: empty. */
struct sigv4_pair {
	const char *name, *value;
};

/*
 * What is signed. Every header given here is signed, so each must be sent as it is; host
 * comes by itself, so do x-amz-date and x-amz-security-token when signing by header.
 * Order is free; names may occur more than once.
 */
struct sigv4_request {
	const char *method;
	/* as in the Host header: with the port unless it is the scheme's own */
	const char *host;
	const char *path; /* raw, begins with "/" */
	const struct sigv4_pair *query;
	size_t n_query;
	const struct sigv4_pair *headers;
	size_t n_headers;
	const char *payload_sha256; /* 64 hex digits, or SIGV4_UNSIGNED_PAYLOAD */
};

struct sigv4_keys {
	const char *access_key_id, *secret_access_key;
	const char *session_token; /* NULL: none */
};

/* Signs for one region and service; keeps the signing key of the day. */
struct sigv4_signer;

struct sigv4_signer *sigv4_signer_new(const char *region, const char *service);
void sigv4_signer_free(struct sigv4_signer **signer); /* wipes its keys */

/* The value of the Authorization header; the request must also carry x-amz-date as of
 * sigv4_format_time(time_s), and x-amz-security-token where there is one. g_free() it. */
char *sigv4_authorization(struct sigv4_signer *signer, const struct sigv4_keys *keys,
	const struct sigv4_request *request, int64_t time_s);

/* The whole encoded query (request->query and X-Amz-*, sorted, the signature last) with
 * which the request may be made from time_s on for expiry_s, 1..SIGV4_EXPIRY_MAX_S.
 * g_free() it. */
char *sigv4_presigned_query(struct sigv4_signer *signer, const struct sigv4_keys *keys,
	const struct sigv4_request *request, int64_t time_s, unsigned expiry_s);

/* time_s (Unix time, 0 to the year 9999) as x-amz-date wants it. */
void sigv4_format_time(int64_t time_s, char out[SIGV4_TIME_BYTES]);

/* A digest in lower-case hex, NUL-ended. */
void sigv4_hex(const uint8_t digest[32], char out[65]);

/* Overwrites a secret, then g_free()s it. NULL is taken. */
void sigv4_wipe(char *secret);

/* Appends text percent-encoded as AWS does: all but the unreserved characters
 * (A-Z a-z 0-9 - . _ ~) and, if kept, "/". */
void sigv4_append_encoded(GString *out, const char *text, bool keep_slashes);

#endif
