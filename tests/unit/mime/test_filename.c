/* File names: what is left of them, and names for parts without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/filename.h"
#include <string.h>

static const struct {
	const char *name, *want; /* NULL: nothing is left */
} cases[] = {
	{ "a.pdf", "a.pdf" },
	{ "", NULL },
	{ " \t ", NULL },
	{ "...", NULL },
	{ "/", NULL },
	{ "../../etc/passwd", "passwd" },
	{ "C:\\x\\y.doc", "y.doc" },
	{ "https://x.example/a.pdf", "a.pdf" },
	{ "dir/", "dir" },
	{ "a\r\nb\x01\x7f.pdf", "ab.pdf" },
	{ "a\tb.pdf", "a b.pdf" },
	{ ".htaccess", "htaccess" },
	{ "x.pdf. ", "x.pdf" },
	{ "\xe2\x80\xae"
	  "fdp.exe",
		"fdp.exe" },
	{ "\xe2\x80\x8b\xef\xbb\xbf.pdf", "attachment.pdf" },
	{ ".pdf", "attachment.pdf" },
	{ "/tmp/. ..PDF ", "attachment.PDF" },
	{ ".tar.gz", "tar.gz" },
	{ "gr\xfcn.pdf", "gr\xc3\xbcn.pdf" },
	{ "gr\xc3\xbcn.pdf", "gr\xc3\xbcn.pdf" },
	{ "\x81\x8d", NULL },
	{ "nul", "_nul" },
	{ "COM1.txt", "_COM1.txt" },
	{ "console.txt", "console.txt" },
	{ "\xe6\x97\xa5\xe6\x9c\xac.pdf", "\xe6\x97\xa5\xe6\x9c\xac.pdf" },
};

static void test_clean(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *name = filename_clean(cases[i].name);

		if (cases[i].want == NULL && name != NULL)
			assert_true(g_utf8_validate(name, -1, NULL));
		else if (cases[i].want == NULL)
			assert_null(name);
		else
			assert_string_equal(name, cases[i].want);
	}
}

/* However long: at most 200 octets, whole characters, the extension kept. */
static void test_long(void **state)
{
	(void)state;
	for (size_t n = 150; n < 250; n++) {
		GString *long_name = g_string_new(NULL);

		for (size_t i = 0; i < n; i++)
			g_string_append(long_name, i % 3 ? "\xc3\xa4" : "\xe6\x97\xa5");
		g_string_append(long_name, ".tar.gz");
		g_autofree char *name = filename_clean(long_name->str);

		assert_true(strlen(name) <= FILENAME_MAX_BYTES);
		assert_true(g_utf8_validate(name, -1, NULL));
		assert_true(g_str_has_suffix(name, ".gz"));
		g_string_free(long_name, TRUE);
	}
}

static void test_make(void **state)
{
	static const struct {
		const char *media_type, *date, *want;
	} made[] = {
		{ "image/jpeg", NULL, "image-7.jpg" },
		{ "application/pdf", " Fri, 20 Nov 2026 23:30:00 -0800",
			"attachment-2026-11-20-7.pdf" },
		{ "application/x-unheard", "yesterday", "attachment-7.bin" },
		{ "audio/mpeg", "", "audio-7.mp3" },
		{ "message/rfc822", "20 Nov 26 10:00 GMT", "message-2026-11-20-7.eml" },
		{ "application/ms-tnef", " Fri, 20 Nov 2026 10:00:00 +0000",
			"winmail.dat" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
		g_autofree char *name =
			filename_make(made[i].media_type, made[i].date, 7);

		assert_string_equal(name, made[i].want);
	}
}

static void test_media_type(void **state)
{
	(void)state;
	assert_string_equal(filename_media_type("a.b.PDF"), "application/pdf");
	assert_string_equal(filename_media_type("pdf"), "application/octet-stream");
	assert_string_equal(filename_media_type("a."), "application/octet-stream");
	assert_string_equal(filename_media_type("a.jpg"), "image/jpeg");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_media_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
