/*
 * block - writes the list of attachments for people.
 * Leaves to body.c and link.c where it goes and how it is encoded.
 */
#include "mime/block.h"

#include <string.h>

enum { SHOWN_HASH_BYTES = 8, BADGE_BYTES = 5 };

/* "512 bytes", "1.2 MB": decimal units, as people and stores count. */
static void append_size(GString *out, uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	uint64_t unit = 1000;
	size_t i = 0;

	if (bytes < 1000) {
		g_string_append_printf(
			out, "%u %s", (unsigned)bytes, bytes == 1 ? "byte" : "bytes");
		return;
	}
	while (i + 1 < G_N_ELEMENTS(units) && bytes / unit >= 1000) {
		unit *= 1000;
		i++;
	}
	if (bytes / unit < 10)
		g_string_append_printf(out, "%u.%u %s", (unsigned)(bytes / unit),
			(unsigned)(bytes % unit / (unit / 10)), units[i]);
	else
		g_string_append_printf(out, "%u %s", (unsigned)(bytes / unit), units[i]);
}

static void append_hash(GString *out, const uint8_t *sha256)
{
	g_string_append(out, "SHA-256 ");
	for (size_t i = 0; i < SHOWN_HASH_BYTES; i++)
		g_string_append_printf(out, "%02x", sha256[i]);
	g_string_append(out, "...");
}

static void append_heading(GString *out, size_t n)
{
	if (n == 1)
		g_string_append(out,
			"1 attachment is stored online. Open the link to download it:");
	else
		g_string_append_printf(out,
			"%zu attachments are stored online. Open a link to download the "
			"file:",
			n);
}

GString *block_text(const struct mime_attachment *attachments,
	const struct mime_link *links, size_t n, const char *newline)
{
	GString *out = g_string_new(NULL);

	append_heading(out, n);
	g_string_append(out, newline);
	for (size_t i = 0; i < n; i++) {
		g_string_append_printf(
			out, "%s[%zu] %s (", newline, i + 1, attachments[i].file_name);
		append_size(out, attachments[i].size);
		g_string_append_printf(
			out, ", %s)%s", attachments[i].media_type, newline);
		append_hash(out, attachments[i].sha256);
		if (links[i].expires != NULL)
			g_string_append_printf(
				out, ", available until %s", links[i].expires);
		g_string_append_printf(out, "%s<%s>%s", newline, links[i].url, newline);
	}
	return out;
}

void block_escape(GString *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (c < 0x80 && strchr("&<>\"'", (int)c) == NULL)
			g_string_append_c(out, (char)c);
		else if (c == '&')
			g_string_append(out, "&amp;");
		else
			g_string_append_printf(out, "&#x%x;", c);
	}
}

/*
 * Text keeps the colour that the reader's program gives it, on white and on black; what is
 * less important is fainter, not grey. The one coloured field has white letters on a blue
 * that stands out from both. Outlook knows bgcolor and padding of cells, no rounded
 * corners.
 */
#define TABLE_START                                                                      \
	"<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" " \
	"style=\"border-collapse:separate;max-width:100%;margin:16px 0;"                 \
	"border:1px solid #8a94a3;border-radius:8px;"                                    \
	"font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"        \
	"font-size:15px;line-height:21px;text-align:left\">"
#define HEADING_START                                                                    \
	"<tr><td colspan=\"2\" style=\"padding:10px 14px;font-size:13px;"                \
	"line-height:18px\">"
#define BADGE_START                                                                      \
	"<tr><td valign=\"top\" style=\"padding:12px 0 12px 14px;"                       \
	"border-top:1px solid #8a94a3;vertical-align:top\">"                             \
	"<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\">" \
	"<tr><td align=\"center\" bgcolor=\"#2f6fb5\" style=\"background:#2f6fb5;"       \
	"color:#ffffff;border-radius:5px;min-width:34px;padding:3px 5px;"                \
	"font-size:11px;line-height:16px;font-weight:bold;text-align:center;"            \
	"white-space:nowrap\">"
#define BADGE_END "</td></tr></table></td>"
#define DETAILS_START                                                                    \
	"<td style=\"padding:10px 14px 12px 12px;border-top:1px solid #8a94a3;"          \
	"word-break:break-word;overflow-wrap:anywhere\">"
#define FAINT_START "<span style=\"font-size:13px;line-height:19px;opacity:.8\">"
#define HASH_START  "<span style=\"font-size:11px;line-height:17px;opacity:.6\">"

/* The extension, as people know their files by: at most BADGE_BYTES of it, else "FILE". */
static void append_badge(GString *out, const char *file_name)
{
	const char *dot = strrchr(file_name, '.');
	size_t length = dot != NULL ? strlen(dot + 1) : 0;

	for (size_t i = 0; i < length; i++)
		if (!g_ascii_isalnum(dot[1 + i]))
			length = 0;
	if (length == 0 || length > BADGE_BYTES) {
		g_string_append(out, "FILE");
		return;
	}
	for (size_t i = 0; i < length; i++)
		g_string_append_c(out, g_ascii_toupper(dot[1 + i]));
}

static void append_row(GString *out, const struct mime_attachment *attachment,
	const struct mime_link *link, const char *newline)
{
	g_string_append_printf(out, "%s%s", BADGE_START, newline);
	append_badge(out, attachment->file_name);
	g_string_append_printf(
		out, "%s%s%s%s<a href=\"", BADGE_END, newline, DETAILS_START, newline);
	block_escape(out, link->url);
	g_string_append_printf(out, "\"%s style=\"font-weight:bold\"><bdi>", newline);
	block_escape(out, attachment->file_name);
	g_string_append_printf(out, "</bdi></a><br>%s%s", newline, FAINT_START);
	append_size(out, attachment->size);
	g_string_append(out, ", ");
	block_escape(out, attachment->media_type);
	if (link->expires != NULL) {
		g_string_append_printf(out, "<br>%savailable until ", newline);
		block_escape(out, link->expires);
	}
	g_string_append_printf(out, "</span><br>%s%s", newline, HASH_START);
	append_hash(out, attachment->sha256);
	g_string_append_printf(out, "</span></td></tr>%s", newline);
}

GString *block_html(const struct mime_attachment *attachments,
	const struct mime_link *links, size_t n, const char *newline)
{
	GString *out = g_string_new(TABLE_START);

	g_string_append_printf(out, "%s%s", newline, HEADING_START);
	append_heading(out, n);
	g_string_append_printf(out, "</td></tr>%s", newline);
	for (size_t i = 0; i < n; i++)
		append_row(out, &attachments[i], &links[i], newline);
	g_string_append_printf(out, "</table>%s", newline);
	return out;
}
