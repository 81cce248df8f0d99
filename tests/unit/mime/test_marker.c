/* Lists of recipients in texts: what they hold, and what is left of the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/marker.h"
#include <string.h>

static const struct mime_markers both = { .forms =
						  MIME_MARKER_COLON | MIME_MARKER_BRACKET,
	.word = "Email_Rxers_Code",
	.max = 3 };

#define C(list) ":Email_Rxers_Code:" list ":Email_Rxers_Code:"
#define B(list) "Email_Rxers_Code:[" list "]:Email_Rxers_Code:"

static const struct {
	const char *name;
	bool html;
	const char *text;
	const char *list; /* NULL: no marker; begins with '!': the fault */
	const char *left;
} searches[] = {
	{ "none", false, "Hello :Email:\r\n", NULL, "Hello :Email:\r\n" },
	{ "colon", false, "a " C("x@y.example") " b", "x@y.example,", "a  b" },
	{ "bracket", false, "a " B("x@y.example") " b", "x@y.example,", "a  b" },
	{ "its own line", false, "a\r\n" C("x@y.example") "\r\nb\r\n", "x@y.example,",
		"a\r\nb\r\n" },
	{ "its own line, LF and blanks", false, "a\n  " B("x@y.example") " \t\nb\n",
		"x@y.example,", "a\nb\n" },
	{ "all there is", false, C("x@y.example"), "x@y.example,", "" },
	{ "upper and lower case", false,
		":EMAIL_rxers_CODE:Jo@Y.example:email_RXERS_code:", "Jo@Y.example,", "" },
	{ "over lines", false,
		"a\r\n:Email_Rx\r\n ers_Code: x@y.exa\r\nmple,\r\n z@y.example\r\n:Email_"
		"\r\nRxers_Code:\r\nb",
		"x@y.example,z@y.example,", "a\r\nb" },
	{ "no-break spaces", false,
		"Email_Rxers_Code:\xc2\xa0[x@y.example]\xc2\xa0:"
		"Email_Rxers_Code:",
		"x@y.example,", "" },
	{ "two of them", false, C("x@y.example") "-" B("z@y.example"),
		"x@y.example,z@y.example,", "-" },
	{ "a colon before the bracket's", false, "To:" B("x@y.example"), "x@y.example,",
		"To:" },
	{ "no end", false, ":Email_Rxers_Code:x@y.example", "!has no end", "" },
	{ "beginning within a beginning", false,
		":Email_:Email_Rxers_Code:x@y.example"
		":Email_Rxers_Code:",
		"x@y.example,", ":Email_" },
	{ "in HTML", true, "<p>a " C("x@y.example") " b</p>", "x@y.example,",
		"<p>a  b</p>" },
	{ "over <br>", true,
		"<p>:Email_<br>Rxers_Code:x@y.exam<BR/>\r\nple:Email_Rxers_"
		"Code:<br>b",
		"x@y.example,", "<p><br>b" },
	{ "linked by a mail program", true,
		"<p>" C("<a href=\"mailto:x@y.example\">x@y.example</a>") "</p>",
		"x@y.example,", "<p></p>" },
	{ "over unpaired tags", true,
		"<p>:Email_Rxers_Code:x@y.example</p><p>,z@y.example:Email_Rxers_Code:</"
		"p>",
		"x@y.example,z@y.example,", "<p></p><p></p>" },
	{ "references", true,
		":Email&#95;Rxers&lowbar;Code&colon;x&#64;y&period;example&#x3a;Email_"
		"Rxers_Code&#58;",
		"x@y.example,", "" },
	{ "blank references", true,
		":Email_Rxers_Code:&nbsp;x@y.example&#160;:Email_Rxers_"
		"Code:",
		"x@y.example,", "" },
	{ "in a comment, a style, an attribute", true,
		"<!-- " C("x@y.example") " --><style>" C(
			"x@y.example") "</style>"
				       "<a title=\"" C("x@y.example") "\">",
		NULL,
		"<!-- " C("x@y.example") " --><style>" C(
			"x@y.example") "</style>"
				       "<a title=\"" C("x@y.example") "\">" },
	{ "a comment and a style within", true,
		":Email_Rxers_Code:x@<!-- a "
		"--><style>b{}</style>y.example:Email_Rxers_Code:",
		"x@y.example,", "<!-- a --><style>b{}</style>" },
	{ "tags in plain text", false, ":Email_Rxers_Code:<b>:Email_Rxers_Code:", "<b>,",
		"" },
	{ "the document's own tags", true,
		":Email_Rxers_Code:<body>x@y.example</body>:Email_Rxers_Code:",
		"x@y.example,", "<body></body>" },
};

static char *cut(const char *text, const GArray *cuts)
{
	GString *left = g_string_new(NULL);
	size_t at = 0;

	for (size_t i = 0; i < cuts->len; i++) {
		const struct marker_cut *one = &g_array_index(cuts, struct marker_cut, i);

		assert_true(one->start >= at && one->end > one->start);
		g_string_append_len(left, text + at, (gssize)(one->start - at));
		at = one->end;
	}
	g_string_append(left, text + at);
	return g_string_free(left, FALSE);
}

static void test_search(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(searches); i++) {
		struct marker_search search;
		const char *want = searches[i].list;

		marker_search(&search, &both, searches[i].text, strlen(searches[i].text),
			searches[i].html);
		if (want != NULL && want[0] == '!') {
			assert_non_null(search.fault);
			assert_non_null(strstr(search.fault, want + 1));
			marker_search_clear(&search);
			continue;
		}
		g_autofree char *left = cut(searches[i].text, search.cuts);

		assert_null(search.fault);
		if (strcmp(search.list->str, want != NULL ? want : "") != 0 ||
			(search.markers > 0) != (want != NULL) ||
			strcmp(left, searches[i].left) != 0)
			fail_msg("%s: list '%s', left '%s'", searches[i].name,
				search.list->str, left);
		marker_search_clear(&search);
	}
}

static void test_forms(void **state)
{
	struct mime_markers markers = both;
	struct marker_search search;
	const char *text = C("x@y.example") B("z@y.example");

	(void)state;
	markers.forms = MIME_MARKER_BRACKET;
	marker_search(&search, &markers, text, strlen(text), false);
	assert_string_equal(search.list->str, "z@y.example,");
	marker_search_clear(&search);
	markers.word = "TO";
	text = "TO:[x@y.example]:TO:";
	marker_search(&search, &markers, text, strlen(text), false);
	assert_string_equal(search.list->str, "x@y.example,");
	marker_search_clear(&search);
}

static char suffix[] = ".example";

static bool allows(void *context, const char *address)
{
	return g_str_has_suffix(address, context);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *list;
		const char *want; /* '!': the reason */
	} cases[] = {
		{ "a@x.example,", "a@x.example" },
		{ "a@x.example;B@x.example,,", "a@x.example B@x.example" },
		{ "a@x.example,A@X.example,", "a@x.example" },
		{ "a.b+c@x-1.example,", "a.b+c@x-1.example" },
		{ ",", "!is empty" },
		{ "a,", "!recipient 1 of the list is not an address" },
		{ "a@x.example,@x.example,", "!recipient 2" },
		{ "a@@x.example,", "!recipient 1" },
		{ ".a@x.example,", "!recipient 1" },
		{ "a..b@x.example,", "!recipient 1" },
		{ "a.@x.example,", "!recipient 1" },
		{ "\"a b\"@x.example,", "!recipient 1" },
		{ "<a@x.example>,", "!recipient 1" },
		{ "a@example,", "!recipient 1" },
		{ "a@[192.0.2.1],", "!recipient 1" },
		{ "a@192.0.2.1,", "!recipient 1" },
		{ "a@-x.example,", "!recipient 1" },
		{ "a@x-.example,", "!recipient 1" },
		{ "a@x..example,", "!recipient 1" },
		{ "a@x.example.,", "!recipient 1" },
		{ "\xc3\xa4@x.example,", "!recipient 1" },
		{ "a@x.example\nb,", "!recipient 1" },
		{ "a@y.test,", "!not one that may be written to" },
		{ "a@x.example,b@x.example,c@x.example,",
			"a@x.example b@x.example c@x.example" },
		{ "a@x.example,b@x.example,c@x.example,d@x.example,", "!more than 3" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct mime_markers markers = both;
		char *reason;

		markers.allows = allows;
		markers.context = suffix;
		if (strchr(cases[i].list, '[') != NULL || strstr(cases[i].list, "192") ||
			g_str_has_suffix(cases[i].list, ".,"))
			markers.allows = NULL;
		GPtrArray *got = marker_addresses(&markers, cases[i].list, &reason);
		GString *text = g_string_new(NULL);

		for (size_t k = 0; got != NULL && k < got->len; k++)
			g_string_append_printf(
				text, "%s%s", k > 0 ? " " : "", (char *)got->pdata[k]);
		if (cases[i].want[0] == '!'
				? got != NULL || strstr(reason, cases[i].want + 1) == NULL
				: strcmp(text->str, cases[i].want) != 0)
			fail_msg("%s: %s %s", cases[i].list, text->str, reason);
		g_string_free(text, TRUE);
		g_free(reason);
		g_clear_pointer(&got, g_ptr_array_unref);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
