/*
 * presigned - whether a request carries a good SigV4 query signature, judged as S3 does
 * (Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"). Pure;
 * shares no code with the signer in s3/. Threads: any.
 */
#ifndef GATEWAY_ADMIN_PRESIGNED_H
#define GATEWAY_ADMIN_PRESIGNED_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The one key pair that links are signed with. Borrowed. */
struct presigned_keys {
	const char *access_key_id, *secret_access_key;
	const char *region;
};

struct presigned_request {
	const char *method;
	const char *target; /* as in the request line: path and query, still encoded */
	int64_t now_s;      /* Unix time */
	/* A header field's value by its lower-case name, NULL where it is missing. */
	const char *(*header)(void *context, const char *name);
	void *context;
};

/* The header fields that a link may set (S3 API Reference, GetObject). */
enum presigned_override {
	PRESIGNED_CONTENT_TYPE,
	PRESIGNED_CONTENT_LANGUAGE,
	PRESIGNED_EXPIRES,
	PRESIGNED_CACHE_CONTROL,
	PRESIGNED_CONTENT_DISPOSITION,
	PRESIGNED_CONTENT_ENCODING,
	PRESIGNED_OVERRIDES,
};
extern const char *const presigned_override_fields[PRESIGNED_OVERRIDES];

/* S3's answer to a request that it does not grant. */
struct presigned_fault {
	unsigned status;
	const char *code;    /* "SignatureDoesNotMatch" */
	const char *message; /* static */
};

struct presigned {
	struct presigned_fault fault; /* status 0: the signature is good */
	/* decoded; set once the target could be read; key NULL: none given */
	char *bucket, *key;
	/* Only with a good signature; ISO-8859-1 without control characters, or NULL. */
	char *overrides[PRESIGNED_OVERRIDES];
	int64_t expires_at_s; /* where the query says so, else 0 */
	unsigned expires_s;
};

/* Fills result, whatever the request. True: granted. */
bool presigned_check(struct presigned *result, const struct presigned_request *request,
	const struct presigned_keys *keys);
void presigned_deinit(struct presigned *result);

/* Whether key may become a path: A-Z a-z 0-9 . _ - and single slashes between names, none
 * of them "." or "..", 1 to 1024 octets: what the store takes. */
bool presigned_key_is_plain(const char *key);

#endif
