/* The strict decoders: what decodes, what does not, however the input is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/decode.h"
#include "mime/qp.h"
#include <stdio.h>
#include <string.h>

enum {
	B64 = HEADER_ENCODING_BASE64,
	QP = HEADER_ENCODING_QP,
	UU = HEADER_ENCODING_UUENCODE
};

static const struct {
	const char *name;
	int encoding;
	const char *input;
	const char *want; /* NULL: a violation */
} cases[] = {
	{ "empty", B64, "", "" },
	{ "one quantum", B64, "QUJD", "ABC" },
	{ "two pads", B64, "QQ==", "A" },
	{ "one pad", B64, "QUI=", "AB" },
	{ "padding cut by a line", B64, "QQ=\r\n=\r\n", "A" },
	{ "white space anywhere", B64, " Q U\tJ\r\n\r\nD \r\n", "ABC" },
	{ "lines of odd lengths", B64, "QUJ\r\nDQ\r\nUJD\r\n", "ABCABC" },
	{ "a long line", B64,
		"QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD"
		"QUJDQUJDQUJD",
		"ABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABCABC" },
	{ "bits behind the last octet", B64, "QR==", "A" },
	{ "data after padding", B64, "QQ==QUJD", NULL },
	{ "data after one pad", B64, "QUI=QUJD", NULL },
	{ "missing padding, two letters", B64, "QUJDQQ", NULL },
	{ "missing padding, three letters", B64, "QUI", NULL },
	{ "one letter", B64, "QUJDQ", NULL },
	{ "half the padding", B64, "QQ=", NULL },
	{ "too much padding", B64, "QQ===", NULL },
	{ "padding alone", B64, "=", NULL },
	{ "padding after a whole quantum", B64, "QUJD=", NULL },
	{ "junk", B64, "QUJD*QUJD", NULL },
	{ "junk among sixteen", B64, "QUJDQUJDQUJDQU-DQUJDQUJD", NULL },
	{ "eight bits", B64, "QUJD\xe4QUJD", NULL },
	{ "url alphabet", B64, "QU_D", NULL },
	{ "plain", QP, "abc", "abc" },
	{ "escapes in either case", QP, "=C3=a4=3D", "\xc3\xa4=" },
	{ "hard line break stays", QP, "a\r\nb\n", "a\r\nb\n" },
	{ "soft line break", QP, "a=\r\nb=\nc", "abc" },
	{ "soft line break with blanks", QP, "a= \t\r\nb", NULL },
	{ "soft line break at the end", QP, "a=", "a" },
	{ "blanks within", QP, "a \t b", "a \t b" },
	{ "blank at a line's end", QP, "a \r\nb", NULL },
	{ "blank at the end", QP, "a ", NULL },
	{ "no digits", QP, "a=ZZ", NULL },
	{ "one digit", QP, "a=4Z", NULL },
	{ "cut digit", QP, "a=4", NULL },
	{ "lone CR behind =", QP, "a=\rb", NULL },
	{ "uuencode", UU, "begin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n", "Cat" },
	{ "uuencode with blanks", UU, "\nbegin 644 x\n! \"    \n \nend", NULL },
	{ "uuencode, two octets", UU, "begin 644 x\n\"04(`\n`\nend", "AB" },
	{ "uuencode without end", UU, "begin 644 x\n#0V%T\n`\n", NULL },
	{ "uuencode, short line", UU, "begin 644 x\n#0V%\n`\nend\n", NULL },
	{ "uuencode, text before", UU, "hello\nbegin 644 x\n`\nend\n", NULL },
	{ "uuencode, text behind", UU, "begin 644 x\n`\nend\nmore\n", NULL },
	{ "identity", HEADER_ENCODING_IDENTITY, "=41 \r\n", "=41 \r\n" },
	{ "unknown", HEADER_ENCODING_UNKNOWN, "abc", NULL },
};

static const char *decode(
	int encoding, const char *input, size_t length, size_t piece, GString *out)
{
	struct decoder decoder;
	char block[512 + DECODE_SLACK_BYTES];

	assert_true(piece <= 512);
	decoder_init(&decoder, (enum header_encoding)encoding);
	g_string_truncate(out, 0);
	for (size_t at = 0; at < length; at += piece) {
		size_t n = decoder_push(
			&decoder, input + at, MIN(piece, length - at), block);

		g_string_append_len(out, block, (gssize)n);
	}
	return decoder_finish(&decoder);
}

static void test_cases(void **state)
{
	GString *out = g_string_new(NULL);

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t length = strlen(cases[i].input);

		for (size_t piece = 1; piece <= length + 1; piece++) {
			const char *violation = decode(
				cases[i].encoding, cases[i].input, length, piece, out);

			if ((violation == NULL) != (cases[i].want != NULL))
				fail_msg("%s, pieces of %zu: %s", cases[i].name, piece,
					violation != NULL ? violation : "no violation");
			if (cases[i].want != NULL)
				assert_string_equal(out->str, cases[i].want);
		}
	}
	g_string_free(out, TRUE);
}

/* Every octet at every place of a long line: the fast path and the slow one agree. */
static void test_every_octet(void **state)
{
	GString *fast = g_string_new(NULL), *slow = g_string_new(NULL);
	char input[48];

	(void)state;
	for (size_t place = 0; place < sizeof(input); place++) {
		for (int octet = 0; octet < 256; octet++) {
			const char *a, *b;

			memset(input, 'A', sizeof(input));
			input[place] = (char)octet;
			a = decode(B64, input, sizeof(input), sizeof(input), fast);
			b = decode(B64, input, sizeof(input), 1, slow);
			assert_int_equal(a == NULL, b == NULL);
			if (a == NULL)
				assert_true(g_string_equal(fast, slow));
		}
	}
	g_string_free(fast, TRUE);
	g_string_free(slow, TRUE);
}

static void test_base64_of_glib(void **state)
{
	GString *out = g_string_new(NULL);
	guchar data[300];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (guchar)(i * 7 + i / 256);
	for (size_t n = 0; n <= sizeof(data); n++) {
		g_autofree char *letters = g_base64_encode(data, n);

		assert_null(decode(B64, letters, strlen(letters), 512, out));
		assert_int_equal(out->len, n);
		assert_memory_equal(out->str, data, n);
	}
	g_string_free(out, TRUE);
}

/* What qp_encode() writes decodes to the same, has short lines, and no
 * line like a delimiter. */
static void test_qp_encode(void **state)
{
	static const char *const texts[] = { "", "a", "--b\r\n-x\r\n.\r\nFrom me\r\n",
		"trailing \r\n\t\r\nblank ", "\xc3\xa4\xc3\xb6\r\nlone \n and \r here",
		"=\r\n==",
		"012345678901234567890123456789012345678901234567890123456789012345678901"
		"2345-"
		"From "
		"89012345678901234567890123456789012345678901234567890123456789012345678"
		"9",
		"012345678901234567890123456789012345678901234567890123456789012345678901"
		"23 "
		" .x\r\n" };
	GString *encoded = g_string_new(NULL), *out = g_string_new(NULL);

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_string_truncate(encoded, 0);
		qp_encode(texts[i], strlen(texts[i]), "\r\n", encoded);
		assert_null(decode(QP, encoded->str, encoded->len, 512, out));
		assert_string_equal(out->str, texts[i]);
		g_string_truncate(out, 0);
		qp_decode(encoded->str, encoded->len, out);
		assert_string_equal(out->str, texts[i]);
		g_auto(GStrv) lines = g_strsplit(encoded->str, "\r\n", -1);

		for (size_t k = 0; lines[k] != NULL; k++) {
			assert_true(strlen(lines[k]) <= QP_LINE_BYTES);
			assert_false(g_str_has_prefix(lines[k], "-"));
			assert_false(g_str_has_prefix(lines[k], "."));
			assert_false(g_str_has_prefix(lines[k], "From "));
		}
	}
	g_string_free(encoded, TRUE);
	g_string_free(out, TRUE);
}

static void test_qp_places(void **state)
{
	static const struct {
		const char *raw;
		size_t decoded, want;
	} places[] = { { "abc", 0, 0 }, { "abc", 3, 3 }, { "=41b", 1, 3 },
		{ "a=\r\nb", 1, 4 }, { "a=\r\n=42c", 2, 7 }, { "a=ZZ", 1, 1 },
		{ "a=\r\n", 1, 4 }, { "", 0, 0 } };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		struct qp_place place = { 0 };
		size_t length = strlen(places[i].raw);

		/* Asked again from there, and from each place before it. */
		for (size_t k = 0; k <= places[i].decoded; k++)
			qp_raw_offset(places[i].raw, length, &place, k);
		assert_int_equal(place.raw, places[i].want);
		place = (struct qp_place){ 0 };
		assert_int_equal(
			qp_raw_offset(places[i].raw, length, &place, places[i].decoded),
			places[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_every_octet),
		cmocka_unit_test(test_base64_of_glib),
		cmocka_unit_test(test_qp_encode),
		cmocka_unit_test(test_qp_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
