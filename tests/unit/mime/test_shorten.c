/* Lines over 998 octets: which texts get short ones, and that they say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
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
	{ "base64", PLAIN "Content-Transfer-Encoding: base64\r\n\r\nLONG\r\n", false,
		999 },
	{ "quoted-printable",
		PLAIN "Content-Transfer-Encoding: quoted-printable\r\n\r\nLONG\r\n",
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

static char *rewrite(const char *text, bool *changed)
{
	int fds[4] = { -1, -1, -1, -1 };
	struct mime_output output = { open_output, discard_output, fds, NULL };
	struct mime_link links[4] = { { "https://x.example/", NULL } };
	const struct mime_attachment *attachments;
	struct mime_settings settings;
	int fd = memfd_create("mail", MFD_CLOEXEC);
	size_t length = strlen(text);

	mime_settings_init(&settings);
	assert_int_equal(write(fd, text, length), length);
	struct mime_message *message = mime_message_new(fd, length, &settings, NULL);
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
	return strstr(text->str, octets) != NULL;
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = lengthen(cases[i].message);
		bool changed;
		g_autofree char *out = rewrite(text, &changed);

		if (changed != cases[i].changed || !says_the_same(out) ||
			longest_line(out) != cases[i].longest)
			fail_msg("%s: %s, longest line %zu:\n%s", cases[i].name,
				changed ? "changed" : "not changed", longest_line(out),
				out);
		if (strstr(text, "a.bin") == NULL)
			assert_int_equal(changed, strcmp(out, text) != 0);
	}
}

static int setup(void **state)
{
	(void)state;
	mime_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };

	return cmocka_run_group_tests(tests, setup, NULL);
}
