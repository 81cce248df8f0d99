/*
 * outline - finds header blocks and delimiter lines, by their offsets.
 *
 * Cuts the stream into lines; outline_header.c and outline_multipart.c read them. Leaves
 * to policy.c what a part is for, to decode.c what its content says.
 */
#include "mime/outline.h"

#include "mime/outline_reader.h"
#include <string.h>

enum { DELIMITER_LINE_BYTES = 1024 };

static void clear_entity(gpointer data)
{
	struct outline_entity *entity = data;

	header_content_clear(&entity->content);
}

static void clear_field(gpointer data)
{
	struct outline_field *field = data;

	g_free(field->name);
	g_free(field->value);
}

struct outline *outline_new(const struct outline_limits *limits)
{
	struct outline *outline = g_new0(struct outline, 1);

	outline->limits = *limits;
	outline->entities = g_array_new(FALSE, FALSE, sizeof(struct outline_entity));
	g_array_set_clear_func(outline->entities, clear_entity);
	outline->fields = g_array_new(FALSE, FALSE, sizeof(struct outline_field));
	g_array_set_clear_func(outline->fields, clear_field);
	outline->open = g_array_new(FALSE, FALSE, sizeof(struct outline_open));
	outline->line = g_string_new(NULL);
	outline->value = g_string_new(NULL);
	outline->at_line_start = true;
	outline->first_line = true;
	outline_add_entity(outline, OUTLINE_NONE, 0, 0);
	return outline;
}

static void on_body_line(struct outline *outline, const struct outline_line *line)
{
	size_t level;
	enum outline_match match = outline_match(outline, line, &level);

	if (match != OUTLINE_MATCH_NONE)
		outline_on_delimiter(outline, match, level, line);
}

static void on_line(struct outline *outline, const char *text, size_t length,
	uint64_t start, size_t break_before)
{
	struct outline_line line = {
		.text = text,
		.length = length,
		.start = start,
		.end = start + length,
		.break_before = break_before,
	};
	bool ended = length > 0 && text[length - 1] == '\n';

	if (ended)
		line.length--;
	if (ended && line.length > 0 && text[line.length - 1] == '\r')
		line.length--;
	if (outline->first_line) {
		outline->bare_lf = ended && line.length + 1 == length;
		outline->first_line = false;
	}
	if (outline->in_header)
		outline_on_header_line(outline, &line);
	else
		on_body_line(outline, &line);
}

/* How many bytes of line break stand right before data + at. */
static size_t break_before(const struct outline *outline, const char *data, size_t at)
{
	char last = at >= 1 ? data[at - 1] : outline->tail[1];
	char last_but_one = at >= 2 ? data[at - 2] : outline->tail[at == 1 ? 1 : 0];

	if (last != '\n')
		return 0;
	return last_but_one == '\r' ? 2 : 1;
}

/* The next place from at on where a line begins with '-'; length when there is none. */
static size_t next_dash_line(
	const struct outline *outline, const char *data, size_t at, size_t length)
{
	if (outline->at_line_start && at == 0 && data[0] == '-')
		return 0;
	while (at < length) {
		const char *dash = memchr(data + at, '-', length - at);

		if (dash == NULL)
			return length;
		if (dash > data && dash[-1] == '\n')
			return (size_t)(dash - data);
		/* Text is full of dashes; base64 has none. On to the next line. */
		dash = memchr(dash, '\n', length - (size_t)(dash - data));
		if (dash == NULL)
			return length;
		at = (size_t)(dash - data) + 1;
		if (at < length && data[at] == '-')
			return at;
	}
	return length;
}

/* Collects a line that a block has cut. Returns how much of data it took. */
static size_t collect_line(struct outline *outline, const char *data, size_t length)
{
	size_t most =
		outline->in_header ? outline->limits.header_bytes : DELIMITER_LINE_BYTES;
	const char *end = memchr(data, '\n', length);
	size_t n = end != NULL ? (size_t)(end - data) + 1 : length;

	if (outline->line->len + n > most)
		outline->line_too_long = true;
	else
		g_string_append_len(outline->line, data, (gssize)n);
	if (outline->line_too_long && outline->in_header) {
		outline_fail(outline, "too large a header");
		return length;
	}
	if (end == NULL)
		return n;
	outline->in_line = false;
	if (!outline->line_too_long)
		on_line(outline, outline->line->str, outline->line->len,
			outline->line_start, outline->line_break_before);
	return n;
}

static void begin_line(struct outline *outline, const char *data, size_t at)
{
	outline->in_line = true;
	outline->line_too_long = false;
	outline->line_start = outline->offset + at;
	outline->line_break_before = break_before(outline, data, at);
	g_string_truncate(outline->line, 0);
}

static void remember_tail(struct outline *outline, const char *data, size_t length)
{
	outline->offset += length;
	outline->at_line_start = data[length - 1] == '\n';
	outline->tail[0] = length >= 2 ? data[length - 2] : outline->tail[1];
	outline->tail[1] = data[length - 1];
}

bool outline_feed(struct outline *outline, const char *data, size_t length)
{
	size_t at = 0;

	if (length == 0)
		return outline->reason == NULL;
	while (at < length && outline->reason == NULL) {
		const char *end;

		if (outline->in_line) {
			at += collect_line(outline, data + at, length - at);
			continue;
		}
		if (!outline->in_header) {
			at = next_dash_line(outline, data, at, length);
			if (at == length)
				break;
		}
		end = memchr(data + at, '\n', length - at);
		if (end == NULL) {
			begin_line(outline, data, at);
			continue;
		}
		on_line(outline, data + at, (size_t)(end - data) + 1 - at,
			outline->offset + at, break_before(outline, data, at));
		at = (size_t)(end - data) + 1;
	}
	remember_tail(outline, data, length);
	return outline->reason == NULL;
}

/* Multiparts whose delimiters never came: nobody can say what they hold. */
static void close_childless(struct outline *outline)
{
	for (size_t i = 0; i < outline->entities->len; i++) {
		struct outline_entity *entity = outline_entity_at(outline, i);

		if (entity->kind == OUTLINE_MULTIPART && entity->children == 0)
			entity->kind = OUTLINE_LEAF;
	}
	if (header_starts(&outline_entity_at(outline, 0)->content, "multipart/") &&
		outline_entity_at(outline, 0)->kind == OUTLINE_LEAF)
		outline_fail(outline, "a multipart without parts");
}

bool outline_finish(struct outline *outline)
{
	if (outline->reason == NULL && outline->in_line && !outline->line_too_long)
		on_line(outline, outline->line->str, outline->line->len,
			outline->line_start, outline->line_break_before);
	if (outline->reason == NULL && outline->offset == 0)
		outline_fail(outline, "the message is empty");
	/* An attached message may end within its header, and that
	 * message may hold another. */
	while (outline->reason == NULL && outline->in_header)
		outline_end_header(outline, outline->offset, outline->offset, false);
	if (outline->reason == NULL) {
		outline_end_entities(
			outline, OUTLINE_NONE, outline->offset, outline->offset);
		close_childless(outline);
	}
	return outline->reason == NULL;
}

const char *outline_reason(const struct outline *outline)
{
	return outline->reason;
}

size_t outline_entities(const struct outline *outline)
{
	return outline->entities->len;
}

const struct outline_entity *outline_entity(const struct outline *outline, size_t i)
{
	return outline_entity_at(outline, i);
}

const struct outline_field *outline_field(const struct outline *outline, size_t i)
{
	return outline_field_at(outline, i);
}

const struct outline_field *outline_find(const struct outline *outline,
	const struct outline_entity *entity, const char *name)
{
	for (size_t i = 0; i < entity->n_fields; i++)
		if (strcmp(outline_field_at(outline, entity->first_field + i)->name,
			    name) == 0)
			return outline_field_at(outline, entity->first_field + i);
	return NULL;
}

const char *outline_date(const struct outline *outline)
{
	return outline->date != NULL ? outline->date->str : NULL;
}

bool outline_bare_lf(const struct outline *outline)
{
	return outline->bare_lf;
}

void outline_free(struct outline **outline)
{
	if (outline == NULL || *outline == NULL)
		return;
	g_array_unref((*outline)->entities);
	g_array_unref((*outline)->fields);
	g_array_unref((*outline)->open);
	g_string_free((*outline)->line, TRUE);
	g_string_free((*outline)->value, TRUE);
	if ((*outline)->date != NULL)
		g_string_free((*outline)->date, TRUE);
	g_free(*outline);
	*outline = NULL;
}
