/* Content to wire form: the same however it is cut, and nothing in it
 * ends DATA or a line early. */
#include "gateway/relay/wire.h"
#include "tests/fuzz/fuzz.h"
#include <glib.h>
#include <stdint.h>
#include <string.h>

static void collect(void *out, const char *data, size_t bytes)
{
	g_string_append_len(out, data, (gssize)bytes);
}

static GString *convert(const char *data, size_t size, size_t piece)
{
	GString *out = g_string_new(NULL);
	struct wire wire = { .emit = collect, .context = out };
	for (size_t at = 0; at < size; at += piece)
		wire_add(&wire, data + at, MIN(piece, size - at));
	wire_end(&wire);
	return out;
}

static void check(const GString *wire)
{
	bool line_start = true;
	for (size_t i = 0; i < wire->len; i++) {
		char c = wire->str[i];
		if (line_start && c == '.')
			g_assert(i + 1 < wire->len && wire->str[i + 1] == '.');
		if (c == '\r')
			g_assert(i + 1 < wire->len && wire->str[i + 1] == '\n');
		if (c == '\n')
			g_assert(i > 0 && wire->str[i - 1] == '\r');
		line_start = c == '\n';
	}
	g_assert(line_start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t piece = data[0] % 16 + 1;
	const char *text = (const char *)data + 1;
	g_autoptr(GString) whole = convert(text, size - 1, size);
	g_autoptr(GString) cut = convert(text, size - 1, piece);
	g_assert(g_string_equal(whole, cut));
	check(whole);
	struct wire_lines once = { 0 }, often = { 0 };
	wire_lines_add(&once, text, size - 1);
	for (size_t at = 0; at < size - 1; at += piece)
		wire_lines_add(&often, text + at, MIN(piece, size - 1 - at));
	g_assert(once.too_long == often.too_long);
	return 0;
}
