/*
 * body_editor - a text part while it is edited: what the steps of body.c hand on.
 *
 * Three views of the part: raw (as sent), text (transfer encoding undone), and for
 * charsets that do not hold ASCII as it is, the same in UTF-8. Places are found in the
 * text, and carried back.
 *
 * Private to body*.c. Pure.
 */
#ifndef MIME_BODY_EDITOR_H
#define MIME_BODY_EDITOR_H

#include "mime/body.h"
#include "mime/outline.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Replaces length octets at offset: of the original in a plan, of the
 * text before that. */
struct body_change {
	uint64_t offset;
	uint64_t length;
	GString *text;
};

struct body_plan {
	GArray *changes; /* struct body_change, of the original */
	char *list;      /* what the markers hold; NULL: there are none */
	const char *fault;
	GString *text; /* in UTF-8, or NULL */
};

struct body_editor {
	const struct body_request *request;
	const struct outline_entity *entity;
	GString *raw;
	GString *text;
	GArray *changes; /* struct body_change, of text, by offset */
	bool to_utf8;    /* text and changes are in UTF-8 and the charset becomes so */
	const char *charset;
	struct body_plan *plan;
};

/* Of struct body_change; g_array_unref(). */
GArray *body_changes_new(void);

/* Takes text. */
void body_changes_add(GArray *changes, uint64_t offset, uint64_t length, GString *text);

const struct body_change *body_changes_at(const GArray *changes, size_t i);
bool body_change_is_ascii(const struct body_change *change);

/* The text with its changes, which are in order and do not overlap. Their offsets count
 * from where text is at start; those before it are left out. */
GString *body_changes_apply(const GString *text, uint64_t start, const GArray *changes);

/* Adds to the editor's changes what its request asks for in text. */
void body_find_changes(struct body_editor *editor, const GString *text);

/* NULL when the part's charset does not say. */
GString *body_to_utf8(const struct body_editor *editor, const GString *text);

/* Finds the changes, in the part's charset or with to_utf8. False when the text is not to
 * be edited. */
bool body_edit_text(struct body_editor *editor);

/* Sets a field of the part's header, in its place, or behind
 * Content-Type, or at the end. */
void body_plan_field(const struct body_editor *editor, struct body_plan *plan,
	const char *name, const char *line);

/* Makes the label utf-8, keeping all else of the field. False when the field is too odd
 * (no error), or with MIME_ERROR_IO. */
bool body_plan_charset(
	const struct body_editor *editor, struct body_plan *plan, GError **error);

/* Plans the editor's changes as changes of the original. False as above. */
bool body_plan_encoded(
	const struct body_editor *editor, struct body_plan *plan, GError **error);

#endif
