/*
 * header - what the Content-* fields of one entity say, from their unfolded values.
 *
 * Private to mime/. Pure. Values are read with GMime; what it gets wrong is mended here.
 */
#ifndef MIME_HEADER_H
#define MIME_HEADER_H

#include <glib.h>
#include <stdbool.h>

/* RFC 2045, section 6. Absent means 7bit. */
enum header_encoding {
	HEADER_ENCODING_IDENTITY, /* 7bit, 8bit, binary */
	HEADER_ENCODING_QP,
	HEADER_ENCODING_BASE64,
	HEADER_ENCODING_UUENCODE,
	HEADER_ENCODING_UNKNOWN,
};

/* RFC 2183, section 2. OTHER: a word that it does not name. */
enum header_disposition {
	HEADER_DISPOSITION_NONE,
	HEADER_DISPOSITION_INLINE,
	HEADER_DISPOSITION_ATTACHMENT,
	HEADER_DISPOSITION_OTHER,
};

struct header_content {
	/* lower case, "text/plain" when absent; never NULL after a parse */
	char *media_type;
	bool type_given;        /* a Content-Type stood there */
	bool malformed;         /* ... but it is no type/subtype */
	bool boundary_conflict; /* two that differ, or one that is read in two ways */
	bool charset_conflict;
	bool flowed, delsp; /* RFC 3676 */
	char *boundary;     /* or NULL */
	char *charset;      /* as given, or NULL */
	/* Content-Type's, decoded but not cleaned, or NULL. No UTF-8 where it stands
	 * there in a charset that is not told. */
	char *name;
	char *file_name; /* Content-Disposition's, likewise */
	char *start;     /* multipart/related's root, RFC 2387 */
	enum header_disposition disposition;
	enum header_encoding encoding;
	char *content_id; /* without the angle brackets, or NULL */
	char *location;   /* Content-Location, or NULL */
};

/* The defaults of an entity that has no Content-* field; media_type
 * as its parent gives it. */
void header_content_init(struct header_content *content, const char *media_type);
void header_content_clear(struct header_content *content);

void header_parse_type(struct header_content *content, const char *value);
void header_parse_disposition(struct header_content *content, const char *value);
void header_parse_encoding(struct header_content *content, const char *value);
void header_parse_id(struct header_content *content, const char *value);
void header_parse_location(struct header_content *content, const char *value);

/* True for "multipart/" and the like: prefix with its slash. */
bool header_is(const struct header_content *content, const char *media_type);
bool header_starts(const struct header_content *content, const char *prefix);

#endif
