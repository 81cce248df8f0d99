/*
 * splice - a rewritten message as edits over the original: ranges
 * that stay, text in between.
 *
 * What is not edited is copied from the original's descriptor, so it is byte-identical by
 * construction, and no rewritten copy of a large message is ever made.
 *
 * Pure but for splice_read(), which preads. Thread: one at a time;
 * no thread is preferred.
 */
#ifndef MIME_SPLICE_H
#define MIME_SPLICE_H

#include "mime/fold.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SPLICE_FOLDED_BYTES = 4096 };

struct splice;

/* A splice that reproduces the first original_bytes octets of a file. Never NULL. */
struct splice *splice_new(uint64_t original_bytes);

/*
 * Replaces length octets at offset of the original by text (copied; may hold NUL). length
 * 0 inserts; text_bytes 0 removes. Edits may come in any order; several insertions at one
 * offset stand in the order they were made, and before the text that replaces a range
 * that begins there. False when the edit overlaps another or lies outside the original:
 * nothing changed.
 */
bool splice_replace(struct splice *splice, uint64_t offset, uint64_t length,
	const char *text, size_t text_bytes);

/*
 * Replaces length octets at offset of the original by their base64 (RFC 2045, section
 * 6.8), which is made anew whenever it is read: no copy is kept, however many there are.
 * newline (a constant of one or two octets) stands between the lines, not behind the
 * last. False as above.
 */
bool splice_encode(
	struct splice *splice, uint64_t offset, uint64_t length, const char *newline);

/*
 * Replaces length octets at offset of the original by what fold (which has seen none yet)
 * makes of them: folded_bytes octets, which the caller has counted. They are made anew
 * whenever they are read. False as above.
 */
bool splice_fold(struct splice *splice, uint64_t offset, uint64_t length,
	const struct fold *fold, uint64_t folded_bytes);

/*
 * True when the octets of the original from start to end (exclusive) stay, and nothing is
 * inserted between or behind them.
 */
bool splice_leaves(const struct splice *splice, uint64_t start, uint64_t end);

/* Octets of the result. */
uint64_t splice_bytes(const struct splice *splice);

/* A place in the result. Embedded; no deinit. The splice must not
 * change while it is in use. */
struct splice_reader {
	const struct splice *splice;
	int fd; /* of the original; borrowed; read with pread only */
	size_t edit;
	uint64_t original_at;
	uint64_t text_at;
	/* Of an edit that folds: how much of its range is read, and the last of that. */
	struct fold fold;
	uint64_t range_at;
	size_t folded_at, n_folded;
	char folded[SPLICE_FOLDED_BYTES];
};

void splice_reader_init(
	struct splice_reader *reader, const struct splice *splice, int fd);

/*
 * Reads up to buffer_bytes octets of the result: their number, 0 at the end, -1 with
 * error set (MIME_ERROR_IO: the original could not be read, or is not what it was).
 * Reads less than asked only at the end.
 */
ssize_t splice_read(
	struct splice_reader *reader, char *buffer, size_t buffer_bytes, GError **error);

void splice_free(struct splice **splice);

#endif
