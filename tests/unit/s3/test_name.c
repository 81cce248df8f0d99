/* Names and types that come from strangers, and the keys that hold none of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/name.h"
#include "s3/s3.h"
#include <string.h>

#define A "attachment; filename=\""
#define U "\"; filename*=UTF-8''"

static const struct {
	const char *name, *want;
} dispositions[] = {
	{ "report.pdf", A "report.pdf" U "report.pdf" },
	{ "a b.pdf", A "a b.pdf" U "a%20b.pdf" },
	{ "r\xc3\xa9sum\xc3\xa9.pdf", A "r_sum_.pdf" U "r%C3%A9sum%C3%A9.pdf" },
	{ "\xd1\x84\xd0\xb0.pdf", A "attachment.pdf" U "%D1%84%D0%B0.pdf" },
	{ "\xd1\x84\xd0\xb0", A "attachment" U "%D1%84%D0%B0" },
	/* Not escaped: curl -OJ and others stop at the quote or at the backslash. */
	{ "a\"b\\c.txt", A "a_b_c.txt" U "a%22b_c.txt" },
	{ "100%.txt", A "100_.txt" U "100%25.txt" },
	{ "a\r\nX: y.txt", A "a__X: y.txt" U "a__X%3A%20y.txt" },
	{ "../../etc/passwd", A ".._.._etc_passwd" U ".._.._etc_passwd" },
	{ "exe\xe2\x80\xaegpj.cod", A "exe_gpj.cod" U "exe_gpj.cod" },
	{ "a\xff"
	  "b.txt",
		A "a_b.txt" U "a%EF%BF%BDb.txt" },
	{ "a'b*c;d.txt", A "a'b*c;d.txt" U "a%27b%2Ac%3Bd.txt" },
	{ "", A "attachment" U "attachment" },
	{ NULL, A "attachment" U "attachment" },
	{ "...", A "attachment" U "..." },
	{ "\xf0\x9f\x98\x80 party.png", A "_ party.png" U "%F0%9F%98%80%20party.png" },
	{ "a\xe2\x80\x8f\xe2\x81\xa7"
	  "b.txt",
		A "a__b.txt" U "a__b.txt" },
	{ "a\xe2\x80\xa8"
	  "b.txt",
		A "a_b.txt" U "a_b.txt" },
	{ "\xc2\x80\x7f\x1b[m.txt", A "___[m.txt" U "___%5Bm.txt" },
	{ "a%22; x=y.txt", A "a_22; x=y.txt" U "a%2522%3B%20x%3Dy.txt" },
	{ "CON", A "CON" U "CON" }, /* whose reader cannot have it renames it */
	{ "C:\\Users\\x.doc", A "C:_Users_x.doc" U "C%3A_Users_x.doc" },
	{ ".htaccess", A ".htaccess" U ".htaccess" },
};

static void dispositions_hold_one_safe_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(dispositions); i++) {
		g_autofree char *got = s3_name_disposition(dispositions[i].name);
		assert_string_equal(got, dispositions[i].want);
	}
}

static void long_names_keep_their_suffix(void **state)
{
	(void)state;
	g_autoptr(GString) name = g_string_new(NULL);
	for (size_t i = 0; i < 1000; i++)
		g_string_append(name, "\xe6\x97\xa5");
	g_string_append(name, ".docx");
	g_autofree char *got = s3_name_disposition(name->str);
	assert_true(g_str_has_suffix(got, "%E6%97%A5.docx"));
	assert_non_null(strstr(got, ".docx\"; filename*=UTF-8''%E6%97%A5%E6"));
	assert_in_range(strlen(got), 200, 1100);

	g_autofree char *metadata = s3_name_metadata(name->str);
	assert_in_range(strlen(metadata), 200, 256); /* Swift refuses longer ones */
	for (const char *p = metadata; *p; p++)
		assert_true(g_ascii_isalnum(*p) || strchr("%-._~", *p));
}

static const struct {
	const char *type, *want;
} types[] = {
	{ "application/pdf", "application/pdf" },
	{ "Image/JPEG", "image/jpeg" },
	{ "text/plain; charset=utf-8", "text/plain" },
	{ " text/csv ;x", "text/csv" },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/"
		"vnd.openxmlformats-officedocument.wordprocessingml.document" },
	{ "text/html", NULL },
	{ "TEXT/HTML; charset=x", NULL },
	{ "application/xhtml+xml", NULL },
	{ "image/svg+xml", NULL },
	{ "text/xml", NULL },
	{ "application/atom+xml", NULL },
	{ "text/javascript", NULL },
	{ "application/x-javascript", NULL },
	{ "message/rfc822", NULL },
	{ "multipart/x-mixed-replace", NULL },
	{ "multipart/related", NULL },
	{ "application/x-mimearchive", NULL },
	{ "application/vnd.wap.xhtml+xml", NULL },
	{ "application/mathml+xml", NULL },
	{ "image/svg", NULL },
	{ "text/javascript1.5", NULL },
	{ "text/xsl", NULL },
	{ "application/wasm", NULL },
	{ "image/png", "image/png" },
	{ "audio/mpeg", "audio/mpeg" },
	{ "application/zip", "application/zip" },
	{ "", NULL },
	{ NULL, NULL },
	{ "pdf", NULL },
	{ "/pdf", NULL },
	{ "application/", NULL },
	{ "a/b/c", NULL },
	{ "text/plain\r\nX: y", NULL },
	{ "text/pl ain", NULL },
};

static void types_are_safe(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		g_autofree char *got = s3_name_media_type(types[i].type);
		assert_string_equal(
			got, types[i].want ? types[i].want : "application/octet-stream");
	}
}

static void keys_are_plain(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "a/b.c/_-", "2026/a..b/...", ".a/b." };
	static const char *const bad[] = { "", "/a", "a/", "a//b", "a/../b", "..", "./a",
		"a/.", "a b", "a\\b", "\xc3\xa4", "a\n" };
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		assert_true(s3_name_is_key(good[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_false(s3_name_is_key(bad[i]));
	g_autofree char *longest = g_strnfill(1024, 'a');
	g_autofree char *longer = g_strnfill(1025, 'a');
	assert_true(s3_name_is_key(longest));
	assert_false(s3_name_is_key(longer));
}

#define SEED (const uint8_t *)"0123456789abcdef"
#define TIME 1785974400 /* 2026-08-06T00:00:00Z */

static void object_keys_are_safe(void **state)
{
	(void)state;
	static const struct {
		const char *prefix, *id, *file_name, *start, *end;
	} cases[] = {
		{ "mail", "01J5", "Report.PDF", "mail/2026/08/06/01J5/3-", ".pdf" },
		{ "a/b", "01J5", "x.tar.gz", "a/b/2026/08/06/01J5/3-", ".gz" },
		{ NULL, "01J5", "README", "2026/08/06/01J5/3-", "" },
		{ "", "01J5", NULL, "2026/08/06/01J5/3-", "" },
		{ "mail", "../x y", "a.\xc3\xa4", "mail/2026/08/06/.._x_y/3-", "" },
		{ "mail", "1", "a.b/c", "mail/2026/08/06/1/3-", "" },
		{ "mail", "1", "a.12345678901", "mail/2026/08/06/1/3-", "" },
		{ "mail", "1", "a.1234567890", "mail/2026/08/06/1/3-", ".1234567890" },
		{ "mail", "1", "a.", "mail/2026/08/06/1/3-", "" },
		{ "mail", "1", ".bashrc", "mail/2026/08/06/1/3-", "" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *key = s3_object_key(
			cases[i].prefix, cases[i].id, SEED, TIME, 3, cases[i].file_name);
		assert_true(s3_name_is_key(key));
		assert_true(g_str_has_prefix(key, cases[i].start));
		assert_true(g_str_has_suffix(key, cases[i].end));
		assert_int_equal(
			strlen(key), strlen(cases[i].start) + 26 + strlen(cases[i].end));
	}
}

static void object_keys_follow_the_seed_alone(void **state)
{
	(void)state;
	g_autofree char *one = s3_object_key("m", "id", SEED, TIME, 1, "a.txt");
	g_autofree char *again = s3_object_key("m", "id", SEED, TIME, 1, "b.txt");
	assert_string_equal(one, again);
	g_autofree char *number = s3_object_key("m", "id", SEED, TIME, 2, "a.txt");
	g_autofree char *id = s3_object_key("m", "ie", SEED, TIME, 1, "a.txt");
	g_autofree char *seed = s3_object_key(
		"m", "id", (const uint8_t *)"0123456789abcdeF", TIME, 1, "a.txt");
	const char *random = strrchr(one, '-');
	assert_string_not_equal(random, strrchr(number, '-'));
	assert_string_not_equal(random, strrchr(id, '-'));
	assert_string_not_equal(random, strrchr(seed, '-'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispositions_hold_one_safe_name),
		cmocka_unit_test(long_names_keep_their_suffix),
		cmocka_unit_test(types_are_safe),
		cmocka_unit_test(keys_are_plain),
		cmocka_unit_test(object_keys_are_safe),
		cmocka_unit_test(object_keys_follow_the_seed_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
