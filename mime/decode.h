/*
 * decode - content transfer encodings (RFC 2045, section 6), read strictly.
 *
 * Input that a careful and a lenient reader would decode differently is a violation: a
 * static text says which. What is odd but unambiguous (long lines, blank lines, white
 * space between base64 characters) decodes.
 *
 * Private to mime/. Pure but for decode_part(), which preads, writes and hashes.
 */
#ifndef MIME_DECODE_H
#define MIME_DECODE_H

#include "mime/header.h"
#include "mime/source.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { DECODE_UU_LINE_BYTES = 128 };

/* Embedded; no deinit. */
struct decoder {
	enum header_encoding encoding;
	const char *violation;
	unsigned state;
	uint32_t bits; /* base64: characters of an unfinished quantum */
	unsigned n_bits;
	size_t line_bytes; /* uuencode: of the line that a block has cut */
	char line[DECODE_UU_LINE_BYTES];
};

void decoder_init(struct decoder *decoder, enum header_encoding encoding);

/*
 * Decodes length octets into out, which has room for length + DECODE_SLACK_BYTES: the
 * number of octets written. After a violation nothing more is decoded.
 */
enum { DECODE_SLACK_BYTES = DECODE_UU_LINE_BYTES };
size_t decoder_push(struct decoder *decoder, const char *data, size_t length, char *out);

/* After the last octet: the first violation, or NULL. */
const char *decoder_finish(struct decoder *decoder);

struct decode_result {
	uint64_t size;
	uint8_t sha256[32];
	const char *violation; /* then the others mean nothing */
};

/* Takes n decoded octets. */
typedef bool (*decode_put)(void *context, const char *octets, size_t n, GError **error);

/* Decodes the range of source to put (NULL: only counts; no hash then). False:
 * MIME_ERROR_IO, or put's error. */
bool decode_part_to(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, decode_put put, void *context,
	struct decode_result *result, GError **error);

/* The same to out_fd; -1: only counts. */
bool decode_part(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, int out_fd, struct decode_result *result,
	GError **error);

/*
 * Decodes a text body, which the caller bounds, for reading and for places in it:
 * quoted-printable leniently (qp_decode()), all else strictly. *violation says why it
 * could not; false only with MIME_ERROR_IO.
 */
bool decode_text(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, GString *text, const char **violation,
	GError **error);

#endif
