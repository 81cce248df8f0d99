/*
 * filename - cleans file names that come from strangers.
 * Leaves to header.c how a name is decoded, to its users how it is escaped.
 */
#include "mime/filename.h"

#include <gmime/gmime.h>
#include <stdbool.h>
#include <string.h>

enum { EXTENSION_MAX_BYTES = 20 };

/* Undeclared 8-bit names are Windows' western ones more often than anything else. */
static char *to_utf8(const char *name)
{
	char *text;

	if (g_utf8_validate(name, -1, NULL))
		return g_strdup(name);
	text = g_convert(name, -1, "UTF-8", "WINDOWS-1252", NULL, NULL, NULL);
	return text != NULL ? text : g_utf8_make_valid(name, -1);
}

/* Zero-width (non-)joiners are part of Indic and Persian words; the other format
 * characters, the bidi controls among them, only deceive. */
static bool is_dropped(gunichar c)
{
	switch (g_unichar_type(c)) {
	case G_UNICODE_CONTROL:
	case G_UNICODE_SURROGATE:
	case G_UNICODE_LINE_SEPARATOR:
	case G_UNICODE_PARAGRAPH_SEPARATOR:
		return c != '\t';
	case G_UNICODE_FORMAT:
		return c != 0x200c && c != 0x200d;
	case G_UNICODE_UNASSIGNED:
		return (c & 0xfffe) == 0xfffe;
	default:
		return false;
	}
}

static bool is_blank(gunichar c)
{
	return c == '\t' || g_unichar_type(c) == G_UNICODE_SPACE_SEPARATOR;
}

static GString *keep_visible(const char *text)
{
	GString *kept = g_string_sized_new(strlen(text));

	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (is_dropped(c))
			continue;
		if (is_blank(c))
			g_string_append_c(kept, ' ');
		else
			g_string_append_unichar(kept, c);
	}
	return kept;
}

/* The last component that is not empty, of a path or URL written in either way. */
static void keep_base_name(GString *name)
{
	const char *slash;

	while (name->len > 0 && strchr("/\\ ", name->str[name->len - 1]) != NULL)
		g_string_truncate(name, name->len - 1);
	for (slash = name->str + name->len; slash > name->str; slash--)
		if (slash[-1] == '/' || slash[-1] == '\\')
			break;
	g_string_erase(name, 0, slash - name->str);
}

static void trim(GString *name)
{
	size_t lead = strspn(name->str, ". ");

	g_string_erase(name, 0, (gssize)lead);
	while (name->len > 0 && strchr(". ", name->str[name->len - 1]) != NULL)
		g_string_truncate(name, name->len - 1);
}

/* Of ".pdf" nothing but the extension would be left: it is given a stem. */
static void keep_lone_extension(GString *name)
{
	size_t lead = strspn(name->str, ". ");
	const char *rest = name->str + lead;

	if (lead == 0 || rest[-1] != '.' || strchr(rest, '.') != NULL ||
		g_str_equal(filename_media_type(rest - 1), "application/octet-stream"))
		return;
	g_string_prepend(name, "attachment");
	g_string_erase(name, (gssize)strlen("attachment"), (gssize)lead - 1);
}

/* Cuts before the extension, between characters. */
static void shorten(GString *name)
{
	const char *dot = strrchr(name->str, '.');
	g_autofree char *extension = NULL;
	size_t keep = FILENAME_MAX_BYTES;

	if (name->len <= FILENAME_MAX_BYTES)
		return;
	if (dot != NULL && strlen(dot) <= EXTENSION_MAX_BYTES) {
		extension = g_strdup(dot);
		keep -= strlen(extension);
	}
	while (keep > 0 && (name->str[keep] & 0xc0) == 0x80)
		keep--;
	g_string_truncate(name, keep);
	while (name->len > 0 && name->str[name->len - 1] == ' ')
		g_string_truncate(name, name->len - 1);
	if (extension != NULL)
		g_string_append(name, extension);
}

/* Names of devices on Windows, with any extension. */
static bool is_reserved(const char *name)
{
	static const char *const devices[] = { "con", "prn", "aux", "nul" };
	size_t stem = strcspn(name, ".");

	for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
		if (stem == 3 && g_ascii_strncasecmp(name, devices[i], 3) == 0)
			return true;
	return stem == 4 &&
	       (g_ascii_strncasecmp(name, "com", 3) == 0 ||
		       g_ascii_strncasecmp(name, "lpt", 3) == 0) &&
	       name[3] >= '1' && name[3] <= '9';
}

char *filename_clean(const char *name)
{
	g_autofree char *text = to_utf8(name);
	GString *clean = keep_visible(text);

	keep_base_name(clean);
	keep_lone_extension(clean);
	trim(clean);
	if (is_reserved(clean->str))
		g_string_prepend_c(clean, '_');
	shorten(clean);
	if (clean->len == 0) {
		g_string_free(clean, TRUE);
		return NULL;
	}
	return g_string_free(clean, FALSE);
}

static const struct {
	const char *media_type;
	const char *extension;
} extensions[] = {
	{ "application/gzip", "gz" },
	{ "application/json", "json" },
	{ "application/msword", "doc" },
	{ "application/pdf", "pdf" },
	{ "application/pgp-encrypted", "pgp" },
	{ "application/pgp-keys", "asc" },
	{ "application/pgp-signature", "asc" },
	{ "application/pkcs7-signature", "p7s" },
	{ "application/postscript", "ps" },
	{ "application/rtf", "rtf" },
	{ "application/vnd.ms-excel", "xls" },
	{ "application/vnd.ms-powerpoint", "ppt" },
	{ "application/vnd.oasis.opendocument.spreadsheet", "ods" },
	{ "application/vnd.oasis.opendocument.text", "odt" },
	{ "application/vnd.openxmlformats-officedocument.presentationml.presentation",
		"pptx" },
	{ "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx" },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"docx" },
	{ "application/x-gzip", "gz" },
	{ "application/x-tar", "tar" },
	{ "application/x-x509-ca-cert", "crt" },
	{ "application/xml", "xml" },
	{ "application/zip", "zip" },
	{ "audio/amr", "amr" },
	{ "audio/mpeg", "mp3" },
	{ "audio/ogg", "ogg" },
	{ "audio/wav", "wav" },
	{ "audio/x-wav", "wav" },
	{ "image/bmp", "bmp" },
	{ "image/gif", "gif" },
	{ "image/heic", "heic" },
	{ "image/jpeg", "jpg" },
	{ "image/jpg", "jpg" },
	{ "image/pjpeg", "jpg" },
	{ "image/png", "png" },
	{ "image/svg+xml", "svg" },
	{ "image/tiff", "tif" },
	{ "image/webp", "webp" },
	{ "message/rfc822", "eml" },
	{ "message/global", "eml" },
	{ "text/calendar", "ics" },
	{ "text/csv", "csv" },
	{ "text/html", "html" },
	{ "text/plain", "txt" },
	{ "text/rtf", "rtf" },
	{ "text/vcard", "vcf" },
	{ "text/x-vcard", "vcf" },
	{ "text/xml", "xml" },
	{ "video/mp4", "mp4" },
	{ "video/mpeg", "mpg" },
	{ "video/quicktime", "mov" },
	{ "video/x-msvideo", "avi" },
};

/* "-2026-11-20", as the sender's calendar had it; "" when the field does not say. */
static char *date_text(const char *date)
{
	g_autoptr(GDateTime) time =
		date != NULL ? g_mime_utils_header_decode_date(date) : NULL;
	char *text = time != NULL ? g_date_time_format(time, "-%Y-%m-%d") : NULL;

	return text != NULL ? text : g_strdup("");
}

char *filename_make(const char *media_type, const char *date, size_t part)
{
	static const char *const majors[] = { "audio", "image", "video", "text",
		"message" };
	const char *stem = "attachment", *extension = "bin";
	g_autofree char *day = NULL;

	if (strcmp(media_type, "application/ms-tnef") == 0)
		return g_strdup("winmail.dat");
	if (g_str_has_prefix(media_type, "text/"))
		extension = "txt";
	for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++)
		if (strcmp(media_type, extensions[i].media_type) == 0)
			extension = extensions[i].extension;
	for (size_t i = 0; i < G_N_ELEMENTS(majors); i++)
		if (g_str_has_prefix(media_type, majors[i]) &&
			media_type[strlen(majors[i])] == '/')
			stem = majors[i];
	day = date_text(date);
	return g_strdup_printf("%s%s-%zu.%s", stem, day, part, extension);
}

const char *filename_media_type(const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < G_N_ELEMENTS(extensions); i++)
		if (g_ascii_strcasecmp(dot + 1, extensions[i].extension) == 0)
			return extensions[i].media_type;
	return "application/octet-stream";
}
