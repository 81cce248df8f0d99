/* Templates: what they say filled in, and where a bad one is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/block.h"
#include "mime/template.h"
#include <string.h>

static const struct mime_attachment attachments[] = {
	{ .part = 2,
		.file_name = "a<\"&'>b.pdf",
		.media_type = "application/pdf",
		.size = 1234567,
		.sha256 = { 0x01, 0xab } },
	{ .part = 3, .file_name = "--\xc3\xa4", .media_type = "text/plain", .size = 7 },
};
static const struct mime_link links[] = {
	{ "https://x.example/?a=1&b=2", "tomorrow" },
	{ "https://x.example/2", NULL },
};

static const struct {
	const char *name;
	enum mime_template_kind kind;
	size_t n;
	const char *template, *want;
} fillings[] = {
	{ "all fields", MIME_TEMPLATE_TEXT, 1,
		"{{count}}:{{#attachments}}{{number}}|{{name}}|{{size}}|{{bytes}}|{{type}"
		"}|"
		"{{kind}}|{{sha256}}|{{expires}}|{{url}}{{/attachments}}",
		"1:1|a<\"&'>b.pdf|1.2 MB|1234567|application/pdf|PDF|01ab000000000000|"
		"tomorrow|https://x.example/?a=1&b=2\n" },
	{ "the whole hash", MIME_TEMPLATE_TEXT, 1,
		"{{#attachments}}{{sha256_all}}{{url}}{{/attachments}}",
		"01ab000000000000000000000000000000000000000000000000000000000000"
		"https://x.example/?a=1&b=2\n" },
	{ "sections on their own lines", MIME_TEMPLATE_TEXT, 2,
		"{{#one}}\none\n{{/one}}\n{{#several}}\r\nmany\r\n{{/several}}\n"
		"  {{#attachments}}  \n{{! a\ncomment }}\n- {{url}}\n{{/attachments}}",
		"many\n- https://x.example/?a=1&b=2\n- https://x.example/2\n" },
	{ "sections within lines", MIME_TEMPLATE_TEXT, 2,
		"{{#attachments}}{{url}}{{#expires}} until {{expires}}{{/expires}}"
		"{{^expires}} for ever{{/expires}};{{/attachments}}",
		"https://x.example/?a=1&b=2 until tomorrow;https://x.example/2 for "
		"ever;\n" },
	{ "within one another", MIME_TEMPLATE_TEXT, 2,
		"{{#several}}{{#attachments}}{{^one}}{{url}} {{/one}}{{/attachments}}"
		"{{/several}}{{#one}}{{#attachments}}{{name}}{{/attachments}}{{/one}}",
		"https://x.example/?a=1&b=2 https://x.example/2\n" },
	{ "no delimiter, no blank at the end", MIME_TEMPLATE_TEXT, 2,
		"-- \nx \t\n{{#attachments}}\n{{name}}  \n{{url}}\n{{/attachments}}\n",
		" --\nx\na<\"&'>b.pdf\nhttps://x.example/?a=1&b=2\n --\xc3\xa4\n"
		"https://x.example/2\n" },
	{ "a byte order mark", MIME_TEMPLATE_TEXT, 1,
		"\xef\xbb\xbf{{#attachments}}{{url}}{{/attachments}}",
		"https://x.example/?a=1&b=2\n" },
	{ "HTML is escaped", MIME_TEMPLATE_HTML, 2,
		"<p>\xc3\x9c</p>{{#attachments}}<a href=\"{{url}}\" "
		"title='{{name}}'>{{name}}"
		"</a><br>\n{{/attachments}}",
		"<p>&#xdc;</p><a href=\"https://x.example/?a=1&amp;b=2\" "
		"title='a&#x3c;&#x22;&amp;&#x27;&#x3e;b.pdf'>a&#x3c;&#x22;&amp;&#x27;&#"
		"x3e;"
		"b.pdf</a><br>\n<a href=\"https://x.example/2\" "
		"title='--&#xe4;'>--&#xe4;</a><br>\n" },
	{ "a style", MIME_TEMPLATE_HTML, 1,
		"<style>a{color:red}</style>{{#attachments}}<a href=\"{{url}}\">x</a>"
		"{{/attachments}}",
		"<style>a{color:red}</style><a "
		"href=\"https://x.example/?a=1&amp;b=2\">x</a>\n" },
};

static void test_fill(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(fillings); i++) {
		GError *error = NULL;
		struct mime_template *template = mime_template_new(fillings[i].kind,
			fillings[i].template, strlen(fillings[i].template), NULL, &error);

		if (template == NULL)
			fail_msg("%s: %s", fillings[i].name, error->message);
		GString *block = mime_template_fill(
			template, attachments, links, fillings[i].n, "\n");

		if (strcmp(block->str, fillings[i].want) != 0)
			fail_msg("%s:\n%s\nnot:\n%s", fillings[i].name, block->str,
				fillings[i].want);
		g_string_free(block, TRUE);
		block = mime_template_fill(
			template, attachments, links, fillings[i].n, "\r\n");
		assert_true(g_str_has_suffix(block->str, "\r\n"));
		for (const char *p = block->str; *p != '\0'; p++)
			assert_true(*p != '\n' || p[-1] == '\r');
		g_string_free(block, TRUE);
		mime_template_free(&template);
	}
}

#define LINKS "{{#attachments}}<a href=\"{{url}}\">x</a>{{/attachments}}"

static const struct {
	enum mime_template_kind kind;
	size_t line;
	const char *template, *why;
} faults[] = {
	{ MIME_TEMPLATE_TEXT, 1, "", "no {{url}}" },
	{ MIME_TEMPLATE_TEXT, 2, "a\n{{name}}", "must stand between" },
	{ MIME_TEMPLATE_TEXT, 2, "a\n{{nam}}", "{{nam}} is unknown" },
	{ MIME_TEMPLATE_TEXT, 1, "{{#url}}",
		"{{url}} is unknown: here may stand expires" },
	{ MIME_TEMPLATE_TEXT, 1, "{{attachments}}", "{{attachments}} is unknown" },
	{ MIME_TEMPLATE_TEXT, 3, "\n\n{{#attachments}}\n{{url}}\n", "never closed" },
	{ MIME_TEMPLATE_TEXT, 2, "\n{{/attachments}}", "closes nothing" },
	{ MIME_TEMPLATE_TEXT, 2, "{{#one}}\n{{/several}}", "{{/one}} must" },
	{ MIME_TEMPLATE_TEXT, 2, "{{#attachments}}\n{{#attachments}}", "within another" },
	{ MIME_TEMPLATE_TEXT, 1, "{{^attachments}}", "never so" },
	{ MIME_TEMPLATE_TEXT, 3, "a\nb\nc {{url", "{{ without }}" },
	{ MIME_TEMPLATE_TEXT, 1, "{{url\n}}", "{{ without }} in its line" },
	{ MIME_TEMPLATE_TEXT, 1, "{{{url}}}", "everything is escaped" },
	{ MIME_TEMPLATE_TEXT, 2, "a\n\xff", "UTF-8" },
	{ MIME_TEMPLATE_TEXT, 2, "a\n\a", "control characters" },
	{ MIME_TEMPLATE_TEXT, 1,
		"{{#one}}{{#one}}{{#one}}{{#one}}{{#one}}{{#one}}{{#one}}{{#one}}{{#one}"
		"}",
		"nested more than" },
	{ MIME_TEMPLATE_HTML, 1, "{{#attachments}}{{url}}{{/attachments}}", "no href" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<b>", "never closed" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"{{url}}\">x</a></{{/attachments}}",
		"must be written &lt;" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\na <{{#one}} b{{/one}}",
		"must be written &lt;" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<\r\rM", "never ends" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "<!-", "never ends" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "</", "must be written &lt;" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "</b>", "end tag without" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "<b><i></b></i>", "end tag without" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "<b", "never ends" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "<!-- ", "never ends" },
	{ MIME_TEMPLATE_HTML, 3, LINKS "\n\n<script></script>", "<script> cannot" },
	{ MIME_TEMPLATE_HTML, 1, "<BODY>" LINKS "</BODY>", "<BODY> cannot" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<style>\xc3\xa4</style>", "ASCII" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<!-- {{count}} -->", "comment" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<style>a{{count}}</style>", "style" },
	{ MIME_TEMPLATE_HTML, 2, LINKS "\n<style>{{#one}}{{/one}}a</style>", "style" },
	{ MIME_TEMPLATE_HTML, 3, LINKS "\n<b\n {{#one}}title=x{{/one}}></b>", "section" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "{{#one}}<b>{{/one}}</b>", "does not end in it" },
	{ MIME_TEMPLATE_HTML, 1, LINKS "<b>{{#one}}</b>{{/one}}", "end tag without" },
	{ MIME_TEMPLATE_HTML, 1, "{{#attachments}}<a href={{url}}>x</a>{{/attachments}}",
		"quotation marks" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"{{name}}\">x</a>{{url}}{{/attachments}}",
		"href must be {{url}}" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"x{{url}}\">x</a>{{/attachments}}",
		"href must be {{url}}" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"{{url}}\" "
		"style=\"{{name}}\">x</a>{{/attachments}}",
		"of attributes only" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"{{url}}\" "
		"{{name}}=\"x\">x</a>{{/attachments}}",
		"quotation marks" },
	{ MIME_TEMPLATE_HTML, 1,
		"{{#attachments}}<a href=\"{{url}}\"><{{name}}></a>{{/attachments}}",
		"" },
};

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
		GError *error = NULL;
		size_t line = 0;

		assert_null(mime_template_new(faults[i].kind, faults[i].template,
			strlen(faults[i].template), &line, &error));
		if (line != faults[i].line ||
			strstr(error->message, faults[i].why) == NULL)
			fail_msg("%s: line %zu: %s", faults[i].template, line,
				error->message);
		g_clear_error(&error);
	}
}

static void test_bounds(void **state)
{
	GString *text = g_string_new("{{#attachments}}{{url}}{{/attachments}}");
	struct mime_template *template;

	(void)state;
	while (text->len < MIME_TEMPLATE_BYTES_MAX)
		g_string_append_c(text, 'a');
	template =
		mime_template_new(MIME_TEMPLATE_TEXT, text->str, text->len, NULL, NULL);
	assert_non_null(template);
	mime_template_free(&template);
	g_string_append_c(text, 'a');
	assert_null(
		mime_template_new(MIME_TEMPLATE_TEXT, text->str, text->len, NULL, NULL));
	/* A NUL ends nothing. */
	assert_null(mime_template_new(MIME_TEMPLATE_TEXT, "a\0b", 3, NULL, NULL));
	g_string_free(text, TRUE);
}

/* The built-in ones are sound, and end in a line of their own. */
static void test_built_in(void **state)
{
	struct mime_settings settings;
	GString *text, *html;

	(void)state;
	mime_settings_init(&settings);
	text = block_text(&settings, attachments, links, 2, "\n");
	html = block_html(&settings, attachments, links, 2, "\n");
	assert_string_equal(text->str,
		"2 attachments are stored online. Open a link to download the file:\n\n"
		"[1] a<\"&'>b.pdf (1.2 MB, application/pdf)\n"
		"SHA-256 01ab000000000000..., available until tomorrow\n"
		"<https://x.example/?a=1&b=2>\n\n"
		"[2] --\xc3\xa4 (7 B, text/plain)\n"
		"SHA-256 0000000000000000...\n"
		"<https://x.example/2>\n");
	assert_true(g_str_has_prefix(html->str, "<table role="));
	assert_true(g_str_has_suffix(html->str, "</table>\n"));
	assert_null(strstr(html->str, "{{"));
	assert_null(strstr(html->str, "src="));
	g_string_free(text, TRUE);
	g_string_free(html, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_built_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
