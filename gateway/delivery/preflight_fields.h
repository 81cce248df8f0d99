/*
 * preflight_fields - where the fields of a header block begin and
 * end. Pure: offsets only.
 *
 * Tolerant: lines end at CR LF or LF alone, white space may stand before the colon, any
 * octet may stand in a value. Nothing is allocated, so no input costs memory.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_FIELDS_H
#define GATEWAY_DELIVERY_PREFLIGHT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

/* Offsets into the text; start <= name_end <= value <= end. */
struct fields_span {
	size_t start;
	size_t name_end; /* white space before the colon left out */
	size_t value;    /* after the colon */
	size_t end;      /* after the last line's terminator, folded lines included */
};

enum fields_kind {
	FIELDS_FIELD,
	FIELDS_JUNK,  /* one line that is no field: start and end are set */
	FIELDS_EMPTY, /* the empty line that ends the block: start and end are set */
	FIELDS_EOF,   /* the text ended before an empty line */
};

/* What begins at offset at (the start of a line). Go on at span->end. */
enum fields_kind fields_at(
	const char *text, size_t bytes, size_t at, struct fields_span *span);

/* Where the trace field that the gateway itself put before a message ends, by the ID in
 * it; 0: the text begins with no such field. A line that begins with a blank behind it is
 * not its continuation, but the client's first line. */
size_t fields_own_trace_end(const char *text, size_t bytes, const char *id);

/* Whether the span's name is name, ignoring case. */
bool fields_is(const char *text, const struct fields_span *span, const char *name);
bool fields_has_prefix(
	const char *text, const struct fields_span *span, const char *prefix);

/* Narrows [*begin, *end) of text by white space and line ends at both sides. */
void fields_trim(const char *text, size_t *begin, size_t *end);

#endif
