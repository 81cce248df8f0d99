/*
 * The fields of a part's header that tell its encoding and charset.
 * Leaves to body_encode.c when they change.
 */
#include "mime/body_editor.h"
#include <string.h>

void body_plan_field(const struct body_editor *editor, struct body_plan *plan,
	const char *name, const char *line)
{
	const struct outline *outline = editor->request->outline;
	const struct outline_field *field = outline_find(outline, editor->entity, name);
	const struct outline_field *type =
		outline_find(outline, editor->entity, "content-type");
	GString *text = g_string_new(line);

	g_string_append(text, editor->request->newline);
	if (field != NULL)
		body_changes_add(
			plan->changes, field->start, field->end - field->start, text);
	else
		body_changes_add(plan->changes,
			type != NULL ? type->end : editor->entity->header_end, 0, text);
}

/* Steps over one parameter's value at p: a quoted string or up to ';' or white space. */
static const char *skip_value(const char *p)
{
	if (*p != '"')
		return p + strcspn(p, "; \t\r\n");
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Finds charset's value in a Content-Type field as it was sent. */
static bool find_charset(const char *field, const char **start, const char **end)
{
	const char *p = strchr(field, ':');

	for (p = p + 1; *p != '\0'; p++) {
		if (*p == '"') {
			p = skip_value(p) - 1;
			continue;
		}
		if (*p != ';' ||
			g_ascii_strncasecmp(skip_blanks(p + 1), "charset", 7) != 0)
			continue;
		*start = skip_blanks(skip_blanks(p + 1) + 7);
		if (**start != '=')
			continue;
		*start = skip_blanks(*start + 1);
		*end = skip_value(*start);
		return true;
	}
	return false;
}

/* The length of the line of a field in which p is. */
static size_t line_bytes(const GString *field, const char *p)
{
	const char *start = p;

	while (start > field->str && start[-1] != '\n')
		start--;
	return (size_t)(p - start) + strcspn(p, "\r\n");
}

bool body_plan_charset(
	const struct body_editor *editor, struct body_plan *plan, GError **error)
{
	const struct outline_field *field =
		outline_find(editor->request->outline, editor->entity, "content-type");
	g_autoptr(GString) raw = g_string_new(NULL);
	GString *label;
	const char *start, *end;
	uint64_t at;

	if (field == NULL) {
		body_plan_field(editor, plan, "content-type",
			"Content-Type: text/plain; charset=utf-8");
		return true;
	}
	if (!source_append(editor->request->source, field->start, field->end, raw, error))
		return false;
	if (find_charset(raw->str, &start, &end)) {
		if (line_bytes(raw, start) + strlen("utf-8") > BODY_LINE_BYTES_MAX)
			return false;
		at = field->start + (uint64_t)(start - raw->str);
		body_changes_add(plan->changes, at, (uint64_t)(end - start),
			g_string_new("utf-8"));
		return true;
	}
	/* A charset that was read but not found is written in a way of RFC 2231. */
	if (editor->charset != NULL)
		return false;
	while (raw->len > 0 && strchr("\r\n \t;", raw->str[raw->len - 1]) != NULL)
		g_string_truncate(raw, raw->len - 1);
	if (editor->entity->content.malformed || !editor->entity->content.type_given ||
		strchr(raw->str, '/') == NULL)
		return false;
	label = g_string_new(";");
	if (line_bytes(raw, raw->str + raw->len) + strlen("; charset=utf-8") >
		BODY_LINE_BYTES_MAX)
		g_string_append(label, editor->request->newline);
	g_string_append_printf(label, " charset=utf-8%s", editor->request->newline);
	body_changes_add(plan->changes, field->start + raw->len,
		field->end - field->start - raw->len, label);
	return true;
}
