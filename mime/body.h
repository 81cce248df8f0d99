/*
 * body - one text/plain or text/html part with a block put into it, and markers taken
 * out, as edits of the original.
 *
 * Where the part's encoding and charset can carry the block, it is inserted and no other
 * octet changes. Else the part is encoded again, exactly; where even that cannot be,
 * there is no plan, and the part stays as it is.
 *
 * Private to mime/. Pure but for reading the part.
 */
#ifndef MIME_BODY_H
#define MIME_BODY_H

#include "mime/mime.h"
#include "mime/outline.h"
#include "mime/policy.h"
#include "mime/source.h"
#include "mime/splice.h"
#include <glib.h>
#include <stdbool.h>

/* RFC 5322, section 2.1.1, without the line break. */
enum { BODY_LINE_BYTES_MAX = 998 };

struct body_request {
	const struct outline *outline;
	struct source *source;
	size_t entity;
	enum policy_role role;
	enum mime_block_position position;
	const char *newline;  /* the message's */
	const GString *block; /* UTF-8; ASCII for HTML; NULL: none */
	GHashTable *ids; /* content id as html_decode_id() gives it -> URL; NULL: none */
	GHashTable *locations; /* Content-Location -> URL; NULL: none */
	const GString *notice; /* as block, in front of the text; NULL: none */
	const struct mime_markers *markers; /* to be taken out; NULL: none */
	bool wants_text;                    /* body_plan_text() is asked for */
	bool shortens; /* nothing is edited: too long lines are encoded */
};

struct body_plan;

/* *plan is NULL when the part cannot be edited. False with MIME_ERROR_IO. */
bool body_plan_new(
	struct body_plan **plan, const struct body_request *request, GError **error);

/* What the markers hold that the plan takes out, see struct marker_search; NULL when
 * there are none. Why they make no list, a static text, or NULL. */
const char *body_plan_list(const struct body_plan *plan);
const char *body_plan_fault(const struct body_plan *plan);

/* The whole text as the plan makes it, in UTF-8; NULL where the charset does not say. */
const GString *body_plan_text(const struct body_plan *plan);

/* False when an edit overlaps another. */
bool body_plan_apply(const struct body_plan *plan, struct splice *splice);

void body_plan_free(struct body_plan **plan);

/* Makes a part of any type and size base64, which is computed when it is read: its octets
 * stay the same. False when an edit overlaps another. */
bool body_to_base64(const struct body_request *request, struct splice *splice);

#endif
