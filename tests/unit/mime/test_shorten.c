/* Lines over 998 octets: which texts get short ones, and that they say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include "mime/qp.h"
#include "mime/source.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE_BYTES = 998 };

/* LONG stands for 999 octets without a line break, FULL for 998. */
#define PLAIN  "Content-Type: text/plain\r\n"
#define MIXED  "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define FILE_1 "--b\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\noctets\r\n"
#define TEXT_1 "--b\r\n\r\nshort\r\n"

static const struct {
	const char *name, *message;
	bool changed;
	size_t longest; /* line of the result */
} cases[] = {
	{ "no long line", PLAIN "\r\nFULL\r\nFULL\r\n", false, LINE_BYTES },
	{ "without a last line break", PLAIN "\r\nFULL", false, LINE_BYTES },
	{ "one octet more", PLAIN "\r\nshort\r\nLONG\r\nshort\r\n", true, 76 },
	{ "fields twice",
		"MIME-Version: 1.0\r\nMIME-Version: 1.0\r\n" PLAIN "\r\nLONG\r\n", true,
		76 },
	{ "two encodings",
		PLAIN "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit"
		      "\r\n\r\nLONG\r\n",
		false, 999 },
	{ "two charsets",
		"Content-Type: text/plain; charset=utf-8; charset=us-ascii\r\n\r\n"
		"LONG\r\n",
		true, 76 },
	{ "octets and equals signs",
		"Content-Type: text/html; charset=windows-1251\r\n\r\n"
		"\xcf\xf0 = \xe2 LONG\r\n",
		true, 76 },
	{ "inline PGP",
		PLAIN "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nLONG\r\n"
		      "-----BEGIN PGP SIGNATURE-----\r\n\r\nx\r\n"
		      "-----END PGP SIGNATURE-----\r\n",
		false, 999 },
	{ "no header about it", "Subject: x\r\n\r\nLONG\r\n", true, 76 },
	{ "bare line feeds", "Content-Type: text/plain\n\nLONG\nshort\n", true, 76 },
	{ "base64", PLAIN "Content-Transfer-Encoding: base64\r\n\r\nLONG\r\n", true,
		900 },
	{ "quoted-printable",
		PLAIN "Content-Transfer-Encoding: quoted-printable\r\n\r\nLONG\r\n", true,
		901 },
	{ "uuencode", PLAIN "Content-Transfer-Encoding: x-uuencode\r\n\r\nLONG\r\n",
		false, 999 },
	{ "a part",
		MIXED TEXT_1 "--b\r\nContent-Type: text/html\r\n\r\nLONG\r\n--b--\r\n",
		true, 76 },
	{ "beside a file", MIXED FILE_1 TEXT_1 "--b\r\n\r\nLONG\r\n--b--\r\n", true, 76 },
	{ "signed",
		"Content-Type: multipart/signed; boundary=b; protocol=\"x/y\"\r\n\r\n"
		"--b\r\n\r\nLONG\r\n--b\r\nContent-Type: x/y\r\n\r\nz\r\n--b--\r\n",
		false, 999 },
	{ "an attached message's",
		MIXED TEXT_1 "--b\r\nContent-Type: message/rfc822\r\n\r\n"
			     "Subject: x\r\n\r\nLONG\r\n--b--\r\n",
		true, 76 },
	{ "an attached message that is signed",
		MIXED TEXT_1
		"--b\r\nContent-Type: message/rfc822\r\n\r\n"
		"Content-Type: multipart/signed; boundary=s; protocol=\"x/y\"\r\n\r\n"
		"--s\r\n\r\nLONG\r\n--s\r\nContent-Type: x/y\r\n\r\nz\r\n--s--\r\n"
		"--b--\r\n",
		false, 999 },
	{ "a report's",
		"Content-Type: multipart/report; report-type=delivery-status; "
		"boundary=b\r\n\r\n--b\r\n\r\nLONG\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\nAction: "
		"failed\r\n--b--\r\n",
		true, 76 },
	{ "a report's status",
		"Content-Type: multipart/report; report-type=delivery-status; "
		"boundary=b\r\n\r\n--b\r\n\r\nshort\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\nLONG\r\n--b--\r\n",
		false, 999 },
};

static char *lengthen(const char *message)
{
	g_autofree char *octets = g_strnfill(LINE_BYTES + 1, 'x');
	g_autoptr(GString) text = g_string_new(message);

	g_string_replace(text, "LONG", octets, 0);
	g_string_replace(text, "FULL", octets + 1, 0);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static int open_output(void *context, size_t index, GError **error)
{
	int *fds = context;

	(void)error;
	assert_true(index < 4);
	fds[index] = memfd_create("part", MFD_CLOEXEC);
	return fds[index];
}

static void discard_output(void *context, size_t index)
{
	int *fds = context;

	close(fds[index]);
	fds[index] = -1;
}

static char *read_splice(const struct splice *splice, int fd)
{
	size_t n = splice_bytes(splice);
	char *out = g_malloc0(n + 1);
	struct splice_reader reader;

	splice_reader_init(&reader, splice, fd);
	assert_int_equal(splice_read(&reader, out, n, NULL), n);
	return out;
}

static char *rewrite(const char *text, size_t length, bool *changed)
{
	int fds[4] = { -1, -1, -1, -1 };
	static const struct mime_rule names = { "a.bin", MIME_ACTION_LINK };
	struct mime_output output = { open_output, discard_output, fds, NULL };
	struct mime_link links[4] = { { "https://x.example/", NULL } };
	const struct mime_attachment *attachments;
	struct mime_settings settings;
	int fd = memfd_create("mail", MFD_CLOEXEC);

	mime_settings_init(&settings);
	settings.min_size = UINT64_MAX / 8; /* all others stay */
	settings.names = &names;
	settings.n_names = 1;
	assert_int_equal(write(fd, text, length), length);
	struct mime_message *message =
		mime_message_new(fd, NULL, length, &settings, NULL);
	struct splice *splice = splice_new(length);

	assert_non_null(message);
	assert_true(mime_message_extract(message, &output, NULL));
	size_t n = mime_message_attachments(message, &attachments);

	assert_true(n <= 1);
	assert_true(mime_message_link(message, links, n, splice, NULL));
	assert_true(mime_message_shorten_lines(message, splice, changed, NULL));
	char *out = read_splice(splice, fd);

	splice_free(&splice);
	mime_message_free(&message);
	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(fd);
	return out;
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;

	for (size_t n; *text != '\0'; text += n + (text[n] != '\0')) {
		n = strcspn(text, "\n");
		longest = MAX(longest, n - (n > 0 && text[n - 1] == '\r'));
	}
	return longest;
}

/* Without soft line breaks, what was said stands there in one piece. */
static bool says_the_same(const char *out)
{
	g_autofree char *octets = g_strnfill(LINE_BYTES, 'x');
	g_autoptr(GString) text = g_string_new(out);

	g_string_replace(text, "=\r\n", "", 0);
	g_string_replace(text, "=\n", "", 0);
	if (strstr(out, "base64") != NULL)
		g_string_replace(text, "\r\n", "", 0);
	return strstr(text->str, octets) != NULL;
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = lengthen(cases[i].message);
		bool changed;
		g_autofree char *out = rewrite(text, strlen(text), &changed);

		if (changed != cases[i].changed || !says_the_same(out) ||
			longest_line(out) != cases[i].longest)
			fail_msg("%s: %s, longest line %zu:\n%s", cases[i].name,
				changed ? "changed" : "not changed", longest_line(out),
				out);
		if (strstr(text, "a.bin") == NULL)
			assert_int_equal(changed, strcmp(out, text) != 0);
	}
}

#define OCTETS(text) text, sizeof(text) - 1

/* The parts that are not for people to read, beside a text. */
static const struct {
	const char *name, *header, *octets;
	size_t length;
	bool changed;
} files[] = {
	{ "lines", "", OCTETS("{\r\n \"a\": 1\r\n}\r\n"), false },
	{ "NUL", "", OCTETS("a\0b"), true },
	{ "octets above 127", "", OCTETS("a\xff"), true },
	{ "a line feed alone", "", OCTETS("a\nb\r\n"), true },
	{ "a carriage return alone", "", OCTETS("a\r\rb\r\n"), true },
	{ "a carriage return at the end", "", OCTETS("a\r"), true },
	{ "said to be binary", "Content-Transfer-Encoding: binary\r\n", OCTETS("\x80"),
		true },
	{ "encoded", "Content-Transfer-Encoding: base64\r\n", OCTETS("AAAA\r\n"), false },
	{ "empty", "", OCTETS(""), false },
};

static void test_files(void **state)
{
	static const char field[] = "Content-Transfer-Encoding: base64\r\n";

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *head = g_strdup_printf(MIXED TEXT_1
			"--b\r\nContent-Type: image/x\r\n%s\r\n",
			files[i].header);
		g_autoptr(GString) text = g_string_new(head);
		g_autofree char *letters =
			g_base64_encode((const guchar *)files[i].octets, files[i].length);
		g_autofree char *want = g_strdup_printf(MIXED TEXT_1
			"--b\r\nContent-Type: image/x\r\n%s\r\n%s\r\n--b--\r\n",
			field, letters);
		bool changed;

		g_string_append_len(text, files[i].octets, (gssize)files[i].length);
		g_string_append(text, "\r\n--b--\r\n");
		g_autofree char *out = rewrite(text->str, text->len, &changed);

		if (changed != files[i].changed)
			fail_msg("%s: %s", files[i].name, out);
		assert_int_equal(memcmp(out, changed ? want : text->str,
					 changed ? strlen(want) + 1 : text->len + 1),
			0);
	}
}

/* Over what is edited in memory. */
static void test_large(void **state)
{
	size_t length = 3 * 1024 * 1024;
	g_autofree char *filling = g_strnfill(length, 'x');
	g_autofree char *text = g_strconcat(PLAIN "\r\n", filling, "\r\n", NULL);
	size_t octets = 0;
	bool changed;

	(void)state;
	g_autofree char *out = rewrite(text, strlen(text), &changed);
	char *body = strstr(out, "\r\n\r\n") + 4;

	assert_true(changed && strstr(out, "Encoding: base64\r\n") < body);
	assert_int_equal(longest_line(out), 76);
	g_base64_decode_inplace(body, &octets);
	assert_int_equal(octets, length + 2);
	assert_int_equal(memcmp(body, filling, length), 0);
}

/* A part that is read in blocks, of which the first ends in CR. */
static void test_pair_across_blocks(void **state)
{
	static const struct {
		const char *next;
		bool changed;
	} pairs[] = { { "\n", false }, { "x", true }, { "\r\n", true } };
	g_autofree char *line = g_strnfill(61, 'x');

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
		g_autoptr(GString) text =
			g_string_new(MIXED TEXT_1 "--b\r\nContent-Type: image/x\r\n\r\n");
		size_t body_start = text->len;
		bool changed;

		while (text->len < body_start + SOURCE_BLOCK_BYTES)
			g_string_append_printf(text, "%s\r\n", line);
		g_string_truncate(text, body_start + SOURCE_BLOCK_BYTES);
		text->str[text->len - 1] = '\r';
		g_string_append(text, pairs[i].next);
		while (text->len < SOURCE_WHOLE_BYTES + 1)
			g_string_append_printf(text, "%s\r\n", line);
		g_string_append(text, "\r\n--b--\r\n");
		g_autofree char *out = rewrite(text->str, text->len, &changed);

		assert_int_equal(changed, pairs[i].changed);
		assert_int_equal(strcmp(out, text->str) != 0, pairs[i].changed);
	}
}

static void test_large_of_short_lines(void **state)
{
	GString *text = g_string_new(PLAIN "\r\n");
	bool changed;

	(void)state;
	while (text->len < 3 * 1024 * 1024)
		g_string_append_printf(text, "%0997d\r\n", 1);
	g_autofree char *out = rewrite(text->str, text->len, &changed);

	assert_true(!changed && !strcmp(out, text->str));
	g_string_free(text, TRUE);
}

/* No soft line break stands within an octet's letters. */
static void test_folded_octets(void **state)
{
	GString *text =
		g_string_new(PLAIN "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	bool changed;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		g_string_append(text, i % 3 == 1 ? "-=3D" : "=3D");
	g_string_append(text, "\r\n");
	g_autofree char *out = rewrite(text->str, text->len, &changed);
	g_autoptr(GString) joined = g_string_new(out);

	assert_true(changed && longest_line(out) <= LINE_BYTES);
	assert_true(g_string_replace(joined, "=\r\n", "", 0) >= 3);
	assert_string_equal(joined->str, text->str);
	assert_null(strstr(out, "\n-"));
	for (const char *p = strchr(out, '='); p != NULL; p = strchr(p + 1, '='))
		assert_true(p < strstr(out, "\r\n\r\n") || p[1] == '\r' ||
			    !strncmp(p, "=3D", 3));
	g_string_free(text, TRUE);
}

/* Lines of which some are too long, and where they would be broken. */
static const struct {
	const char *name, *unit;
	size_t lines[5]; /* octets of each */
} encoded[] = {
	{ "beside lines that end where others are broken", "QUFB",
		{ 1200, 900, 1800, 901, 2700 } },
	{ "dashes", "-", { 2000, 900, 5000, 1, 2 } },
	{ "dashes behind letters",
		"QUFB-------------------------------------------"
		"------------------------------------------------"
		"------------------------------------------------",
		{ 2000, 900, 5000, 1050, 999 } },
	{ "escapes", "=3D", { 1200, 900, 1800, 903, 2700 } },
	{ "equals signs", "=", { 2000, 900, 1800, 999, 5000 } },
	{ "half escapes", "==3", { 2000, 900, 1800, 999, 5000 } },
	{ "blanks", " ", { 2000, 900, 1800, 999, 5000 } },
	{ "carriage returns", "\r", { 2000, 900, 1800, 999, 5000 } },
	{ "pairs of them", "=3D\r\r", { 2000, 900, 1800, 999, 5000 } },
	{ "octets", "\xff", { 2000, 900, 1800, 999, 5000 } },
};

static GString *encoded_lines(size_t i, const char *newline)
{
	GString *out = g_string_new(NULL);

	for (size_t k = 0; k < G_N_ELEMENTS(encoded[i].lines); k++) {
		for (size_t n = 0; n < encoded[i].lines[k]; n++)
			g_string_append_c(
				out, encoded[i].unit[n % strlen(encoded[i].unit)]);
		g_string_append(out, newline);
	}
	return out;
}

/* As lenient readers do: what is no letter is stepped over. */
static GString *decode(const char *body, bool is_qp)
{
	GString *out = g_string_new(NULL);

	if (is_qp)
		qp_decode(body, strlen(body), out);
	for (; !is_qp && *body != '\0'; body++)
		if (strchr(" \r\n", *body) == NULL)
			g_string_append_c(out, *body);
	return out;
}

/* Lines that begin as delimiters do. */
static size_t dash_lines(const char *text)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, "\n--")) != NULL; p++)
		n++;
	return n;
}

static void check_folded(size_t i, bool is_qp, const char *newline)
{
	g_autoptr(GString) body = encoded_lines(i, newline);
	g_autofree char *head = g_strdup_printf(
		"Content-Type: text/plain%sContent-Transfer-Encoding: %s%s%s", newline,
		is_qp ? "quoted-printable" : "base64", newline, newline);
	g_autofree char *text = g_strconcat(head, body->str, NULL);
	bool changed;
	g_autofree char *out = rewrite(text, strlen(text), &changed);
	g_autoptr(GString) before = decode(body->str, is_qp);
	g_autoptr(GString) after = decode(out + strlen(head), is_qp);

	if (!changed || !g_string_equal(before, after) ||
		longest_line(out) > LINE_BYTES || dash_lines(out) != dash_lines(text))
		fail_msg("%s, %s: longest line %zu, %zu octets, not %zu:\n%s",
			encoded[i].name, is_qp ? "quoted-printable" : "base64",
			longest_line(out), after->len, before->len, out);
}

static void test_folded(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(encoded); i++)
		for (size_t k = 0; k < 4; k++)
			check_folded(i, k % 2 != 0, k < 2 ? "\r\n" : "\n");
}

/* Only what is too long is broken. */
static void test_lines_that_stay(void **state)
{
	static const char head[] = PLAIN "Content-Transfer-Encoding: base64\r\n\r\n";
	g_autofree char *letters = g_strnfill(900, 'A');
	g_autofree char *text =
		g_strconcat(head, letters, "\r\n", letters, letters, "\r\n", NULL);
	g_autofree char *want = g_strconcat(
		head, letters, "\r\n", letters, "\r\n", letters, "\r\n", NULL);
	bool changed;

	(void)state;
	g_autofree char *out = rewrite(text, strlen(text), &changed);

	assert_string_equal(out, want);
}

static int setup(void **state)
{
	(void)state;
	mime_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_pair_across_blocks),
		cmocka_unit_test(test_large_of_short_lines),
		cmocka_unit_test(test_folded_octets),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_lines_that_stay),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
