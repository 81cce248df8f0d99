/* Formats messages of the queue: a JSON object, lines, a row of a
 * table. Prints nothing. */
#include "gateway/queue/queue_text.h"

#include "gateway/queue/selection.h"
#include "gateway/queue/store.h"
#include <string.h>

static const char *const column_headings[QUEUE_TEXT_COLUMNS] = {
	"ID",
	"STATE",
	"AGE",
	"SIZE",
	"TRIES",
	"FROM",
	"TO",
	"NEXT",
	"REASON",
};

/* --- JSON --- */

static json_t *json_text(const char *text)
{
	if (!text)
		return json_null();
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	return json_string(valid);
}

static char *iso_time(int64_t unix_s)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(unix_s);
	return time ? g_date_time_format_iso8601(time) : NULL;
}

static json_t *json_time(int64_t unix_ms)
{
	if (unix_ms == 0 || unix_ms == STORE_NEVER_MS)
		return json_null();
	g_autofree char *text = iso_time(unix_ms / 1000);
	return json_text(text);
}

/* Whom the event is about; NULL: the message. Recipients may have been
 * named anew since. */
static const char *recipient_of(
	const struct queue_message *message, const struct queue_event *event)
{
	if (event->recipient < 0 || (guint)event->recipient >= message->recipients->len)
		return NULL;
	const struct queue_recipient *recipient =
		message->recipients->pdata[event->recipient];
	return recipient->original;
}

static const char *priority_name(enum conf_priority priority)
{
	switch (priority) {
	case CONF_PRIORITY_LOW:
		return "low";
	case CONF_PRIORITY_HIGH:
		return "high";
	case CONF_PRIORITY_NORMAL:
	case CONF_PRIORITY_LISTENER:
		break;
	}
	return "normal";
}

/* Who keeps a message that is held; NULL: it is not. */
static const char *held_by(const struct queue_message *message)
{
	if (message->state != QUEUE_HELD)
		return NULL;
	return message->hold ? message->hold : SELECTION_PERSON;
}

static json_t *json_recipients(const struct queue_message *message)
{
	json_t *array = json_array();
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		json_t *object = json_object();
		json_object_set_new(object, "original", json_text(r->original));
		json_object_set_new(object, "forward_path", json_text(r->forward_path));
		json_object_set_new(
			object, "state", json_string(queue_state_name(r->state)));
		json_object_set_new(object, "reply_code",
			r->reply_code ? json_integer(r->reply_code) : json_null());
		json_object_set_new(object, "reply", json_text(r->reply));
		json_object_set_new(
			object, "notify", json_text(queue_notify_name(r->notify)));
		json_object_set_new(object, "orcpt", json_text(r->orcpt));
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *json_attachments(const struct queue_message *message)
{
	json_t *array = json_array();
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		json_t *object = json_object();
		json_object_set_new(
			object, "number", json_integer((json_int_t)a->number));
		json_object_set_new(object, "key", json_text(a->key));
		json_object_set_new(object, "file_name", json_text(a->file_name));
		json_object_set_new(object, "media_type", json_text(a->media_type));
		json_object_set_new(object, "size", json_integer((json_int_t)a->size));
		json_object_set_new(object, "sha256", json_text(a->sha256));
		json_object_set_new(object, "expires_at",
			json_time(a->expires_at_s > 0 ? a->expires_at_s * 1000 : 0));
		json_object_set_new(
			object, "revoked_at", json_time(a->revoked_at_s * 1000));
		json_array_append_new(array, object);
	}
	return array;
}

json_t *queue_text_history_json(const struct queue_message *message)
{
	json_t *array = json_array();
	for (guint i = 0; i < message->events->len; i++) {
		const struct queue_event *e = message->events->pdata[i];
		const char *recipient = recipient_of(message, e);
		json_t *object = json_object();
		json_object_set_new(object, "time", json_time(e->at_ms));
		json_object_set_new(
			object, "state", json_string(queue_state_name(e->state)));
		json_object_set_new(object, "recipient", json_text(recipient));
		json_object_set_new(object, "peer", json_text(e->peer));
		json_object_set_new(object, "reply_code",
			e->reply_code ? json_integer(e->reply_code) : json_null());
		json_object_set_new(object, "text", json_text(e->text));
		json_array_append_new(array, object);
	}
	return array;
}

json_t *queue_text_json(const struct queue_message *message)
{
	bool waits = message->finished_ms == 0 && message->state != QUEUE_HELD;
	json_t *object = json_object();
	json_object_set_new(object, "id", json_string(message->id));
	json_object_set_new(
		object, "state", json_string(queue_state_name(message->state)));
	json_object_set_new(object, "hold", json_text(held_by(message)));
	json_object_set_new(
		object, "priority", json_string(priority_name(message->priority)));
	json_object_set_new(object, "uncertain", json_boolean(message->uncertain));
	json_object_set_new(object, "received", json_time(message->received_ms));
	json_object_set_new(object, "retried", json_time(message->retried_ms));
	json_object_set_new(object, "finished", json_time(message->finished_ms));
	json_object_set_new(object, "next_attempt",
		waits ? json_time(message->next_attempt_ms) : json_null());
	json_object_set_new(object, "attempts", json_integer(message->attempts));
	json_object_set_new(object, "size", json_integer((json_int_t)message->size));
	json_object_set_new(object, "body_8bit", json_boolean(message->body_8bit));
	json_object_set_new(object, "smtputf8", json_boolean(message->smtputf8));
	json_object_set_new(object, "may_bounce", json_boolean(message->may_bounce));
	json_object_set_new(object, "ret", json_text(queue_ret_name(message->ret)));
	json_object_set_new(object, "envid", json_text(message->envid));
	json_object_set_new(object, "listener", json_text(message->listener));
	json_object_set_new(object, "client", json_text(message->client));
	json_object_set_new(object, "helo", json_text(message->helo));
	json_object_set_new(object, "user", json_text(message->user));
	json_object_set_new(object, "reverse_path", json_text(message->reverse_path));
	json_object_set_new(object, "reason", json_text(message->reason));
	json_object_set_new(object, "relay_id", json_text(message->relay_id));
	json_object_set_new(object, "recipients", json_recipients(message));
	json_object_set_new(object, "attachments", json_attachments(message));
	return object;
}

/* --- for people --- */

/* Text of a peer must not move the cursor of the one who reads it. */
static void append_visible(GString *out, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);
		if (g_unichar_isprint(c))
			g_string_append_unichar(out, c);
		else
			g_string_append_printf(out, "\\u%04x", c);
	}
}

char *queue_text_visible(const char *text)
{
	GString *out = g_string_new(NULL);
	append_visible(out, text ? text : "");
	return g_string_free(out, FALSE);
}

/* "45s", "12m", "3h", "9d" */
static char *short_duration(int64_t ms)
{
	int64_t s = MAX(ms, 0) / 1000;
	if (s < 60)
		return g_strdup_printf("%ds", (int)s);
	if (s < 60 * 60)
		return g_strdup_printf("%dm", (int)(s / 60));
	if (s < 48 * 60 * 60)
		return g_strdup_printf("%dh", (int)(s / 3600));
	return g_strdup_printf("%" G_GINT64_FORMAT "d", s / 86400);
}

static char *next_attempt(const struct queue_message *message, int64_t now_ms)
{
	if (message->finished_ms != 0)
		return g_strdup("-");
	if (message->next_attempt_ms <= now_ms)
		return g_strdup("now");
	/* What is due then is the end of its lifetime, if at all (queue.h). */
	if (message->state == QUEUE_HELD)
		return g_strdup("-");
	g_autofree char *wait = short_duration(message->next_attempt_ms - now_ms);
	return g_strconcat("in ", wait, NULL);
}

static char *short_size(uint64_t bytes)
{
	return g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
}

static char *recipients_cell(const struct queue_message *message)
{
	if (message->recipients->len == 0)
		return g_strdup("-");
	const struct queue_recipient *first = message->recipients->pdata[0];
	GString *cell = g_string_new(NULL);
	append_visible(cell, first->original);
	if (message->recipients->len > 1)
		g_string_append_printf(cell, " +%u", message->recipients->len - 1);
	return g_string_free(cell, FALSE);
}

/* What a fault holds names the fault: it is what "--hold" takes. */
static char *reason_cell(const struct queue_message *message)
{
	if (message->state != QUEUE_HELD || !message->hold)
		return queue_text_visible(message->reason);
	GString *cell = g_string_new(NULL);
	append_visible(cell, message->hold);
	if (message->reason) {
		g_string_append(cell, ": ");
		append_visible(cell, message->reason);
	}
	return g_string_free(cell, FALSE);
}

char **queue_text_row(const struct queue_message *message, int64_t now_ms)
{
	bool null_path = !message->reverse_path || !*message->reverse_path;
	char **row = g_new0(char *, QUEUE_TEXT_COLUMNS + 1);
	row[0] = g_strdup(message->id);
	row[1] = g_strdup(queue_state_name(message->state));
	row[2] = short_duration(now_ms - message->received_ms);
	row[3] = short_size(message->size);
	row[4] = g_strdup_printf("%u", message->attempts);
	row[5] = null_path ? g_strdup("<>") : queue_text_visible(message->reverse_path);
	row[6] = recipients_cell(message);
	row[7] = next_attempt(message, now_ms);
	row[8] = reason_cell(message);
	return row;
}

static void widen(size_t widths[QUEUE_TEXT_COLUMNS], const char *const *cells)
{
	for (size_t i = 0; i < QUEUE_TEXT_COLUMNS; i++)
		widths[i] = MAX(widths[i], (size_t)g_utf8_strlen(cells[i], -1));
}

static void append_row(
	GString *out, const size_t widths[QUEUE_TEXT_COLUMNS], const char *const *cells)
{
	for (size_t i = 0; i < QUEUE_TEXT_COLUMNS; i++) {
		g_string_append(out, cells[i]);
		size_t width = (size_t)g_utf8_strlen(cells[i], -1);
		for (; i + 1 < QUEUE_TEXT_COLUMNS && width < widths[i] + 2; width++)
			g_string_append_c(out, ' ');
	}
	while (out->len > 0 && out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
	g_string_append_c(out, '\n');
}

char *queue_text_table(const GPtrArray *rows, bool headings)
{
	size_t widths[QUEUE_TEXT_COLUMNS] = { 0 };
	GString *out = g_string_new(NULL);
	widen(widths, column_headings);
	for (guint i = 0; i < rows->len; i++)
		widen(widths, (const char *const *)rows->pdata[i]);
	if (headings)
		append_row(out, widths, column_headings);
	for (guint i = 0; i < rows->len; i++)
		append_row(out, widths, (const char *const *)rows->pdata[i]);
	return g_string_free(out, FALSE);
}

static void append_line(GString *out, const char *name, const char *text)
{
	if (!text)
		return;
	g_string_append_printf(out, "%-13s ", name);
	append_visible(out, text);
	g_string_append_c(out, '\n');
}

/* A field of a header; NULL: none. No text of a peer's can add another. */
static void append_field(GString *out, const char *name, const char *text)
{
	if (!text)
		return;
	g_string_append_printf(out, "%s: ", name);
	append_visible(out, text);
	g_string_append(out, "\r\n");
}

static void append_time(GString *out, const char *name, int64_t unix_ms, int64_t now_ms)
{
	if (unix_ms == 0)
		return;
	g_autofree char *iso = iso_time(unix_ms / 1000);
	g_autofree char *age = short_duration(now_ms - unix_ms);
	g_autofree char *text = g_strdup_printf("%s (%s ago)", iso ? iso : "?", age);
	append_line(out, name, text);
}

/* Parameters of RFC 3461, as the client gave them. */
static void append_dsn(GString *out, const struct queue_message *message)
{
	const char *ret = queue_ret_name(message->ret);
	g_autoptr(GString) text = g_string_new(NULL);
	if (ret)
		g_string_append_printf(text, "RET=%s ", ret);
	if (message->envid)
		g_string_append_printf(text, "ENVID=%s ", message->envid);
	if (text->len)
		append_line(out, "DSN", g_strchomp(text->str));
}

static void append_recipient_dsn(GString *out, const struct queue_recipient *r)
{
	const char *notify = queue_notify_name(r->notify);
	if (notify)
		g_string_append_printf(out, "  NOTIFY=%s", notify);
	if (r->orcpt) {
		g_string_append(out, "  ORCPT=");
		append_visible(out, r->orcpt);
	}
}

static void append_recipients(GString *out, const struct queue_message *message)
{
	g_string_append(out, "Recipients\n");
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		g_string_append(out, "  ");
		append_visible(out, r->original);
		if (strcmp(r->original, r->forward_path) != 0) {
			g_string_append(out, " -> ");
			append_visible(out, r->forward_path);
		}
		g_string_append_printf(out, "  %s", queue_state_name(r->state));
		g_string_append(out, r->reply_code || r->reply ? "  " : "");
		if (r->reply_code)
			g_string_append_printf(out, "%d ", r->reply_code);
		append_visible(out, r->reply ? r->reply : "");
		append_recipient_dsn(out, r);
		g_string_append_c(out, '\n');
	}
}

static void append_attachments(GString *out, const struct queue_message *message)
{
	if (message->attachments->len > 0)
		g_string_append(out, "Attachments\n");
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		g_autofree char *size = short_size(a->size);
		g_autofree char *until =
			a->expires_at_s > 0 ? iso_time(a->expires_at_s) : NULL;
		g_string_append_printf(out, "  %zu  ", a->number);
		append_visible(out, a->file_name ? a->file_name : "(no name)");
		g_string_append(out, "  ");
		append_visible(out, a->media_type ? a->media_type : "");
		g_string_append_printf(out,
			"  %s (%" G_GUINT64_FORMAT " octets)\n     key ", size, a->size);
		append_visible(out, a->key);
		g_string_append_printf(out, "\n     sha256 %s\n", a->sha256);
		if (a->revoked_at_s)
			g_string_append(out, "     link revoked\n");
		else if (until)
			g_string_append_printf(out, "     link valid until %s\n", until);
	}
}

/* "2026-11-21T06:00:00Z  deferred   bob@example.com  451 4.7.1 later (relay default)" */
static void append_history(GString *out, const struct queue_message *message)
{
	if (message->events->len > 0)
		g_string_append(out, "History\n");
	for (guint i = 0; i < message->events->len; i++) {
		const struct queue_event *e = message->events->pdata[i];
		const char *recipient = recipient_of(message, e);
		g_autofree char *when = iso_time(e->at_ms / 1000);
		g_string_append_printf(
			out, "  %s  %-9s", when ? when : "?", queue_state_name(e->state));
		if (recipient) {
			g_string_append(out, "  ");
			append_visible(out, recipient);
		}
		g_string_append(out, e->reply_code || e->text ? "  " : "");
		if (e->reply_code)
			g_string_append_printf(out, "%d ", e->reply_code);
		append_visible(out, e->text ? e->text : "");
		if (e->peer) {
			g_string_append(out, " (");
			append_visible(out, e->peer);
			g_string_append_c(out, ')');
		}
		g_string_append_c(out, '\n');
	}
}

/* Whether its sender is to be told of the delay before the message is given up. */
static bool owes_delay(const struct queue_message *message)
{
	if (!message->may_bounce || !*message->reverse_path)
		return false;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if ((r->notify & ~r->told & QUEUE_NOTIFY_DELAY) &&
			!queue_state_is_final(r->state))
			return true;
	}
	return false;
}

static char *attempts_text(const struct queue_message *message, int64_t now_ms)
{
	if (message->state != QUEUE_HELD || message->next_attempt_ms <= now_ms) {
		g_autofree char *next = next_attempt(message, now_ms);
		return g_strdup_printf("%u, next: %s", message->attempts, next);
	}
	if (!message->hold)
		return g_strdup_printf(
			"%u, next: when a person releases it", message->attempts);
	g_autofree char *left = short_duration(message->next_attempt_ms - now_ms);
	return g_strdup_printf("%u, next: once that is mended, %s in %s",
		message->attempts, owes_delay(message) ? "at the latest" : "given up",
		left);
}

char *queue_text_show(const struct queue_message *message, int64_t now_ms)
{
	GString *out = g_string_new(NULL);
	g_autofree char *state = g_strconcat(queue_state_name(message->state),
		message->uncertain ? " (possibly relayed more than once)" : "", NULL);
	g_autofree char *size = short_size(message->size);
	g_autofree char *octets = g_strdup_printf("%s (%" G_GUINT64_FORMAT " octets)%s%s",
		size, message->size, message->body_8bit ? ", 8BITMIME" : "",
		message->smtputf8 ? ", SMTPUTF8" : "");
	g_autofree char *attempts = attempts_text(message, now_ms);
	g_autofree char *from = g_strdup_printf("<%s>", message->reverse_path);
	append_line(out, "ID", message->id);
	append_line(out, "State", state);
	append_line(out, "Held by", held_by(message));
	append_line(out, "Reason", message->reason);
	append_time(out, "Received", message->received_ms, now_ms);
	append_time(out, "Retried", message->retried_ms, now_ms);
	append_time(out, "Finished", message->finished_ms, now_ms);
	append_line(out, "Attempts", attempts);
	append_line(out, "Priority", priority_name(message->priority));
	append_line(out, "Size", octets);
	append_line(out, "Listener", message->listener);
	append_line(out, "Client", message->client);
	append_line(out, "HELO", message->helo);
	append_line(out, "User", message->user);
	append_line(out, "Reverse-path", from);
	append_line(out, "May bounce", message->may_bounce ? "yes" : "no");
	append_dsn(out, message);
	append_line(out, "Relay's ID", message->relay_id);
	append_recipients(out, message);
	append_attachments(out, message);
	append_history(out, message);
	return g_string_free(out, FALSE);
}

char *queue_text_envelope(const struct queue_message *message)
{
	GString *out = g_string_new(NULL);
	g_autofree char *path = g_strdup_printf("<%s>", message->reverse_path);
	g_autofree char *received = iso_time(message->received_ms / 1000);
	append_field(out, "X-Stowage-ID", message->id);
	append_field(out, "X-Stowage-Received", received);
	append_field(out, "X-Stowage-State", queue_state_name(message->state));
	append_field(out, "X-Stowage-Listener", message->listener);
	append_field(out, "X-Stowage-Client", message->client);
	append_field(out, "X-Stowage-User", message->user);
	append_field(out, "X-Stowage-Reverse-Path", path);
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		g_autofree char *text = g_strdup_printf(
			"<%s>; %s", r->forward_path, queue_state_name(r->state));
		append_field(out, "X-Stowage-Recipient", text);
	}
	return g_string_free(out, FALSE);
}

/* --- links --- */

static const char *link_state(const struct queue_attachment *attachment, int64_t now_s)
{
	if (attachment->revoked_at_s)
		return "revoked";
	if (!attachment->expires_at_s)
		return "none";
	return attachment->expires_at_s > now_s ? "good" : "ended";
}

json_t *queue_text_link_json(const struct queue_message *message,
	const struct queue_attachment *attachment, int64_t now_s)
{
	json_t *object = json_object();
	json_t *recipients = json_array();
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		json_array_append_new(recipients, json_text(recipient->forward_path));
	}
	json_object_set_new(object, "message", json_string(message->id));
	json_object_set_new(
		object, "number", json_integer((json_int_t)attachment->number));
	json_object_set_new(object, "state", json_string(link_state(attachment, now_s)));
	json_object_set_new(object, "file_name", json_text(attachment->file_name));
	json_object_set_new(object, "media_type", json_text(attachment->media_type));
	json_object_set_new(object, "size", json_integer((json_int_t)attachment->size));
	json_object_set_new(object, "sha256", json_text(attachment->sha256));
	json_object_set_new(object, "key", json_text(attachment->key));
	json_object_set_new(
		object, "expires_at", json_time(attachment->expires_at_s * 1000));
	json_object_set_new(
		object, "revoked_at", json_time(attachment->revoked_at_s * 1000));
	json_object_set_new(object, "received", json_time(message->received_ms));
	json_object_set_new(object, "reverse_path", json_text(message->reverse_path));
	json_object_set_new(object, "recipients", recipients);
	return object;
}

char *queue_text_link(const struct queue_message *message,
	const struct queue_attachment *attachment, int64_t now_s)
{
	GString *out = g_string_new(NULL);
	g_autofree char *size = short_size(attachment->size);
	bool revoked = attachment->revoked_at_s != 0;
	g_autofree char *when =
		iso_time(revoked ? attachment->revoked_at_s : attachment->expires_at_s);
	g_string_append_printf(out, "%s %zu  ", message->id, attachment->number);
	append_visible(out, attachment->file_name ? attachment->file_name : "(no name)");
	if (revoked || attachment->expires_at_s)
		g_string_append_printf(out, "  %s  %s %s %s\n  ", size,
			link_state(attachment, now_s), revoked ? "at" : "until", when);
	else
		g_string_append_printf(out, "  %s  no link yet\n  ", size);
	append_visible(out, attachment->key);
	g_string_append_c(out, '\n');
	return g_string_free(out, FALSE);
}
