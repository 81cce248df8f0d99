/*
 * name - which charset a file name is in that says none: mail programs that write raw
 * 8-bit names write them in the charset of the text beside them.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_NAME_H
#define MIME_NAME_H

#include <glib.h>
#include <stdbool.h>

/*
 * name, which is no UTF-8, read in the first of hints (NULL-ended charsets; us-ascii and
 * utf-8 are passed over) in which all of it is text, else as filename_clean() does.
 * g_free().
 */
char *name_from_raw(const char *name, const char *const *hints);

/* The charset of the first encoded word (RFC 2047) of a header block that is neither
 * us-ascii nor utf-8; NULL: there is none. g_free(). */
char *name_charset_of_words(const GString *header);

#endif
