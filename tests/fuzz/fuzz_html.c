/* The HTML tokenizer: tokens in order, places within the text. */
#include "mime/html.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct html_scanner scanner;
	struct html_token token;
	size_t last = 0, at = 0, start;
	char *id;

	html_scanner_init(&scanner, text, size);
	while (html_next(&scanner, &token)) {
		g_assert(token.start >= last && token.end >= token.start &&
			 token.end <= size);
		last = token.end;
	}
	g_assert(html_end_of_body(text, size) <= size);
	g_assert(html_top_of_body(text, size) <= size);
	while (html_next_cid(text, size, &at, &start, &id)) {
		g_assert(start < at && at <= size);
		g_free(id);
	}
	at = 0;
	while (html_next_location(text, size, "a", &at, &start))
		g_assert(start < at && at <= size);
	GString *tags = html_close_hiding(text, html_end_of_body(text, size));

	g_assert(tags->len <= 5 * size);
	g_string_free(tags, TRUE);
	return 0;
}
