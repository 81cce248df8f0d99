/* The data decoder: every cut of every case gives the same, and nothing but CR LF "." CR
 * LF ends the data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/data.h"
#include <glib.h>
#include <string.h>

#define OPEN (-1) /* the data has not ended */

static const struct data_case {
	const char *in;
	const char *normalised;
	int left;          /* octets behind the end of data, or OPEN */
	unsigned cr, lf;   /* bare ones */
	const char *clean; /* with bare ones kept out; NULL: as normalised */
} cases[] = {
	{ ".\r\n", "", 0, 0, 0, NULL },
	{ "a\r\n.\r\n", "a\r\n", 0, 0, 0, NULL },
	{ "a\r\n.\r\nQUIT\r\n", "a\r\n", 6, 0, 0, NULL },
	{ "\r\n.\r\n", "\r\n", 0, 0, 0, NULL },
	{ "..\r\n.\r\n", ".\r\n", 0, 0, 0, NULL },
	{ "...\r\n..a\r\n.b\r\n.\r\n", "..\r\n.a\r\nb\r\n", 0, 0, 0, NULL },
	{ "a.\r\n.\r\n", "a.\r\n", 0, 0, 0, NULL },
	{ "a\r\n..\r\n", "a\r\n.\r\n", OPEN, 0, 0, NULL },
	{ "no end", "no end", OPEN, 0, 0, NULL },
	{ "a\r\n.", "a\r\n", OPEN, 0, 0, NULL },
	{ "a\r\n.\r", "a\r\n", OPEN, 0, 0, NULL },
	/* smuggling: none of these ends the data */
	{ "a\n.\nb", "a\r\n.\r\nb", OPEN, 0, 2, "a.b" },
	{ "a\n.\r\nb", "a\r\n.\r\nb", OPEN, 0, 1, "a.\r\nb" },
	{ "a\r\n.\nb", "a\r\n\r\nb", OPEN, 0, 1, "a\r\nb" },
	{ "a\r.\rb", "a . b", OPEN, 2, 0, "a.b" },
	{ "a\r\n.\rb", "a\r\n b", OPEN, 1, 0, "a\r\nb" },
	{ "a\r\n.\r\rb", "a\r\n b", OPEN, 2, 0, "a\r\nb" },
	{ "a\r.\r\nb", "a .\r\nb", OPEN, 1, 0, "a.\r\nb" },
	{ "a\n.\rb", "a\r\n. b", OPEN, 1, 1, "a.b" },
	{ "a\r.\nb", "a .\r\nb", OPEN, 1, 1, "a.b" },
	{ "a\n\r.\r\nb", "a\r\n .\r\nb", OPEN, 1, 1, "a.\r\nb" },
	{ "a\r\n\r.\r\nb", "a\r\n .\r\nb", OPEN, 1, 0, "a\r\n.\r\nb" },
	{ "a\r\n.\r\r\nb", "a\r\n\r\nb", OPEN, 1, 0, "a\r\n\r\nb" },
	{ "a\r\r\n.\r\r\nb", "a\r\n\r\nb", OPEN, 2, 0, "a\r\n\r\nb" },
	{ "\n.\r\nb", "\r\n.\r\nb", OPEN, 0, 1, ".\r\nb" },
	{ ".\nb", "\r\nb", OPEN, 0, 1, "b" },
	{ "\n.\n", "\r\n.\r\n", OPEN, 0, 2, "." },
	/* behind such a try the true end is still found */
	{ "a\n.\nb\r\n.\r\nQ", "a\r\n.\r\nb\r\n", 1, 0, 2, "a.b\r\n" },
	{ "a\r\n.\rb\r\n.\r\nQ", "a\r\n b\r\n", 1, 1, 0, "a\r\nb\r\n" },
	/* line ends made good */
	{ "a\nb\n\nc\r\n.\r\n", "a\r\nb\r\n\r\nc\r\n", 0, 0, 3, "abc\r\n" },
	{ "a\r\r\nb\r\r\r\n.\r\n", "a\r\nb\r\n", 0, 3, 0, "a\r\nb\r\n" },
	{ "10%\r20%\r\n.\r\n", "10% 20%\r\n", 0, 1, 0, "10%20%\r\n" },
	{ "a\r\rb\r\n.\r\n", "a b\r\n", 0, 2, 0, "ab\r\n" },
};

static void collect(void *context, const char *bytes, size_t n_bytes)
{
	assert_true(n_bytes > 0);
	g_string_append_len(context, bytes, (gssize)n_bytes);
}

/* Decodes in pieces of the given size; the number of octets left behind the end. */
static int decode(struct smtp_data *data, const char *in, size_t piece)
{
	size_t length = strlen(in);
	for (size_t at = 0; at < length;) {
		size_t n = MIN(piece, length - at);
		g_autofree char *copy = g_memdup2(in + at, n);
		size_t taken = smtp_data_decode(data, copy, n);
		at += taken;
		if (data->state == DATA_ENDED)
			return (int)(length - at);
		assert_int_equal(taken, n);
	}
	return OPEN;
}

static void check(const struct data_case *c, enum smtp_data_bare bare, size_t piece)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct smtp_data data;
	smtp_data_init(&data, bare, false, collect, out);
	int left = decode(&data, c->in, piece);
	const char *want = bare == DATA_REFUSE && c->clean ? c->clean : c->normalised;
	g_autofree char *shown = g_strescape(c->in, NULL);
	g_autofree char *got = g_strescape(out->str, NULL);
	if (left != c->left || strcmp(out->str, want))
		fail_msg("\"%s\" in pieces of %zu: \"%s\", %d left", shown, piece, got,
			left);
	/* a CR at the very end is neither bare nor part of CR LF yet */
	assert_int_equal(data.bare_cr, c->cr);
	assert_int_equal(data.bare_lf, c->lf);
}

static void every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (size_t piece = strlen(cases[i].in); piece > 0; piece--) {
			check(&cases[i], DATA_NORMALISE, piece);
			check(&cases[i], DATA_REFUSE, piece);
		}
	}
}

/* The decoder written the slow and plain way: one byte, one state. */
static bool decode_plainly(GString *out, const char *in, size_t n)
{
	g_autofree char *text = g_strdup_printf("\r\n%.*s", (int)n, in);
	for (size_t i = 2; text[i]; i++) {
		bool line_start = text[i - 1] == '\n' && text[i - 2] == '\r';
		if (line_start && !strncmp(text + i, ".\r\n", 3))
			return true;
		if (line_start && text[i] == '.')
			continue;
		if (text[i] == '\r') {
			if (text[i + 1] != '\n' && text[i + 1] != '\r' && text[i + 1])
				g_string_append_c(out, ' ');
		} else if (text[i] == '\n') {
			g_string_append(out, "\r\n");
		} else {
			g_string_append_c(out, text[i]);
		}
	}
	return false;
}

/* All strings of up to seven of CR, LF, dot and a letter, each cut once anywhere. */
static void every_string(void **state)
{
	(void)state;
	for (size_t length = 1; length <= 7; length++) {
		for (size_t code = 0; code < (size_t)1 << (2 * length); code++) {
			char in[8] = "";
			for (size_t i = 0; i < length; i++)
				in[i] = "\r\n.a"[code >> (2 * i) & 3];
			g_autoptr(GString) want = g_string_new(NULL);
			bool ends = decode_plainly(want, in, length);
			for (size_t cut = 0; cut < length; cut++) {
				g_autoptr(GString) out = g_string_new(NULL);
				struct smtp_data data;
				smtp_data_init(
					&data, DATA_NORMALISE, false, collect, out);
				size_t taken = smtp_data_decode(&data, in, cut);
				if (data.state != DATA_ENDED)
					smtp_data_decode(
						&data, in + taken, length - taken);
				if ((data.state == DATA_ENDED) != ends ||
					strcmp(out->str, want->str)) {
					g_autofree char *shown = g_strescape(in, NULL);
					fail_msg("\"%s\" cut at %zu", shown, cut);
				}
			}
		}
	}
}

/* Chunks: cut anywhere, dots are text, and the last line gets its end. */
static const struct chunk_case {
	const char *in, *normalised;
	unsigned cr, lf;
	const char *clean; /* with bare ones kept out; NULL: as normalised */
} chunk_cases[] = {
	{ "", "", 0, 0, NULL },
	{ "a\r\n", "a\r\n", 0, 0, NULL },
	{ "a", "a\r\n", 0, 0, NULL },
	{ "\r\n", "\r\n", 0, 0, NULL },
	{ ".\r\n", ".\r\n", 0, 0, NULL },
	{ "..a\r\n.\r\n..", "..a\r\n.\r\n..\r\n", 0, 0, NULL },
	{ ".", ".\r\n", 0, 0, NULL },
	{ "a\r\n.\rb", "a\r\n. b\r\n", 1, 0, "a\r\n.b\r\n" },
	{ "a\nb\n", "a\r\nb\r\n", 0, 2, "ab\r\n" },
	{ "a\n\n", "a\r\n\r\n", 0, 2, "a\r\n" },
	{ "a\n\r\n", "a\r\n\r\n", 0, 1, "a\r\n" },
	{ "a\n.", "a\r\n.\r\n", 0, 1, "a.\r\n" },
	{ "a\r", "a\r\n", 1, 0, "a\r\n" },
	{ "a\r\r", "a\r\n", 2, 0, "a\r\n" },
	{ "a\r\r\n", "a\r\n", 1, 0, "a\r\n" },
	{ "\r", "\r\n", 1, 0, "\r\n" },
};

static void check_chunks(const struct chunk_case *c, enum smtp_data_bare bare, size_t cut)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct smtp_data data;
	size_t length = strlen(c->in);
	smtp_data_init(&data, bare, true, collect, out);
	assert_int_equal(smtp_data_decode(&data, c->in, cut), cut);
	assert_int_equal(
		smtp_data_decode(&data, c->in + cut, length - cut), length - cut);
	smtp_data_finish(&data);
	const char *want = bare == DATA_REFUSE && c->clean ? c->clean : c->normalised;
	g_autofree char *shown = g_strescape(c->in, NULL);
	g_autofree char *got = g_strescape(out->str, NULL);
	if (strcmp(out->str, want) != 0)
		fail_msg("\"%s\" cut at %zu: \"%s\"", shown, cut, got);
	assert_int_equal(data.bare_cr, c->cr);
	assert_int_equal(data.bare_lf, c->lf);
}

static void chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(chunk_cases); i++) {
		for (size_t cut = 0; cut <= strlen(chunk_cases[i].in); cut++) {
			check_chunks(&chunk_cases[i], DATA_NORMALISE, cut);
			check_chunks(&chunk_cases[i], DATA_REFUSE, cut);
		}
	}
}

static void count(void *context, const char *bytes, size_t n_bytes)
{
	(void)bytes;
	*(size_t *)context += n_bytes;
}

/* A flood of bare CR or of dots costs no more than its length: seconds if it were
 * searched anew for each. */
static void floods(void **state)
{
	(void)state;
	size_t room = 64 << 20;
	g_autofree char *flood = g_malloc(room);
	static const char *const patterns[] = { "\r", "\n", ".", "\r\n..", "a\r\n",
		"\r.\n" };
	for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
		size_t bytes = strlen(patterns[i]);
		for (size_t at = 0; at < room; at++)
			flood[at] = patterns[i][at % bytes];
		size_t got = 0;
		struct smtp_data data;
		smtp_data_init(&data, DATA_NORMALISE, false, count, &got);
		assert_int_equal(smtp_data_decode(&data, flood, room), room);
		assert_true(got <= 2 * room + 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut),
		cmocka_unit_test(every_string),
		cmocka_unit_test(chunks),
		cmocka_unit_test(floods),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
