/* tnef: what stowage-tnef (given as STOWAGE_TNEF, where it is built) makes of containers,
 * and what is taken from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/tnef/record.h"
#include "gateway/tnef/tnef.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Attributes of [MS-OXTNEF], section 2.1.3.2. */
enum {
	ATT_CODEPAGE = 0x00069007,
	ATT_RENDER = 0x00069002,
	ATT_TITLE = 0x00018010,
	ATT_DATA = 0x0006800f,
};

static void put_number(GByteArray *out, uint32_t number, guint bytes)
{
	for (guint i = 0; i < bytes; i++) {
		guint8 octet = (guint8)(number >> (8 * i));
		g_byte_array_append(out, &octet, 1);
	}
}

static void put_attribute(
	GByteArray *out, uint8_t level, uint32_t id, const void *data, size_t size)
{
	uint32_t sum = 0;
	put_number(out, level, 1);
	put_number(out, id, 4);
	put_number(out, (uint32_t)size, 4);
	g_byte_array_append(out, data, (guint)size);
	for (size_t i = 0; i < size; i++)
		sum += ((const uint8_t *)data)[i];
	put_number(out, sum & 0xffff, 2);
}

static GByteArray *container_new(uint32_t codepage)
{
	GByteArray *out = g_byte_array_new();
	uint32_t both[2] = { GUINT32_TO_LE(codepage), 0 };
	put_number(out, 0x223e9f78, 4);
	put_number(out, 1, 2);
	put_attribute(out, 1, ATT_CODEPAGE, both, sizeof(both));
	return out;
}

static void put_file(GByteArray *out, const char *name, const void *data, size_t size)
{
	static const uint8_t render[14] = { 1 };
	put_attribute(out, 2, ATT_RENDER, render, sizeof(render));
	put_attribute(out, 2, ATT_TITLE, name, strlen(name) + 1);
	put_attribute(out, 2, ATT_DATA, data, size);
}

static GArray *read_container(const GByteArray *container, int target, GError **error)
{
	return tnef_read((const char *)container->data, -1, container->len, target,
		getenv("STOWAGE_TNEF"), error);
}

static int new_target(void)
{
	int target = memfd_create("target", MFD_CLOEXEC);
	assert_true(target >= 0);
	return target;
}

static void check_file(const GArray *files, guint index, int target, const char *name,
	const char *content)
{
	const struct tnef_file *file = &g_array_index(files, struct tnef_file, index);
	char got[100] = "";
	assert_string_equal(file->name, name);
	assert_int_equal(file->bytes, strlen(content));
	assert_int_equal(
		pread(target, got, file->bytes, (off_t)file->start), file->bytes);
	assert_string_equal(got, content);
}

static void files_come_out(void **state)
{
	GByteArray *container = container_new(1251);
	g_autoptr(GError) error = NULL;
	int target = new_target();
	(void)state;
	if (!getenv("STOWAGE_TNEF"))
		skip();
	put_file(container, "report.txt", "one", 3);
	put_file(container, "\xee\xf2\xf7\xb8\xf2.txt", "second", 6);
	GArray *files = read_container(container, target, &error);
	assert_null(error);
	assert_int_equal(files->len, 2);
	check_file(files, 0, target, "report.txt", "one");
	check_file(files, 1, target, "отчёт.txt", "second");
	g_array_unref(files);
	close(target);
	g_byte_array_unref(container);
}

/* From a descriptor, and more than fits into a pipe. */
static void a_large_file_comes_out(void **state)
{
	GByteArray *container = container_new(1252);
	g_autofree char *large = g_strnfill(5 * 1000 * 1000, 'x');
	g_autoptr(GError) error = NULL;
	int target = new_target(), input = new_target();
	(void)state;
	if (!getenv("STOWAGE_TNEF"))
		skip();
	put_file(container, "large", large, strlen(large));
	assert_int_equal(write(input, container->data, container->len), container->len);
	GArray *files = tnef_read(
		NULL, input, container->len, target, getenv("STOWAGE_TNEF"), &error);
	assert_null(error);
	assert_int_equal(files->len, 1);
	assert_int_equal(lseek(target, 0, SEEK_END), strlen(large));
	g_array_unref(files);
	close(input);
	close(target);
	g_byte_array_unref(container);
}

/* Whatever it is: an answer, and no file that was not there. */
static void broken_containers(void **state)
{
	GByteArray *whole = container_new(1252);
	GRand *rand = g_rand_new_with_seed(20261121);
	(void)state;
	if (!getenv("STOWAGE_TNEF"))
		skip();
	put_file(whole, "report.txt", "one", 3);
	for (guint i = 0; i < 60; i++) {
		GByteArray *broken = g_byte_array_new();
		g_autoptr(GError) error = NULL;
		int target = new_target();
		g_byte_array_append(broken, whole->data,
			(guint)g_rand_int_range(rand, 1, (gint32)whole->len + 1));
		broken->data[g_rand_int_range(rand, 0, (gint32)broken->len)] =
			(guint8)g_rand_int(rand);
		GArray *files = read_container(broken, target, &error);
		if (files) {
			assert_true(files->len <= 1);
			g_array_unref(files);
		} else {
			assert_true(g_error_matches(
				error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT));
		}
		close(target);
		g_byte_array_unref(broken);
	}
	g_rand_free(rand);
	g_byte_array_unref(whole);
}

static void without_the_program(void **state)
{
	g_autoptr(GError) error = NULL;
	(void)state;
	assert_null(tnef_read("x", -1, 1, -1, "/nonexistent/program", &error));
	assert_non_null(error);
	g_clear_error(&error);
	assert_null(tnef_read("x", -1, 0, -1, NULL, &error));
	assert_non_null(error);
	g_clear_error(&error);
	/* It writes something else. */
	assert_null(tnef_read("x", -1, 1, -1, "/bin/true", &error));
	assert_non_null(error);
}

static void append_record(
	GString *out, uint32_t magic, uint32_t name_bytes, uint64_t bytes)
{
	struct tnef_record record = {
		.magic = magic, .name_bytes = name_bytes, .bytes = bytes
	};
	g_string_append_len(out, (const char *)&record, sizeof(record));
}

/* Files are written as {name, octets}; then a last record. */
static const struct {
	const char *why;
	const char *files[4];
	uint32_t last_magic, last_number;
	uint64_t last_bytes;
	const char *behind;
	bool good;
} streams[] = {
	{ "no file", { NULL }, TNEF_RECORD_END, 0, 0, "", true },
	{ "two files", { "a", "123", "b", "" }, TNEF_RECORD_END, 2, 0, "", true },
	{ "no end", { "a", "123" }, TNEF_RECORD_FILE, 1, 1, "", false },
	{ "a file lost", { "a", "123" }, TNEF_RECORD_END, 2, 0, "", false },
	{ "more behind", { "a", "123" }, TNEF_RECORD_END, 1, 0, "x", false },
	{ "too many octets", { "a", "123" }, TNEF_RECORD_FILE, 1, 98, "", false },
	{ "far too many", { "a", "123" }, TNEF_RECORD_FILE, 1, UINT64_MAX, "", false },
	{ "a long name", { NULL }, TNEF_RECORD_FILE, TNEF_NAME_BYTES + 1, 1, "", false },
	{ "no record", { NULL }, 0, 0, 0, "", false },
};

static bool parse(const GString *stream, size_t piece, guint *n_files)
{
	int target = new_target();
	struct tnef_parser *parser = tnef_parser_new(100, target);
	bool ok = true;
	for (size_t at = 0; ok && at < stream->len; at += piece)
		ok = tnef_parser_push(
			parser, stream->str + at, MIN(piece, stream->len - at), NULL);
	GArray *files = ok ? tnef_parser_finish(&parser, NULL) : NULL;
	*n_files = files ? files->len : 0;
	tnef_parser_free(&parser);
	close(target);
	ok = files != NULL;
	g_clear_pointer(&files, g_array_unref);
	return ok;
}

static void records_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(streams); i++) {
		g_autoptr(GString) stream = g_string_new(NULL);
		guint n = 0, got;
		for (; n < 2 && streams[i].files[2 * n]; n++) {
			const char *name = streams[i].files[2 * n];
			const char *octets = streams[i].files[2 * n + 1];
			append_record(stream, TNEF_RECORD_FILE, (uint32_t)strlen(name),
				strlen(octets));
			g_string_append(stream, name);
			g_string_append(stream, octets);
		}
		append_record(stream, streams[i].last_magic, streams[i].last_number,
			streams[i].last_bytes);
		g_string_append(stream, streams[i].behind);
		for (size_t piece = 1; piece <= stream->len; piece++) {
			if (parse(stream, piece, &got) != streams[i].good ||
				(streams[i].good && got != n))
				fail_msg("%s, by %zu", streams[i].why, piece);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_come_out),
		cmocka_unit_test(a_large_file_comes_out),
		cmocka_unit_test(broken_containers),
		cmocka_unit_test(without_the_program),
		cmocka_unit_test(records_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
