/*
 * preflight_draft - what a header holds, and what is to become of it;
 * preflight.c makes the edits. Pure.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_DRAFT_H
#define GATEWAY_DELIVERY_PREFLIGHT_DRAFT_H

#include "gateway/delivery/preflight.h"
#include "gateway/delivery/preflight_fields.h"
#include "gateway/delivery/preflight_rules.h"
#include "gateway/delivery/preflight_sender.h"
#include <glib.h>
#include <stdbool.h>

/* One preflight_edit() at work. */
struct draft {
	const struct preflight *preflight;
	struct splice *splice;
	const char *text;
	size_t begin, end;   /* the block: from its first line to before the empty line */
	size_t own_end;      /* of the gateway's own trace field, or 0 */
	bool needs_empty;    /* a body begins at end without an empty line before it */
	size_t insert_at;    /* new fields go here: below the trace fields */
	const char *newline; /* as the first line ends */
	bool present[RULES_MAX];
	struct fields_span first[RULES_MAX];
	GString *joined[RULES_NAMED]; /* is added to the first; NULL: nothing */
	bool rewrite_from, drop_sender, drop_reply_to;
	bool has_content;    /* a field of MIME's */
	size_t n_edits;      /* made of fields */
	bool type_is_mended; /* Content-Type is one of them, so mime/ has left it alone */
	bool encode;   /* there is something beyond ASCII, and it has to be said in it */
	char *charset; /* of octets that are no UTF-8; NULL: not told */
	GPtrArray *converted; /* what draft_octets() has given; NULL: nothing */
	char *own_reference;  /* Message-ID that References is to have; NULL: none */
	struct sender_rewrite rewrite;
};

/* Reads the block in draft->text, at most bytes of it, and decides. preflight and text
 * are set, the rest is zero. */
void draft_read(struct draft *draft, size_t bytes);
void draft_deinit(struct draft *draft);

/* *bytes of raw, as UTF-8 where they are no UTF-8 but the charset that the message
 * declares; lives as long as raw and the draft. */
const char *draft_octets(struct draft *draft, const char *raw, size_t *bytes);

/* fields_at(); the client's first line does not go on with the gateway's own field. */
enum fields_kind draft_line_at(
	const struct draft *draft, size_t bytes, size_t at, struct fields_span *span);

/* rules_find(), without those that this relay does not have. */
const struct rules_rule *draft_find_rule(
	const struct draft *draft, const struct fields_span *span, size_t *index);

#endif
