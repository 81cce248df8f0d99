/*
 * subject - one listener under the checks: what is said of its settings, and what several
 * checks ask of it.
 */
#ifndef CONF_SUBJECT_H
#define CONF_SUBJECT_H

#include "conf/check.h"
#include <stdbool.h>
#include <stddef.h>

struct conf_subject {
	const struct conf_check *check;
	const struct conf_listener *listener;
	size_t index;
};

/* key is of the listener: "tls". */
void conf_subject_problem(const struct conf_subject *subject, const char *key,
	const char *format, ...) G_GNUC_PRINTF(3, 4);
void conf_subject_warning(const struct conf_subject *subject, const char *key,
	const char *format, ...) G_GNUC_PRINTF(3, 4);
bool conf_subject_is_bad(const struct conf_subject *subject, const char *key);
bool conf_subject_is_given(const struct conf_subject *subject, const char *key);

/* Whether it takes clients from anywhere. An address for private use is no protection by
 * itself: a router or a cloud may lead the world to it. */
bool conf_subject_is_open_to_world(const struct conf_subject *subject);
bool conf_subject_has_private_clients_only(const struct conf_subject *subject);

/* How clients are met: TLS, users, profile, extensions, proxies (check_door.c). */
void conf_check_door(const struct conf_subject *subject);

#endif
