/*
 * html - tags, comments and raw text of an HTML body by their offsets, as the HTML
 * standard's tokenizer cuts them (section 13.2.5), in constant memory and one pass.
 *
 * Bytes in any charset that holds ASCII as it is. No tree is built: a body is edited by
 * inserting at offsets and never written anew.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_HTML_H
#define MIME_HTML_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum html_type {
	HTML_START_TAG,
	HTML_END_TAG,
	HTML_COMMENT, /* also <!...>, <?...> */
	HTML_RAW,     /* what stands in style, script and the like, without their tags */
};

struct html_token {
	enum html_type type;
	size_t start, end; /* from '<' to behind '>' */
	const char *name;  /* of a tag, or of the element that holds raw text */
	size_t name_bytes;
	bool unclosed; /* the text ends within it */
};

/* Embedded; no deinit. text is borrowed. */
struct html_scanner {
	const char *text;
	size_t length;
	size_t at;
	const char *raw; /* in raw text: of this element */
	size_t raw_bytes;
};

void html_scanner_init(struct html_scanner *scanner, const char *text, size_t length);

/* False at the end. */
bool html_next(struct html_scanner *scanner, struct html_token *token);

struct html_attribute {
	const char *name, *value; /* value: "" without one */
	size_t name_bytes, value_bytes;
	bool quoted;
};

/* The next attribute at or behind *at, which begins behind the name of a tag that ends at
 * end. False when there is none. */
bool html_next_attribute(
	const char *text, size_t end, size_t *at, struct html_attribute *attribute);

/* Where a block goes so that it is shown: before the last </body>, a frameset, </html>,
 * the construct that never ends, or at the end. */
size_t html_end_of_body(const char *text, size_t length);

/* Behind <body>, or </head>, or <html> and <!DOCTYPE>, or at the start. */
size_t html_top_of_body(const char *text, size_t length);

/*
 * The end tags for what is still open at text + at and would hide what is put there: a
 * preheader in "display:none" that was never closed, a <select>, another's link.
 * g_string_free().
 */
GString *html_close_hiding(const char *text, size_t at);

/* An id in the form in which ids are compared: %XX and references of ASCII characters
 * decoded, ASCII in lower case. g_free(). */
char *html_decode_id(const char *text, size_t length);

/* The next "cid:" at or behind *at, in any context: its start (of "cid:"), the id decoded
 * in *id (g_free()), and *at behind it. False when there is none. */
bool html_next_cid(const char *text, size_t length, size_t *at, size_t *start, char **id);

/* The next place at or behind *at where location stands as an attribute's value or in
 * url(): its start, and *at behind it. False when there is none. */
bool html_next_location(
	const char *text, size_t length, const char *location, size_t *at, size_t *start);

#endif
