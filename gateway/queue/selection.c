/* Which messages fit, and a walk over the record that finds them page by
 * page: each page is a statement of its own, so that no reader keeps the
 * write-ahead log from shrinking. */
#include "gateway/queue/selection.h"

#include "gateway/queue/store_private.h"
#include <string.h>

void selection_init(struct selection *selection)
{
	*selection = (struct selection){ .limit = G_MAXINT64, .linked_after_s = -1 };
	selection->senders = g_ptr_array_new();
	selection->recipients = g_ptr_array_new();
	selection->ids = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
}

void selection_clear(struct selection *selection)
{
	g_clear_pointer(&selection->senders, g_ptr_array_unref);
	g_clear_pointer(&selection->recipients, g_ptr_array_unref);
	g_clear_pointer(&selection->ids, g_array_unref);
}

/* --- what fits --- */

static bool same_letter(char a, char b)
{
	return g_ascii_tolower(a) == g_ascii_tolower(b);
}

/* Goes back to the last "*" only: at most as many steps as both lengths multiplied. */
bool selection_text_fits(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern && same_letter(*pattern, *text)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool selection_address_fits(const char *pattern, const char *address)
{
	const char *at = strrchr(address, '@');
	if (!*pattern || !strcmp(pattern, "<>"))
		return *address == '\0';
	if (*pattern == '@')
		return at && selection_text_fits(pattern, at);
	if (!strchr(pattern, '@') && at && strcmp(pattern, "*") != 0)
		return selection_text_fits(pattern, at + 1);
	return selection_text_fits(pattern, address);
}

static bool any_fits(const GPtrArray *patterns, const char *address)
{
	for (guint i = 0; i < patterns->len; i++) {
		if (selection_address_fits(patterns->pdata[i], address ? address : ""))
			return true;
	}
	return false;
}

static bool has_part(const char *text, const char *part)
{
	size_t part_bytes = strlen(part);
	for (; text && *text; text++) {
		if (g_ascii_strncasecmp(text, part, part_bytes) == 0)
			return true;
	}
	return false;
}

static bool hold_fits(const char *wanted, const struct selection_row *row)
{
	if (row->state != QUEUE_HELD)
		return false;
	return row->hold ? has_part(row->hold, wanted)
			 : strcmp(wanted, SELECTION_PERSON) == 0;
}

bool selection_row_fits(const struct selection *selection,
	const struct selection_row *row, int64_t now_ms)
{
	int64_t age_ms = now_ms - row->received_ms;
	return (!selection->states || (selection->states & STATES(row->state))) &&
	       (!selection->older_than_ms || age_ms > selection->older_than_ms) &&
	       (!selection->newer_than_ms || age_ms <= selection->newer_than_ms) &&
	       (!selection->listener ||
		       selection_text_fits(selection->listener, row->listener)) &&
	       (!selection->user ||
		       (row->user && selection_text_fits(selection->user, row->user))) &&
	       (!selection->hold || hold_fits(selection->hold, row)) &&
	       (selection->senders->len == 0 ||
		       any_fits(selection->senders, row->reverse_path));
}

/* --- the walk --- */

#define COLUMNS                                                                          \
	"messages.id, state, received_ms, reverse_path, listener, user, reason, hold "

/* ?1: the last ID seen; ?2: no further than; ?3: of links only. */
static const char sql_all[] =
	"SELECT " COLUMNS "FROM messages WHERE id > ?1 AND id <= ?2 ORDER BY id";
static const char sql_unfinished[] =
	"SELECT " COLUMNS "FROM messages INDEXED BY unfinished_by_id "
	"WHERE finished_ms = 0 AND id > ?1 AND id <= ?2 ORDER BY id";
static const char sql_dead[] =
	"SELECT " COLUMNS "FROM messages INDEXED BY dead "
	"WHERE state = 'dead' AND id > ?1 AND id <= ?2 ORDER BY id";
static const char sql_linked[] =
	"SELECT " COLUMNS "FROM attachments "
	"CROSS JOIN messages ON messages.id = attachments.message "
	"WHERE attachments.message > ?1 AND attachments.message <= ?2 "
	"AND attachments.expires_at_s > ?3 GROUP BY attachments.message "
	"ORDER BY attachments.message";
static const char sql_recipients[] =
	"SELECT original, forward_path, reply FROM recipients WHERE message = ?1";
static const char sql_last[] = "SELECT id FROM messages ORDER BY id DESC LIMIT 1";

struct selection_walk {
	struct store *store;
	const struct selection *selection;
	int64_t now_ms;
	char after[MESSAGE_ID_BYTES];
	char last[MESSAGE_ID_BYTES];
	uint64_t left;
	guint next_id; /* of those named */
	sqlite3_stmt *messages, *recipients;
};

static const char *sql_for(const struct selection *selection)
{
	if (selection->linked_after_s >= 0)
		return sql_linked;
	if (!(selection->states & ~STATES_UNFINISHED) && selection->states)
		return sql_unfinished;
	return selection->states == STATES(QUEUE_DEAD) ? sql_dead : sql_all;
}

static sqlite3_stmt *prepare(struct store *store, const char *sql, GError **error)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		store_fail(store, GATEWAY_ERROR_RETRY, error);
	return statement;
}

static const char *column(sqlite3_stmt *statement, int i)
{
	return (const char *)sqlite3_column_text(statement, i);
}

static bool end_rows(
	struct selection_walk *walk, sqlite3_stmt *statement, int rc, GError **error)
{
	bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE ||
		  store_fail(walk->store, GATEWAY_ERROR_RETRY, error);
	sqlite3_reset(statement);
	return ok;
}

/* What comes while a command changes one message after the other is not its concern. */
static bool find_last(struct selection_walk *walk, GError **error)
{
	sqlite3_stmt *statement = prepare(walk->store, sql_last, error);
	if (!statement)
		return false;
	int rc = sqlite3_step(statement);
	*walk->last = '\0';
	if (rc == SQLITE_ROW)
		g_strlcpy(walk->last, column(statement, 0), sizeof walk->last);
	bool ok = end_rows(walk, statement, rc, error);
	sqlite3_finalize(statement);
	return ok;
}

struct selection_walk *selection_walk_new(struct store *store,
	const struct selection *selection, int64_t now_ms, bool bounded, GError **error)
{
	struct selection_walk *walk = g_new0(struct selection_walk, 1);
	walk->store = store;
	walk->selection = selection;
	walk->now_ms = now_ms;
	walk->left = selection->limit;
	g_strlcpy(walk->last, "~", sizeof walk->last);
	bool ok = selection->ids->len > 0;
	if (!ok) {
		walk->messages = prepare(store, sql_for(selection), error);
		ok = walk->messages != NULL;
	}
	if (ok && walk->messages && (selection->recipients->len || selection->reason)) {
		walk->recipients = prepare(store, sql_recipients, error);
		ok = walk->recipients != NULL;
	}
	if (ok && walk->messages && bounded)
		ok = find_last(walk, error);
	if (!ok)
		selection_walk_free(&walk);
	return walk;
}

void selection_walk_free(struct selection_walk **walk)
{
	struct selection_walk *gone = g_steal_pointer(walk);
	if (!gone)
		return;
	sqlite3_finalize(gone->messages);
	sqlite3_finalize(gone->recipients);
	g_free(gone);
}

/* Whether one of the message's recipients fits, and whether a reply has the reason. */
static bool recipients_fit(struct selection_walk *walk, const char *id, bool has_reason,
	bool *fit, GError **error)
{
	const struct selection *selection = walk->selection;
	bool has_recipient = selection->recipients->len == 0;
	int rc;
	sqlite3_bind_text(walk->recipients, 1, id, -1, SQLITE_STATIC);
	while ((rc = sqlite3_step(walk->recipients)) == SQLITE_ROW) {
		has_recipient =
			has_recipient ||
			any_fits(selection->recipients, column(walk->recipients, 0)) ||
			any_fits(selection->recipients, column(walk->recipients, 1));
		has_reason = has_reason ||
			     has_part(column(walk->recipients, 2), selection->reason);
	}
	*fit = has_recipient && has_reason;
	return end_rows(walk, walk->recipients, rc, error);
}

static struct selection_row read_row(sqlite3_stmt *statement)
{
	struct selection_row row = {
		.state = QUEUE_HELD, /* as store.c reads what a later version wrote */
		.received_ms = sqlite3_column_int64(statement, 2),
		.reverse_path = column(statement, 3),
		.listener = column(statement, 4),
		.user = column(statement, 5),
		.reason = column(statement, 6),
		.hold = column(statement, 7),
	};
	queue_state_parse(column(statement, 1), &row.state);
	return row;
}

static bool fits(struct selection_walk *walk, const char *id, bool *fit, GError **error)
{
	const struct selection *selection = walk->selection;
	const struct selection_row row = read_row(walk->messages);
	*fit = selection_row_fits(selection, &row, walk->now_ms);
	if (!*fit || !walk->recipients)
		return true;
	bool has_reason = !selection->reason || has_part(row.reason, selection->reason);
	return recipients_fit(walk, id, has_reason, fit, error);
}

static void next_named(struct selection_walk *walk, GArray *ids, unsigned max)
{
	const GArray *named = walk->selection->ids;
	guint n = MIN(max, named->len - walk->next_id);
	g_array_append_vals(
		ids, named->data + (size_t)walk->next_id * MESSAGE_ID_BYTES, n);
	walk->next_id += n;
}

bool selection_walk_next(
	struct selection_walk *walk, GArray *ids, unsigned max, GError **error)
{
	g_array_set_size(ids, 0);
	if (!walk->messages) {
		next_named(walk, ids, max);
		return true;
	}
	sqlite3_stmt *statement = walk->messages;
	char after[MESSAGE_ID_BYTES];
	memcpy(after, walk->after, sizeof after);
	sqlite3_bind_text(statement, 1, after, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, walk->last, -1, SQLITE_STATIC);
	if (sqlite3_bind_parameter_count(statement) > 2)
		sqlite3_bind_int64(statement, 3, walk->selection->linked_after_s);
	int rc = SQLITE_DONE;
	while (ids->len < max && walk->left > 0 &&
		(rc = sqlite3_step(statement)) == SQLITE_ROW) {
		bool fit = false;
		g_strlcpy(walk->after, column(statement, 0), sizeof walk->after);
		if (!fits(walk, walk->after, &fit, error)) {
			sqlite3_reset(statement);
			return false;
		}
		if (!fit)
			continue;
		g_array_append_vals(ids, walk->after, 1);
		walk->left--;
	}
	return end_rows(walk, statement, rc, error);
}
