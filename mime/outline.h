/*
 * outline - where each entity of a message begins and ends, found in one pass.
 *
 * A push parser: fed with bytes however they are cut, while they arrive or from a file.
 * It keeps no content, only offsets and Content-* fields, and everything that a sender
 * can make grow has a ceiling: over one of them, or where two mail programs would see
 * different parts, the message gets a reason and is not understood at all.
 *
 * Delimiters are compared as whole lines (RFC 2046, section 5.1.1), so that one boundary
 * may be the beginning of another. message/rfc822 is looked into for its structure only.
 *
 * Private to mime/. Pure. Thread: its owner's.
 */
#ifndef MIME_OUTLINE_H
#define MIME_OUTLINE_H

#include "mime/header.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTLINE_NONE SIZE_MAX

struct outline_limits {
	uint64_t header_bytes; /* of one header block */
	size_t parts;          /* entities of any kind */
	size_t depth;
};

/* Further ceilings, far above what mail programs write. */
enum {
	OUTLINE_FIELD_BYTES = 64 * 1024, /* one Content-* field */
	OUTLINE_HEADER_BLOCKS = 4, /* all header blocks together, times header_bytes */
	OUTLINE_DASH_LINES = 1000 * 1000,
	OUTLINE_BOUNDARY_BYTES = 250, /* RFC 2046 allows 70 */
};

enum outline_kind { OUTLINE_LEAF, OUTLINE_MULTIPART, OUTLINE_MESSAGE };

/* A Content-* field, MIME-Version or Lines: the octets of its lines,
 * line breaks included. */
struct outline_field {
	char *name;  /* lower case */
	char *value; /* unfolded, without the white space around it */
	uint64_t start, end;
};

/* One entity (RFC 2045, section 2.4). All offsets are from the start of the message. */
struct outline_entity {
	size_t parent; /* OUTLINE_NONE: the message itself */
	size_t depth;
	enum outline_kind kind;
	/* of the delimiter line that opens it; else header_start */
	uint64_t delimiter_start;
	uint64_t header_start;
	uint64_t header_end; /* behind its last field */
	uint64_t body_start;
	/* the line break before a delimiter belongs to the delimiter */
	uint64_t body_end;
	/* of a child of a multipart: the next delimiter line's start, or the end
	 * of an unclosed multipart */
	uint64_t region_end;
	bool blank_line;       /* an empty line ends the header */
	bool ended_by_sibling; /* region_end is a delimiter line of its own parent */
	/* empty: no line break between its end and the delimiter line behind it */
	bool glued;
	/* Multiparts only. */
	size_t children;
	bool closed;          /* its close delimiter was seen, at: */
	uint64_t close_start; /* the close delimiter line */
	/* Its fields. */
	size_t first_field, n_fields;
	struct header_content content;
};

struct outline;

struct outline *outline_new(const struct outline_limits *limits);

/* False when the message cannot be understood (see
 * outline_reason()): no more is needed. */
bool outline_feed(struct outline *outline, const char *data, size_t length);

/* After the last byte, once. False as outline_feed(). */
bool outline_finish(struct outline *outline);

/* Why the message is not understood, a static text; NULL when it is. */
const char *outline_reason(const struct outline *outline);

/* Valid after outline_finish(): in reading order, number 0 is the message. */
size_t outline_entities(const struct outline *outline);
const struct outline_entity *outline_entity(const struct outline *outline, size_t i);
const struct outline_field *outline_field(const struct outline *outline, size_t i);

/* The entity's field of that lower-case name, or NULL. */
const struct outline_field *outline_find(const struct outline *outline,
	const struct outline_entity *entity, const char *name);

/* The value of the message's first Date field, unfolded; NULL: there is none. */
const char *outline_date(const struct outline *outline);

/* True when the message's lines end in LF alone. Judged by its first line. */
bool outline_bare_lf(const struct outline *outline);

void outline_free(struct outline **outline);

#endif
