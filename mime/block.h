/*
 * block - the text that stands in the body for the attachments: name, size, type, expiry,
 * link; worded by the settings' templates, or the built-in ones.
 *
 * No line of it begins with "--", whatever the names are, so that no boundary matches it;
 * no line ends in a blank, so that format=flowed leaves it alone (RFC 3676).
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_BLOCK_H
#define MIME_BLOCK_H

#include "mime/mime.h"
#include "mime/template.h"
#include <glib.h>

/* Plain text in UTF-8; ends with newline. Each link has a line of
 * its own between < and >. */
GString *block_text(const struct mime_settings *settings,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline);

/* HTML in pure ASCII, to be put into a body; ends with newline. */
GString *block_html(const struct mime_settings *settings,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline);

/* Appends text so that it is text in HTML and in quoted attributes,
 * non-ASCII as references. */
void block_escape(GString *out, const char *text);

#endif
