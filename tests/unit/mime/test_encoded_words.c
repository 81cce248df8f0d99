/* encoded_words: runs of base64 words that GMime would decode to their first one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/encoded_words.h"
#include <string.h>

#define U "=?UTF-8?B?"
#define CASE(in, want)                                                                   \
	{                                                                                \
		in, want                                                                 \
	}

static const struct {
	const char *in, *want;
} cases[] = {
	CASE("", ""),
	CASE("=?", "=?"),
	CASE(U "w7w=?=", U "w7w=?="),
	CASE(U "w7w=?= " U "w7w=?=", U "w7zDvA==?="),
	CASE(U "w7w=?= " U "w7w=?= x", U "w7zDvA==?= x"),
	CASE("a " U "w7w=?=\t " U "w7w=?=" U "w7w=?= b", "a " U "w7zDvMO8?= b"),
	CASE("\"" U "w7w=?= " U "w7w=?=\" <a@b>", "\"" U "w7zDvA==?=\" <a@b>"),
	CASE(U "w7w=?= =?utf-8?b?w7w=?=", U "w7zDvA==?="),
	/* only the last is padded, or they are no neighbours, or not alike */
	CASE(U "w7zDvMO8?= " U "w7w=?=", U "w7zDvMO8?= " U "w7w=?="),
	CASE(U "w7w=?= x " U "w7w=?=", U "w7w=?= x " U "w7w=?="),
	CASE(U "w7w=?= =?ISO-8859-1?B?/A==?=", U "w7w=?= =?ISO-8859-1?B?/A==?="),
	CASE(U "w7w=?= =?UTF-8?Q?=C3=BC?=", U "w7w=?= =?UTF-8?Q?=C3=BC?="),
	/* cut within four letters, and padding that is missing at the end */
	CASE(U "w7z?= " U "DvA==?= " U "w7w?=", U "w7zDvMO8?="),
	/* no words */
	CASE(U "w7w=", U "w7w="),
	CASE(U "w7w=?= " U "w7w=", U "w7w=?= " U "w7w="),
	CASE("=?UTF-8?B =?= " U "w7w=?=", "=?UTF-8?B =?= " U "w7w=?="),
	CASE(U "?= " U "?==?=", U "?= " U "?==?="),
};

static void test_join(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) text = g_string_new(cases[i].in);
		encoded_words_join(text);
		assert_string_equal(text->str, cases[i].want);
		encoded_words_join(text);
		assert_string_equal(text->str, cases[i].want);
	}
}

static void test_many(void **unused)
{
	(void)unused;
	enum { WORDS = 30000 };
	g_autoptr(GString) text = g_string_new(NULL);
	for (size_t i = 0; i < WORDS; i++)
		g_string_append(text, U "w7w=?= ");
	encoded_words_join(text);
	assert_int_equal(text->len, strlen(U "?= ") + 2 * WORDS * 4 / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
