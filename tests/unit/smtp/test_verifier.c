/* Passwords of many, and of one with many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/verifier.h"
#include "tests/unit/tree.h"
#include <arpa/inet.h>
#include <crypt.h>
#include <netinet/in.h>

static struct {
	uv_loop_t loop;
	struct verifier *verifier;
	struct users *users;
	char *directory;
	GString *begun, *order; /* whose turn it was; who ended, which threads decide */
	unsigned good;
	const char *unwanted;
} t;

static int start(void **state)
{
	(void)state;
	g_autoptr(GError) error = NULL;
	t.directory = g_dir_make_tmp("stowage-verifier-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(t.directory, "users", NULL);
	g_autofree char *line = g_strdup_printf(
		"device:%s\n", crypt("sesame", "$6$rounds=1000$saltsalt$"));
	assert_true(g_file_set_contents_full(
		path, line, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	t.users = users_load(path, &error);
	assert_null(error);
	uv_loop_init(&t.loop);
	t.verifier = verifier_new(&t.loop);
	t.begun = g_string_new(NULL);
	t.order = g_string_new(NULL);
	t.good = 0;
	t.unwanted = NULL;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	verifier_free(&t.verifier);
	assert_null(t.verifier);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t.loop), 0);
	users_unref(&t.users);
	tree_remove(t.directory);
	g_free(t.directory);
	g_string_free(t.begun, TRUE);
	g_string_free(t.order, TRUE);
	return 0;
}

static bool is_wanted(void *context)
{
	g_string_append(t.begun, context);
	return !t.unwanted || !g_str_equal(context, t.unwanted);
}

static void done(void *context, bool good)
{
	g_string_append(t.order, context);
	t.good += good;
}

static struct verification *try_as(
	bool is_known, const char *client, const char *name, const char *password)
{
	static const struct verifier_callbacks callbacks = { is_wanted, done };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };
	const struct sockaddr *address = (struct sockaddr *)&ipv4;
	if (inet_pton(AF_INET, client, &ipv4.sin_addr) != 1) {
		assert_int_equal(inet_pton(AF_INET6, client, &ipv6.sin6_addr), 1);
		address = (struct sockaddr *)&ipv6;
	}
	const struct login login = { address, is_known, "device", password };
	return verifier_start(
		t.verifier, t.users, &login, &callbacks, (void *)(uintptr_t)name);
}

static struct verification *try(
	const char *client, const char *name, const char *password)
{
	return try_as(false, client, name, password);
}

static void right_and_wrong(void **state)
{
	(void)state;
	assert_non_null(try("192.0.2.1", "a", "sesame"));
	assert_non_null(try("192.0.2.1", "b", "wrong"));
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.order->len, 2);
	assert_int_equal(t.good, 1);
}

/* Who comes last with one waits for two that run already and for one of each other. */
static void addresses_take_turns(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		assert_non_null(try("192.0.2.1", "a", "wrong"));
	for (int i = 0; i < 20; i++) /* one /64 */
		assert_non_null(try(i % 2 ? "2001:db8::1" : "2001:db8::2", "b", "wrong"));
	assert_non_null(try("192.0.2.3", "c", "sesame"));
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.order->len, 41);
	assert_true(strchr(t.begun->str, 'c') - t.begun->str <= 4);
	assert_int_equal(t.good, 1);
}

static void too_many(void **state)
{
	(void)state;
	unsigned taken = 0;
	while (taken < 1000 && try("192.0.2.1", "a", "wrong"))
		taken++;
	assert_true(taken >= 50 && taken <= 100);
	assert_non_null(try("192.0.2.2", "b", "sesame"));
	for (int client = 3; client < 200; client++) {
		g_autofree char *address = g_strdup_printf("192.0.2.%d", client);
		for (int i = 0; i < 10 && try(address, "c", "wrong"); i++)
			taken++;
	}
	assert_true(taken < 300); /* bounded over all */
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.order->len, taken + 1);
	assert_int_equal(t.good, 1);
}

/* However many guess, from wherever. */
static void the_known_come_first(void **state)
{
	(void)state;
	unsigned strangers = 0;
	for (int client = 1; client < 250; client++) {
		g_autofree char *address = g_strdup_printf("192.0.2.%d", client);
		for (int i = 0; i < 10 && try(address, "s", "wrong"); i++)
			strangers++;
	}
	assert_null(try("198.51.100.1", "s", "sesame"));
	assert_non_null(try_as(true, "198.51.100.1", "k", "sesame"));
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.order->len, strangers + 1);
	assert_true(strchr(t.begun->str, 'k') - t.begun->str <= 2);
	assert_int_equal(t.good, 1);
}

static void the_unwanted_are_wrong(void **state)
{
	(void)state;
	t.unwanted = "b";
	assert_non_null(try("192.0.2.1", "a", "sesame"));
	assert_non_null(try("192.0.2.1", "b", "sesame"));
	assert_int_equal(t.order->len, 0);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.order->len, 2);
	assert_int_equal(t.good, 1);
}

static void the_forgotten_are_not_told(void **state)
{
	(void)state;
	struct verification *running = try("192.0.2.1", "a", "sesame");
	struct verification *other = try("192.0.2.1", "b", "sesame");
	struct verification *waiting = try("192.0.2.1", "c", "sesame");
	assert_non_null(other);
	verification_forget(&running);
	verification_forget(&waiting);
	assert_null(waiting);
	verification_forget(&waiting);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_string_equal(t.order->str, "b");
}

/* Some run, some wait: all memory goes with the loop's turns. */
static void freed_in_between(void **state)
{
	(void)state;
	struct verification *all[10];
	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		all[i] = try("192.0.2.1", "a", "sesame");
	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		verification_forget(&all[i]);
	verifier_free(&t.verifier);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_string_equal(t.order->str, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(right_and_wrong, start, stop),
		cmocka_unit_test_setup_teardown(addresses_take_turns, start, stop),
		cmocka_unit_test_setup_teardown(too_many, start, stop),
		cmocka_unit_test_setup_teardown(the_known_come_first, start, stop),
		cmocka_unit_test_setup_teardown(the_unwanted_are_wrong, start, stop),
		cmocka_unit_test_setup_teardown(the_forgotten_are_not_told, start, stop),
		cmocka_unit_test_setup_teardown(freed_in_between, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
