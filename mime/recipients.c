/*
 * recipients - the recipients that the texts of a message name, and what is told to those
 * who get it instead of them.
 * Leaves to marker.c the finding, to link.c the taking out.
 */
#include "mime/mime.h"

#include "mime/body.h"
#include "mime/marker.h"
#include "mime/message.h"

/* What is known of the texts so far. */
struct reading {
	struct mime_message *message;
	const struct mime_markers *markers;
	GArray *marked;
	GPtrArray *addresses;
	char *reason;
};

/* A text of the message's own that people read and that may change. */
static bool is_text(const struct mime_message *message, size_t i)
{
	const struct policy_part *part =
		&g_array_index(message->parts, struct policy_part, i);
	const struct outline_entity *entity = outline_entity(message->outline, i);

	return part->leaf && part->scope == 0 && !part->link && !part->drop &&
	       !part->is_protected && entity->kind == OUTLINE_LEAF &&
	       entity->content.disposition != HEADER_DISPOSITION_ATTACHMENT &&
	       (header_is(&entity->content, "text/plain") ||
		       header_is(&entity->content, "text/html"));
}

static bool holds(const GPtrArray *addresses, const char *address)
{
	for (size_t i = 0; i < addresses->len; i++)
		if (g_ascii_strcasecmp(addresses->pdata[i], address) == 0)
			return true;
	return false;
}

static bool are_alike(const GPtrArray *a, const GPtrArray *b)
{
	for (size_t i = 0; i < a->len; i++)
		if (!holds(b, a->pdata[i]))
			return false;
	return a->len == b->len;
}

/* The list of one text beside those before it. */
static void take_list(struct reading *reading, const char *list)
{
	GPtrArray *addresses = marker_addresses(reading->markers, list, &reading->reason);

	if (addresses == NULL)
		return;
	if (reading->addresses == NULL) {
		reading->addresses = addresses;
		return;
	}
	if (!are_alike(reading->addresses, addresses))
		reading->reason =
			g_strdup("the texts of the message name different recipients");
	g_ptr_array_unref(addresses);
}

static bool read_text(struct reading *reading, size_t i, GError **error)
{
	struct mime_message *message = reading->message;
	const struct body_request request = {
		.outline = message->outline,
		.source = &message->source,
		.entity = i,
		.role = header_is(&outline_entity(message->outline, i)->content,
				"text/html")
				? POLICY_HTML_BODY
				: POLICY_TEXT_BODY,
		.newline = outline_bare_lf(message->outline) ? "\n" : "\r\n",
		.markers = reading->markers,
	};
	struct body_plan *plan;

	if (!body_plan_new(&plan, &request, error))
		return false;
	if (plan == NULL)
		return true;
	if (body_plan_fault(plan) != NULL) {
		reading->reason = g_strdup(body_plan_fault(plan));
	} else if (body_plan_list(plan) != NULL) {
		g_array_append_val(reading->marked, i);
		take_list(reading, body_plan_list(plan));
	}
	body_plan_free(&plan);
	return true;
}

static bool read_texts(struct reading *reading, GError **error)
{
	struct mime_message *message = reading->message;

	if (message->untouched != NULL || message->parts == NULL) {
		reading->reason = g_strdup_printf(
			"the message stays as it is: %s", message->untouched);
		return true;
	}
	for (size_t i = 0; i < message->parts->len && reading->reason == NULL; i++)
		if (is_text(message, i) && !read_text(reading, i, error))
			return false;
	if (reading->reason == NULL && reading->addresses == NULL)
		reading->reason = g_strdup("the text holds no list of recipients");
	return true;
}

bool mime_message_recipients(struct mime_message *message,
	const struct mime_markers *markers, GPtrArray **addresses, char **reason,
	GError **error)
{
	struct reading reading = {
		.message = message,
		.markers = markers,
		.marked = g_array_new(FALSE, FALSE, sizeof(size_t)),
	};
	bool ok = read_texts(&reading, error);

	if (!ok || reading.reason != NULL)
		g_clear_pointer(&reading.addresses, g_ptr_array_unref);
	if (!ok)
		g_clear_pointer(&reading.reason, g_free);
	*addresses = reading.addresses;
	*reason = reading.reason;
	g_clear_pointer(&message->marked, g_array_unref);
	message->markers = markers;
	if (*addresses != NULL)
		message->marked = reading.marked;
	else
		g_array_unref(reading.marked);
	return ok;
}

void mime_message_set_notice(
	struct mime_message *message, const char *notice, const char *unforeseen)
{
	g_free(message->notice);
	g_free(message->unforeseen);
	message->notice = g_strdup(notice);
	message->unforeseen = g_strdup(unforeseen);
}
