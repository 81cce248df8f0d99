/*
 * transfer - one object's PUT as libcurl sees it: request, body,
 * answer and what that means.
 *
 * Owner: the client, in its loop's thread. A channel is an easy handle with everything
 * set that does not change between requests; it serves one transfer at a time.
 */
#ifndef S3_TRANSFER_H
#define S3_TRANSFER_H

#include "s3/client.h"
#include <curl/curl.h>

struct s3_batch; /* the s3_client_put() that a transfer belongs to */

struct s3_transfer {
	struct s3_batch *batch;
	const struct s3_object *object;
	unsigned attempts;  /* made */
	bool fresh;         /* the next attempt must not take a kept connection */
	bool stale_retried; /* once per transfer, beside its attempts */
	int64_t due_ms;     /* while waiting for the next attempt: loop time */
};

struct s3_channel;

struct s3_channel *s3_channel_new(const struct s3_client_settings *settings);
void s3_channel_free(struct s3_channel **channel);
CURL *s3_channel_easy(struct s3_channel *channel);
struct s3_transfer *s3_channel_transfer(struct s3_channel *channel);

/* Signs and sets up the handle for one attempt. False with error:
 * no usable credentials. */
bool s3_channel_begin(
	struct s3_channel *channel, struct s3_transfer *transfer, GError **error);

enum s3_verdict { S3_STORED, S3_AGAIN_NOW, S3_AGAIN_LATER, S3_FAILED };

/* Reads the result of the attempt and detaches the transfer. For S3_AGAIN_LATER and
 * S3_FAILED with error. */
enum s3_verdict s3_channel_end(
	struct s3_channel *channel, CURLcode result, GError **error);

#endif
