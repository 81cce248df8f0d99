/*
 * recovery - brings spool directory and database into agreement after a crash.
 *
 * Internal to gateway/queue/. In small steps, between which the queue works already: on
 * one thread at a time. Memory does not grow with the queue.
 */
#ifndef GATEWAY_QUEUE_RECOVERY_H
#define GATEWAY_QUEUE_RECOVERY_H

#include "gateway/queue/store.h"

struct recovery;

/* Whether that message is in flight in this process, and none of recovery's business. */
typedef bool (*recovery_is_in_flight)(void *context, const char *id);

/* Before anything is submitted: only files whose message came earlier can be orphans.
 * longest_wait_ms: what is planned further ahead was planned by a clock that was wrong.
 * store and spool_fd are borrowed. */
struct recovery *recovery_new(struct store *store, int spool_fd, int64_t longest_wait_ms,
	recovery_is_in_flight is_in_flight, void *context);
/* The same of what is planned alone, at any time: after the clock went back. */
struct recovery *recovery_new_of_plans(struct store *store, int64_t longest_wait_ms,
	recovery_is_in_flight is_in_flight, void *context);
void recovery_free(struct recovery **recovery);

/*
 * The next step, in a transaction of its own: what is planned too far ahead becomes due,
 * one message soon after the other; what was RELAYING becomes UNCERTAIN, and is DEFERRED
 * where each recipient it was sent to is settled; what was REWRITING or UPLOADING is as
 * it was before, due now; unfinished messages without a spool file become DEAD; then
 * spool files without a row, or whose message was sent, are deleted, and empty folders.
 * *over: there is nothing left. changes is added to. Logs what it did.
 */
bool recovery_step(struct recovery *recovery, bool *over, struct store_totals *changes,
	GError **error);

/* Within a transaction: what one message, cut off in state from, becomes. */
bool recovery_end_flight(struct store *store, const char *id, enum queue_state from,
	struct store_totals *changes, GError **error);

/* Before the database is opened or made: that it is there if there is mail.
 * Without it every message would be taken for one that was never
 * acknowledged. GATEWAY_ERROR_MEND. */
bool recovery_check_record(const char *database, int spool_fd, GError **error);

/* Before anything is recovered: where the spool directory is another one than at the last
 * start, that some message's file is in it if messages wait for delivery. Where none is,
 * it is a file system that is not mounted sooner than the loss of them all.
 * GATEWAY_ERROR_MEND. */
bool recovery_check_spool(
	struct store *store, int spool_fd, const char *directory, GError **error);

#endif
