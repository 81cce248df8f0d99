/* Entities by their offsets, however the message is cut; ceilings; contradictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include "mime/outline.h"
#include <string.h>

static const struct outline_limits limits = {
	.header_bytes = 4096, .parts = 8, .depth = 4
};

static struct outline *read_pieces(const char *text, size_t length, size_t piece)
{
	struct outline *outline = outline_new(&limits);

	for (size_t at = 0; at < length; at += piece)
		if (!outline_feed(outline, text + at, MIN(piece, length - at)))
			break;
	outline_finish(outline);
	return outline;
}

/* The bodies of all entities that are no multipart, in order, each in brackets. */
static char *bodies(const struct outline *outline, const char *text)
{
	GString *out = g_string_new(NULL);

	for (size_t i = 0; i < outline_entities(outline); i++) {
		const struct outline_entity *entity = outline_entity(outline, i);

		if (entity->kind == OUTLINE_LEAF)
			g_string_append_printf(out, "[%.*s]",
				(int)(entity->body_end - entity->body_start),
				text + entity->body_start);
	}
	return g_string_free(out, FALSE);
}

#define MIXED(b) "Content-Type: multipart/mixed; boundary=" b "\r\n\r\n"

static const struct {
	const char *name, *text;
	const char *want; /* bodies; NULL: not understood */
} cases[] = {
	{ "one text", "Subject: x\r\n\r\nbody\r\n", "[body\r\n]" },
	{ "header only", "Subject: x\r\n", "[]" },
	{ "header without line break", "Subject: x", "[]" },
	{ "empty", "", NULL },
	{ "no header", "just text\r\n", NULL },
	{ "two parts", MIXED("b") "--b\r\n\r\none\r\n--b\r\nX: y\r\n\r\ntwo\r\n--b--\r\n",
		"[one][two]" },
	{ "LF only",
		"Content-Type: multipart/mixed; "
		"boundary=b\n\n--b\n\none\n--b\n\ntwo\n\n--b--\n",
		"[one][two\n]" },
	{ "mixed line ends", MIXED("b") "--b\n\none\n--b\r\n\r\n\n--b--", "[one][]" },
	{ "never closed", MIXED("b") "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n",
		"[one][two\r\n]" },
	{ "prefixes",
		MIXED("b") "--b\r\n\r\n--bb\r\n --b\r\n--b "
			   "x\r\n--b-\r\n--b\r\n\r\n\r\n--b--",
		"[--bb\r\n --b\r\n--b x\r\n--b-][]" },
	{ "padding", MIXED("b") "--b \t\r\n\r\none\r\n--b-- \r\nepilogue", "[one]" },
	{ "a lone CR behind a delimiter", MIXED("b") "--b\r\r\n\r\none\r\n--b--", NULL },
	{ "a lone CR in a delimiter line",
		MIXED("b") "--b\r\n\r\none\r\n--b-- \rx\r\n--b--", NULL },
	{ "a lone CR in a line that is none", MIXED("b") "--b\r\n\r\n--bx\r--b\r\n--b--",
		"[--bx\r--b]" },
	{ "preamble and epilogue",
		MIXED("b") "pre\r\n--b\r\n\r\none\r\n--b--\r\npost\r\n", "[one]" },
	{ "close delimiter twice", MIXED("b") "--b\r\n\r\none\r\n--b--\r\n--b--\r\n",
		"[one]" },
	{ "a delimiter behind the end",
		MIXED("b") "--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\nx", NULL },
	{ "nested",
		MIXED("a") "--a\r\n" MIXED(
			"b") "--b\r\n\r\none\r\n--b--\r\n--a\r\n\r\ntwo\r\n--a--",
		"[one][two]" },
	{ "inner never closed",
		MIXED("a") "--a\r\n" MIXED(
			"b") "--b\r\n\r\none\r\n--a\r\n\r\ntwo\r\n--a--",
		"[one][two]" },
	{ "the same boundary within",
		MIXED("a") "--a\r\n" MIXED("a") "--a\r\n\r\none\r\n--a--", NULL },
	{ "a close that is a delimiter",
		MIXED("a") "--a\r\n" MIXED("\"a--\"") "--a--\r\n\r\none\r\n--a----\r\n",
		NULL },
	{ "part without header", MIXED("b") "--b\r\n--b--", NULL },
	{ "part without blank line", MIXED("b") "--b\r\nX: y\r\n--b--", "[]" },
	{ "a message within",
		MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\nA: "
			   "b\r\n\r\nin\r\n--b--",
		"[in]" },
	{ "a broken message within",
		MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\nA: "
			   "b\r\noops\r\n\r\nin\r\n--b--",
		"[A: b\r\noops\r\n\r\nin]" },
	{ "a broken multipart within a message",
		MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\n" MIXED(
			"") "in\r\n--b\r\n\r\nx\r\n--b--",
		"[" MIXED("") "in][x]" },
	{ "its boundary again within a message",
		MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\n" MIXED(
			"b") "--b\r\n\r\nx\r\n--b--",
		NULL },
	{ "digest",
		"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: "
		"b\r\n\r\nin\r\n--b--",
		"[in]" },
	{ "boundary missing", "Content-Type: multipart/mixed\r\n\r\nx", NULL },
	{ "boundary empty", MIXED("\"\"") "x", NULL },
	{ "boundary never seen", MIXED("b") "x\r\n", NULL },
	{ "two types", "Content-Type: text/plain\r\nContent-type: text/html\r\n\r\nx",
		NULL },
	{ "two encodings, the same",
		"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: "
		"8bit\r\n\r\nx",
		"[x]" },
	{ "NUL in a header", "A: b\r\n\r\n", "[]" },
	{ "no field", "A: b\r\nno field\r\n\r\nx", NULL },
	{ "blank before a colon", "A : b\r\n\r\nx", NULL },
	{ "fold first", "  x\r\nA: b\r\n\r\nx", "[x]" },
	{ "mbox line", "From me at noon\r\nA: b\r\n\r\nx", "[x]" },
	{ "too deep",
		MIXED("a") "--a\r\n" MIXED("b") "--b\r\n" MIXED("c") "--c\r\n" MIXED(
			"d") "--d\r\n" MIXED("e") "--e\r\n\r\nx",
		NULL },
	{ "too many parts",
		MIXED("a") "--a\r\n\r\n\r\n--a\r\n\r\n\r\n--a\r\n\r\n\r\n--a\r\n\r\n\r\n"
			   "--a\r\n\r\n\r\n--a\r\n\r\n\r\n--a\r\n\r\n\r\n--a\r\n\r\n\r\n",
		NULL },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t length = strlen(cases[i].text);

		for (size_t piece = 1; piece <= length + 1; piece++) {
			struct outline *outline =
				read_pieces(cases[i].text, length, piece);
			g_autofree char *got = bodies(outline, cases[i].text);

			if ((outline_reason(outline) == NULL) != (cases[i].want != NULL))
				fail_msg("%s, pieces of %zu: %s", cases[i].name, piece,
					outline_reason(outline));
			if (cases[i].want != NULL)
				assert_string_equal(got, cases[i].want);
			outline_free(&outline);
		}
	}
}

static void test_header_ceiling(void **state)
{
	GString *text = g_string_new(NULL);

	(void)state;
	while (text->len < 5000)
		g_string_append(text, "X: 0123456789\r\n");
	for (size_t piece = 1; piece < 6000; piece = piece * 3 + 1) {
		struct outline *outline = read_pieces(text->str, text->len, piece);

		assert_string_equal(outline_reason(outline), "too large a header");
		outline_free(&outline);
	}
	g_string_free(text, TRUE);
}

/* One line that never ends is not collected. */
static void test_endless_line(void **state)
{
	struct outline *outline = outline_new(&limits);
	char block[1024];
	bool more = true;
	size_t blocks = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	while (more && blocks++ < 100)
		more = outline_feed(outline, block, sizeof(block));
	assert_true(blocks < 10);
	assert_non_null(outline_reason(outline));
	outline_free(&outline);
}

/* The line break before a delimiter is the delimiter's, whatever is within. */
static void test_message_of_a_header(void **state)
{
	static const char *const contents[] = { "", "Subject: x",
		"Subject: x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y" };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(contents); i++) {
		g_autofree char *text = g_strconcat(MIXED("b"),
			"--b\r\nContent-Type: message/rfc822\r\n\r\n", contents[i],
			"\r\n--b--\r\n", NULL);
		struct outline *outline = read_pieces(text, strlen(text), 7);
		const struct outline_entity *message = outline_entity(outline, 1);

		assert_int_equal(message->kind, OUTLINE_MESSAGE);
		assert_int_equal(
			message->body_end - message->body_start, strlen(contents[i]));
		assert_memory_equal(
			text + message->body_start, contents[i], strlen(contents[i]));
		outline_free(&outline);
	}
}

static void test_fields(void **state)
{
	static const char text[] = "CONTENT-type: text/plain;\r\n charset=x\r\nX: y\r\n"
				   "Content-Length: 5\r\nLines: 1\r\n\r\nbody\r\n";
	struct outline *outline = read_pieces(text, strlen(text), 5);
	const struct outline_entity *root = outline_entity(outline, 0);
	const struct outline_field *field = outline_find(outline, root, "content-type");

	(void)state;
	assert_int_equal(root->n_fields, 3);
	assert_string_equal(field->value, "text/plain; charset=x");
	assert_int_equal(field->start, 0);
	assert_int_equal(field->end, strstr(text, "X:") - text);
	assert_string_equal(root->content.charset, "x");
	assert_int_equal(root->header_end + 2, root->body_start);
	assert_false(outline_bare_lf(outline));
	outline_free(&outline);
}

static int setup(void **state)
{
	(void)state;
	mime_init();
	return 0;
}

/* The first of the top header, folded or not, however the message is cut. */
static void test_date(void **state)
{
	static const struct {
		const char *text, *want;
	} dates[] = {
		{ "Date: a\r\nDate: b\r\n\r\nDate: c", " a" },
		{ "X: y\r\ndATE:a\r\n b\r\nX: y\r\n z\r\n\r\n", "a b" },
		{ "Date:\r\n\r\n", "" },
		{ "Dates: a\r\nX-Date: b\r\n\r\nDate: c\r\n", NULL },
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nDate: "
		  "x\r\n\r\n"
		  "y\r\n--b--\r\n",
			NULL },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(dates); i++) {
		size_t length = strlen(dates[i].text);

		for (size_t piece = 1; piece <= length; piece++) {
			struct outline *outline =
				read_pieces(dates[i].text, length, piece);
			const char *date = outline_date(outline);

			if (g_strcmp0(date, dates[i].want) != 0)
				fail_msg("%s: %s", dates[i].text, date);
			outline_free(&outline);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_header_ceiling),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_message_of_a_header),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_date),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
