/*
 * source - reads the original message for the other files of this folder.
 * Knows nothing of MIME.
 */
#include "mime/source.h"

#include "mime/mime.h"
#include <errno.h>
#include <unistd.h>

static bool read_fully(
	int fd, char *buffer, size_t bytes, uint64_t offset, GError **error)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t n = pread(fd, buffer + got, bytes - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
				"cannot read the message: %s",
				n < 0 ? g_strerror(errno) : "its file ends early");
			return false;
		}
		got += (size_t)n;
	}
	return true;
}

bool source_init(
	struct source *source, int fd, const char *octets, uint64_t bytes, GError **error)
{
	*source = (struct source){ .fd = fd, .bytes = bytes, .whole = octets };
	if (octets)
		return true;
	if (bytes > SOURCE_WHOLE_BYTES) {
		source->block = g_malloc(SOURCE_BLOCK_BYTES);
		return true;
	}
	source->whole = source->read = g_malloc((size_t)bytes + 1);
	if (read_fully(fd, source->read, (size_t)bytes, 0, error))
		return true;
	source_deinit(source);
	return false;
}

void source_deinit(struct source *source)
{
	source->whole = NULL;
	g_clear_pointer(&source->read, g_free);
	g_clear_pointer(&source->block, g_free);
}

const char *source_peek(struct source *source, uint64_t offset, uint64_t end,
	size_t *length, GError **error)
{
	if (source->whole != NULL) {
		*length = (size_t)(end - offset);
		return source->whole + offset;
	}
	*length = (size_t)MIN(end - offset, SOURCE_BLOCK_BYTES);
	if (!read_fully(source->fd, source->block, *length, offset, error))
		return NULL;
	return source->block;
}

bool source_append(struct source *source, uint64_t offset, uint64_t end, GString *text,
	GError **error)
{
	while (offset < end) {
		size_t length;
		const char *data = source_peek(source, offset, end, &length, error);

		if (data == NULL)
			return false;
		g_string_append_len(text, data, (gssize)length);
		offset += length;
	}
	return true;
}
