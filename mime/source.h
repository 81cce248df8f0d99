/*
 * source - the original message's octets, by offset: from memory when
 * it is small, else pread.
 *
 * Private to mime/. Thread: its owner's.
 */
#ifndef MIME_SOURCE_H
#define MIME_SOURCE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SOURCE_BLOCK_BYTES = 64 * 1024,
	/* A message up to this size is read once and kept: one system
	 * call for all passes. */
	SOURCE_WHOLE_BYTES = 256 * 1024,
};

struct source {
	int fd; /* borrowed; read with pread only */
	uint64_t bytes;
	const char *whole; /* all of it, or NULL */
	char *read;        /* whole, where it is our own */
	char *block;       /* SOURCE_BLOCK_BYTES, when whole is NULL */
};

/* octets: all of them, borrowed; NULL: they are read from fd. False
 * with MIME_ERROR_IO. */
bool source_init(struct source *source, int fd, const char *octets, uint64_t bytes,
	GError **error);
void source_deinit(struct source *source);

/*
 * The octets from offset on, up to end: *length of them, at least 1 and at most a block
 * when offset < end. The pointer holds until the next call. NULL with MIME_ERROR_IO.
 */
const char *source_peek(struct source *source, uint64_t offset, uint64_t end,
	size_t *length, GError **error);

/* Appends the octets from offset to end to text. The caller bounds their number. */
bool source_append(struct source *source, uint64_t offset, uint64_t end, GString *text,
	GError **error);

#endif
