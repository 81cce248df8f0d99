/*
 * charset - what body.c needs to know of charsets.
 * Conversions are GLib's (iconv), whose errors are kept.
 */
#include "mime/charset.h"

#include <string.h>

static bool has_prefix(const char *text, const char *lower)
{
	return g_ascii_strncasecmp(text, lower, strlen(lower)) == 0;
}

static bool is_any(const char *text, const char *const *names)
{
	for (size_t i = 0; names[i] != NULL; i++)
		if (has_prefix(text, names[i]))
			return true;
	return false;
}

/* iconv gives "//IGNORE" and the like behind a name a meaning: inexact conversion. */
static bool is_name(const char *charset)
{
	for (const char *p = charset; *p != '\0'; p++)
		if (!g_ascii_isalnum(*p) && strchr("-_.:+", *p) == NULL)
			return false;
	return true;
}

/* Does iconv see printable ASCII as itself? Asked for names that are in neither list. */
static bool probe_ascii(const char *charset)
{
	static const char sample[] =
		"\r\n !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRS"
		"TUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";
	GIConv converter = is_name(charset) ? g_iconv_open("UTF-8", charset) : (GIConv)-1;
	g_autofree char *utf8 = NULL;

	if (converter == (GIConv)-1)
		return true;
	utf8 = g_convert_with_iconv(sample, -1, converter, NULL, NULL, NULL);
	g_iconv_close(converter);
	return utf8 != NULL && strcmp(utf8, sample) == 0;
}

bool charset_holds_ascii(const char *charset)
{
	static const char *const extensions[] = { "us-ascii", "utf-8", "iso-8859-",
		"windows-125", "cp125", "koi8-", "gb2312", "gbk", "gb18030", "big5",
		"shift_jis", "euc-", "ks_c_5601", NULL };
	static const char *const others[] = { "utf-16", "utf-32", "utf-7",
		"unicode-1-1-utf-7", "ucs-", "iso-10646", "iso-2022-", "csiso2022", "hz",
		"ebcdic", "ibm037", "cp037", NULL };

	if (charset == NULL || *charset == '\0' || is_any(charset, extensions))
		return true;
	if (is_any(charset, others))
		return false;
	return probe_ascii(charset);
}

bool charset_is_utf8(const char *charset)
{
	static const char *const names[] = { "us-ascii", "ascii", "utf-8", "utf8", NULL };

	if (charset == NULL || *charset == '\0')
		return true;
	for (size_t i = 0; names[i] != NULL; i++)
		if (g_ascii_strcasecmp(charset, names[i]) == 0)
			return true;
	return false;
}

/*
 * Names that mail programs use and iconv does not know, or under which they write more
 * than the name promises. It is read so, but written as the name says: readers differ in
 * what they take beyond it.
 */
static const char *iconv_name(const char *charset, bool written)
{
	static const struct {
		const char *name, *read, *written;
	} aliases[] = {
		{ "unicode-1-1-utf-7", "UTF-7", "UTF-7" },
		{ "ks_c_5601-1987", "CP949", "EUC-KR" },
		{ "gb2312", "GBK", "EUC-CN" },
		{ "gbk", "GBK", "EUC-CN" },
		{ "x-gbk", "GBK", "EUC-CN" },
		{ "iso-8859-8-i", "ISO-8859-8", "ISO-8859-8" },
		{ "x-sjis", "SHIFT_JIS", "SHIFT_JIS" },
		{ "cp-850", "CP850", "CP850" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(aliases); i++)
		if (g_ascii_strcasecmp(charset, aliases[i].name) == 0)
			return written ? aliases[i].written : aliases[i].read;
	return charset;
}

/* Exactly, all of it; a name that is none is a charset that nobody knows. */
static char *convert(const char *text, size_t length, const char *to, const char *from,
	size_t *bytes_written)
{
	gsize read = 0, written = 0;
	char *result = NULL;

	if (is_name(to) && is_name(from))
		result = g_convert(text, (gssize)length, to, from, &read, &written, NULL);

	if (result != NULL && read != length)
		g_clear_pointer(&result, g_free);
	if (bytes_written != NULL)
		*bytes_written = written;
	return result;
}

static bool is_hz(const char *charset)
{
	return g_ascii_strcasecmp(charset, "hz-gb-2312") == 0 ||
	       g_ascii_strcasecmp(charset, "hz") == 0;
}

/* RFC 1843, which iconv does not know: GB 2312 between "~{" and "~}", on one line. */
static char *hz_to_utf8(const char *text, size_t length, size_t *bytes_written)
{
	g_autoptr(GString) gb = g_string_sized_new(length);
	bool chinese = false;

	for (size_t i = 0; i < length; i++) {
		char c = text[i], next = i + 1 < length ? text[i + 1] : '\0';

		if (c == '~' && next == (chinese ? '}' : '{')) {
			chinese = !chinese;
			i++;
		} else if (chinese) {
			if (c <= ' ' || c > '~' || next <= ' ' || next > '~')
				return NULL;
			g_string_append_c(gb, (char)(c | 0x80));
			g_string_append_c(gb, (char)(next | 0x80));
			i++;
		} else if (c == '~') {
			if (next != '~')
				return NULL;
			g_string_append_c(gb, '~');
			i++;
		} else if ((unsigned char)c >= 0x80) {
			return NULL;
		} else {
			g_string_append_c(gb, c);
		}
	}
	if (chinese)
		return NULL;
	return convert(gb->str, gb->len, "UTF-8", "EUC-CN", bytes_written);
}

char *charset_to_utf8(
	const char *charset, const char *text, size_t length, size_t *bytes_written)
{
	if (charset == NULL || *charset == '\0')
		charset = "US-ASCII";
	if (is_hz(charset))
		return hz_to_utf8(text, length, bytes_written);
	return convert(text, length, "UTF-8", iconv_name(charset, false), bytes_written);
}

/* Big5 and KS X 1001 are alike everywhere in their ideographs and syllables only. */
static bool is_portable(const char *charset, const char *text, size_t length)
{
	if (!has_prefix(charset, "big5") && !has_prefix(charset, "euc-kr") &&
		!has_prefix(charset, "ks_c"))
		return true;
	for (const char *p = text; p < text + length; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (c >= 0x80 && !(c >= 0x4e00 && c <= 0x9fff) &&
			!(c >= 0xac00 && c <= 0xd7a3))
			return false;
	}
	return true;
}

char *charset_from_utf8(
	const char *charset, const char *text, size_t length, size_t *bytes_written)
{
	size_t written, back_bytes;
	char *result, *back;

	if (charset == NULL || *charset == '\0')
		charset = "US-ASCII";
	if (!is_portable(charset, text, length))
		return NULL;
	result = convert(text, length, iconv_name(charset, true), "UTF-8", &written);
	if (result == NULL)
		return NULL;
	/* iconv writes some characters as others that look like them. */
	back = charset_to_utf8(charset, result, written, &back_bytes);
	if (back == NULL || back_bytes != length || memcmp(back, text, length) != 0)
		g_clear_pointer(&result, g_free);
	g_free(back);
	if (bytes_written != NULL)
		*bytes_written = written;
	return result;
}
