/*
 * What stays in a mail made fit for a next hop that takes short lines only. The result
 * has the same parts, which decode to the same octets, and nothing is left in it to be
 * changed.
 */
#include "mime/body.h"
#include "mime/decode.h"
#include "mime/message.h"
#include "mime/mime.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Shorter lines are not broken. */
enum { LINE_BYTES_MIN = 900 };

static GString *mend(const char *field, size_t length, const char *newline)
{
	g_assert(length > 0);
	return memchr(field, '!', length) != NULL
		       ? g_string_new(newline[1] == '\0' ? "X:\n" : "X:\r\n")
		       : NULL;
}

static struct mime_message *open_mail(int fd, uint64_t bytes)
{
	struct mime_settings settings;

	mime_settings_init(&settings);
	struct mime_message *message = mime_message_new(fd, NULL, bytes, &settings, NULL);

	g_assert(message != NULL);
	return message;
}

/* The octets of result; *changed: there was something. */
static uint64_t shorten(
	struct mime_message *message, int fd, uint64_t bytes, int result, bool *changed)
{
	struct splice *splice = splice_new(bytes);
	struct splice_reader reader;
	char block[1000];
	uint64_t length;
	ssize_t n;

	g_assert(mime_message_shorten_lines(message, splice, changed, NULL));
	g_assert(*changed == !splice_leaves(splice, 0, bytes));
	g_assert(mime_message_mend_fields(message, splice, mend, NULL));
	length = splice_bytes(splice);
	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, block, sizeof(block), NULL)) > 0)
		if (write(result, block, (size_t)n) != n)
			abort();
	g_assert(n == 0);
	splice_free(&splice);
	return length;
}

/* Whether all readers see the same in it: soft line breaks may have blanks at their end,
 * which are none any more where one of over 90 octets is broken. */
static bool is_proper(const GString *raw, enum header_encoding encoding)
{
	return encoding != HEADER_ENCODING_QP ||
	       (memmem(raw->str, raw->len, "= ", 2) == NULL &&
		       memmem(raw->str, raw->len, "=\t", 2) == NULL);
}

/* What the entity says; *violation: nothing that is sure. */
static GString *decode(struct mime_message *message, size_t i, const char **violation)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	GString *octets = g_string_new(NULL);

	g_assert(decode_text(&message->source, entity->body_start, entity->body_end,
		entity->content.encoding, octets, violation, NULL));
	return octets;
}

static GString *read_raw(struct mime_message *message, size_t i)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	GString *raw = g_string_new(NULL);

	g_assert(source_append(
		&message->source, entity->body_start, entity->body_end, raw, NULL));
	return raw;
}

static bool has_long_line(const GString *raw)
{
	const char *at = raw->str, *end = raw->str + raw->len;

	while (end - at > BODY_LINE_BYTES_MAX) {
		const char *feed = memchr(at, '\n', (size_t)(end - at));
		const char *stop = feed != NULL ? feed : end;

		if (stop - at - (stop > at && stop[-1] == '\r') > BODY_LINE_BYTES_MAX)
			return true;
		at = stop + 1;
	}
	return false;
}

static bool is_folded(const struct mime_message *message, size_t i)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	size_t n = 0;

	for (size_t k = 0; k < entity->n_fields; k++)
		n += strcmp(outline_field(message->outline, entity->first_field + k)
				     ->name,
			     "content-transfer-encoding") == 0;
	return n == 1 && entity->blank_line &&
	       (entity->content.encoding == HEADER_ENCODING_QP ||
		       entity->content.encoding == HEADER_ENCODING_BASE64) &&
	       !header_starts(&entity->content, "message/") &&
	       !header_starts(&entity->content, "multipart/");
}

static void check_part(struct mime_message *before, struct mime_message *after, size_t i)
{
	const struct outline_entity *entity = outline_entity(before->outline, i);
	const char *violation, *violation_after;
	g_autoptr(GString) raw = read_raw(before, i);
	g_autoptr(GString) raw_after = read_raw(after, i);
	g_autoptr(GString) octets = decode(before, i, &violation);
	g_autoptr(GString) octets_after = decode(after, i, &violation_after);

	if (g_array_index(before->parts, struct policy_part, i).is_sealed) {
		g_assert(g_string_equal(raw, raw_after));
		return;
	}
	g_assert(violation == NULL || violation_after != NULL);
	if (violation == NULL && is_proper(raw, entity->content.encoding))
		g_assert(violation_after == NULL && g_string_equal(octets, octets_after));
	if (is_folded(before, i) || !g_string_equal(raw, raw_after))
		g_assert(!has_long_line(raw_after));
}

static void check_parts(struct mime_message *before, struct mime_message *after)
{
	size_t n = outline_entities(before->outline);

	g_assert(outline_entities(after->outline) == n);
	for (size_t i = 0; i < n; i++) {
		enum outline_kind kind = outline_entity(before->outline, i)->kind;

		g_assert(outline_entity(after->outline, i)->kind == kind);
		if (kind == OUTLINE_LEAF)
			check_part(before, after, i);
	}
}

/* What begins as a delimiter does, and is too long to be looked at, may be read as one
 * once it is broken. */
static bool has_long_dash_line(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *dash;

	while ((dash = memmem(data, (size_t)(end - data), "\n--", 3)) != NULL) {
		const uint8_t *feed = memchr(dash + 1, '\n', (size_t)(end - dash) - 1);

		if ((feed != NULL ? feed : end) - dash > LINE_BYTES_MIN)
			return true;
		data = dash + 1;
	}
	return false;
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
	int original = memfd_create("original", MFD_CLOEXEC);
	int first = memfd_create("first", MFD_CLOEXEC);
	int second = memfd_create("second", MFD_CLOEXEC);
	struct mime_message *message, *again;
	bool changed;

	if (write(original, data, size) != (ssize_t)size)
		abort();
	message = open_mail(original, size);
	uint64_t bytes = shorten(message, original, size, first, &changed);

	if (changed && memchr(data, '!', size) == NULL) {
		again = open_mail(first, bytes);
		if (!has_long_dash_line(data, size))
			check_parts(message, again);
		shorten(again, first, bytes, second, &changed);
		g_assert(!changed);
		mime_message_free(&again);
	}
	mime_message_free(&message);
	close(original);
	close(first);
	close(second);
	return 0;
}
