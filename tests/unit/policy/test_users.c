/* The users file: loading, passwords, and the commands that change it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/policy/users.h"
#include "gateway/policy/users_file.h"
#include <crypt.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

struct place {
	char *directory;
	char *file;
};

static int make_place(void **state)
{
	struct place *place = g_new0(struct place, 1);
	place->directory = g_dir_make_tmp("stowage-users-XXXXXX", NULL);
	place->file = g_build_filename(place->directory, "users", NULL);
	*state = place;
	return place->directory ? 0 : -1;
}

static int free_place(void **state)
{
	struct place *place = *state;
	g_unlink(place->file);
	/* fails, and the next test with it, if anything was left */
	g_rmdir(place->directory);
	bool gone = g_access(place->directory, F_OK) != 0;
	g_free(place->file);
	g_free(place->directory);
	g_free(place);
	return gone ? 0 : -1;
}

static char *hash_with(const char *prefix, unsigned long count, const char *password)
{
	struct crypt_data data = { 0 };
	char *setting = crypt_gensalt_ra(prefix, count, NULL, 0);
	assert_non_null(setting);
	char *hash = g_strdup(crypt_r(password, setting, &data));
	free(setting);
	return hash;
}

static void put(const struct place *place, const char *text)
{
	assert_true(g_file_set_contents(place->file, text, -1, NULL));
}

/* --- loading --- */

static void each_good_method_is_accepted(void **state)
{
	static const struct {
		const char *prefix;
		unsigned long count;
		const char *name;
	} methods[] = {
		{ "$y$", 1, "yescrypt" },
		{ "$2b$", 4, "bcrypt" },
		{ "$2y$", 4, "bcrypt" },
		{ "$2a$", 4, "bcrypt" },
		{ "$6$", 1000, "SHA-512" },
		{ "$6$", 0, "SHA-512" },
		{ "$5$", 1000, "SHA-256" },
		{ "$7$", 6, "scrypt" },
	};
	const struct place *place = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
		g_autofree char *hash =
			hash_with(methods[i].prefix, methods[i].count, "s3cret ü");
		g_autofree char *text =
			g_strdup_printf("# who may\n\n  \nal ice@x:%s\r\n", hash);
		g_autoptr(GError) error = NULL;
		put(place, text);
		struct users *users = users_load(place->file, &error);
		if (!users)
			fail_msg("%s: %s", hash, error->message);
		assert_string_equal(users_hash_method(hash), methods[i].name);
		assert_true(users_verify(users, "al ice@x", "s3cret ü"));
		assert_false(users_verify(users, "al ice@x", "s3cret"));
		assert_false(users_verify(users, "al ice@x", ""));
		assert_false(users_verify(users, "bob", "s3cret ü"));
		assert_false(users_verify(users, "", "s3cret ü"));
		users_unref(&users);
	}
}

static void check_refused(const struct place *place, const char *text, const char *why)
{
	g_autoptr(GError) error = NULL;
	put(place, text);
	struct users *users = users_load(place->file, &error);
	assert_null(users);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	if (!strstr(error->message, why) ||
		!g_str_has_prefix(error->message, place->file))
		fail_msg("\"%s\" does not say \"%s\"", error->message, why);
	/* A hash is a secret. */
	assert_null(strstr(error->message, "$"));
}

static void mistakes_are_named_with_their_line(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "# x\nalice\n", ":2: a line is NAME:HASH" },
		{ "alice:secret\n", ":1: the hash is of no method" },
		{ "alice:\n", ":1: the hash is of no method" },
		{ "\n\nalice:$1$salt$qJH7.N4xYta3aEG/dfqo/0\n",
			":3: the hash is of no method" },
		{ "alice:ab1AxKuHwTnpM\n", ":1: the hash is of no method" },
		{ "alice:$y$j9T$abc\n", ":1: the hash is damaged" },
		{ "alice:$6$\n", ":1: the hash is damaged" },
		{ "alice:$2b$12$short\n", ":1: the hash is damaged" },
		{ ":x\n", ":1: the name is empty" },
		{ "al\tice:x\n", ":1: the name has a character" },
		{ " alice:x\n", ":1: a name cannot begin or end" },
		{ "al\xff:x\n", ":1: the name is not UTF-8" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check_refused(*state, cases[i].text, cases[i].why);
	g_autofree char *hash = hash_with("$5$", 1000, "x");
	g_autofree char *twice =
		g_strdup_printf("alice:%s\nbob:%s\nalice:%s\n", hash, hash, hash);
	check_refused(*state, twice, ":3: the user \"alice\" is there already");
	g_autofree char *name = g_strnfill(256, 'a');
	g_autofree char *longer = g_strdup_printf("%s:%s\n", name, hash);
	check_refused(*state, longer, ":1: the name is longer");
	g_autofree char *cut =
		g_strdup_printf("alice:%.*s\n", (int)strlen(hash) - 1, hash);
	check_refused(*state, cut, ":1: the hash is damaged");
}

static void costs_are_bounded(void **state)
{
	static const char *const too_dear[] = {
		("alice:$6$rounds=999999999$saltsalt$"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "a"
		 "aaaaaaaaaaaaaa"),
		"alice:$2b$31$abcdefghijklmnopqrstuuaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"alice:$y$jNT$saltsaltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		("alice:$7$TU..../....saltsalt$"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	};
	for (size_t i = 0; i < G_N_ELEMENTS(too_dear); i++)
		check_refused(*state, too_dear[i], ":1: the hash costs too much");
}

static void what_is_no_users_file_is_refused(void **state)
{
	const struct place *place = *state;
	g_autoptr(GError) error = NULL;
	assert_null(users_load(place->directory, &error));
	assert_non_null(strstr(error->message, "not a regular file"));
	g_clear_error(&error);
	assert_null(users_load(place->file, &error));
	assert_non_null(strstr(error->message, place->file));
	g_clear_error(&error);
	assert_true(g_file_set_contents(place->file, "a\0b:c\n", 6, NULL));
	assert_null(users_load(place->file, &error));
	assert_non_null(strstr(error->message, ":1: has a NUL"));
	g_clear_error(&error);
	assert_int_equal(truncate(place->file, USERS_FILE_BYTES_MAX + 1), 0);
	assert_null(users_load(place->file, &error));
	assert_non_null(strstr(error->message, "larger than 16 MiB"));
}

static void without_a_file_nobody_is_a_user(void **state)
{
	(void)state;
	struct users *users = users_load(NULL, NULL);
	struct users *same = users_ref(users);
	assert_false(users_verify(users, "alice", "x"));
	users_unref(&users);
	assert_null(users);
	assert_false(users_verify(same, "", ""));
	users_unref(&same);
	users_unref(&same);
}

static int64_t verify_cpu_us(const struct users *users, const char *name)
{
	struct timespec before, after;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_false(users_verify(users, name, "wrong"));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	return (after.tv_sec - before.tv_sec) * 1000000 +
	       (after.tv_nsec - before.tv_nsec) / 1000;
}

static void an_unknown_name_costs_what_a_known_one_does(void **state)
{
	const struct place *place = *state;
	g_autofree char *dear = hash_with("$6$", 50000, "x");
	g_autofree char *cheap = hash_with("$5$", 1000, "x");
	/* Most are dear ones. */
	g_autofree char *text =
		g_strdup_printf("a:%s\nb:%s\nc:%s\nd:%s\ne:*\n", cheap, dear, dear, dear);
	put(place, text);
	struct users *users = users_load(place->file, NULL);
	int64_t known_us = verify_cpu_us(users, "c");
	int64_t unknown_us = verify_cpu_us(users, "nobody");
	int64_t without_us = verify_cpu_us(users, "e");
	users_unref(&users);
	assert_true(known_us > 1000);
	assert_in_range(unknown_us, known_us / 3, known_us * 3);
	assert_in_range(without_us, known_us / 3, known_us * 3);
}

/* --- commands --- */

/* Runs stowage user with input on standard input and nothing shown. */
static int run(const char *input, const char *verb, const char *file, const char *name)
{
	g_auto(GStrv) words = g_strsplit(verb, " ", -1);
	guint n_words = g_strv_length(words);
	char *argv[] = { words[0], words[1], NULL, NULL, NULL };
	argv[n_words] = (char *)file;
	argv[n_words + 1] = (char *)name;
	FILE *in = tmpfile(), *out = tmpfile();
	fputs(input, in);
	rewind(in);
	fflush(stdout);
	int before[] = { dup(STDIN_FILENO), dup(STDOUT_FILENO), dup(STDERR_FILENO) };
	assert_int_equal(dup2(fileno(in), STDIN_FILENO), STDIN_FILENO);
	assert_int_equal(dup2(fileno(out), STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(dup2(fileno(out), STDERR_FILENO), STDERR_FILENO);
	clearerr(stdin);
	int arguments = file ? (name ? 2 : 1) : 0;
	int code = users_command((int)n_words + arguments, argv);
	fflush(stdin);
	for (int fd = 0; fd < 3; fd++) {
		dup2(before[fd], fd);
		close(before[fd]);
	}
	fclose(in);
	fclose(out);
	return code;
}

static char *content(const struct place *place)
{
	char *text = NULL;
	assert_true(g_file_get_contents(place->file, &text, NULL, NULL));
	return text;
}

static bool is_right(const struct place *place, const char *name, const char *password)
{
	g_autofree char *line = g_strconcat(password, "\n", NULL);
	int code = run(line, "verify", place->file, name);
	assert_true(code == EX_OK || code == EX_NOPERM || code == EX_NOUSER);
	return code == EX_OK;
}

static void users_are_added_changed_and_removed(void **state)
{
	const struct place *place = *state;
	struct stat st;
	assert_int_equal(run("first\n", "add", place->file, "alice"), EX_OK);
	assert_int_equal(stat(place->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(is_right(place, "alice", "first"));
	assert_false(is_right(place, "alice", "second"));
	assert_false(is_right(place, "bob", "first"));

	g_autofree char *alone = content(place);
	g_autofree char *commented = g_strconcat("# ours\n", alone, "\n# end", NULL);
	put(place, commented);
	g_chmod(place->file, 0640);
	assert_int_equal(run("b b\r\n", "add", place->file, "bob"), EX_OK);
	assert_int_equal(run("second", "add", place->file, "alice"), EX_OK);
	assert_int_equal(stat(place->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(is_right(place, "alice", "second"));
	assert_false(is_right(place, "alice", "first"));
	assert_true(is_right(place, "bob", "b b"));
	g_autofree char *both = content(place);
	assert_true(g_str_has_prefix(both, "# ours\nalice:$y$"));
	assert_non_null(strstr(both, "\n\n# end\nbob:$y$"));

	assert_int_equal(run("", "remove", place->file, "alice"), EX_OK);
	g_autofree char *after = content(place);
	assert_true(g_str_has_prefix(after, "# ours\n\n# end\nbob:"));
	assert_int_equal(run("", "remove", place->file, "alice"), EX_NOUSER);
	assert_int_equal(run("", "list", place->file, NULL), EX_OK);
}

static void who_has_no_password_cannot_give_one(void **state)
{
	const struct place *place = *state;
	assert_int_equal(run("", "add --no-password", place->file, "device"), EX_OK);
	assert_int_equal(run("x\n", "add", place->file, "alice"), EX_OK);
	g_autofree char *text = content(place);
	assert_true(g_str_has_prefix(text, "device:*\nalice:$y$"));
	assert_int_equal(run("x\n", "verify", place->file, "device"), EX_NOPERM);
	assert_int_equal(run("*\n", "verify", place->file, "device"), EX_NOPERM);
	assert_int_equal(run("x\n", "verify", place->file, "nobody"), EX_NOUSER);
	assert_int_equal(run("x\n", "verify", place->file, "alice"), EX_OK);
	assert_int_equal(run("y\n", "verify", place->file, "alice"), EX_NOPERM);

	assert_int_equal(run("new\n", "add", place->file, "device"), EX_OK);
	assert_true(is_right(place, "device", "new"));
	assert_int_equal(run("", "add --no-password", place->file, "device"), EX_OK);
	assert_false(is_right(place, "device", "new"));
	assert_int_equal(run("", "add --frobnicate", place->file, "device"), EX_USAGE);
}

static void names_are_known_without_a_password(void **state)
{
	const struct place *place = *state;
	g_autofree char *hash = hash_with("$5$", 1000, "x");
	g_autofree char *text = g_strdup_printf("a:*\nb:!\nc:%s\n", hash);
	put(place, text);
	struct users *users = users_load(place->file, NULL);
	assert_non_null(users);
	for (const char *name = "abc"; *name; name++) {
		const char one[] = { *name, '\0' };
		assert_true(users_has(users, one));
	}
	assert_false(users_has(users, "d"));
	assert_false(users_verify(users, "a", "*"));
	assert_false(users_verify(users, "b", "x"));
	assert_true(users_verify(users, "c", "x"));
	assert_string_equal(users_hash_method("*"), "no password");
	users_unref(&users);
	check_refused(place, "a:**\n", ":1: the hash is of no method");
	/* Nobody is known by a password: nobody is let in by one. */
	put(place, "a:*\n");
	users = users_load(place->file, NULL);
	assert_false(users_verify(users, "a", ""));
	users_unref(&users);
}

static void misuse_changes_nothing(void **state)
{
	const struct place *place = *state;
	g_autofree char *too_long = g_strnfill(512, 'x');
	assert_int_equal(run("", "add", NULL, NULL), EX_USAGE);
	assert_int_equal(run("", "add", place->file, NULL), EX_USAGE);
	assert_int_equal(run("", "list", place->file, "x"), EX_USAGE);
	assert_int_equal(run("", "frobnicate", place->file, "x"), EX_USAGE);
	assert_int_equal(run("x\n", "add", place->file, "a:b"), EX_USAGE);
	assert_int_equal(run("x\n", "add", place->file, ""), EX_USAGE);
	assert_int_equal(run("", "add", place->file, "alice"), EX_DATAERR);
	assert_int_equal(run("\n", "add", place->file, "alice"), EX_DATAERR);
	assert_int_equal(run(too_long, "add", place->file, "alice"), EX_DATAERR);
	assert_int_equal(run("", "remove", place->file, "alice"), EX_CONFIG);
	assert_int_not_equal(g_access(place->file, F_OK), 0);

	put(place, "broken line\n");
	assert_int_equal(run("x\n", "add", place->file, "alice"), EX_CONFIG);
	g_autofree char *text = content(place);
	assert_string_equal(text, "broken line\n");
	too_long[511] = '\0';
	put(place, "");
	assert_int_equal(run(too_long, "add", place->file, "alice"), EX_OK);
	assert_true(is_right(place, "alice", too_long));
}

struct rival {
	const char *file;
	unsigned number;
};

static void *add_as_rival(void *context)
{
	const struct rival *rival = context;
	g_autofree char *name = g_strdup_printf("user%u", rival->number);
	char *argv[] = { (char *)"remove", (char *)rival->file, name, NULL };
	return GINT_TO_POINTER(users_command(3, argv));
}

static void edits_at_the_same_time_lose_nothing(void **state)
{
	const struct place *place = *state;
	enum { N = 8 };
	struct rival rivals[N];
	GThread *threads[N];
	g_autofree char *hash = hash_with("$5$", 1000, "x");
	g_autoptr(GString) text = g_string_new("# kept\n");
	for (unsigned i = 0; i < N; i++)
		g_string_append_printf(text, "user%u:%s\n", i, hash);
	put(place, text->str);
	for (unsigned i = 0; i < N; i++) {
		rivals[i] = (struct rival){ place->file, i };
		threads[i] = g_thread_new("rival", add_as_rival, &rivals[i]);
	}
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(GPOINTER_TO_INT(g_thread_join(threads[i])), EX_OK);
	g_autofree char *after = content(place);
	assert_string_equal(after, "# kept\n");
}

int main(void)
{
#define USERS_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)
	const struct CMUnitTest tests[] = {
		USERS_TEST(each_good_method_is_accepted),
		USERS_TEST(mistakes_are_named_with_their_line),
		USERS_TEST(costs_are_bounded),
		USERS_TEST(what_is_no_users_file_is_refused),
		USERS_TEST(without_a_file_nobody_is_a_user),
		USERS_TEST(an_unknown_name_costs_what_a_known_one_does),
		USERS_TEST(users_are_added_changed_and_removed),
		USERS_TEST(who_has_no_password_cannot_give_one),
		USERS_TEST(names_are_known_without_a_password),
		USERS_TEST(misuse_changes_nothing),
		USERS_TEST(edits_at_the_same_time_lose_nothing),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
