/* Encoded-words by GMime. Which messages need them is the caller's to know. */
#include "gateway/delivery/preflight_words.h"

#include "gateway/delivery/preflight_text.h"

#include <gmime/gmime.h>
#include <string.h>

/* A longer field is no person's text, and would cost memory. */
#define VALUE_BYTES_MAX 65536

enum kind { NONE, TEXT, ADDRESSES };

static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {
	{ "Subject", TEXT },
	{ "Comments", TEXT },
	{ "Organization", TEXT },
	{ "Thread-Topic", TEXT },
	{ "User-Agent", TEXT },
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
};

static enum kind kind_of(const char *text, const struct fields_span *span)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		if (fields_is(text, span, kinds[i].name))
			return kinds[i].kind;
	}
	return fields_has_prefix(text, span, "X-") ? TEXT : NONE;
}

bool words_are_wanted(const char *text, const struct fields_span *span)
{
	size_t bytes = span->end - span->value;
	return bytes <= VALUE_BYTES_MAX && !text_is_ascii(text + span->value, bytes) &&
	       kind_of(text, span) != NONE;
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

static char *encode_addresses(const char *line)
{
	InternetAddressList *list = internet_address_list_parse(NULL, line);
	char *encoded = list ? internet_address_list_to_string(list, NULL, TRUE) : NULL;
	g_clear_object(&list);
	return encoded;
}

static char *encode_text(const char *line)
{
	g_autofree char *text = g_mime_utils_header_decode_text(NULL, line);
	g_autofree char *clean = text ? unfold(text, strlen(text)) : NULL;
	return clean ? g_mime_utils_header_encode_text(NULL, clean, "utf-8") : NULL;
}

char *words_encode(const char *text, const struct fields_span *span, const GString *more)
{
	g_autoptr(GString) raw =
		g_string_new_len(text + span->value, (gssize)(span->end - span->value));
	if (more)
		g_string_append_len(raw, more->str, (gssize)more->len);
	g_autofree char *line = unfold(raw->str, raw->len);
	g_autofree char *encoded =
		kind_of(text, span) == TEXT ? encode_text(line) : encode_addresses(line);
	g_autofree char *value = encoded ? unfold(encoded, strlen(encoded)) : NULL;
	bool good = value && *value && text_is_ascii(value, strlen(value));
	return good ? g_steal_pointer(&value) : NULL;
}
