/*
 * block - writes the list of attachments for people.
 * Leaves to body.c and link.c where it goes and how it is encoded.
 */
#include "mime/block.h"

#include <string.h>

enum { SHOWN_HASH_BYTES = 8 };

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

static const char *heading(size_t n)
{
	return n == 1 ? "The attachment of this message, to fetch by its link:"
		      : "The attachments of this message, to fetch by their links:";
}

GString *block_text(const struct mime_attachment *attachments,
	const struct mime_link *links, size_t n, const char *newline)
{
	GString *out = g_string_new(heading(n));

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

/* No colours but a grey that shows on black and on white; sizes that phones and Outlook
 * keep. */
#define TABLE_START                                                                      \
	"<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" " \
	"style=\"border-collapse:collapse;max-width:100%;margin:16px 0;"                 \
	"border:1px solid "                                                              \
	"#8c8c8c;font-family:Arial,Helvetica,sans-serif;font-size:14px;"                 \
	"line-height:20px;text-align:left\">"
#define ROW_START                                                                        \
	"<tr><td style=\"padding:8px 12px;border-top:1px solid #8c8c8c;"                 \
	"word-break:break-word;overflow-wrap:anywhere\">"

GString *block_html(const struct mime_attachment *attachments,
	const struct mime_link *links, size_t n, const char *newline)
{
	GString *out = g_string_new(TABLE_START);

	g_string_append_printf(out, "%s<tr><td style=\"padding:8px 12px\">%s</td></tr>%s",
		newline, heading(n), newline);
	for (size_t i = 0; i < n; i++) {
		g_string_append_printf(out, "%s%s<a href=\"", ROW_START, newline);
		block_escape(out, links[i].url);
		g_string_append_printf(out, "\"%s><bdi>", newline);
		block_escape(out, attachments[i].file_name);
		g_string_append_printf(
			out, "</bdi></a><br>%s<span style=\"font-size:12px\">", newline);
		append_size(out, attachments[i].size);
		g_string_append(out, ", ");
		block_escape(out, attachments[i].media_type);
		if (links[i].expires != NULL) {
			g_string_append(out, ", available until ");
			block_escape(out, links[i].expires);
		}
		g_string_append_printf(out, "<br>%s", newline);
		append_hash(out, attachments[i].sha256);
		g_string_append_printf(out, "</span></td></tr>%s", newline);
	}
	g_string_append_printf(out, "</table>%s", newline);
	return out;
}
