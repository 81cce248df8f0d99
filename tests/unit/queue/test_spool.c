/* The spool file alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/error.h"
#include "tests/unit/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char id[] = "01jd3v5h8k9m0n1p2q3r4s5t6v";

static int make_directory(void **state)
{
	*state = g_dir_make_tmp("stowage-spool-XXXXXX", NULL);
	return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
	tree_remove(*state);
	g_free(*state);
	return 0;
}

static void append_all(struct spool *spool, const char *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		size_t taken = spool_append(spool, data + done, bytes - done);
		done += taken;
		if (spool_is_full(spool))
			assert_true(spool_flush(spool, NULL));
	}
}

static void what_was_appended_is_in_the_file(void **state)
{
	static const size_t sizes[] = { 0, 1, 8192, 8193, SPOOL_BUFFER_BYTES - 1,
		SPOOL_BUFFER_BYTES, SPOOL_BUFFER_BYTES + 1, 1000000 };
	g_autofree char *path = spool_path(*state, id);
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *data = g_malloc(sizes[i] + 1);
		for (size_t n = 0; n < sizes[i]; n++)
			data[n] = (char)(n * 7 + n / 251);
		struct spool *spool = spool_new(*state, id);
		append_all(spool, data, sizes[i]);
		assert_int_equal(spool_bytes(spool), sizes[i]);
		assert_true(spool_commit(spool, NULL));
		spool_free(&spool);
		assert_null(spool);

		g_autofree char *content = NULL;
		gsize bytes = 0;
		assert_true(g_file_get_contents(path, &content, &bytes, NULL));
		assert_int_equal(bytes, sizes[i]);
		assert_memory_equal(content, data, bytes);
		g_unlink(path);
	}
}

static void a_full_buffer_takes_no_more(void **state)
{
	g_autofree char *data = g_malloc0(2 * SPOOL_BUFFER_BYTES);
	struct spool *spool = spool_new(*state, id);
	assert_int_equal(spool_append(spool, data, SPOOL_BUFFER_BYTES / 4 * 3),
		SPOOL_BUFFER_BYTES / 4 * 3);
	assert_false(spool_is_full(spool));
	assert_int_equal(spool_append(spool, data, 2 * SPOOL_BUFFER_BYTES),
		SPOOL_BUFFER_BYTES / 4);
	assert_true(spool_is_full(spool));
	assert_int_equal(spool_append(spool, data, 1), 0);
	assert_int_equal(spool_bytes(spool), SPOOL_BUFFER_BYTES);
	spool_free(&spool);
}

static void what_is_shared_outlives_the_spool(void **state)
{
	struct spool *spool = spool_new(*state, id);
	assert_null(spool_share(spool)); /* nothing was appended */
	g_autofree char *data = g_malloc(100000);
	memset(data, 'x', 100000);
	spool_append(spool, "a", 1);
	spool_append(spool, data, 100000);
	char *octets = spool_share(spool);
	assert_non_null(octets);
	assert_true(spool_commit(spool, NULL));
	assert_null(spool_share(spool)); /* it is on the disk now */
	spool_discard(&spool);
	assert_int_equal(octets[0], 'a');
	assert_memory_equal(octets + 1, data, 100000);
	g_atomic_rc_box_release(octets);
}

static void what_was_flushed_in_part_is_not_shared(void **state)
{
	struct spool *spool = spool_new(*state, id);
	spool_append(spool, "abc", 3);
	assert_true(spool_flush(spool, NULL));
	spool_append(spool, "def", 3);
	assert_null(spool_share(spool));
	spool_free(&spool);
}

static void uncommitted_and_discarded_files_go(void **state)
{
	g_autofree char *path = spool_path(*state, id);
	struct spool *spool = spool_new(*state, id);
	spool_append(spool, "x", 1);
	assert_true(spool_flush(spool, NULL));
	assert_int_equal(g_access(path, F_OK), 0);
	spool_free(&spool);
	assert_int_not_equal(g_access(path, F_OK), 0);

	spool = spool_new(*state, id);
	assert_true(spool_commit(spool, NULL));
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	spool_discard(&spool);
	assert_int_not_equal(g_access(path, F_OK), 0);
	spool_discard(&spool);
	spool_free(&spool);
}

static void nothing_is_overwritten(void **state)
{
	g_autofree char *path = spool_path(*state, id);
	g_autoptr(GError) error = NULL;
	assert_true(g_file_set_contents(path, "old", 3, NULL));
	struct spool *spool = spool_new(*state, id);
	assert_false(spool_commit(spool, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	spool_free(&spool);
	assert_int_equal(g_access(path, F_OK), 0);
	g_unlink(path);
}

static void a_failed_write_is_not_forgotten(void **state)
{
	g_autofree char *path = spool_path(*state, id);
	struct rlimit before, small;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 1000;
	g_autofree char *data = g_malloc0(4096);
	struct spool *spool = spool_new(*state, id);
	spool_append(spool, data, 4096);
	setrlimit(RLIMIT_FSIZE, &small);
	g_autoptr(GError) error = NULL;
	bool flushed = spool_flush(spool, &error);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_false(flushed);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	/* There would be room by now, but a hole or a repetition in the file as well. */
	assert_false(spool_flush(spool, NULL));
	assert_false(spool_commit(spool, NULL));
	spool_free(&spool);
	assert_int_not_equal(g_access(path, F_OK), 0);
}

static void a_foreign_pipe_is_not_waited_for(void **state)
{
	g_autofree char *path = spool_path(*state, id);
	g_autofree char *folder = g_path_get_dirname(path);
	assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	int directory_fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	alarm(10);
	int fd = spool_open(directory_fd, id);
	alarm(0);
	assert_true(fd >= 0);
	close(fd);
	close(directory_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_appended_is_in_the_file),
		cmocka_unit_test(a_full_buffer_takes_no_more),
		cmocka_unit_test(what_is_shared_outlives_the_spool),
		cmocka_unit_test(what_was_flushed_in_part_is_not_shared),
		cmocka_unit_test(uncommitted_and_discarded_files_go),
		cmocka_unit_test(nothing_is_overwritten),
		cmocka_unit_test(a_failed_write_is_not_forgotten),
		cmocka_unit_test(a_foreign_pipe_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
