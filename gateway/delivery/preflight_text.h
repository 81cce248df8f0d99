/*
 * preflight_text - text of others made safe for a header field: names, addresses,
 * folding. Pure.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_TEXT_H
#define GATEWAY_DELIVERY_PREFLIGHT_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* What is left for a name to show: valid UTF-8 without controls, line ends and marks that
 * turn the writing direction; white space collapsed; at most limit_bytes, cut between
 * characters. Never NULL; g_free(). */
char *text_clean(const char *raw, size_t raw_bytes, size_t limit_bytes);

/* A copy in which controls, line ends and NUL among them, are blanks, as the mended
 * header has them; g_free(). */
char *text_line(const char *raw, size_t raw_bytes);

/* What a line of unstructured text says: its encoded-words (RFC 2047) decoded, line ends
 * and other controls in them too, which are blanks then. In UTF-8; g_free(). */
char *text_decode(const char *line);

/* Whether no octet is above 127. */
bool text_is_ascii(const char *text, size_t text_bytes);

/* Cleaned text as a phrase (RFC 5322, 3.2.5): a quoted-string, or encoded-words (RFC
 * 2047) where it has characters beyond ASCII. g_free(). */
char *text_phrase(const char *clean);

/* Cleaned text as unstructured text: as it is, or in encoded-words. g_free(). */
char *text_unstructured(const char *clean);

/* Whether address is local-part@domain of ASCII only that may stand between angle
 * brackets as it is: dot-atom or quoted-string, at most 320 octets; domain of letters,
 * digits, single dots inside and hyphens, or an address literal. */
bool text_is_address(const char *address);

/* The domain of an address ("" without one), borrowed. */
const char *text_domain(const char *address);

/* Whether domain is a name of letters, digits, dots and hyphens of at most 255 octets. */
bool text_is_domain(const char *domain);

/* Adds "NAME: VALUE" and newline, folded at blanks to 78 columns where that is possible
 * and to 998 octets in any case. Controls in value, line ends among them, are blanks. */
void text_append_field(
	GString *out, const char *name, const char *value, const char *newline);

#endif
