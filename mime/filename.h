/*
 * filename - a name for an attachment that is safe to show, to save
 * and to put into a header.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_FILENAME_H
#define MIME_FILENAME_H

#include <glib.h>

enum { FILENAME_MAX_BYTES = 200 };

/*
 * name without path, control and bidi characters, leading dots and blanks, as
 * valid UTF-8 of 1 to FILENAME_MAX_BYTES octets, its extension kept. NULL
 * when nothing is left. g_free().
 */
char *filename_clean(const char *name);

/* A name for a part that has none: from its media type, the message's Date field (as it
 * stands there; NULL or nonsense: left out) and its number. g_free(). */
char *filename_make(const char *media_type, const char *date, size_t part);

/* The media type that a name's extension tells: a static text, application/octet-stream
 * when none. */
const char *filename_media_type(const char *name);

#endif
