/* Where a block goes in HTML, and which ids it refers to. '|' marks
 * the place in the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/block.h"
#include "mime/html.h"
#include <string.h>

static const struct {
	const char *name;
	bool top;
	const char *marked;
} places[] = {
	{ "ordinary", false, "<html><body>x|</body></html>" },
	{ "upper case and blanks", false, "<HTML><BODY>x|</BODY ></HTML>" },
	{ "the last of several", false, "<body>a</body><body>b|</body>" },
	{ "no body", false, "<html>x|</html>" },
	{ "no tags", false, "x|" },
	{ "nothing", false, "|" },
	{ "in a comment", false, "<body>x|</body><!-- </body> -->" },
	{ "in a conditional comment", false,
		"<body>|</body><!--[if mso]></body><![endif]-->" },
	{ "in a script", false, "<body>|</body><script>'</body>'</script>" },
	{ "in an escaped script", false,
		"<body>|</body><script><!-- <script></script></body> --></script>" },
	{ "in a style", false, "<body>|</body><style>/*</body>*/</style>" },
	{ "in an attribute", false, "<body>|</body><a title='</body>'>" },
	{ "in an attribute, double quotes", false,
		"<body>|</body><a b=c d = \"</body>\">" },
	{ "in a textarea", false, "<body>|</body><textarea></body></textarea>" },
	{ "a quote in an unquoted value", false, "<body><a b=c\"d>x|</body>\"" },
	{ "an equals sign as a name", false, "<body><a =\"x>y|</body>\"" },
	{ "abrupt comments", false, "<!--><body>|</body><!--->" },
	{ "comment that ends with a bang", false, "<!-- a --!><body>|</body>" },
	{ "bogus comments", false, "<?php </body> ?><body>|</body></ x>" },
	{ "less than in text", false, "<body>1 < 2 <3|</body>" },
	{ "comment never closed", false, "<p>x</p>|<!-- </body>" },
	{ "style never closed", false, "<p>x</p>|<style>p{} </body>" },
	{ "tag never closed", false, "<p>x</p>|<a href='x" },
	{ "a style's end tag never closed", false, "<p>x</p>|<style>p{}</style x" },
	{ "half an end tag", false, "<p>x</p>|</" },
	{ "half a start tag", false, "<p>x</p><|" },
	{ "plaintext", false, "<p>x</p>|<plaintext></body>" },
	{ "similar names", false, "<bodyx></bodyx>x|</body>" },
	{ "text behind the end", false, "<body>x|</body></html>y" },
	{ "top", true, "<html><head></head><body bgcolor='>'>|x</body>" },
	{ "top without body", true, "<html><head><title><body></title></head>|x" },
	{ "top without head", true, "|<p>x</p>" },
	{ "top, only html", true, "<!DOCTYPE html><html>|<p>x</p>" },
	{ "top, byte order mark", true, "\xef\xbb\xbf|<p>x</p>" },
	{ "frameset", false, "<html><head></head>|<frameset><frame></frameset></html>" },
};

static void test_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		size_t want = strcspn(places[i].marked, "|");
		GString *text = g_string_new(places[i].marked);
		size_t at;

		g_string_erase(text, (gssize)want, 1);
		at = places[i].top ? html_top_of_body(text->str, text->len)
				   : html_end_of_body(text->str, text->len);
		if (at != want)
			fail_msg("%s: %zu, not %zu", places[i].name, at, want);
		g_string_free(text, TRUE);
	}
}

static void test_ids(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "<img src=\"cid:a@b\">", "a@b" },
		{ "<img src='CID:A%40b'>", "a@b" },
		{ "p{background:url(cid:x)}", "x" },
		{ "<img src=cid:y>", "y" },
		{ "<img src=\"cid:a&amp;b\">", "a&b" },
		{ "<img src=\"cid:a&#64;b&#x2E;c\">", "a@b.c" },
		{ "<img src=\"cid:a%2540b\">", "a%40b" },
		{ "<img src=\"cid:image(1)@x\">", "image(1)@x" },
		{ "<img src='cid:Screen Shot 1.png '>", "screen shot 1.png" },
		{ "<b style=\"background:url(&quot;cid:x&quot;)\">", "x" },
		{ "<b style=\"background:url('cid:x(1)')\">", "x(1)" },
		{ "<img src=\"cid:a>b\">", "a" },
		{ "acid: x cid:", NULL },
		{ "http://x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t at = 0, start;
		char *id = NULL;
		bool found = html_next_cid(
			cases[i].text, strlen(cases[i].text), &at, &start, &id);

		assert_int_equal(found, cases[i].want != NULL);
		if (found)
			assert_string_equal(id, cases[i].want);
		g_free(id);
	}
}

static void test_locations(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{ "<img src=\"http://x/a.png\">", true },
		{ "<b style='background:url(http://x/a.png)'>", true },
		{ "<img src=http://x/a.png>", true },
		{ "<img src=\"http://x/a.png.gif\">", false },
		{ "<img src=\"xhttp://x/a.png\">", false },
		{ "<img src=\"http://x/a.pn", false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t at = 0, start;

		assert_int_equal(html_next_location(cases[i].text, strlen(cases[i].text),
					 "http://x/a.png", &at, &start),
			cases[i].found);
		if (cases[i].found)
			assert_int_equal(at - start, strlen("http://x/a.png"));
	}
}

/* What is open at the end and would hide a block. */
static void test_closing(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "<div>x", "" },
		{ "<div style=\"display:none\">x</div>", "" },
		{ "<div style=\"display:none\">x", "</div>" },
		{ "<div style='color:red; DISPLAY : None!important'>x<div>",
			"</div></div>" },
		{ "<div style=display:none>x<div></div>", "</div>" },
		{ "<span style=\"font-size:0px\"><b hidden>x", "</b></span>" },
		{ "<span style=\"font-size:0.9em;opacity:0.5\">x", "" },
		{ "<p hidden>a</p><template><p>", "</template>" },
		{ "<select><option>a<option>b", "</option></select>" },
		{ "<a href=x>a<a href=y>b", "</a>" },
		{ "<a href=x>a</a>", "" },
		{ "<input hidden><div title='style=display:none'>", "" },
		{ "<!-- <template> --><style><template></style>", "" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		GString *tags = html_close_hiding(cases[i].text, strlen(cases[i].text));

		assert_string_equal(tags->str, cases[i].want);
		g_string_free(tags, TRUE);
	}
}

static void test_block(void **state)
{
	struct mime_attachment attachment = {
		.file_name = "--b <\"&'>\xd7\x90\xe2\x82\xac.pdf",
		.media_type = "application/pdf",
		.size = 1234567
	};
	struct mime_link link = { .url = "https://x.example/?a=1&b=2",
		.expires = "tomorrow" };
	struct mime_settings settings;

	(void)state;
	mime_settings_init(&settings);
	GString *html = block_html(&settings, &attachment, &link, 1, "\r\n");
	GString *text = block_text(&settings, &attachment, &link, 1, "\r\n");

	assert_non_null(strstr(html->str, "href=\"https://x.example/?a=1&amp;b=2\""));
	assert_non_null(strstr(html->str,
		"<bdi dir=\"ltr\">--b "
		"&#x3c;&#x22;&amp;&#x27;&#x3e;&#x5d0;&#x20ac;.pdf</bdi>"));
	for (const char *p = html->str; *p != '\0'; p++)
		assert_true((unsigned char)*p < 0x80);
	assert_non_null(strstr(text->str, "\r\n<https://x.example/?a=1&b=2>\r\n"));
	assert_non_null(strstr(text->str, "(1.2 MB, application/pdf)\r\n"));
	assert_non_null(strstr(text->str, "available until tomorrow\r\n"));
	assert_null(strstr(text->str, "\n-"));
	assert_null(strstr(html->str, "\n-"));
	assert_null(strstr(text->str, " \r\n"));
	g_string_free(html, TRUE);
	g_string_free(text, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_locations),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
