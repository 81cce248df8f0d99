/* Encoded-words by GMime. Which messages need them is the caller's to know. */
#include "gateway/delivery/preflight_words.h"

#include "gateway/delivery/preflight_addresses.h"
#include "gateway/delivery/preflight_text.h"

#include <gmime/gmime.h>
#include <string.h>

/* A longer field is no person's text, and would cost memory; but for lists,
 * which are read piece by piece. */
#define VALUE_BYTES_MAX 65536

enum kind { TEXT, ADDRESSES, TYPE, DISPOSITION };

static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {
	{ "From", ADDRESSES },
	{ "Sender", ADDRESSES },
	{ "Reply-To", ADDRESSES },
	{ "To", ADDRESSES },
	{ "Cc", ADDRESSES },
	{ "Resent-From", ADDRESSES },
	{ "Resent-Sender", ADDRESSES },
	{ "Resent-To", ADDRESSES },
	{ "Resent-Cc", ADDRESSES },
	{ "Disposition-Notification-To", ADDRESSES },
	{ "Return-Receipt-To", ADDRESSES },
	{ "Content-Type", TYPE },
	{ "Content-Disposition", DISPOSITION },
};

static enum kind kind_of(const char *text, const struct fields_span *span)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		if (fields_is(text, span, kinds[i].name))
			return kinds[i].kind;
	}
	return TEXT;
}

bool words_are_wanted(const char *text, const struct fields_span *span)
{
	return !text_is_ascii(text + span->value, span->end - span->value);
}

/* Line ends, other controls and runs of blanks become one blank. */
static char *unfold(const char *raw, size_t bytes)
{
	GString *line = g_string_sized_new(bytes);
	for (size_t i = 0; i < bytes; i++) {
		bool blank = raw[i] == ' ' || g_ascii_iscntrl(raw[i]);
		if (!blank)
			g_string_append_c(line, raw[i]);
		else if (line->len && line->str[line->len - 1] != ' ')
			g_string_append_c(line, ' ');
	}
	return g_strchomp(g_string_free(line, FALSE));
}

/* GMime counts characters where RFC 2047, section 2, allows 75 octets for a word. */
static bool has_long_word(const char *text)
{
	size_t bytes;
	for (; *text; text += bytes + (text[bytes] ? 1 : 0)) {
		bytes = strcspn(text, " ");
		if (bytes > 75 && g_str_has_prefix(text, "=?"))
			return true;
	}
	return false;
}

static char *encode_text(const char *line)
{
	g_autofree char *text = text_decode(line);
	g_autofree char *clean = text ? unfold(text, strlen(text)) : NULL;
	if (!clean)
		return NULL;
	g_autofree char *encoded = g_mime_utils_header_encode_text(NULL, clean, "utf-8");
	return has_long_word(encoded) ? text_unstructured(clean)
				      : g_steal_pointer(&encoded);
}

static char *encode_type(const char *line)
{
	GMimeContentType *type = g_mime_content_type_parse(NULL, line);
	char *encoded = type ? g_mime_content_type_encode(type, NULL) : NULL;
	g_clear_object(&type);
	return encoded;
}

static char *encode_disposition(const char *line)
{
	GMimeContentDisposition *disposition =
		g_mime_content_disposition_parse(NULL, line);
	char *encoded =
		disposition ? g_mime_content_disposition_encode(disposition, NULL) : NULL;
	g_clear_object(&disposition);
	return encoded;
}

static char *encode(enum kind kind, const char *line)
{
	switch (kind) {
	case ADDRESSES:
		return addresses_repair(line, strlen(line));
	case TYPE:
		return encode_type(line);
	case DISPOSITION:
		return encode_disposition(line);
	default:
		return encode_text(line);
	}
}

char *words_encode(const char *text, const struct fields_span *span, const GString *value)
{
	g_autofree char *line = unfold(value->str, value->len);
	enum kind kind = kind_of(text, span);
	bool is_read = kind == ADDRESSES || value->len <= VALUE_BYTES_MAX;
	g_autofree char *encoded = is_read ? encode(kind, line) : NULL;
	char *words = encoded ? unfold(encoded, strlen(encoded)) : NULL;
	if (words && *words && text_is_ascii(words, strlen(words)))
		return words;
	g_free(words);
	for (char *p = line; *p; p++)
		*p = (unsigned char)*p < 0x80 ? *p : '?';
	return g_steal_pointer(&line);
}
