/* Recipient maps that lead a message back to where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/conf/loading.h"
#include <string.h>

#define MAP(entries) LISTENER("recipients: { " entries " }")
#define MAPS(first, second)                                                              \
	"listeners: [ { name: a, address: \"0.0.0.0:25\", recipients: { " first          \
	" } },\n"                                                                        \
	" { name: b, address: \"0.0.0.0:26\", recipients: { " second " } } ]\n" TLS

static void test_loops(void **state)
{
	static const struct {
		const char *text;
		const char *patterns; /* of the entries that loop, in order */
	} cases[] = {
		{ MAP("\"@a.example\": x@b.example"), "" },
		{ MAP("\"@a.example\": \"%{local}@b.example\""), "" },
		{ LISTENER("recipients: [ \"@a.example\" ]"), "@a.example" },
		{ LISTENER("recipients: [ x@a.example, \"@A.Example\" ]"),
			"x@a.example @a.example" },
		{ MAP("\"@a.example\": \"%{address}\""), "@a.example" },
		{ MAP("\"@a.example\": \"%{local}+x@%{domain}\""), "@a.example" },
		{ MAP("\"@a.example\": x@a.example"), "@a.example" },
		{ MAP("\"@a.example\": x@a.example, x@a.example: y@b.example"), "" },
		{ MAP("\"@a.example\": x@a.example, \"\\\"x\\\"@a.example\": "
		      "X@A.EXAMPLE"),
			"@a.example x@a.example" },
		{ MAP("x@a.example: y@a.example"), "" },
		{ MAP("x@a.example: y@a.example, y@a.example: x@a.example"),
			"x@a.example y@a.example" },
		{ MAP("x@a.example: y@a.example, y@a.example: z@b.example"), "" },
		{ MAP("\"@a.example\": \"%{local}@b.example\", \"@b.example\": "
		      "o@c.example"),
			"" },
		{ MAP("\"@a.example\": \"%{local}@b.example\", \"@b.example\": "
		      "\"%{local}@a.example\""),
			"@a.example @b.example" },
		{ MAP("\"@a.example\": \"%{local}@b.example\", x@b.example: x@a.example"),
			"x@b.example" },
		{ MAP("\"*\": x@b.example"), "" },
		{ MAP("\"*\": \"%{local}@a.example\", \"@a.example\": x@a.example"),
			"* @a.example" },
		{ MAP("\"*\": \"%{local}@a.example\", \"@a.example\": x@b.example"), "" },
		{ MAPS("\"@a.example\": x@b.example", "\"@b.example\": x@c.example"),
			"" },
		{ MAPS("\"@a.example\": x@b.example", "\"@b.example\": x@a.example"),
			"@a.example @b.example" },
		{ MAPS("\"@a.example\": x@b.example", "\"@a.example\": x@b.example"),
			"" },
		{ MAPS("\"@a.example\": x@b.example, \"@b.example\": y@c.example",
			  "\"@a.example\": x@b.example, \"@b.example\": y@c.example"),
			"" },
		/* It depends on the listener whose map is taken: better not. */
		{ MAPS("\"@a.example\": x@b.example", "\"@a.example\": \"%{address}\""),
			"@a.example" },
		{ LISTENER("recipients: [ \"@a.example\" ]") "relay: { host: localhost, "
							     "tls: none, delivers: [ "
							     "A.example ] }\n",
			"" },
		{ MAP("\"@a.example\": \"%{local}@b.example\", \"@b.example\": "
		      "\"%{local}@a.example\"") "relay: { host: localhost, tls: none, "
						"delivers: [ b.example ] }\n",
			"" },
		{ LISTENER("recipients: [ \"@a.example\" ]") "relay: { maildir: /m }\n",
			"" },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = completed(cases[i].text);
		g_autofree char *problems = NULL, *warnings = NULL;
		conf_unref(load(text, &problems, &warnings));
		g_autoptr(GString) patterns = g_string_new(NULL);
		g_auto(GStrv) lines = g_strsplit(problems, "\n", -1);
		for (size_t j = 0; lines[j] != NULL && *lines[j] != '\0'; j++) {
			assert_non_null(strstr(lines[j], "(a loop)"));
			const char *pattern = strstr(lines[j], "recipients.\"") + 12;
			g_string_append_printf(patterns, "%s%.*s",
				patterns->len > 0 ? " " : "",
				(int)(strstr(pattern, "\": ") - pattern), pattern);
		}
		if (strcmp(patterns->str, cases[i].patterns) != 0)
			fail_msg("for\n%sgot\n%s", text, problems);
	}
}

/* A chain of maps that is too long to be meant, though it ends. */
static void test_long_chain(void **state)
{
	(void)state;
	for (int length = 10; length <= 100; length += 90) {
		g_autoptr(GString) text = g_string_new("listeners: [ { name: a, address: "
						       "\"0.0.0.0:25\", recipients: {\n");
		for (int i = 0; i < length; i++)
			g_string_append_printf(text,
				"\"@d%d.example\": \"%%{local}@d%d.example\",\n", i,
				i + 1);
		g_string_append(text, "} } ]\n" TLS);
		g_autofree char *whole = completed(text->str);
		g_autofree char *problems = NULL, *warnings = NULL;
		struct conf *conf = load(whole, &problems, &warnings);
		assert_int_equal(conf != NULL, length == 10);
		conf_unref(conf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_long_chain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
