/* The strict decoders give the same however the input is cut;
 * qp_encode() is undone by them. */
#include "mime/decode.h"
#include "mime/qp.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static const char *decode(enum header_encoding encoding, const char *data, size_t size,
	size_t piece, GString *out)
{
	struct decoder decoder;
	char *block = g_malloc(MIN(piece, size) + DECODE_SLACK_BYTES);

	decoder_init(&decoder, encoding);
	for (size_t at = 0; at < size; at += piece) {
		size_t n =
			decoder_push(&decoder, data + at, MIN(piece, size - at), block);

		g_string_append_len(out, block, (gssize)n);
	}
	g_free(block);
	return decoder_finish(&decoder);
}

static void check_encoder(const char *data, size_t size)
{
	GString *encoded = g_string_new(NULL), *decoded = g_string_new(NULL);

	qp_encode(data, size, "\r\n", encoded);
	g_assert(decode(HEADER_ENCODING_QP, encoded->str, encoded->len, 100, decoded) ==
		 NULL);
	g_assert(decoded->len == size && memcmp(decoded->str, data, size) == 0);
	g_string_free(encoded, TRUE);
	g_string_free(decoded, TRUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum header_encoding encodings[] = { HEADER_ENCODING_BASE64,
		HEADER_ENCODING_QP, HEADER_ENCODING_UUENCODE };
	const char *text = (const char *)data;

	for (size_t i = 0; i < G_N_ELEMENTS(encodings); i++) {
		GString *whole = g_string_new(NULL), *cut = g_string_new(NULL);
		const char *a = decode(encodings[i], text, size, size + 1, whole);
		const char *b = decode(encodings[i], text, size, size % 7 + 1, cut);

		g_assert((a == NULL) == (b == NULL));
		g_assert(a != NULL || g_string_equal(whole, cut));
		g_string_free(whole, TRUE);
		g_string_free(cut, TRUE);
	}
	check_encoder(text, size);
	return 0;
}
