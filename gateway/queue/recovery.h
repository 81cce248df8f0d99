/*
 * recovery - brings spool directory and database into agreement after a crash.
 *
 * Internal to gateway/queue/. Before any thread; memory does not grow with the queue.
 */
#ifndef GATEWAY_QUEUE_RECOVERY_H
#define GATEWAY_QUEUE_RECOVERY_H

#include "gateway/queue/store.h"

/*
 * What was RELAYING becomes UNCERTAIN, due now. Spool files without a row, or whose
 * message was sent, are deleted; unfinished messages without a spool file become DEAD.
 * Logs what it did.
 */
bool recovery_run(struct store *store, int spool_fd, GError **error);

/* Before the database is opened or made: that it is there if there is mail. Without it
 * recovery_run() would take every message for one that was never acknowledged.
 * GATEWAY_ERROR_MEND. */
bool recovery_check_record(const char *database, int spool_fd, GError **error);

#endif
