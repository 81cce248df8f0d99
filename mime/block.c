/*
 * block - the built-in templates, and escaping for HTML.
 * Leaves to template.c how they are filled in, to body.c and link.c where the block goes.
 */
#include "mime/block.h"

#include "mime/template.h"
#include <string.h>

static const char text_template[] =
	"{{#one}}\n"
	"1 attachment is stored online. Open the link to download it:\n"
	"{{/one}}\n"
	"{{#several}}\n"
	"{{count}} attachments are stored online. Open a link to download the file:\n"
	"{{/several}}\n"
	"{{#attachments}}\n"
	"\n"
	"[{{number}}] {{name}} ({{size}}, {{type}})\n"
	"SHA-256 {{sha256}}...{{#expires}}, available until {{expires}}{{/expires}}\n"
	"<{{url}}>\n"
	"{{/attachments}}\n";

/*
 * Text keeps the colour that the reader's program gives it, on white and on black; what
 * is less important is fainter, not grey. The one coloured field has white letters on a
 * blue that stands out from both. Outlook knows bgcolor and padding of cells, no rounded
 * corners. A name is read from the left, so that its extension stands last in any script.
 */
static const char html_template[] =
	"<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" "
	"style=\"border-collapse:separate;max-width:100%;margin:16px 0;"
	"border:1px solid #8a94a3;border-radius:8px;"
	"font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
	"font-size:15px;line-height:21px;text-align:left\">\n"
	"<tr><td colspan=\"2\" style=\"padding:10px 14px;font-size:13px;"
	"line-height:18px\">\n"
	"{{#one}}\n"
	"1 attachment is stored online. Open the link to download it:\n"
	"{{/one}}\n"
	"{{#several}}\n"
	"{{count}} attachments are stored online. Open a link to download the file:\n"
	"{{/several}}\n"
	"</td></tr>\n"
	"{{#attachments}}\n"
	"<tr><td width=\"1\" valign=\"top\" style=\"width:1px;padding:12px 0 12px 14px;"
	"border-top:1px solid #8a94a3;vertical-align:top\">\n"
	"<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\">"
	"<tr><td align=\"center\" bgcolor=\"#2f6fb5\" style=\"background:#2f6fb5;"
	"color:#ffffff;border-radius:5px;min-width:34px;padding:3px 5px;"
	"font-size:11px;line-height:16px;font-weight:bold;text-align:center;"
	"white-space:nowrap\">{{kind}}</td></tr></table></td>\n"
	"<td style=\"padding:10px 14px 12px 12px;border-top:1px solid #8a94a3;"
	"word-break:break-word;overflow-wrap:anywhere\">\n"
	"<a href=\"{{url}}\"\n"
	" style=\"font-weight:bold\"><bdi dir=\"ltr\">{{name}}</bdi></a><br>\n"
	"<span style=\"font-size:13px;line-height:19px;opacity:.8\">{{size}}, {{type}}\n"
	"{{#expires}}\n"
	"<br>available until {{expires}}\n"
	"{{/expires}}\n"
	"</span><br>\n"
	"<span style=\"font-size:11px;line-height:17px;opacity:.6\">"
	"SHA-256 {{sha256}}...</span></td></tr>\n"
	"{{/attachments}}\n"
	"</table>\n";

static GString *fill(enum mime_template_kind kind, const struct mime_template *given,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline)
{
	struct mime_template *made = NULL;
	GString *block;

	if (given == NULL) {
		const char *text =
			kind == MIME_TEMPLATE_HTML ? html_template : text_template;

		given = made = mime_template_new(kind, text, strlen(text), NULL, NULL);
		g_assert(made != NULL);
	}
	block = mime_template_fill(given, attachments, links, n, newline);
	mime_template_free(&made);
	return block;
}

GString *block_text(const struct mime_settings *settings,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline)
{
	return fill(MIME_TEMPLATE_TEXT, settings->text_template, attachments, links, n,
		newline);
}

GString *block_html(const struct mime_settings *settings,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline)
{
	return fill(MIME_TEMPLATE_HTML, settings->html_template, attachments, links, n,
		newline);
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
