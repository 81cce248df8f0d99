/*
 * Where multiparts begin and end: boundaries, delimiter lines, the entities between them.
 */
#include "mime/outline_reader.h"
#include <string.h>

size_t outline_add_entity(struct outline *outline, size_t parent,
	uint64_t delimiter_start, uint64_t header_start)
{
	struct outline_entity entity = {
		.parent = parent,
		.delimiter_start = delimiter_start,
		.header_start = header_start,
		.first_field = outline->fields->len,
	};

	if (parent != OUTLINE_NONE)
		entity.depth = outline_entity_at(outline, parent)->depth + 1;
	g_array_append_val(outline->entities, entity);
	outline->in_header = true;
	outline->field_seen = false;
	outline->field_kept = false;
	outline->current = outline->entities->len - 1;
	return outline->current;
}

size_t outline_enclosing_message(const struct outline *outline, size_t i)
{
	for (i = outline_entity_at(outline, i)->parent; i != OUTLINE_NONE;
		i = outline_entity_at(outline, i)->parent)
		if (outline_entity_at(outline, i)->kind == OUTLINE_MESSAGE)
			return i;
	return OUTLINE_NONE;
}

static void truncate_open(struct outline *outline, size_t entity)
{
	while (outline->open->len > 0 &&
		g_array_index(outline->open, struct outline_open, outline->open->len - 1)
				.entity > entity)
		g_array_set_size(outline->open, outline->open->len - 1);
}

void outline_fail(struct outline *outline, const char *reason)
{
	if (outline->reason == NULL)
		outline->reason = reason;
}

void outline_fail_entity(struct outline *outline, const char *reason)
{
	size_t message = outline_enclosing_message(outline, outline->current);
	struct outline_entity *entity;

	if (message == OUTLINE_NONE) {
		outline_fail(outline, reason);
		return;
	}
	entity = outline_entity_at(outline, message);
	truncate_open(outline, message);
	outline->field_kept = false;
	g_array_set_size(
		outline->fields, (guint)(entity->first_field + entity->n_fields));
	g_array_set_size(outline->entities, (guint)message + 1);
	entity->kind = OUTLINE_LEAF;
	outline->current = message;
	outline->in_header = false;
}

/* What stands behind the boundary in a delimiter line: only white space may. */
static bool is_padding(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] != ' ' && text[i] != '\t')
			return false;
	return true;
}

static enum outline_match match_one(
	const struct outline_open *open, const struct outline_line *line)
{
	const char *rest, *cr;
	size_t length;
	bool odd;

	if (line->length < 2 + open->length ||
		memcmp(line->text + 2, open->boundary, open->length) != 0)
		return OUTLINE_MATCH_NONE;
	rest = line->text + 2 + open->length;
	length = line->length - 2 - open->length;
	if (is_padding(rest, length))
		return OUTLINE_MATCH_DELIMITER;
	cr = memchr(rest, '\r', length);
	odd = cr != NULL;
	if (odd)
		length = (size_t)(cr - rest);
	if (length >= 2 && rest[0] == '-' && rest[1] == '-' &&
		is_padding(rest + 2, length - 2))
		return odd ? OUTLINE_MATCH_ODD : OUTLINE_MATCH_CLOSE;
	return odd && is_padding(rest, length) ? OUTLINE_MATCH_ODD : OUTLINE_MATCH_NONE;
}

enum outline_match outline_match(
	struct outline *outline, const struct outline_line *line, size_t *level)
{
	enum outline_match found = OUTLINE_MATCH_NONE;

	if (line->length < 2 || line->text[0] != '-' || line->text[1] != '-' ||
		outline->open->len == 0)
		return OUTLINE_MATCH_NONE;
	if (++outline->dash_lines > OUTLINE_DASH_LINES) {
		outline_fail(outline, "too many lines that look like delimiters");
		return OUTLINE_MATCH_NONE;
	}
	for (size_t i = outline->open->len; i-- > 0;) {
		enum outline_match match = match_one(
			&g_array_index(outline->open, struct outline_open, i), line);

		if (match == OUTLINE_MATCH_NONE)
			continue;
		if (match == OUTLINE_MATCH_ODD) {
			outline_fail(outline, "a delimiter line holds a lone CR");
			return OUTLINE_MATCH_NONE;
		}
		if (found != OUTLINE_MATCH_NONE) {
			outline_fail(outline, "a delimiter line fits two multiparts");
			return OUTLINE_MATCH_NONE;
		}
		found = match;
		*level = i;
	}
	return found;
}

void outline_end_entities(struct outline *outline, size_t multipart, uint64_t body_end,
	uint64_t delimiter_start)
{
	size_t i = outline->current;
	uint64_t parts_end = body_end;

	while (i != multipart && i != OUTLINE_NONE) {
		struct outline_entity *entity = outline_entity_at(outline, i);
		bool own = entity->parent == multipart && multipart != OUTLINE_NONE;

		if (entity->kind != OUTLINE_MULTIPART)
			parts_end = body_end;
		parts_end = MAX(entity->body_start, parts_end);
		entity->body_end = parts_end;
		entity->region_end = own ? delimiter_start : entity->body_end;
		entity->ended_by_sibling = own;
		entity->glued =
			entity->body_end == delimiter_start && multipart != OUTLINE_NONE;
		i = entity->parent;
	}
}

void outline_on_delimiter(struct outline *outline, enum outline_match match, size_t level,
	const struct outline_line *line)
{
	size_t i = g_array_index(outline->open, struct outline_open, level).entity;

	if (outline_entity_at(outline, i)->closed) {
		if (match == OUTLINE_MATCH_DELIMITER)
			outline_fail(outline,
				"a delimiter stands behind the end of its multipart");
		return;
	}
	outline_end_entities(outline, i, line->start - line->break_before, line->start);
	g_array_set_size(outline->open, (guint)level + 1);
	if (match == OUTLINE_MATCH_CLOSE) {
		outline_entity_at(outline, i)->closed = true;
		outline_entity_at(outline, i)->close_start = line->start;
		outline->current = i;
		outline->in_header = false;
		return;
	}
	if (outline->entities->len >= outline->limits.parts) {
		outline_fail(outline, "too many parts");
		return;
	}
	outline_entity_at(outline, i)->children++;
	outline_add_entity(outline, i, line->start, line->end);
}

void outline_open_multipart(struct outline *outline, size_t i)
{
	struct outline_entity *entity = outline_entity_at(outline, i);
	struct outline_open open = { .entity = i, .boundary = entity->content.boundary };

	if (open.boundary == NULL || *open.boundary == '\0') {
		outline_fail_entity(outline, "a multipart without a boundary");
		return;
	}
	open.length = strlen(open.boundary);
	if (open.length > OUTLINE_BOUNDARY_BYTES) {
		outline_fail_entity(outline, "a boundary is too long");
		return;
	}
	for (size_t k = 0; k < outline->open->len; k++) {
		if (strcmp(g_array_index(outline->open, struct outline_open, k).boundary,
			    open.boundary) == 0) {
			outline_fail(outline,
				"a multipart within another of the same boundary");
			return;
		}
	}
	entity->kind = OUTLINE_MULTIPART;
	g_array_append_val(outline->open, open);
}
