/*
 * What each part is to begin with: its scope, its name, and whether it may change at all.
 *
 * Parents stand before their children in the outline, so one pass in reading order
 * suffices. A forwarded message that is rewritten within is decided on like a message of
 * its own: a scope, with bodies and references that are its own.
 */
#include "mime/policy_private.h"

#include "mime/charset.h"
#include "mime/filename.h"
#include "mime/name.h"
#include <string.h>

enum { CHARSET_HEADER_BYTES = 64 * 1024 };

size_t policy_next_child(const struct policy *policy, size_t parent, size_t child)
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

static bool is_signature(const struct header_content *content)
{
	static const char *const types[] = { "application/pgp-signature",
		"application/pkcs7-signature", "application/x-pkcs7-signature", NULL };

	return is_one_of(content, types);
}

/*
 * Why a multipart that is signed or encrypted stays as it is, or NULL. PGP/MIME and
 * S/MIME are known also by their parts: some mail servers turn them into multipart/mixed.
 */
static const char *seal_of(const struct policy *policy, size_t i)
{
	const struct header_content *content = content_at(policy, i);
	size_t first, second;

	if (header_is(content, "multipart/signed"))
		return "signed: no part of it may change";
	if (header_is(content, "multipart/encrypted"))
		return "encrypted: no part of it may change";
	first = policy_next_child(policy, i, i);
	if (first == OUTLINE_NONE)
		return NULL;
	if (header_is(content_at(policy, first), "application/pgp-encrypted"))
		return "encrypted: no part of it may change";
	second = policy_next_child(policy, i, first);
	if (second != OUTLINE_NONE &&
		header_is(content_at(policy, second), "application/pgp-encrypted"))
		return "encrypted: no part of it may change";
	if (second != OUTLINE_NONE && is_signature(content_at(policy, second)) &&
		entity_at(policy, i)->children == 2)
		return "signed: no part of it may change";
	return NULL;
}

/* The charset of the sender: of the first text that has one, else of an encoded word in
 * the top header. NULL: nothing says. g_free(). */
static char *find_charset(const struct policy *policy)
{
	g_autoptr(GString) header = NULL;

	for (size_t i = 0; i < policy->parts->len; i++) {
		const struct header_content *content = content_at(policy, i);

		if (header_starts(content, "text/") && content->charset != NULL &&
			!charset_is_utf8(content->charset))
			return g_strdup(content->charset);
	}
	header = g_string_new(NULL);
	source_append(policy->source, 0,
		MIN(entity_at(policy, 0)->header_end, CHARSET_HEADER_BYTES), header,
		NULL);
	return name_charset_of_words(header);
}

static char *clean_name(
	struct policy *policy, const struct header_content *content, const char *name)
{
	const char *hints[3] = { 0 };
	g_autofree char *text = NULL;
	size_t n = 0;

	if (name == NULL || g_utf8_validate(name, -1, NULL))
		return name != NULL ? filename_clean(name) : NULL;
	if (!policy->charset_sought) {
		policy->charset = find_charset(policy);
		policy->charset_sought = true;
	}
	if (content->charset != NULL)
		hints[n++] = content->charset;
	if (policy->charset != NULL)
		hints[n++] = policy->charset;
	text = name_from_raw(name, hints);
	return filename_clean(text);
}

/* Names from the header, cleaned; Content-Disposition's before Content-Type's. */
static char *name_of(struct policy *policy, const struct header_content *content)
{
	char *name = clean_name(policy, content, content->file_name);

	return name != NULL ? name : clean_name(policy, content, content->name);
}

const char policy_within_forwarded[] = "within a forwarded message";

/* How many messages entity i stands in. */
static size_t message_depth(const struct policy *policy, size_t i)
{
	size_t depth = 0;

	for (i = entity_at(policy, i)->parent; i != OUTLINE_NONE;
		i = entity_at(policy, i)->parent)
		depth += entity_at(policy, i)->kind == OUTLINE_MESSAGE;
	return depth;
}

bool policy_is_opened(const struct policy *policy, size_t message)
{
	return policy->settings->forwarded == MIME_FORWARDED_INSIDE &&
	       !part_at(policy, message)->is_protected &&
	       message_depth(policy, message) < policy->settings->forwarded_depth;
}

/* What entity i has from its parent; false: no decision of its own is asked for. */
static bool survey_parent(struct policy *policy, size_t i)
{
	struct policy_part *part = part_at(policy, i);
	size_t at = entity_at(policy, i)->parent;
	const struct policy_part *parent;

	if (at == OUTLINE_NONE)
		return true;
	parent = part_at(policy, at);
	part->scope = parent->scope;
	part->is_sealed = parent->is_sealed;
	part->is_protected = parent->is_protected;
	part->reason = parent->reason;
	if (entity_at(policy, at)->kind != OUTLINE_MESSAGE)
		return parent->reason != policy_within_forwarded;
	if (policy_is_opened(policy, at)) {
		part->scope = i;
		return true;
	}
	part->is_protected = true;
	part->reason = policy_within_forwarded;
	return false;
}

static void survey_multipart(const struct policy *policy, size_t i)
{
	struct policy_part *part = part_at(policy, i);
	const char *reason = part->is_sealed ? NULL : seal_of(policy, i);

	part->is_sealed = part->is_sealed || reason != NULL;
	if (header_is(content_at(policy, i), "multipart/report"))
		reason = "a report for programs to read";
	if (part->is_protected || reason == NULL)
		return;
	part->is_protected = true;
	part->reason = reason;
}

void policy_survey(struct policy *policy)
{
	size_t number = 0;

	for (size_t i = 0; i < policy->parts->len; i++) {
		const struct outline_entity *entity = entity_at(policy, i);
		struct policy_part *part = part_at(policy, i);
		bool is_asked = survey_parent(policy, i);

		if (entity->kind == OUTLINE_MULTIPART)
			survey_multipart(policy, i);
		if (!is_asked || entity->kind == OUTLINE_MULTIPART)
			continue;
		part->leaf = true;
		part->number = ++number;
		part->file_name = name_of(policy, &entity->content);
		/* The two halves of a file are named alike (RFC 1740, section 5). */
		if (part->file_name == NULL &&
			parent_is(policy, i, "multipart/appledouble"))
			part->file_name =
				g_strdup(part_at(policy, entity->parent + 1)->file_name);
	}
}

size_t policy_next_in_scope(const struct policy *policy, size_t i)
{
	do
		i++;
	while (i < policy->scope_end && part_at(policy, i)->scope != policy->scope);
	return i;
}
