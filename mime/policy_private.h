/*
 * policy_private - what policy.c, policy_survey.c and policy_bodies.c share: one
 * policy_decide() at work.
 */
#ifndef MIME_POLICY_PRIVATE_H
#define MIME_POLICY_PRIVATE_H

#include "mime/policy.h"

struct policy {
	const struct outline *outline;
	struct source *source;
	const struct mime_settings *settings;
	GArray *parts;           /* struct policy_part */
	size_t scope, scope_end; /* what is decided on: its root, and behind its last */
	/* Of the scope: an HTML body could not be read, what it refers to is unknown. */
	bool unread_html;
	/* What its HTML texts refer to, as html_next_cid() gives it: from the
	 * body, and from others. */
	GHashTable *cids, *other_cids;
	/* For file names whose charset is not told. */
	char *charset;
	bool charset_sought;
};

static inline const struct outline_entity *entity_at(
	const struct policy *policy, size_t i)
{
	return outline_entity(policy->outline, i);
}

static inline struct policy_part *part_at(const struct policy *policy, size_t i)
{
	return &g_array_index(policy->parts, struct policy_part, i);
}

static inline const struct header_content *content_at(
	const struct policy *policy, size_t i)
{
	return &entity_at(policy, i)->content;
}

static inline bool parent_is(
	const struct policy *policy, size_t i, const char *media_type)
{
	size_t parent = entity_at(policy, i)->parent;

	return parent != OUTLINE_NONE &&
	       header_is(content_at(policy, parent), media_type);
}

/* The child of parent behind number child, OUTLINE_NONE behind the last. */
size_t policy_next_child(const struct policy *policy, size_t parent, size_t child);

/* The part of the scope behind part i; scope_end behind the last. */
size_t policy_next_in_scope(const struct policy *policy, size_t i);

/* The reason of what is within a message that is not rewritten within. */
extern const char policy_within_forwarded[];

/* The parts of this attached message are decided on one by one. */
bool policy_is_opened(const struct policy *policy, size_t message);

/* Gives every part its scope; marks leaves and what is protected; names and numbers
 * leaves. */
void policy_survey(struct policy *policy);

/* The body of the scope: the first text, and in the same alternative the first of the
 * other kind. False with MIME_ERROR_IO, as the next. */
bool policy_find_bodies(struct policy *policy, GError **error);

/* Marks what the scope's HTML texts refer to. */
bool policy_find_references(struct policy *policy, GError **error);

#endif
