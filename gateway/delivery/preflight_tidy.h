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
 * bare CR, a NUL, no line end, nothing but blanks, or a bare LF where newline is CR
 * LF. */
bool tidy_is_needed(const char *field, size_t bytes, const char *newline);

/*
 * Appends text without such faults and without its last line end: bare CR and NUL
 * become blanks, lines of blanks go, lines end as newline says, those too long are
 * folded: before a blank, else behind a comma or the like, else anywhere between
 * characters, where the blank that begins a continuation is then one too many: better
 * than a message that is refused.
 */
void tidy_append(GString *out, const char *text, size_t bytes, const char *newline);

#endif
