/* Finds the declared charset and converts by it. Which fields are read so
 * is preflight.c's. */
#include "gateway/delivery/preflight_octets.h"

#include "gateway/delivery/preflight_fields.h"
#include "gateway/delivery/preflight_text.h"
#include "mime/charset.h"
#include <glib.h>
#include <gmime/gmime.h>
#include <stdbool.h>
#include <string.h>

#define TYPE_BYTES_MAX 4096 /* of a Content-Type that is read */
#define TYPES_MAX      64   /* that are looked at */

static bool is_usable(const char *charset)
{
	return charset && !charset_is_utf8(charset) && charset_holds_ascii(charset);
}

/* The charset of a text's Content-Type; NULL: it is none, or says nothing
 * of use; g_free(). */
static char *charset_of_type(const char *text, const struct fields_span *span)
{
	size_t bytes = span->end - span->value;
	if (bytes > TYPE_BYTES_MAX)
		return NULL;
	g_autofree char *line = text_line(text + span->value, bytes);
	GMimeContentType *type = g_mime_content_type_parse(NULL, line);
	const char *charset = type && g_mime_content_type_is_type(type, "text", "*")
				      ? g_mime_content_type_get_parameter(type, "charset")
				      : NULL;
	char *usable = is_usable(charset) ? g_strdup(charset) : NULL;
	g_clear_object(&type);
	return usable;
}

static bool is_multipart(const char *text, const struct fields_span *span)
{
	static const char prefix[] = "multipart/";
	size_t begin = span->value, end = span->end;
	fields_trim(text, &begin, &end);
	return end - begin > strlen(prefix) &&
	       !g_ascii_strncasecmp(text + begin, prefix, strlen(prefix));
}

char *octets_find_charset(const char *text, size_t bytes, size_t header_end)
{
	struct fields_span span;
	char *charset = NULL;
	bool has_parts = false;
	unsigned n = 0;
	for (size_t at = 0; at < bytes && !charset && n < TYPES_MAX; at = span.end) {
		if (at >= header_end && !has_parts)
			break;
		if (fields_at(text, bytes, at, &span) != FIELDS_FIELD ||
			!fields_is(text, &span, "Content-Type"))
			continue;
		n++;
		charset = charset_of_type(text, &span);
		has_parts = has_parts || is_multipart(text, &span);
	}
	return charset;
}

char *octets_to_utf8(
	const char *charset, const char *raw, size_t raw_bytes, size_t *utf8_bytes)
{
	if (!charset || text_is_ascii(raw, raw_bytes) ||
		g_utf8_validate_len(raw, raw_bytes, NULL))
		return NULL;
	return charset_to_utf8(charset, raw, raw_bytes, utf8_bytes);
}
