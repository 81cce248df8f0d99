/*
 * client - uploads: one thread, one loop, several connections that
 * are kept and used again.
 *
 * Threads: s3_client_put() blocks its caller, from any thread; the sockets
 * live in the client's own thread (libuv, curl_multi_socket_action), which
 * also reads the objects' files.
 */
#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include "s3/credentials.h"
#include "s3/endpoint.h"

struct s3_client;

/* All borrowed, for the client's life. */
struct s3_client_settings {
	const struct s3_endpoint *endpoint;
	const char *bucket, *region; /* for error texts */
	struct sigv4_signer *signer;
	struct s3_credentials_chain *credentials;
	const char *ca_file;
	unsigned connections, connect_timeout_ms, stall_timeout_ms, attempts;
};

/* Starts the thread. NULL with S3_ERROR_RETRY: no descriptors or threads to be had. */
struct s3_client *s3_client_new(
	const struct s3_client_settings *settings, GError **error);

/* See s3_store_put(). Keys are checked. */
bool s3_client_put(struct s3_client *client, const struct s3_object *objects,
	size_t n_objects, GError **error);

/* When no s3_client_put() is under way: closes the connections and joins the thread. */
void s3_client_free(struct s3_client **client);

#endif
