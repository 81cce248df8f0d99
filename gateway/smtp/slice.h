/*
 * slice - a range of bytes that someone else owns.
 */
#ifndef GATEWAY_SMTP_SLICE_H
#define GATEWAY_SMTP_SLICE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *start;
	size_t bytes;
};

static inline struct slice slice_of(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static inline struct slice slice_from(struct slice slice, size_t offset)
{
	return (struct slice){ slice.start + offset, slice.bytes - offset };
}

/* Whether slice is text, whatever the case of its ASCII letters. */
static inline bool slice_is(struct slice slice, const char *text)
{
	return strlen(text) == slice.bytes &&
	       !g_ascii_strncasecmp(slice.start, text, slice.bytes);
}

/* Whether slice begins with text, whatever the case of its ASCII letters. */
static inline bool slice_begins(struct slice slice, const char *text)
{
	size_t bytes = strlen(text);
	return slice.bytes >= bytes && !g_ascii_strncasecmp(slice.start, text, bytes);
}

static inline bool slice_is_ascii(struct slice slice)
{
	for (size_t i = 0; i < slice.bytes; i++) {
		if ((unsigned char)slice.start[i] >= 0x80)
			return false;
	}
	return true;
}

/* Without the spaces and tabs at its end. */
static inline struct slice slice_trim_end(struct slice slice)
{
	while (slice.bytes && (slice.start[slice.bytes - 1] == ' ' ||
				      slice.start[slice.bytes - 1] == '\t'))
		slice.bytes--;
	return slice;
}

/* Without the spaces and tabs at both ends. */
static inline struct slice slice_trim(struct slice slice)
{
	while (slice.bytes && (*slice.start == ' ' || *slice.start == '\t'))
		slice = slice_from(slice, 1);
	return slice_trim_end(slice);
}

/* The part before the first space; *rest is what follows it, trimmed. */
static inline struct slice slice_word(struct slice slice, struct slice *rest)
{
	const char *space = slice.bytes ? memchr(slice.start, ' ', slice.bytes) : NULL;
	size_t bytes = space ? (size_t)(space - slice.start) : slice.bytes;
	*rest = slice_trim(slice_from(slice, bytes));
	return (struct slice){ slice.start, bytes };
}

#endif
