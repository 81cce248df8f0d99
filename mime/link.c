/*
 * link - a message without its attachments and with links in its
 * bodies, as edits of a splice.
 *
 * An attachment goes with its delimiter line, up to the next one: what stands on either
 * side stays as it is. A multipart/mixed with one part left stays a multipart/mixed.
 */
#include "mime/mime.h"

#include "mime/block.h"
#include "mime/body.h"
#include "mime/html.h"
#include "mime/message.h"
#include "mime/qp.h"
#include <string.h>

enum { BOUNDARY_HASH_BYTES = 16, PLAIN_LINE_BYTES = 998 };

struct linker {
	struct mime_message *message;
	const struct mime_link *links;
	size_t n_links;
	struct splice *splice;
	const char *newline;
	bool *removed; /* by entity */
	bool *changed; /* by entity: its content is not what it was */
	bool overlap;  /* an edit could not be made */
};

static const struct outline_entity *entity_at(const struct linker *linker, size_t i)
{
	return outline_entity(linker->message->outline, i);
}

static const struct policy_part *part_at(const struct linker *linker, size_t i)
{
	return &g_array_index(linker->message->parts, struct policy_part, i);
}

static size_t n_entities(const struct linker *linker)
{
	return linker->message->parts->len;
}

static const struct mime_attachment *attachments_of(const struct linker *linker)
{
	return (const struct mime_attachment *)(const void *)
		linker->message->attachments->data;
}

static void replace(
	struct linker *linker, uint64_t start, uint64_t end, const GString *text)
{
	if (!splice_replace(linker->splice, start, end - start,
		    text != NULL ? text->str : "", text != NULL ? text->len : 0))
		linker->overlap = true;
}

static void mark_changed(struct linker *linker, size_t i)
{
	for (; i != OUTLINE_NONE; i = entity_at(linker, i)->parent)
		linker->changed[i] = true;
}

/* Attachments, what is dropped with them, and multiparts of which nothing is left. */
static void find_removed(struct linker *linker)
{
	size_t n = n_entities(linker);
	g_autofree size_t *left = g_new0(size_t, n);

	for (size_t i = 0; i < n; i++)
		left[i] = entity_at(linker, i)->children;
	for (size_t i = n; i-- > 1;) {
		const struct policy_part *part = part_at(linker, i);
		size_t parent = entity_at(linker, i)->parent;

		if (part->link || part->drop)
			linker->removed[i] = true;
		else if (entity_at(linker, i)->kind == OUTLINE_MULTIPART &&
			 left[i] == 0 && !part->is_protected)
			linker->removed[i] = true;
		if (linker->removed[i] && parent != OUTLINE_NONE)
			left[parent]--;
	}
}

static bool is_emptied(const struct linker *linker, size_t multipart)
{
	for (size_t i = multipart + 1; i < n_entities(linker); i++)
		if (entity_at(linker, i)->parent == multipart && !linker->removed[i])
			return false;
	return true;
}

static void append_delimiter(
	const struct linker *linker, GString *out, size_t multipart, const char *behind)
{
	g_string_append_printf(
		out, "--%s%s", entity_at(linker, multipart)->content.boundary, behind);
}

/* The end of a multipart that the sender did not close, now that we write behind child,
 * its last: a line of its own, whatever follows. */
static void append_close(
	const struct linker *linker, GString *out, const struct outline_entity *child)
{
	append_delimiter(linker, out, child->parent, "--");
	if (child->glued || child->region_end == linker->message->source.bytes)
		g_string_append(out, linker->newline);
}

static void remove_entities(struct linker *linker)
{
	for (size_t i = 1; i < n_entities(linker); i++) {
		const struct outline_entity *entity = entity_at(linker, i);
		g_autoptr(GString) text = g_string_new(NULL);

		if (!linker->removed[i] || linker->removed[entity->parent])
			continue;
		if (!entity->ended_by_sibling)
			append_close(linker, text, entity);
		replace(linker, entity->delimiter_start, entity->region_end, text);
		mark_changed(linker, entity->parent);
	}
}

/* A boundary that nobody can foresee: it hangs on the links' signatures. kind is a letter
 * that tells ours from one another; "=_" stands in no quoted-printable or base64 text. */
static char *make_boundary(const struct linker *linker, char kind)
{
	g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
	for (size_t i = 0; i < linker->n_links; i++)
		g_checksum_update(digest, (const guchar *)linker->links[i].url, -1);
	GString *boundary = g_string_new("=_stowage_");
	g_string_append_printf(boundary, "%c_%.*s", kind, 2 * BOUNDARY_HASH_BYTES,
		g_checksum_get_string(digest));
	return g_string_free(boundary, FALSE);
}

static bool needs_qp(const GString *text)
{
	size_t column = 0;

	for (size_t i = 0; i < text->len; i++) {
		column = text->str[i] == '\n' ? 0 : column + 1;
		if ((unsigned char)text->str[i] >= 0x80 || column > PLAIN_LINE_BYTES)
			return true;
	}
	return false;
}

/* A whole text part, header and all, without the line break at its end. */
static void append_text_part(
	const struct linker *linker, GString *out, const char *subtype, GString *text)
{
	bool qp = needs_qp(text);

	g_string_append_printf(
		out, "Content-Type: text/%s; charset=utf-8%s", subtype, linker->newline);
	g_string_append_printf(out, "Content-Transfer-Encoding: %s%s%s",
		qp ? "quoted-printable" : "7bit", linker->newline, linker->newline);
	if (g_str_has_suffix(text->str, linker->newline))
		g_string_truncate(text, text->len - strlen(linker->newline));
	if (qp)
		qp_encode(text->str, text->len, linker->newline, out);
	else
		g_string_append_len(out, text->str, (gssize)text->len);
}

static void append_plain(const struct linker *linker, GString *out)
{
	g_autoptr(GString) text = block_text(
		attachments_of(linker), linker->links, linker->n_links, linker->newline);

	append_text_part(linker, out, "plain", text);
}

static void append_html(const struct linker *linker, GString *out)
{
	g_autoptr(GString) block = block_html(
		attachments_of(linker), linker->links, linker->n_links, linker->newline);
	g_autoptr(GString) text = g_string_new("<!DOCTYPE html>");

	g_string_append_printf(text,
		"%s<html><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\">%s"
		"<meta name=\"color-scheme\" content=\"light dark\"></head>%s<body>%s",
		linker->newline, linker->newline, linker->newline, linker->newline);
	g_string_append(text, block->str);
	g_string_append_printf(text, "</body></html>%s", linker->newline);
	append_text_part(linker, out, "html", text);
}

/* The parts of a multipart/alternative of text and HTML, from its first
 * delimiter to its last. */
static void append_alternatives(
	const struct linker *linker, GString *out, const char *boundary)
{
	const char *newline = linker->newline;

	g_string_append_printf(out, "--%s%s", boundary, newline);
	append_plain(linker, out);
	g_string_append_printf(out, "%s--%s%s", newline, boundary, newline);
	append_html(linker, out);
	g_string_append_printf(out, "%s--%s--%s", newline, boundary, newline);
}

/* The part that carries the links where no body does: text beside
 * other text, else both. */
static void append_new_part(const struct linker *linker, GString *out, bool beside_text)
{
	g_autofree char *boundary = make_boundary(linker, 'a');

	if (beside_text) {
		append_plain(linker, out);
		return;
	}
	g_string_append_printf(out,
		"Content-Type: multipart/alternative; boundary=\"%s\"%s%s", boundary,
		linker->newline, linker->newline);
	append_alternatives(linker, out, boundary);
}

static bool is_content_field(const struct outline_field *field)
{
	return g_str_has_prefix(field->name, "content-");
}

static bool has_doubles(const struct linker *linker)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *root = entity_at(linker, 0);

	for (size_t i = 0; i < root->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, root->first_field + i);

		if (outline_find(outline, root, field->name) != field)
			return true;
	}
	return false;
}

/* The top header's Content-* fields give way to one Content-Type, in
 * the first one's place. */
static void replace_top_fields(
	struct linker *linker, const char *subtype, const char *boundary)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *root = entity_at(linker, 0);
	g_autoptr(GString) text = g_string_new(NULL);
	bool placed = false;

	if (outline_find(outline, root, "mime-version") == NULL)
		g_string_append_printf(text, "MIME-Version: 1.0%s", linker->newline);
	g_string_append_printf(text, "Content-Type: multipart/%s; boundary=\"%s\"%s",
		subtype, boundary, linker->newline);
	for (size_t i = 0; i < root->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, root->first_field + i);
		bool lines = strcmp(field->name, "lines") == 0;

		if (!is_content_field(field) && !lines)
			continue;
		replace(linker, field->start, field->end, placed || lines ? NULL : text);
		placed = placed || !lines;
	}
	if (!placed)
		replace(linker, root->header_end, root->header_end, text);
}

/* The whole message is one attachment: a body of links takes its place. */
static bool replace_root(struct linker *linker)
{
	const struct outline_entity *root = entity_at(linker, 0);
	g_autofree char *boundary = make_boundary(linker, 'a');
	g_autoptr(GString) body = g_string_new(NULL);

	if (has_doubles(linker))
		return false;
	replace_top_fields(linker, "alternative", boundary);
	if (!root->blank_line)
		g_string_append(body, linker->newline);
	append_alternatives(linker, body, boundary);
	replace(linker, root->body_start, root->body_end, body);
	return true;
}

static void append_moved_fields(const struct linker *linker, GString *out, GError **error)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *root = entity_at(linker, 0);

	for (size_t i = 0; i < root->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, root->first_field + i);

		if (is_content_field(field) &&
			strcmp(field->name, "content-length") != 0 &&
			strcmp(field->name, "content-md5") != 0 &&
			!source_append(&linker->message->source, field->start, field->end,
				out, error))
			return;
	}
}

/*
 * The message becomes the first part of a multipart/mixed, the links the second: for
 * messages whose own structure has no place for one more text.
 */
static bool wrap_root(struct linker *linker, bool beside_text, GError **error)
{
	const struct outline_entity *root = entity_at(linker, 0);
	uint64_t end = linker->message->source.bytes;
	g_autofree char *boundary = make_boundary(linker, 'm');
	g_autoptr(GString) before = g_string_new(NULL);
	g_autoptr(GString) behind = g_string_new(NULL);
	GError *failure = NULL;

	if (has_doubles(linker) || !root->blank_line)
		return false;
	g_string_append_printf(before, "--%s%s", boundary, linker->newline);
	append_moved_fields(linker, before, &failure);
	if (failure != NULL) {
		g_propagate_error(error, failure);
		return false;
	}
	g_string_append(before, linker->newline);
	replace_top_fields(linker, "mixed", boundary);
	replace(linker, root->body_start, root->body_start, before);
	g_string_append_printf(
		behind, "%s--%s%s", linker->newline, boundary, linker->newline);
	append_new_part(linker, behind, beside_text);
	g_string_append_printf(
		behind, "%s--%s--%s", linker->newline, boundary, linker->newline);
	replace(linker, end, end, behind);
	linker->changed[0] = false; /* its fields are dealt with */
	return true;
}

/* Multiparts in which parts stand one after the other (RFC 2046, section 5.1.3
 * and 5.1.7). */
static bool is_sequence(const struct linker *linker, size_t i)
{
	static const char *const others[] = { "multipart/alternative",
		"multipart/related", "multipart/digest", "multipart/appledouble",
		"multipart/signed", "multipart/encrypted", "multipart/report",
		"multipart/byteranges" };

	if (entity_at(linker, i)->kind != OUTLINE_MULTIPART ||
		part_at(linker, i)->is_protected)
		return false;
	for (size_t k = 0; k < G_N_ELEMENTS(others); k++)
		if (header_is(&entity_at(linker, i)->content, others[k]))
			return false;
	return true;
}

static void insert_behind(struct linker *linker, size_t child, bool beside_text)
{
	const struct outline_entity *entity = entity_at(linker, child);
	g_autoptr(GString) text = g_string_new(NULL);

	if (!entity->ended_by_sibling)
		g_string_append(text, linker->newline);
	append_delimiter(linker, text, entity->parent, linker->newline);
	append_new_part(linker, text, beside_text);
	g_string_append(text, linker->newline);
	if (!entity->ended_by_sibling)
		append_close(linker, text, entity);
	replace(linker, entity->region_end, entity->region_end, text);
	mark_changed(linker, entity->parent);
}

static void insert_first(struct linker *linker, size_t multipart, bool beside_text)
{
	/* Its first child stands right behind it in reading order. */
	uint64_t at = entity_at(linker, multipart + 1)->delimiter_start;
	g_autoptr(GString) text = g_string_new(NULL);

	append_delimiter(linker, text, multipart, linker->newline);
	append_new_part(linker, text, beside_text);
	g_string_append(text, linker->newline);
	replace(linker, at, at, text);
	mark_changed(linker, multipart);
}

/* A text of the sender that stays: a body that cannot be edited, or what is signed. */
static size_t find_kept_text(const struct linker *linker)
{
	for (size_t i = 0; i < n_entities(linker); i++) {
		const struct policy_part *part = part_at(linker, i);

		if (part->leaf && !part->link && !part->drop &&
			(part->is_protected || part->role != POLICY_NO_BODY ||
				header_starts(&entity_at(linker, i)->content, "text/")))
			return i;
	}
	return OUTLINE_NONE;
}

/* Puts the links into a part of their own. */
static bool add_part(struct linker *linker, GError **error)
{
	size_t child = find_kept_text(linker), parent;
	bool beside_text = child != OUTLINE_NONE;

	if (is_emptied(linker, 0) || (!beside_text && is_sequence(linker, 0))) {
		insert_first(linker, 0, beside_text);
		return true;
	}
	while (child != OUTLINE_NONE) {
		parent = entity_at(linker, child)->parent;
		if (parent != OUTLINE_NONE && is_sequence(linker, parent)) {
			insert_behind(linker, child, beside_text);
			return true;
		}
		child = parent;
	}
	return wrap_root(linker, beside_text, error);
}

static void add_shown(GHashTable **table, char *key, const char *url)
{
	if (*table == NULL)
		*table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_hash_table_insert(*table, key, (gpointer)(uintptr_t)url);
}

/* URLs of parts that an HTML body shows and that go: in the request's tables. */
static void find_shown(const struct linker *linker, struct body_request *request)
{
	for (size_t k = 0; k < linker->n_links; k++) {
		size_t i = g_array_index(linker->message->entities, size_t, k);
		const struct header_content *content = &entity_at(linker, i)->content;
		const char *id = content->content_id, *url = linker->links[k].url;

		if (!part_at(linker, i)->referenced)
			continue;
		if (id != NULL)
			add_shown(&request->ids, html_decode_id(id, strlen(id)), url);
		if (content->location != NULL)
			add_shown(&request->locations, g_strdup(content->location), url);
	}
}

struct bodies {
	size_t entity[2];
	struct body_plan *plan[2];
	size_t n;
	bool complete; /* every body has a plan */
};

static bool plan_bodies(
	struct linker *linker, bool with_block, struct bodies *bodies, GError **error)
{
	struct body_request request = {
		.outline = linker->message->outline,
		.source = &linker->message->source,
		.position = linker->message->settings.block_position,
		.newline = linker->newline,
	};
	bool ok = true;

	*bodies = (struct bodies){ .complete = true };
	find_shown(linker, &request);
	for (size_t i = 0; ok && i < n_entities(linker) && bodies->n < 2; i++) {
		g_autoptr(GString) block = NULL;
		bool html = part_at(linker, i)->role == POLICY_HTML_BODY;

		if (part_at(linker, i)->role == POLICY_NO_BODY)
			continue;
		if (!with_block &&
			(!html || (request.ids == NULL && request.locations == NULL)))
			continue;
		if (with_block)
			block = (html ? block_html : block_text)(attachments_of(linker),
				linker->links, linker->n_links, linker->newline);
		request.entity = i;
		request.role = part_at(linker, i)->role;
		request.block = block;
		bodies->entity[bodies->n] = i;
		ok = body_plan_new(&bodies->plan[bodies->n], &request, error);
		bodies->complete = bodies->complete && bodies->plan[bodies->n] != NULL;
		bodies->n++;
	}
	g_clear_pointer(&request.ids, g_hash_table_unref);
	g_clear_pointer(&request.locations, g_hash_table_unref);
	return ok;
}

static void free_bodies(struct bodies *bodies)
{
	for (size_t i = 0; i < bodies->n; i++)
		body_plan_free(&bodies->plan[i]);
	bodies->n = 0;
}

static void apply_bodies(struct linker *linker, const struct bodies *bodies)
{
	for (size_t i = 0; i < bodies->n; i++) {
		if (bodies->plan[i] == NULL)
			continue;
		if (!body_plan_apply(bodies->plan[i], linker->splice))
			linker->overlap = true;
		mark_changed(linker, bodies->entity[i]);
	}
}

/* The links go into all bodies, or where one cannot carry them,
 * into a part beside them. */
static bool place_links(struct linker *linker, GError **error)
{
	struct bodies bodies;
	bool ok = plan_bodies(linker, true, &bodies, error);

	if (ok && (bodies.n == 0 || !bodies.complete)) {
		free_bodies(&bodies);
		ok = plan_bodies(linker, false, &bodies, error) &&
		     add_part(linker, error);
	}
	if (ok)
		apply_bodies(linker, &bodies);
	free_bodies(&bodies);
	return ok;
}

/* Fields that speak of content which is not the same any more. */
static void remove_stale_fields(struct linker *linker)
{
	static const char *const stale[] = { "content-length", "content-md5", "lines" };
	const struct outline *outline = linker->message->outline;

	for (size_t i = 0; i < n_entities(linker); i++) {
		const struct outline_entity *entity = entity_at(linker, i);

		if (!linker->changed[i] || linker->removed[i])
			continue;
		for (size_t k = 0; k < entity->n_fields; k++) {
			const struct outline_field *field =
				outline_field(outline, entity->first_field + k);

			for (size_t s = 0; s < G_N_ELEMENTS(stale); s++)
				if (strcmp(field->name, stale[s]) == 0)
					replace(linker, field->start, field->end, NULL);
		}
	}
}

static bool link_all(struct linker *linker, GError **error)
{
	if (part_at(linker, 0)->link)
		return replace_root(linker);
	find_removed(linker);
	if (!place_links(linker, error))
		return false;
	remove_entities(linker);
	remove_stale_fields(linker);
	return true;
}

bool mime_message_link(struct mime_message *message, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error)
{
	struct linker linker = {
		.message = message,
		.links = links,
		.n_links = n_links,
		.splice = splice,
		.newline = outline_bare_lf(message->outline) ? "\n" : "\r\n",
	};
	GError *failure = NULL;
	bool ok;

	if (n_links == 0)
		return true;
	g_assert(n_links == message->attachments->len);
	linker.removed = g_new0(bool, n_entities(&linker));
	linker.changed = g_new0(bool, n_entities(&linker));
	ok = link_all(&linker, &failure);
	g_free(linker.removed);
	g_free(linker.changed);
	if (failure != NULL) {
		g_propagate_error(error, failure);
		return false;
	}
	if (ok && !linker.overlap)
		return true;
	g_set_error(error, MIME_ERROR, MIME_ERROR_CONTENT,
		"no part of the message can carry the links");
	return false;
}
