/*
 * Edits of a text in its charset, or in UTF-8 where that cannot hold them.
 * Leaves to body_find.c what is edited, to body_field.c the charset's name in the header.
 */
#include "mime/body_editor.h"
#include "mime/charset.h"
#include "mime/text.h"
#include <string.h>

GString *body_to_utf8(const struct body_editor *editor, const GString *text)
{
	size_t bytes;
	char *utf8 = charset_to_utf8(editor->charset, text->str, text->len, &bytes);
	GString *result;

	if (utf8 == NULL)
		return NULL;
	result = g_string_new_len(utf8, (gssize)bytes);
	g_free(utf8);
	return result;
}

static GString *from_utf8(const struct body_editor *editor, const GString *text)
{
	size_t bytes;
	char *converted =
		charset_from_utf8(editor->charset, text->str, text->len, &bytes);
	GString *result;

	if (converted == NULL)
		return NULL;
	result = g_string_new_len(converted, (gssize)bytes);
	g_free(converted);
	return result;
}

/* True when utf8 converts to the part's charset and is exactly want there. */
static bool round_trips(
	const struct body_editor *editor, const GString *utf8, const GString *want)
{
	GString *back = from_utf8(editor, utf8);
	bool same = back != NULL && g_string_equal(back, want);

	if (back != NULL)
		g_string_free(back, TRUE);
	return same;
}

/* One change that makes after of before: what lies between their common ends. */
static void set_difference(
	struct body_editor *editor, const GString *before, const GString *after)
{
	size_t head = 0, tail = 0, most = MIN(before->len, after->len);

	while (head < most && before->str[head] == after->str[head])
		head++;
	while (tail < most - head &&
		before->str[before->len - 1 - tail] == after->str[after->len - 1 - tail])
		tail++;
	g_array_set_size(editor->changes, 0);
	body_changes_add(editor->changes, head, before->len - head - tail,
		g_string_new_len(after->str + head, (gssize)(after->len - head - tail)));
}

/* The text becomes UTF-8, and so does the label. */
static void become_utf8(struct body_editor *editor, GString *utf8)
{
	g_string_free(editor->text, TRUE);
	editor->text = utf8;
	editor->to_utf8 = true;
}

/* A charset in which ASCII has other bytes, or depends on a state:
 * edited by way of UTF-8. */
static bool edit_converted(struct body_editor *editor)
{
	GString *utf8 = body_to_utf8(editor, editor->text);
	GString *edited, *converted;

	if (utf8 == NULL || text_is_armoured(utf8)) {
		if (utf8 != NULL)
			g_string_free(utf8, TRUE);
		return false;
	}
	body_find_changes(editor, utf8);
	if (editor->changes->len == 0) {
		g_string_free(utf8, TRUE);
		return true;
	}
	edited = body_changes_apply(utf8, 0, editor->changes);
	converted = round_trips(editor, utf8, editor->text) ? from_utf8(editor, edited)
							    : NULL;
	g_string_free(edited, TRUE);
	if (converted == NULL) {
		become_utf8(editor, utf8);
		return true;
	}
	set_difference(editor, editor->text, converted);
	g_string_free(converted, TRUE);
	g_string_free(utf8, TRUE);
	return true;
}

/* Writes the changes, in UTF-8, in the part's charset; false when
 * it does not hold them. */
static bool convert_changes(struct body_editor *editor)
{
	for (size_t i = 0; i < editor->changes->len; i++) {
		struct body_change *change =
			&g_array_index(editor->changes, struct body_change, i);
		GString *converted;

		if (body_change_is_ascii(change))
			continue;
		if (editor->charset != NULL && charset_is_utf8(editor->charset) &&
			g_ascii_strncasecmp(editor->charset, "utf", 3) == 0)
			continue;
		converted = from_utf8(editor, change->text);
		if (converted == NULL)
			return false;
		g_string_free(change->text, TRUE);
		change->text = converted;
	}
	return true;
}

/* A charset that holds ASCII: the text is edited as bytes. */
static bool edit_bytes(struct body_editor *editor)
{
	GString *utf8;

	if (text_is_armoured(editor->text) ||
		memchr(editor->text->str, '\0', editor->text->len))
		return false;
	body_find_changes(editor, editor->text);
	if (convert_changes(editor))
		return true;
	utf8 = body_to_utf8(editor, editor->text);
	if (utf8 == NULL)
		return false;
	g_array_set_size(editor->changes, 0);
	body_find_changes(editor, utf8);
	become_utf8(editor, utf8);
	return true;
}

bool body_edit_text(struct body_editor *editor)
{
	return charset_holds_ascii(editor->charset) ? edit_bytes(editor)
						    : edit_converted(editor);
}
