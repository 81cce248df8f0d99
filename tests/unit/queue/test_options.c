/* What the words behind a verb mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/queue/options.h"
#include <string.h>

#define EVERY ((OPTION_SEND << 1) - 1)

static bool parse(struct options *options, unsigned taken, const char *const *words,
	char **argv, GError **error)
{
	int argc = 0;
	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc]; /* not written to */
	return options_parse(options, taken, argc, argv, error);
}

static void mistakes_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *words[4];
		unsigned taken;
		const char *says;
	} cases[] = {
		{ { "v", "--color" }, EVERY, "unknown option: \"--color\"" },
		{ { "v", "-a" }, EVERY, "unknown option" },
		{ { "v", "--"
			 "state" },
			EVERY, "a value is missing" },
		{ { "v", "--sender" }, EVERY, "a value is missing" },
		{ { "v", "--state", "gone" }, EVERY, "not a state: \"gone\"" },
		{ { "v", "--state=dead,gone" }, EVERY, "not a state: \"gone\"" },
		{ { "v", "--state", "" }, EVERY, "not a state" },
		{ { "v", "--limit", "0" }, EVERY, "not a number" },
		{ { "v", "--limit", "3x" }, EVERY, "not a number" },
		{ { "v", "--limit", "-1" }, EVERY, "not a number" },
		{ { "v", "--limit=99999999999999999999" }, EVERY, "not a number" },
		{ { "v", "--older-than", "soon" }, EVERY, "soon" },
		{ { "v", "--newer-than", "0s" }, EVERY, "0s" },
		{ { "v", "--expiring", "-1h" }, EVERY, "-1h" },
		{ { "v", "--reason", "" }, EVERY, "empty text" },
		{ { "v", "--json=1" }, EVERY, "takes no value" },
		{ { "v", "--yes" }, EVERY & ~OPTION_YES, "not an option of this verb" },
		{ { "v", "--user", "x" }, OPTION_JSON, "not an option of this verb" },
		{ { "v", "--\033[2J" }, EVERY, "unknown option" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char *argv[4];
		struct options options;
		GError *error = NULL;
		if (parse(&options, cases[i].taken, cases[i].words, argv, &error))
			fail_msg("%s %s was taken", cases[i].words[1],
				cases[i].words[2] ? cases[i].words[2] : "");
		if (!strstr(error->message, cases[i].says))
			fail_msg(
				"\"%s\" is not in \"%s\"", cases[i].says, error->message);
		assert_null(strchr(error->message, '\033'));
		g_error_free(error);
		options_clear(&options);
	}
}

static void everything_is_read(void **state)
{
	(void)state;
	static const char *const words[] = { "v", "one", "--state", "dead,held",
		"--sender", "a@b", "--sender=@c", "--recipient", "*", "--reason", "later",
		"--hold", "person", "--listener", "mx", "--user", "bob", "--older-than",
		"1h", "--newer-than=2d", "--limit", "7", "--expiring", "30m",
		"--directory", "d", "--maildir", "m", "--again", "--keep-objects",
		"--all", "--json", "--dry-run", "--yes", "--envelope", "--send",
		"--state=sent", "--", "--two", NULL };
	char *argv[G_N_ELEMENTS(words)];
	struct options options;
	const struct selection *selection = &options.selection;
	assert_true(parse(&options, EVERY, words, argv, NULL));
	assert_int_equal(options.given, EVERY);
	assert_int_equal(selection->states,
		STATES(QUEUE_DEAD) | STATES(QUEUE_HELD) | STATES(QUEUE_SENT));
	assert_int_equal(selection->senders->len, 2);
	assert_string_equal(selection->senders->pdata[1], "@c");
	assert_string_equal(selection->recipients->pdata[0], "*");
	assert_string_equal(selection->reason, "later");
	assert_string_equal(selection->hold, "person");
	assert_string_equal(selection->listener, "mx");
	assert_string_equal(selection->user, "bob");
	assert_int_equal(selection->older_than_ms, 3600 * 1000);
	assert_int_equal(selection->newer_than_ms, 2 * 86400 * 1000);
	assert_int_equal(selection->limit, 7);
	assert_int_equal(options.expiring_s, 1800);
	assert_string_equal(options.directory, "d");
	assert_string_equal(options.maildir, "m");
	assert_true(options.again && options.keep_objects);
	assert_int_equal(options.n_words, 2);
	assert_string_equal(options.words[0], "one");
	assert_string_equal(options.words[1], "--two");
	options_clear(&options);
}

static void nothing_means_everything(void **state)
{
	(void)state;
	static const char *const words[] = { "v", NULL };
	char *argv[2];
	struct options options;
	assert_true(parse(&options, EVERY, words, argv, NULL));
	assert_int_equal(options.given, 0);
	assert_int_equal(options.n_words, 0);
	assert_int_equal(options.selection.states, 0);
	assert_int_equal(options.selection.limit, G_MAXINT64);
	assert_int_equal(options.selection.linked_after_s, -1);
	options_clear(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(nothing_means_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
