/*
 * enhanced_code - the enhanced mail system status code at the head of a reply's text.
 *
 * Pure. RFC 3463, section 2 (its numbers), RFC 2034, section 4 (its place). "5.7.1: no",
 * which some servers say, is taken for one too; "5.1.1.9" and "5.1.1x" are not.
 */
#ifndef GATEWAY_ENHANCED_CODE_H
#define GATEWAY_ENHANCED_CODE_H

#include <stdbool.h>
#include <stddef.h>

struct enhanced_code {
	unsigned class;           /* 2, 4 or 5 */
	unsigned subject, detail; /* 0 to 999 */
	size_t bytes;             /* of the code in the text */
};

/* False, and all of code 0: text does not begin with one. */
bool enhanced_code_parse(const char *text, struct enhanced_code *code);

/* What follows the code, and the blanks or the mark behind it; text
 * where there is none. */
const char *enhanced_code_skip(const char *text);

#endif
