/*
 * fold - line breaks into the too long lines of an encoded body, such as mean nothing in
 * its encoding (RFC 2045, sections 6.7 and 6.8).
 *
 * Where they stand is a matter of the octets alone, however these are cut: who counts
 * them and who writes them find the same.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_FOLD_H
#define MIME_FOLD_H

#include <stdbool.h>
#include <stddef.h>

enum {
	/* What one octet may become: a soft line break, it escaped, and a NUL. */
	FOLD_STEP_BYTES = 8,
};

/* Embedded; no deinit. Filled by the caller: is_qp (else base64) and newline (a constant
 * of one or two octets); all else zero. */
struct fold {
	bool is_qp;
	const char *newline;
	size_t column;
	char before[2]; /* the last two octets */
};

/*
 * Folds octets of data into out until none is left, or no FOLD_STEP_BYTES of its room:
 * the number of octets written; *used: of those read. No line gets longer than 998.
 */
size_t fold_push(struct fold *fold, const char *data, size_t length, size_t *used,
	char *out, size_t room);

#endif
