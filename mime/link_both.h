/*
 * link_both - a message of text alone gets HTML as well, for the links' sake.
 *
 * Private to mime/.
 */
#ifndef MIME_LINK_BOTH_H
#define MIME_LINK_BOTH_H

#include "mime/linker.h"
#include <glib.h>
#include <stdbool.h>

/*
 * Where text, an entity, is the only body and can be read, it becomes a
 * multipart/alternative of itself, in UTF-8 with the block in it, and of an HTML page of
 * the same words: *done. Nothing is edited otherwise. False with MIME_ERROR_IO.
 */
bool link_both(struct linker *linker, size_t text, bool *done, GError **error);

#endif
