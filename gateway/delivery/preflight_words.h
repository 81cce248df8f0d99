/*
 * preflight_words - header fields beyond ASCII said in encoded-words (RFC 2047), for a
 * relay that does not take them as they are. Pure; mime_init() has been called.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_WORDS_H
#define GATEWAY_DELIVERY_PREFLIGHT_WORDS_H

#include "gateway/delivery/preflight_fields.h"
#include <glib.h>

/* Whether the field has octets above 127. */
bool words_are_wanted(const char *text, const struct fields_span *span);

/*
 * Such a field's value, which is given apart, in ASCII, unfolded; g_free().
 * Text becomes encoded-words, addresses what addresses_repair() makes of them, parameters
 * what RFC 2231 says; octets are UTF-8 or else Latin-1. Where none of that can be done, ?
 * stands for each octet above 127.
 */
char *words_encode(
	const char *text, const struct fields_span *span, const GString *value);

#endif
