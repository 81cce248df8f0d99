/*
 * objects_answer - the answer to one request for an object of a directory store, as S3
 * gives it. Threads: any, one at a time for a request.
 */
#ifndef GATEWAY_ADMIN_OBJECTS_ANSWER_H
#define GATEWAY_ADMIN_OBJECTS_ANSWER_H

#include <glib.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

/* What is served, and to whose signature. Borrowed. */
struct objects_source {
	int directory; /* of the objects, O_PATH */
	const char *bucket, *region, *access_key_id, *secret_access_key;
};

/* What became of a request, for the log. */
struct objects_outcome {
	unsigned status;
	uint64_t bytes;     /* of the body, as promised */
	const char *reason; /* S3's code where it was refused, else NULL; static */
	char *key;          /* NULL unless the signature was good; g_free() */
	char request_id[17];
};

/* The directory DIR/objects, made where it is missing; close() it. -1 with
 * GATEWAY_ERROR_MEND. */
int objects_open_directory(const char *directory, GError **error);

/* target is as in the request line. MHD_NO: no answer could be queued. */
enum MHD_Result objects_answer(const struct objects_source *source,
	struct MHD_Connection *connection, const char *method, const char *target,
	struct objects_outcome *outcome);

/* Too many requests: to come again after retry_s. */
enum MHD_Result objects_answer_later(struct MHD_Connection *connection, unsigned retry_s,
	struct objects_outcome *outcome);

#endif
