/*
 * store_private - what store.c (the statements) and store_open.c (opening, schema) share.
 */
#ifndef GATEWAY_QUEUE_STORE_PRIVATE_H
#define GATEWAY_QUEUE_STORE_PRIVATE_H

#include "gateway/error.h"
#include "gateway/queue/store.h"
#include <sqlite3.h>

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	INSERT_MESSAGE,
	INSERT_RECIPIENT,
	PUT_RECIPIENT,
	PUT_ATTACHMENT,
	SET_RELAYING,
	FINISH_MESSAGE,
	FINISH_RECIPIENT,
	SET_STATE,
	SET_RETRIED,
	REOPEN_RECIPIENTS,
	ADD_TOTAL,
	PURGEABLE,
	DELETE_MESSAGE,
	DELETE_RECIPIENTS,
	DELETE_ATTACHMENTS,
	TOTALS,
	COUNT,
	CLEAR_TOTALS,
	OLDEST,
	DATA_VERSION,
	SCAN_DUE,
	SCAN_UNFINISHED,
	SCAN_UNFINISHED_STATE,
	SCAN_DEAD,
	SCAN_STATE,
	SCAN_PREFIX,
	FIND,
	LOAD_MESSAGE,
	LOAD_RECIPIENTS,
	LOAD_ATTACHMENTS,
	SCAN_LINKED,
	SET_LINK,
	STATEMENTS,
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
};

/* Sets error to what the connection's last call met; false. */
bool store_fail(const struct store *store, enum gateway_error kind, GError **error);

#endif
