/*
 * text - what policy.c and body.c ask of a text body.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_TEXT_H
#define MIME_TEXT_H

#include <glib.h>
#include <stdbool.h>

/* Inline PGP, or a file within the text (uuencode, yEnc): nothing is put into such a part.
 */
bool text_is_armoured(const GString *text);

#endif
