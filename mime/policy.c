/*
 * policy - the decision for each part of a message, each with its reason.
 * Leaves to mime.c the decoding, to link.c what the decisions do to the message.
 *
 * Parents stand before their children in the outline, so one pass
 * in reading order suffices.
 */
#include "mime/policy.h"

#include "mime/charset.h"
#include "mime/decode.h"
#include "mime/filename.h"
#include "mime/html.h"
#include "mime/text.h"
#include <string.h>

enum { LOCATIONS_MAX = 100, NAMED_BODY_BYTES = 256 * 1024 };

struct policy {
	const struct outline *outline;
	struct source *source;
	const struct mime_settings *settings;
	GArray *parts; /* struct policy_part */
	/* an HTML body could not be read: what it refers to is unknown */
	bool unread_html;
	/* What HTML texts refer to, as html_next_cid() gives it: from the
	 * body, and from others. */
	GHashTable *cids, *other_cids;
};

static const struct outline_entity *entity_at(const struct policy *policy, size_t i)
{
	return outline_entity(policy->outline, i);
}

static struct policy_part *part_at(const struct policy *policy, size_t i)
{
	return &g_array_index(policy->parts, struct policy_part, i);
}

static const struct header_content *content_at(const struct policy *policy, size_t i)
{
	return &entity_at(policy, i)->content;
}

static void clear_part(gpointer data)
{
	struct policy_part *part = data;

	g_free(part->file_name);
}

/* The child of parent behind number child, OUTLINE_NONE behind the last. */
static size_t next_child(const struct policy *policy, size_t parent, size_t child)
{
	size_t n = outline_entities(policy->outline);

	for (size_t i = child + 1; i < n; i++) {
		if (entity_at(policy, i)->parent == parent)
			return i;
		if (entity_at(policy, i)->depth <= entity_at(policy, parent)->depth)
			break;
	}
	return OUTLINE_NONE;
}

static bool is_one_of(const struct header_content *content, const char *const *types)
{
	for (size_t i = 0; types[i] != NULL; i++)
		if (header_is(content, types[i]))
			return true;
	return false;
}

static bool has_suffix(const char *text, const char *lower)
{
	size_t length = text != NULL ? strlen(text) : 0, n = strlen(lower);

	return length >= n && g_ascii_strcasecmp(text + length - n, lower) == 0;
}

/* S/MIME: also what mail servers call octet-stream (RFC 8551, section 3.2.1). */
static bool is_pkcs7_mime(const struct header_content *content)
{
	if (header_is(content, "application/pkcs7-mime") ||
		header_is(content, "application/x-pkcs7-mime"))
		return true;
	return header_is(content, "application/octet-stream") &&
	       (has_suffix(content->file_name, "smime.p7m") ||
		       has_suffix(content->name, "smime.p7m"));
}

static bool is_signature(const struct header_content *content)
{
	static const char *const types[] = { "application/pgp-signature",
		"application/pkcs7-signature", "application/x-pkcs7-signature", NULL };

	return is_one_of(content, types);
}

/*
 * Why a multipart and all in it stays as it is, or NULL. PGP/MIME and S/MIME are known
 * also by their parts: some mail servers turn them into multipart/mixed.
 */
static const char *protection_of(const struct policy *policy, size_t i)
{
	const struct header_content *content = content_at(policy, i);
	size_t first, second;

	if (header_is(content, "multipart/signed"))
		return "signed: no part of it may change";
	if (header_is(content, "multipart/encrypted"))
		return "encrypted: no part of it may change";
	if (header_is(content, "multipart/report"))
		return "a report for programs to read";
	first = next_child(policy, i, i);
	if (first == OUTLINE_NONE)
		return NULL;
	if (header_is(content_at(policy, first), "application/pgp-encrypted"))
		return "encrypted: no part of it may change";
	second = next_child(policy, i, first);
	if (second != OUTLINE_NONE &&
		header_is(content_at(policy, second), "application/pgp-encrypted"))
		return "encrypted: no part of it may change";
	if (second != OUTLINE_NONE && is_signature(content_at(policy, second)) &&
		entity_at(policy, i)->children == 2)
		return "signed: no part of it may change";
	return NULL;
}

/* Names from the header, cleaned; Content-Disposition's before Content-Type's. */
static char *name_of(const struct header_content *content)
{
	char *name = NULL;

	if (content->file_name != NULL)
		name = filename_clean(content->file_name);
	if (name == NULL && content->name != NULL)
		name = filename_clean(content->name);
	return name;
}

/* Marks leaves and what is protected; numbers leaves. */
static void survey(struct policy *policy)
{
	size_t number = 0;

	for (size_t i = 0; i < policy->parts->len; i++) {
		const struct outline_entity *entity = entity_at(policy, i);
		struct policy_part *part = part_at(policy, i);
		const struct policy_part *parent = NULL;

		if (entity->parent != OUTLINE_NONE) {
			parent = part_at(policy, entity->parent);
			part->is_protected = parent->is_protected;
			part->reason = parent->reason;
			/* What is within an attached message has no
			 * decision of its own. */
			if (entity_at(policy, entity->parent)->kind == OUTLINE_MESSAGE) {
				part->is_protected = true;
				part->reason = "within a forwarded message";
				continue;
			}
			if (parent->is_protected && !parent->leaf &&
				strcmp(parent->reason, "within a forwarded message") == 0)
				continue;
		}
		if (entity->kind == OUTLINE_MULTIPART) {
			const char *reason =
				part->is_protected ? NULL : protection_of(policy, i);

			if (reason != NULL) {
				part->is_protected = true;
				part->reason = reason;
			}
			continue;
		}
		part->leaf = true;
		part->number = ++number;
		part->file_name = name_of(&entity->content);
	}
}

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

static bool parent_is(const struct policy *policy, size_t i, const char *media_type)
{
	size_t parent = entity_at(policy, i)->parent;

	return parent != OUTLINE_NONE &&
	       header_is(content_at(policy, parent), media_type);
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
		return next_child(policy, parent, parent) == i;
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
	if (part->file_name != NULL && i != 0 && !name_allowed &&
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
	for (size_t i = 0; i < policy->parts->len; i++) {
		if (candidate(policy, i, false) != POLICY_NO_BODY) {
			*first = i;
			return true;
		}
	}
	/* A text with a "name" but no word that it is a file, and no other text. */
	for (size_t i = 0; i < policy->parts->len; i++) {
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

/* The body: the first text, and in the same alternative the first of the other kind. */
static bool find_bodies(struct policy *policy, GError **error)
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
	for (size_t i = first + 1; i < policy->parts->len; i++) {
		enum policy_role role = candidate(policy, i, false);

		if (role != POLICY_NO_BODY && role != part_at(policy, first)->role &&
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
	for (size_t i = 0; i < policy->parts->len; i++) {
		const char *location = content_at(policy, i)->location;

		if (!part_at(policy, i)->leaf || location == NULL)
			continue;
		/* Beyond what any mail has, all count as referred to. */
		from = 0;
		if (searches++ >= LOCATIONS_MAX ||
			html_next_location(text, length, location, &from, &start)) {
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
static bool find_references(struct policy *policy, GError **error)
{
	bool needed = false;

	for (size_t i = 0; i < policy->parts->len; i++)
		if (part_at(policy, i)->leaf &&
			part_at(policy, i)->role == POLICY_NO_BODY &&
			(content_at(policy, i)->content_id != NULL ||
				content_at(policy, i)->location != NULL))
			needed = true;
	if (!needed)
		return true;
	policy->cids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	policy->other_cids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (size_t i = 0; i < policy->parts->len; i++)
		if (is_shown_html(policy, i) && !read_html(policy, i, error))
			return false;
	for (size_t i = 0; i < policy->parts->len; i++) {
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

/* The decoded size, when it can be anywhere near limit; otherwise
 * an estimate suffices. */
static bool decoded_size(
	struct policy *policy, size_t i, uint64_t limit, uint64_t *size, GError **error)
{
	const struct outline_entity *entity = entity_at(policy, i);
	uint64_t encoded = entity->body_end - entity->body_start;
	struct decode_result result;

	*size = encoded;
	if (entity->content.encoding == HEADER_ENCODING_IDENTITY || encoded <= limit)
		return true;
	if (!decode_part(policy->source, entity->body_start, entity->body_end,
		    entity->content.encoding, -1, &result, error))
		return false;
	if (result.violation == NULL)
		*size = result.size;
	return true;
}

static void keep(struct policy_part *part, const char *reason)
{
	part->reason = reason;
}

static void link_part(struct policy_part *part, const char *reason)
{
	part->link = true;
	part->reason = reason;
}

static bool decide_referenced(struct policy *policy, size_t i, GError **error)
{
	struct policy_part *part = part_at(policy, i);
	uint64_t size;

	if (part->fixed) {
		keep(part, "shown within an HTML text that is not the body");
		return true;
	}
	if (policy->settings->inline_images == MIME_INLINE_LINK) {
		link_part(part, "shown within the HTML text, which links to it now");
		return true;
	}
	if (!decoded_size(policy, i, policy->settings->inline_max, &size, error))
		return false;
	if (size > policy->settings->inline_max)
		link_part(part, "shown within the HTML text, but over inline_max");
	else
		keep(part, "shown within the HTML text");
	return true;
}

/* Types that stay whatever else their header says; NULL for all others. */
static const char *kept_type(const struct header_content *content)
{
	if (is_pkcs7_mime(content))
		return "S/MIME: it may not change";
	if (header_is(content, "application/pgp-encrypted"))
		return "encrypted: it may not change";
	if (header_starts(content, "multipart/"))
		return "a multipart whose parts cannot be told";
	if (header_is(content, "text/rfc822-headers"))
		return "part of a report";
	if (header_starts(content, "message/"))
		return "a message/ part other than a forwarded message";
	return NULL;
}

static bool is_forwarded(const struct header_content *content)
{
	return header_is(content, "message/rfc822") ||
	       header_is(content, "message/global");
}

static void decide_forwarded(const struct policy *policy, struct policy_part *part)
{
	if (policy->settings->forwarded == MIME_FORWARDED_WHOLE)
		link_part(part, "a forwarded message");
	else
		keep(part, "a forwarded message stays");
}

/* A direct child of multipart/alternative. */
static bool decide_alternative(
	struct policy_part *part, const struct header_content *content)
{
	if (header_is(content, "text/x-amp-html")) {
		part->drop = true;
		keep(part, "an AMP alternative cannot show links: taken out");
	} else if (header_starts(content, "text/") || part->file_name == NULL) {
		keep(part, "an alternative of the body");
	} else {
		return false;
	}
	return true;
}

/* A message that is nothing but a calendar's request: programs answer it, named or not. */
static bool is_invitation(const struct policy *policy, size_t i)
{
	return i == 0 && header_is(content_at(policy, i), "text/calendar");
}

static bool decide_leaf(struct policy *policy, size_t i, GError **error)
{
	struct policy_part *part = part_at(policy, i);
	const struct header_content *content = content_at(policy, i);
	const char *reason;

	if (part->is_protected)
		return true;
	if (part->role != POLICY_NO_BODY) {
		keep(part, "the message's text");
		return true;
	}
	if (is_forwarded(content)) {
		decide_forwarded(policy, part);
		return true;
	}
	reason = kept_type(content);
	if (reason != NULL) {
		keep(part, reason);
		return true;
	}
	if (part->referenced)
		return decide_referenced(policy, i, error);
	if (content->disposition == HEADER_DISPOSITION_ATTACHMENT)
		link_part(part, "Content-Disposition says attachment");
	else if (parent_is(policy, i, "multipart/alternative") &&
		 decide_alternative(part, content))
		return true;
	else if (part->file_name != NULL && !is_invitation(policy, i))
		link_part(part, "it has a file name");
	else if (header_starts(content, "text/") || content->malformed)
		keep(part, "a text without a name");
	else if (i == 0)
		link_part(part, "the whole message is one attachment");
	else
		link_part(part, "neither text nor referred to");
	return true;
}

static bool apply_min_size(struct policy *policy, size_t i, GError **error)
{
	const struct outline_entity *entity = entity_at(policy, i);
	struct policy_part *part = part_at(policy, i);
	struct decode_result result;

	/* No encoding makes four octets or more of one, and line breaks are few. */
	if (!part->link || policy->settings->min_size == 0 ||
		(entity->body_end - entity->body_start) / 4 >= policy->settings->min_size)
		return true;
	if (!decode_part(policy->source, entity->body_start, entity->body_end,
		    entity->content.encoding, -1, &result, error))
		return false;
	if (result.violation == NULL && result.size < policy->settings->min_size) {
		part->link = false;
		part->reason = "smaller than min_size";
	}
	return true;
}

static const char *whole_message(const struct policy *policy)
{
	const struct policy_part *root = part_at(policy, 0);

	if (root->is_protected)
		return root->reason;
	if (root->leaf && kept_type(content_at(policy, 0)) != NULL)
		return kept_type(content_at(policy, 0));
	for (size_t i = 0; i < policy->parts->len; i++)
		if (part_at(policy, i)->leaf && !part_at(policy, i)->is_protected &&
			content_at(policy, i)->encoding == HEADER_ENCODING_UNKNOWN)
			return "a part has an unknown transfer encoding";
	return NULL;
}

static bool decide(struct policy *policy, GError **error)
{
	survey(policy);
	if (!find_bodies(policy, error) || !find_references(policy, error))
		return false;
	for (size_t i = 0; i < policy->parts->len; i++) {
		if (!part_at(policy, i)->leaf)
			continue;
		if (!decide_leaf(policy, i, error) || !apply_min_size(policy, i, error))
			return false;
	}
	return true;
}

GArray *policy_decide(const struct outline *outline, struct source *source,
	const struct mime_settings *settings, const char **untouched, GError **error)
{
	struct policy policy = {
		.outline = outline,
		.source = source,
		.settings = settings,
		.parts = g_array_new(FALSE, TRUE, sizeof(struct policy_part)),
	};
	bool ok;

	g_array_set_clear_func(policy.parts, clear_part);
	g_array_set_size(policy.parts, (guint)outline_entities(outline));
	ok = decide(&policy, error);
	*untouched = whole_message(&policy);
	g_clear_pointer(&policy.cids, g_hash_table_unref);
	g_clear_pointer(&policy.other_cids, g_hash_table_unref);
	if (!ok)
		g_clear_pointer(&policy.parts, g_array_unref);
	for (size_t i = 0; ok && *untouched != NULL && i < policy.parts->len; i++) {
		part_at(&policy, i)->link = false;
		part_at(&policy, i)->drop = false;
		if (!part_at(&policy, i)->is_protected)
			part_at(&policy, i)->reason = "the whole message stays as it is";
	}
	return policy.parts;
}
