/*
 * settings - what sessions share of one reading of the settings: the snapshot, its users,
 * its TLS contexts. Immutable; reference-counted.
 *
 * Threads: the loop's, except for what says otherwise.
 */
#ifndef GATEWAY_SMTP_SETTINGS_H
#define GATEWAY_SMTP_SETTINGS_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/policy/users.h"
#include "gateway/smtp/tls.h"

/* What the files of certificates and authorities gave. */
struct smtp_tls {
	gatomicrefcount references;
	struct tls_certificates *certificates; /* NULL: no listener has TLS */
	/* Of struct tls_context, one for each listener, NULL where it has no TLS; the
	 * same for listeners that want the same. */
	GPtrArray *contexts;
};

/* Loads what conf names for its listeners. NULL with GATEWAY_ERROR_MEND. Thread: any. */
struct smtp_tls *smtp_tls_load(const struct conf *conf, GError **error);
void smtp_tls_unref(struct smtp_tls **tls); /* clears the pointer; NULL is taken */

/* Files behind settings. */
enum smtp_files { SMTP_FILES_TLS, SMTP_FILES_USERS, SMTP_FILES };

/* How those files are on the disk (links followed): a string that is another one when one
 * of them was written or replaced; g_free(). Thread: any; it may wait for the disk. */
char *smtp_files_look(const struct conf *conf, enum smtp_files files);
/* The first file that two looks at the same ones differ in; g_free(). NULL: none. */
char *smtp_files_changed(const char *before, const char *now);

struct smtp_settings {
	struct conf *conf;
	struct users *users;
	struct smtp_tls *tls;
	char *looks[SMTP_FILES]; /* before they were read */
	unsigned references;
};

/* Loads what conf names. NULL with GATEWAY_ERROR_MEND. Takes a reference to conf. */
struct smtp_settings *smtp_settings_new(
	struct conf *conf, struct metrics *metrics, GError **error);
/* As old but with tls and users in place of its own, where not NULL. */
struct smtp_settings *smtp_settings_with(const struct smtp_settings *old,
	struct smtp_tls *tls, struct users *users, struct metrics *metrics);
struct smtp_settings *smtp_settings_ref(struct smtp_settings *settings);
void smtp_settings_unref(struct smtp_settings **settings); /* clears the pointer */

/* The context for clients of listener, one of settings->conf->listeners; NULL: it has no
 * TLS. Borrowed. */
struct tls_context *smtp_settings_tls(
	const struct smtp_settings *settings, const struct conf_listener *listener);

#endif
