/*
 * transfer - one request about one object as libcurl sees it: request, body, answer and
 * what that means.
 *
 * Owner: who submits it until then, the client's loop until it has ended, then the former
 * again. A channel is an easy handle with everything set that does not change between
 * requests; it serves one transfer at a time, in the loop's thread.
 */
#ifndef S3_TRANSFER_H
#define S3_TRANSFER_H

#include "s3/answer.h"
#include "s3/client.h"
#include "s3/sigv4.h"
#include <curl/curl.h>

/* Of no content. */
#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum s3_action {
	S3_PUT,
	S3_HEAD,
	S3_DELETE,
	S3_CREATE, /* an upload in parts; the answer has its ID */
	S3_PART,
	S3_COMPLETE,
	S3_ABORT,
};

struct s3_transfer {
	/* What is asked; all borrowed. */
	enum s3_action action;
	const char *key;
	struct s3_credentials_chain *credentials; /* NULL: the client's */
	const char *upload_id;                    /* PART, COMPLETE, ABORT */
	unsigned part;                            /* PART: from 1 */
	const struct sigv4_pair *headers;         /* sent and signed */
	size_t n_headers;
	bool is_conditional; /* "If-None-Match: *" is one of them */
	bool is_trial;       /* so is a checksum that the server may not know */
	const char *octets;  /* the body; NULL: it is at fd */
	int fd;
	uint64_t offset, size;
	const char *payload_sha256; /* as x-amz-content-sha256 */
	bool checks_etag;           /* an ETag that is an MD5 must be the body's */
	const char *checksum;       /* an x-amz-checksum-sha256 must be this */

	/* What came of it. */
	struct s3_answer answer; /* the last one */
	GError *error;           /* NULL: done; g_error_free() it */
	bool is_cancelled;       /* not tried, since another of its batch failed */

	/* The client's. */
	struct s3_batch *batch;
	unsigned attempts;    /* made */
	unsigned corrections; /* attempts after which region or clock were known better */
	bool fresh;           /* the next attempt must not take a kept connection */
	bool stale_retried;   /* once per transfer, beside its attempts */
	int64_t due_ms;       /* while waiting for the next attempt: loop time */
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

enum s3_verdict { S3_DONE, S3_AGAIN_NOW, S3_AGAIN_LATER, S3_FAILED };

/* Reads the result of the attempt and detaches the transfer. For S3_AGAIN_LATER and
 * S3_FAILED with error. */
enum s3_verdict s3_channel_end(
	struct s3_channel *channel, CURLcode result, GError **error);

#endif
