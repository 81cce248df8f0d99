/*
 * preflight_rules - which fields of a header may stand once, and which never. Pure.
 *
 * RFC 5322, section 3.6, and SES Developer Guide, "Amazon SES header fields".
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_RULES_H
#define GATEWAY_DELIVERY_PREFLIGHT_RULES_H

#include "gateway/delivery/preflight_fields.h"
#include <stdbool.h>
#include <stddef.h>

enum rules_treatment {
	RULES_ONCE,      /* doubles are dropped */
	RULES_JOIN,      /* an address list: doubles are joined to the first */
	RULES_DROP,      /* never sent */
	RULES_SIGNATURE, /* dropped when what it signs has changed */
	RULES_MIME,      /* doubles are dropped; where it stands once it is mime/'s */
};

/* The fields that are asked for by name; the others follow in the table. */
enum rules_id {
	RULES_FROM,
	RULES_SENDER,
	RULES_REPLY_TO,
	RULES_DATE,
	RULES_MESSAGE_ID,
	RULES_IN_REPLY_TO,
	RULES_REFERENCES,
	RULES_TO,
	RULES_CC,
	RULES_ORIGINAL_FROM,
	RULES_ORIGINAL_SENDER,
	RULES_ORIGINAL_REPLY_TO,
	RULES_CONTENT_TYPE,
	RULES_CONTENT_DISPOSITION,
	RULES_MIME_VERSION,
	RULES_NAMED,
};
#define RULES_MAX 96

struct rules_rule {
	const char *name;
	size_t name_bytes;
	enum rules_treatment treatment;
	bool needs_value; /* an empty one counts as missing */
	bool of_ses;      /* other relays take it twice */
};

/* The field's rule, its place in *index (below RULES_MAX); NULL: there is none. */
const struct rules_rule *rules_find(
	const char *text, const struct fields_span *span, size_t *index);

/*
 * Whether a header goes on at the line that follows one that is no field: whether it is a
 * field as headers have it. Otherwise the body began without an empty line, as some
 * devices send it.
 */
bool rules_header_goes_on(const char *text, size_t bytes, size_t at);

#endif
