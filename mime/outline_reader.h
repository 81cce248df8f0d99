/*
 * outline_reader - an outline while it is read: what lines of headers and delimiters do.
 *
 * Private to outline*.c. Pure.
 */
#ifndef MIME_OUTLINE_READER_H
#define MIME_OUTLINE_READER_H

#include "mime/outline.h"
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A multipart whose delimiters are looked for. Closed ones too, until
 * an outer one ends them. */
struct outline_open {
	size_t entity;
	const char *boundary; /* the entity's */
	size_t length;
};

struct outline {
	struct outline_limits limits;
	const char *reason;
	GArray *entities; /* struct outline_entity */
	GArray *fields;   /* struct outline_field */
	GArray *open;     /* struct outline_open, outermost first */
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
struct outline_line {
	const char *text;
	size_t length;
	uint64_t start, end; /* end is behind the line break */
	size_t break_before; /* bytes of the line break before start */
};

/* ODD: a delimiter for those who take a lone CR for a line's end. */
enum outline_match {
	OUTLINE_MATCH_NONE,
	OUTLINE_MATCH_DELIMITER,
	OUTLINE_MATCH_CLOSE,
	OUTLINE_MATCH_ODD
};

static inline struct outline_entity *outline_entity_at(
	const struct outline *outline, size_t i)
{
	return &g_array_index(outline->entities, struct outline_entity, i);
}

static inline struct outline_field *outline_field_at(
	const struct outline *outline, size_t i)
{
	return &g_array_index(outline->fields, struct outline_field, i);
}

/* Begins an entity, whose header comes next; its index. */
size_t outline_add_entity(struct outline *outline, size_t parent,
	uint64_t delimiter_start, uint64_t header_start);

/* The whole message is not understood; reason: a static text. The first one holds. */
void outline_fail(struct outline *outline, const char *reason);

/*
 * The current entity makes no sense. Within an attached message only that message is not
 * looked into any more: it stays or goes as one piece. Else the whole message is not
 * understood.
 */
void outline_fail_entity(struct outline *outline, const char *reason);

/* The innermost message/rfc822 that entity i stands in, or OUTLINE_NONE. */
size_t outline_enclosing_message(const struct outline *outline, size_t i);

/* Whether the line delimits a multipart, and which of those open: *level. */
enum outline_match outline_match(
	struct outline *outline, const struct outline_line *line, size_t *level);
void outline_on_delimiter(struct outline *outline, enum outline_match match, size_t level,
	const struct outline_line *line);

/*
 * Ends all entities from the current one up to, not including, multipart. An empty one
 * may reach up to the delimiter line itself: the line break before that ends its header.
 * So do the multiparts that it is the last part of, but no message: the octets of one end
 * before that line break, whatever its own parts need.
 */
void outline_end_entities(struct outline *outline, size_t multipart, uint64_t body_end,
	uint64_t delimiter_start);

/* Entity i is a multipart: its delimiters are looked for from here on. */
void outline_open_multipart(struct outline *outline, size_t i);

/* A line while the current entity is in its header. */
void outline_on_header_line(struct outline *outline, const struct outline_line *line);

/* The current entity's header ends, and its body begins; blank_line:
 * with a line between. */
void outline_end_header(struct outline *outline, uint64_t header_end, uint64_t body_start,
	bool blank_line);

#endif
