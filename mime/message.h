/*
 * message - what mime.c and link.c share of a struct mime_message.
 *
 * Private to mime/.
 */
#ifndef MIME_MESSAGE_H
#define MIME_MESSAGE_H

#include "mime/mime.h"
#include "mime/outline.h"
#include "mime/policy.h"
#include "mime/source.h"
#include <glib.h>

struct mime_message {
	struct mime_settings settings;
	struct source source;
	struct outline *outline;
	const char *untouched; /* why the whole message stays, or NULL */
	GArray *parts; /* struct policy_part, one for each entity; NULL: not understood */
	GArray *attachments; /* struct mime_attachment; their texts are the parts' */
	GArray *entities;    /* size_t: which entity each attachment is, or is within */
	GPtrArray *names;    /* char *: of files in containers; NULL: none */
	GArray *decisions;   /* struct mime_decision, one for each leaf */
	const struct mime_markers *markers; /* to be taken out of: */
	GArray *marked;                     /* size_t: entities; NULL: none */
	char *notice;                       /* for the bodies, or NULL */
	char *unforeseen;                   /* given with it */
};

#endif
