/* wire: dots, line ends, long lines, whatever the pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/wire.h"
#include <glib.h>
#include <string.h>

static const struct {
	const char *name, *in, *want;
} cases[] = {
	{ "empty", "", "" },
	{ "plain", "a\r\nb\r\n", "a\r\nb\r\n" },
	{ "no end of line", "a\r\nb", "a\r\nb\r\n" },
	{ "only a dot", ".", "..\r\n" },
	{ "dot line", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n" },
	{ "dots at line starts", ".a\r\n..b\r\nc.d.\r\n", "..a\r\n...b\r\nc.d.\r\n" },
	{ "bare LF", "a\nb\n", "a\r\nb\r\n" },
	{ "bare LF before a dot", "a\n.\nMAIL FROM:<x>\n",
		"a\r\n..\r\nMAIL FROM:<x>\r\n" },
	{ "mixed dot line", "a\n.\r\nb\r\n.\n", "a\r\n..\r\nb\r\n..\r\n" },
	{ "bare CR", "a\rb\r\n", "a b\r\n" },
	{ "bare CR around a dot", "a\r.\rb\r\n", "a . b\r\n" },
	{ "two CRs", "a\r\r\nb\r\n", "a \r\nb\r\n" },
	{ "three CRs", "\r\r\r\n", "  \r\n" },
	{ "CR at the end", "a\r", "a\r\n" },
	{ "CRs at the end", "a\r\r", "a \r\n" },
	{ "CR then a dot", "\r.\r\n", " .\r\n" },
	{ "LF CR", "a\n\rb", "a\r\n b\r\n" },
	{ "empty lines", "\r\n\n\r\n", "\r\n\r\n\r\n" },
};

static void collect(void *out, const char *data, size_t bytes)
{
	assert_true(bytes > 0);
	g_string_append_len(out, data, (gssize)bytes);
}

/* Cut into pieces of a size, the result is the same. */
static void test_every_cut(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t bytes = strlen(cases[i].in);
		for (size_t piece = MAX(bytes, 1); piece > 0; piece--) {
			g_autoptr(GString) out = g_string_new(NULL);
			struct wire wire = { .emit = collect, .context = out };
			for (size_t at = 0; at < bytes; at += piece)
				wire_add(&wire, cases[i].in + at, MIN(piece, bytes - at));
			wire_end(&wire);
			if (strcmp(out->str, cases[i].want) != 0)
				fail_msg("%s, pieces of %zu: \"%s\"", cases[i].name,
					piece, g_strescape(out->str, NULL));
		}
	}
}

/* One cut at every place. */
static void test_two_pieces(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t bytes = strlen(cases[i].in);
		for (size_t cut = 0; cut <= bytes; cut++) {
			g_autoptr(GString) out = g_string_new(NULL);
			struct wire wire = { .emit = collect, .context = out };
			wire_add(&wire, cases[i].in, cut);
			wire_add(&wire, cases[i].in + cut, bytes - cut);
			wire_end(&wire);
			assert_string_equal(out->str, cases[i].want);
		}
	}
}

static void test_nul_octets(void **unused)
{
	(void)unused;
	g_autoptr(GString) out = g_string_new(NULL);
	struct wire wire = { .emit = collect, .context = out };
	wire_add(&wire, "a\0b\r\n", 5);
	wire_end(&wire);
	assert_int_equal(out->len, 5);
	assert_memory_equal(out->str, "a\0b\r\n", 5);
}

static bool too_long(const char *text, size_t piece)
{
	struct wire_lines lines = { 0 };
	size_t bytes = strlen(text);
	for (size_t at = 0; at < bytes; at += piece)
		wire_lines_add(&lines, text + at, MIN(piece, bytes - at));
	return lines.too_long;
}

static void test_long_lines(void **unused)
{
	(void)unused;
	static const struct {
		size_t octets;
		const char *end;
		bool want;
	} table[] = {
		{ 998, "\r\n", false },
		{ 999, "\r\n", true },
		{ 998, "\n", false },
		{ 999, "\n", true },
		{ 998, "", false },
		{ 999, "", true },
		{ 0, "\r\n", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autofree char *line = g_strnfill(table[i].octets, 'x');
		g_autofree char *text =
			g_strconcat("short\r\n", line, table[i].end, NULL);
		g_autofree char *more = g_strconcat(text, "short\r\n", NULL);
		for (size_t piece = 1; piece <= 1010; piece += 7) {
			assert_int_equal(too_long(text, piece), table[i].want);
			if (*table[i].end)
				assert_int_equal(too_long(more, piece), table[i].want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_two_pieces),
		cmocka_unit_test(test_nul_octets),
		cmocka_unit_test(test_long_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
