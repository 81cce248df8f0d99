/*
 * Templates: what is taken is filled in without harm. Hostile names and types change no
 * tag of the HTML, and no line can end a multipart.
 */
#include "mime/html.h"
#include "mime/mime.h"
#include "mime/template.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <string.h>

/* The tags, comments and styles of the block in order, without what stands in them. */
static GString *outline(const GString *block)
{
	struct html_scanner scanner;
	struct html_token token;
	GString *tags = g_string_new(NULL);

	html_scanner_init(&scanner, block->str, block->len);
	while (html_next(&scanner, &token)) {
		g_string_append_printf(tags, "%d", (int)token.type);
		g_string_append_len(tags, token.name, (gssize)token.name_bytes);
		g_assert(!token.unclosed);
	}
	return tags;
}

static GString *fill(const struct mime_template *template, const char *name, size_t n)
{
	struct mime_attachment attachments[2] = {
		{ .file_name = name, .media_type = "a/b", .size = 1 },
		{ .file_name = name, .media_type = "a/b", .size = 1000 },
	};
	struct mime_link links[2] = { { "https://x.example/?a&b", name },
		{ "https://x.example/", NULL } };
	GString *block = mime_template_fill(template, attachments, links, n, "\r\n");

	g_assert(!g_str_has_prefix(block->str, "--"));
	g_assert(strstr(block->str, "\n--") == NULL);
	g_assert(block->len == 0 || g_str_has_suffix(block->str, "\r\n"));
	return block;
}

static void check_html(const struct mime_template *template, size_t n)
{
	GString *plain = fill(template, "x", n);
	GString *hostile = fill(template, "\"'><script>--></style><!--&\xc3\xa4", n);
	GString *a = outline(plain), *b = outline(hostile);

	g_assert(g_string_equal(a, b));
	for (size_t i = 0; i < hostile->len; i++)
		g_assert((unsigned char)hostile->str[i] < 0x80);
	g_string_free(a, TRUE);
	g_string_free(b, TRUE);
	g_string_free(plain, TRUE);
	g_string_free(hostile, TRUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mime_template_kind kind;
	GError *error = NULL;
	size_t line = 0;

	if (size == 0)
		return 0;
	kind = data[0] % 2 ? MIME_TEMPLATE_HTML : MIME_TEMPLATE_TEXT;
	struct mime_template *template =
		mime_template_new(kind, (const char *)data + 1, size - 1, &line, &error);

	if (template == NULL) {
		g_assert(error != NULL && line >= 1 && line <= size);
		g_clear_error(&error);
		return 0;
	}
	for (size_t n = 1; n <= 2; n++) {
		if (kind == MIME_TEMPLATE_HTML)
			check_html(template, n);
		else
			g_string_free(fill(template, "--b", n), TRUE);
	}
	mime_template_free(&template);
	return 0;
}
