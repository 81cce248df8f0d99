/*
 * Lists of recipients: cuts in order and within the text, and tags that are left in HTML
 * as well formed as before. The first octet says which forms and whether it is HTML.
 */
#include "mime/html.h"
#include "mime/marker.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <string.h>

/* How many start tags of which the names stand in the text less end tags. */
static long balance(const char *text, size_t length)
{
	struct html_scanner scanner;
	struct html_token token;
	long n = 0;

	html_scanner_init(&scanner, text, length);
	while (html_next(&scanner, &token)) {
		bool is_break = (token.name_bytes == 2 &&
					g_ascii_strncasecmp(token.name, "br", 2) == 0) ||
				(token.name_bytes == 3 &&
					g_ascii_strncasecmp(token.name, "wbr", 3) == 0);

		if (is_break || token.unclosed)
			continue;
		n += token.type == HTML_START_TAG;
		n -= token.type == HTML_END_TAG;
	}
	return n;
}

static void check_cuts(
	const struct marker_search *search, const char *text, size_t length, bool html)
{
	GString *left = g_string_new(NULL);
	size_t at = 0;

	for (size_t i = 0; i < search->cuts->len; i++) {
		const struct marker_cut *cut =
			&g_array_index(search->cuts, struct marker_cut, i);

		g_assert(cut->start >= at && cut->end > cut->start && cut->end <= length);
		g_string_append_len(left, text + at, (gssize)(cut->start - at));
		at = cut->end;
	}
	g_string_append_len(left, text + at, (gssize)(length - at));
	g_assert(search->markers == 0 || left->len < length);
	/* Text that was no tag may become one where it moves together. */
	if (html && memchr(text, '<', length) == NULL)
		g_assert(balance(left->str, left->len) == 0);
	g_string_free(left, TRUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mime_markers markers = { .word = "W_1", .max = 4 };
	struct marker_search search;
	char *reason;

	if (size == 0)
		return 0;
	markers.forms = data[0] % 4;
	bool html = data[0] & 4;
	const char *text = (const char *)data + 1;

	size--;
	marker_search(&search, &markers, text, size, html);
	check_cuts(&search, text, size, html);
	GPtrArray *addresses = marker_addresses(&markers, search.list->str, &reason);

	g_assert((addresses == NULL) == (reason != NULL));
	g_assert(addresses == NULL || (addresses->len > 0 && addresses->len <= 4));
	for (size_t i = 0; addresses != NULL && i < addresses->len; i++)
		for (const char *p = addresses->pdata[i]; *p != '\0'; p++)
			g_assert(*p > ' ' && *p < 127 &&
				 strchr("<>\"\\(),:;[]", *p) == NULL);
	g_clear_pointer(&addresses, g_ptr_array_unref);
	g_free(reason);
	marker_search_clear(&search);
	return 0;
}
