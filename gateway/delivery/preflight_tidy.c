/* Mends line ends, controls and lengths. What the lines say is not looked at. */
#include "gateway/delivery/preflight_tidy.h"

#include <string.h>

#define LINE_BYTES 998 /* RFC 5322, section 2.1.1; SES refuses 1,000 */
#define FOLD_BYTES 900 /* where a line beyond that is folded anew */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The last place below FOLD_BYTES and behind indent where a line may be cut: before a
 * blank, or behind one of marks. 0: there is none. */
static size_t find_last(const char *line, size_t indent, const char *marks)
{
	size_t cut = FOLD_BYTES;
	while (cut > indent &&
		!(marks ? strchr(marks, line[cut - 1]) != NULL : is_blank(line[cut])))
		cut--;
	return cut > indent ? cut : 0;
}

/* Where a line that is too long is cut, never before its first text,
 * which begins soon. */
static size_t find_cut(const char *line)
{
	size_t indent = 0;
	while (indent < FOLD_BYTES && is_blank(line[indent]))
		indent++;
	size_t cut = find_last(line, indent, NULL);
	if (!cut)
		cut = find_last(line, indent + 1, ",;>");
	if (cut)
		return cut;
	cut = FOLD_BYTES;
	while (cut > FOLD_BYTES - 4 && ((unsigned char)line[cut] & 0xc0) == 0x80)
		cut--;
	return cut;
}

/* Of blanks at the begin of a line that is too long one is left: nothing but blanks in a
 * line would end the header for some readers. */
static size_t extra_blanks(const char *line, size_t bytes)
{
	size_t extra = 0;
	while (bytes - extra >= LINE_BYTES && is_blank(line[extra]) &&
		is_blank(line[extra + 1]))
		extra++;
	return extra;
}

/* Appends one line without its end, folded where it is too long. */
static void append_line(GString *out, const char *line, size_t bytes, const char *newline)
{
	if (bytes >= LINE_BYTES) {
		while (bytes && is_blank(line[bytes - 1]))
			bytes--;
	}
	for (;;) {
		size_t extra = extra_blanks(line, bytes);
		line += extra;
		bytes -= extra;
		if (bytes < LINE_BYTES)
			break;
		size_t cut = find_cut(line);
		g_string_append_len(out, line, (gssize)cut);
		g_string_append(out, newline);
		if (!is_blank(line[cut]))
			g_string_append_c(out, ' ');
		line += cut;
		bytes -= cut;
	}
	g_string_append_len(out, line, (gssize)bytes);
}

/* A line of blanks is the end of the header for some readers. */
static bool is_blank_line(const char *line, size_t bytes)
{
	while (bytes && is_blank(line[bytes - 1]))
		bytes--;
	return bytes == 0;
}

bool tidy_is_needed(const char *field, size_t bytes, const char *newline)
{
	bool crlf = newline[0] == '\r';
	const char *end = field + bytes;
	for (const char *line = field; line < end;) {
		const char *feed = memchr(line, '\n', (size_t)(end - line));
		if (!feed)
			return true;
		const char *stop = feed > line && feed[-1] == '\r' ? feed - 1 : feed;
		size_t length = (size_t)(stop - line);
		if (length > LINE_BYTES || (crlf && stop == feed) ||
			memchr(line, '\r', length) || memchr(line, '\0', length) ||
			is_blank_line(line, length))
			return true;
		line = feed + 1;
	}
	return false;
}

void tidy_append(GString *out, const char *text, size_t bytes, const char *newline)
{
	g_autofree char *clean = g_memdup2(text, bytes);
	const char *end = clean + bytes;
	for (char *p = clean; p < end; p++) {
		if (*p == '\0' || (*p == '\r' && (p + 1 == end || p[1] != '\n')))
			*p = ' ';
	}
	for (const char *line = clean; line < end;) {
		const char *feed = memchr(line, '\n', (size_t)(end - line));
		const char *stop = feed ? feed : end;
		if (feed && stop > line && stop[-1] == '\r')
			stop--;
		size_t length = (size_t)(stop - line);
		if (line == clean || !is_blank_line(line, length)) {
			if (line > clean)
				g_string_append(out, newline);
			append_line(out, line, length, newline);
		}
		line = feed ? feed + 1 : end;
	}
}
