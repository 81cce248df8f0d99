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
	{ "\xe2\x80\x8b\xef\xbb\xbf.pdf", "pdf" },
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
		const char *media_type, *want;
	} made[] = {
		{ "image/jpeg", "image-7.jpg" },
		{ "application/pdf", "attachment-7.pdf" },
		{ "application/x-unheard", "attachment-7.bin" },
		{ "message/rfc822", "message-7.eml" },
		{ "application/ms-tnef", "winmail.dat" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
		g_autofree char *name = filename_make(made[i].media_type, 7);

		assert_string_equal(name, made[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
