/*
 * Edits of a text as edits of the part as it was sent: in place where its encoding can
 * carry them, else the whole part anew.
 */
#include "mime/body_editor.h"
#include "mime/qp.h"
#include <string.h>

enum { BASE64_LINE_BYTES = 76 };

/* Whether a line has over BODY_LINE_BYTES_MAX octets. */
static bool has_long_line(const GString *octets)
{
	const char *p = octets->str, *end = octets->str + octets->len;

	while (end - p > BODY_LINE_BYTES_MAX) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		size_t bytes = (size_t)((line_end != NULL ? line_end : end) - p);

		if (bytes > 0 && p[bytes - 1] == '\r')
			bytes--;
		if (bytes > BODY_LINE_BYTES_MAX)
			return true;
		if (line_end == NULL)
			break;
		p = line_end + 1;
	}
	return false;
}

/* Whether, once the changes are made, no line is too long and all that
 * is new is ASCII. */
static bool fits_as_it_is(const struct body_editor *editor, const GString *edited)
{
	const struct outline_field *field = outline_find(
		editor->request->outline, editor->entity, "content-transfer-encoding");
	bool eight_bit = field != NULL &&
			 (g_ascii_strncasecmp(field->value, "8", 1) == 0 ||
				 g_ascii_strncasecmp(field->value, "bin", 3) == 0);

	for (size_t i = 0; i < editor->changes->len && !eight_bit; i++)
		if (!body_change_is_ascii(body_changes_at(editor->changes, i)))
			return false;
	return !has_long_line(edited);
}

static void plan_identity(const struct body_editor *editor, struct body_plan *plan)
{
	for (size_t i = 0; i < editor->changes->len; i++) {
		const struct body_change *change = body_changes_at(editor->changes, i);

		body_changes_add(plan->changes,
			editor->entity->body_start + change->offset, change->length,
			g_string_new_len(change->text->str, (gssize)change->text->len));
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* In place of raw[start] to raw[end] nothing: a soft line break where the line would be
 * too long, or end in a blank, which does not count there. */
static GString *qp_gap(const struct body_editor *editor, size_t start, size_t end)
{
	const GString *raw = editor->raw;
	GString *out = g_string_new(NULL);
	size_t before = 0, behind = 0;

	while (before <= QP_LINE_BYTES && before < start &&
		raw->str[start - before - 1] != '\n')
		before++;
	while (behind <= QP_LINE_BYTES && end + behind < raw->len &&
		strchr("\r\n", raw->str[end + behind]) == NULL)
		behind++;
	if ((before > 0 && behind > 0 && before + behind > QP_LINE_BYTES &&
		    raw->str[end] != '-') ||
		(before > 0 && behind == 0 && is_blank(raw->str[start - 1])))
		g_string_append_printf(out, "=%s", editor->request->newline);
	return out;
}

/* Between raw[start] and raw[end] goes text: soft line breaks keep its lines its own. */
static GString *qp_insertion(
	const struct body_editor *editor, const GString *text, size_t start, size_t end)
{
	const GString *raw = editor->raw;
	const char *newline = editor->request->newline;
	GString *out = g_string_new(NULL);
	bool line_start = start == 0 || raw->str[start - 1] == '\n';
	bool opens = g_str_has_prefix(text->str, newline);

	if (!line_start && (!opens || is_blank(raw->str[start - 1])))
		g_string_append_printf(out, "=%s", newline);
	qp_encode(text->str, text->len, newline, out);
	if (end < raw->len && !g_str_has_suffix(text->str, newline) &&
		strchr("-\r\n", raw->str[end]) == NULL)
		g_string_append_printf(out, "=%s", newline);
	return out;
}

static void plan_qp(const struct body_editor *editor, struct body_plan *plan)
{
	const GString *raw = editor->raw;
	struct qp_place place = { 0 };

	for (size_t i = 0; i < editor->changes->len; i++) {
		const struct body_change *change = body_changes_at(editor->changes, i);
		size_t start =
			qp_raw_offset(raw->str, raw->len, &place, (size_t)change->offset);
		size_t end = qp_raw_offset(raw->str, raw->len, &place,
			(size_t)(change->offset + change->length));

		body_changes_add(plan->changes, editor->entity->body_start + start,
			end - start,
			change->text->len > 0
				? qp_insertion(editor, change->text, start, end)
				: qp_gap(editor, start, end));
	}
}

/* The lines of text that look like a delimiter, as a set; the length of
 * the longest line. */
static GHashTable *dash_lines(const GString *text, size_t *longest)
{
	GHashTable *lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const char *p = text->str, *end = text->str + text->len;

	*longest = 0;
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = newline != NULL ? newline : end;

		*longest = MAX(*longest, (size_t)(line_end - p));
		if (line_end - p >= 2 && p[0] == '-' && p[1] == '-')
			g_hash_table_add(lines, g_strndup(p, (size_t)(line_end - p)));
		p = line_end + 1;
	}
	return lines;
}

static bool holds_dash_line(const GString *text)
{
	return g_str_has_prefix(text->str, "--") ||
	       memmem(text->str, text->len, "\n--", 3) != NULL;
}

/* Only where markers are cut out, and at lines that begin so already, or are put in. */
static bool may_make_odd_lines(
	const struct body_editor *editor, const struct body_plan *plan)
{
	if (plan->list != NULL || holds_dash_line(editor->raw))
		return true;
	for (size_t i = 0; i < plan->changes->len; i++)
		if (holds_dash_line(body_changes_at(plan->changes, i)->text))
			return true;
	return false;
}

/* Where something was cut or put in, a line may be left that was none, such as a
 * delimiter of the multipart around it. */
static bool makes_odd_lines(
	const struct body_editor *editor, const struct body_plan *plan)
{
	g_autoptr(GHashTable) before = NULL, behind = NULL;
	g_autoptr(GString) after = NULL;
	size_t was_longest, longest;
	GHashTableIter iter;
	gpointer line;

	if (!may_make_odd_lines(editor, plan))
		return false;
	/* Without those of the header: the part as it will be sent. */
	after = body_changes_apply(
		editor->raw, editor->entity->body_start, plan->changes);
	before = dash_lines(editor->raw, &was_longest);
	behind = dash_lines(after, &longest);
	g_hash_table_iter_init(&iter, behind);
	while (g_hash_table_iter_next(&iter, &line, NULL))
		if (!g_hash_table_contains(before, line))
			return true;
	return longest > BODY_LINE_BYTES_MAX + 1 && longest > was_longest;
}

static GString *encode_base64(const struct body_editor *editor, const GString *text)
{
	g_autofree char *letters = g_base64_encode((const guchar *)text->str, text->len);
	size_t length = strlen(letters);
	GString *out = g_string_sized_new(length + length / 32);

	for (size_t at = 0; at < length; at += BASE64_LINE_BYTES) {
		if (at > 0)
			g_string_append(out, editor->request->newline);
		g_string_append_len(
			out, letters + at, (gssize)MIN(length - at, BASE64_LINE_BYTES));
	}
	/* An empty part has no line break of its own before the next delimiter. */
	if (g_str_has_suffix(editor->raw->str, "\n") || editor->raw->len == 0 ||
		editor->entity->body_end == editor->request->source->bytes)
		g_string_append(out, editor->request->newline);
	return out;
}

static GString *encode_qp(const struct body_editor *editor, const GString *text)
{
	GString *out = g_string_sized_new(text->len + text->len / 8);

	qp_encode(text->str, text->len, editor->request->newline, out);
	return out;
}

/* The whole part anew: its encoding stays, but identity becomes quoted-printable. */
static void plan_whole(
	const struct body_editor *editor, struct body_plan *plan, const GString *edited)
{
	GString *body;

	if (editor->entity->content.encoding == HEADER_ENCODING_BASE64) {
		body = encode_base64(editor, edited);
	} else {
		body = encode_qp(editor, edited);
		if (editor->entity->content.encoding == HEADER_ENCODING_IDENTITY)
			body_plan_field(editor, plan, "content-transfer-encoding",
				"Content-Transfer-Encoding: quoted-printable");
	}
	body_changes_add(plan->changes, editor->entity->body_start,
		editor->entity->body_end - editor->entity->body_start, body);
}

/* The label alone changes where the octets that stay are the same in both charsets. */
bool body_plan_encoded(
	const struct body_editor *editor, struct body_plan *plan, GError **error)
{
	g_autoptr(GString) edited = body_changes_apply(editor->text, 0, editor->changes);
	bool same_octets = !editor->to_utf8;
	guint n;

	if (editor->changes->len == 0 &&
		(!editor->request->shortens || fits_as_it_is(editor, edited)))
		return true;
	if (editor->to_utf8 && !body_plan_charset(editor, plan, error))
		return false;
	if (editor->to_utf8 && editor->entity->content.encoding == HEADER_ENCODING_QP) {
		g_autoptr(GString) before = g_string_new(NULL);

		qp_decode(editor->raw->str, editor->raw->len, before);
		same_octets = g_string_equal(before, editor->text);
	}
	n = plan->changes->len;
	if (same_octets && editor->entity->content.encoding == HEADER_ENCODING_QP)
		plan_qp(editor, plan);
	else if (same_octets &&
		 editor->entity->content.encoding == HEADER_ENCODING_IDENTITY &&
		 fits_as_it_is(editor, edited))
		plan_identity(editor, plan);
	else
		same_octets = false;
	if (same_octets && makes_odd_lines(editor, plan)) {
		g_array_set_size(plan->changes, n);
		same_octets = false;
	}
	if (!same_octets)
		plan_whole(editor, plan, edited);
	return true;
}

bool body_to_base64(const struct body_request *request, struct splice *splice)
{
	struct body_plan plan = { .changes = body_changes_new() };
	const struct body_editor editor = {
		.request = request,
		.entity = outline_entity(request->outline, request->entity),
	};
	bool ok;

	body_plan_field(&editor, &plan, "content-transfer-encoding",
		"Content-Transfer-Encoding: base64");
	ok = body_plan_apply(&plan, splice) &&
	     splice_encode(splice, editor.entity->body_start,
		     editor.entity->body_end - editor.entity->body_start,
		     request->newline);
	g_array_unref(plan.changes);
	return ok;
}
