/* Makes header text out of what others sent. Which fields get it is preflight.c's. */
#include "gateway/delivery/preflight_text.h"

#include "gateway/quoting.h"
#include "mime/encoded_words.h"
#include <gmime/gmime.h>
#include <string.h>

#define FOLD_COLUMNS  78
#define LINE_BYTES    998 /* RFC 5322, section 2.1.1 */
#define WORD_BYTES    45  /* base64 of so many, with =?UTF-8?B?...?=, stays below 75 */
#define ADDRESS_BYTES 320
#define DOMAIN_BYTES  255

/* Marks that embed or override the writing direction, and line and
 * paragraph separators. */
static bool is_treacherous(gunichar c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
	       (c >= 0x200e && c <= 0x200f) || c == 0x061c || c == 0x2028 ||
	       c == 0x2029 || c == 0xfeff;
}

char *text_clean(const char *raw, size_t raw_bytes, size_t limit_bytes)
{
	g_autofree char *valid = g_utf8_make_valid(raw, (gssize)raw_bytes);
	GString *clean = g_string_new(NULL);
	bool pending = false;
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);
		size_t width = (size_t)(g_utf8_next_char(p) - p);
		if (is_treacherous(c))
			continue;
		if (g_unichar_iscntrl(c) || g_unichar_isspace(c)) {
			pending = clean->len > 0;
			continue;
		}
		if (clean->len + pending + width > limit_bytes)
			break;
		if (pending)
			g_string_append_c(clean, ' ');
		pending = false;
		g_string_append_len(clean, p, (gssize)width);
	}
	return g_string_free(clean, FALSE);
}

char *text_line(const char *raw, size_t raw_bytes)
{
	char *line = g_malloc(raw_bytes + 1);
	for (size_t i = 0; i < raw_bytes; i++)
		line[i] = g_ascii_iscntrl(raw[i]) ? ' ' : raw[i];
	line[raw_bytes] = '\0';
	return line;
}

char *text_decode(const char *line)
{
	g_autoptr(GString) words = g_string_new(line);
	encoded_words_join(words);
	g_autofree char *said = g_mime_utils_header_decode_text(NULL, words->str);
	return text_line(said, strlen(said));
}

bool text_is_ascii(const char *text, size_t text_bytes)
{
	for (size_t i = 0; i < text_bytes; i++) {
		if ((unsigned char)text[i] >= 0x80)
			return false;
	}
	return true;
}

static size_t whole_characters(const char *text, size_t limit_bytes)
{
	size_t length = strlen(text);
	if (length <= limit_bytes)
		return length;
	while (limit_bytes && ((unsigned char)text[limit_bytes] & 0xc0) == 0x80)
		limit_bytes--;
	return limit_bytes;
}

static char *encode_words(const char *text)
{
	GString *words = g_string_new(NULL);
	while (*text) {
		size_t bytes = whole_characters(text, WORD_BYTES);
		g_autofree char *base64 = g_base64_encode((const guchar *)text, bytes);
		g_string_append_printf(
			words, "%s=?UTF-8?B?%s?=", words->len ? " " : "", base64);
		text += bytes;
	}
	return g_string_free(words, FALSE);
}

/* Anything that a reader would decode is encoded once more, so
 * that it reads as it was. */
static bool needs_words(const char *text)
{
	return !text_is_ascii(text, strlen(text)) || strstr(text, "=?");
}

char *text_phrase(const char *clean)
{
	if (needs_words(clean))
		return encode_words(clean);
	GString *quoted = g_string_new("\"");
	for (; *clean; clean++) {
		if (*clean == '"' || *clean == '\\')
			g_string_append_c(quoted, '\\');
		g_string_append_c(quoted, *clean);
	}
	g_string_append_c(quoted, '"');
	return g_string_free(quoted, FALSE);
}

char *text_unstructured(const char *clean)
{
	return needs_words(clean) ? encode_words(clean) : g_strdup(clean);
}

static bool is_dot_atom(const char *text, size_t bytes)
{
	return bytes > 0 && quoting_span(text) >= bytes &&
	       !quoting_is_needed(text, bytes);
}

static bool is_quoted_string(const char *text, size_t bytes)
{
	if (bytes < 2 || text[0] != '"' || text[bytes - 1] != '"')
		return false;
	for (size_t i = 1; i < bytes - 1; i++) {
		if (text[i] < ' ' || text[i] >= 0x7f || text[i] == '"')
			return false;
		if (text[i] == '\\' &&
			(++i == bytes - 1 || text[i] < ' ' || text[i] >= 0x7f))
			return false;
	}
	return true;
}

bool text_is_domain(const char *domain)
{
	size_t length =
		strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789-.");
	return length && !domain[length] && length <= DOMAIN_BYTES && domain[0] != '.';
}

static bool is_literal(const char *domain)
{
	if (*domain != '[')
		return false;
	size_t length = strspn(domain + 1, "abcdefABCDEFIPv0123456789:.");
	return length && !strcmp(domain + 1 + length, "]");
}

const char *text_domain(const char *address)
{
	const char *at = strrchr(address, '@');
	return at ? at + 1 : "";
}

bool text_is_address(const char *address)
{
	const char *domain = text_domain(address);
	if (!*domain || strlen(address) > ADDRESS_BYTES)
		return false;
	size_t local_bytes = (size_t)(domain - address) - 1;
	bool is_name = text_is_domain(domain) && !strstr(domain, "..") &&
		       !g_str_has_suffix(domain, ".");
	return (is_dot_atom(address, local_bytes) ||
		       is_quoted_string(address, local_bytes)) &&
	       (is_name || is_literal(domain));
}

void text_append_field(
	GString *out, const char *name, const char *value, const char *newline)
{
	g_autofree char *line = text_line(value, strlen(value));
	g_string_append_printf(out, "%s:", name);
	size_t column = strlen(name) + 1, head = column;
	for (const char *at = line; *at;) {
		size_t token = strcspn(at, " ");
		if (token > LINE_BYTES - FOLD_COLUMNS)
			token = LINE_BYTES - FOLD_COLUMNS;
		bool fits = column + 1 + token <= FOLD_COLUMNS;
		if (!fits && (column > head || token < FOLD_COLUMNS)) {
			g_string_append(out, newline);
			column = 0;
		}
		g_string_append_c(out, ' ');
		g_string_append_len(out, at, (gssize)token);
		column += 1 + token;
		at += token + strspn(at + token, " ");
	}
	g_string_append(out, newline);
}
