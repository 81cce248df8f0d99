/*
 * Header blocks, line by line: which fields are kept, and what an entity is by them.
 * Leaves to header.c what the fields say.
 */
#include "mime/outline_reader.h"
#include <string.h>

enum { FIELDS_MAX = 20 * 1000, KEPT_FIELDS_MAX = 100, DATE_BYTES = 200 };

/* What the fields of one header block say; false when they contradict one another. */
static bool read_fields(struct outline *outline, struct outline_entity *entity)
{
	static const struct {
		const char *name;
		void (*parse)(struct header_content *, const char *);
		bool may_repeat; /* with the same value */
	} known[] = {
		{ "content-type", header_parse_type, false },
		{ "content-transfer-encoding", header_parse_encoding, true },
		{ "content-disposition", header_parse_disposition, true },
		{ "content-id", header_parse_id, true },
		{ "content-location", header_parse_location, true },
	};

	for (size_t k = 0; k < G_N_ELEMENTS(known); k++) {
		const char *first = NULL;

		for (size_t i = 0; i < entity->n_fields; i++) {
			const struct outline_field *field =
				outline_field_at(outline, entity->first_field + i);

			if (strcmp(field->name, known[k].name) != 0)
				continue;
			if (first == NULL) {
				first = field->value;
				known[k].parse(&entity->content, first);
			} else if (!known[k].may_repeat ||
				   strcmp(first, field->value) != 0) {
				return false;
			}
		}
	}
	return true;
}

static const char *default_type(
	const struct outline *outline, const struct outline_entity *entity)
{
	/* RFC 2046, section 5.1.5. */
	if (entity->parent != OUTLINE_NONE &&
		header_is(&outline_entity_at(outline, entity->parent)->content,
			"multipart/digest"))
		return "message/rfc822";
	return "text/plain";
}

/* The field's last line has been seen. */
static void end_field(struct outline *outline)
{
	if (!outline->field_kept)
		return;
	outline->field_kept = false;
	outline_field_at(outline, outline->fields->len - 1)->value =
		g_strstrip(g_strndup(outline->value->str, outline->value->len));
}

void outline_end_header(struct outline *outline, uint64_t header_end, uint64_t body_start,
	bool blank_line)
{
	size_t i = outline->current;
	struct outline_entity *entity = outline_entity_at(outline, i);

	end_field(outline);
	entity->header_end = header_end;
	entity->body_start = body_start;
	entity->body_end = body_start;
	entity->blank_line = blank_line;
	entity->n_fields = outline->fields->len - entity->first_field;
	outline->in_header = false;
	header_content_init(&entity->content, default_type(outline, entity));
	if (!read_fields(outline, entity)) {
		outline_fail_entity(outline, "a Content- field stands there twice");
		return;
	}
	if (entity->depth > outline->limits.depth) {
		outline_fail(outline, "parts are nested too deeply");
		return;
	}
	if (header_starts(&entity->content, "multipart/")) {
		if (entity->content.boundary_conflict)
			outline_fail_entity(
				outline, "its boundary can be read in two ways");
		else
			outline_open_multipart(outline, i);
	} else if ((header_is(&entity->content, "message/rfc822") ||
			   header_is(&entity->content, "message/global")) &&
		   entity->content.encoding == HEADER_ENCODING_IDENTITY && blank_line) {
		if (outline->entities->len >= outline->limits.parts) {
			outline_fail(outline, "too many parts");
			return;
		}
		entity->kind = OUTLINE_MESSAGE;
		outline_add_entity(outline, i, body_start, body_start);
	}
}

/* The length of a field's name in front of its colon; 0: it is no
 * field (RFC 5322, 2.2). */
static size_t name_length(const struct outline_line *line)
{
	for (size_t i = 0; i < line->length; i++) {
		unsigned char c = (unsigned char)line->text[i];

		if (c == ':')
			return i;
		if (c <= ' ' || c >= 127)
			return 0;
	}
	return 0;
}

/* Cut short: what is longer is no date. */
static void append_date(struct outline *outline, const char *text, size_t length)
{
	size_t room = DATE_BYTES - MIN(outline->date->len, DATE_BYTES);

	g_string_append_len(outline->date, text, (gssize)MIN(length, room));
}

static void start_field(
	struct outline *outline, const struct outline_line *line, size_t name_bytes)
{
	struct outline_field field = { .start = line->start, .end = line->end };

	end_field(outline);
	outline->field_seen = true;
	outline->date_goes_on = outline->current == 0 && outline->date == NULL &&
				name_bytes == 4 &&
				g_ascii_strncasecmp(line->text, "date", 4) == 0;
	if (outline->date_goes_on) {
		outline->date = g_string_new(NULL);
		append_date(outline, line->text + 5, line->length - 5);
	}
	if (++outline->n_fields > FIELDS_MAX) {
		outline_fail(outline, "too many header fields");
		return;
	}
	if (!(name_bytes > 8 && g_ascii_strncasecmp(line->text, "content-", 8) == 0) &&
		!(name_bytes == 12 &&
			g_ascii_strncasecmp(line->text, "mime-version", 12) == 0) &&
		!(name_bytes == 5 && g_ascii_strncasecmp(line->text, "lines", 5) == 0))
		return;
	if (memchr(line->text, '\0', line->length) != NULL) {
		outline_fail_entity(outline, "a Content- field holds a NUL");
		return;
	}
	if (outline->fields->len -
			outline_entity_at(outline, outline->current)->first_field >=
		KEPT_FIELDS_MAX) {
		outline_fail_entity(outline, "too many Content- fields in one header");
		return;
	}
	field.name = g_ascii_strdown(line->text, (gssize)name_bytes);
	g_string_truncate(outline->value, 0);
	g_string_append_len(outline->value, line->text + name_bytes + 1,
		(gssize)(line->length - name_bytes - 1));
	g_array_append_val(outline->fields, field);
	outline->field_kept = true;
}

static void continue_field(struct outline *outline, const struct outline_line *line)
{
	if (outline->date_goes_on)
		append_date(outline, line->text, line->length);
	if (!outline->field_kept)
		return;
	if (memchr(line->text, '\0', line->length) != NULL) {
		outline_fail_entity(outline, "a Content- field holds a NUL");
		return;
	}
	outline_field_at(outline, outline->fields->len - 1)->end = line->end;
	if (outline->value->len + line->length > OUTLINE_FIELD_BYTES) {
		outline_fail(outline, "a Content- field is too long");
		return;
	}
	g_string_append_len(outline->value, line->text, (gssize)line->length);
}

static void count_header(struct outline *outline, const struct outline_line *line)
{
	const struct outline_entity *entity =
		outline_entity_at(outline, outline->current);

	outline->header_bytes += line->end - line->start;
	if (line->end - entity->header_start > outline->limits.header_bytes ||
		outline->header_bytes >
			outline->limits.header_bytes * OUTLINE_HEADER_BLOCKS)
		outline_fail(outline, "too large a header");
}

void outline_on_header_line(struct outline *outline, const struct outline_line *line)
{
	const struct outline_entity *entity =
		outline_entity_at(outline, outline->current);
	bool first = line->start == entity->header_start;
	enum outline_match match;
	size_t level, name_bytes;

	count_header(outline, line);
	match = outline_match(outline, line, &level);
	if (match != OUTLINE_MATCH_NONE) {
		if (first && entity->kind == OUTLINE_LEAF &&
			outline_enclosing_message(outline, outline->current) ==
				OUTLINE_NONE) {
			outline_fail(outline, "a part without header and content");
			return;
		}
		outline_end_header(outline, line->start, line->start, false);
		if (outline->reason == NULL)
			outline_on_delimiter(outline, match, level, line);
		return;
	}
	if (line->length == 0) {
		outline_end_header(outline, line->start, line->end, true);
		return;
	}
	/* Some readers take it for a line's end, and two for the header's. */
	if (memchr(line->text, '\r', line->length) != NULL) {
		outline_fail_entity(outline, "a header holds a lone CR");
		return;
	}
	if (line->text[0] == ' ' || line->text[0] == '\t') {
		continue_field(outline, line);
		return;
	}
	name_bytes = name_length(line);
	if (name_bytes > 0) {
		start_field(outline, line, name_bytes);
	} else if (!(first && line->length > 5 && memcmp(line->text, "From ", 5) == 0)) {
		outline_fail_entity(outline,
			outline->field_seen ? "a line in a header is no header field"
					    : "a message or part has no header");
	}
}
