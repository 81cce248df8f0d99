/*
 * transaction - one message from MAIL to the queue: policy asked, envelope kept, spool
 * filled, every fate logged.
 *
 * Embedded in a connection; all zero between transactions. Thread:
 * the loop's; nothing blocks.
 */
#ifndef GATEWAY_SMTP_TRANSACTION_H
#define GATEWAY_SMTP_TRANSACTION_H

#include "gateway/queue/queue.h"
#include "gateway/smtp/front.h"

struct transaction {
	struct queue_message *message; /* NULL: none open */
	struct spool *spool;           /* during DATA */
	uint64_t flushed_bytes;        /* of the spool */
};

/* What is said of an accepted message, kept while the queue has the message itself. */
struct receipt {
	char id[MESSAGE_ID_BYTES];
	uint64_t size;
	size_t recipients;
	char *reverse_path, *forward_paths;
};

enum smtp_reply_id transaction_mail(
	struct transaction *t, const struct client *client, const struct smtp_mail *mail);
enum smtp_reply_id transaction_recipient(
	struct transaction *t, const struct client *client, const struct smtp_rcpt *rcpt);
enum smtp_reply_id transaction_begin_data(
	struct transaction *t, const struct client *client);

/* Room in the spool's buffer. */
size_t transaction_room(const struct transaction *t);
void transaction_append(struct transaction *t, const struct client *client,
	const char *bytes, size_t n_bytes);
/* Whether the spool's buffer is to be written: it is full, or all together are. */
bool transaction_must_flush(const struct transaction *t, const struct client *client);
/* It was. */
void transaction_flushed(struct transaction *t, const struct client *client);

/* Refused after its data: logs why, frees the spool. */
void transaction_drop(
	struct transaction *t, const struct client *client, enum smtp_reply_id why);
/* Frees all; takes an empty one. */
void transaction_reset(struct transaction *t, const struct client *client);
/* The same where the client has gone: its half message is logged. */
void transaction_abandon(struct transaction *t, const struct client *client);

/* Whether the complete message may be queued: REPLY_QUEUED, or why not; then that is
 * logged and the spool gone. from as smtp_session_callbacks.data_end has it. */
enum smtp_reply_id transaction_check_from(
	struct transaction *t, const struct client *client, const char *from);
/* Whether 250 waits for the next hop's. */
bool transaction_is_passed_on(const struct client *client);
/* Completes the message and hands it to the queue with its spool. done gets context. */
void transaction_commit(struct transaction *t, const struct client *client, bool has_8bit,
	struct receipt *receipt, commits_done done, void *context);
/* The reply to a fault of ours: 452 where the disk is full, else 451.
 * error may be NULL. */
enum smtp_reply_id transaction_fault(const GError *error);
/* Logs and counts the outcome and clears the receipt but for its ID; the reply to give.
 * is_heard: the client still waits for it. */
enum smtp_reply_id transaction_committed(struct receipt *receipt,
	const struct client *client, const struct commit_outcome *outcome, bool is_heard);

#endif
