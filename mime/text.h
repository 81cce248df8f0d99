/*
 * text - what policy.c and body.c ask of a text body.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_TEXT_H
#define MIME_TEXT_H

#include <glib.h>
#include <stdbool.h>

/* Inline PGP, or a file within the text (uuencode, yEnc): nothing is put
 * into such a part.
 */
bool text_is_armoured(const GString *text);

/*
 * The same words as HTML, in ASCII, its lines ended by newline. Lines stay lines, but
 * those that format=flowed parts are joined (RFC 3676, section 4.1); blanks stay.
 */
GString *text_to_html(const GString *text, bool flowed, bool delsp, const char *newline);

#endif
