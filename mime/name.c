/* A guess, but one that has to fit: a name that is no text in a charset is not in it. */
#include "mime/name.h"

#include "mime/charset.h"
#include <string.h>

/* What Windows writes under the name, or instead of a charset that is for mail only. */
static const char *charset_of_names(const char *hint)
{
	static const struct {
		const char *hint, *charset;
	} known[] = {
		{ "shift_jis", "CP932" },
		{ "shift-jis", "CP932" },
		{ "x-sjis", "CP932" },
		{ "windows-31j", "CP932" },
		{ "iso-2022-jp", "CP932" },
		{ "gb2312", "GB18030" },
		{ "gbk", "GB18030" },
		{ "x-gbk", "GB18030" },
		{ "hz-gb-2312", "GB18030" },
		{ "big5", "BIG5-HKSCS" },
		{ "euc-kr", "CP949" },
		{ "ks_c_5601-1987", "CP949" },
		{ "iso-2022-kr", "CP949" },
		{ "iso-8859-1", "WINDOWS-1252" },
		{ "iso-8859-9", "WINDOWS-1254" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
		if (g_ascii_strcasecmp(hint, known[i].hint) == 0)
			return known[i].charset;
	return hint;
}

static bool is_readable(const char *text)
{
	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (!g_unichar_isdefined(c) ||
			g_unichar_type(c) == G_UNICODE_PRIVATE_USE ||
			(c >= 0x80 && c < 0xa0))
			return false;
	}
	return true;
}

static char *read_in(const char *raw, gsize length, const char *charset)
{
	g_autofree char *text = NULL;

	if (charset_is_utf8(charset) || !charset_holds_ascii(charset))
		return NULL;
	text = charset_to_utf8(charset, raw, length, NULL);
	return text != NULL && is_readable(text) ? g_steal_pointer(&text) : NULL;
}

char *name_from_raw(const char *name, const char *const *hints)
{
	char *text = NULL;

	for (size_t i = 0; text == NULL && hints[i] != NULL; i++)
		text = read_in(name, strlen(name), charset_of_names(hints[i]));
	return text != NULL ? text : g_strdup(name);
}

char *name_charset_of_words(const GString *header)
{
	const char *p = header->str;

	while ((p = strstr(p, "=?")) != NULL) {
		size_t n = strcspn(p + 2, "?* \t\r\n");
		g_autofree char *charset = g_strndup(p + 2, n);

		p += 2;
		if (n > 0 && n < 40 && p[n] != '\0' && strchr("?*", p[n]) != NULL &&
			!charset_is_utf8(charset))
			return g_steal_pointer(&charset);
	}
	return NULL;
}
