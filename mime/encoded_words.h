/*
 * encoded_words - encoded-words (RFC 2047) made fit for GMime. Pure.
 */
#ifndef MIME_ENCODED_WORDS_H
#define MIME_ENCODED_WORDS_H

#include <glib.h>
#include <stddef.h>

/* Octets of "=?charset?B?" at p, B being one of encodings; 0 where there is none. */
size_t encoded_words_head(const char *p, const char *encodings);

/*
 * GMime decodes neighbouring base64 words of one charset as one, so that padding within
 * ends the text. Where such a word is padded and another follows, the run becomes one
 * word, which may be longer than RFC 2047 allows: for decoding, not for sending.
 */
void encoded_words_join(GString *text);

#endif
