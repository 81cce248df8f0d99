/*
 * text - what a body's text holds.
 */
#include "mime/text.h"

#include "mime/block.h"
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

/* Blanks that HTML would take away: at a line's start, and all but the
 * first of several. */
static void append_line(GString *out, const char *line, size_t length)
{
	g_autoptr(GString) words = g_string_new_len(line, (gssize)length);
	const char *p = words->str;

	while (*p != '\0') {
		size_t blanks = strspn(p, " \t"), text;

		for (size_t i = 0; i < blanks; i++)
			g_string_append(
				out, i == 0 && p != words->str && p[blanks] != '\0'
					     ? " "
					     : "&#xa0;");
		p += blanks;
		text = strcspn(p, " \t");
		g_autofree char *word = g_strndup(p, text);

		block_escape(out, word);
		p += text;
	}
}

/* Whether the line goes on in the next one; *length is then without what marks that. */
static bool is_flowed(const char *line, size_t *length, const char *next, bool delsp)
{
	if (*length == 0 || line[*length - 1] != ' ' || line[0] == '>' || *next == '>' ||
		*next == '\0' || (*length == 3 && memcmp(line, "-- ", 3) == 0))
		return false;
	*length -= delsp;
	return true;
}

GString *text_to_html(const GString *text, bool flowed, bool delsp, const char *newline)
{
	GString *out = g_string_new("<div>");
	const char *p = text->str;

	while (*p != '\0') {
		size_t length = strcspn(p, "\n");
		const char *next = p + length + (p[length] == '\n');

		if (length > 0 && p[length - 1] == '\r')
			length--;
		/* Space-stuffing (section 4.4). */
		if (flowed && *p == ' ') {
			p++;
			length--;
		}
		if (flowed && is_flowed(p, &length, next, delsp)) {
			/* The blank stands before more of the line. */
			bool blank = length > 0 && p[length - 1] == ' ';

			append_line(out, p, length - blank);
			g_string_append(out, blank ? " " : "");
		} else {
			append_line(out, p, length);
			g_string_append_printf(out, "<br>%s", newline);
		}
		p = next;
	}
	g_string_append_printf(out, "</div>%s", newline);
	return out;
}
