/*
 * shorten - lines that are too long for the next hop.
 * Leaves the encoding to body.c.
 */
#include "mime/body.h"
#include "mime/message.h"

/* What is in an attached message is that message's. */
static bool is_within_message(const struct outline *outline, size_t i)
{
	for (size_t at = outline_entity(outline, i)->parent; at != OUTLINE_NONE;
		at = outline_entity(outline, at)->parent)
		if (outline_entity(outline, at)->kind == OUTLINE_MESSAGE)
			return true;
	return false;
}

static bool may_change(
	const struct mime_message *message, size_t i, const struct splice *splice)
{
	const struct policy_part *part =
		&g_array_index(message->parts, struct policy_part, i);
	const struct outline_entity *entity = outline_entity(message->outline, i);

	return entity->kind == OUTLINE_LEAF && !part->is_protected &&
	       header_starts(&entity->content, "text/") &&
	       entity->content.encoding == HEADER_ENCODING_IDENTITY &&
	       entity->body_end - entity->body_start > BODY_LINE_BYTES_MAX &&
	       entity->body_end - entity->body_start <= POLICY_BODY_BYTES &&
	       !is_within_message(message->outline, i) &&
	       splice_leaves(splice, entity->header_start, entity->body_end);
}

static bool shorten(struct mime_message *message, size_t i, struct splice *splice,
	bool *changed, GError **error)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	g_autoptr(GString) octets = g_string_new(NULL);
	struct body_plan *plan = NULL;
	const struct body_request request = {
		.outline = message->outline,
		.source = &message->source,
		.entity = i,
		.role = POLICY_TEXT_BODY,
		.newline = outline_bare_lf(message->outline) ? "\n" : "\r\n",
		.shortens = true,
	};

	if (!source_append(&message->source, entity->body_start, entity->body_end, octets,
		    error))
		return false;
	if (!body_has_long_line(octets))
		return true;
	if (!body_plan_new(&plan, &request, error))
		return false;
	if (plan != NULL)
		*changed = body_plan_apply(plan, splice) || *changed;
	body_plan_free(&plan);
	return true;
}

bool mime_message_shorten_lines(struct mime_message *message, struct splice *splice,
	bool *changed, GError **error)
{
	*changed = false;
	if (message->untouched != NULL || message->parts == NULL)
		return true;
	for (size_t i = 0; i < message->parts->len; i++)
		if (may_change(message, i, splice) &&
			!shorten(message, i, splice, changed, error))
			return false;
	return true;
}
