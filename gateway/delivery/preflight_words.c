/* Encoded-words by GMime. Which messages need them is the caller's to know. */
#include "gateway/delivery/preflight_words.h"

#include "gateway/delivery/preflight_addresses.h"
#include "gateway/delivery/preflight_text.h"

#include <gmime/gmime.h>
#include <string.h>

/* A longer field is no person's text, and would cost memory. */
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

static char *encode_text(const char *line)
{
	g_autofree char *text = g_mime_utils_header_decode_text(NULL, line);
	g_autofree char *clean = text ? unfold(text, strlen(text)) : NULL;
	return clean ? g_mime_utils_header_encode_text(NULL, clean, "utf-8") : NULL;
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

char *words_encode(const char *text, const struct fields_span *span, const GString *more)
{
	g_autoptr(GString) raw =
		g_string_new_len(text + span->value, (gssize)(span->end - span->value));
	if (more)
		g_string_append_len(raw, more->str, (gssize)more->len);
	g_autofree char *line = unfold(raw->str, raw->len);
	g_autofree char *encoded =
		raw->len <= VALUE_BYTES_MAX ? encode(kind_of(text, span), line) : NULL;
	char *value = encoded ? unfold(encoded, strlen(encoded)) : NULL;
	if (value && *value && text_is_ascii(value, strlen(value)))
		return value;
	g_free(value);
	for (char *p = line; *p; p++)
		*p = (unsigned char)*p < 0x80 ? *p : '?';
	return g_steal_pointer(&line);
}
