/* What is read of the queue's record: numbers, scans, whole messages. Changes nothing. */
#include "gateway/queue/store_private.h"

#include <string.h>

bool store_read_totals(struct store *store, enum statement which,
	struct store_totals *totals, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	if (!statement)
		return false;
	*totals = (struct store_totals){ 0 };
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		totals->messages[store_state(statement, 0)] +=
			sqlite3_column_int64(statement, 1);
	return store_end_rows(store, statement, rc, error);
}

bool store_totals(struct store *store, struct store_totals *totals, GError **error)
{
	return store_read_totals(store, TOTALS, totals, error);
}

/* The first column of the first row, absent where there is no row. */
static bool read_number(struct store *store, enum statement which, int64_t absent,
	int64_t *number, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	if (!statement)
		return false;
	int rc = sqlite3_step(statement);
	*number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : absent;
	return store_end_rows(store, statement, rc, error);
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
			.id = store_text(statement, 0),
			.next_attempt_ms = sqlite3_column_int64(statement, 1),
			.state = has_state ? store_state(statement, 2) : QUEUE_RECEIVED,
		};
		if (!see(context, &glance))
			break;
	}
	return store_end_rows(store, statement, rc, error);
}

bool store_scan_due(struct store *store, enum conf_priority priority,
	store_glance_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_DUE, error);
	if (!statement)
		return false;
	sqlite3_bind_int(statement, 1, store_priority_number(priority));
	return scan(store, statement, see, context, error);
}

bool store_scan_newest(struct store *store, enum conf_priority priority, int64_t now_ms,
	store_glance_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_NEWEST, error);
	if (!statement)
		return false;
	sqlite3_bind_int(statement, 1, store_priority_number(priority));
	sqlite3_bind_int64(statement, 2, now_ms);
	return scan(store, statement, see, context, error);
}

bool store_scan_unfinished(struct store *store, const char *after,
	store_glance_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_UNFINISHED_AFTER, error);
	if (!statement)
		return false;
	store_bind(statement, 1, after);
	return scan(store, statement, see, context, error);
}

bool store_scan_dead(struct store *store, int64_t finished_ms, store_glance_function see,
	void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_DEAD_BEFORE, error);
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, finished_ms);
	return scan(store, statement, see, context, error);
}

bool store_scan_held(struct store *store, const char *hold, const char *after,
	store_glance_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_HELD_AFTER, error);
	if (!statement)
		return false;
	store_bind(statement, 1, hold);
	store_bind(statement, 2, after);
	return scan(store, statement, see, context, error);
}

bool store_scan_holds(
	struct store *store, store_hold_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_HOLDS, error);
	if (!statement)
		return false;
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct store_hold hold = {
			.hold = store_text(statement, 0),
			.messages = (uint64_t)sqlite3_column_int64(statement, 1),
		};
		if (!see(context, &hold))
			break;
	}
	return store_end_rows(store, statement, rc, error);
}

bool store_scan_prefix(struct store *store, const char *prefix, store_glance_function see,
	void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_PREFIX, error);
	if (!statement)
		return false;
	store_bind(statement, 1, prefix);
	return scan(store, statement, see, context, error);
}

bool store_find(struct store *store, const char *id, bool *found, enum queue_state *state,
	GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, FIND, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	int rc = sqlite3_step(statement);
	*found = rc == SQLITE_ROW;
	if (*found)
		*state = store_state(statement, 0);
	return store_end_rows(store, statement, rc, error);
}

bool store_find_mark(
	struct store *store, const char *id, struct store_mark *mark, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SEE_OTHERS, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	int rc = sqlite3_step(statement);
	*mark = (struct store_mark){ .found = rc == SQLITE_ROW };
	if (mark->found) {
		mark->state = store_state(statement, 0);
		mark->has_hold = sqlite3_column_type(statement, 1) != SQLITE_NULL;
		mark->retried_ms = sqlite3_column_int64(statement, 2);
	}
	return store_end_rows(store, statement, rc, error);
}

static void fill_message(struct queue_message *message, sqlite3_stmt *statement)
{
	g_strlcpy(message->id, store_text(statement, 0), sizeof message->id);
	message->state = store_state(statement, 1);
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
	message->listener = g_strdup(store_text(statement, 10));
	message->client = g_strdup(store_text(statement, 11));
	message->helo = g_strdup(store_text(statement, 12));
	message->user = g_strdup(store_text(statement, 13));
	message->reverse_path = g_strdup(store_text(statement, 14));
	message->reason = g_strdup(store_text(statement, 15));
	message->relay_id = g_strdup(store_text(statement, 16));
	message->smtputf8 = sqlite3_column_int(statement, 17);
	message->may_bounce = sqlite3_column_int(statement, 18);
	message->ret = queue_ret_parse(store_text(statement, 19));
	message->envid = g_strdup(store_text(statement, 20));
	message->hold = g_strdup(store_text(statement, 21));
	message->priority = store_priority(sqlite3_column_int(statement, 22));
	message->retried_ms = sqlite3_column_int64(statement, 23);
}

static bool load_recipients(
	struct store *store, struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, LOAD_RECIPIENTS, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct queue_recipient *recipient = queue_message_add_recipient(
			message, store_text(statement, 2), store_text(statement, 3));
		recipient->state = store_state(statement, 0);
		recipient->reply_code = sqlite3_column_int(statement, 1);
		recipient->reply = g_strdup(store_text(statement, 4));
		recipient->notify = queue_notify_parse(store_text(statement, 5));
		recipient->orcpt = g_strdup(store_text(statement, 6));
		recipient->told = (unsigned)sqlite3_column_int(statement, 7);
	}
	return store_end_rows(store, statement, rc, error);
}

static bool load_attachments(
	struct store *store, struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, LOAD_ATTACHMENTS, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct queue_attachment *a = queue_message_add_attachment(message);
		a->number = (size_t)sqlite3_column_int64(statement, 0);
		a->key = g_strdup(store_text(statement, 1));
		a->file_name = g_strdup(store_text(statement, 2));
		a->media_type = g_strdup(store_text(statement, 3));
		a->size = (uint64_t)sqlite3_column_int64(statement, 4);
		g_strlcpy(a->sha256, store_text(statement, 5), sizeof a->sha256);
		a->expires_at_s = sqlite3_column_int64(statement, 6);
		a->revoked_at_s = sqlite3_column_int64(statement, 7);
	}
	return store_end_rows(store, statement, rc, error);
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
	sqlite3_stmt *statement = store_prepare(store, LOAD_MESSAGE, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	int rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		*message = message_empty();
		fill_message(*message, statement);
	}
	bool ok = store_end_rows(store, statement, rc, error);
	if (ok && *message)
		ok = load_recipients(store, *message, error) &&
		     load_attachments(store, *message, error);
	if (!ok)
		g_clear_pointer(message, queue_message_free);
	return ok;
}
