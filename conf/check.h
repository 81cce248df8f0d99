/*
 * check - whether settings that are right one by one make sense together.
 * Each check adds its problems and warnings to the source, at the value
 * concerned; none changes the settings.
 */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/snapshot.h"
#include "conf/source.h"
#include <stdbool.h>

struct conf_check {
	const struct conf *conf;
	struct conf_source *source;
	bool look_at_files; /* those that the settings name */
};

void conf_check_listeners(const struct conf_check *check);
void conf_check_certificates(const struct conf_check *check);
void conf_check_accounts(const struct conf_check *check);
void conf_check_loops(const struct conf_check *check);
void conf_check_store(const struct conf_check *check);
void conf_check_links(const struct conf_check *check);
void conf_check_relay(const struct conf_check *check);
void conf_check_routes(const struct conf_check *check);
void conf_check_sender(const struct conf_check *check);
void conf_check_queue(const struct conf_check *check);
void conf_check_attachments(const struct conf_check *check);
void conf_check_recipients(const struct conf_check *check);

/* For the checks: whether one of the paths (NULL-ended) is not fit to be judged. */
bool conf_check_any_bad(
	const struct conf_check *check, const char *path, ...) G_GNUC_NULL_TERMINATED;

/* Reports a file that test refuses; path NULL (not given) passes. */
void conf_check_file(const struct conf_check *check, const char *key, const char *path,
	bool (*test)(const char *path, GError **error));

/* A secret is given directly or in a file, not both; the file holds one. */
void conf_check_secret(const struct conf_check *check, const char *key, const char *value,
	const char *file);

/* Whether the host is one of SES's SMTP interface. */
bool conf_check_is_ses(const char *host);

#endif
