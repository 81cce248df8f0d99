/*
 * splice - edits over a file that stays as it is, kept sorted by offset.
 * Leaves to its caller what the edits mean.
 */
#include "mime/splice.h"

#include "mime/mime.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

enum {
	/* RFC 2045, section 6.8: lines of 76 letters stand for 57 octets */
	BASE64_LETTERS = 76,
	BASE64_OCTETS = 57,
	BASE64_LINES = 128, /* that are made at once */
	NEWLINE_BYTES_MAX = 2,
};

enum edit_kind { EDIT_TEXT, EDIT_BASE64, EDIT_FOLDED };

struct edit {
	enum edit_kind kind;
	uint64_t offset;
	uint64_t length;
	uint64_t text_bytes;
	char *text;
	const char *newline; /* of EDIT_BASE64 */
	struct fold fold;    /* of EDIT_FOLDED, at the beginning */
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

/* Takes edit's text. */
static bool add_edit(struct splice *splice, struct edit edit)
{
	size_t at = position_of(splice, edit.offset);
	bool fits = edit.offset <= splice->original_bytes &&
		    edit.length <= splice->original_bytes - edit.offset &&
		    !overlaps(splice, at, edit.offset, edit.length);

	if (!fits || (edit.length == 0 && edit.text_bytes == 0)) {
		clear_edit(&edit);
		return fits;
	}
	g_array_insert_val(splice->edits, (guint)at, edit);
	splice->result_bytes = splice->result_bytes - edit.length + edit.text_bytes;
	return true;
}

bool splice_replace(struct splice *splice, uint64_t offset, uint64_t length,
	const char *text, size_t text_bytes)
{
	struct edit edit = {
		.offset = offset,
		.length = length,
		.text_bytes = text_bytes,
		.text = g_memdup2(text, text_bytes),
	};

	return add_edit(splice, edit);
}

bool splice_encode(
	struct splice *splice, uint64_t offset, uint64_t length, const char *newline)
{
	uint64_t lines = length / BASE64_OCTETS + (length % BASE64_OCTETS != 0);
	uint64_t breaks = lines > 0 ? lines - 1 : 0;
	struct edit edit = {
		.kind = EDIT_BASE64,
		.offset = offset,
		.length = length,
		.text_bytes =
			(length / 3 + (length % 3 != 0)) * 4 + breaks * strlen(newline),
		.newline = newline,
	};

	g_assert(strlen(newline) <= NEWLINE_BYTES_MAX);
	return add_edit(splice, edit);
}

bool splice_fold(struct splice *splice, uint64_t offset, uint64_t length,
	const struct fold *fold, uint64_t folded_bytes)
{
	struct edit edit = {
		.kind = EDIT_FOLDED,
		.offset = offset,
		.length = length,
		.text_bytes = folded_bytes,
		.fold = *fold,
	};

	return add_edit(splice, edit);
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

/* At least one octet of the original, from offset on. */
static ssize_t read_file(const struct splice_reader *reader, uint64_t offset,
	char *buffer, size_t buffer_bytes, GError **error)
{
	ssize_t n;

	do
		n = pread(reader->fd, buffer, buffer_bytes, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
			"cannot read the message: %s", g_strerror(errno));
		return -1;
	}
	if (n == 0) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
			"the message's file ends early, at octet %" G_GUINT64_FORMAT,
			offset);
		return -1;
	}
	return n;
}

/* All of n octets. */
static bool read_range(const struct splice_reader *reader, uint64_t offset, char *buffer,
	size_t n, GError **error)
{
	for (size_t have = 0; have < n;) {
		ssize_t got =
			read_file(reader, offset + have, buffer + have, n - have, error);

		if (got < 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

/* Letters of up to that many lines, at most BASE64_LINES, from that line of the edit's
 * on, with their line breaks, into coded: their number. */
static ssize_t encode_lines(const struct splice_reader *reader, const struct edit *edit,
	uint64_t line, size_t lines, char *coded, GError **error)
{
	char octets[BASE64_LINES * BASE64_OCTETS];
	uint64_t offset = edit->offset + line * BASE64_OCTETS;
	uint64_t end = edit->offset + edit->length;
	size_t want = (size_t)MIN(end - offset, lines * BASE64_OCTETS);
	char *out = coded;

	if (!read_range(reader, offset, octets, want, error))
		return -1;
	for (size_t at = 0; at < want; at += BASE64_OCTETS) {
		size_t n = MIN(want - at, BASE64_OCTETS);

		out += EVP_EncodeBlock(
			(unsigned char *)out, (const unsigned char *)octets + at, (int)n);
		if (offset + at + n < end)
			out = stpcpy(out, edit->newline);
	}
	return out - coded;
}

static ssize_t read_base64(const struct splice_reader *reader, const struct edit *edit,
	char *buffer, size_t buffer_bytes, GError **error)
{
	char coded[BASE64_LINES * (BASE64_LETTERS + NEWLINE_BYTES_MAX) + 1];
	size_t line_bytes = BASE64_LETTERS + strlen(edit->newline);
	size_t skip = (size_t)(reader->text_at % line_bytes);
	size_t lines = MIN((skip + buffer_bytes - 1) / line_bytes + 1, BASE64_LINES);
	ssize_t n = encode_lines(
		reader, edit, reader->text_at / line_bytes, lines, coded, error);

	if (n < 0)
		return -1;
	n = MIN(n - (ssize_t)skip, (ssize_t)buffer_bytes);
	memcpy(buffer, coded + skip, (size_t)n);
	return n;
}

/* The next octets of the edit's range, folded, into the reader. */
static bool fold_range(
	struct splice_reader *reader, const struct edit *edit, GError **error)
{
	char octets[SPLICE_FOLDED_BYTES];
	size_t want = (size_t)MIN(edit->length - reader->range_at, sizeof(octets)), used;

	if (want == 0) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
			"the message's file has changed");
		return false;
	}
	if (!read_range(reader, edit->offset + reader->range_at, octets, want, error))
		return false;
	reader->n_folded = fold_push(&reader->fold, octets, want, &used, reader->folded,
		sizeof(reader->folded));
	reader->range_at += used;
	reader->folded_at = 0;
	return true;
}

static ssize_t read_folded(struct splice_reader *reader, const struct edit *edit,
	char *buffer, size_t buffer_bytes, GError **error)
{
	size_t n;

	if (reader->text_at == 0) {
		reader->fold = edit->fold;
		reader->range_at = 0;
		reader->folded_at = reader->n_folded = 0;
	}
	if (reader->folded_at == reader->n_folded && !fold_range(reader, edit, error))
		return -1;
	n = MIN(reader->n_folded - reader->folded_at, buffer_bytes);
	memcpy(buffer, reader->folded + reader->folded_at, n);
	reader->folded_at += n;
	return (ssize_t)n;
}

static ssize_t read_text(const struct splice_reader *reader, const struct edit *edit,
	char *buffer, size_t buffer_bytes)
{
	size_t n = (size_t)MIN(edit->text_bytes - reader->text_at, buffer_bytes);

	if (n > 0)
		memcpy(buffer, edit->text + reader->text_at, n);
	return (ssize_t)n;
}

/* What is left of the text of the edit that begins here; steps over its range. */
static ssize_t read_edit(struct splice_reader *reader, const struct edit *edit,
	char *buffer, size_t buffer_bytes, GError **error)
{
	ssize_t n;

	if (edit->kind == EDIT_BASE64)
		n = read_base64(reader, edit, buffer, buffer_bytes, error);
	else if (edit->kind == EDIT_FOLDED)
		n = read_folded(reader, edit, buffer, buffer_bytes, error);
	else
		n = read_text(reader, edit, buffer, buffer_bytes);
	if (n < 0)
		return -1;
	reader->text_at += (uint64_t)n;
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
	ssize_t n = read_file(reader, reader->original_at, buffer, want, error);

	if (n > 0)
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
		bool at_edit = edit != NULL && edit->offset == reader->original_at;

		if (!at_edit && reader->original_at == splice->original_bytes)
			break;
		if (at_edit)
			n = read_edit(reader, edit, buffer + filled,
				buffer_bytes - filled, error);
		else
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
