/* Histories of messages, and notes. Leaves to store.c what a message is now.
 *
 * The events of one attempt are one row, as JSON: a row for each would cost a message on
 * its usual way several times as much, and one column of the message would have to be
 * written anew with each record. Until the attempt has ended they stand in the message's
 * own row, which is written at that point anyway (journal): a page less to be written.
 * The view history shows them as rows to a person's SQL. */
#include "gateway/queue/store_private.h"

/* In one row, so that trimming comes close to QUEUE_EVENTS_MAX. */
#define ROW_EVENTS 50

static void add_text(GString *json, const char *name, const char *text)
{
	if (!text)
		return;
	g_autofree char *valid =
		g_utf8_validate(text, -1, NULL) ? NULL : g_utf8_make_valid(text, -1);
	g_string_append_printf(json, ",\"%s\":\"", name);
	for (const char *c = valid ? valid : text; *c; c++) {
		if (*c == '"' || *c == '\\')
			g_string_append_c(json, '\\');
		if ((unsigned char)*c < ' ')
			g_string_append_printf(json, "\\u%04x", (unsigned)*c);
		else
			g_string_append_c(json, *c);
	}
	g_string_append_c(json, '"');
}

static void add_number(GString *json, const char *name, int64_t number)
{
	char text[24];
	g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, number);
	g_string_append(json, name);
	g_string_append(json, text);
}

static void add_event(GString *json, const struct queue_event *event)
{
	add_number(json, json->len > 1 ? ",{\"at_ms\":" : "{\"at_ms\":", event->at_ms);
	g_string_append(json, ",\"state\":\"");
	g_string_append(json, queue_state_name(event->state));
	g_string_append_c(json, '"');
	if (event->recipient >= 0)
		add_number(json, ",\"recipient\":", event->recipient);
	if (event->reply_code != 0)
		add_number(json, ",\"reply_code\":", event->reply_code);
	add_text(json, "text", event->text);
	add_text(json, "peer", event->peer);
	g_string_append_c(json, '}');
}

/* Keeps the first ones and the last of those before the number-th. */
static bool trim(struct store *store, const char *id, int64_t number, GError **error)
{
	const int64_t kept = QUEUE_EVENTS_MAX / 2 - ROW_EVENTS;
	if (number <= QUEUE_EVENTS_MAX)
		return true;
	sqlite3_stmt *statement = store_prepare(store, TRIM_EVENTS, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	sqlite3_bind_int64(statement, 2, kept);
	sqlite3_bind_int64(statement, 3, number - kept);
	return store_run(store, statement, error);
}

static bool put_row(struct store *store, const char *id, const GString *json,
	int64_t *number, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, PUT_EVENTS, error);
	if (!statement)
		return false;
	store_bind(statement, 1, id);
	sqlite3_bind_text(statement, 2, json->str, (int)json->len, SQLITE_STATIC);
	int rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		*number = sqlite3_column_int64(statement, 0);
		rc = sqlite3_step(statement);
	}
	return store_end_rows(store, statement, rc, error);
}

/* Those from the from-th on, up to the to-th. */
static void set_list(GString *json, const GPtrArray *events, guint from, guint to)
{
	g_string_assign(json, "[");
	for (guint i = from; i < to; i++)
		add_event(json, events->pdata[i]);
	g_string_append_c(json, ']');
}

GString *store_journal_of(const struct queue_message *message)
{
	guint n = message->events->len;
	if (n == 0)
		return NULL;
	GString *json = g_string_sized_new(256);
	set_list(json, message->events, n > ROW_EVENTS ? n - ROW_EVENTS : 0, n);
	return json;
}

bool store_keep_journal(struct store *store, const char *id, GError **error)
{
	return store_run_for(store, KEEP_JOURNAL, id, error) &&
	       store_run_for(store, CLEAR_JOURNAL, id, error);
}

bool store_put_events(
	struct store *store, const struct queue_message *message, GError **error)
{
	const GPtrArray *events = message->events;
	g_autoptr(GString) json = events->len > 0 ? g_string_sized_new(256) : NULL;
	for (guint from = 0; from < events->len; from += ROW_EVENTS) {
		guint to = MIN(from + ROW_EVENTS, events->len);
		int64_t number = 0;
		set_list(json, events, from, to);
		if (!put_row(store, message->id, json, &number, error) ||
			!trim(store, message->id, number + (to - from), error))
			return false;
	}
	return true;
}

bool store_add_event(struct store *store, const char *id, enum queue_state state,
	const char *text, GError **error)
{
	const struct queue_event event = {
		.at_ms = g_get_real_time() / 1000,
		.state = state,
		.recipient = -1,
		.text = (char *)text, /* only read */
	};
	int64_t number = 0;
	g_autoptr(GString) json = g_string_new("[");
	add_event(json, &event);
	g_string_append_c(json, ']');
	return put_row(store, id, json, &number, error) &&
	       trim(store, id, number + 1, error);
}

static void load_event(GPtrArray *events, sqlite3_stmt *statement)
{
	struct queue_event *event = g_new0(struct queue_event, 1);
	event->at_ms = sqlite3_column_int64(statement, 0);
	event->state = store_state(statement, 1);
	event->recipient = sqlite3_column_type(statement, 2) == SQLITE_NULL
				   ? -1
				   : sqlite3_column_int(statement, 2);
	event->reply_code = sqlite3_column_int(statement, 3);
	event->text = g_strdup(store_text(statement, 4));
	event->peer = g_strdup(store_text(statement, 5));
	g_ptr_array_add(events, event);
}

/* The first event stands in the message's own row: it costs no row more. */
static void load_reception(struct queue_message *message)
{
	struct queue_event *event = g_new0(struct queue_event, 1);
	event->at_ms = message->received_ms;
	event->state = QUEUE_RECEIVED;
	event->recipient = -1;
	event->peer = g_strdup(message->client);
	g_ptr_array_add(message->events, event);
}

static bool load_list(struct store *store, enum statement which,
	struct queue_message *message, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, which, error);
	if (!statement)
		return false;
	store_bind(statement, 1, message->id);
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		load_event(message->events, statement);
	return store_end_rows(store, statement, rc, error);
}

bool store_load_events(struct store *store, struct queue_message *message, GError **error)
{
	g_ptr_array_set_size(message->events, 0);
	load_reception(message);
	return load_list(store, LOAD_EVENTS, message, error) &&
	       load_list(store, LOAD_JOURNAL, message, error);
}

bool store_put_note(
	struct store *store, const char *name, const char *text, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, PUT_NOTE, error);
	if (!statement)
		return false;
	store_bind(statement, 1, name);
	store_bind(statement, 2, text);
	return store_run(store, statement, error);
}

bool store_scan_notes(
	struct store *store, store_note_function see, void *context, GError **error)
{
	sqlite3_stmt *statement = store_prepare(store, SCAN_NOTES, error);
	if (!statement)
		return false;
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		see(context, store_text(statement, 0), store_text(statement, 1));
	return store_end_rows(store, statement, rc, error);
}
