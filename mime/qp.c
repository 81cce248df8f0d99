/*
 * qp - quoted-printable for text bodies.
 * Leaves to decode.c the strict reading of attachments.
 */
#include "mime/qp.h"

#include <stdbool.h>
#include <string.h>

/* The length of a soft line break at raw, 0 when there is none. */
static size_t soft_break(const char *raw, size_t length)
{
	size_t n = 1;

	while (n < length && (raw[n] == ' ' || raw[n] == '\t'))
		n++;
	if (n < length && raw[n] == '\r')
		n++;
	if (n < length && raw[n] == '\n')
		return n + 1;
	return n == length ? n : 0;
}

/* One step at raw: how many octets it takes, and which octet it
 * stands for, or -1 for none. */
static size_t step(const char *raw, size_t length, int *octet)
{
	size_t n;

	*octet = (unsigned char)raw[0];
	if (raw[0] != '=')
		return 1;
	if (length >= 3 && g_ascii_isxdigit(raw[1]) && g_ascii_isxdigit(raw[2])) {
		*octet = g_ascii_xdigit_value(raw[1]) << 4 | g_ascii_xdigit_value(raw[2]);
		return 3;
	}
	n = soft_break(raw, length);
	if (n == 0)
		return 1;
	*octet = -1;
	return n;
}

void qp_decode(const char *raw, size_t length, GString *out)
{
	size_t at = 0;

	while (at < length) {
		const char *equals = memchr(raw + at, '=', length - at);
		size_t plain = equals != NULL ? (size_t)(equals - raw) - at : length - at;
		int octet;

		g_string_append_len(out, raw + at, (gssize)plain);
		at += plain;
		if (at == length)
			break;
		at += step(raw + at, length - at, &octet);
		if (octet >= 0)
			g_string_append_c(out, (char)octet);
	}
}

size_t qp_raw_offset(
	const char *raw, size_t length, struct qp_place *place, size_t decoded_offset)
{
	while (place->raw < length) {
		int octet;
		size_t n = step(raw + place->raw, length - place->raw, &octet);

		if (octet >= 0 && place->decoded == decoded_offset)
			break;
		if (octet >= 0)
			place->decoded++;
		place->raw += n;
	}
	return place->raw;
}

static void put_octet(GString *out, unsigned char octet)
{
	static const char digits[] = "0123456789ABCDEF";

	g_string_append_c(out, '=');
	g_string_append_c(out, digits[octet >> 4]);
	g_string_append_c(out, digits[octet & 15]);
}

/* Must the octet at text be escaped, with nothing of its line
 * written yet or some of it? */
static bool needs_escape(const char *text, size_t length, bool at_line_end, bool first)
{
	unsigned char c = (unsigned char)text[0];

	if (c == ' ' || c == '\t')
		return at_line_end;
	if (c < ' ' || c > '~' || c == '=')
		return true;
	if (!first)
		return false;
	/* '-' might begin a delimiter line, '.' is doubled on its way,
	 * "From " gets a '>'. */
	return c == '-' || c == '.' || (length >= 5 && memcmp(text, "From ", 5) == 0);
}

void qp_encode(const char *text, size_t length, const char *newline, GString *out)
{
	size_t newline_bytes = strlen(newline), column = 0;

	for (size_t at = 0; at < length;) {
		size_t left = length - at, width;
		bool line_end, escape;

		if (text[at] == newline[0] && left >= newline_bytes &&
			memcmp(text + at, newline, newline_bytes) == 0) {
			g_string_append(out, newline);
			column = 0;
			at += newline_bytes;
			continue;
		}
		line_end = left == 1 ||
			   (left > newline_bytes && text[at + 1] == newline[0] &&
				   memcmp(text + at + 1, newline, newline_bytes) == 0);
		escape = needs_escape(text + at, left, line_end, column == 0);
		width = escape ? 3 : 1;
		if (column + width > QP_LINE_BYTES - (line_end ? 0 : 1)) {
			g_string_append_c(out, '=');
			g_string_append(out, newline);
			column = 0;
			escape = needs_escape(text + at, left, line_end, true);
			width = escape ? 3 : 1;
		}
		if (escape)
			put_octet(out, (unsigned char)text[at]);
		else
			g_string_append_c(out, text[at]);
		column += width;
		at++;
	}
}
