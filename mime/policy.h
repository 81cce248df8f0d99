/*
 * policy - what is an attachment, and where the links go.
 *
 * Private to mime/. Pure but for reading HTML bodies, which may refer to other parts.
 */
#ifndef MIME_POLICY_H
#define MIME_POLICY_H

#include "mime/mime.h"
#include "mime/outline.h"
#include "mime/source.h"
#include <glib.h>
#include <stdbool.h>

enum {
	/* A text body above it, as sent, is not edited but gets a new part beside it. */
	POLICY_BODY_BYTES = 2 * 1024 * 1024,
};

enum policy_role { POLICY_NO_BODY, POLICY_TEXT_BODY, POLICY_HTML_BODY };

/* One entity of the outline, by its number there. */
struct policy_part {
	bool leaf;     /* it has a decision: a leaf, or an attached message as a whole */
	size_t number; /* of leaves, from 1 */
	size_t scope;  /* the message it belongs to: 0, or one that is rewritten within */
	bool link;
	bool by_rule;      /* ... or not, because the settings name its type or name */
	bool drop;         /* taken out with no link, when the message has one */
	bool is_protected; /* it, or what it stands in, is signed or the like */
	bool referenced;   /* from an HTML text */
	bool fixed;        /* ... to which no link can be given: it is not the body */
	/* it is a signed or encrypted multipart, or stands in one: not even its encoding
	 * may change (RFC 1847, section 2.1) */
	bool is_sealed;
	enum policy_role role;
	const char *reason;
	char *file_name; /* cleaned, or NULL */
};

/*
 * Decides for all entities: an array of struct policy_part, one for each,
 * g_array_unref(). *untouched says why the whole message stays, or is NULL. NULL with
 * MIME_ERROR_IO.
 */
GArray *policy_decide(const struct outline *outline, struct source *source,
	const struct mime_settings *settings, const char **untouched, GError **error);

#endif
