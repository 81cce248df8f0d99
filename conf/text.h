/*
 * text - what kinds of text there are in the settings, and whether one is sound. Pure.
 */
#ifndef CONF_TEXT_H
#define CONF_TEXT_H

#include "conf/schema.h"
#include <glib.h>
#include <stdbool.h>

/* kind is one that is stored as text; CONF_KIND_IDENTITIES and
 * CONF_KIND_SERVERS are taken as one element's kind. The error never shows a secret. */
bool conf_text_check(enum conf_kind kind, const char *text, GError **error);

/* The host of a CONF_KIND_URL, without brackets; g_free(). */
char *conf_text_url_host(const char *url);
bool conf_text_url_is_https(const char *url);

/* Whether a host is this machine by its name or numeric address. */
bool conf_text_host_is_loopback(const char *host);

#endif
