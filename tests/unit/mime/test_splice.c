/* Edits over a file: order, overlap, and reading the result in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include "mime/splice.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char original[] = "0123456789";

static int make_file(const char *text)
{
	int fd = memfd_create("splice", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void read_all(const struct splice *splice, int fd, size_t piece, GString *out)
{
	struct splice_reader reader;
	char buffer[64];
	ssize_t n;

	g_string_truncate(out, 0);
	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, buffer, piece, NULL)) > 0) {
		assert_true((size_t)n <= piece);
		g_string_append_len(out, buffer, n);
	}
	assert_int_equal(n, 0);
}

struct edit {
	uint64_t offset, length;
	const char *text;
	bool refused;
};

static const struct {
	const char *name;
	struct edit edits[5];
	const char *want;
} cases[] = {
	{ "nothing", { { 0, 0, NULL, false } }, "0123456789" },
	{ "insert at both ends", { { 10, 0, "Z", false }, { 0, 0, "A", false } },
		"A0123456789Z" },
	{ "remove all", { { 0, 10, "", false } }, "" },
	{ "insertions in order, before the range that begins there",
		{ { 3, 2, "X", false }, { 3, 0, "a", false }, { 3, 0, "b", false } },
		"012abX56789" },
	{ "ranges that touch",
		{ { 3, 2, "X", false }, { 5, 1, "Y", false }, { 2, 1, "W", false } },
		"01WXY6789" },
	{ "insert behind a range", { { 3, 2, "", false }, { 5, 0, "n", false } },
		"012n56789" },
	{ "overlaps are refused",
		{ { 3, 3, "X", false }, { 4, 1, "Y", true }, { 2, 2, "W", true },
			{ 4, 0, "in", true }, { 3, 1, "V", true } },
		"012X6789" },
	{ "outside is refused", { { 11, 0, "X", true }, { 9, 2, "Y", true } },
		"0123456789" },
	{ "an offset that wraps", { { 5, UINT64_MAX, "X", true } }, "0123456789" },
};

static void test_cases(void **state)
{
	int fd = make_file(original);
	GString *out = g_string_new(NULL);

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct splice *splice = splice_new(10);

		for (size_t k = 0; k < 5 && cases[i].edits[k].text != NULL; k++) {
			const struct edit *edit = &cases[i].edits[k];

			assert_int_equal(
				splice_replace(splice, edit->offset, edit->length,
					edit->text, strlen(edit->text)),
				!edit->refused);
		}
		for (size_t piece = 1; piece < 20; piece++) {
			read_all(splice, fd, piece, out);
			assert_string_equal(out->str, cases[i].want);
		}
		assert_int_equal(splice_bytes(splice), strlen(cases[i].want));
		assert_int_equal(splice_leaves(splice, 0, 10),
			strcmp(cases[i].want, original) == 0);
		splice_free(&splice);
	}
	g_string_free(out, TRUE);
	close(fd);
}

/* As a decoder reads it: by lines of 76 letters. */
static GString *base64_lines(const char *octets, size_t n, const char *newline)
{
	g_autofree char *letters = g_base64_encode((const guchar *)octets, n);
	GString *out = g_string_new(NULL);

	for (size_t at = 0; letters[at] != '\0'; at += MIN(strlen(letters + at), 76)) {
		g_string_append(out, at > 0 ? newline : "");
		g_string_append_len(
			out, letters + at, (gssize)MIN(strlen(letters + at), 76));
	}
	return out;
}

static void check_encoded(const char *text, size_t n, const char *newline)
{
	g_autofree char *file = g_strdup_printf("<%s>", text);
	g_autoptr(GString) letters = base64_lines(text, n, newline);
	g_autofree char *want = g_strdup_printf("[%s]", letters->str);
	g_autoptr(GString) out = g_string_new(NULL);
	struct splice *splice = splice_new(n + 2);
	int fd = make_file(file);

	assert_true(splice_encode(splice, 1, n, newline));
	assert_int_equal(splice_replace(splice, 1, 1, "x", 1), n == 0);
	if (n > 0)
		assert_true(splice_replace(splice, 0, 1, "[", 1) &&
			    splice_replace(splice, n + 1, 1, "]", 1));
	for (size_t piece = 1; n > 0 && piece <= 64; piece += 7) {
		read_all(splice, fd, piece, out);
		assert_string_equal(out->str, want);
		assert_int_equal(splice_bytes(splice), out->len);
	}
	splice_free(&splice);
	close(fd);
}

static void test_base64(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 56, 57, 58, 114, 115, 128 * 57,
		128 * 57 + 1, 20000 };
	g_autofree char *text = g_strnfill(20000, 'a');

	(void)state;
	for (size_t i = 0; i < 20000; i++)
		text[i] = (char)('!' + i * i % 90);
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *octets = g_strndup(text, sizes[i]);

		check_encoded(octets, sizes[i], "\r\n");
		check_encoded(octets, sizes[i], "\n");
	}
}

static void test_base64_of_a_short_file(void **state)
{
	int fd = make_file("0123");
	struct splice *splice = splice_new(10);
	struct splice_reader reader;
	char buffer[32];
	GError *error = NULL;

	(void)state;
	assert_true(!splice_encode(splice, 5, 6, "\n") &&
		    !splice_encode(splice, 5, UINT64_MAX, "\n"));
	assert_true(splice_encode(splice, 0, 10, "\n"));
	splice_reader_init(&reader, splice, fd);
	assert_int_equal(splice_read(&reader, buffer, sizeof(buffer), &error), -1);
	assert_true(g_error_matches(error, MIME_ERROR, MIME_ERROR_IO));
	g_clear_error(&error);
	splice_free(&splice);
	close(fd);
}

/* Once by one call, then by any others: the same. */
static void check_folding(const char *text, bool is_qp, const char *newline)
{
	const struct fold rule = { .is_qp = is_qp, .newline = newline };
	size_t length = strlen(text), used;
	struct fold fold = rule;
	g_autofree char *folded = g_malloc0(2 * length + FOLD_STEP_BYTES);
	size_t n = fold_push(
		&fold, text, length, &used, folded, 2 * length + FOLD_STEP_BYTES);
	g_autofree char *file = g_strdup_printf("%s<%s>", text, text);
	g_autofree char *want = g_strdup_printf("%s<%s!>", folded, folded);
	g_autoptr(GString) out = g_string_new(NULL);
	struct splice *splice = splice_new(2 * length + 2);
	int fd = make_file(file);

	assert_int_equal(used, length);
	assert_true(splice_fold(splice, length + 1, length, &rule, n) &&
		    splice_fold(splice, 0, length, &rule, n) &&
		    splice_replace(splice, 2 * length + 1, 0, "!", 1));
	assert_false(splice_fold(splice, 1, 1, &rule, 1));
	assert_int_equal(splice_bytes(splice), strlen(want));
	for (size_t piece = 1; piece <= 64; piece += 7) {
		read_all(splice, fd, piece, out);
		assert_string_equal(out->str, want);
	}
	splice_free(&splice);
	close(fd);
}

static void test_folding(void **state)
{
	g_autofree char *text = g_strnfill(20000, 'a');

	(void)state;
	for (size_t i = 0; i < 20000; i++)
		text[i] = i % 3000 == 2000 ? '\n' : "ab-=3D \r"[i * i % 91 % 8];
	check_folding(text, true, "\r\n");
	check_folding(text, false, "\r\n");
	check_folding("short", true, "\n");
	memset(text, '-', 20000);
	check_folding(text, true, "\n");
	check_folding(text, false, "\n");
}

/* Less than was counted, and more. */
static void test_folding_of_another_file(void **state)
{
	const struct fold rule = { .newline = "\n" };
	int fd = make_file(original);
	char buffer[32];

	(void)state;
	for (uint64_t bytes = 9; bytes <= 11; bytes++) {
		struct splice *splice = splice_new(10);
		struct splice_reader reader;
		g_autoptr(GError) error = NULL;

		assert_true(splice_fold(splice, 0, 10, &rule, bytes));
		splice_reader_init(&reader, splice, fd);
		ssize_t n = splice_read(&reader, buffer, sizeof(buffer), &error);

		assert_int_equal(n, bytes == 10 ? 10 : -1);
		assert_int_equal(
			g_error_matches(error, MIME_ERROR, MIME_ERROR_IO), bytes != 10);
		splice_free(&splice);
	}
	close(fd);
}

static void test_short_file(void **state)
{
	int fd = make_file("0123");
	struct splice *splice = splice_new(10);
	struct splice_reader reader;
	char buffer[32];
	GError *error = NULL;

	(void)state;
	splice_reader_init(&reader, splice, fd);
	assert_int_equal(splice_read(&reader, buffer, sizeof(buffer), &error), -1);
	assert_true(g_error_matches(error, MIME_ERROR, MIME_ERROR_IO));
	g_clear_error(&error);
	splice_free(&splice);
	splice_free(&splice);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_of_a_short_file),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_folding_of_another_file),
		cmocka_unit_test(test_short_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
