/* What is done to many messages or by a person: counting anew, purging, deleting,
 * sending again, holds. Leaves a message's usual way to store.c. */
#include "gateway/queue/store_private.h"

bool store_add_totals(
	struct store *store, const struct store_totals *changes, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, ADD_TOTAL, error);
	for (unsigned i = 0; statement && i < QUEUE_STATES; i++) {
		if (changes->messages[i] == 0)
			continue;
		store_bind(statement, 1, queue_state_name((enum queue_state)i));
		sqlite3_bind_int64(statement, 2, changes->messages[i]);
		if (!store_run(store, statement, error))
			return false;
	}
	return statement != NULL;
}

bool store_recount(struct store *store, GError **error)
{
	struct store_totals totals;
	return store_read_totals(store, COUNT, &totals, error) &&
	       store_run_plain(store, CLEAR_TOTALS, error) &&
	       store_add_totals(store, &totals, error);
}

static bool delete_message(struct store *store, const char *id, GError **error)
{
	return store_run_for(store, DELETE_EVENTS, id, error) &&
	       store_run_for(store, DELETE_ATTACHMENTS, id, error) &&
	       store_run_for(store, DELETE_RECIPIENTS, id, error) &&
	       store_run_for(store, DELETE_MESSAGE, id, error);
}

bool store_purge(struct store *store, int64_t finished_ms, size_t limit,
	struct store_totals *changes, GPtrArray *ids, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, PURGEABLE, error);
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, finished_ms);
	sqlite3_bind_int64(statement, 2, (int64_t)limit);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		g_ptr_array_add(ids, g_strdup(store_text(statement, 0)));
		changes->messages[store_state(statement, 1)]--;
	}
	if (!store_end_rows(store, statement, rc, error))
		return false;
	for (guint i = 0; i < ids->len; i++) {
		if (!delete_message(store, ids->pdata[i], error))
			return false;
	}
	return true;
}

bool store_delete_message(struct store *store, const char *id,
	struct store_totals *changes, bool *found, GError **error)
{
	enum queue_state state;
	if (!store_find(store, id, found, &state, error))
		return false;
	if (!*found)
		return true;
	changes->messages[state]--;
	return delete_message(store, id, error);
}

bool store_end_cut(struct store *store, const char *id, bool *uncertain, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, COUNT_CUT, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	int rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*uncertain = sqlite3_column_double(statement, 0) > 0 ||
			     sqlite3_column_double(statement, 1) <= 0;
	return store_end_rows(store, statement, rc, error) &&
	       store_run_for(store, END_CUT, id, error);
}

bool store_end_recipients(struct store *store, const char *id, GError **error)
{
	return store_run_for(store, END_RECIPIENTS, id, error);
}

bool store_set_hold(struct store *store, const char *id, const char *hold, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SET_HOLD, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	store_bind(statement, 2, hold);
	return store_run(store, statement, error);
}

bool store_redrive(struct store *store, const char *id, bool sent_too, int64_t now_ms,
	struct store_totals *changes, GError **error)
{
	bool found = false;
	enum queue_state state;
	if (!store_find(store, id, &found, &state, error) || !found)
		return found;
	sqlite3_stmt *statement = store_prepare(store, REDRIVE, error);
	if (!statement)
		return false;
	changes->messages[state]--;
	changes->messages[QUEUE_DEFERRED]++;
	store_bind(statement, 1, id);
	sqlite3_bind_int64(statement, 2, now_ms);
	return store_run(store, statement, error) &&
	       store_run_for(store, FORGET_STORED, id, error) &&
	       store_run_for(store, sent_too ? REOPEN_ALL_RECIPIENTS : REOPEN_RECIPIENTS,
		       id, error);
}
