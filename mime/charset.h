/*
 * charset - exact conversions between a body's charset and UTF-8.
 *
 * Exact: what cannot be converted is an error, never a question mark.
 *
 * Pure.
 */
#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * True when ASCII text stands in that charset as it is, at any line start or HTML tag, so
 * that it can be inserted there as bytes. NULL and unknown charsets count as ASCII's
 * extensions; UTF-16, UTF-7, HZ, ISO-2022-* and the like do not.
 */
bool charset_holds_ascii(const char *charset);

/* True for what UTF-8 holds as it is (us-ascii, utf-8, or no charset at all). */
bool charset_is_utf8(const char *charset);

/* g_free(); *bytes_written without the NUL (may be NULL). NULL when
 * not exactly convertible. */
char *charset_to_utf8(
	const char *charset, const char *text, size_t length, size_t *bytes_written);
char *charset_from_utf8(
	const char *charset, const char *text, size_t length, size_t *bytes_written);

#endif
