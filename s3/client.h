/*
 * client - requests to the store: one thread, one loop, several
 * connections that are kept and used again.
 *
 * Threads: batches belong to the thread that made them; the sockets live in the client's
 * own thread (libuv, curl_multi_socket_action), which also reads the objects' files.
 */
#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include "s3/credentials.h"
#include "s3/site.h"

struct s3_client;
struct s3_batch; /* transfers of one caller, who waits for them */
struct s3_transfer;

/* All borrowed, for the client's life. */
struct s3_client_settings {
	struct s3_site *site;
	struct s3_credentials_chain *credentials;
	const char *ca_file;
	unsigned connections, connect_timeout_ms, stall_timeout_ms, attempts;
};

/* Starts the thread. NULL with S3_ERROR_RETRY: no descriptors or threads to be had. */
struct s3_client *s3_client_new(
	const struct s3_client_settings *settings, GError **error);

struct s3_site *s3_client_site(const struct s3_client *client);
unsigned s3_client_connections(const struct s3_client *client);

/* When no batch is left: closes the connections and joins the thread. */
void s3_client_free(struct s3_client **client);

struct s3_batch *s3_batch_new(struct s3_client *client);
/* Starts n transfers; they stay where they are until taken. After one of the batch has
 * failed (and not for its condition only) those not yet begun are cancelled. */
void s3_batch_submit(struct s3_batch *batch, struct s3_transfer *transfers, size_t n);
/* Blocks until one has ended; NULL: none is left. */
struct s3_transfer *s3_batch_take(struct s3_batch *batch);
/* When none is left; clears *batch. */
void s3_batch_free(struct s3_batch **batch);

/* Whether one that ended has an error, and not (perhaps) for its condition or a checksum
 * on trial only: that is for its caller to judge. */
bool s3_transfer_has_failed(const struct s3_transfer *transfer);
/* Whether it was refused as by a server that does not know the checksum on trial, or
 * where something on the way takes it out. */
bool s3_transfer_trial_failed(const struct s3_transfer *transfer);

/* One transfer, from its start to its end: true when it is done. Its
 * error stays in it. */
bool s3_client_run(struct s3_client *client, struct s3_transfer *transfer);

#endif
