/*
 * decode - strict decoders, each fed with bytes however they are cut.
 * Leaves to policy.c which parts are decoded, to mime.c what a violation means.
 */
#include "mime/decode.h"

#include "mime/mime.h"
#include "mime/qp.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <tmmintrin.h>
#endif

enum { B64_BLANK = 0x40, B64_PAD = 0x41, B64_BAD = 0x80 };

#define BAD4  B64_BAD, B64_BAD, B64_BAD, B64_BAD
#define BAD16 BAD4, BAD4, BAD4, BAD4
#define BAD64 BAD16, BAD16, BAD16, BAD16

/* RFC 2045, table 1; values above 63 are no letters of it. */
static const uint8_t base64_value[256] = {
	/* 0x00 */ BAD4, BAD4, B64_BAD, B64_BLANK, B64_BLANK, B64_BAD, B64_BAD, B64_BLANK,
	B64_BAD, B64_BAD,
	/* 0x10 */ BAD16,
	/* 0x20 */ B64_BLANK, B64_BAD, B64_BAD, B64_BAD, BAD4, B64_BAD, B64_BAD, B64_BAD,
	62, B64_BAD, B64_BAD, B64_BAD, 63,
	/* 0x30 */ 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, B64_BAD, B64_BAD, B64_BAD,
	B64_PAD, B64_BAD, B64_BAD,
	/* 0x40 */ B64_BAD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	/* 0x50 */ 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, B64_BAD, B64_BAD, B64_BAD,
	B64_BAD, B64_BAD,
	/* 0x60 */ B64_BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	/* 0x70 */ 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, B64_BAD, B64_BAD, B64_BAD,
	B64_BAD, B64_BAD,
	/* 0x80 */ BAD64, BAD64
};

/* Of base64: where in a quantum, and what padding was seen. */
enum { B64_DATA, B64_PADDED_ONE, B64_DONE };

enum { QP_TEXT, QP_BLANK, QP_EQUALS, QP_HEX, QP_SOFT_CR, QP_CR };

enum { UU_BEFORE, UU_DATA, UU_ZERO, UU_AFTER };

void decoder_init(struct decoder *decoder, enum header_encoding encoding)
{
	*decoder = (struct decoder){ .encoding = encoding };
	if (encoding == HEADER_ENCODING_UNKNOWN)
		decoder->violation = "its transfer encoding is unknown";
}

/* One quantum of four letters; false, and nothing written, when one of them is none. */
static bool base64_quantum(const uint8_t *p, uint8_t *out)
{
	uint32_t a = base64_value[p[0]], b = base64_value[p[1]];
	uint32_t c = base64_value[p[2]], d = base64_value[p[3]];
	uint32_t bits = a << 18 | b << 12 | c << 6 | d;

	if ((a | b | c | d) & (B64_BAD | B64_BLANK))
		return false;
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return true;
}

#ifdef __x86_64__
/*
 * Sixteen letters at a time. Each letter's two halves choose a bit each from a table; a
 * bit that both have means that it is no letter. Its high half then chooses what to add
 * to get its value. Writes 16 octets where 12 count: the rest is slack.
 */
__attribute__((target("ssse3"))) static size_t base64_vectors(
	const uint8_t *in, size_t length, uint8_t *out)
{
	const __m128i low_classes = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11,
		0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
	const __m128i high_classes = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08,
		0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
	const __m128i distances =
		_mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m128i order =
		_mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	const __m128i nibble = _mm_set1_epi8(0x0f), slash = _mm_set1_epi8('/');
	size_t at = 0;

	for (; length - at >= 16; at += 16, out += 12) {
		__m128i text = _mm_loadu_si128((const __m128i *)(const void *)(in + at));
		__m128i high = _mm_and_si128(_mm_srli_epi32(text, 4), nibble);
		__m128i wrong = _mm_and_si128(
			_mm_shuffle_epi8(low_classes, _mm_and_si128(text, nibble)),
			_mm_shuffle_epi8(high_classes, high));
		__m128i index = _mm_add_epi8(_mm_cmpeq_epi8(text, slash), high);

		if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) !=
			0xffff)
			break;
		text = _mm_add_epi8(text, _mm_shuffle_epi8(distances, index));
		text = _mm_maddubs_epi16(text, _mm_set1_epi32(0x01400140));
		text = _mm_madd_epi16(text, _mm_set1_epi32(0x00011000));
		_mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(text, order));
	}
	return at;
}
#endif

/* Whole quanta without anything between: the hot path. Returns how
 * many octets it took. */
static size_t base64_quanta(const uint8_t *in, size_t length, uint8_t *out)
{
	size_t at = 0;

#ifdef __x86_64__
	if (__builtin_cpu_supports("ssse3"))
		at = base64_vectors(in, length, out);
#endif
	while (length - at >= 4 && base64_quantum(in + at, out + at / 4 * 3))
		at += 4;
	return at;
}

static uint8_t *base64_letter(struct decoder *decoder, uint8_t value, uint8_t *out)
{
	if (decoder->state != B64_DATA) {
		decoder->violation = "base64: data after the padding";
		return out;
	}
	decoder->bits = decoder->bits << 6 | value;
	if (++decoder->n_bits < 4)
		return out;
	out[0] = (uint8_t)(decoder->bits >> 16);
	out[1] = (uint8_t)(decoder->bits >> 8);
	out[2] = (uint8_t)decoder->bits;
	decoder->bits = 0;
	decoder->n_bits = 0;
	return out + 3;
}

static uint8_t *base64_pad(struct decoder *decoder, uint8_t *out)
{
	if (decoder->state == B64_PADDED_ONE) {
		decoder->state = B64_DONE;
		return out;
	}
	if (decoder->state == B64_DONE || decoder->n_bits < 2) {
		decoder->violation = "base64: padding where none belongs";
		return out;
	}
	if (decoder->n_bits == 2) {
		*out++ = (uint8_t)(decoder->bits >> 4);
		decoder->state = B64_PADDED_ONE;
	} else {
		*out++ = (uint8_t)(decoder->bits >> 10);
		*out++ = (uint8_t)(decoder->bits >> 2);
		decoder->state = B64_DONE;
	}
	decoder->n_bits = 0;
	return out;
}

static size_t push_base64(
	struct decoder *decoder, const char *data, size_t length, char *out)
{
	const uint8_t *p = (const uint8_t *)data, *end = p + length;
	uint8_t *o = (uint8_t *)out;

	while (p < end) {
		uint8_t value;

		if (decoder->n_bits == 0 && decoder->state == B64_DATA) {
			size_t n = base64_quanta(p, (size_t)(end - p), o);

			p += n;
			o += n / 4 * 3;
			if (p == end)
				break;
		}
		value = base64_value[*p++];
		if (value < 64)
			o = base64_letter(decoder, value, o);
		else if (value == B64_PAD)
			o = base64_pad(decoder, o);
		else if (value == B64_BAD)
			decoder->violation = "base64: a character that is not of it";
		if (decoder->violation != NULL)
			break;
	}
	return (size_t)(o - (uint8_t *)out);
}

static int hex_value(char c)
{
	return g_ascii_xdigit_value(c);
}

/* The octet after "=", or after what may follow it on its line. */
static void qp_escape(struct decoder *decoder, char c)
{
	if (decoder->state == QP_EQUALS && hex_value(c) >= 0) {
		decoder->bits = (uint32_t)hex_value(c);
		decoder->state = QP_HEX;
	} else if (c == '\n') {
		decoder->state = QP_TEXT;
	} else if (decoder->state == QP_SOFT_CR) {
		decoder->violation = "quoted-printable: a lone CR behind '='";
	} else if (c == '\r') {
		decoder->state = QP_SOFT_CR;
	} else if (c == ' ' || c == '\t') {
		/* RFC 2045 has it deleted, many decoders take the '=' for itself. */
		decoder->violation = "quoted-printable: white space behind '='";
	} else {
		decoder->violation = "quoted-printable: no hexadecimal digits behind '='";
	}
}

static size_t push_qp(struct decoder *decoder, const char *data, size_t length, char *out)
{
	char *o = out;

	for (size_t i = 0; i < length && decoder->violation == NULL; i++) {
		char c = data[i];

		switch (decoder->state) {
		case QP_BLANK:
			/* RFC 2045 has it deleted, many decoders keep it. */
			if (c == '\r' || c == '\n') {
				decoder->violation =
					"quoted-printable: white space at a line's end";
				break;
			}
			/* fall through */
		case QP_TEXT:
			decoder->state = c == ' ' || c == '\t' ? QP_BLANK : QP_TEXT;
			if (c == '=')
				decoder->state = QP_EQUALS;
			else
				*o++ = c;
			break;
		case QP_HEX:
			if (hex_value(c) < 0) {
				decoder->violation = "quoted-printable: one hexadecimal "
						     "digit behind '='";
				break;
			}
			*o++ = (char)(decoder->bits << 4 | (uint32_t)hex_value(c));
			decoder->state = QP_TEXT;
			break;
		default:
			qp_escape(decoder, c);
			break;
		}
	}
	return (size_t)(o - out);
}

static bool is_uu_char(char c)
{
	return c >= ' ' && c <= '`';
}

static uint32_t uu_value(char c)
{
	return (uint32_t)(c - ' ') & 63;
}

static size_t uu_data_line(
	struct decoder *decoder, const char *line, size_t length, char *out)
{
	size_t bytes = uu_value(line[0]), chars = (bytes + 2) / 3 * 4, n = 0;

	if (!is_uu_char(line[0]) || length != 1 + chars) {
		decoder->violation = "uuencode: a line of the wrong length";
		return 0;
	}
	if (bytes == 0)
		decoder->state = UU_ZERO;
	for (size_t i = 1; i < length; i += 4) {
		uint32_t bits = 0;

		for (size_t k = 0; k < 4; k++) {
			if (!is_uu_char(line[i + k]))
				decoder->violation =
					"uuencode: a character that is not of it";
			bits = bits << 6 | uu_value(line[i + k]);
		}
		for (int shift = 16; shift >= 0 && n < bytes; shift -= 8)
			out[n++] = (char)(bits >> shift);
	}
	return n;
}

static size_t uu_line(struct decoder *decoder, char *out)
{
	const char *line = decoder->line;
	size_t length = decoder->line_bytes;

	while (length > 0 && line[length - 1] == '\r')
		length--;
	decoder->line_bytes = 0;
	switch (decoder->state) {
	case UU_BEFORE:
		if (length > 6 && memcmp(line, "begin ", 6) == 0)
			decoder->state = UU_DATA;
		else if (length > 0)
			decoder->violation = "uuencode: text before its begin line";
		return 0;
	case UU_DATA:
		if (length > 0)
			return uu_data_line(decoder, line, length, out);
		decoder->violation = "uuencode: an empty line within";
		return 0;
	case UU_ZERO:
		if (length != 3 || memcmp(line, "end", 3) != 0)
			decoder->violation = "uuencode: no end line";
		decoder->state = UU_AFTER;
		return 0;
	default:
		if (length > 0)
			decoder->violation = "uuencode: text behind its end line";
		return 0;
	}
}

static size_t push_uu(struct decoder *decoder, const char *data, size_t length, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < length && decoder->violation == NULL; i++) {
		if (data[i] == '\n')
			n += uu_line(decoder, out + n);
		else if (decoder->line_bytes == sizeof(decoder->line))
			decoder->violation = "uuencode: too long a line";
		else
			decoder->line[decoder->line_bytes++] = data[i];
	}
	return n;
}

size_t decoder_push(struct decoder *decoder, const char *data, size_t length, char *out)
{
	if (decoder->violation != NULL)
		return 0;
	switch (decoder->encoding) {
	case HEADER_ENCODING_BASE64:
		return push_base64(decoder, data, length, out);
	case HEADER_ENCODING_QP:
		return push_qp(decoder, data, length, out);
	case HEADER_ENCODING_UUENCODE:
		return push_uu(decoder, data, length, out);
	default:
		memcpy(out, data, length);
		return length;
	}
}

const char *decoder_finish(struct decoder *decoder)
{
	char none[DECODE_UU_LINE_BYTES];

	if (decoder->violation != NULL)
		return decoder->violation;
	if (decoder->encoding == HEADER_ENCODING_BASE64 &&
		(decoder->n_bits != 0 || decoder->state == B64_PADDED_ONE))
		decoder->violation = "base64: it ends within four characters";
	if (decoder->encoding == HEADER_ENCODING_QP && decoder->state == QP_HEX)
		decoder->violation = "quoted-printable: it ends within an escape";
	if (decoder->encoding == HEADER_ENCODING_QP && decoder->state == QP_BLANK)
		decoder->violation = "quoted-printable: white space at a line's end";
	if (decoder->encoding == HEADER_ENCODING_UUENCODE) {
		if (decoder->line_bytes > 0)
			uu_line(decoder, none);
		if (decoder->violation == NULL && decoder->state != UU_AFTER)
			decoder->violation = "uuencode: no end line";
	}
	return decoder->violation;
}

static bool write_fully(void *context, const char *data, size_t length, GError **error)
{
	int fd = *(const int *)context;

	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_set_error(error, MIME_ERROR, MIME_ERROR_IO,
				"cannot write an attachment: %s", g_strerror(errno));
			return false;
		}
		data += n;
		length -= (size_t)n;
	}
	return true;
}

/* One block on its way: decoded, counted, hashed, written. */
struct sink {
	char *out;
	decode_put put; /* NULL: only counts */
	void *context;
	EVP_MD_CTX *digest;
	struct decode_result *result;
};

/* A digest can fail for want of memory only, and a wrong hash is worse than no
 * process. */
static void must(int result)
{
	g_assert(result == 1);
}

static bool sink_push(struct sink *sink, const char *data, size_t length, GError **error)
{
	sink->result->size += length;
	if (length == 0 || sink->put == NULL)
		return true;
	must(EVP_DigestUpdate(sink->digest, data, length));
	return sink->put(sink->context, data, length, error);
}

static bool decode_blocks(struct source *source, uint64_t start, uint64_t end,
	struct decoder *decoder, struct sink *sink, GError **error)
{
	while (start < end && decoder->violation == NULL) {
		uint64_t stop = MIN(end, start + SOURCE_BLOCK_BYTES);
		size_t length, n;
		const char *data = source_peek(source, start, stop, &length, error);

		if (data == NULL)
			return false;
		start += length;
		if (decoder->encoding == HEADER_ENCODING_IDENTITY) {
			if (!sink_push(sink, data, length, error))
				return false;
			continue;
		}
		n = decoder_push(decoder, data, length, sink->out);
		if (!sink_push(sink, sink->out, n, error))
			return false;
	}
	return true;
}

bool decode_part_to(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, decode_put put, void *context,
	struct decode_result *result, GError **error)
{
	struct decoder decoder;
	struct sink sink = { .put = put, .context = context, .result = result };
	bool ok;

	*result = (struct decode_result){ 0 };
	decoder_init(&decoder, encoding);
	sink.out = g_malloc(SOURCE_BLOCK_BYTES + DECODE_SLACK_BYTES);
	if (put != NULL) {
		sink.digest = EVP_MD_CTX_new();
		g_assert(sink.digest != NULL);
		must(EVP_DigestInit_ex(sink.digest, EVP_sha256(), NULL));
	}
	ok = decode_blocks(source, start, end, &decoder, &sink, error);
	result->violation = decoder_finish(&decoder);
	if (sink.digest != NULL)
		must(EVP_DigestFinal_ex(sink.digest, result->sha256, NULL));
	EVP_MD_CTX_free(sink.digest);
	g_free(sink.out);
	return ok;
}

bool decode_part(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, int out_fd, struct decode_result *result,
	GError **error)
{
	return decode_part_to(source, start, end, encoding,
		out_fd >= 0 ? write_fully : NULL, &out_fd, result, error);
}

bool decode_text(struct source *source, uint64_t start, uint64_t end,
	enum header_encoding encoding, GString *text, const char **violation,
	GError **error)
{
	g_autoptr(GString) raw = g_string_new(NULL);
	struct decoder decoder;
	char *out;

	*violation = NULL;
	if (!source_append(source, start, end, raw, error))
		return false;
	if (encoding == HEADER_ENCODING_QP) {
		qp_decode(raw->str, raw->len, text);
		return true;
	}
	out = g_malloc(raw->len + DECODE_SLACK_BYTES);
	decoder_init(&decoder, encoding);
	g_string_append_len(
		text, out, (gssize)decoder_push(&decoder, raw->str, raw->len, out));
	*violation = decoder_finish(&decoder);
	g_free(out);
	return true;
}
