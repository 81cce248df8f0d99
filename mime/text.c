/*
 * text - what a body's text holds.
 */
#include "mime/text.h"

#include <string.h>

/* Does a line begin with what? */
static bool has_line(const GString *text, const char *what)
{
	size_t n = strlen(what);
	const char *p = text->str, *end = text->str + text->len;

	while ((p = memmem(p, (size_t)(end - p), what, n)) != NULL) {
		if (p == text->str || p[-1] == '\n')
			return true;
		p++;
	}
	return false;
}

/* "begin 644 name" at a line's start. */
static bool has_uuencode(const GString *text)
{
	const char *p = text->str, *end = text->str + text->len;

	while ((p = memmem(p, (size_t)(end - p), "begin ", 6)) != NULL) {
		if ((p == text->str || p[-1] == '\n') && end - p > 10 && p[9] == ' ' &&
			strspn(p + 6, "01234567") == 3)
			return true;
		p++;
	}
	return false;
}

bool text_is_armoured(const GString *text)
{
	return has_line(text, "-----BEGIN PGP ") || has_line(text, "=ybegin ") ||
	       has_uuencode(text);
}
