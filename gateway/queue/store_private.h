/*
 * store_private - the connection and its statements, for the store's own files: store.c
 * (a message's usual way), store_read.c, store_events.c, store_house.c, store_open.c.
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
	SET_NOTED,
	SET_HOLD,
	REDRIVE,
	SET_RETRIED,
	REOPEN_RECIPIENTS,
	REOPEN_ALL_RECIPIENTS,
	FORGET_STORED,
	ADD_TOTAL,
	PURGEABLE,
	DELETE_MESSAGE,
	DELETE_RECIPIENTS,
	DELETE_ATTACHMENTS,
	DELETE_EVENTS,
	TOTALS,
	COUNT,
	CLEAR_TOTALS,
	OLDEST,
	DATA_VERSION,
	SCAN_DUE,
	SCAN_NEWEST,
	SCAN_UNFINISHED_AFTER,
	SCAN_DEAD_BEFORE,
	SCAN_HELD_AFTER,
	SCAN_HOLDS,
	SCAN_PREFIX,
	FIND,
	SEE_OTHERS,
	COUNT_CUT,
	END_CUT,
	END_RECIPIENTS,
	LOAD_MESSAGE,
	LOAD_RECIPIENTS,
	LOAD_ATTACHMENTS,
	SET_LINK,
	PUT_EVENTS,
	TRIM_EVENTS,
	LOAD_EVENTS,
	KEEP_JOURNAL,
	CLEAR_JOURNAL,
	LOAD_JOURNAL,
	PUT_NOTE,
	SCAN_NOTES,
	STATEMENTS,
};

struct store {
	sqlite3 *db;
	bool is_visitor;
	sqlite3_stmt *statements[STATEMENTS];
};

/* The statement, ready to bind; NULL with error. */
sqlite3_stmt *store_prepare(struct store *store, enum statement which, GError **error);
/* Run a statement that gives no rows: a bound one, one without parameters, one whose only
 * parameter is a message's id. */
bool store_run(struct store *store, sqlite3_stmt *statement, GError **error);
bool store_run_plain(struct store *store, enum statement which, GError **error);
bool store_run_for(
	struct store *store, enum statement which, const char *id, GError **error);
/* Ends a loop over rows: rc is sqlite3_step()'s last. */
bool store_end_rows(struct store *store, sqlite3_stmt *statement, int rc, GError **error);

/* The text lives until the statement is run. */
void store_bind(sqlite3_stmt *statement, int i, const char *text);
const char *store_text(sqlite3_stmt *statement, int i);
/* A state that a later version may have written is none of ours to try: HELD. */
enum queue_state store_state(sqlite3_stmt *statement, int i);

/* As stored: 0 is the most urgent. */
int store_priority_number(enum conf_priority priority);
enum conf_priority store_priority(int number);

/* The last of message's events, as its row has them while it is being
 * relayed; NULL: there are none. */
GString *store_journal_of(const struct queue_message *message);

bool store_read_totals(struct store *store, enum statement which,
	struct store_totals *totals, GError **error);

/* Sets error to what the connection's last call met; false. */
bool store_fail(const struct store *store, enum gateway_error kind, GError **error);

#endif
