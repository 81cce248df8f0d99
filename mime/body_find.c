/*
 * Where a text is edited: the block and the notice in their places, URLs for references
 * to images, markers cut out. Leaves to body_charset.c in which charset, to
 * body_encode.c how it is sent.
 */
#include "mime/block.h"
#include "mime/body_editor.h"
#include "mime/html.h"
#include "mime/marker.h"
#include <string.h>

/* The last line that is "-- ", the signature's separator (RFC 3676, section 4.3). */
static size_t signature_at(const GString *text)
{
	const char *p = text->str, *end = text->str + text->len;
	size_t found = text->len;

	while ((p = memmem(p, (size_t)(end - p), "-- ", 3)) != NULL) {
		bool starts = p == text->str || p[-1] == '\n';
		bool ends =
			p + 3 == end || p[3] == '\n' || (p[3] == '\r' && p[4] == '\n');

		if (starts && ends)
			found = (size_t)(p - text->str);
		p += 3;
	}
	return found;
}

static bool has_empty_line_before(const GString *text, size_t at)
{
	if (at == 0 || text->str[--at] != '\n')
		return false;
	if (at > 0 && text->str[at - 1] == '\r')
		at--;
	return at > 0 && text->str[at - 1] == '\n';
}

/* In a flowed text a blank at a line's start is taken away, and ">" quotes (RFC 3676,
 * section 4.4): such lines of the block get a blank more. */
static void append_block(
	const struct body_editor *editor, GString *out, const GString *block)
{
	const char *p = block->str, *end = block->str + block->len;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *next = newline != NULL ? newline + 1 : end;

		if (editor->entity->content.flowed &&
			(*p == ' ' || *p == '>' || g_str_has_prefix(p, "From ")))
			g_string_append_c(out, ' ');
		g_string_append_len(out, p, next - p);
		p = next;
	}
}

/* The empty line behind it parts it from the text. */
static void place_text_on_top(const struct body_editor *editor, const GString *text,
	const GString *block, GArray *changes)
{
	GString *out = g_string_new(NULL);

	append_block(editor, out, block);
	g_string_append(out, editor->request->newline);
	/* A byte order mark stays in front. */
	body_changes_add(
		changes, g_str_has_prefix(text->str, "\xef\xbb\xbf") ? 3 : 0, 0, out);
}

/* The empty lines around the block, so that it joins no paragraph. */
static void place_text_at_end(
	const struct body_editor *editor, const GString *text, GArray *changes)
{
	const char *newline = editor->request->newline;
	GString *out = g_string_new(NULL);
	size_t at = signature_at(text);

	if (at > 0) {
		size_t end = at;

		if (text->str[at - 1] != '\n')
			g_string_append(out, newline);
		if (!has_empty_line_before(text, at))
			g_string_append(out, newline);
		while (end > 0 &&
			(text->str[end - 1] == '\n' || text->str[end - 1] == '\r'))
			end--;
		/* A flowed line would swallow the first empty line. */
		if (editor->entity->content.flowed && end > 0 &&
			text->str[end - 1] == ' ')
			g_string_append(out, newline);
	}
	append_block(editor, out, editor->request->block);
	if (at < text->len)
		g_string_append(out, newline);
	body_changes_add(changes, at, 0, out);
}

static void place_html(const struct body_editor *editor, const GString *text,
	const GString *block, enum mime_block_position position, GArray *changes)
{
	const char *newline = editor->request->newline;
	GString *out = g_string_new(newline);
	size_t at = position == MIME_BLOCK_TOP ? html_top_of_body(text->str, text->len)
					       : html_end_of_body(text->str, text->len);

	if (position == MIME_BLOCK_END) {
		g_autoptr(GString) tags = html_close_hiding(text->str, at);

		g_string_prepend_len(out, tags->str, (gssize)tags->len);
	}
	g_string_append_len(out, block->str, (gssize)block->len);
	/* What follows must not become a line that looks like a delimiter. */
	if (at < text->len && text->str[at] == '-')
		g_string_truncate(out, out->len - strlen(newline));
	body_changes_add(changes, at, 0, out);
}

/* In a tag the URL is escaped as an attribute's value; in a style
 * sheet it stands as it is. */
static void replace_reference(const struct html_token *token, const char *url,
	size_t start, size_t end, GArray *changes)
{
	GString *out = g_string_new(NULL);

	if (token->type == HTML_RAW)
		g_string_append(out, url);
	else
		block_escape(out, url);
	body_changes_add(changes, start, end - start, out);
}

static void replace_ids_within(const struct body_editor *editor, const GString *text,
	const struct html_token *token, GArray *changes)
{
	size_t at = token->start, start;
	char *id;

	while (html_next_cid(text->str, token->end, &at, &start, &id)) {
		const char *url = g_hash_table_lookup(editor->request->ids, id);

		g_free(id);
		if (url != NULL && start >= token->start)
			replace_reference(token, url, start, at, changes);
	}
}

static void replace_locations_within(const struct body_editor *editor,
	const GString *text, const struct html_token *token, GArray *changes)
{
	GHashTableIter iter;
	gpointer location, url;

	g_hash_table_iter_init(&iter, editor->request->locations);
	while (g_hash_table_iter_next(&iter, &location, &url)) {
		size_t at = token->start, start;

		while (html_next_location(text->str, token->end, location, &at, &start))
			replace_reference(token, url, start, at, changes);
	}
}

static void replace_references(
	const struct body_editor *editor, const GString *text, GArray *changes)
{
	struct html_scanner scanner;
	struct html_token token;

	html_scanner_init(&scanner, text->str, text->len);
	while (html_next(&scanner, &token)) {
		bool style = token.type == HTML_RAW && token.name_bytes == 5 &&
			     g_ascii_strncasecmp(token.name, "style", 5) == 0;

		if (token.type != HTML_START_TAG && !style)
			continue;
		if (editor->request->ids != NULL)
			replace_ids_within(editor, text, &token, changes);
		if (editor->request->locations != NULL)
			replace_locations_within(editor, text, &token, changes);
	}
}

static gint compare_changes(gconstpointer a, gconstpointer b)
{
	const struct body_change *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return (x->length > 0) - (y->length > 0);
}

/* One reference may hold another, "a=b" and "b": the first is replaced. */
static void drop_overlaps(GArray *changes)
{
	for (guint i = 1; i < changes->len;) {
		const struct body_change *before = body_changes_at(changes, i - 1);

		if (body_changes_at(changes, i)->offset < before->offset + before->length)
			g_array_remove_index(changes, i);
		else
			i++;
	}
}

static void cut_markers(struct body_editor *editor, const GString *text)
{
	struct marker_search search;
	struct body_plan *plan = editor->plan;

	marker_search(&search, editor->request->markers, text->str, text->len,
		editor->request->role == POLICY_HTML_BODY);
	g_clear_pointer(&plan->list, g_free);
	plan->fault = search.fault;
	if (search.markers > 0)
		plan->list = g_strdup(search.list->str);
	for (size_t i = 0; i < search.cuts->len; i++) {
		const struct marker_cut *cut =
			&g_array_index(search.cuts, struct marker_cut, i);

		body_changes_add(editor->changes, cut->start, cut->end - cut->start,
			g_string_new(NULL));
	}
	marker_search_clear(&search);
}

static void place(struct body_editor *editor, const GString *text, const GString *block,
	enum mime_block_position position)
{
	if (editor->request->role == POLICY_HTML_BODY)
		place_html(editor, text, block, position, editor->changes);
	else if (position == MIME_BLOCK_TOP)
		place_text_on_top(editor, text, block, editor->changes);
	else
		place_text_at_end(editor, text, editor->changes);
}

void body_find_changes(struct body_editor *editor, const GString *text)
{
	const struct body_request *request = editor->request;

	if (request->ids != NULL || request->locations != NULL)
		replace_references(editor, text, editor->changes);
	if (request->notice != NULL)
		place(editor, text, request->notice, MIME_BLOCK_TOP);
	if (request->block != NULL)
		place(editor, text, request->block, request->position);
	if (request->markers != NULL)
		cut_markers(editor, text);
	g_array_sort(editor->changes, compare_changes);
	drop_overlaps(editor->changes);
}
