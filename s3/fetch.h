/*
 * fetch - one small HTTP request to a service that hands out credentials.
 *
 * Blocks, within the time given; a readable stop_fd ends it at once. Threads: any.
 */
#ifndef S3_FETCH_H
#define S3_FETCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_FETCH_BODY_MAX_BYTES ((size_t)64 << 10)

struct s3_fetch {
	const char *method;         /* "GET", "PUT", "POST" */
	const char *url;            /* http or https */
	const char *const *headers; /* "Name: value", NULL-ended; may be NULL */
	const char *body;           /* of a POST; NULL: none */
	unsigned timeout_ms;        /* of the whole */
	const char *ca_file;        /* after AWS_CA_BUNDLE; NULL: the distribution's */
	bool proxy;  /* https goes by the environment's proxy, if there is one */
	int stop_fd; /* -1: none */
};

struct s3_fetched {
	long status;
	char *body; /* NUL-ended */
	size_t body_bytes;
	int64_t server_time_s; /* Unix time, of its Date; 0: it has none */
};

/* True once there is an answer, whatever its status. False with S3_ERROR_RETRY, "HOST:
 * what happened", or S3_ERROR_MEND where the server's certificate is not to be trusted.
 * Nothing is followed elsewhere. */
bool s3_fetch(const struct s3_fetch *request, struct s3_fetched *answer, GError **error);

/* Wipes the body. */
void s3_fetched_clear(struct s3_fetched *answer);

#endif
