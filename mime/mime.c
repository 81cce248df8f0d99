/*
 * mime - one message from its octets to its decoded attachments.
 * Leaves to link.c how the message looks without them.
 */
#include "mime/mime.h"

#include "mime/decode.h"
#include "mime/filename.h"
#include "mime/message.h"
#include <gmime/gmime.h>

G_DEFINE_QUARK(mime - error - quark, mime_error)

void mime_settings_init(struct mime_settings *settings)
{
	*settings = (struct mime_settings){
		.min_size = 0,
		.inline_images = MIME_INLINE_KEEP,
		.inline_max = 1024 * 1024,
		.forwarded = MIME_FORWARDED_KEEP,
		.forwarded_depth = 3,
		.block_position = MIME_BLOCK_END,
		.max_header_bytes = 1024 * 1024,
		.max_parts = 2000,
		.max_depth = 64,
	};
}

void mime_init(void)
{
	g_mime_init();
}

static bool read_outline(struct mime_message *message, GError **error)
{
	struct outline_limits limits = {
		.header_bytes = message->settings.max_header_bytes,
		.parts = message->settings.max_parts,
		.depth = message->settings.max_depth,
	};
	uint64_t offset = 0;

	message->outline = outline_new(&limits);
	while (offset < message->source.bytes) {
		size_t length;
		const char *data = source_peek(
			&message->source, offset, message->source.bytes, &length, error);

		if (data == NULL)
			return false;
		offset += length;
		if (!outline_feed(message->outline, data, length))
			break;
	}
	outline_finish(message->outline);
	message->untouched = outline_reason(message->outline);
	return true;
}

static void add_attachment(struct mime_message *message, size_t entity)
{
	struct policy_part *part =
		&g_array_index(message->parts, struct policy_part, entity);
	const char *media_type =
		outline_entity(message->outline, entity)->content.media_type;
	struct mime_attachment attachment = {
		.part = part->number,
		.media_type = media_type,
		.reason = part->reason,
	};

	if (part->file_name == NULL)
		part->file_name = filename_make(
			media_type, outline_date(message->outline), part->number);
	attachment.file_name = part->file_name;
	g_array_append_val(message->attachments, attachment);
	g_array_append_val(message->entities, entity);
}

static void list_parts(struct mime_message *message)
{
	for (size_t i = 0; i < message->parts->len; i++) {
		const struct policy_part *part =
			&g_array_index(message->parts, struct policy_part, i);
		struct mime_decision decision = {
			.part = part->number,
			.media_type =
				outline_entity(message->outline, i)->content.media_type,
			.linked = part->link,
			.reason = part->reason,
		};

		if (!part->leaf)
			continue;
		if (part->link)
			add_attachment(message, i);
		decision.file_name = part->file_name;
		g_array_append_val(message->decisions, decision);
	}
}

struct mime_message *mime_message_new(int fd, const char *octets, uint64_t original_bytes,
	const struct mime_settings *settings, GError **error)
{
	struct mime_message *message = g_new0(struct mime_message, 1);

	message->settings = *settings;
	message->attachments = g_array_new(FALSE, FALSE, sizeof(struct mime_attachment));
	message->entities = g_array_new(FALSE, FALSE, sizeof(size_t));
	message->decisions = g_array_new(FALSE, FALSE, sizeof(struct mime_decision));
	if (!source_init(&message->source, fd, octets, original_bytes, error) ||
		!read_outline(message, error)) {
		mime_message_free(&message);
		return NULL;
	}
	if (message->untouched != NULL)
		return message;
	message->parts = policy_decide(message->outline, &message->source,
		&message->settings, &message->untouched, error);
	if (message->parts == NULL)
		mime_message_free(&message);
	else
		list_parts(message);
	return message;
}

const char *mime_message_untouched_reason(const struct mime_message *message)
{
	return message->untouched;
}

size_t mime_message_decisions(
	const struct mime_message *message, const struct mime_decision **decisions)
{
	*decisions = (const struct mime_decision *)(const void *)message->decisions->data;
	return message->decisions->len;
}

/* The attachment stays in the message after all. */
static void keep_attachment(
	struct mime_message *message, size_t index, const char *reason)
{
	size_t entity = g_array_index(message->entities, size_t, index);
	struct policy_part *part =
		&g_array_index(message->parts, struct policy_part, entity);
	struct mime_decision *decision = &g_array_index(
		message->decisions, struct mime_decision, part->number - 1);

	part->link = false;
	part->reason = reason;
	decision->linked = false;
	decision->reason = reason;
	g_array_remove_index(message->attachments, (guint)index);
	g_array_remove_index(message->entities, (guint)index);
}

static struct policy_part *part_at(const struct mime_message *message, size_t i)
{
	return &g_array_index(message->parts, struct policy_part, i);
}

/* A file's resource fork, whose data stays: the two belong together. */
static bool is_needed_fork(const struct mime_message *message, size_t i)
{
	size_t parent = outline_entity(message->outline, i)->parent;

	if (parent == OUTLINE_NONE ||
		!header_is(&outline_entity(message->outline, parent)->content,
			"multipart/appledouble"))
		return false;
	for (size_t k = parent + 1; k < message->parts->len; k++) {
		const struct outline_entity *entity = outline_entity(message->outline, k);

		if (entity->depth <= outline_entity(message->outline, parent)->depth)
			break;
		if (entity->parent == parent && part_at(message, k)->link)
			return false;
	}
	return true;
}

/* With nothing linked, what would have been taken out beside it stays. */
static void keep_drops(struct mime_message *message)
{
	bool all = message->attachments->len == 0;

	for (size_t i = 0; message->parts != NULL && i < message->parts->len; i++) {
		struct policy_part *part = part_at(message, i);

		if (!part->drop || (!all && !is_needed_fork(message, i)))
			continue;
		part->drop = false;
		part->reason = "stays beside what stays";
		g_array_index(message->decisions, struct mime_decision, part->number - 1)
			.reason = part->reason;
	}
}

struct writing {
	const struct mime_output *output;
	size_t index;
};

static bool write_octets(void *context, const char *octets, size_t n, GError **error)
{
	const struct writing *writing = context;

	return writing->output->write_output(
		writing->output->context, writing->index, octets, n, error);
}

/*
 * No delimiter stands behind the part, since its multipart was never closed:
 * some readers then take its last line break for a delimiter's. In base64 and
 * uuencode that is nothing.
 */
static bool is_cut_off(const struct mime_message *message, size_t i)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	size_t parent = entity->parent;

	if (entity->body_end != message->source.bytes ||
		(entity->content.encoding != HEADER_ENCODING_IDENTITY &&
			entity->content.encoding != HEADER_ENCODING_QP))
		return false;
	while (parent != OUTLINE_NONE &&
		outline_entity(message->outline, parent)->kind != OUTLINE_MULTIPART)
		parent = outline_entity(message->outline, parent)->parent;
	return parent != OUTLINE_NONE;
}

/* The last attachment stays, where it is cut off and ends in a line break. */
static bool keep_cut_off(struct mime_message *message, GError **error)
{
	for (size_t index = 0; index < message->entities->len;) {
		size_t i = g_array_index(message->entities, size_t, index), length;
		const struct outline_entity *entity = outline_entity(message->outline, i);
		const char *last = "";

		if (is_cut_off(message, i) && entity->body_end > entity->body_start)
			last = source_peek(&message->source, entity->body_end - 1,
				entity->body_end, &length, error);
		if (last == NULL)
			return false;
		if (*last == '\n')
			keep_attachment(message, index,
				"no delimiter behind it: whose is its last line break");
		else
			index++;
	}
	return true;
}

static bool extract_one(struct mime_message *message, size_t index,
	const struct mime_output *output, struct decode_result *result, GError **error)
{
	size_t i = g_array_index(message->entities, size_t, index);
	const struct outline_entity *entity = outline_entity(message->outline, i);
	struct writing writing = { output, index };
	int fd;

	if (output->write_output != NULL)
		return decode_part_to(&message->source, entity->body_start,
			entity->body_end, entity->content.encoding, write_octets,
			&writing, result, error);
	fd = output->open_output(output->context, index, error);
	return fd >= 0 &&
	       decode_part(&message->source, entity->body_start, entity->body_end,
		       entity->content.encoding, fd, result, error);
}

bool mime_message_extract(
	struct mime_message *message, const struct mime_output *output, GError **error)
{
	size_t index = 0;

	if (!keep_cut_off(message, error))
		return false;
	while (index < message->attachments->len) {
		struct mime_attachment *attachment = &g_array_index(
			message->attachments, struct mime_attachment, index);
		struct decode_result result;

		if (!extract_one(message, index, output, &result, error))
			return false;
		if (result.violation != NULL) {
			output->discard_output(output->context, index);
			keep_attachment(message, index, result.violation);
			continue;
		}
		attachment->size = result.size;
		memcpy(attachment->sha256, result.sha256, sizeof(attachment->sha256));
		index++;
	}
	keep_drops(message);
	return true;
}

size_t mime_message_attachments(
	const struct mime_message *message, const struct mime_attachment **attachments)
{
	*attachments =
		(const struct mime_attachment *)(const void *)message->attachments->data;
	return message->attachments->len;
}

bool mime_attachment_is_tnef(const struct mime_attachment *attachment)
{
	return strcmp(attachment->media_type, "application/ms-tnef") == 0 ||
	       strcmp(attachment->media_type, "application/vnd.ms-tnef") == 0 ||
	       g_ascii_strcasecmp(attachment->file_name, "winmail.dat") == 0;
}

static void add_file(
	struct mime_message *message, size_t entity, const struct mime_file *file)
{
	size_t part = message->decisions->len + 1;
	char *name = file->name != NULL ? filename_clean(file->name) : NULL;

	if (name == NULL)
		name = filename_make("application/octet-stream", NULL, part);
	g_ptr_array_add(message->names, name);
	struct mime_attachment attachment = {
		.part = part,
		.file_name = name,
		.media_type = filename_media_type(name),
		.reason = "a file within an Outlook container",
		.size = file->size,
	};
	struct mime_decision decision = {
		.part = part,
		.media_type = attachment.media_type,
		.file_name = name,
		.linked = true,
		.reason = attachment.reason,
	};
	memcpy(attachment.sha256, file->sha256, sizeof(attachment.sha256));
	g_array_append_val(message->attachments, attachment);
	g_array_append_val(message->entities, entity);
	g_array_append_val(message->decisions, decision);
}

void mime_message_add_files(struct mime_message *message, size_t container,
	const struct mime_file *files, size_t n_files)
{
	struct mime_attachment *attachment =
		&g_array_index(message->attachments, struct mime_attachment, container);
	size_t entity = g_array_index(message->entities, size_t, container);

	if (n_files == 0) {
		attachment->reason = "an Outlook container in which no file was found";
		g_array_index(
			message->decisions, struct mime_decision, attachment->part - 1)
			.reason = attachment->reason;
	}
	if (message->names == NULL)
		message->names = g_ptr_array_new_with_free_func(g_free);
	for (size_t i = 0; i < n_files; i++)
		add_file(message, entity, &files[i]);
}

static bool take_nothing(void *context, const char *octets, size_t n, GError **error)
{
	(void)context;
	(void)octets;
	(void)n;
	(void)error;
	return true;
}

bool mime_message_whole(
	struct mime_message *message, struct mime_attachment *whole, GError **error)
{
	struct decode_result result;

	if (!decode_part_to(&message->source, 0, message->source.bytes,
		    HEADER_ENCODING_IDENTITY, take_nothing, NULL, &result, error))
		return false;
	*whole = (struct mime_attachment){
		.part = 1,
		.file_name = "message.eml",
		.media_type = "message/rfc822",
		.reason = "the whole message: it is over what the relay takes",
		.size = result.size,
	};
	memcpy(whole->sha256, result.sha256, sizeof(whole->sha256));
	return true;
}

void mime_message_free(struct mime_message **message)
{
	if (message == NULL || *message == NULL)
		return;
	source_deinit(&(*message)->source);
	outline_free(&(*message)->outline);
	g_clear_pointer(&(*message)->parts, g_array_unref);
	g_array_unref((*message)->attachments);
	g_array_unref((*message)->entities);
	g_array_unref((*message)->decisions);
	g_clear_pointer(&(*message)->names, g_ptr_array_unref);
	g_clear_pointer(&(*message)->marked, g_array_unref);
	g_free((*message)->notice);
	g_free((*message)->unforeseen);
	g_free(*message);
	*message = NULL;
}
