/*
 * linker - writes new parts and header fields.
 * Leaves to link.c where they go.
 */
#include "mime/linker.h"

#include "mime/block.h"
#include "mime/qp.h"
#include <string.h>

enum { BOUNDARY_HASH_BYTES = 16, PLAIN_LINE_BYTES = 998 };

static const struct mime_attachment *attachments_of(const struct linker *linker)
{
	return (const struct mime_attachment *)(const void *)linker->attachments->data;
}

bool linker_is_marked(const struct linker *linker, size_t i)
{
	const GArray *marked = linker->message->marked;

	for (size_t k = 0; marked != NULL && k < marked->len; k++)
		if (g_array_index(marked, size_t, k) == i)
			return true;
	return false;
}

void linker_replace(
	struct linker *linker, uint64_t start, uint64_t end, const GString *text)
{
	if (!splice_replace(linker->splice, start, end - start,
		    text != NULL ? text->str : "", text != NULL ? text->len : 0))
		linker->overlap = true;
}

char *linker_boundary(const struct linker *linker, char kind)
{
	g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
	for (size_t i = 0; i < linker->n_links; i++)
		g_checksum_update(digest, (const guchar *)linker->links[i].url, -1);
	if (linker->message->unforeseen != NULL)
		g_checksum_update(
			digest, (const guchar *)linker->message->unforeseen, -1);
	GString *boundary = g_string_new("=_stowage_");
	/* Two messages, one within the other, may have the same links. */
	if (linker->root != 0)
		g_string_append_printf(boundary, "%" G_GSIZE_FORMAT "_", linker->root);
	g_string_append_printf(boundary, "%c_%.*s", kind, 2 * BOUNDARY_HASH_BYTES,
		g_checksum_get_string(digest));
	return g_string_free(boundary, FALSE);
}

/* The sender's text, decoded, may have lines that begin as a delimiter of his does. */
static bool is_like_delimiter(const struct linker *linker, const char *text)
{
	size_t n = outline_entities(linker->message->outline);

	if (text[0] != '-' || text[1] != '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct outline_entity *entity = linker_entity(linker, i);

		if (entity->kind == OUTLINE_MULTIPART &&
			g_str_has_prefix(text + 2, entity->content.boundary))
			return true;
	}
	return false;
}

static bool needs_qp(const struct linker *linker, const GString *text)
{
	size_t column = 0;

	for (size_t i = 0; i < text->len; i++) {
		if (column == 0 && is_like_delimiter(linker, text->str + i))
			return true;
		column = text->str[i] == '\n' ? 0 : column + 1;
		if ((unsigned char)text->str[i] >= 0x80 || column > PLAIN_LINE_BYTES)
			return true;
	}
	return false;
}

void linker_append_text(const struct linker *linker, GString *out, const char *subtype,
	const char *parameters, GString *text)
{
	bool qp = needs_qp(linker, text);

	g_string_append_printf(out, "Content-Type: text/%s; charset=utf-8%s%s", subtype,
		parameters, linker->newline);
	g_string_append_printf(out, "Content-Transfer-Encoding: %s%s%s",
		qp ? "quoted-printable" : "7bit", linker->newline, linker->newline);
	if (g_str_has_suffix(text->str, linker->newline))
		g_string_truncate(text, text->len - strlen(linker->newline));
	if (qp)
		qp_encode(text->str, text->len, linker->newline, out);
	else
		g_string_append_len(out, text->str, (gssize)text->len);
}

GString *linker_block(const struct linker *linker, bool html)
{
	if (linker->n_links == 0)
		return g_string_new(NULL);
	return (html ? block_html : block_text)(&linker->message->settings,
		attachments_of(linker), linker->links, linker->n_links, linker->newline);
}

GString *linker_notice(const struct linker *linker, bool html)
{
	GString *notice;

	if (linker->explanation == NULL)
		return NULL;
	notice = g_string_new(html ? "<p style=\"border:1px solid #8a94a3;"
				     "border-radius:8px;padding:10px 14px\">"
				   : NULL);
	if (html)
		block_escape(notice, linker->explanation);
	else
		g_string_append(notice, linker->explanation);
	g_string_append_printf(notice, "%s%s", html ? "</p>" : "", linker->newline);
	return notice;
}

static void prepend_explanation(const struct linker *linker, GString *text)
{
	g_autofree char *lines =
		g_strconcat(linker->explanation, linker->newline, linker->newline, NULL);

	g_string_prepend(text, lines);
}

static void append_plain(const struct linker *linker, GString *out)
{
	g_autoptr(GString) text = linker_block(linker, false);

	if (linker->explanation != NULL)
		prepend_explanation(linker, text);
	linker_append_text(linker, out, "plain", "", text);
}

void linker_append_html(const struct linker *linker, GString *out, const GString *text)
{
	g_autoptr(GString) block = linker_block(linker, true);
	g_autoptr(GString) notice = linker_notice(linker, true);
	g_autoptr(GString) html = g_string_new("<!DOCTYPE html>");
	bool on_top = linker->message->settings.block_position == MIME_BLOCK_TOP;

	g_string_append_printf(html,
		"%s<html><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\">%s"
		"<meta name=\"color-scheme\" content=\"light dark\"></head>%s"
		"<body style=\"font-family:-apple-system,'Segoe "
		"UI',Roboto,Helvetica,Arial,"
		"sans-serif;font-size:15px;line-height:21px\">%s",
		linker->newline, linker->newline, linker->newline, linker->newline);
	if (notice != NULL)
		g_string_append(html, notice->str);
	if (on_top)
		g_string_append(html, block->str);
	if (text != NULL)
		g_string_append_len(html, text->str, (gssize)text->len);
	if (!on_top)
		g_string_append(html, block->str);
	g_string_append_printf(html, "</body></html>%s", linker->newline);
	linker_append_text(linker, out, "html", "", html);
}

void linker_append_alternatives(
	const struct linker *linker, GString *out, const char *boundary)
{
	const char *newline = linker->newline;

	g_string_append_printf(out, "--%s%s", boundary, newline);
	append_plain(linker, out);
	g_string_append_printf(out, "%s--%s%s", newline, boundary, newline);
	linker_append_html(linker, out, NULL);
	g_string_append_printf(out, "%s--%s--%s", newline, boundary, newline);
}

void linker_append_part(const struct linker *linker, GString *out, bool beside_text)
{
	g_autofree char *boundary = linker_boundary(linker, 'a');

	if (beside_text) {
		append_plain(linker, out);
		return;
	}
	g_string_append_printf(out,
		"Content-Type: multipart/alternative; boundary=\"%s\"%s%s", boundary,
		linker->newline, linker->newline);
	linker_append_alternatives(linker, out, boundary);
}

bool linker_is_content(const struct outline_field *field)
{
	return g_str_has_prefix(field->name, "content-");
}

bool linker_has_doubles(const struct linker *linker, size_t i)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *entity = linker_entity(linker, i);

	for (size_t k = 0; k < entity->n_fields; k++) {
		const struct outline_field *field =
			outline_field(outline, entity->first_field + k);

		if (outline_find(outline, entity, field->name) != field)
			return true;
	}
	return false;
}

void linker_replace_fields(
	struct linker *linker, size_t i, const char *subtype, const char *boundary)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *entity = linker_entity(linker, i);
	g_autoptr(GString) text = g_string_new(NULL);
	bool placed = false;

	if (i == linker->root && outline_find(outline, entity, "mime-version") == NULL)
		g_string_append_printf(text, "MIME-Version: 1.0%s", linker->newline);
	g_string_append_printf(text, "Content-Type: multipart/%s; boundary=\"%s\"%s",
		subtype, boundary, linker->newline);
	for (size_t k = 0; k < entity->n_fields; k++) {
		const struct outline_field *field =
			outline_field(outline, entity->first_field + k);
		bool lines = strcmp(field->name, "lines") == 0;

		if (!linker_is_content(field) && !lines)
			continue;
		linker_replace(
			linker, field->start, field->end, placed || lines ? NULL : text);
		placed = placed || !lines;
	}
	if (!placed)
		linker_replace(linker, entity->header_end, entity->header_end, text);
}
