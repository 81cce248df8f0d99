/* sandbox: what it lays out, for whom it is readable, and that it stays on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "gateway/policy/users_file.h"
#include "gateway/sandbox.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *parent;    /* of all that a test makes */
static char *directory; /* the sandbox's, not there yet */

static int set_up(void **state)
{
	(void)state;
	parent = g_dir_make_tmp("sandbox-XXXXXX", NULL);
	directory = g_build_filename(parent, "new", NULL);
	return parent ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	tree_remove(parent);
	g_clear_pointer(&parent, g_free);
	g_clear_pointer(&directory, g_free);
	return 0;
}

static char *prepare(const struct sandbox_addresses *addresses)
{
	g_autoptr(GError) error = NULL;
	char *path = sandbox_prepare(directory, addresses, &error);
	if (!path)
		fail_msg("%s", error->message);
	return path;
}

static char *contents(const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	char *text = NULL;
	if (!g_file_get_contents(path, &text, NULL, NULL))
		fail_msg("%s is not there", path);
	return text;
}

static const struct {
	const char *name;
	mode_t mode;
} made[] = {
	{ "", 0700 },
	{ "stowage.yaml", 0600 },
	{ "users", 0600 },
	{ "tls", 0700 },
	{ "tls/cert.pem", 0600 },
	{ "tls/key.pem", 0600 },
	{ "queue", 0700 },
	{ "store", 0700 },
};

static void nobody_else_reads_it(void **state)
{
	(void)state;
	const struct sandbox_addresses addresses = { NULL, NULL, NULL };
	mode_t before = umask(0);
	g_free(prepare(&addresses));
	umask(before);
	for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
		g_autofree char *file = g_build_filename(directory, made[i].name, NULL);
		struct stat status;
		assert_int_equal(stat(file, &status), 0);
		if ((status.st_mode & 07777) != made[i].mode)
			fail_msg("%s has mode %o", file, status.st_mode & 07777);
	}
}

/* The settings are good ones, with the files that they name. */
static void settings_pass_the_check(void **state)
{
	(void)state;
	const struct sandbox_addresses addresses = { "[::1]:2500", NULL,
		"127.0.0.2:9000" };
	g_autofree char *path = prepare(&addresses);
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problems, NULL);
	if (!conf)
		fail_msg("%s", (char *)problems->pdata[0]);
	assert_int_equal(conf->n_listeners, 1);
	assert_string_equal(conf->listeners[0].address, "[::1]:2500");
	assert_string_equal(conf->downloads.listen, "127.0.0.1:8025");
	assert_string_equal(conf->s3.directory_url, "http://127.0.0.1:8025");
	assert_string_equal(conf->admin_listen, "127.0.0.2:9000");
	assert_true(g_str_has_prefix(conf->relay.maildir, directory));
	conf_unref(conf);
}

static void the_user_can_log_in(void **state)
{
	(void)state;
	const struct sandbox_addresses addresses = { NULL, NULL, NULL };
	g_free(prepare(&addresses));
	g_autofree char *users = g_strchomp(contents("users"));
	assert_true(g_str_has_prefix(users, "sandbox:"));
	const char *hash = users + strlen("sandbox:");
	assert_true(users_hash_verify(hash, "sandbox"));
	assert_false(users_hash_verify(hash, "Sandbox"));
}

/* What is there stays, byte for byte; what is missing comes back. */
static void made_once(void **state)
{
	(void)state;
	const struct sandbox_addresses first = { "127.0.0.1:2600", NULL, NULL };
	const struct sandbox_addresses second = { "127.0.0.1:2700", NULL, NULL };
	static const char *const files[] = { "stowage.yaml", "users", "tls/cert.pem",
		"tls/key.pem" };
	g_autofree char *path = prepare(&first);
	char *before[G_N_ELEMENTS(files)];
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		before[i] = contents(files[i]);
	g_autofree char *again = prepare(&second);
	assert_string_equal(path, again);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *after = contents(files[i]);
		assert_string_equal(before[i], after);
		g_free(before[i]);
	}
	assert_int_equal(g_remove(path), 0);
	g_free(prepare(&second));
	g_autofree char *settings = contents("stowage.yaml");
	assert_non_null(strstr(settings, "127.0.0.1:2700"));
}

static const struct {
	struct sandbox_addresses addresses;
	const char *why;
} refused[] = {
	{ { "0.0.0.0:2525", NULL, NULL }, "loopback" },
	{ { NULL, "[::]:8025", NULL }, "loopback" },
	{ { NULL, NULL, "192.0.2.1:9025" }, "loopback" },
	{ { "localhost:2525", NULL, NULL }, "localhost" },
	{ { "127.0.0.1", NULL, NULL }, "127.0.0.1" },
};

static void loopback_only(void **state)
{
	(void)state;
	g_autofree char *settings = g_build_filename(directory, "stowage.yaml", NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autoptr(GError) error = NULL;
		assert_null(sandbox_prepare(directory, &refused[i].addresses, &error));
		assert_non_null(error);
		if (!strstr(error->message, refused[i].why))
			fail_msg("case %zu: %s", i, error->message);
		assert_false(g_file_test(settings, G_FILE_TEST_EXISTS));
	}
}

static void names_that_settings_cannot_hold(void **state)
{
	(void)state;
	static const char *const names[] = { "a\"b", "a\\b", "a\nb" };
	const struct sandbox_addresses addresses = { NULL, NULL, NULL };
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *odd = g_build_filename(parent, names[i], NULL);
		assert_null(sandbox_prepare(odd, &addresses, &error));
		assert_non_null(error);
		assert_false(g_file_test(odd, G_FILE_TEST_EXISTS));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_else_reads_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			settings_pass_the_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_user_can_log_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(made_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(loopback_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			names_that_settings_cannot_hold, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
