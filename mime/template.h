/*
 * template - the wording of the block that stands in the body for the attachments.
 *
 * Text with tags and no logic beyond them:
 *   {{count}}                              how many attachments there are
 *   {{#attachments}}...{{/attachments}}    once for each attachment; in it:
 *   {{number}} {{name}} {{size}} {{bytes}} {{type}} {{kind}} {{sha256}} {{sha256_all}}
 *   {{url}} {{expires}}
 *   {{#one}} {{#several}} {{#expires}}     ... to {{/one}} and so on: where that is so;
 *   {{^expires}}                           where it is not (any of the three)
 *   {{! comment }}
 * A line that holds nothing but such a section's tag or a comment leaves no line. What is
 * filled in is escaped for its place. Everything else stands as it is.
 *
 * Pure. A template never changes: any number of threads may use it.
 */
#ifndef MIME_TEMPLATE_H
#define MIME_TEMPLATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct mime_attachment;
struct mime_link;
struct mime_template;

enum mime_template_kind { MIME_TEMPLATE_TEXT, MIME_TEMPLATE_HTML };

enum { MIME_TEMPLATE_BYTES_MAX = 32 * 1024 };

/*
 * Reads a template of length octets, UTF-8, lines ended by LF or CR LF. NULL with
 * MIME_ERROR_CONTENT when it is none, which line (from 1) in *line.
 *
 * HTML is what goes between <body> and </body>, each element with its end tag, no script.
 * Tags stand in text, or in the quoted value of title, alt or aria-label; {{url}} alone
 * also as the whole value of href, and must so at least once.
 */
struct mime_template *mime_template_new(enum mime_template_kind kind, const char *text,
	size_t length, size_t *line, GError **error);

/*
 * The block for n attachments, its lines ended by newline, the last one too; no line of
 * it begins with "--" and, as text, none ends in a blank. UTF-8; of HTML ASCII.
 * g_string_free().
 */
GString *mime_template_fill(const struct mime_template *template,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline);

void mime_template_free(struct mime_template **template);

#endif
