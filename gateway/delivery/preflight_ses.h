/*
 * preflight_ses - what SES is told of a message in header fields of its own, which
 * it takes out again. Pure.
 *
 * SES Developer Guide, "Sending email using Amazon SES with event publishing", "Delegate
 * sender tasks".
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_SES_H
#define GATEWAY_DELIVERY_PREFLIGHT_SES_H

#include "gateway/delivery/preflight.h"
#include <glib.h>
#include <stdbool.h>

/* GATEWAY_ERROR_MEND: a setting cannot stand in a header. */
bool ses_check(const struct preflight *preflight, GError **error);

/*
 * X-SES-CONFIGURATION-SET, X-SES-*-ARN, X-SES-MESSAGE-TAGS, each in one line: nothing
 * says that SES unfolds them. Tags begin with "stowage-id", for SES alone. Nothing at all
 * where neither the relay is SES nor route or relay has any of them.
 */
void ses_append_fields(
	GString *out, const struct preflight *preflight, const char *newline);

#endif
