/*
 * link_both - makes HTML of a text body.
 * Leaves to body.c the reading and editing of the text.
 */
#include "mime/link_both.h"

#include "mime/body.h"
#include "mime/text.h"
#include <string.h>

enum { TEXT_BYTES_MAX = 256 * 1024 };

/* What stands there stays only where the entity is, and something may refer to it. */
static bool may_be_replaced(const struct linker *linker, size_t i)
{
	const struct outline_entity *entity = linker_entity(linker, i);

	if (!entity->blank_line || linker_has_doubles(linker, i) ||
		entity->content.content_id != NULL || entity->content.location != NULL ||
		entity->body_end - entity->body_start > TEXT_BYTES_MAX)
		return false;
	for (size_t parent = i; parent != linker->root;) {
		parent = linker_entity(linker, parent)->parent;
		if (header_is(&linker_entity(linker, parent)->content,
			    "multipart/alternative") ||
			header_is(&linker_entity(linker, parent)->content,
				"multipart/related"))
			return false;
	}
	return true;
}

/* The text in UTF-8 with lines as the message has them, NULL where it cannot be read. */
static GString *read_text(
	const struct linker *linker, const struct body_request *request, GError **error)
{
	struct body_plan *plan;
	const GString *text;
	GString *lines;

	if (!body_plan_new(&plan, request, error))
		return NULL;
	text = plan != NULL ? body_plan_text(plan) : NULL;
	if (text != NULL && memchr(text->str, '\0', text->len) != NULL)
		text = NULL;
	lines = text != NULL ? g_string_sized_new(text->len) : NULL;
	for (size_t i = 0; text != NULL && i < text->len; i++) {
		if (text->str[i] == '\n')
			g_string_append(lines, linker->newline);
		else if (text->str[i] != '\r' || text->str[i + 1] != '\n')
			g_string_append_c(lines, text->str[i]);
	}
	body_plan_free(&plan);
	return lines;
}

static void append_both(const struct linker *linker, size_t i, const char *boundary,
	GString *edited, const GString *plain, GString *out)
{
	const struct header_content *content = &linker_entity(linker, i)->content;
	const char *parameters = !content->flowed ? ""
				 : content->delsp ? "; format=flowed; delsp=yes"
						  : "; format=flowed";
	g_autoptr(GString) html =
		text_to_html(plain, content->flowed, content->delsp, linker->newline);

	g_string_append_printf(out, "--%s%s", boundary, linker->newline);
	linker_append_text(linker, out, "plain", parameters, edited);
	g_string_append_printf(
		out, "%s--%s%s", linker->newline, boundary, linker->newline);
	linker_append_html(linker, out, html);
	g_string_append_printf(
		out, "%s--%s--%s", linker->newline, boundary, linker->newline);
}

bool link_both(struct linker *linker, size_t text, bool *done, GError **error)
{
	const struct outline_entity *entity = linker_entity(linker, text);
	g_autoptr(GString) block = linker_block(linker, false);
	g_autoptr(GString) notice = linker_notice(linker, false);
	g_autoptr(GString) edited = NULL, plain = NULL, out = g_string_new(NULL);
	g_autofree char *boundary = linker_boundary(linker, 'b');
	struct body_request request = {
		.outline = linker->message->outline,
		.source = &linker->message->source,
		.entity = text,
		.role = POLICY_TEXT_BODY,
		.position = linker->message->settings.block_position,
		.newline = linker->newline,
		.markers =
			linker_is_marked(linker, text) ? linker->message->markers : NULL,
		.wants_text = true,
	};
	GError *failure = NULL;

	*done = false;
	if (!may_be_replaced(linker, text))
		return true;
	plain = read_text(linker, &request, &failure);
	request.block = linker->n_links > 0 ? block : NULL;
	request.notice = notice;
	if (plain != NULL)
		edited = read_text(linker, &request, &failure);
	if (failure != NULL) {
		g_propagate_error(error, failure);
		return false;
	}
	if (edited == NULL)
		return true;
	/* The last one is the delimiter's. */
	g_string_append(edited, linker->newline);
	append_both(linker, text, boundary, edited, plain, out);
	linker_replace_fields(linker, text, "alternative", boundary);
	linker_replace(linker, entity->body_start, entity->body_end, out);
	*done = true;
	return true;
}
