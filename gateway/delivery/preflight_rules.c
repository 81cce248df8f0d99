/* One table. What follows from a rule is preflight.c's. */
#include "gateway/delivery/preflight_rules.h"

#include <glib.h>

static const struct rules_rule rules[] = {
#define RULE(name, treatment, needs_value, of_ses)                                       \
	{                                                                                \
		name, sizeof(name) - 1, treatment, needs_value, of_ses                   \
	}
	[RULES_FROM] = RULE("From", RULES_ONCE, true, false),
	[RULES_SENDER] = RULE("Sender", RULES_ONCE, true, false),
	[RULES_REPLY_TO] = RULE("Reply-To", RULES_ONCE, true, false),
	[RULES_DATE] = RULE("Date", RULES_ONCE, true, false),
	[RULES_MESSAGE_ID] = RULE("Message-ID", RULES_ONCE, true, false),
	[RULES_IN_REPLY_TO] = RULE("In-Reply-To", RULES_ONCE, false, false),
	[RULES_REFERENCES] = RULE("References", RULES_ONCE, false, false),
	[RULES_TO] = RULE("To", RULES_JOIN, true, false),
	[RULES_CC] = RULE("Cc", RULES_JOIN, true, false),
	[RULES_ORIGINAL_FROM] = RULE("X-Original-From", RULES_ONCE, false, false),
	[RULES_ORIGINAL_SENDER] = RULE("X-Original-Sender", RULES_ONCE, false, false),
	[RULES_ORIGINAL_REPLY_TO] = RULE("X-Original-Reply-To", RULES_ONCE, false, false),
	[RULES_CONTENT_TYPE] = RULE("Content-Type", RULES_MIME, false, false),
	[RULES_CONTENT_DISPOSITION] =
		RULE("Content-Disposition", RULES_MIME, false, false),
	[RULES_MIME_VERSION] = RULE("MIME-Version", RULES_MIME, false, false),
	RULE("Bcc", RULES_DROP, false, false),
	RULE("Resent-Bcc", RULES_DROP, false, false),
	RULE("Return-Path", RULES_DROP, false, false),
	RULE("DKIM-Signature", RULES_SIGNATURE, false, false),
	RULE("DomainKey-Signature", RULES_SIGNATURE, false, false),
	RULE("Content-Alternative", RULES_MIME, false, false),
	RULE("Content-Base", RULES_MIME, false, false),
	RULE("Content-Class", RULES_MIME, false, false),
	RULE("Content-Description", RULES_MIME, false, false),
	RULE("Content-Duration", RULES_MIME, false, false),
	RULE("Content-ID", RULES_MIME, false, false),
	RULE("Content-Language", RULES_MIME, false, false),
	RULE("Content-Length", RULES_MIME, false, false),
	RULE("Content-Location", RULES_MIME, false, false),
	RULE("Content-MD5", RULES_MIME, false, false),
	RULE("Content-Transfer-Encoding", RULES_MIME, false, false),
	RULE("Lines", RULES_MIME, false, false),
	RULE("Subject", RULES_ONCE, false, false),
	RULE("Accept-Language", RULES_ONCE, false, true),
	RULE("acceptLanguage", RULES_ONCE, false, true),
	RULE("Archived-At", RULES_ONCE, false, true),
	RULE("Auto-Submitted", RULES_ONCE, false, true),
	RULE("Bounces-to", RULES_ONCE, false, true),
	RULE("Comments", RULES_ONCE, false, true),
	RULE("Delivered-To", RULES_ONCE, false, true),
	RULE("Disposition-Notification-Options", RULES_ONCE, false, true),
	RULE("Disposition-Notification-To", RULES_ONCE, false, true),
	RULE("Errors-To", RULES_ONCE, false, true),
	RULE("Importance", RULES_ONCE, false, true),
	RULE("Keywords", RULES_ONCE, false, true),
	RULE("List-Archive", RULES_ONCE, false, true),
	RULE("List-Help", RULES_ONCE, false, true),
	RULE("List-Id", RULES_ONCE, false, true),
	RULE("List-Owner", RULES_ONCE, false, true),
	RULE("List-Post", RULES_ONCE, false, true),
	RULE("List-Subscribe", RULES_ONCE, false, true),
	RULE("List-Unsubscribe", RULES_ONCE, false, true),
	RULE("List-Unsubscribe-Post", RULES_ONCE, false, true),
	RULE("Message-Context", RULES_ONCE, false, true),
	RULE("Organization", RULES_ONCE, false, true),
	RULE("Original-From", RULES_ONCE, false, true),
	RULE("Original-Message-ID", RULES_ONCE, false, true),
	RULE("Original-Recipient", RULES_ONCE, false, true),
	RULE("Original-Subject", RULES_ONCE, false, true),
	RULE("Precedence", RULES_ONCE, false, true),
	RULE("Priority", RULES_ONCE, false, true),
	RULE("Return-Receipt-To", RULES_ONCE, false, true),
	RULE("Sensitivity", RULES_ONCE, false, true),
	RULE("Solicitation", RULES_ONCE, false, true),
	RULE("Thread-Index", RULES_ONCE, false, true),
	RULE("Thread-Topic", RULES_ONCE, false, true),
	RULE("User-Agent", RULES_ONCE, false, true),
	RULE("VBR-Info", RULES_ONCE, false, true),
#undef RULE
};
G_STATIC_ASSERT(G_N_ELEMENTS(rules) <= RULES_MAX);

const struct rules_rule *rules_find(
	const char *text, const struct fields_span *span, size_t *index)
{
	size_t name_bytes = span->name_end - span->start;
	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		if (rules[i].name_bytes != name_bytes ||
			!fields_is(text, span, rules[i].name))
			continue;
		*index = i;
		return &rules[i];
	}
	return NULL;
}

bool rules_header_goes_on(const char *text, size_t bytes, size_t at)
{
	struct fields_span next;
	size_t index;
	return fields_at(text, bytes, at, &next) == FIELDS_FIELD &&
	       (rules_find(text, &next, &index) || fields_has_prefix(text, &next, "X-") ||
		       fields_is(text, &next, "Received"));
}
