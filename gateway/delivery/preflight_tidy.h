/*
 * preflight_tidy - lines of a header made such that every reader
 * sees the same lines. Pure.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_TIDY_H
#define GATEWAY_DELIVERY_PREFLIGHT_TIDY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether a field (whole lines) has a line over 998 octets (RFC 5322, section 2.1.1), a
 * bare CR, a NUL, no line end, or a bare LF where newline is CR LF. */
bool tidy_is_needed(const char *field, size_t bytes, const char *newline);

/*
 * Appends text without such faults and without its last line end: bare CR and NUL become
 * blanks, lines end as newline says, those too long are folded before a blank. hard:
 * where there is no blank, anywhere; else such a line stays long.
 */
void tidy_append(
	GString *out, const char *text, size_t bytes, const char *newline, bool hard);

#endif
