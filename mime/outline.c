/*
 * outline - finds header blocks and delimiter lines, by their offsets.
 * Leaves to policy.c what a part is for, to decode.c what its content says.
 */
#include "mime/outline.h"

#include <string.h>

enum {
	FIELDS_MAX = 20 * 1000,
	KEPT_FIELDS_MAX = 100,
	DELIMITER_LINE_BYTES = 1024,
	DATE_BYTES = 200
};

/* A multipart whose delimiters are looked for. Closed ones too, until
 * an outer one ends them. */
struct open_multipart {
	size_t entity;
	const char *boundary; /* the entity's */
	size_t length;
};

struct outline {
	struct outline_limits limits;
	const char *reason;
	GArray *entities; /* struct outline_entity */
	GArray *fields;   /* struct outline_field */
	GArray *open;     /* struct open_multipart, outermost first */
	size_t current;   /* entity being read */
	bool in_header;
	bool field_seen; /* in this header block, of any name */
	bool field_kept; /* the last field is the last of fields, its value still grows */
	GString *value;
	GString *date;     /* of the top header; NULL: not seen */
	bool date_goes_on; /* the last field was it */
	bool bare_lf;
	bool first_line;
	/* The line that a block cut; collects from its first byte on. */
	bool in_line;
	bool line_too_long;
	GString *line;
	uint64_t line_start;
	size_t line_break_before;
	/* Place in the stream. */
	uint64_t offset;
	bool at_line_start;
	char tail[2]; /* the two bytes before offset */
	/* Counters for the ceilings. */
	uint64_t header_bytes;
	size_t n_fields;
	size_t dash_lines;
};

/* A complete line, without its line break, as the state functions get it. */
struct line {
	const char *text;
	size_t length;
	uint64_t start, end; /* end is behind the line break */
	size_t break_before; /* bytes of the line break before start */
};

static struct outline_entity *entity_at(const struct outline *outline, size_t i)
{
	return &g_array_index(outline->entities, struct outline_entity, i);
}

static struct outline_field *field_at(const struct outline *outline, size_t i)
{
	return &g_array_index(outline->fields, struct outline_field, i);
}

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

static size_t add_entity(struct outline *outline, size_t parent, uint64_t delimiter_start,
	uint64_t header_start)
{
	struct outline_entity entity = {
		.parent = parent,
		.delimiter_start = delimiter_start,
		.header_start = header_start,
		.first_field = outline->fields->len,
	};

	if (parent != OUTLINE_NONE)
		entity.depth = entity_at(outline, parent)->depth + 1;
	g_array_append_val(outline->entities, entity);
	outline->in_header = true;
	outline->field_seen = false;
	outline->field_kept = false;
	outline->current = outline->entities->len - 1;
	return outline->current;
}

struct outline *outline_new(const struct outline_limits *limits)
{
	struct outline *outline = g_new0(struct outline, 1);

	outline->limits = *limits;
	outline->entities = g_array_new(FALSE, FALSE, sizeof(struct outline_entity));
	g_array_set_clear_func(outline->entities, clear_entity);
	outline->fields = g_array_new(FALSE, FALSE, sizeof(struct outline_field));
	g_array_set_clear_func(outline->fields, clear_field);
	outline->open = g_array_new(FALSE, FALSE, sizeof(struct open_multipart));
	outline->line = g_string_new(NULL);
	outline->value = g_string_new(NULL);
	outline->at_line_start = true;
	outline->first_line = true;
	add_entity(outline, OUTLINE_NONE, 0, 0);
	return outline;
}

static void fail(struct outline *outline, const char *reason)
{
	if (outline->reason == NULL)
		outline->reason = reason;
}

/* The innermost message/rfc822 that entity i stands in, or OUTLINE_NONE. */
static size_t enclosing_message(const struct outline *outline, size_t i)
{
	for (i = entity_at(outline, i)->parent; i != OUTLINE_NONE;
		i = entity_at(outline, i)->parent)
		if (entity_at(outline, i)->kind == OUTLINE_MESSAGE)
			return i;
	return OUTLINE_NONE;
}

static void truncate_open(struct outline *outline, size_t entity)
{
	while (outline->open->len > 0 &&
		g_array_index(
			outline->open, struct open_multipart, outline->open->len - 1)
				.entity > entity)
		g_array_set_size(outline->open, outline->open->len - 1);
}

/*
 * The current entity makes no sense. Within an attached message only that
 * message is not looked into any more: it stays or goes as one piece. Else the
 * whole message is not understood.
 */
static void fail_entity(struct outline *outline, const char *reason)
{
	size_t message = enclosing_message(outline, outline->current);
	struct outline_entity *entity;

	if (message == OUTLINE_NONE) {
		fail(outline, reason);
		return;
	}
	entity = entity_at(outline, message);
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

/* ODD: a delimiter for those who take a lone CR for a line's end. */
enum match { MATCH_NONE, MATCH_DELIMITER, MATCH_CLOSE, MATCH_ODD };

static enum match match_one(const struct open_multipart *open, const struct line *line)
{
	const char *rest, *cr;
	size_t length;
	bool odd;

	if (line->length < 2 + open->length ||
		memcmp(line->text + 2, open->boundary, open->length) != 0)
		return MATCH_NONE;
	rest = line->text + 2 + open->length;
	length = line->length - 2 - open->length;
	if (is_padding(rest, length))
		return MATCH_DELIMITER;
	cr = memchr(rest, '\r', length);
	odd = cr != NULL;
	if (odd)
		length = (size_t)(cr - rest);
	if (length >= 2 && rest[0] == '-' && rest[1] == '-' &&
		is_padding(rest + 2, length - 2))
		return odd ? MATCH_ODD : MATCH_CLOSE;
	return odd && is_padding(rest, length) ? MATCH_ODD : MATCH_NONE;
}

static enum match match_delimiter(
	struct outline *outline, const struct line *line, size_t *level)
{
	enum match found = MATCH_NONE;

	if (line->length < 2 || line->text[0] != '-' || line->text[1] != '-' ||
		outline->open->len == 0)
		return MATCH_NONE;
	if (++outline->dash_lines > OUTLINE_DASH_LINES) {
		fail(outline, "too many lines that look like delimiters");
		return MATCH_NONE;
	}
	for (size_t i = outline->open->len; i-- > 0;) {
		enum match match = match_one(
			&g_array_index(outline->open, struct open_multipart, i), line);

		if (match == MATCH_NONE)
			continue;
		if (match == MATCH_ODD) {
			fail(outline, "a delimiter line holds a lone CR");
			return MATCH_NONE;
		}
		if (found != MATCH_NONE) {
			fail(outline, "a delimiter line fits two multiparts");
			return MATCH_NONE;
		}
		found = match;
		*level = i;
	}
	return found;
}

/*
 * Ends all entities from the current one up to, not including, multipart. An empty one
 * may reach up to the delimiter line itself: the line break before that ends its header.
 * So do the multiparts that it is the last part of, but no message: the octets of one end
 * before that line break, whatever its own parts need.
 */
static void end_entities(struct outline *outline, size_t multipart, uint64_t body_end,
	uint64_t delimiter_start)
{
	size_t i = outline->current;
	uint64_t parts_end = body_end;

	while (i != multipart && i != OUTLINE_NONE) {
		struct outline_entity *entity = entity_at(outline, i);
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

static void on_delimiter(
	struct outline *outline, enum match match, size_t level, const struct line *line)
{
	size_t i = g_array_index(outline->open, struct open_multipart, level).entity;

	if (entity_at(outline, i)->closed) {
		if (match == MATCH_DELIMITER)
			fail(outline,
				"a delimiter stands behind the end of its multipart");
		return;
	}
	end_entities(outline, i, line->start - line->break_before, line->start);
	g_array_set_size(outline->open, (guint)level + 1);
	if (match == MATCH_CLOSE) {
		entity_at(outline, i)->closed = true;
		entity_at(outline, i)->close_start = line->start;
		outline->current = i;
		outline->in_header = false;
		return;
	}
	if (outline->entities->len >= outline->limits.parts) {
		fail(outline, "too many parts");
		return;
	}
	entity_at(outline, i)->children++;
	add_entity(outline, i, line->start, line->end);
}

static void open_multipart(struct outline *outline, size_t i)
{
	struct outline_entity *entity = entity_at(outline, i);
	struct open_multipart open = { .entity = i,
		.boundary = entity->content.boundary };

	if (open.boundary == NULL || *open.boundary == '\0') {
		fail_entity(outline, "a multipart without a boundary");
		return;
	}
	open.length = strlen(open.boundary);
	if (open.length > OUTLINE_BOUNDARY_BYTES) {
		fail_entity(outline, "a boundary is too long");
		return;
	}
	for (size_t k = 0; k < outline->open->len; k++) {
		if (strcmp(g_array_index(outline->open, struct open_multipart, k)
				    .boundary,
			    open.boundary) == 0) {
			fail(outline, "a multipart within another of the same boundary");
			return;
		}
	}
	entity->kind = OUTLINE_MULTIPART;
	g_array_append_val(outline->open, open);
}

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
				field_at(outline, entity->first_field + i);

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
		header_is(
			&entity_at(outline, entity->parent)->content, "multipart/digest"))
		return "message/rfc822";
	return "text/plain";
}

/* The field's last line has been seen. */
static void end_field(struct outline *outline)
{
	if (!outline->field_kept)
		return;
	outline->field_kept = false;
	field_at(outline, outline->fields->len - 1)->value =
		g_strstrip(g_strndup(outline->value->str, outline->value->len));
}

static void end_header(struct outline *outline, uint64_t header_end, uint64_t body_start,
	bool blank_line)
{
	size_t i = outline->current;
	struct outline_entity *entity = entity_at(outline, i);

	end_field(outline);
	entity->header_end = header_end;
	entity->body_start = body_start;
	entity->body_end = body_start;
	entity->blank_line = blank_line;
	entity->n_fields = outline->fields->len - entity->first_field;
	outline->in_header = false;
	header_content_init(&entity->content, default_type(outline, entity));
	if (!read_fields(outline, entity)) {
		fail_entity(outline, "a Content- field stands there twice");
		return;
	}
	if (entity->depth > outline->limits.depth) {
		fail(outline, "parts are nested too deeply");
		return;
	}
	if (header_starts(&entity->content, "multipart/")) {
		if (entity->content.boundary_conflict)
			fail_entity(outline, "its boundary can be read in two ways");
		else
			open_multipart(outline, i);
	} else if ((header_is(&entity->content, "message/rfc822") ||
			   header_is(&entity->content, "message/global")) &&
		   entity->content.encoding == HEADER_ENCODING_IDENTITY && blank_line) {
		if (outline->entities->len >= outline->limits.parts) {
			fail(outline, "too many parts");
			return;
		}
		entity->kind = OUTLINE_MESSAGE;
		add_entity(outline, i, body_start, body_start);
	}
}

/* The length of a field's name in front of its colon; 0: it is no
 * field (RFC 5322, 2.2). */
static size_t name_length(const struct line *line)
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
	struct outline *outline, const struct line *line, size_t name_bytes)
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
		fail(outline, "too many header fields");
		return;
	}
	if (!(name_bytes > 8 && g_ascii_strncasecmp(line->text, "content-", 8) == 0) &&
		!(name_bytes == 12 &&
			g_ascii_strncasecmp(line->text, "mime-version", 12) == 0) &&
		!(name_bytes == 5 && g_ascii_strncasecmp(line->text, "lines", 5) == 0))
		return;
	if (memchr(line->text, '\0', line->length) != NULL) {
		fail_entity(outline, "a Content- field holds a NUL");
		return;
	}
	if (outline->fields->len - entity_at(outline, outline->current)->first_field >=
		KEPT_FIELDS_MAX) {
		fail_entity(outline, "too many Content- fields in one header");
		return;
	}
	field.name = g_ascii_strdown(line->text, (gssize)name_bytes);
	g_string_truncate(outline->value, 0);
	g_string_append_len(outline->value, line->text + name_bytes + 1,
		(gssize)(line->length - name_bytes - 1));
	g_array_append_val(outline->fields, field);
	outline->field_kept = true;
}

static void continue_field(struct outline *outline, const struct line *line)
{
	if (outline->date_goes_on)
		append_date(outline, line->text, line->length);
	if (!outline->field_kept)
		return;
	if (memchr(line->text, '\0', line->length) != NULL) {
		fail_entity(outline, "a Content- field holds a NUL");
		return;
	}
	field_at(outline, outline->fields->len - 1)->end = line->end;
	if (outline->value->len + line->length > OUTLINE_FIELD_BYTES) {
		fail(outline, "a Content- field is too long");
		return;
	}
	g_string_append_len(outline->value, line->text, (gssize)line->length);
}

static void count_header(struct outline *outline, const struct line *line)
{
	const struct outline_entity *entity = entity_at(outline, outline->current);

	outline->header_bytes += line->end - line->start;
	if (line->end - entity->header_start > outline->limits.header_bytes ||
		outline->header_bytes >
			outline->limits.header_bytes * OUTLINE_HEADER_BLOCKS)
		fail(outline, "too large a header");
}

static void on_header_line(struct outline *outline, const struct line *line)
{
	const struct outline_entity *entity = entity_at(outline, outline->current);
	bool first = line->start == entity->header_start;
	enum match match;
	size_t level, name_bytes;

	count_header(outline, line);
	match = match_delimiter(outline, line, &level);
	if (match != MATCH_NONE) {
		if (first && entity->kind == OUTLINE_LEAF &&
			enclosing_message(outline, outline->current) == OUTLINE_NONE) {
			fail(outline, "a part without header and content");
			return;
		}
		end_header(outline, line->start, line->start, false);
		if (outline->reason == NULL)
			on_delimiter(outline, match, level, line);
		return;
	}
	if (line->length == 0) {
		end_header(outline, line->start, line->end, true);
		return;
	}
	/* Some readers take it for a line's end, and two for the header's. */
	if (memchr(line->text, '\r', line->length) != NULL) {
		fail_entity(outline, "a header holds a lone CR");
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
		fail_entity(outline, outline->field_seen
					     ? "a line in a header is no header field"
					     : "a message or part has no header");
	}
}

static void on_body_line(struct outline *outline, const struct line *line)
{
	size_t level;
	enum match match = match_delimiter(outline, line, &level);

	if (match != MATCH_NONE)
		on_delimiter(outline, match, level, line);
}

static void on_line(struct outline *outline, const char *text, size_t length,
	uint64_t start, size_t break_before)
{
	struct line line = {
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
		on_header_line(outline, &line);
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
		fail(outline, "too large a header");
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
		struct outline_entity *entity = entity_at(outline, i);

		if (entity->kind == OUTLINE_MULTIPART && entity->children == 0)
			entity->kind = OUTLINE_LEAF;
	}
	if (header_starts(&entity_at(outline, 0)->content, "multipart/") &&
		entity_at(outline, 0)->kind == OUTLINE_LEAF)
		fail(outline, "a multipart without parts");
}

bool outline_finish(struct outline *outline)
{
	if (outline->reason == NULL && outline->in_line && !outline->line_too_long)
		on_line(outline, outline->line->str, outline->line->len,
			outline->line_start, outline->line_break_before);
	if (outline->reason == NULL && outline->offset == 0)
		fail(outline, "the message is empty");
	/* An attached message may end within its header, and that
	 * message may hold another. */
	while (outline->reason == NULL && outline->in_header)
		end_header(outline, outline->offset, outline->offset, false);
	if (outline->reason == NULL) {
		end_entities(outline, OUTLINE_NONE, outline->offset, outline->offset);
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
	return entity_at(outline, i);
}

const struct outline_field *outline_field(const struct outline *outline, size_t i)
{
	return field_at(outline, i);
}

const struct outline_field *outline_find(const struct outline *outline,
	const struct outline_entity *entity, const char *name)
{
	for (size_t i = 0; i < entity->n_fields; i++)
		if (strcmp(field_at(outline, entity->first_field + i)->name, name) == 0)
			return field_at(outline, entity->first_field + i);
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
