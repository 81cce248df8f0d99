/* Which parts are the body, and which it shows. Reads texts that may name others. */
#include "mime/policy_private.h"

#include "mime/charset.h"
#include "mime/decode.h"
#include "mime/html.h"
#include "mime/text.h"
#include <string.h>

enum { LOCATIONS_MAX = 100, NAMED_BODY_BYTES = 256 * 1024 };

/* The nearest enclosing multipart/alternative, OUTLINE_NONE without. */
static size_t alternative_of(const struct policy *policy, size_t i)
{
	for (i = entity_at(policy, i)->parent; i != OUTLINE_NONE;
		i = entity_at(policy, i)->parent)
		if (header_is(content_at(policy, i), "multipart/alternative"))
			return i;
	return OUTLINE_NONE;
}

static bool is_within(const struct policy *policy, size_t i, size_t ancestor)
{
	while (i != OUTLINE_NONE && i != ancestor)
		i = entity_at(policy, i)->parent;
	return i == ancestor;
}

/* The part that a multipart/related is about (RFC 2387, section 3.2). */
static bool is_related_root(const struct policy *policy, size_t i)
{
	size_t parent = entity_at(policy, i)->parent;
	const char *id = content_at(policy, i)->content_id, *start;
	size_t length;

	if (!parent_is(policy, i, "multipart/related"))
		return false;
	start = content_at(policy, parent)->start;
	if (start == NULL || *start == '\0')
		return policy_next_child(policy, parent, parent) == i;
	if (*start == '<')
		start++;
	length = strcspn(start, ">");
	return id != NULL && strlen(id) == length && strncmp(id, start, length) == 0;
}

/* text/plain and text/html can be the body. A named one only where a body must be: as the
 * whole message, as an alternative, or as a related group's root. */
static enum policy_role candidate(
	const struct policy *policy, size_t i, bool name_allowed)
{
	const struct header_content *content = content_at(policy, i);
	const struct policy_part *part = part_at(policy, i);

	if (!part->leaf || part->is_protected ||
		entity_at(policy, i)->kind != OUTLINE_LEAF || content->malformed ||
		content->disposition == HEADER_DISPOSITION_ATTACHMENT)
		return POLICY_NO_BODY;
	if (part->file_name != NULL && i != policy->scope && !name_allowed &&
		!parent_is(policy, i, "multipart/alternative") &&
		!is_related_root(policy, i))
		return POLICY_NO_BODY;
	if (header_is(content, "text/plain"))
		return POLICY_TEXT_BODY;
	if (header_is(content, "text/html"))
		return POLICY_HTML_BODY;
	return POLICY_NO_BODY;
}

/* Something that people read, in which links can be put: no file of another kind. */
static bool reads_as_text(struct policy *policy, size_t i, bool *reads, GError **error)
{
	const struct outline_entity *entity = entity_at(policy, i);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *utf8 = NULL;
	const char *violation = NULL;

	*reads = false;
	if (entity->body_end - entity->body_start > NAMED_BODY_BYTES)
		return true;
	if (!decode_text(policy->source, entity->body_start, entity->body_end,
		    entity->content.encoding, text, &violation, error))
		return false;
	utf8 = charset_to_utf8(entity->content.charset, text->str, text->len, NULL);
	*reads = violation == NULL && utf8 != NULL &&
		 memchr(text->str, '\0', text->len) == NULL && !text_is_armoured(text);
	return true;
}

/* *first is OUTLINE_NONE without any. */
static bool first_candidate(struct policy *policy, size_t *first, GError **error)
{
	*first = OUTLINE_NONE;
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		if (candidate(policy, i, false) != POLICY_NO_BODY) {
			*first = i;
			return true;
		}
	}
	/* A text with a "name" but no word that it is a file, and no other text. */
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		bool reads;

		if (candidate(policy, i, true) == POLICY_NO_BODY ||
			content_at(policy, i)->file_name != NULL ||
			content_at(policy, i)->disposition != HEADER_DISPOSITION_NONE)
			continue;
		if (!reads_as_text(policy, i, &reads, error))
			return false;
		if (reads)
			*first = i;
		return true;
	}
	return true;
}

bool policy_find_bodies(struct policy *policy, GError **error)
{
	size_t first, alternative;

	if (!first_candidate(policy, &first, error))
		return false;
	if (first == OUTLINE_NONE)
		return true;
	part_at(policy, first)->role = candidate(policy, first, true);
	alternative = alternative_of(policy, first);
	if (alternative == OUTLINE_NONE)
		return true;
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		enum policy_role role = candidate(policy, i, false);

		if (i > first && role != POLICY_NO_BODY &&
			role != part_at(policy, first)->role &&
			is_within(policy, i, alternative)) {
			part_at(policy, i)->role = role;
			return true;
		}
	}
	return true;
}

/* An HTML part that a mail program shows, so that parts it refers to must stay. */
static bool is_shown_html(const struct policy *policy, size_t i)
{
	const struct policy_part *part = part_at(policy, i);
	const struct header_content *content = content_at(policy, i);

	if (!part->leaf || part->is_protected || !header_is(content, "text/html"))
		return false;
	return part->role == POLICY_HTML_BODY ||
	       (content->disposition != HEADER_DISPOSITION_ATTACHMENT &&
		       (part->file_name == NULL ||
			       parent_is(policy, i, "multipart/alternative")));
}

static void note_references(
	struct policy *policy, size_t html, const char *text, size_t length)
{
	bool is_body = part_at(policy, html)->role == POLICY_HTML_BODY;

	size_t at = 0, start, searches = 0, from;
	char *id;

	while (html_next_cid(text, length, &at, &start, &id))
		g_hash_table_add(is_body ? policy->cids : policy->other_cids, id);
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		const char *location = content_at(policy, i)->location;

		if (!part_at(policy, i)->leaf || location == NULL)
			continue;
		/* Beyond what any mail has, all count as referred to, and stay. */
		from = 0;
		if (searches++ >= LOCATIONS_MAX) {
			part_at(policy, i)->referenced = part_at(policy, i)->fixed = true;
		} else if (html_next_location(text, length, location, &from, &start)) {
			part_at(policy, i)->referenced = true;
			part_at(policy, i)->fixed |= !is_body;
		}
	}
}

static bool read_html(struct policy *policy, size_t i, GError **error)
{
	const struct outline_entity *entity = entity_at(policy, i);
	g_autoptr(GString) text = g_string_new(NULL);
	const char *violation = NULL;

	if (entity->body_end - entity->body_start > POLICY_BODY_BYTES) {
		policy->unread_html = true;
		return true;
	}
	if (!decode_text(policy->source, entity->body_start, entity->body_end,
		    entity->content.encoding, text, &violation, error))
		return false;
	if (!charset_holds_ascii(entity->content.charset)) {
		char *utf8 = charset_to_utf8(
			entity->content.charset, text->str, text->len, NULL);

		if (utf8 == NULL) {
			policy->unread_html = true;
			return true;
		}
		g_string_assign(text, utf8);
		g_free(utf8);
	}
	if (violation != NULL)
		policy->unread_html = true;
	note_references(policy, i, text->str, text->len);
	return true;
}

/* Looks for references only where some part could be referred to. */
bool policy_find_references(struct policy *policy, GError **error)
{
	bool needed = false;

	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i))
		if (part_at(policy, i)->leaf &&
			part_at(policy, i)->role == POLICY_NO_BODY &&
			(content_at(policy, i)->content_id != NULL ||
				content_at(policy, i)->location != NULL))
			needed = true;
	if (!needed)
		return true;
	policy->cids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	policy->other_cids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i))
		if (is_shown_html(policy, i) && !read_html(policy, i, error))
			return false;
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		const char *content_id = content_at(policy, i)->content_id;
		g_autofree char *id = NULL;

		if (content_id == NULL || !part_at(policy, i)->leaf)
			continue;
		id = html_decode_id(content_id, strlen(content_id));
		if (g_hash_table_contains(policy->cids, id))
			part_at(policy, i)->referenced = true;
		if (g_hash_table_contains(policy->other_cids, id))
			part_at(policy, i)->referenced = part_at(policy, i)->fixed = true;
		if (policy->unread_html && content_at(policy, i)->disposition !=
						   HEADER_DISPOSITION_ATTACHMENT)
			part_at(policy, i)->referenced = true;
	}
	return true;
}
