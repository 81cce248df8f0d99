/* The directory store's limits, and that what it holds stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/directory.h"
#include "s3/directory_room.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool put(struct s3_directory *store, const char *key, const char *content,
	size_t bytes, GError **error)
{
	struct s3_object object = { .key = key,
		.octets = content,
		.fd = -1,
		.size = bytes,
		.media_type = "text/plain",
		.file_name = "a.txt",
		.message_id = "4x5" };
	SHA256((const uint8_t *)content, bytes, object.sha256);
	return s3_directory_put(store, &object, error);
}

static bool holds(const char *key, const char *content)
{
	g_autofree char *path = g_build_filename(tree_directory, "objects", key, NULL);
	g_autofree char *text = NULL;
	return g_file_get_contents(path, &text, NULL, NULL) && strcmp(text, content) == 0;
}

static size_t count_incoming(void)
{
	g_autofree char *path = g_build_filename(tree_directory, "incoming", NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	size_t n = 0;
	while (g_dir_read_name(dir))
		n++;
	return n;
}

static void assert_needs(GError *error, const char *subject, const char *text)
{
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_MEND));
	assert_string_equal(s3_error_subject(error), subject);
	if (!strstr(error->message, text))
		print_error("got: %s\n", error->message);
	assert_non_null(strstr(error->message, text));
}

static void nothing_is_overwritten(void **state)
{
	(void)state;
	struct s3_directory *store = s3_directory_open(tree_directory, 0, 0, NULL);
	g_autoptr(GError) error = NULL;
	assert_true(put(store, "a/b", "first", 5, NULL));
	assert_true(put(store, "a/b", "first", 5, NULL));
	assert_false(put(store, "a/b", "other", 5, &error));
	assert_needs(error, "object", "a/b is there with other content");
	assert_true(holds("a/b", "first"));
	g_clear_error(&error);
	assert_false(put(store, "a/b", "longer than that", 16, &error));
	assert_needs(error, "object", "a/b is there with other content");
	assert_int_equal(count_incoming(), 0);
	s3_directory_close(&store);
	assert_null(store);
}

struct race {
	struct s3_directory *store;
	const char *content;
	bool won;
};

static void *put_racing(void *context)
{
	struct race *race = context;
	race->won = put(race->store, "r/1", race->content, 1, NULL);
	return NULL;
}

static void of_two_writers_one_wins(void **state)
{
	(void)state;
	struct s3_directory *store = s3_directory_open(tree_directory, 0, 0, NULL);
	for (size_t round = 0; round < 20; round++) {
		struct race races[2] = { { store, "x", false }, { store, "y", false } };
		GThread *threads[2];
		for (size_t i = 0; i < 2; i++)
			threads[i] = g_thread_new("put", put_racing, &races[i]);
		for (size_t i = 0; i < 2; i++)
			g_thread_join(threads[i]);
		assert_int_equal(races[0].won + races[1].won, 1);
		assert_true(holds("r/1", races[0].won ? "x" : "y"));
		assert_true(s3_directory_delete(tree_directory, "r/1", NULL));
	}
	assert_int_equal(count_incoming(), 0);
	s3_directory_close(&store);
}

static void a_full_store_takes_no_more(void **state)
{
	(void)state;
	struct s3_directory *store = s3_directory_open(tree_directory, 10, 0, NULL);
	g_autoptr(GError) error = NULL;
	assert_true(put(store, "a", "1234567", 7, NULL));
	assert_false(put(store, "b", "1234", 4, &error));
	assert_needs(error, "quota", "s3.directory_max_size is 10 bytes");
	assert_false(holds("b", "1234"));
	assert_true(put(store, "c", "123", 3, NULL));
	/* What is there takes no room again. */
	assert_true(put(store, "a", "1234567", 7, NULL));
	g_clear_error(&error);
	assert_false(put(store, "d", "1", 1, &error));
	assert_needs(error, "quota", "holds 10 bytes");
	s3_directory_close(&store);
	/* What an earlier process stored counts, what was deleted does not. */
	assert_true(s3_directory_delete(tree_directory, "c", NULL));
	store = s3_directory_open(tree_directory, 10, 0, NULL);
	g_clear_error(&error);
	assert_false(put(store, "d", "1234", 4, &error));
	assert_needs(error, "quota", "holds 7 bytes");
	assert_true(put(store, "d", "123", 3, NULL));
	s3_directory_close(&store);
}

static void room_is_given_back(void **state)
{
	(void)state;
	struct directory_room *room = directory_room_new(tree_directory, 10, 0);
	assert_true(directory_room_take(room, 10, NULL));
	assert_false(directory_room_take(room, 1, NULL));
	directory_room_give(room, 4);
	assert_true(directory_room_take(room, 4, NULL));
	assert_false(directory_room_take(room, UINT64_MAX, NULL));
	directory_room_free(&room);
	assert_null(room);
}

static void a_full_disk_takes_no_more(void **state)
{
	(void)state;
	struct statvfs disk;
	assert_int_equal(statvfs(tree_directory, &disk), 0);
	uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	g_autoptr(GError) error = NULL;
	struct s3_directory *store =
		s3_directory_open(tree_directory, 0, free_bytes * 2 + 1, NULL);
	assert_false(put(store, "a", "1", 1, &error));
	assert_needs(error, "quota", "s3.directory_min_free");
	s3_directory_close(&store);
	store = s3_directory_open(tree_directory, 0, free_bytes / 2, NULL);
	assert_true(put(store, "a", "1", 1, NULL));
	s3_directory_close(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_overwritten),
		TEST(of_two_writers_one_wins),
		TEST(a_full_store_takes_no_more),
		TEST(room_is_given_back),
		TEST(a_full_disk_takes_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
