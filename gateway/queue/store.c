/* What the queue records of a message, statement by statement. Leaves reading to
 * store_read.c, and history and house to store_events.c and store_house.c. */
#include "gateway/queue/store_private.h"

bool store_begin(struct store *store, GError **error)
{
	return store_run_plain(store, BEGIN, error);
}

bool store_commit(struct store *store, GError **error)
{
	return store_run_plain(store, COMMIT, error);
}

void store_rollback(struct store *store)
{
	/* Some failures (disk full) have rolled back already. */
	if (!sqlite3_get_autocommit(store->db))
		store_run_plain(store, ROLLBACK, NULL);
}

/* INSERT_RECIPIENT, PUT_RECIPIENT or FINISH_RECIPIENT for each recipient. */
static bool write_recipients(struct store *store, enum statement which,
	const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		sqlite3_bind_int64(statement, 2, i);
		store_bind(statement, 3, queue_state_name(r->state));
		sqlite3_bind_int(statement, 4, r->reply_code);
		store_bind(statement, 5, r->reply);
		sqlite3_bind_int(statement, 6, (int)r->told);
		if (which != FINISH_RECIPIENT) {
			store_bind(statement, 7, r->original);
			store_bind(statement, 8, r->forward_path);
			store_bind(statement, 9, queue_notify_name(r->notify));
			store_bind(statement, 10, r->orcpt);
		}
		if (!store_run(store, statement, error))
			return false;
	}
	return true;
}

bool store_insert(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, INSERT_MESSAGE, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	store_bind(statement, 2, queue_state_name(message->state));
	sqlite3_bind_int64(statement, 3, message->finished_ms);
	sqlite3_bind_int64(statement, 4, message->next_attempt_ms);
	sqlite3_bind_int64(statement, 5, message->received_ms);
	sqlite3_bind_int64(statement, 6, message->attempts);
	sqlite3_bind_int64(statement, 7, (int64_t)message->size);
	sqlite3_bind_int(statement, 8, message->body_8bit);
	sqlite3_bind_int(statement, 9, message->uncertain);
	sqlite3_bind_blob(
		statement, 10, message->seed, sizeof message->seed, SQLITE_STATIC);
	store_bind(statement, 11, message->listener ? message->listener : "");
	store_bind(statement, 12, message->client ? message->client : "");
	store_bind(statement, 13, message->helo);
	store_bind(statement, 14, message->user);
	store_bind(statement, 15, message->reverse_path ? message->reverse_path : "");
	store_bind(statement, 16, message->reason);
	store_bind(statement, 17, message->relay_id);
	sqlite3_bind_int(statement, 18, message->smtputf8);
	sqlite3_bind_int(statement, 19, message->may_bounce);
	store_bind(statement, 20, queue_ret_name(message->ret));
	store_bind(statement, 21, message->envid);
	store_bind(statement, 22, message->hold);
	sqlite3_bind_int(statement, 23, store_priority_number(message->priority));
	return store_run(store, statement, error) &&
	       write_recipients(store, INSERT_RECIPIENT, message, error) &&
	       store_put_events(store, message, error);
}

bool store_put_attachments(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, PUT_ATTACHMENT, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		sqlite3_bind_int64(statement, 2, (int64_t)a->number);
		store_bind(statement, 3, a->key ? a->key : "");
		store_bind(statement, 4, a->file_name);
		store_bind(statement, 5, a->media_type);
		sqlite3_bind_int64(statement, 6, (int64_t)a->size);
		store_bind(statement, 7, a->sha256);
		sqlite3_bind_int64(statement, 8, a->expires_at_s);
		if (!store_run(store, statement, error))
			return false;
	}
	return true;
}

/* Whether the final dot concerns some recipients only, so that a crash leaves the others
 * certain. */
static bool is_for_some(const struct queue_message *message)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if (r->state != QUEUE_RELAYING)
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
	sqlite3_stmt *statement = store_prepare(store, SET_RELAYING, error);
	if (!statement)
		return false;
	GString *journal = store_journal_of(message);
	store_bind(statement, 1, message->id);
	store_bind(statement, 2, journal ? journal->str : NULL);
	bool ok = store_run(store, statement, error);
	if (journal)
		g_string_free(journal, TRUE);
	return ok &&
	       ((!is_for_some(message) && !message->recipients_changed) ||
		       write_recipients(store, how_to_finish(message), message, error));
}

bool store_finish(
	struct store *store, const struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, FINISH_MESSAGE, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	store_bind(statement, 2, queue_state_name(message->state));
	sqlite3_bind_int64(statement, 3, message->finished_ms);
	sqlite3_bind_int64(statement, 4, message->next_attempt_ms);
	sqlite3_bind_int64(statement, 5, message->attempts);
	sqlite3_bind_int(statement, 6, message->uncertain);
	store_bind(statement, 7, message->reason);
	store_bind(statement, 8, message->relay_id);
	store_bind(statement, 9, message->hold);
	return store_run(store, statement, error) &&
	       write_recipients(store, how_to_finish(message), message, error) &&
	       store_put_events(store, message, error);
}

bool store_set_state(struct store *store, const char *id, enum queue_state state,
	int64_t next_attempt_ms, int64_t finished_ms, const char *reason, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SET_STATE, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	store_bind(statement, 2, queue_state_name(state));
	sqlite3_bind_int64(statement, 3, finished_ms);
	sqlite3_bind_int64(statement, 4, next_attempt_ms);
	store_bind(statement, 5, reason);
	return store_run(store, statement, error);
}

bool store_set_noted(struct store *store, const char *id, enum queue_state from,
	enum queue_state to, bool *changed, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SET_NOTED, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	store_bind(statement, 2, queue_state_name(to));
	store_bind(statement, 3, queue_state_name(from));
	bool ok = store_run(store, statement, error);
	*changed = ok && sqlite3_changes(store->db) > 0;
	return ok;
}

bool store_set_retried(
	struct store *store, const char *id, int64_t retried_ms, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SET_RETRIED, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	sqlite3_bind_int64(statement, 2, retried_ms);
	return store_run(store, statement, error);
}

bool store_reopen_recipients(struct store *store, const char *id, GError **error)
{
	return store_run_for(store, REOPEN_RECIPIENTS, id, error);
}

bool store_set_link(struct store *store, const char *id,
	const struct queue_attachment *attachment, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SET_LINK, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)attachment->number);
	sqlite3_bind_int64(statement, 3, attachment->expires_at_s);
	sqlite3_bind_int64(statement, 4, attachment->revoked_at_s);
	return store_run(store, statement, error);
}
