/*
 * link - a message without its attachments and with links in its
 * bodies, as edits of a splice.
 *
 * An attachment goes with its delimiter line, up to the next one: what stands on either
 * side stays as it is. A multipart/mixed with one part left stays a multipart/mixed.
 */
#include "mime/mime.h"

#include "mime/body.h"
#include "mime/html.h"
#include "mime/link_both.h"
#include "mime/linker.h"
#include "mime/whole.h"
#include <string.h>

static bool is_ours(const struct linker *linker, size_t i)
{
	return linker_part(linker, i)->scope == linker->root;
}

/* Behind the message's last octet. */
static uint64_t end_of(const struct linker *linker)
{
	return linker->root == 0 ? linker->message->source.bytes
				 : linker_entity(linker, linker->root)->body_end;
}

static void mark_changed(struct linker *linker, size_t i)
{
	for (; i != OUTLINE_NONE; i = linker_entity(linker, i)->parent)
		linker->changed[i] = true;
}

/* Attachments, what is dropped with them, and multiparts of which nothing is left. */
static void find_removed(struct linker *linker)
{
	g_autofree size_t *left = g_new0(size_t, linker->end - linker->root);

	for (size_t i = linker->root; i < linker->end; i++)
		left[i - linker->root] = linker_entity(linker, i)->children;
	for (size_t i = linker->end; i-- > linker->root + 1;) {
		const struct policy_part *part = linker_part(linker, i);

		if (!is_ours(linker, i))
			continue;
		if (part->link || part->drop)
			linker->removed[i] = true;
		else if (linker_entity(linker, i)->kind == OUTLINE_MULTIPART &&
			 left[i - linker->root] == 0 && !part->is_protected)
			linker->removed[i] = true;
		if (linker->removed[i])
			left[linker_entity(linker, i)->parent - linker->root]--;
	}
}

static bool is_emptied(const struct linker *linker, size_t multipart)
{
	for (size_t i = multipart + 1; i < linker->end; i++)
		if (linker_entity(linker, i)->parent == multipart && !linker->removed[i])
			return false;
	return true;
}

static void append_delimiter(
	const struct linker *linker, GString *out, size_t multipart, const char *behind)
{
	g_string_append_printf(out, "--%s%s",
		linker_entity(linker, multipart)->content.boundary, behind);
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
	for (size_t i = linker->root + 1; i < linker->end; i++) {
		const struct outline_entity *entity = linker_entity(linker, i);
		g_autoptr(GString) text = NULL;

		if (!is_ours(linker, i) || !linker->removed[i] ||
			linker->removed[entity->parent])
			continue;
		text = g_string_new(NULL);
		if (!entity->ended_by_sibling)
			append_close(linker, text, entity);
		linker_replace(linker, entity->delimiter_start, entity->region_end, text);
		mark_changed(linker, entity->parent);
	}
}

/* The whole message is one attachment: a body of links takes its place. */
static bool replace_root(struct linker *linker)
{
	const struct outline_entity *root = linker_entity(linker, linker->root);
	g_autofree char *boundary = linker_boundary(linker, 'a');
	g_autoptr(GString) body = g_string_new(NULL);

	if (linker_has_doubles(linker, linker->root))
		return false;
	linker_replace_fields(linker, linker->root, "alternative", boundary);
	if (!root->blank_line)
		g_string_append(body, linker->newline);
	linker_append_alternatives(linker, body, boundary);
	linker_replace(linker, root->body_start, root->body_end, body);
	return true;
}

static void append_moved_fields(const struct linker *linker, GString *out, GError **error)
{
	const struct outline *outline = linker->message->outline;
	const struct outline_entity *root = linker_entity(linker, linker->root);

	for (size_t i = 0; i < root->n_fields; i++) {
		const struct outline_field *field =
			outline_field(outline, root->first_field + i);

		if (linker_is_content(field) &&
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
	const struct outline_entity *root = linker_entity(linker, linker->root);
	uint64_t end = end_of(linker);
	g_autofree char *boundary = linker_boundary(linker, 'm');
	g_autoptr(GString) before = g_string_new(NULL);
	g_autoptr(GString) behind = g_string_new(NULL);
	GError *failure = NULL;

	if (linker_has_doubles(linker, linker->root) || !root->blank_line)
		return false;
	if (linker->explanation != NULL) {
		g_string_append_printf(before, "--%s%s", boundary, linker->newline);
		linker_append_part(linker, before, beside_text);
		g_string_append(before, linker->newline);
	}
	g_string_append_printf(before, "--%s%s", boundary, linker->newline);
	append_moved_fields(linker, before, &failure);
	if (failure != NULL) {
		g_propagate_error(error, failure);
		return false;
	}
	g_string_append(before, linker->newline);
	linker_replace_fields(linker, linker->root, "mixed", boundary);
	linker_replace(linker, root->body_start, root->body_start, before);
	if (linker->explanation == NULL) {
		g_string_append_printf(
			behind, "%s--%s%s", linker->newline, boundary, linker->newline);
		linker_append_part(linker, behind, beside_text);
	}
	g_string_append_printf(
		behind, "%s--%s--%s", linker->newline, boundary, linker->newline);
	linker_replace(linker, end, end, behind);
	linker->changed[linker->root] = false; /* its fields are dealt with */
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

	if (linker_entity(linker, i)->kind != OUTLINE_MULTIPART ||
		linker_part(linker, i)->is_protected)
		return false;
	for (size_t k = 0; k < G_N_ELEMENTS(others); k++)
		if (header_is(&linker_entity(linker, i)->content, others[k]))
			return false;
	return true;
}

static void insert_behind(struct linker *linker, size_t child, bool beside_text)
{
	const struct outline_entity *entity = linker_entity(linker, child);
	g_autoptr(GString) text = g_string_new(NULL);

	if (!entity->ended_by_sibling)
		g_string_append(text, linker->newline);
	append_delimiter(linker, text, entity->parent, linker->newline);
	linker_append_part(linker, text, beside_text);
	g_string_append(text, linker->newline);
	if (!entity->ended_by_sibling)
		append_close(linker, text, entity);
	linker_replace(linker, entity->region_end, entity->region_end, text);
	mark_changed(linker, entity->parent);
}

static void insert_before(struct linker *linker, size_t child, bool beside_text)
{
	size_t multipart = linker_entity(linker, child)->parent;
	uint64_t at = linker_entity(linker, child)->delimiter_start;
	g_autoptr(GString) text = g_string_new(NULL);

	append_delimiter(linker, text, multipart, linker->newline);
	linker_append_part(linker, text, beside_text);
	g_string_append(text, linker->newline);
	linker_replace(linker, at, at, text);
	mark_changed(linker, multipart);
}

static void insert_first(struct linker *linker, size_t multipart, bool beside_text)
{
	/* Its first child stands right behind it in reading order. */
	insert_before(linker, multipart + 1, beside_text);
}

/* A text of the sender that stays: a body that cannot be edited, or what is signed. */
static size_t find_kept_text(const struct linker *linker)
{
	for (size_t i = linker->root; i < linker->end; i++) {
		const struct policy_part *part = linker_part(linker, i);

		if (is_ours(linker, i) && part->leaf && !part->link && !part->drop &&
			(part->is_protected || part->role != POLICY_NO_BODY ||
				header_starts(
					&linker_entity(linker, i)->content, "text/")))
			return i;
	}
	return OUTLINE_NONE;
}

/* A kept attachment that no delimiter ends (see is_cut_off() in mime.c) would be another
 * with one behind it. */
static bool is_open_ended(const struct linker *linker, size_t i)
{
	return linker_part(linker, i)->role == POLICY_NO_BODY &&
	       linker_entity(linker, i)->body_end == linker->message->source.bytes;
}

/* Puts the links into a part of their own. */
static bool add_part(struct linker *linker, GError **error)
{
	size_t child = find_kept_text(linker), parent;
	bool beside_text = child != OUTLINE_NONE;

	if (linker_entity(linker, linker->root)->children > 0 &&
		(is_emptied(linker, linker->root) ||
			(!beside_text && is_sequence(linker, linker->root)))) {
		insert_first(linker, linker->root, beside_text);
		return true;
	}
	while (child != OUTLINE_NONE && child != linker->root) {
		parent = linker_entity(linker, child)->parent;
		if (parent != OUTLINE_NONE && is_sequence(linker, parent)) {
			if (linker->explanation != NULL || is_open_ended(linker, child))
				insert_before(linker, child, beside_text);
			else
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
		size_t i = g_array_index(linker->entities, size_t, k);
		const struct header_content *content = &linker_entity(linker, i)->content;
		const char *id = content->content_id, *url = linker->links[k].url;

		if (!linker_part(linker, i)->referenced)
			continue;
		if (id != NULL)
			add_shown(&request->ids, html_decode_id(id, strlen(id)), url);
		if (content->location != NULL)
			add_shown(&request->locations, g_strdup(content->location), url);
	}
}

struct body {
	size_t entity;
	struct body_plan *plan; /* NULL: it cannot be edited so */
};

static void clear_body(gpointer data)
{
	body_plan_free(&((struct body *)data)->plan);
}

/* What is to be done to entity i, in request; false: nothing. */
static bool request_body(const struct linker *linker, size_t i, bool with_block,
	struct body_request *request)
{
	const struct policy_part *part = linker_part(linker, i);
	bool is_body = part->role != POLICY_NO_BODY;
	bool html = is_body ? part->role == POLICY_HTML_BODY
			    : header_is(&linker_entity(linker, i)->content, "text/html");

	request->entity = i;
	request->role = html ? POLICY_HTML_BODY : POLICY_TEXT_BODY;
	request->markers = linker_is_marked(linker, i) ? linker->message->markers : NULL;
	request->block = request->notice = NULL;
	if (is_body && with_block) {
		request->notice = linker_notice(linker, html);
		if (linker->n_links > 0)
			request->block = linker_block(linker, html);
		return true;
	}
	return request->markers != NULL ||
	       (is_body && html && (request->ids != NULL || request->locations != NULL));
}

static void free_blocks(const struct body_request *request)
{
	if (request->block != NULL)
		g_string_free((GString *)(uintptr_t)request->block, TRUE);
	if (request->notice != NULL)
		g_string_free((GString *)(uintptr_t)request->notice, TRUE);
}

/* Plans for all that is to be edited: an array of struct body. *carried tells whether
 * there are bodies and each can carry the block. NULL with MIME_ERROR_IO. */
static GArray *plan_bodies(
	struct linker *linker, bool with_block, bool *carried, GError **error)
{
	GArray *bodies = g_array_new(FALSE, FALSE, sizeof(struct body));
	struct body_request request = {
		.outline = linker->message->outline,
		.source = &linker->message->source,
		.position = linker->message->settings.block_position,
		.newline = linker->newline,
	};
	bool ok = true, complete = true;

	g_array_set_clear_func(bodies, clear_body);
	*carried = false;
	find_shown(linker, &request);
	for (size_t i = linker->root; ok && i < linker->end; i++) {
		struct body body = { .entity = i };

		if (!is_ours(linker, i) || !request_body(linker, i, with_block, &request))
			continue;
		ok = body_plan_new(&body.plan, &request, error);
		if (linker_part(linker, i)->role != POLICY_NO_BODY) {
			*carried = true;
			complete = complete && body.plan != NULL;
		}
		free_blocks(&request);
		g_array_append_val(bodies, body);
	}
	*carried = *carried && complete;
	g_clear_pointer(&request.ids, g_hash_table_unref);
	g_clear_pointer(&request.locations, g_hash_table_unref);
	if (!ok)
		g_clear_pointer(&bodies, g_array_unref);
	return bodies;
}

static void apply_bodies(struct linker *linker, const GArray *bodies)
{
	for (size_t i = 0; i < bodies->len; i++) {
		const struct body *body = &g_array_index(bodies, struct body, i);

		if (body->plan == NULL)
			continue;
		if (!body_plan_apply(body->plan, linker->splice))
			linker->overlap = true;
		mark_changed(linker, body->entity);
	}
}

/* Where text is the only body it becomes text and HTML, and has no plan of its own. */
static bool add_html(struct linker *linker, GArray *bodies, GError **error)
{
	size_t n = 0, text = 0;
	bool done;

	for (size_t i = 0; i < bodies->len; i++) {
		const struct body *body = &g_array_index(bodies, struct body, i);

		if (linker_part(linker, body->entity)->role == POLICY_HTML_BODY)
			return true;
		if (linker_part(linker, body->entity)->role == POLICY_TEXT_BODY) {
			n++;
			text = i;
		}
	}
	if (n != 1)
		return true;
	size_t entity = g_array_index(bodies, struct body, text).entity;

	if (!link_both(linker, entity, &done, error))
		return false;
	if (!done)
		return true;
	g_array_remove_index(bodies, (guint)text);
	if (entity != linker->root)
		mark_changed(linker, linker_entity(linker, entity)->parent);
	return true;
}

/* The links go into all bodies, or where one cannot carry them,
 * into a part beside them. */
static bool place_links(struct linker *linker, GError **error)
{
	bool with_block = linker->n_links > 0 || linker->explanation != NULL, carried;
	GArray *bodies = plan_bodies(linker, with_block, &carried, error);
	bool ok = bodies != NULL;

	if (ok && with_block && carried &&
		linker->message->settings.text_only == MIME_TEXT_ONLY_BOTH)
		ok = add_html(linker, bodies, error);
	if (ok && with_block && !carried) {
		g_array_unref(bodies);
		bodies = plan_bodies(linker, false, &carried, error);
		ok = bodies != NULL && add_part(linker, error);
	}
	if (ok)
		apply_bodies(linker, bodies);
	g_clear_pointer(&bodies, g_array_unref);
	return ok;
}

/* Fields that speak of content which is not the same any more. */
static void remove_stale_fields(struct linker *linker)
{
	static const char *const stale[] = { "content-length", "content-md5", "lines" };
	const struct outline *outline = linker->message->outline;

	for (size_t i = 0; i < linker->message->parts->len; i++) {
		const struct outline_entity *entity = linker_entity(linker, i);

		if (!linker->changed[i] || linker->removed[i])
			continue;
		for (size_t k = 0; k < entity->n_fields; k++) {
			const struct outline_field *field =
				outline_field(outline, entity->first_field + k);

			for (size_t s = 0; s < G_N_ELEMENTS(stale); s++)
				if (strcmp(field->name, stale[s]) == 0)
					linker_replace(
						linker, field->start, field->end, NULL);
		}
	}
}

static bool link_scope(struct linker *linker, GError **error)
{
	if (linker->root != 0)
		mark_changed(linker, linker->root);
	if (linker_part(linker, linker->root)->link) {
		linker->changed[linker->root] = false;
		return replace_root(linker);
	}
	find_removed(linker);
	if (!place_links(linker, error))
		return false;
	remove_entities(linker);
	return true;
}

/* The attachments of the message at root, with their links. */
static void take_scope(
	struct linker *linker, size_t root, const struct mime_link *links, GArray *own)
{
	const struct mime_message *message = linker->message;

	linker->root = root;
	linker->end = root + 1;
	while (linker->end < message->parts->len &&
		linker_entity(linker, linker->end)->depth >
			linker_entity(linker, root)->depth)
		linker->end++;
	g_array_set_size(own, 0);
	g_array_set_size(linker->entities, 0);
	g_array_set_size(linker->attachments, 0);
	for (size_t k = 0; k < message->entities->len; k++) {
		size_t i = g_array_index(message->entities, size_t, k);

		if (linker_part(linker, i)->scope != root)
			continue;
		g_array_append_val(linker->entities, i);
		g_array_append_val(linker->attachments,
			g_array_index(message->attachments, struct mime_attachment, k));
		g_array_append_val(own, links[k]);
	}
	linker->links = (const struct mime_link *)(const void *)own->data;
	linker->n_links = own->len;
}

/* Inner messages first: what an outer one does to its header has then the last word. */
static bool link_all(struct linker *linker, const struct mime_link *links, GError **error)
{
	g_autoptr(GArray) own = g_array_new(FALSE, FALSE, sizeof(struct mime_link));
	g_autoptr(GHashTable) scopes = g_hash_table_new(NULL, NULL);

	for (size_t k = 0; k < linker->message->entities->len; k++) {
		size_t i = g_array_index(linker->message->entities, size_t, k);

		g_hash_table_add(scopes, GSIZE_TO_POINTER(linker_part(linker, i)->scope));
	}
	if (linker->message->marked != NULL || linker->message->notice != NULL)
		g_hash_table_add(scopes, GSIZE_TO_POINTER(0));
	for (size_t root = linker->message->parts->len; root-- > 0;) {
		if (!g_hash_table_contains(scopes, GSIZE_TO_POINTER(root)))
			continue;
		take_scope(linker, root, links, own);
		linker->explanation = root == 0 ? linker->message->notice : NULL;
		if (!link_scope(linker, error))
			return false;
	}
	remove_stale_fields(linker);
	return true;
}

static void linker_init(
	struct linker *linker, struct mime_message *message, struct splice *splice)
{
	*linker = (struct linker){
		.message = message,
		.entities = g_array_new(FALSE, FALSE, sizeof(size_t)),
		.attachments = g_array_new(FALSE, FALSE, sizeof(struct mime_attachment)),
		.splice = splice,
		.newline = outline_bare_lf(message->outline) ? "\n" : "\r\n",
	};
}

static void linker_deinit(struct linker *linker)
{
	g_array_unref(linker->entities);
	g_array_unref(linker->attachments);
	g_free(linker->removed);
	g_free(linker->changed);
}

bool mime_message_link_whole(struct mime_message *message,
	const struct mime_attachment *whole, const struct mime_link *link,
	const char *explanation, struct splice *splice, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *boundary = NULL, *both = NULL;
	struct linker linker;
	uint64_t body_start;
	bool ok;

	if (message->notice != NULL)
		both = g_strconcat(message->notice, " ", explanation, NULL);
	linker_init(&linker, message, splice);
	g_array_append_val(linker.attachments, *whole);
	linker.links = link;
	linker.n_links = 1;
	linker.explanation = both != NULL ? both : explanation;
	boundary = linker_boundary(&linker, 'a');
	g_string_append_printf(text,
		"MIME-Version: 1.0%sContent-Type: multipart/alternative; "
		"boundary=\"%s\"%s",
		linker.newline, boundary, linker.newline);
	ok = whole_replace_fields(&message->source, text, splice, &body_start, error);
	if (ok) {
		g_string_truncate(text, 0);
		linker_append_alternatives(&linker, text, boundary);
		linker_replace(&linker, body_start, message->source.bytes, text);
	}
	linker_deinit(&linker);
	return ok;
}

bool mime_message_link(struct mime_message *message, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error)
{
	struct linker linker;
	GError *failure = NULL;
	bool ok;

	if (n_links == 0 && message->marked == NULL && message->notice == NULL)
		return true;
	g_assert(n_links == message->attachments->len);
	if (message->untouched != NULL || message->parts == NULL) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_CONTENT,
			"the message stays as it is: %s", message->untouched);
		return false;
	}
	linker_init(&linker, message, splice);
	linker.removed = g_new0(bool, message->parts->len);
	linker.changed = g_new0(bool, message->parts->len);
	ok = link_all(&linker, links, &failure);
	linker_deinit(&linker);
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
