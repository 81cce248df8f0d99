/* The store: its settings, its links, and the directory that stands in for a bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/s3.h"
#include "tests/unit/tree.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#define NOW 1785974400 /* 2026-08-06T00:00:00Z */

static struct s3_settings bucket_settings(void)
{
	return (struct s3_settings){ .bucket = "acme",
		.region = "eu-west-1",
		.access_key_id = "AKID",
		.secret_access_key = "secret" };
}

static struct s3_settings directory_settings(void)
{
	return (struct s3_settings){ .directory = tree_directory,
		.directory_url = "http://127.0.0.1:8025" };
}

/* ---- settings ---- */

static void wrong_settings_are_said(void **state)
{
	(void)state;
	const struct {
		const char *says;
		struct s3_settings settings;
	} cases[] = {
		{ "bucket is missing", { .region = "x" } },
		{ "region is missing", { .bucket = "acme" } },
		{ "prefix \"/mail\" must be of",
			{ .bucket = "acme", .region = "x", .prefix = "/mail" } },
		{ "prefix \"m\xc3\xa4il\" must be of",
			{ .bucket = "acme", .region = "x", .prefix = "m\xc3\xa4il" } },
		{ "ca_file /nonexistent: No such file",
			{ .bucket = "acme", .region = "x", .ca_file = "/nonexistent" } },
		{ "connections must be 1 to 256",
			{ .bucket = "acme", .region = "x", .connections = 257 } },
		{ "attempts must be 1 to 10",
			{ .bucket = "acme", .region = "x", .attempts = 11 } },
		{ "endpoint \"x\"",
			{ .bucket = "acme", .region = "x", .endpoint = "x" } },
		{ "cannot read /nonexistent",
			{ .bucket = "acme",
				.region = "x",
				.access_key_id_file = "/nonexistent" } },
		{ "needs the URL", { .directory = "/tmp" } },
		{ "cannot make /proc/nothing/objects",
			{ .directory = "/proc/nothing",
				.directory_url = "http://127.0.0.1:1" } },
	};
	g_unsetenv("AWS_REGION");
	g_unsetenv("AWS_DEFAULT_REGION");
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		assert_null(s3_store_new(&cases[i].settings, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		if (!strstr(error->message, cases[i].says))
			fail_msg("case %zu: %s", i, error->message);
	}
}

static void region_may_come_from_the_environment(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	settings.region = NULL;
	g_setenv("AWS_DEFAULT_REGION", "eu-central-1", TRUE);
	struct s3_store *store = s3_store_new(&settings, NULL);
	assert_string_equal(s3_store_region(store), "eu-central-1");
	s3_store_free(&store);
	g_setenv("AWS_REGION", "eu-north-1", TRUE);
	store = s3_store_new(&settings, NULL);
	assert_string_equal(s3_store_region(store), "eu-north-1");
	assert_string_equal(s3_store_bucket(store), "acme");
	s3_store_free(&store);
	assert_null(store);
	s3_store_free(&store);
	g_unsetenv("AWS_REGION");
	g_unsetenv("AWS_DEFAULT_REGION");
}

/* ---- links ---- */

static void links_say_name_type_and_true_end(void **state)
{
	(void)state;
	static const struct {
		unsigned asked_s;
		const char *token;
		int64_t want_s;
	} cases[] = { { 60, NULL, 60 }, { 604800, NULL, 604800 },
		{ 604801, NULL, 604800 }, { UINT32_MAX, NULL, 604800 },
		{ 604800, "token", 129600 }, { 60, "token", 60 } };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_settings settings = bucket_settings();
		settings.session_token = cases[i].token;
		struct s3_store *store = s3_store_new(&settings, NULL);
		int64_t expires_at_s = 0;
		g_autofree char *url = s3_store_presign(store, "mail/a.pdf",
			"\xc3\xa4 b.pdf", "application/pdf", NOW, cases[i].asked_s,
			&expires_at_s, NULL);
		s3_store_free(&store);
		assert_int_equal(expires_at_s, NOW + cases[i].want_s);
		g_autofree char *expires =
			g_strdup_printf("&X-Amz-Expires=%d&", (int)cases[i].want_s);
		assert_non_null(strstr(url, expires));
		assert_true(
			g_str_has_prefix(url, "https://acme.s3.eu-west-1.amazonaws.com/"
					      "mail/a.pdf?X-Amz-Algorithm="));
		assert_non_null(strstr(url, "&X-Amz-Date=20260806T000000Z&"));
		assert_non_null(strstr(url,
			"&response-content-disposition=attachment%3B%20filename%3D%22_%"
			"20b.pdf%22%3B%20filename%2A%3DUTF-8%27%27%25C3%25A4%2520b.pdf&"
			"response-content-type=application%2Fpdf&X-Amz-Signature="));
		assert_null(strstr(url, "secret"));
	}
}

static void links_end_with_their_credentials(void **state)
{
	(void)state;
	struct s3_settings settings = { .bucket = "acme", .region = "eu-west-1" };
	g_setenv("AWS_ACCESS_KEY_ID", "E", TRUE);
	g_setenv("AWS_SECRET_ACCESS_KEY", "ES", TRUE);
	g_setenv("AWS_SESSION_TOKEN", "ET", TRUE);
	g_setenv("AWS_CREDENTIAL_EXPIRATION", "2100-01-01T00:00:00Z", TRUE);
	struct s3_store *store = s3_store_new(&settings, NULL);
	int64_t end_s = INT64_C(4102444800), expires_at_s = 0;
	g_autofree char *url = s3_store_presign(
		store, "k", "f", "text/html", end_s - 100, 3600, &expires_at_s, NULL);
	assert_int_equal(expires_at_s, end_s);
	assert_non_null(strstr(url, "&X-Amz-Expires=100&"));
	assert_non_null(
		strstr(url, "&response-content-type=application%2Foctet-stream&"));
	g_autoptr(GError) error = NULL;
	assert_null(s3_store_presign(
		store, "k", "f", "a/b", end_s, 60, &expires_at_s, &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_MEND));
	s3_store_free(&store);
	g_unsetenv("AWS_ACCESS_KEY_ID");
	g_unsetenv("AWS_SECRET_ACCESS_KEY");
	g_unsetenv("AWS_SESSION_TOKEN");
	g_unsetenv("AWS_CREDENTIAL_EXPIRATION");
}

/* ---- the directory ---- */

static struct s3_object object_of(const char *key, const char *content, size_t size)
{
	struct s3_object object = { .key = key,
		.fd = memfd_create("object", MFD_CLOEXEC),
		.size = size,
		.media_type = "text/plain",
		.file_name = "\xc3\xa4 \"1\".txt",
		.message_id = "4x5" };
	assert_int_equal(size, write(object.fd, content, size));
	SHA256((const uint8_t *)content, size, object.sha256);
	return object;
}

static char *contents(const char *name, gsize *length)
{
	g_autofree char *path = g_build_filename(tree_directory, name, NULL);
	char *text = NULL;
	assert_true(g_file_get_contents(path, &text, length, NULL));
	return text;
}

static size_t count_files(const char *name)
{
	g_autofree char *path = g_build_filename(tree_directory, name, NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	size_t n = 0;
	while (g_dir_read_name(dir))
		n++;
	return n;
}

static void directory_holds_whole_objects(void **state)
{
	(void)state;
	struct s3_settings settings = directory_settings();
	struct s3_store *store = s3_store_new(&settings, NULL);
	size_t size = 300001;
	g_autofree char *large = g_malloc(size);
	for (size_t i = 0; i < size; i++)
		large[i] = (char)(i * 7 >> 3);
	struct s3_object objects[] = { object_of("mail/2026/a.txt", "hello\0x", 7),
		object_of("b", large, size), object_of("c/empty", "", 0) };
	for (size_t again = 0; again < 2; again++)
		assert_true(s3_store_put(store, objects, 3, NULL));
	s3_store_free(&store);

	gsize length;
	g_autofree char *a = contents("objects/mail/2026/a.txt", &length);
	assert_int_equal(length, 7);
	assert_memory_equal(a, "hello\0x", 7);
	g_autofree char *b = contents("objects/b", &length);
	assert_int_equal(length, size);
	assert_memory_equal(b, large, size);
	g_autofree char *c = contents("objects/c/empty", &length);
	assert_string_equal(c, "");
	assert_int_equal(length, 0);
	assert_int_equal(count_files("incoming"), 0);
	g_autofree char *metadata = contents("metadata/mail/2026/a.txt.json", NULL);
	assert_non_null(strstr(metadata, "\"message_id\": \"4x5\""));
	assert_non_null(strstr(metadata, "\"file_name\": \"\xc3\xa4 \\\"1\\\".txt\""));
	assert_non_null(strstr(metadata, "\"media_type\": \"text/plain\""));
	assert_non_null(strstr(metadata, "\"size\": 7"));
	assert_non_null(strstr(metadata, "\"sha256\": \""));
	for (size_t i = 0; i < 3; i++)
		close(objects[i].fd);
}

static void directory_takes_no_half_object(void **state)
{
	(void)state;
	struct s3_settings settings = directory_settings();
	struct s3_store *store = s3_store_new(&settings, NULL);
	struct s3_object object = object_of("mail/a", "hello", 5);
	g_autofree char *path = g_build_filename(tree_directory, "objects/mail/a", NULL);
	object.size = 6;
	g_autoptr(GError) error = NULL;
	assert_false(s3_store_put(store, &object, 1, &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_RETRY));
	assert_true(g_str_has_prefix(error->message, "object mail/a: cannot write "));
	assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	assert_int_equal(count_files("incoming"), 0);
	close(object.fd);
	s3_store_free(&store);
}

static void directory_is_never_left(void **state)
{
	(void)state;
	static const char *const keys[] = { "../a", "/etc/a", "a/../../b", "a//b", "",
		"a\nb" };
	struct s3_settings settings = directory_settings();
	struct s3_store *store = s3_store_new(&settings, NULL);
	struct s3_object object = object_of("k", "x", 1);
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GError) error = NULL;
		object.key = keys[i];
		assert_false(s3_store_put(store, &object, 1, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_MEND));
	}
	assert_int_equal(count_files("objects"), 0);
	close(object.fd);
	s3_store_free(&store);
}

static void old_orphans_go_at_start(void **state)
{
	(void)state;
	struct s3_settings settings = directory_settings();
	struct s3_store *store = s3_store_new(&settings, NULL);
	s3_store_free(&store);
	g_autofree char *old = g_build_filename(tree_directory, "incoming/old", NULL);
	g_autofree char *new = g_build_filename(tree_directory, "incoming/new", NULL);
	assert_true(g_file_set_contents(old, "x", 1, NULL));
	assert_true(g_file_set_contents(new, "x", 1, NULL));
	assert_int_equal(0, utime(old, &(struct utimbuf){ 1000, 1000 }));
	store = s3_store_new(&settings, NULL);
	s3_store_free(&store);
	assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
	assert_true(g_file_test(new, G_FILE_TEST_EXISTS));
}

static void key_pair_is_made_once(void **state)
{
	(void)state;
	g_autofree char *path = g_build_filename(tree_directory, "new/credentials", NULL);
	g_autofree char *sub = g_build_filename(tree_directory, "new", NULL);
	g_autofree char *id = NULL, *secret = NULL, *id2 = NULL, *secret2 = NULL;
	assert_true(s3_directory_credentials(sub, &id, &secret, NULL));
	assert_true(s3_directory_credentials(sub, &id2, &secret2, NULL));
	assert_string_equal(id, id2);
	assert_string_equal(secret, secret2);
	assert_int_equal(strlen(id), 20);
	assert_int_equal(strlen(secret), 40);
	struct stat st;
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(st.st_mode & 07777, 0600);
	g_autoptr(GDir) dir = g_dir_open(sub, 0, NULL);
	assert_string_equal(g_dir_read_name(dir), "credentials");
	assert_null(g_dir_read_name(dir));

	g_autoptr(GError) error = NULL;
	g_autofree char *none = NULL;
	assert_true(g_file_set_contents(path, "junk", -1, NULL));
	assert_false(s3_directory_credentials(sub, &none, &none, &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
	assert_non_null(strstr(error->message, "holds no key pair"));
}

static gpointer make_pair(gpointer data)
{
	char *id = NULL, *secret = NULL;
	if (!s3_directory_credentials(data, &id, &secret, NULL))
		return NULL;
	g_free(secret);
	return id;
}

static void racing_makers_get_one_pair(void **state)
{
	(void)state;
	GThread *threads[8];
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("maker", make_pair, tree_directory);
	g_autofree char *first = g_thread_join(threads[0]);
	assert_non_null(first);
	for (size_t i = 1; i < G_N_ELEMENTS(threads); i++) {
		g_autofree char *id = g_thread_join(threads[i]);
		assert_string_equal(id, first);
	}
}

static void directory_links_point_at_its_url(void **state)
{
	(void)state;
	struct s3_settings settings = directory_settings();
	/* keys meant for elsewhere are not used here */
	settings.access_key_id = "ELSEWHERE";
	settings.session_token = "token";
	struct s3_store *store = s3_store_new(&settings, NULL);
	assert_string_equal(s3_store_bucket(store), S3_DIRECTORY_BUCKET);
	assert_string_equal(s3_store_region(store), S3_DIRECTORY_REGION);
	g_autofree char *id = NULL, *secret = NULL;
	assert_true(s3_directory_credentials(tree_directory, &id, &secret, NULL));
	int64_t expires_at_s = 0;
	g_autofree char *url = s3_store_presign(store, "mail/a.pdf", "a.pdf",
		"application/pdf", NOW, 60, &expires_at_s, NULL);
	g_autofree char *start = g_strdup_printf(
		"http://127.0.0.1:8025/stowage/mail/"
		"a.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&"
		"X-Amz-Credential=%s%%2F20260806%%2Flocal%%2Fs3%%2Faws4_request&",
		id);
	assert_true(g_str_has_prefix(url, start));
	assert_null(strstr(url, "Token"));
	assert_int_equal(expires_at_s, NOW + 60);
	s3_store_free(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_settings_are_said),
		TEST(region_may_come_from_the_environment),
		TEST(links_say_name_type_and_true_end),
		TEST(links_end_with_their_credentials),
		TEST(directory_holds_whole_objects),
		TEST(directory_takes_no_half_object),
		TEST(directory_is_never_left),
		TEST(old_orphans_go_at_start),
		TEST(key_pair_is_made_once),
		TEST(racing_makers_get_one_pair),
		TEST(directory_links_point_at_its_url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
