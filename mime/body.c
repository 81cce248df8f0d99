/*
 * body - puts a block into a text part.
 *
 * Three views of the part: raw (as sent), text (transfer encoding undone), and for
 * charsets that do not hold ASCII as it is, the same in UTF-8. Places are found in the
 * text, and carried back.
 */
#include "mime/body.h"

#include "mime/block.h"
#include "mime/charset.h"
#include "mime/decode.h"
#include "mime/html.h"
#include "mime/marker.h"
#include "mime/qp.h"
#include "mime/text.h"
#include <string.h>

/* RFC 5322, section 2.1.1, without the line break. */
enum { LINE_MAX_BYTES = 998, BASE64_LINE_BYTES = 76 };

/* Replaces length octets at offset: of the original in a plan, of
 * the text before that. */
struct change {
	uint64_t offset;
	uint64_t length;
	GString *text;
};

struct body_plan {
	GArray *changes; /* struct change, of the original */
	char *list;      /* what the markers hold; NULL: there are none */
	const char *fault;
	GString *text; /* in UTF-8, or NULL */
};

struct editor {
	const struct body_request *request;
	const struct outline_entity *entity;
	GString *raw;
	GString *text;
	GArray *changes; /* struct change, of text, by offset */
	bool to_utf8;    /* text and changes are in UTF-8 and the charset becomes so */
	const char *charset;
	struct body_plan *plan;
};

static void clear_change(gpointer data)
{
	struct change *change = data;

	g_string_free(change->text, TRUE);
}

static GArray *new_changes(void)
{
	GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct change));

	g_array_set_clear_func(changes, clear_change);
	return changes;
}

static void add_change(GArray *changes, uint64_t offset, uint64_t length, GString *text)
{
	struct change change = { .offset = offset, .length = length, .text = text };

	g_array_append_val(changes, change);
}

static const struct change *change_at(const GArray *changes, size_t i)
{
	return &g_array_index(changes, struct change, i);
}

static bool is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

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
static void append_block(const struct editor *editor, GString *out, const GString *block)
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
static void place_text_on_top(const struct editor *editor, const GString *text,
	const GString *block, GArray *changes)
{
	GString *out = g_string_new(NULL);

	append_block(editor, out, block);
	g_string_append(out, editor->request->newline);
	/* A byte order mark stays in front. */
	add_change(changes, g_str_has_prefix(text->str, "\xef\xbb\xbf") ? 3 : 0, 0, out);
}

/* The empty lines around the block, so that it joins no paragraph. */
static void place_text_at_end(
	const struct editor *editor, const GString *text, GArray *changes)
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
	add_change(changes, at, 0, out);
}

static void place_html(const struct editor *editor, const GString *text,
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
	add_change(changes, at, 0, out);
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
	add_change(changes, start, end - start, out);
}

static void replace_ids_within(const struct editor *editor, const GString *text,
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

static void replace_locations_within(const struct editor *editor, const GString *text,
	const struct html_token *token, GArray *changes)
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
	const struct editor *editor, const GString *text, GArray *changes)
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
	const struct change *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return (x->length > 0) - (y->length > 0);
}

/* One reference may hold another, "a=b" and "b": the first is replaced. */
static void drop_overlaps(GArray *changes)
{
	for (guint i = 1; i < changes->len;) {
		const struct change *before = change_at(changes, i - 1);

		if (change_at(changes, i)->offset < before->offset + before->length)
			g_array_remove_index(changes, i);
		else
			i++;
	}
}

static void cut_markers(struct editor *editor, const GString *text)
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

		add_change(editor->changes, cut->start, cut->end - cut->start,
			g_string_new(NULL));
	}
	marker_search_clear(&search);
}

static void place(struct editor *editor, const GString *text, const GString *block,
	enum mime_block_position position)
{
	if (editor->request->role == POLICY_HTML_BODY)
		place_html(editor, text, block, position, editor->changes);
	else if (position == MIME_BLOCK_TOP)
		place_text_on_top(editor, text, block, editor->changes);
	else
		place_text_at_end(editor, text, editor->changes);
}

static void find_changes(struct editor *editor, const GString *text)
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

static GString *apply_changes(const GString *text, const GArray *changes)
{
	GString *out = g_string_sized_new(text->len + 1024);
	size_t at = 0;

	for (size_t i = 0; i < changes->len; i++) {
		const struct change *change = change_at(changes, i);

		g_string_append_len(out, text->str + at, (gssize)(change->offset - at));
		g_string_append_len(out, change->text->str, (gssize)change->text->len);
		at = (size_t)(change->offset + change->length);
	}
	g_string_append_len(out, text->str + at, (gssize)(text->len - at));
	return out;
}

/* One change that makes after of before: what lies between their common ends. */
static void set_difference(
	struct editor *editor, const GString *before, const GString *after)
{
	size_t head = 0, tail = 0, most = MIN(before->len, after->len);

	while (head < most && before->str[head] == after->str[head])
		head++;
	while (tail < most - head &&
		before->str[before->len - 1 - tail] == after->str[after->len - 1 - tail])
		tail++;
	g_array_set_size(editor->changes, 0);
	add_change(editor->changes, head, before->len - head - tail,
		g_string_new_len(after->str + head, (gssize)(after->len - head - tail)));
}

static GString *to_utf8(const struct editor *editor, const GString *text)
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

static GString *from_utf8(const struct editor *editor, const GString *text)
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
	const struct editor *editor, const GString *utf8, const GString *want)
{
	GString *back = from_utf8(editor, utf8);
	bool same = back != NULL && g_string_equal(back, want);

	if (back != NULL)
		g_string_free(back, TRUE);
	return same;
}

/* The text becomes UTF-8, and so does the label. */
static void become_utf8(struct editor *editor, GString *utf8)
{
	g_string_free(editor->text, TRUE);
	editor->text = utf8;
	editor->to_utf8 = true;
}

/* A charset in which ASCII has other bytes, or depends on a state:
 * edited by way of UTF-8. */
static bool edit_converted(struct editor *editor)
{
	GString *utf8 = to_utf8(editor, editor->text);
	GString *edited, *converted;

	if (utf8 == NULL || text_is_armoured(utf8)) {
		if (utf8 != NULL)
			g_string_free(utf8, TRUE);
		return false;
	}
	find_changes(editor, utf8);
	if (editor->changes->len == 0) {
		g_string_free(utf8, TRUE);
		return true;
	}
	edited = apply_changes(utf8, editor->changes);
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
static bool convert_changes(struct editor *editor)
{
	for (size_t i = 0; i < editor->changes->len; i++) {
		struct change *change = &g_array_index(editor->changes, struct change, i);
		GString *converted;

		if (is_ascii(change->text->str, change->text->len))
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
static bool edit_bytes(struct editor *editor)
{
	GString *utf8;

	if (text_is_armoured(editor->text) ||
		memchr(editor->text->str, '\0', editor->text->len))
		return false;
	find_changes(editor, editor->text);
	if (convert_changes(editor))
		return true;
	utf8 = to_utf8(editor, editor->text);
	if (utf8 == NULL)
		return false;
	g_array_set_size(editor->changes, 0);
	find_changes(editor, utf8);
	become_utf8(editor, utf8);
	return true;
}

/* The longest line once the changes are made, and whether all that is new is ASCII. */
static bool fits_as_it_is(const struct editor *editor, const GString *edited)
{
	const struct outline_field *field = outline_find(
		editor->request->outline, editor->entity, "content-transfer-encoding");
	bool eight_bit = field != NULL &&
			 (g_ascii_strncasecmp(field->value, "8", 1) == 0 ||
				 g_ascii_strncasecmp(field->value, "bin", 3) == 0);
	const char *p = edited->str, *end = edited->str + edited->len;

	for (size_t i = 0; i < editor->changes->len && !eight_bit; i++)
		if (!is_ascii(change_at(editor->changes, i)->text->str,
			    change_at(editor->changes, i)->text->len))
			return false;
	while (p < end) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));

		if (line_end == NULL)
			line_end = end;
		if (line_end - p > LINE_MAX_BYTES + 1)
			return false;
		p = line_end + 1;
	}
	return true;
}

static void plan_change(
	struct body_plan *plan, uint64_t offset, uint64_t length, GString *text)
{
	add_change(plan->changes, offset, length, text);
}

static void plan_identity(const struct editor *editor, struct body_plan *plan)
{
	for (size_t i = 0; i < editor->changes->len; i++) {
		const struct change *change = change_at(editor->changes, i);

		plan_change(plan, editor->entity->body_start + change->offset,
			change->length,
			g_string_new_len(change->text->str, (gssize)change->text->len));
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* In place of raw[start] to raw[end] nothing: a soft line break where the line would be too
 * long, or end in a blank, which does not count there. */
static GString *qp_gap(const struct editor *editor, size_t start, size_t end)
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
	const struct editor *editor, const GString *text, size_t start, size_t end)
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

/* The lines of text that look like a delimiter, as a set; the length of the longest line. */
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

/* The part as it will be sent. */
static GString *apply_plan(const struct editor *editor, const struct body_plan *plan)
{
	GString *after = g_string_new(NULL);
	size_t at = 0;

	for (size_t i = 0; i < plan->changes->len; i++) {
		const struct change *change = change_at(plan->changes, i);
		size_t offset;

		/* Of the header. */
		if (change->offset < editor->entity->body_start)
			continue;
		offset = (size_t)(change->offset - editor->entity->body_start);
		g_string_append_len(after, editor->raw->str + at, (gssize)(offset - at));
		g_string_append_len(after, change->text->str, (gssize)change->text->len);
		at = offset + (size_t)change->length;
	}
	g_string_append_len(
		after, editor->raw->str + at, (gssize)(editor->raw->len - at));
	return after;
}

static bool holds_dash_line(const GString *text)
{
	return g_str_has_prefix(text->str, "--") ||
	       memmem(text->str, text->len, "\n--", 3) != NULL;
}

/* Only where markers are cut out, and at lines that begin so already, or are put in. */
static bool may_make_odd_lines(const struct editor *editor, const struct body_plan *plan)
{
	if (plan->list != NULL || holds_dash_line(editor->raw))
		return true;
	for (size_t i = 0; i < plan->changes->len; i++)
		if (holds_dash_line(change_at(plan->changes, i)->text))
			return true;
	return false;
}

/* Where something was cut or put in, a line may be left that was none, such as a delimiter
 * of the multipart around it. */
static bool makes_odd_lines(const struct editor *editor, const struct body_plan *plan)
{
	g_autoptr(GHashTable) before = NULL, behind = NULL;
	g_autoptr(GString) after = NULL;
	size_t was_longest, longest;
	GHashTableIter iter;
	gpointer line;

	if (!may_make_odd_lines(editor, plan))
		return false;
	after = apply_plan(editor, plan);
	before = dash_lines(editor->raw, &was_longest);
	behind = dash_lines(after, &longest);
	g_hash_table_iter_init(&iter, behind);
	while (g_hash_table_iter_next(&iter, &line, NULL))
		if (!g_hash_table_contains(before, line))
			return true;
	return longest > LINE_MAX_BYTES + 1 && longest > was_longest;
}

static void plan_qp(const struct editor *editor, struct body_plan *plan)
{
	const GString *raw = editor->raw;
	struct qp_place place = { 0 };

	for (size_t i = 0; i < editor->changes->len; i++) {
		const struct change *change = change_at(editor->changes, i);
		size_t start =
			qp_raw_offset(raw->str, raw->len, &place, (size_t)change->offset);
		size_t end = qp_raw_offset(raw->str, raw->len, &place,
			(size_t)(change->offset + change->length));

		plan_change(plan, editor->entity->body_start + start, end - start,
			change->text->len > 0
				? qp_insertion(editor, change->text, start, end)
				: qp_gap(editor, start, end));
	}
}

static GString *encode_base64(const struct editor *editor, const GString *text)
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

static GString *encode_qp(const struct editor *editor, const GString *text)
{
	GString *out = g_string_sized_new(text->len + text->len / 8);

	qp_encode(text->str, text->len, editor->request->newline, out);
	return out;
}

/* Sets a field of the part's header, in its place, or behind
 * Content-Type, or at the end. */
static void plan_field(const struct editor *editor, struct body_plan *plan,
	const char *name, const char *line)
{
	const struct outline *outline = editor->request->outline;
	const struct outline_field *field = outline_find(outline, editor->entity, name);
	const struct outline_field *type =
		outline_find(outline, editor->entity, "content-type");
	GString *text = g_string_new(line);

	g_string_append(text, editor->request->newline);
	if (field != NULL)
		plan_change(plan, field->start, field->end - field->start, text);
	else
		plan_change(plan, type != NULL ? type->end : editor->entity->header_end,
			0, text);
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

/* Makes the label utf-8, keeping all else of the field. False when
 * the field is too odd. */
static bool plan_charset(
	const struct editor *editor, struct body_plan *plan, GError **error)
{
	const struct outline_field *field =
		outline_find(editor->request->outline, editor->entity, "content-type");
	g_autoptr(GString) raw = g_string_new(NULL);
	GString *label;
	const char *start, *end;
	uint64_t at;

	if (field == NULL) {
		plan_field(editor, plan, "content-type",
			"Content-Type: text/plain; charset=utf-8");
		return true;
	}
	if (!source_append(editor->request->source, field->start, field->end, raw, error))
		return false;
	if (find_charset(raw->str, &start, &end)) {
		if (line_bytes(raw, start) + strlen("utf-8") > LINE_MAX_BYTES)
			return false;
		at = field->start + (uint64_t)(start - raw->str);
		plan_change(plan, at, (uint64_t)(end - start), g_string_new("utf-8"));
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
		LINE_MAX_BYTES)
		g_string_append(label, editor->request->newline);
	g_string_append_printf(label, " charset=utf-8%s", editor->request->newline);
	plan_change(plan, field->start + raw->len, field->end - field->start - raw->len,
		label);
	return true;
}

/* The whole part anew: its encoding stays, but identity becomes quoted-printable. */
static void plan_whole(
	const struct editor *editor, struct body_plan *plan, const GString *edited)
{
	GString *body;

	if (editor->entity->content.encoding == HEADER_ENCODING_BASE64) {
		body = encode_base64(editor, edited);
	} else {
		body = encode_qp(editor, edited);
		if (editor->entity->content.encoding == HEADER_ENCODING_IDENTITY)
			plan_field(editor, plan, "content-transfer-encoding",
				"Content-Transfer-Encoding: quoted-printable");
	}
	plan_change(plan, editor->entity->body_start,
		editor->entity->body_end - editor->entity->body_start, body);
}

/* The label alone changes where the octets that stay are the same in both charsets. */
static bool plan_encoded(
	const struct editor *editor, struct body_plan *plan, GError **error)
{
	g_autoptr(GString) edited = apply_changes(editor->text, editor->changes);
	bool same_octets = !editor->to_utf8;
	guint n;

	if (editor->changes->len == 0)
		return true;
	if (editor->to_utf8 && !plan_charset(editor, plan, error))
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

/* The same field twice: both would have to change. */
static bool has_doubles(const struct editor *editor)
{
	const struct outline *outline = editor->request->outline;

	for (size_t i = 0; i < editor->entity->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, editor->entity->first_field + i);

		if (outline_find(outline, editor->entity, field->name) != field)
			return true;
	}
	return false;
}

static bool is_editable(const struct editor *editor)
{
	const struct outline_entity *entity = editor->entity;

	return entity->blank_line && entity->kind == OUTLINE_LEAF &&
	       !has_doubles(editor) &&
	       entity->body_end - entity->body_start <= POLICY_BODY_BYTES &&
	       !entity->content.charset_conflict && !entity->content.malformed &&
	       entity->content.encoding != HEADER_ENCODING_UUENCODE &&
	       entity->content.encoding != HEADER_ENCODING_UNKNOWN;
}

/* Fills raw and text; *readable is false when the encoding is broken. */
static bool read_part(struct editor *editor, bool *readable, GError **error)
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

static void keep_text(const struct editor *editor, struct body_plan *plan)
{
	GString *edited = apply_changes(editor->text, editor->changes);

	plan->text = editor->to_utf8 ? g_steal_pointer(&edited) : to_utf8(editor, edited);
	if (edited != NULL)
		g_string_free(edited, TRUE);
}

static bool plan_part(
	struct editor *editor, struct body_plan *plan, bool *planned, GError **error)
{
	GError *failure = NULL;

	*planned = false;
	if (!read_part(editor, planned, error))
		return false;
	if (*planned)
		*planned = charset_holds_ascii(editor->charset) ? edit_bytes(editor)
								: edit_converted(editor);
	if (!*planned)
		return true;
	if (editor->request->wants_text)
		keep_text(editor, plan);
	*planned = plan_encoded(editor, plan, &failure);
	if (failure == NULL)
		return true;
	g_propagate_error(error, failure);
	return false;
}

bool body_plan_new(
	struct body_plan **plan, const struct body_request *request, GError **error)
{
	struct editor editor = {
		.request = request,
		.entity = outline_entity(request->outline, request->entity),
	};
	bool ok, planned;

	*plan = NULL;
	if (!is_editable(&editor))
		return true;
	editor.charset = editor.entity->content.charset;
	editor.changes = new_changes();
	*plan = g_new0(struct body_plan, 1);
	(*plan)->changes = new_changes();
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
		const struct change *change = change_at(plan->changes, i);

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
