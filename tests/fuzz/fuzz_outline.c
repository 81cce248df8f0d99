/* The structure of a mail: the same however it is cut, and all offsets in order. */
#include "mime/mime.h"
#include "mime/outline.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static struct outline *read_pieces(const char *data, size_t size, size_t piece)
{
	struct outline_limits limits = {
		.header_bytes = 64 * 1024, .parts = 200, .depth = 20
	};
	struct outline *outline = outline_new(&limits);

	for (size_t at = 0; at < size; at += piece)
		if (!outline_feed(outline, data + at, MIN(piece, size - at)))
			break;
	outline_finish(outline);
	return outline;
}

/* The line break that ends a last header line with no body behind it belongs to the
 * delimiter line behind the message as well, and then not to the message. */
static void check_within(
	const struct outline_entity *entity, const struct outline_entity *parent)
{
	size_t spare = parent->kind == OUTLINE_MESSAGE ? 2 : 0;

	g_assert(entity->region_end <= parent->body_end + spare);
}

static void check(const struct outline *outline, size_t size)
{
	for (size_t i = 0; i < outline_entities(outline); i++) {
		const struct outline_entity *entity = outline_entity(outline, i);

		g_assert(entity->delimiter_start <= entity->header_start);
		g_assert(entity->header_start <= entity->header_end);
		g_assert(entity->header_end <= entity->body_start);
		g_assert(entity->body_start <= entity->body_end);
		g_assert(entity->body_end <= entity->region_end);
		g_assert(entity->region_end <= size);
		if (entity->parent == OUTLINE_NONE)
			continue;
		g_assert(entity->parent < i);
		check_within(entity, outline_entity(outline, entity->parent));
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	mime_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct outline *whole = read_pieces(text, size, size + 1);
	struct outline *cut = read_pieces(text, size, size % 13 + 1);

	if (outline_reason(whole) == NULL)
		check(whole, size);
	g_assert((outline_reason(whole) == NULL) == (outline_reason(cut) == NULL));
	for (size_t i = 0; outline_reason(whole) == NULL && i < outline_entities(whole);
		i++) {
		g_assert(outline_entities(whole) == outline_entities(cut));
		g_assert(outline_entity(whole, i)->body_start ==
			 outline_entity(cut, i)->body_start);
		g_assert(outline_entity(whole, i)->region_end ==
			 outline_entity(cut, i)->region_end);
	}
	outline_free(&whole);
	outline_free(&cut);
	return 0;
}
