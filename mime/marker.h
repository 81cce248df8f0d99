/*
 * marker - lists of recipients that a device wrote into a body, and what to cut so that
 * the body is without them.
 *
 * ":WORD:a@x.example,b@y.example:WORD:" and
 * "WORD:[a@x.example,b@y.example]:WORD:", in any case, over blanks and line
 * breaks; in HTML also over tags and as character references.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_MARKER_H
#define MIME_MARKER_H

#include "mime/mime.h"
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum { MARKER_LIST_BYTES_MAX = 64 * 1024 };

/* Octets that go, by offset, none in another. */
struct marker_cut {
	size_t start, end;
};

struct marker_search {
	GArray *cuts; /* struct marker_cut */
	/* what all markers hold, without blanks, each with a comma behind */
	GString *list;
	size_t markers;
	const char *fault; /* why it is no list, a static text; NULL */
};

/*
 * Looks through text, in a charset that holds ASCII as it is. HTML tags that a marker
 * spans are cut with it where they begin and end within; others stay.
 */
void marker_search(struct marker_search *search, const struct mime_markers *markers,
	const char *text, size_t length, bool html);
void marker_search_clear(struct marker_search *search);

/*
 * The addresses of a list as marker_search() gives it, each once, in order, of char *;
 * g_ptr_array_unref(). NULL with *reason (g_free()) where it is not a proper list; that
 * never shows what stands in it.
 */
GPtrArray *marker_addresses(
	const struct mime_markers *markers, const char *list, char **reason);

#endif
