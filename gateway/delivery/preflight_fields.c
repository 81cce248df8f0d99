/* Finds fields in a header block (RFC 5322, section 2.2). What they mean is
 * preflight.c's. */
#include "gateway/delivery/preflight_fields.h"

#include <glib.h>
#include <string.h>

static size_t line_end(const char *text, size_t bytes, size_t at)
{
	const char *feed = memchr(text + at, '\n', bytes - at);
	return feed ? (size_t)(feed - text) + 1 : bytes;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The colon that ends the name at the line's start, or 0 where there is no such name. */
static size_t find_colon(const char *text, size_t at, size_t end, size_t *name_end)
{
	size_t i = at;
	while (i < end && text[i] > ' ' && text[i] < 0x7f && text[i] != ':')
		i++;
	*name_end = i;
	while (i < end && is_blank(text[i]))
		i++;
	return *name_end > at && i < end && text[i] == ':' ? i : 0;
}

enum fields_kind fields_at(
	const char *text, size_t bytes, size_t at, struct fields_span *span)
{
	*span = (struct fields_span){ at, at, at, at };
	if (at >= bytes)
		return FIELDS_EOF;
	span->end = line_end(text, bytes, at);
	if (text[at] == '\n' ||
		(text[at] == '\r' && at + 1 < bytes && text[at + 1] == '\n'))
		return FIELDS_EMPTY;
	size_t colon = find_colon(text, at, span->end, &span->name_end);
	if (!colon) {
		span->name_end = at;
		return FIELDS_JUNK;
	}
	span->value = colon + 1;
	while (span->end < bytes && is_blank(text[span->end]))
		span->end = line_end(text, bytes, span->end);
	return FIELDS_FIELD;
}

size_t fields_own_trace_end(const char *text, size_t bytes, const char *id)
{
	struct fields_span span;
	if (fields_at(text, bytes, 0, &span) != FIELDS_FIELD ||
		!fields_is(text, &span, "Received"))
		return 0;
	g_autofree char *id_clause = g_strdup_printf(" id %s", id);
	const char *end = text + span.end;
	const char *at = memmem(text, span.end, id_clause, strlen(id_clause));
	/* the date stands in a line of its own, and nothing behind it */
	const char *date = at ? memmem(at, (size_t)(end - at), ";\r\n\t", 4) : NULL;
	return date ? line_end(text, span.end, (size_t)(date + 4 - text)) : 0;
}

bool fields_is(const char *text, const struct fields_span *span, const char *name)
{
	size_t length = strlen(name);
	return span->name_end - span->start == length &&
	       !g_ascii_strncasecmp(text + span->start, name, length);
}

bool fields_has_prefix(
	const char *text, const struct fields_span *span, const char *prefix)
{
	size_t length = strlen(prefix);
	return span->name_end - span->start >= length &&
	       !g_ascii_strncasecmp(text + span->start, prefix, length);
}

void fields_trim(const char *text, size_t *begin, size_t *end)
{
	while (*begin < *end && memchr(" \t\r\n", text[*begin], 4))
		++*begin;
	while (*end > *begin && memchr(" \t\r\n", text[*end - 1], 4))
		--*end;
}
