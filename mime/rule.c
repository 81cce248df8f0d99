/* Wildcards, without recursion: after a mismatch only the last "*" is
 * tried further on. */
#include "mime/rule.h"

#include <glib.h>

static const char *next_character(const char *text)
{
	text++;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

bool rule_fits(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (*pattern == '?') {
			pattern++;
			text = next_character(text);
		} else if (g_ascii_tolower(*pattern) == g_ascii_tolower(*text)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

const struct mime_rule *rule_find(
	const struct mime_rule *rules, size_t n_rules, const char *text)
{
	for (size_t i = 0; text != NULL && i < n_rules; i++)
		if (rule_fits(rules[i].pattern, text))
			return &rules[i];
	return NULL;
}
