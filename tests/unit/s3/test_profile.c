/* The dialect of the shared credentials and config files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/profile.h"
#include <string.h>

static const struct {
	const char *name, *text, *profile;
	enum s3_profile_section section;
	const char *setting;
	const char *want; /* NULL: not set; "-": no such section */
} cases[] = {
	{ "plain", "[default]\naws_access_key_id = A\n", "default",
		S3_PROFILE_CREDENTIALS, "aws_access_key_id", "A" },
	{ "no blanks, CRLF, no last newline", "[default]\r\na=1\r\nb=2", "default",
		S3_PROFILE_CREDENTIALS, "b", "2" },
	{ "a mark of UTF-8 before it", "\xef\xbb\xbf[default]\r\na=1\r\n", "default",
		S3_PROFILE_CREDENTIALS, "a", "1" },
	{ "upper case names", "[default]\nAWS_Access_Key_ID=A", "default",
		S3_PROFILE_CREDENTIALS, "aws_access_key_id", "A" },
	{ "value with = / +", "[default]\ns = a/b+c==\n", "default",
		S3_PROFILE_CREDENTIALS, "s", "a/b+c==" },
	{ "comments", "# x\n; [no]\n[default] # here\n #y\na = 1 # one\nb = 2;2 ; two\n",
		"default", S3_PROFILE_CREDENTIALS, "b", "2;2" },
	{ "comment after a value", "[default]\na = 1 # one\n", "default",
		S3_PROFILE_CREDENTIALS, "a", "1" },
	{ "only a comment as value", "[default]\na = # one\n", "default",
		S3_PROFILE_CREDENTIALS, "a", "" },
	{ "another profile", "[default]\na=1\n[work]\na=2\n[x]\na=3\n", "work",
		S3_PROFILE_CREDENTIALS, "a", "2" },
	{ "no such profile", "[default]\na=1\n", "work", S3_PROFILE_CREDENTIALS, "a",
		"-" },
	{ "sections add up", "[p]\na=1\n[q]\na=9\n[p]\nb=2\na=3\n", "p",
		S3_PROFILE_CREDENTIALS, "a", "3" },
	{ "blanks in the header", "[  p  ]\na=1\n", "p", S3_PROFILE_CREDENTIALS, "a",
		"1" },
	{ "indented settings", "[p]\n  a = 1\n  b = 2\n", "p", S3_PROFILE_CREDENTIALS,
		"b", "2" },
	{ "nested settings are not the profile's", "[p]\ns3 =\n  a = 9\n\tb = 9\nb = 2\n",
		"p", S3_PROFILE_CREDENTIALS, "a", NULL },
	{ "but their parent's", "[p]\ns3 =\n  a = 9\n\tB = 8\nb = 2\n", "p",
		S3_PROFILE_CREDENTIALS, "s3.b", "8" },
	{ "below a value there are none", "[p]\ns3 = x\n  a = 9\nb = 2\n", "p",
		S3_PROFILE_CREDENTIALS, "s3.a", NULL },
	{ "nothing is nested over a header", "[p]\ns3 =\n[q]\n[p]\n  a = 9\n", "p",
		S3_PROFILE_CREDENTIALS, "a", "9" },
	{ "services",
		"[services x]\ns3 =\n  endpoint_url = http://y\nsts =\n"
		"  endpoint_url = http://z\n",
		"x", S3_PROFILE_SERVICES, "sts.endpoint_url", "http://z" },
	{ "services: not a profile's", "[x]\na=1\n[profile x]\na=2\n", "x",
		S3_PROFILE_SERVICES, "a", "-" },
	{ "after nested ones", "[p]\ns3 =\n  a = 9\nb = 2\n", "p", S3_PROFILE_CREDENTIALS,
		"b", "2" },
	{ "junk lines", "junk\n[p]\njunk\n=1\na=1\n[p\nb=2\n", "p",
		S3_PROFILE_CREDENTIALS, "a", "1" },
	{ "a broken header ends the section", "[p]\na=1\n[q\nb=2\n", "p",
		S3_PROFILE_CREDENTIALS, "b", NULL },
	{ "config: default", "[default]\na=1\n", "default", S3_PROFILE_CONFIG, "a", "1" },
	{ "config: profile", "[profile work]\na=1\n", "work", S3_PROFILE_CONFIG, "a",
		"1" },
	{ "config: quoted", "[profile \"my work\"]\na=1\n", "my work", S3_PROFILE_CONFIG,
		"a", "1" },
	{ "config: wide", "[profile\t work ]\na=1\n", "work", S3_PROFILE_CONFIG, "a",
		"1" },
	{ "config: needs the word", "[work]\na=1\n", "work", S3_PROFILE_CONFIG, "a",
		"-" },
	{ "credentials: not the word", "[profile work]\na=1\n", "work",
		S3_PROFILE_CREDENTIALS, "a", "-" },
	{ "config: other kinds", "[sso-session work]\na=1\n[services work]\na=2\n",
		"work", S3_PROFILE_CONFIG, "a", "-" },
	{ "empty", "", "default", S3_PROFILE_CREDENTIALS, "a", "-" },
};

static void files_are_read_as_the_sdks_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GHashTable) settings = s3_profile_parse(cases[i].text,
			strlen(cases[i].text), cases[i].profile, cases[i].section);
		const char *got =
			settings ? g_hash_table_lookup(settings, cases[i].setting) : "-";
		if (g_strcmp0(got, cases[i].want) != 0)
			fail_msg("%s: got %s", cases[i].name, got ? got : "nothing");
	}
}

static void any_octets_are_taken(void **state)
{
	(void)state;
	static const char text[] = "[p]\na=1\0b\nc=\0\n\xff\xfe=\x80\n\0\0[p\0]\nd=4\n";
	g_autoptr(GHashTable) settings =
		s3_profile_parse(text, sizeof(text) - 1, "p", false);
	assert_non_null(settings);
	assert_string_equal(g_hash_table_lookup(settings, "a"), "1");
	assert_string_equal(g_hash_table_lookup(settings, "c"), "");
}

static void what_has_no_section_is_no_such_file(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool has_form;
	} texts[] = {
		{ "", true },
		{ "\n # a comment\n\r\n", true },
		{ "junk\n[p]\na=1\n", true },
		{ "\xef\xbb\xbf[p]", true },
		{ "<html>\n", false },
		{ "aws_access_key_id=A\naws_secret_access_key=B\n", false },
		{ "s3 =\n [p]\n", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
		assert_int_equal(
			s3_profile_has_form(texts[i].text, strlen(texts[i].text)),
			texts[i].has_form);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_as_the_sdks_do),
		cmocka_unit_test(any_octets_are_taken),
		cmocka_unit_test(what_has_no_section_is_no_such_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
