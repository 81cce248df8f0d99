/*
 * upload - how objects get to the store: in one PUT or in parts, once and unchanged.
 *
 * Runs in its caller's thread, which waits. Several callers at a time may.
 */
#ifndef S3_UPLOAD_H
#define S3_UPLOAD_H

#include "s3/client.h"
#include "s3/request.h"

/* See s3_store_put(). Keys are checked. plan is borrowed. */
bool s3_upload(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *objects, size_t n_objects, GError **error);

/* ---- for upload in parts (multipart.c) ---- */

enum s3_found {
	S3_FOUND_SAME,
	S3_FOUND_OTHER,   /* with error */
	S3_FOUND_UNKNOWN, /* with error: the store does not answer that now */
	S3_FOUND_NOTHING, /* or it may not be looked at */
};

/* Whether the store has object already: by size, SHA-256 and MD5, as
 * far as it says them. */
enum s3_found s3_upload_look(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *object, GError **error);

/* What the answer to a PUT or CREATE that was done says of the encryption asked for. */
void s3_upload_note_encryption(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_transfer *transfer);

/* Whether transfer was refused by a server that may not know its condition. */
bool s3_upload_condition_refused(const struct s3_transfer *transfer);

/* Digests of size octets of the object from offset on; either may be NULL. False with
 * S3_ERROR_RETRY: it cannot be read. */
bool s3_upload_digest(const struct s3_object *object, uint64_t offset, uint64_t size,
	uint8_t *sha256, uint8_t *md5, GError **error);

#endif
