/*
 * preflight_octets - what octets above 127 in a header stand for, where they are no
 * UTF-8: mail programs of East Asia and Russia write them in the charset of the text.
 * Pure; mime_init() has been called.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_OCTETS_H
#define GATEWAY_DELIVERY_PREFLIGHT_OCTETS_H

#include <stddef.h>

/*
 * The charset that the message's first text declares: its own Content-Type, or, of a
 * multipart, that of a part in the first octets of its body. header_end: where the top
 * header begins to end in text. NULL: none, or one whose octets above 127 could not
 * stand in a header; g_free().
 */
char *octets_find_charset(const char *text, size_t bytes, size_t header_end);

/* raw in UTF-8, *utf8_bytes long; NULL: it is UTF-8 already, or is not valid in
 * charset (may be NULL); g_free(). */
char *octets_to_utf8(
	const char *charset, const char *raw, size_t raw_bytes, size_t *utf8_bytes);

#endif
