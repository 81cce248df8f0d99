/*
 * body - puts a block into a text part.
 *
 * Reads the part, has body_charset.c edit its text and body_encode.c carry
 * the edits back.
 */
#include "mime/body.h"

#include "mime/body_editor.h"
#include "mime/decode.h"
#include "mime/text.h"
#include <string.h>

const char *body_plan_list(const struct body_plan *plan)
{
	return plan->list;
}

const GString *body_plan_text(const struct body_plan *plan)
{
	return plan->text;
}

const char *body_plan_fault(const struct body_plan *plan)
{
	return plan->fault;
}

/* The same field twice: both would have to change. Encoding changes one field only. */
static bool has_doubles(const struct body_editor *editor)
{
	const struct outline *outline = editor->request->outline;
	bool any = !editor->request->shortens;

	for (size_t i = 0; i < editor->entity->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, editor->entity->first_field + i);

		if (!any && strcmp(field->name, "content-transfer-encoding") != 0)
			continue;
		if (outline_find(outline, editor->entity, field->name) != field)
			return true;
	}
	return false;
}

static bool is_editable(const struct body_editor *editor)
{
	const struct outline_entity *entity = editor->entity;

	return entity->blank_line && entity->kind == OUTLINE_LEAF &&
	       !has_doubles(editor) &&
	       entity->body_end - entity->body_start <= POLICY_BODY_BYTES &&
	       (editor->request->shortens || !entity->content.charset_conflict) &&
	       !entity->content.malformed &&
	       entity->content.encoding != HEADER_ENCODING_UUENCODE &&
	       entity->content.encoding != HEADER_ENCODING_UNKNOWN;
}

/* Fills raw and text; *readable is false when the encoding is broken. */
static bool read_part(struct body_editor *editor, bool *readable, GError **error)
{
	const struct outline_entity *entity = editor->entity;
	struct source *source = editor->request->source;
	const char *violation;

	editor->raw = g_string_new(NULL);
	editor->text = g_string_new(NULL);
	*readable = false;
	if (!source_append(
		    source, entity->body_start, entity->body_end, editor->raw, error) ||
		!decode_text(source, entity->body_start, entity->body_end,
			entity->content.encoding, editor->text, &violation, error))
		return false;
	*readable = violation == NULL;
	return true;
}

static void keep_text(const struct body_editor *editor, struct body_plan *plan)
{
	GString *edited = body_changes_apply(editor->text, 0, editor->changes);

	plan->text =
		editor->to_utf8 ? g_steal_pointer(&edited) : body_to_utf8(editor, edited);
	if (edited != NULL)
		g_string_free(edited, TRUE);
}

static bool plan_part(
	struct body_editor *editor, struct body_plan *plan, bool *planned, GError **error)
{
	GError *failure = NULL;

	*planned = false;
	if (!read_part(editor, planned, error))
		return false;
	if (*planned && editor->request->shortens)
		*planned = !text_is_armoured(editor->text);
	else if (*planned)
		*planned = body_edit_text(editor);
	if (!*planned)
		return true;
	if (editor->request->wants_text)
		keep_text(editor, plan);
	*planned = body_plan_encoded(editor, plan, &failure);
	if (failure == NULL)
		return true;
	g_propagate_error(error, failure);
	return false;
}

bool body_plan_new(
	struct body_plan **plan, const struct body_request *request, GError **error)
{
	struct body_editor editor = {
		.request = request,
		.entity = outline_entity(request->outline, request->entity),
	};
	bool ok, planned;

	*plan = NULL;
	if (!is_editable(&editor))
		return true;
	editor.charset = editor.entity->content.charset;
	editor.changes = body_changes_new();
	*plan = g_new0(struct body_plan, 1);
	(*plan)->changes = body_changes_new();
	editor.plan = *plan;
	ok = plan_part(&editor, *plan, &planned, error);
	if (!ok || !planned)
		body_plan_free(plan);
	g_array_unref(editor.changes);
	if (editor.raw != NULL)
		g_string_free(editor.raw, TRUE);
	if (editor.text != NULL)
		g_string_free(editor.text, TRUE);
	return ok;
}

bool body_plan_apply(const struct body_plan *plan, struct splice *splice)
{
	for (size_t i = 0; i < plan->changes->len; i++) {
		const struct body_change *change = body_changes_at(plan->changes, i);

		if (!splice_replace(splice, change->offset, change->length,
			    change->text->str, change->text->len))
			return false;
	}
	return true;
}

void body_plan_free(struct body_plan **plan)
{
	if (plan == NULL || *plan == NULL)
		return;
	g_array_unref((*plan)->changes);
	g_free((*plan)->list);
	if ((*plan)->text != NULL)
		g_string_free((*plan)->text, TRUE);
	g_free(*plan);
	*plan = NULL;
}
