/* Mends line ends, controls and lengths. What the lines say is not looked at. */
#include "gateway/delivery/preflight_tidy.h"

#include <string.h>

#define LINE_BYTES 998 /* RFC 5322, section 2.1.1; SES refuses 1,000 */
#define FOLD_BYTES 900 /* where a line beyond that is folded anew */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a line that is too long is cut: before a blank that has text on both sides, near
 * FOLD_BYTES if possible; anywhere when hard; 0: nowhere. */
static size_t find_cut(const char *line, size_t bytes, bool hard)
{
	size_t indent = 0, cut = FOLD_BYTES;
	while (indent < bytes && is_blank(line[indent]))
		indent++;
	while (cut > indent && !is_blank(line[cut]))
		cut--;
	if (cut > indent)
		return cut;
	if (hard)
		return FOLD_BYTES;
	cut = MAX(indent, FOLD_BYTES);
	while (cut < bytes && !is_blank(line[cut]))
		cut++;
	return cut < bytes ? cut : 0;
}

/* Appends one line without its end, folded where it is too long. */
static void append_line(
	GString *out, const char *line, size_t bytes, const char *newline, bool hard)
{
	if (bytes >= LINE_BYTES) {
		while (bytes && is_blank(line[bytes - 1]))
			bytes--;
	}
	size_t cut;
	while (bytes >= LINE_BYTES && (cut = find_cut(line, bytes, hard))) {
		g_string_append_len(out, line, (gssize)cut);
		g_string_append(out, newline);
		if (!is_blank(line[cut]))
			g_string_append_c(out, ' ');
		line += cut;
		bytes -= cut;
	}
	g_string_append_len(out, line, (gssize)bytes);
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
			memchr(line, '\r', length) || memchr(line, '\0', length))
			return true;
		line = feed + 1;
	}
	return false;
}

void tidy_append(
	GString *out, const char *text, size_t bytes, const char *newline, bool hard)
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
		if (line > clean)
			g_string_append(out, newline);
		append_line(out, line, (size_t)(stop - line), newline, hard);
		line = feed ? feed + 1 : end;
	}
}
