/*
 * rule - whether a media type or file name fits a pattern of the settings.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_RULE_H
#define MIME_RULE_H

#include "mime/mime.h"
#include <stdbool.h>
#include <stddef.h>

/* The whole text fits: "*" is any run of octets, "?" one UTF-8 character; ASCII letters
 * are alike in either case. Takes time in proportion to both lengths' product at most. */
bool rule_fits(const char *pattern, const char *text);

/* The first rule that text fits; NULL: none, or text is NULL. */
const struct mime_rule *rule_find(
	const struct mime_rule *rules, size_t n_rules, const char *text);

#endif
