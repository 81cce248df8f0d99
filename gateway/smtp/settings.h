/*
 * settings - what sessions share of one reading of the settings: the snapshot, its users,
 * its TLS contexts. Immutable; reference-counted. Threads: the loop's.
 */
#ifndef GATEWAY_SMTP_SETTINGS_H
#define GATEWAY_SMTP_SETTINGS_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/policy/users.h"
#include "gateway/smtp/tls.h"

struct smtp_settings {
	struct conf *conf;
	struct users *users;
	struct tls_context *tls;        /* NULL: no listener has TLS */
	struct tls_context *tls_legacy; /* NULL: no legacy listener has it */
	unsigned references;
};

/* Loads what conf names. NULL with GATEWAY_ERROR_MEND. Takes a reference to conf. */
struct smtp_settings *smtp_settings_new(
	struct conf *conf, struct metrics *metrics, GError **error);
struct smtp_settings *smtp_settings_ref(struct smtp_settings *settings);
void smtp_settings_unref(struct smtp_settings **settings); /* clears the pointer */

/* The context for a listener's clients. */
struct tls_context *smtp_settings_tls(
	const struct smtp_settings *settings, const struct conf_listener *listener);

#endif
