/* The queue's statements, prepared once. Knows no thread, no file but the database, and
 * not when anything is due. */
#include "gateway/queue/store_private.h"

#include <string.h>

#define MESSAGE_COLUMNS                                                                  \
	"id, state, finished_ms, next_attempt_ms, received_ms, attempts, size, "         \
	"body_8bit, uncertain, "                                                         \
	"seed, listener, client, helo, user, reverse_path, reason, relay_id, "           \
	"smtputf8, may_bounce, ret, envid"

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT_MESSAGE] =
		"INSERT INTO messages (" MESSAGE_COLUMNS ") VALUES "
		"(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "
		"?16, ?17, ?18, ?19, ?20, ?21)",
	[INSERT_RECIPIENT] =
		"INSERT INTO recipients (message, number, state, reply_code, reply, "
		"original, forward_path, notify, orcpt) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[PUT_RECIPIENT] =
		"INSERT OR REPLACE INTO recipients (message, number, state, reply_code, "
		"reply, original, forward_path, notify, orcpt) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[PUT_ATTACHMENT] =
		"INSERT OR REPLACE INTO attachments (message, number, key, file_name, "
		"media_type, size, sha256, expires_at_s) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SET_RELAYING] = "UPDATE messages SET state = 'relaying' WHERE id = ?1",
	[FINISH_MESSAGE] =
		"UPDATE messages SET state = ?2, finished_ms = ?3, "
		"next_attempt_ms = ?4, attempts = ?5, uncertain = ?6, reason = ?7, "
		"relay_id = ?8 WHERE id = ?1",
	[FINISH_RECIPIENT] =
		"UPDATE recipients SET state = ?3, reply_code = ?4, reply = ?5 "
		"WHERE message = ?1 AND number = ?2",
	[SET_STATE] =
		"UPDATE messages SET state = ?2, finished_ms = ?3, next_attempt_ms = ?4, "
		"reason = coalesce(?5, reason), "
		"uncertain = uncertain OR ?2 = 'uncertain' WHERE id = ?1",
	[SET_RETRIED] = "UPDATE messages SET retried_ms = ?2 WHERE id = ?1",
	[REOPEN_RECIPIENTS] = "UPDATE recipients SET state = 'deferred' "
			      "WHERE message = ?1 AND state <> 'sent'",
	[ADD_TOTAL] = "UPDATE totals SET messages = messages + ?2 WHERE state = ?1",
	[PURGEABLE] = "SELECT id, state FROM messages WHERE state IN ('sent', 'bounced') "
		      "AND finished_ms < ?1 ORDER BY finished_ms LIMIT ?2",
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
		     "INDEXED BY unfinished_by_next_attempt "
		     "WHERE finished_ms = 0 ORDER BY next_attempt_ms, id",
	[SCAN_UNFINISHED] =
		"SELECT id, next_attempt_ms, state FROM messages "
		"INDEXED BY unfinished_by_id WHERE finished_ms = 0 ORDER BY id",
	[SCAN_UNFINISHED_STATE] = "SELECT id, next_attempt_ms, state FROM messages "
				  "INDEXED BY unfinished_by_id WHERE finished_ms = 0 AND "
				  "state = ?1 ORDER BY id",
	[SCAN_DEAD] = "SELECT id, next_attempt_ms, state FROM messages INDEXED BY dead "
		      "WHERE state = 'dead' ORDER BY id",
	[SCAN_STATE] = "SELECT id, next_attempt_ms, state FROM messages WHERE state = ?1 "
		       "ORDER BY id",
	[SCAN_PREFIX] = "SELECT id, next_attempt_ms, state FROM messages "
			"WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id",
	[FIND] = "SELECT state FROM messages WHERE id = ?1",
	[LOAD_MESSAGE] =
		"SELECT " MESSAGE_COLUMNS ", retried_ms FROM messages WHERE id = ?1",
	[LOAD_RECIPIENTS] = "SELECT state, reply_code, original, forward_path, reply, "
			    "notify, orcpt "
			    "FROM recipients WHERE message = ?1 ORDER BY number",
	[LOAD_ATTACHMENTS] =
		"SELECT number, key, file_name, media_type, size, sha256, "
		"expires_at_s, revoked_at_s FROM attachments WHERE message = ?1 "
		"ORDER BY number",
	[SCAN_LINKED] = "SELECT DISTINCT message, 0 FROM attachments "
			"WHERE expires_at_s > ?1 ORDER BY message",
	[SET_LINK] = "UPDATE attachments SET expires_at_s = ?3, revoked_at_s = ?4 "
		     "WHERE message = ?1 AND number = ?2",
};

/* The statement, ready to bind; NULL with error. */
static sqlite3_stmt *prepared(struct store *store, enum statement which, GError **error)
{
	sqlite3_stmt **statement = &store->statements[which];
	if (!*statement &&
		sqlite3_prepare_v3(store->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
			statement, NULL) != SQLITE_OK)
		store_fail(store, GATEWAY_ERROR_RETRY, error);
	return *statement;
}

/* Runs a statement that gives no rows. */
static bool run(struct store *store, sqlite3_stmt *statement, GError **error)
{
	bool ok = sqlite3_step(statement) == SQLITE_DONE ||
		  store_fail(store, GATEWAY_ERROR_RETRY, error);
	sqlite3_reset(statement);
	return ok;
}

static bool run_plain(struct store *store, enum statement which, GError **error)
{
	sqlite3_stmt *statement = prepared(store, which, error);
	return statement && run(store, statement, error);
}

/* Ends a loop over rows: rc is sqlite3_step()'s last. */
static bool end_rows(struct store *store, sqlite3_stmt *statement, int rc, GError **error)
{
	bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW ||
		  store_fail(store, GATEWAY_ERROR_RETRY, error);
	sqlite3_reset(statement);
	return ok;
}

/* The text lives until the statement is run. */
static void bind_text(sqlite3_stmt *statement, int i, const char *text)
{
	sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

static const char *column_text(sqlite3_stmt *statement, int i)
{
	return (const char *)sqlite3_column_text(statement, i);
}

/* A statement whose only parameter is a message's id. */
static bool run_for(
	struct store *store, enum statement which, const char *id, GError **error)
{
	sqlite3_stmt *statement = prepared(store, which, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	return run(store, statement, error);
}

/* A state that a later version may have written is none of ours to try. */
static enum queue_state column_state(sqlite3_stmt *statement, int i)
{
	enum queue_state state = QUEUE_HELD;
	const char *name = column_text(statement, i);
	return name && queue_state_parse(name, &state) ? state : QUEUE_HELD;
}

bool store_begin(struct store *store, GError **error)
{
	return run_plain(store, BEGIN, error);
}

bool store_commit(struct store *store, GError **error)
{
	return run_plain(store, COMMIT, error);
}

void store_rollback(struct store *store)
{
	/* Some failures (disk full) have rolled back already. */
	if (!sqlite3_get_autocommit(store->db))
		run_plain(store, ROLLBACK, NULL);
}

/* INSERT_RECIPIENT, PUT_RECIPIENT or FINISH_RECIPIENT for each recipient. */
static bool write_recipients(struct store *store, enum statement which,
	const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, which, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		sqlite3_bind_int64(statement, 2, i);
		bind_text(statement, 3, queue_state_name(r->state));
		sqlite3_bind_int(statement, 4, r->reply_code);
		bind_text(statement, 5, r->reply);
		if (which != FINISH_RECIPIENT) {
			bind_text(statement, 6, r->original);
			bind_text(statement, 7, r->forward_path);
			bind_text(statement, 8, queue_notify_name(r->notify));
			bind_text(statement, 9, r->orcpt);
		}
		if (!run(store, statement, error))
			return false;
	}
	return true;
}

bool store_insert(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, INSERT_MESSAGE, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	bind_text(statement, 2, queue_state_name(message->state));
	sqlite3_bind_int64(statement, 3, message->finished_ms);
	sqlite3_bind_int64(statement, 4, message->next_attempt_ms);
	sqlite3_bind_int64(statement, 5, message->received_ms);
	sqlite3_bind_int64(statement, 6, message->attempts);
	sqlite3_bind_int64(statement, 7, (int64_t)message->size);
	sqlite3_bind_int(statement, 8, message->body_8bit);
	sqlite3_bind_int(statement, 9, message->uncertain);
	sqlite3_bind_blob(
		statement, 10, message->seed, sizeof message->seed, SQLITE_STATIC);
	bind_text(statement, 11, message->listener ? message->listener : "");
	bind_text(statement, 12, message->client ? message->client : "");
	bind_text(statement, 13, message->helo);
	bind_text(statement, 14, message->user);
	bind_text(statement, 15, message->reverse_path ? message->reverse_path : "");
	bind_text(statement, 16, message->reason);
	bind_text(statement, 17, message->relay_id);
	sqlite3_bind_int(statement, 18, message->smtputf8);
	sqlite3_bind_int(statement, 19, message->may_bounce);
	bind_text(statement, 20, queue_ret_name(message->ret));
	bind_text(statement, 21, message->envid);
	return run(store, statement, error) &&
	       write_recipients(store, INSERT_RECIPIENT, message, error);
}

bool store_put_attachments(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, PUT_ATTACHMENT, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		sqlite3_bind_int64(statement, 2, (int64_t)a->number);
		bind_text(statement, 3, a->key ? a->key : "");
		bind_text(statement, 4, a->file_name);
		bind_text(statement, 5, a->media_type);
		sqlite3_bind_int64(statement, 6, (int64_t)a->size);
		bind_text(statement, 7, a->sha256);
		sqlite3_bind_int64(statement, 8, a->expires_at_s);
		if (!run(store, statement, error))
			return false;
	}
	return true;
}

static bool any_is_settled(const struct queue_message *message)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if (r->state == QUEUE_SENT || r->state == QUEUE_BOUNCED ||
			r->state == QUEUE_DEAD)
			return true;
	}
	return false;
}

static enum statement how_to_finish(const struct queue_message *message)
{
	return message->recipients_changed ? PUT_RECIPIENT : FINISH_RECIPIENT;
}

bool store_set_relaying(
	struct store *store, const struct queue_message *message, GError **error)
{
	return run_for(store, SET_RELAYING, message->id, error) &&
	       ((!any_is_settled(message) && !message->recipients_changed) ||
		       write_recipients(store, how_to_finish(message), message, error));
}

bool store_finish(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, FINISH_MESSAGE, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	bind_text(statement, 2, queue_state_name(message->state));
	sqlite3_bind_int64(statement, 3, message->finished_ms);
	sqlite3_bind_int64(statement, 4, message->next_attempt_ms);
	sqlite3_bind_int64(statement, 5, message->attempts);
	sqlite3_bind_int(statement, 6, message->uncertain);
	bind_text(statement, 7, message->reason);
	bind_text(statement, 8, message->relay_id);
	return run(store, statement, error) &&
	       write_recipients(store, how_to_finish(message), message, error);
}

bool store_set_state(struct store *store, const char *id, enum queue_state state,
	int64_t next_attempt_ms, int64_t finished_ms, const char *reason, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SET_STATE, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	bind_text(statement, 2, queue_state_name(state));
	sqlite3_bind_int64(statement, 3, finished_ms);
	sqlite3_bind_int64(statement, 4, next_attempt_ms);
	bind_text(statement, 5, reason);
	return run(store, statement, error);
}

bool store_set_retried(
	struct store *store, const char *id, int64_t retried_ms, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SET_RETRIED, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	sqlite3_bind_int64(statement, 2, retried_ms);
	return run(store, statement, error);
}

bool store_reopen_recipients(struct store *store, const char *id, GError **error)
{
	return run_for(store, REOPEN_RECIPIENTS, id, error);
}

bool store_add_totals(
	struct store *store, const struct store_totals *changes, GError **error)
{
	sqlite3_stmt *statement = prepared(store, ADD_TOTAL, error);
	for (unsigned i = 0; statement && i < QUEUE_STATES; i++) {
		if (changes->messages[i] == 0)
			continue;
		bind_text(statement, 1, queue_state_name((enum queue_state)i));
		sqlite3_bind_int64(statement, 2, changes->messages[i]);
		if (!run(store, statement, error))
			return false;
	}
	return statement != NULL;
}

static bool delete_message(struct store *store, const char *id, GError **error)
{
	return run_for(store, DELETE_ATTACHMENTS, id, error) &&
	       run_for(store, DELETE_RECIPIENTS, id, error) &&
	       run_for(store, DELETE_MESSAGE, id, error);
}

bool store_purge(struct store *store, int64_t finished_ms, size_t limit,
	struct store_totals *changes, GPtrArray *ids, GError **error)
{
	sqlite3_stmt *statement = prepared(store, PURGEABLE, error);
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, finished_ms);
	sqlite3_bind_int64(statement, 2, (int64_t)limit);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		g_ptr_array_add(ids, g_strdup(column_text(statement, 0)));
		changes->messages[column_state(statement, 1)]--;
	}
	if (!end_rows(store, statement, rc, error))
		return false;
	for (guint i = 0; i < ids->len; i++) {
		if (!delete_message(store, ids->pdata[i], error))
			return false;
	}
	return true;
}

static bool read_totals(struct store *store, enum statement which,
	struct store_totals *totals, GError **error)
{
	sqlite3_stmt *statement = prepared(store, which, error);
	if (!statement)
		return false;
	*totals = (struct store_totals){ 0 };
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		totals->messages[column_state(statement, 0)] +=
			sqlite3_column_int64(statement, 1);
	return end_rows(store, statement, rc, error);
}

bool store_totals(struct store *store, struct store_totals *totals, GError **error)
{
	return read_totals(store, TOTALS, totals, error);
}

bool store_recount(struct store *store, GError **error)
{
	struct store_totals totals;
	return read_totals(store, COUNT, &totals, error) &&
	       run_plain(store, CLEAR_TOTALS, error) &&
	       store_add_totals(store, &totals, error);
}

/* The first column of the first row, absent where there is no row. */
static bool read_number(struct store *store, enum statement which, int64_t absent,
	int64_t *number, GError **error)
{
	sqlite3_stmt *statement = prepared(store, which, error);
	if (!statement)
		return false;
	int rc = sqlite3_step(statement);
	*number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : absent;
	return end_rows(store, statement, rc, error);
}

bool store_oldest(struct store *store, int64_t *received_ms, GError **error)
{
	return read_number(store, OLDEST, 0, received_ms, error);
}

bool store_version(struct store *store, int64_t *version, GError **error)
{
	return read_number(store, DATA_VERSION, 0, version, error);
}

/* Rows of id, next_attempt_ms and, where there is one, state. */
static bool scan(struct store *store, sqlite3_stmt *statement, store_glance_function see,
	void *context, GError **error)
{
	bool has_state = sqlite3_column_count(statement) > 2;
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_glance glance = {
			.id = column_text(statement, 0),
			.next_attempt_ms = sqlite3_column_int64(statement, 1),
			.state = has_state ? column_state(statement, 2) : QUEUE_RECEIVED,
		};
		if (!see(context, &glance))
			break;
	}
	return end_rows(store, statement, rc, error);
}

bool store_scan_due(
	struct store *store, store_glance_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SCAN_DUE, error);
	return statement && scan(store, statement, see, context, error);
}

static enum statement scan_statement(enum queue_state state)
{
	switch (state) {
	case QUEUE_STATES:
		return SCAN_UNFINISHED;
	case QUEUE_DEAD:
		return SCAN_DEAD;
	case QUEUE_SENT:
	case QUEUE_BOUNCED:
		return SCAN_STATE;
	case QUEUE_RECEIVED:
	case QUEUE_DEFERRED:
	case QUEUE_RELAYING:
	case QUEUE_UNCERTAIN:
	case QUEUE_HELD:
		break;
	}
	return SCAN_UNFINISHED_STATE;
}

bool store_scan_state(struct store *store, enum queue_state state,
	store_glance_function see, void *context, GError **error)
{
	enum statement which = scan_statement(state);
	sqlite3_stmt *statement = prepared(store, which, error);
	if (!statement)
		return false;
	if (which == SCAN_STATE || which == SCAN_UNFINISHED_STATE)
		bind_text(statement, 1, queue_state_name(state));
	return scan(store, statement, see, context, error);
}

bool store_scan_prefix(struct store *store, const char *prefix, store_glance_function see,
	void *context, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SCAN_PREFIX, error);
	if (!statement)
		return false;
	bind_text(statement, 1, prefix);
	return scan(store, statement, see, context, error);
}

bool store_scan_linked(struct store *store, int64_t after_s, store_glance_function see,
	void *context, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SCAN_LINKED, error);
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, after_s);
	return scan(store, statement, see, context, error);
}

bool store_set_link(struct store *store, const char *id,
	const struct queue_attachment *attachment, GError **error)
{
	sqlite3_stmt *statement = prepared(store, SET_LINK, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)attachment->number);
	sqlite3_bind_int64(statement, 3, attachment->expires_at_s);
	sqlite3_bind_int64(statement, 4, attachment->revoked_at_s);
	return run(store, statement, error);
}

bool store_find(struct store *store, const char *id, bool *found, enum queue_state *state,
	GError **error)
{
	sqlite3_stmt *statement = prepared(store, FIND, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	int rc = sqlite3_step(statement);
	*found = rc == SQLITE_ROW;
	if (*found)
		*state = column_state(statement, 0);
	return end_rows(store, statement, rc, error);
}

static void fill_message(struct queue_message *message, sqlite3_stmt *statement)
{
	g_strlcpy(message->id, column_text(statement, 0), sizeof message->id);
	message->state = column_state(statement, 1);
	message->finished_ms = sqlite3_column_int64(statement, 2);
	message->next_attempt_ms = sqlite3_column_int64(statement, 3);
	message->received_ms = sqlite3_column_int64(statement, 4);
	message->attempts = (unsigned)sqlite3_column_int64(statement, 5);
	message->size = (uint64_t)sqlite3_column_int64(statement, 6);
	message->body_8bit = sqlite3_column_int(statement, 7);
	message->uncertain = sqlite3_column_int(statement, 8);
	size_t seed_bytes = (size_t)sqlite3_column_bytes(statement, 9);
	if (seed_bytes > 0)
		memcpy(message->seed, sqlite3_column_blob(statement, 9),
			MIN(seed_bytes, sizeof message->seed));
	message->listener = g_strdup(column_text(statement, 10));
	message->client = g_strdup(column_text(statement, 11));
	message->helo = g_strdup(column_text(statement, 12));
	message->user = g_strdup(column_text(statement, 13));
	message->reverse_path = g_strdup(column_text(statement, 14));
	message->reason = g_strdup(column_text(statement, 15));
	message->relay_id = g_strdup(column_text(statement, 16));
	message->smtputf8 = sqlite3_column_int(statement, 17);
	message->may_bounce = sqlite3_column_int(statement, 18);
	message->ret = queue_ret_parse(column_text(statement, 19));
	message->envid = g_strdup(column_text(statement, 20));
	message->retried_ms = sqlite3_column_int64(statement, 21);
}

static bool load_recipients(
	struct store *store, struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, LOAD_RECIPIENTS, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct queue_recipient *recipient = queue_message_add_recipient(
			message, column_text(statement, 2), column_text(statement, 3));
		recipient->state = column_state(statement, 0);
		recipient->reply_code = sqlite3_column_int(statement, 1);
		recipient->reply = g_strdup(column_text(statement, 4));
		recipient->notify = queue_notify_parse(column_text(statement, 5));
		recipient->orcpt = g_strdup(column_text(statement, 6));
	}
	return end_rows(store, statement, rc, error);
}

static bool load_attachments(
	struct store *store, struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = prepared(store, LOAD_ATTACHMENTS, error);
	if (!statement)
		return false;
	bind_text(statement, 1, message->id);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct queue_attachment *a = queue_message_add_attachment(message);
		a->number = (size_t)sqlite3_column_int64(statement, 0);
		a->key = g_strdup(column_text(statement, 1));
		a->file_name = g_strdup(column_text(statement, 2));
		a->media_type = g_strdup(column_text(statement, 3));
		a->size = (uint64_t)sqlite3_column_int64(statement, 4);
		g_strlcpy(a->sha256, column_text(statement, 5), sizeof a->sha256);
		a->expires_at_s = sqlite3_column_int64(statement, 6);
		a->revoked_at_s = sqlite3_column_int64(statement, 7);
	}
	return end_rows(store, statement, rc, error);
}

static struct queue_message *message_empty(void)
{
	struct queue_message *message = queue_message_new();
	memset(message->id, 0, sizeof message->id);
	return message;
}

bool store_load(struct store *store, const char *id, struct queue_message **message,
	GError **error)
{
	*message = NULL;
	sqlite3_stmt *statement = prepared(store, LOAD_MESSAGE, error);
	if (!statement)
		return false;
	bind_text(statement, 1, id);
	int rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		*message = message_empty();
		fill_message(*message, statement);
	}
	bool ok = end_rows(store, statement, rc, error);
	if (ok && *message)
		ok = load_recipients(store, *message, error) &&
		     load_attachments(store, *message, error);
	if (!ok)
		g_clear_pointer(message, queue_message_free);
	return ok;
}
