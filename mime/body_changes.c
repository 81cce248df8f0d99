/*
 * Edits of octets: kept in order, applied.
 * Leaves to the others what is edited.
 */
#include "mime/body_editor.h"

static void clear_change(gpointer data)
{
	struct body_change *change = data;

	g_string_free(change->text, TRUE);
}

GArray *body_changes_new(void)
{
	GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct body_change));

	g_array_set_clear_func(changes, clear_change);
	return changes;
}

void body_changes_add(GArray *changes, uint64_t offset, uint64_t length, GString *text)
{
	struct body_change change = { .offset = offset, .length = length, .text = text };

	g_array_append_val(changes, change);
}

const struct body_change *body_changes_at(const GArray *changes, size_t i)
{
	return &g_array_index(changes, struct body_change, i);
}

bool body_change_is_ascii(const struct body_change *change)
{
	for (size_t i = 0; i < change->text->len; i++)
		if ((unsigned char)change->text->str[i] >= 0x80)
			return false;
	return true;
}

GString *body_changes_apply(const GString *text, uint64_t start, const GArray *changes)
{
	GString *out = g_string_sized_new(text->len + 1024);
	size_t at = 0;

	for (size_t i = 0; i < changes->len; i++) {
		const struct body_change *change = body_changes_at(changes, i);
		size_t offset;

		if (change->offset < start)
			continue;
		offset = (size_t)(change->offset - start);
		g_string_append_len(out, text->str + at, (gssize)(offset - at));
		g_string_append_len(out, change->text->str, (gssize)change->text->len);
		at = offset + (size_t)change->length;
	}
	g_string_append_len(out, text->str + at, (gssize)(text->len - at));
	return out;
}
