/*
 * ses - what Amazon SES takes in its X-SES-* header fields, and how its relays
 * are told from others. Pure.
 *
 * SES Developer Guide, "Sending email using Amazon SES with event publishing" (tags,
 * configuration sets) and "Delegate sender tasks" (ARNs); SESv2 API, MessageTag.
 */
#ifndef CONF_SES_H
#define CONF_SES_H

#include <glib.h>
#include <stdbool.h>

/* The name of the tag that the gateway adds: its value is the message's ID. */
#define CONF_SES_OWN_TAG "stowage-id"

/* "name=value": a name of letters, digits, "-" and "_", or one of the two
 * that fill Feedback-ID (ses:feedback-id-a, -b); a value of those, "."
 * and "@"; each of 1 to 256. */
bool conf_ses_tag_check(const char *tag, GError **error);

/* A configuration set's name: 1 to 64 letters, digits, "-" and "_". */
bool conf_ses_set_check(const char *name, GError **error);

/* The ARN of an identity: arn:PARTITION:ses:REGION:ACCOUNT:identity/NAME. */
bool conf_ses_arn_check(const char *arn, GError **error);

/* Whether two tags have the same name. */
bool conf_ses_same_tag(const char *a, const char *b);

/* Whether the host is one of SES's SMTP interface; false for NULL. */
bool conf_ses_is_host(const char *host);

#endif
