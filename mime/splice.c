/*
 * splice - edits over a file that stays as it is, kept sorted by offset.
 * Leaves to its caller what the edits mean.
 */
#include "mime/splice.h"

#include "mime/mime.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct edit {
	uint64_t offset;
	uint64_t length;
	char *text;
	size_t text_bytes;
};

struct splice {
	uint64_t original_bytes;
	uint64_t result_bytes;
	/* struct edit; by offset, insertions before the range that begins there */
	GArray *edits;
};

static void clear_edit(gpointer data)
{
	struct edit *edit = data;

	g_free(edit->text);
}

struct splice *splice_new(uint64_t original_bytes)
{
	struct splice *splice = g_new0(struct splice, 1);

	splice->original_bytes = original_bytes;
	splice->result_bytes = original_bytes;
	splice->edits = g_array_new(FALSE, FALSE, sizeof(struct edit));
	g_array_set_clear_func(splice->edits, clear_edit);
	return splice;
}

static const struct edit *edit_at(const struct splice *splice, size_t i)
{
	return &g_array_index(splice->edits, struct edit, i);
}

/* Where an edit at offset goes: behind all that begin before it and,
 * there, all insertions. */
static size_t position_of(const struct splice *splice, uint64_t offset)
{
	size_t low = 0, high = splice->edits->len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct edit *edit = edit_at(splice, middle);

		if (edit->offset < offset ||
			(edit->offset == offset && edit->length == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool overlaps(
	const struct splice *splice, size_t at, uint64_t offset, uint64_t length)
{
	if (at > 0) {
		const struct edit *before = edit_at(splice, at - 1);

		if (before->offset + before->length > offset)
			return true;
	}
	if (at < splice->edits->len && length > 0 &&
		edit_at(splice, at)->offset < offset + length)
		return true;
	return false;
}

bool splice_replace(struct splice *splice, uint64_t offset, uint64_t length,
	const char *text, size_t text_bytes)
{
	struct edit edit = {
		.offset = offset, .length = length, .text_bytes = text_bytes
	};
	size_t at = position_of(splice, offset);

	if (offset > splice->original_bytes || length > splice->original_bytes - offset)
		return false;
	if (overlaps(splice, at, offset, length))
		return false;
	if (length == 0 && text_bytes == 0)
		return true;
	edit.text = g_memdup2(text, text_bytes);
	g_array_insert_val(splice->edits, (guint)at, edit);
	splice->result_bytes = splice->result_bytes - length + text_bytes;
	return true;
}

bool splice_leaves(const struct splice *splice, uint64_t start, uint64_t end)
{
	return !overlaps(splice, position_of(splice, start), start, end - start + 1);
}

uint64_t splice_bytes(const struct splice *splice)
{
	return splice->result_bytes;
}

void splice_reader_init(struct splice_reader *reader, const struct splice *splice, int fd)
{
	*reader = (struct splice_reader){ .splice = splice, .fd = fd };
}

/* Copies what is left of the text of the edit that begins here; steps over its range. */
static size_t read_text(struct splice_reader *reader, const struct edit *edit,
	char *buffer, size_t buffer_bytes)
{
	size_t n = MIN(edit->text_bytes - reader->text_at, buffer_bytes);

	if (n > 0)
		memcpy(buffer, edit->text + reader->text_at, n);
	reader->text_at += n;
	if (reader->text_at == edit->text_bytes) {
		reader->original_at += edit->length;
		reader->text_at = 0;
		reader->edit++;
	}
	return n;
}

static ssize_t read_original(struct splice_reader *reader, uint64_t until, char *buffer,
	size_t buffer_bytes, GError **error)
{
	size_t want = (size_t)MIN(until - reader->original_at, buffer_bytes);
	ssize_t n;

	do
		n = pread(reader->fd, buffer, want, (off_t)reader->original_at);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
			"cannot read the message: %s", g_strerror(errno));
		return -1;
	}
	if (n == 0) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
			"the message's file ends early, at octet %" G_GUINT64_FORMAT,
			reader->original_at);
		return -1;
	}
	reader->original_at += (uint64_t)n;
	return n;
}

ssize_t splice_read(
	struct splice_reader *reader, char *buffer, size_t buffer_bytes, GError **error)
{
	const struct splice *splice = reader->splice;
	size_t filled = 0;

	while (filled < buffer_bytes) {
		const struct edit *edit = NULL;
		ssize_t n;

		if (reader->edit < splice->edits->len)
			edit = edit_at(splice, reader->edit);
		if (edit != NULL && edit->offset == reader->original_at) {
			filled += read_text(
				reader, edit, buffer + filled, buffer_bytes - filled);
			continue;
		}
		if (reader->original_at == splice->original_bytes)
			break;
		n = read_original(reader,
			edit != NULL ? edit->offset : splice->original_bytes,
			buffer + filled, buffer_bytes - filled, error);
		if (n < 0)
			return -1;
		filled += (size_t)n;
	}
	return (ssize_t)filled;
}

void splice_free(struct splice **splice)
{
	if (splice == NULL || *splice == NULL)
		return;
	g_array_unref((*splice)->edits);
	g_free(*splice);
	*splice = NULL;
}
