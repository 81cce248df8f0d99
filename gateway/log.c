/* The writer behind log.h: JSON lines, or prose for a terminal. Knows nothing of what the
 * events mean. */
#include "gateway/log.h"

#include "gateway/write.h"
#include <glib.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAMP_BYTES 32

/* As in openlog(3): standard error is the process's, and so is how it is written to.
 * Atomic: a reload changes them while threads log. */
static gint log_is_human;
static gint log_least = LOG_LEVEL_INFO;

static const struct {
	const char *name, *colour;
} levels[] = {
	[LOG_LEVEL_DEBUG] = { "debug", "\033[2m" },
	[LOG_LEVEL_INFO] = { "info", "\033[32m" },
	[LOG_LEVEL_WARNING] = { "warning", "\033[33m" },
	[LOG_LEVEL_ERROR] = { "error", "\033[31m" },
};

static void write_line(GString *line)
{
	g_string_append_c(line, '\n');
	/* If that fails, nobody is left to be told. */
	(void)write_all(STDERR_FILENO, line->str, line->len);
}

/* As JSON has it: in UTF-16. */
static void append_escape(GString *line, gunichar c)
{
	if (c > 0xffff) {
		g_string_append_printf(line, "\\u%04x", 0xd800 + ((c - 0x10000) >> 10));
		c = 0xdc00 + ((c - 0x10000) & 0x3ff);
	}
	g_string_append_printf(line, "\\u%04x", c);
}

/* Text that a peer sent must not move the cursor of the one who reads it: terminals obey
 * control characters of Unicode's first block too, and marks of direction hide what is
 * written. As JSON escapes a character, so that JSON stays what it was. */
static void append_visible(GString *line, const char *valid)
{
	const char *run = valid;
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		if (*p >= ' ' && *p < 0x7f)
			continue;
		gunichar c = g_utf8_get_char(p);
		if (g_unichar_isprint(c))
			continue;
		g_string_append_len(line, run, p - run);
		append_escape(line, c);
		run = g_utf8_next_char(p);
	}
	g_string_append(line, run);
}

static json_t *json_text(const char *text)
{
	json_t *string = json_string(text);
	if (string)
		return string;
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	return json_string(valid);
}

static void format_json(GString *line, const char *now, enum log_level level,
	const char *event, const struct log_field *fields)
{
	json_t *object = json_object();
	json_object_set_new(object, "time", json_text(now));
	json_object_set_new(object, "level", json_text(levels[level].name));
	json_object_set_new(object, "event", json_text(event));
	for (const struct log_field *f = fields; f->key; f++) {
		if (f->is_number)
			json_object_set_new(object, f->key, json_integer(f->number));
		else if (f->text)
			json_object_set_new(object, f->key, json_text(f->text));
	}
	char *dumped = json_dumps(object, JSON_COMPACT);
	append_visible(line, dumped);
	free(dumped);
	json_decref(object);
}

static void format_human(GString *line, const char *now, enum log_level level,
	const char *event, const struct log_field *fields)
{
	bool colour = isatty(STDERR_FILENO);
	g_string_append_printf(line, "%.8s %s%s%s", strchr(now, 'T') + 1,
		colour ? levels[level].colour : "", event, colour ? "\033[0m" : "");
	for (const struct log_field *f = fields; f->key; f++) {
		if (f->is_number) {
			g_string_append_printf(line, "  %s=%" G_GINT64_FORMAT, f->key,
				(gint64)f->number);
		} else if (f->text) {
			g_autofree char *valid = g_utf8_make_valid(f->text, -1);
			g_string_append_printf(line, "  %s=", f->key);
			append_visible(line, valid);
		}
	}
}

/* RFC 3339, in UTC and with milliseconds. */
static void print_now(char stamp[STAMP_BYTES])
{
	int64_t now_ms = g_get_real_time() / 1000;
	time_t now_s = (time_t)(now_ms / 1000);
	struct tm utc;
	gmtime_r(&now_s, &utc);
	size_t n = strftime(stamp, STAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
	g_snprintf(stamp + n, STAMP_BYTES - n, ".%03dZ", (int)(now_ms % 1000));
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	if ((gint)level < g_atomic_int_get(&log_least))
		return;
	char stamp[STAMP_BYTES];
	print_now(stamp);
	g_autoptr(GString) line = g_string_sized_new(256);
	if (g_atomic_int_get(&log_is_human))
		format_human(line, stamp, level, event, fields);
	else
		format_json(line, stamp, level, event, fields);
	write_line(line);
}

static GLogWriterOutput write_glib(
	GLogLevelFlags flags, const GLogField *fields, gsize n_fields, void *unused)
{
	(void)unused;
	const char *message = NULL, *domain = NULL;
	for (gsize i = 0; i < n_fields; i++) {
		if (!strcmp(fields[i].key, "MESSAGE"))
			message = fields[i].value;
		else if (!strcmp(fields[i].key, "GLIB_DOMAIN"))
			domain = fields[i].value;
	}
	bool bad =
		flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
	log_event(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "library.message",
		LOG_TEXT("library", domain), LOG_TEXT("reason", message));
	return G_LOG_WRITER_HANDLED;
}

void log_init(bool human, enum log_level least)
{
	g_atomic_int_set(&log_is_human, human);
	g_atomic_int_set(&log_least, (gint)least);
	static gsize handed_to_glib; /* GLib takes a writer only once */
	if (g_once_init_enter(&handed_to_glib)) {
		g_log_set_writer_func(write_glib, NULL, NULL);
		g_once_init_leave(&handed_to_glib, 1);
	}
}
