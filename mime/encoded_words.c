/* Joins base64 words. What they say is GMime's to decode. */
#include "mime/encoded_words.h"

#include <stdbool.h>
#include <string.h>

size_t encoded_words_head(const char *p, const char *encodings)
{
	size_t n;

	if (p[0] != '=' || p[1] != '?')
		return 0;
	n = 2 + strcspn(p + 2, "? \t\"");
	if (p[n] != '?' || p[n + 1] == '\0' || strchr(encodings, p[n + 1]) == NULL ||
		p[n + 2] != '?')
		return 0;
	return n + 3;
}

/* The "?=" that ends the word at p, whose head has so many octets, or NULL. */
static const char *find_end(const char *p, size_t head)
{
	const char *end = p + head + strcspn(p + head, "? \t\"");

	return end[0] == '?' && end[1] == '=' ? end : NULL;
}

/* Adds what base64 says to octets, and empties it. */
static void decode(GByteArray *octets, GString *base64)
{
	gsize bytes;

	while (base64->len % 4 != 0)
		g_string_append_c(base64, '=');
	g_autofree guchar *data = g_base64_decode(base64->str, &bytes);
	g_byte_array_append(octets, data, (guint)bytes);
	g_string_truncate(base64, 0);
}

/* Appends the words at p, which begin alike, as one where padding stands within them,
 * else as they are; returns what follows them. */
static const char *append_run(GString *out, const char *p, size_t head)
{
	g_autoptr(GByteArray) octets = g_byte_array_new();
	g_autoptr(GString) base64 = g_string_new(NULL);
	const char *next = p, *past = p + head, *end;
	bool padded = false, broken = false;

	while (encoded_words_head(next, "Bb") == head &&
		g_ascii_strncasecmp(next, p, head) == 0 &&
		(end = find_end(next, head)) != NULL) {
		broken |= padded;
		g_string_append_len(base64, next + head, end - next - (gssize)head);
		padded = end[-1] == '=';
		if (padded)
			decode(octets, base64);
		past = end + 2;
		next = past + strspn(past, " \t");
	}
	if (!broken) {
		g_string_append_len(out, p, past - p);
		return past;
	}
	decode(octets, base64);
	g_autofree char *all = g_base64_encode(octets->data, octets->len);
	g_string_append_len(out, p, (gssize)head);
	g_string_append(out, all);
	g_string_append(out, "?=");
	return past;
}

void encoded_words_join(GString *text)
{
	if (strstr(text->str, "=?=") == NULL) /* as nearly always */
		return;
	g_autoptr(GString) out = g_string_sized_new(text->len);

	for (const char *p = text->str; *p != '\0';) {
		size_t head = encoded_words_head(p, "Bb");

		if (head > 0)
			p = append_run(out, p, head);
		else
			g_string_append_c(out, *p++);
	}
	g_string_assign(text, out->str);
}
