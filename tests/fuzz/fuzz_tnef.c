/* What the reader of Outlook's containers writes: taken in, however it is cut, or
 * refused; never more files or octets than may be. */
#include "gateway/tnef/record.h"
#include "gateway/tnef/tnef.h"
#include "tests/fuzz/fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_BYTES = 1000 };

static GArray *parse(const uint8_t *data, size_t size, size_t piece, int target)
{
	struct tnef_parser *parser = tnef_parser_new(MOST_BYTES, target);
	bool ok = true;

	for (size_t at = 0; ok && at < size; at += piece)
		ok = tnef_parser_push(
			parser, (const char *)data + at, MIN(piece, size - at), NULL);
	GArray *files = ok ? tnef_parser_finish(&parser, NULL) : NULL;

	tnef_parser_free(&parser);
	return files;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int target = memfd_create("target", MFD_CLOEXEC);
	GArray *whole = parse(data, size, size + 1, target);
	GArray *cut = parse(data, size, size % 7 + 1, target);
	uint64_t bytes = 0;

	g_assert((whole == NULL) == (cut == NULL));
	for (guint i = 0; whole != NULL && i < whole->len; i++) {
		const struct tnef_file *a = &g_array_index(whole, struct tnef_file, i);
		const struct tnef_file *b = &g_array_index(cut, struct tnef_file, i);

		g_assert(a->start == bytes && a->bytes == b->bytes);
		g_assert(g_strcmp0(a->name, b->name) == 0);
		g_assert(a->name == NULL || g_utf8_validate(a->name, -1, NULL));
		bytes += a->bytes;
	}
	g_assert(bytes <= MOST_BYTES);
	g_assert(whole == NULL || whole->len <= TNEF_FILES_MAX);
	g_clear_pointer(&whole, g_array_unref);
	g_clear_pointer(&cut, g_array_unref);
	close(target);
	return 0;
}
