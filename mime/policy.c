/*
 * policy - the decision for each part of a message, each with its reason.
 * Leaves to mime.c the decoding, to link.c what the decisions do to the message.
 */
#include "mime/policy_private.h"

#include "mime/decode.h"
#include "mime/rule.h"
#include <string.h>

static void clear_part(gpointer data)
{
	struct policy_part *part = data;

	g_free(part->file_name);
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
		keep(part, "shown within an HTML text that cannot link to it");
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

static void decide_forwarded(const struct policy *policy, size_t i)
{
	struct policy_part *part = part_at(policy, i);

	if (policy->settings->forwarded == MIME_FORWARDED_WHOLE)
		link_part(part, "a forwarded message");
	else if (entity_at(policy, i)->kind == OUTLINE_MESSAGE &&
		 policy_is_opened(policy, i))
		keep(part, "a forwarded message, rewritten within");
	else
		keep(part, "a forwarded message stays");
}

/* The settings name parts like this one; false: they do not. */
static bool decide_by_rule(struct policy *policy, size_t i)
{
	const struct mime_settings *settings = policy->settings;
	struct policy_part *part = part_at(policy, i);
	const struct mime_rule *rule =
		rule_find(settings->names, settings->n_names, part->file_name);
	bool by_name = rule != NULL;

	if (rule == NULL)
		rule = rule_find(settings->types, settings->n_types,
			content_at(policy, i)->media_type);
	/* What a body shows or stands in for it is no file, whatever its type. */
	if (rule == NULL ||
		(rule->action == MIME_ACTION_LINK &&
			(part->referenced ||
				parent_is(policy, i, "multipart/alternative"))))
		return false;
	part->by_rule = true;
	if (rule->action == MIME_ACTION_LINK)
		link_part(part, by_name ? "by its file name (names)"
					: "by its media type (types)");
	else
		keep(part, by_name ? "stays by its file name (names)"
				   : "stays by its media type (types)");
	return true;
}

/* The Macintosh's second half of a file (RFC 1740): nobody else can use it. */
static bool is_resource_fork(const struct policy *policy, size_t i)
{
	return parent_is(policy, i, "multipart/appledouble") &&
	       header_is(content_at(policy, i), "application/applefile");
}

/* As mime_attachment_is_tnef(). */
static bool is_tnef(const struct header_content *content, const char *file_name)
{
	return header_is(content, "application/ms-tnef") ||
	       header_is(content, "application/vnd.ms-tnef") ||
	       (file_name != NULL && g_ascii_strcasecmp(file_name, "winmail.dat") == 0);
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

/* A message that is nothing but a calendar's request: programs answer
 * it, named or not. */
static bool is_invitation(const struct policy *policy, size_t i)
{
	return i == policy->scope && header_is(content_at(policy, i), "text/calendar");
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
	reason = is_forwarded(content) ? NULL : kept_type(content);
	if (reason != NULL) {
		keep(part, reason);
		return true;
	}
	if (decide_by_rule(policy, i))
		return true;
	if (is_forwarded(content)) {
		decide_forwarded(policy, i);
		return true;
	}
	if (is_tnef(content, part->file_name) &&
		policy->settings->tnef == MIME_TNEF_KEEP) {
		keep(part, "an Outlook container stays");
		return true;
	}
	if (is_resource_fork(policy, i) &&
		policy->settings->resource_forks == MIME_FORKS_DROP) {
		part->drop = true;
		keep(part, "a Macintosh resource fork: taken out");
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
	else if (i == policy->scope)
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
	if (!part->link || part->by_rule || policy->settings->min_size == 0 ||
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

/* Why all of the scope stays as it is, or NULL. */
static const char *whole_message(const struct policy *policy)
{
	const struct policy_part *root = part_at(policy, policy->scope);

	if (root->is_protected)
		return root->reason;
	if (root->leaf && !is_forwarded(content_at(policy, policy->scope)) &&
		kept_type(content_at(policy, policy->scope)) != NULL)
		return kept_type(content_at(policy, policy->scope));
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i))
		if (part_at(policy, i)->leaf && !part_at(policy, i)->is_protected &&
			content_at(policy, i)->encoding == HEADER_ENCODING_UNKNOWN)
			return "a part has an unknown transfer encoding";
	return NULL;
}

/* Nothing in the scope changes, nor in messages within it. */
static void keep_scope(struct policy *policy, const char *reason)
{
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		struct policy_part *part = part_at(policy, i);

		part->link = false;
		part->drop = false;
		part->role = POLICY_NO_BODY;
		if (!part->is_protected)
			part->reason = reason;
		part->is_protected = true;
	}
}

/* The forwarded message that the scope is the content of stays or goes as one piece. */
static bool is_closed(const struct policy *policy)
{
	const struct policy_part *message;

	if (policy->scope == 0)
		return false;
	message = part_at(policy, entity_at(policy, policy->scope)->parent);
	return message->link || message->by_rule || message->is_protected;
}

static bool decide_scope(struct policy *policy, GError **error)
{
	if (!policy_find_bodies(policy, error) || !policy_find_references(policy, error))
		return false;
	for (size_t i = policy->scope; i < policy->scope_end;
		i = policy_next_in_scope(policy, i)) {
		if (!part_at(policy, i)->leaf)
			continue;
		if (!decide_leaf(policy, i, error) || !apply_min_size(policy, i, error))
			return false;
	}
	return true;
}

static void enter_scope(struct policy *policy, size_t root)
{
	size_t end = root + 1;

	while (end < policy->parts->len &&
		entity_at(policy, end)->depth > entity_at(policy, root)->depth)
		end++;
	policy->scope = root;
	policy->scope_end = end;
	policy->unread_html = false;
	g_clear_pointer(&policy->cids, g_hash_table_unref);
	g_clear_pointer(&policy->other_cids, g_hash_table_unref);
}

/* *untouched is about the message itself: then nothing in it changes. */
static bool decide(struct policy *policy, const char **untouched, GError **error)
{
	*untouched = NULL;
	policy_survey(policy);
	for (size_t i = 0; i < policy->parts->len; i++) {
		const char *reason;

		if (part_at(policy, i)->scope != i)
			continue;
		enter_scope(policy, i);
		if (is_closed(policy)) {
			keep_scope(policy, policy_within_forwarded);
			continue;
		}
		if (!decide_scope(policy, error))
			return false;
		reason = whole_message(policy);
		if (reason == NULL)
			continue;
		keep_scope(policy, i == 0 ? "the whole message stays as it is"
					  : "its whole message stays as it is");
		if (i == 0)
			*untouched = reason;
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
	ok = decide(&policy, untouched, error);
	g_clear_pointer(&policy.cids, g_hash_table_unref);
	g_clear_pointer(&policy.other_cids, g_hash_table_unref);
	g_free(policy.charset);
	if (!ok)
		g_clear_pointer(&policy.parts, g_array_unref);
	return policy.parts;
}
