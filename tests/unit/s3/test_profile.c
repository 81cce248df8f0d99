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
	bool config_file;
	const char *setting;
	const char *want; /* NULL: not set; "-": no such section */
} cases[] = {
	{ "plain", "[default]\naws_access_key_id = A\n", "default", false,
		"aws_access_key_id", "A" },
	{ "no blanks, CRLF, no last newline", "[default]\r\na=1\r\nb=2", "default", false,
		"b", "2" },
	{ "upper case names", "[default]\nAWS_Access_Key_ID=A", "default", false,
		"aws_access_key_id", "A" },
	{ "value with = / +", "[default]\ns = a/b+c==\n", "default", false, "s",
		"a/b+c==" },
	{ "comments", "# x\n; [no]\n[default] # here\n #y\na = 1 # one\nb = 2;2 ; two\n",
		"default", false, "b", "2;2" },
	{ "comment after a value", "[default]\na = 1 # one\n", "default", false, "a",
		"1" },
	{ "only a comment as value", "[default]\na = # one\n", "default", false, "a",
		"" },
	{ "another profile", "[default]\na=1\n[work]\na=2\n[x]\na=3\n", "work", false,
		"a", "2" },
	{ "no such profile", "[default]\na=1\n", "work", false, "a", "-" },
	{ "sections add up", "[p]\na=1\n[q]\na=9\n[p]\nb=2\na=3\n", "p", false, "a",
		"3" },
	{ "blanks in the header", "[  p  ]\na=1\n", "p", false, "a", "1" },
	{ "indented settings", "[p]\n  a = 1\n  b = 2\n", "p", false, "b", "2" },
	{ "nested settings are skipped", "[p]\ns3 =\n  a = 9\n\tb = 9\nb = 2\n", "p",
		false, "a", NULL },
	{ "after nested ones", "[p]\ns3 =\n  a = 9\nb = 2\n", "p", false, "b", "2" },
	{ "junk lines", "junk\n[p]\njunk\n=1\na=1\n[p\nb=2\n", "p", false, "a", "1" },
	{ "a broken header ends the section", "[p]\na=1\n[q\nb=2\n", "p", false, "b",
		NULL },
	{ "config: default", "[default]\na=1\n", "default", true, "a", "1" },
	{ "config: profile", "[profile work]\na=1\n", "work", true, "a", "1" },
	{ "config: quoted", "[profile \"my work\"]\na=1\n", "my work", true, "a", "1" },
	{ "config: wide", "[profile\t work ]\na=1\n", "work", true, "a", "1" },
	{ "config: needs the word", "[work]\na=1\n", "work", true, "a", "-" },
	{ "credentials: not the word", "[profile work]\na=1\n", "work", false, "a", "-" },
	{ "config: other kinds", "[sso-session work]\na=1\n[services work]\na=2\n",
		"work", true, "a", "-" },
	{ "empty", "", "default", false, "a", "-" },
};

static void files_are_read_as_the_sdks_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GHashTable) settings = s3_profile_parse(cases[i].text,
			strlen(cases[i].text), cases[i].profile, cases[i].config_file);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_as_the_sdks_do),
		cmocka_unit_test(any_octets_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
