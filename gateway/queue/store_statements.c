/* The queue's statements, prepared once, and what running any of them takes. Knows no
 * thread, no file but the database, and not when anything is due. */
#include "gateway/queue/store_private.h"

#define MESSAGE_COLUMNS                                                                  \
	"id, state, finished_ms, next_attempt_ms, received_ms, attempts, size, "         \
	"body_8bit, uncertain, "                                                         \
	"seed, listener, client, helo, user, reverse_path, reason, relay_id, "           \
	"smtputf8, may_bounce, ret, envid, hold, priority"

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT_MESSAGE] =
		"INSERT INTO messages (" MESSAGE_COLUMNS ") VALUES "
		"(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "
		"?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
	[INSERT_RECIPIENT] =
		"INSERT INTO recipients (message, number, state, reply_code, reply, "
		"told, original, forward_path, notify, orcpt) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[PUT_RECIPIENT] =
		"INSERT OR REPLACE INTO recipients (message, number, state, reply_code, "
		"reply, told, original, forward_path, notify, orcpt) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[PUT_ATTACHMENT] =
		"INSERT OR REPLACE INTO attachments (message, number, key, file_name, "
		"media_type, size, sha256, expires_at_s) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SET_RELAYING] = "UPDATE messages SET state = 'relaying', journal = ?2 "
			 "WHERE id = ?1",
	[FINISH_MESSAGE] =
		"UPDATE messages SET state = ?2, finished_ms = ?3, "
		"next_attempt_ms = ?4, attempts = ?5, uncertain = ?6, reason = ?7, "
		"relay_id = ?8, hold = ?9, journal = NULL WHERE id = ?1",
	[FINISH_RECIPIENT] =
		"UPDATE recipients SET state = ?3, reply_code = ?4, reply = ?5, "
		"told = ?6 WHERE message = ?1 AND number = ?2",
	[SET_STATE] =
		"UPDATE messages SET state = ?2, finished_ms = ?3, next_attempt_ms = ?4, "
		"reason = coalesce(?5, reason), "
		"hold = CASE WHEN ?2 = 'held' THEN hold END, "
		"uncertain = uncertain OR ?2 = 'uncertain' WHERE id = ?1",
	[SET_NOTED] = "UPDATE messages SET state = ?2 WHERE id = ?1 AND state = ?3",
	[SET_HOLD] = "UPDATE messages SET hold = ?2 WHERE id = ?1",
	[REDRIVE] = "UPDATE messages SET state = 'deferred', finished_ms = 0, "
		    "next_attempt_ms = ?2, retried_ms = ?2, attempts = 0, hold = NULL "
		    "WHERE id = ?1",
	[SET_RETRIED] = "UPDATE messages SET retried_ms = ?2 WHERE id = ?1",
	[REOPEN_RECIPIENTS] = "UPDATE recipients SET state = 'deferred' "
			      "WHERE message = ?1 AND state <> 'sent'",
	[FORGET_STORED] = "UPDATE attachments SET sha256 = '' WHERE message = ?1",
	[REOPEN_ALL_RECIPIENTS] = "UPDATE recipients SET state = 'deferred' "
				  "WHERE message = ?1",
	[ADD_TOTAL] = "UPDATE totals SET messages = messages + ?2 WHERE state = ?1",
	[PURGEABLE] = "SELECT id, state FROM messages WHERE state IN ('sent', 'bounced') "
		      "AND finished_ms < ?1 ORDER BY finished_ms LIMIT ?2",
	[DELETE_EVENTS] = "DELETE FROM events WHERE message = ?1",
	[DELETE_MESSAGE] = "DELETE FROM messages WHERE id = ?1",
	[DELETE_RECIPIENTS] = "DELETE FROM recipients WHERE message = ?1",
	[DELETE_ATTACHMENTS] = "DELETE FROM attachments WHERE message = ?1",
	[TOTALS] = "SELECT state, messages FROM totals",
	[COUNT] = "SELECT state, count(*) FROM messages GROUP BY state",
	[CLEAR_TOTALS] = "UPDATE totals SET messages = 0",
	[OLDEST] = "SELECT received_ms FROM messages INDEXED BY unfinished_by_id "
		   "WHERE finished_ms = 0 ORDER BY id LIMIT 1",
	[DATA_VERSION] = "PRAGMA data_version",
	[SCAN_DUE] = "SELECT id, next_attempt_ms FROM messages "
		     "INDEXED BY due "
		     "WHERE finished_ms = 0 AND priority = ?1 "
		     "ORDER BY next_attempt_ms, id",
	/* However many are not due, it looks at a few only. */
	[SCAN_NEWEST] = "SELECT id, next_attempt_ms FROM (SELECT id, next_attempt_ms, "
			"state, priority FROM messages INDEXED BY unfinished_by_id "
			"WHERE finished_ms = 0 ORDER BY id DESC LIMIT 256) "
			"WHERE priority = ?1 AND next_attempt_ms <= ?2 "
			"AND state <> 'received' ORDER BY id DESC",
	[SCAN_UNFINISHED_AFTER] =
		"SELECT id, next_attempt_ms, state FROM messages "
		"INDEXED BY unfinished_by_id WHERE finished_ms = 0 AND id > ?1 "
		"ORDER BY id",
	[SCAN_DEAD_BEFORE] = "SELECT id, next_attempt_ms, state FROM messages "
			     "INDEXED BY purgeable_dead WHERE state = 'dead' AND "
			     "finished_ms < ?1 ORDER BY finished_ms",
	[SCAN_HELD_AFTER] = "SELECT id, next_attempt_ms, state FROM messages "
			    "INDEXED BY holds WHERE hold = ?1 AND id > ?2 ORDER BY id",
	[SCAN_HOLDS] = "SELECT hold, count(*) FROM messages INDEXED BY holds "
		       "WHERE hold IS NOT NULL GROUP BY hold",
	[SCAN_PREFIX] = "SELECT id, next_attempt_ms, state FROM messages "
			"WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id",
	[FIND] = "SELECT state FROM messages WHERE id = ?1",
	[SEE_OTHERS] = "SELECT state, hold, retried_ms FROM messages WHERE id = ?1",
	[COUNT_CUT] = "SELECT total(state IN ('relaying', 'uncertain')), "
		      "total(state IN ('sent', 'bounced', 'dead')) "
		      "FROM recipients WHERE message = ?1",
	[END_CUT] = "UPDATE recipients SET state = 'uncertain' "
		    "WHERE message = ?1 AND state = 'relaying'",
	[LOAD_MESSAGE] =
		"SELECT " MESSAGE_COLUMNS ", retried_ms FROM messages WHERE id = ?1",
	[END_RECIPIENTS] = "UPDATE recipients SET state = 'dead' WHERE message = ?1 "
			   "AND state NOT IN ('sent', 'bounced', 'dead')",
	[LOAD_RECIPIENTS] = "SELECT state, reply_code, original, forward_path, reply, "
			    "notify, orcpt, told "
			    "FROM recipients WHERE message = ?1 ORDER BY number",
	[LOAD_ATTACHMENTS] =
		"SELECT number, key, file_name, media_type, size, sha256, "
		"expires_at_s, revoked_at_s FROM attachments WHERE message = ?1 "
		"ORDER BY number",
	[PUT_EVENTS] = "INSERT INTO events (message, number, list) VALUES (?1, coalesce("
		       "(SELECT number + json_array_length(list) FROM events "
		       "WHERE message = ?1 ORDER BY number DESC LIMIT 1), 0), ?2) "
		       "RETURNING number",
	[TRIM_EVENTS] =
		"DELETE FROM events WHERE message = ?1 AND number BETWEEN ?2 AND ?3",
	[LOAD_EVENTS] =
		"SELECT value ->> 'at_ms', value ->> 'state', value ->> 'recipient', "
		"value ->> 'reply_code', value ->> 'text', value ->> 'peer' "
		"FROM events, json_each(events.list) WHERE message = ?1 "
		"ORDER BY number, key",
	[KEEP_JOURNAL] = "INSERT INTO events (message, number, list) SELECT id, coalesce("
			 "(SELECT number + json_array_length(list) FROM events "
			 "WHERE message = ?1 ORDER BY number DESC LIMIT 1), 0), journal "
			 "FROM messages WHERE id = ?1 AND journal IS NOT NULL",
	[CLEAR_JOURNAL] = "UPDATE messages SET journal = NULL WHERE id = ?1",
	[LOAD_JOURNAL] =
		"SELECT value ->> 'at_ms', value ->> 'state', value ->> 'recipient', "
		"value ->> 'reply_code', value ->> 'text', value ->> 'peer' "
		"FROM messages, json_each(messages.journal) WHERE messages.id = ?1 "
		"ORDER BY key",
	[PUT_NOTE] = "INSERT OR REPLACE INTO notes (name, text) VALUES (?1, ?2)",
	[SCAN_NOTES] = "SELECT name, text FROM notes",
	[SET_LINK] = "UPDATE attachments SET expires_at_s = ?3, revoked_at_s = ?4 "
		     "WHERE message = ?1 AND number = ?2",
};

sqlite3_stmt *store_prepare(struct store *store, enum statement which, GError **error)
{
	sqlite3_stmt **statement = &store->statements[which];
	if (!*statement &&
		sqlite3_prepare_v3(store->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
			statement, NULL) != SQLITE_OK)
		store_fail(store, GATEWAY_ERROR_RETRY, error);
	return *statement;
}

bool store_run(struct store *store, sqlite3_stmt *statement, GError **error)
{
	bool ok = sqlite3_step(statement) == SQLITE_DONE ||
		  store_fail(store, GATEWAY_ERROR_RETRY, error);
	sqlite3_reset(statement);
	return ok;
}

bool store_run_plain(struct store *store, enum statement which, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	return statement && store_run(store, statement, error);
}

bool store_end_rows(struct store *store, sqlite3_stmt *statement, int rc, GError **error)
{
	bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW ||
		  store_fail(store, GATEWAY_ERROR_RETRY, error);
	sqlite3_reset(statement);
	return ok;
}

void store_bind(sqlite3_stmt *statement, int i, const char *text)
{
	sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

const char *store_text(sqlite3_stmt *statement, int i)
{
	return (const char *)sqlite3_column_text(statement, i);
}

bool store_run_for(
	struct store *store, enum statement which, const char *id, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	return store_run(store, statement, error);
}

enum queue_state store_state(sqlite3_stmt *statement, int i)
{
	enum queue_state state = QUEUE_HELD;
	const char *name = store_text(statement, i);
	return name && queue_state_parse(name, &state) ? state : QUEUE_HELD;
}

int store_priority_number(enum conf_priority priority)
{
	switch (priority) {
	case CONF_PRIORITY_HIGH:
		return 0;
	case CONF_PRIORITY_LOW:
		return 2;
	case CONF_PRIORITY_NORMAL:
	case CONF_PRIORITY_LISTENER:
		break;
	}
	return 1;
}

enum conf_priority store_priority(int number)
{
	static const enum conf_priority priorities[] = { CONF_PRIORITY_HIGH,
		CONF_PRIORITY_NORMAL, CONF_PRIORITY_LOW };
	return number >= 0 && number < (int)G_N_ELEMENTS(priorities) ? priorities[number]
								     : CONF_PRIORITY_LOW;
}
