/*
 * linker - what link.c and link_both.c share: one message at work, new parts, and header
 * fields that give way to others.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_LINKER_H
#define MIME_LINKER_H

#include "mime/message.h"
#include "mime/mime.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* One message at work: the whole, or a forwarded one that is rewritten within. */
struct linker {
	struct mime_message *message;
	size_t root, end; /* its entities: all between that are of its scope */
	GArray *entities; /* size_t: of its attachments */
	GArray *attachments;
	const struct mime_link *links;
	size_t n_links;
	/* Stands before the links, or the text where there are none; NULL: nothing. */
	const char *explanation;
	struct splice *splice;
	const char *newline;
	bool *removed; /* by entity */
	bool *changed; /* by entity: its content is not what it was */
	bool overlap;  /* an edit could not be made */
};

static inline const struct outline_entity *linker_entity(
	const struct linker *linker, size_t i)
{
	return outline_entity(linker->message->outline, i);
}

static inline const struct policy_part *linker_part(const struct linker *linker, size_t i)
{
	return &g_array_index(linker->message->parts, struct policy_part, i);
}

/* Whether markers are to be taken out of entity i. */
bool linker_is_marked(const struct linker *linker, size_t i);

/* text NULL: nothing. Where that cannot be, overlap is set. */
void linker_replace(
	struct linker *linker, uint64_t start, uint64_t end, const GString *text);

/* A boundary that nobody can foresee: it hangs on the links' signatures, or what the
 * caller gave with a notice. kind is a letter that tells ours from one another; "=_"
 * stands in no quoted-printable or base64 text. g_free(). */
char *linker_boundary(const struct linker *linker, char kind);

/* The attachments' block; empty without any. */
GString *linker_block(const struct linker *linker, bool html);
/* The explanation; NULL without. */
GString *linker_notice(const struct linker *linker, bool html);

/* A whole text part, header and all, without the line break at its end, which is taken
 * off text. parameters stand behind charset in Content-Type: "; format=flowed". */
void linker_append_text(const struct linker *linker, GString *out, const char *subtype,
	const char *parameters, GString *text);

/* Such a part of notice, block and, where it is not NULL, the HTML of
 * the sender's text. */
void linker_append_html(const struct linker *linker, GString *out, const GString *text);

/* The parts of a multipart/alternative of text and HTML, from its first delimiter to its
 * last. */
void linker_append_alternatives(
	const struct linker *linker, GString *out, const char *boundary);

/* The part that carries the links where no body does: text beside other text, else
 * both. */
void linker_append_part(const struct linker *linker, GString *out, bool beside_text);

bool linker_is_content(const struct outline_field *field);

/* Whether entity i has a Content-* field or the like twice: it is not for us to say which
 * one counts. */
bool linker_has_doubles(const struct linker *linker, size_t i);

/* The Content-* fields and Lines of entity i give way to one Content-Type, in the first
 * one's place. */
void linker_replace_fields(
	struct linker *linker, size_t i, const char *subtype, const char *boundary);

#endif
