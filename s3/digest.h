/*
 * digest - SHA-256, and HMAC with it, of short texts: what signing is made of.
 *
 * OpenSSL looks an algorithm up by its name at each use; here that is done once. Without
 * it, or without memory, the process ends: there is no link or upload to be had.
 * Threads: any.
 */
#ifndef S3_DIGEST_H
#define S3_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define S3_SHA256_BYTES 32

void s3_sha256(const void *data, size_t data_bytes, uint8_t out[S3_SHA256_BYTES]);

/* Of text, without its NUL. out may be the key. */
void s3_hmac_sha256(const void *key, size_t key_bytes, const char *text,
	uint8_t out[S3_SHA256_BYTES]);

#endif
