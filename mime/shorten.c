/*
 * shorten - parts that the next hop would not take as they are: too long lines, octets
 * that no line may have, fields that it stumbles over. Leaves the encoding to body.c and
 * splice.c.
 */
#include "mime/body.h"
#include "mime/fold.h"
#include "mime/message.h"
#include <string.h>

/* What a part has that may not be sent. */
struct faults {
	bool long_line;
	bool nul;
	bool binary; /* octets above 127, or a CR or LF alone */
	/* Of the line at hand: its octets so far, and whether they end in CR. */
	uint64_t line_bytes;
	bool ends_in_cr;
};

static void end_line(struct faults *faults)
{
	faults->long_line = faults->long_line ||
			    faults->line_bytes - faults->ends_in_cr > BODY_LINE_BYTES_MAX;
	faults->line_bytes = 0;
	faults->ends_in_cr = false;
}

static void find_long_lines(struct faults *faults, const char *data, size_t length)
{
	const char *end = data + length;

	while (data < end) {
		const char *feed = memchr(data, '\n', (size_t)(end - data));
		const char *stop = feed != NULL ? feed : end;

		faults->line_bytes += (uint64_t)(stop - data);
		if (stop > data)
			faults->ends_in_cr = stop[-1] == '\r';
		if (feed != NULL)
			end_line(faults);
		data = stop + (feed != NULL);
	}
}

static void find_binary(
	struct faults *faults, char *before, const char *data, size_t length, bool bare)
{
	for (size_t i = 0; i < length && !faults->binary; i++) {
		bool is_pair = *before == '\r' && data[i] == '\n';

		faults->binary = (data[i] & 0x80) != 0 || (!is_pair && *before == '\r') ||
				 (!is_pair && !bare && data[i] == '\n');
		*before = data[i];
	}
}

static bool find_faults(
	struct mime_message *message, size_t i, struct faults *faults, GError **error)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	bool bare = outline_bare_lf(message->outline);
	uint64_t at = entity->body_start;
	char before = '\0';

	*faults = (struct faults){ 0 };
	while (at < entity->body_end) {
		size_t length;
		const char *data = source_peek(
			&message->source, at, entity->body_end, &length, error);

		if (data == NULL)
			return false;
		find_long_lines(faults, data, length);
		faults->nul = faults->nul || memchr(data, '\0', length) != NULL;
		if (entity->content.encoding == HEADER_ENCODING_IDENTITY &&
			!header_starts(&entity->content, "text/"))
			find_binary(faults, &before, data, length, bare);
		at += length;
	}
	faults->binary = faults->binary || before == '\r';
	end_line(faults);
	return true;
}

static bool has_one_encoding(const struct outline *outline, size_t i)
{
	const struct outline_entity *entity = outline_entity(outline, i);
	size_t n = 0;

	for (size_t k = 0; k < entity->n_fields; k++)
		n += strcmp(outline_field(outline, entity->first_field + k)->name,
			     "content-transfer-encoding") == 0;
	return n <= 1;
}

/* Of message/ and multipart/ only their leaves may be encoded (RFC 2045, section 6.4). */
static bool may_change(
	const struct mime_message *message, size_t i, const struct splice *splice)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);

	return entity->kind == OUTLINE_LEAF && entity->blank_line &&
	       entity->content.encoding <= HEADER_ENCODING_BASE64 &&
	       entity->body_end > entity->body_start &&
	       !g_array_index(message->parts, struct policy_part, i).is_sealed &&
	       !header_starts(&entity->content, "message/") &&
	       !header_starts(&entity->content, "multipart/") &&
	       has_one_encoding(message->outline, i) &&
	       splice_leaves(splice, entity->header_start, entity->body_end);
}

/* What the text says stays to be read in the source, as quoted-printable. */
static bool shorten_text(const struct body_request *request, struct splice *splice,
	bool *changed, GError **error)
{
	struct body_plan *plan = NULL;

	if (!body_plan_new(&plan, request, error))
		return false;
	if (plan != NULL)
		*changed = body_plan_apply(plan, splice) || *changed;
	body_plan_free(&plan);
	return true;
}

/* What the entity's body is once it is folded. */
static bool count_folded(const struct body_request *request, struct fold fold,
	uint64_t *bytes, GError **error)
{
	const struct outline_entity *entity =
		outline_entity(request->outline, request->entity);
	char out[4096];
	size_t used;

	*bytes = 0;
	for (uint64_t at = entity->body_start; at < entity->body_end; at += used) {
		uint64_t end = MIN(entity->body_end, at + sizeof(out));
		size_t length;
		const char *data = source_peek(request->source, at, end, &length, error);

		if (data == NULL)
			return false;
		*bytes += fold_push(&fold, data, length, &used, out, sizeof(out));
	}
	return true;
}

/* Line breaks that mean nothing in its encoding. */
static bool fold_lines(const struct body_request *request, struct splice *splice,
	bool *changed, GError **error)
{
	const struct outline_entity *entity =
		outline_entity(request->outline, request->entity);
	const struct fold fold = {
		.is_qp = entity->content.encoding == HEADER_ENCODING_QP,
		.newline = request->newline,
	};
	uint64_t bytes;

	if (!count_folded(request, fold, &bytes, error))
		return false;
	*changed = splice_fold(splice, entity->body_start,
			   entity->body_end - entity->body_start, &fold, bytes) ||
		   *changed;
	return true;
}

static bool is_small_text(const struct outline_entity *entity)
{
	return header_starts(&entity->content, "text/") && !entity->content.malformed &&
	       entity->body_end - entity->body_start <= POLICY_BODY_BYTES;
}

static bool shorten(struct mime_message *message, size_t i, struct splice *splice,
	bool *changed, GError **error)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	const struct body_request request = {
		.outline = message->outline,
		.source = &message->source,
		.entity = i,
		.role = POLICY_TEXT_BODY,
		.newline = outline_bare_lf(message->outline) ? "\n" : "\r\n",
		.shortens = true,
	};
	bool is_identity = entity->content.encoding == HEADER_ENCODING_IDENTITY;
	struct faults faults;

	if (!find_faults(message, i, &faults, error))
		return false;
	if (is_identity && faults.long_line && is_small_text(entity))
		return shorten_text(&request, splice, changed, error);
	if (is_identity && (faults.long_line || faults.nul || faults.binary))
		*changed = body_to_base64(&request, splice) || *changed;
	return is_identity || !faults.long_line ||
	       fold_lines(&request, splice, changed, error);
}

bool mime_message_shorten_lines(struct mime_message *message, struct splice *splice,
	bool *changed, GError **error)
{
	*changed = false;
	for (size_t i = 0; message->parts != NULL && i < message->parts->len; i++)
		if (may_change(message, i, splice) &&
			!shorten(message, i, splice, changed, error))
			return false;
	return true;
}

static bool is_within_message(const struct outline *outline, size_t i)
{
	for (size_t at = outline_entity(outline, i)->parent; at != OUTLINE_NONE;
		at = outline_entity(outline, at)->parent)
		if (outline_entity(outline, at)->kind == OUTLINE_MESSAGE)
			return true;
	return false;
}

static bool mend_fields(struct mime_message *message, size_t i, struct splice *splice,
	mime_mend mend, GError **error)
{
	const struct outline_entity *entity = outline_entity(message->outline, i);
	const char *newline = outline_bare_lf(message->outline) ? "\n" : "\r\n";

	for (size_t k = 0; k < entity->n_fields; k++) {
		const struct outline_field *field =
			outline_field(message->outline, entity->first_field + k);
		g_autoptr(GString) lines = g_string_new(NULL);
		g_autoptr(GString) mended = NULL;

		if (strcmp(field->name, "content-type") != 0 &&
			strcmp(field->name, "content-disposition") != 0)
			continue;
		if (!source_append(
			    &message->source, field->start, field->end, lines, error))
			return false;
		mended = mend(lines->str, lines->len, newline);
		if (mended != NULL)
			splice_replace(splice, field->start, lines->len, mended->str,
				mended->len);
	}
	return true;
}

bool mime_message_mend_fields(struct mime_message *message, struct splice *splice,
	mime_mend mend, GError **error)
{
	for (size_t i = 1; message->parts != NULL && i < message->parts->len; i++) {
		const struct policy_part *part =
			&g_array_index(message->parts, struct policy_part, i);

		if (!part->is_sealed && !is_within_message(message->outline, i) &&
			!mend_fields(message, i, splice, mend, error))
			return false;
	}
	return true;
}
