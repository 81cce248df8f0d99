/* The HTML tokenizer: tokens in order, places within the text. */
#include "mime/html.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>

/* What is put there is read as what it is, by whoever reads all before it. */
static void check_insertion(const char *text, size_t size, size_t at, bool closes)
{
	GString *out = g_string_new_len(text, (gssize)at);
	struct html_scanner scanner;
	struct html_token token;
	bool found = false;

	if (closes) {
		GString *tags = html_close_hiding(text, at);

		g_string_append_len(out, tags->str, (gssize)tags->len);
		g_string_free(tags, TRUE);
	}
	g_string_append_c(out, '\n');
	size_t place = out->len;

	g_string_append(out, "<table>");
	g_string_append_len(out, text + at, (gssize)(size - at));
	html_scanner_init(&scanner, out->str, out->len);
	while (html_next(&scanner, &token))
		found |= token.type == HTML_START_TAG && token.start == place &&
			 token.name_bytes == 5 && !token.unclosed;
	g_assert(found);
	g_string_free(out, TRUE);
}

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
	check_insertion(text, size, html_end_of_body(text, size), true);
	check_insertion(text, size, html_top_of_body(text, size), false);
	GString *tags = html_close_hiding(text, html_end_of_body(text, size));

	g_assert(tags->len <= 5 * size);
	g_string_free(tags, TRUE);
	return 0;
}
