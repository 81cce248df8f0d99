/*
 * mailbox - the syntax of a mail address in the settings: local-part@domain, 7-bit (RFC
 * 5321, section 4.1.2; SES takes neither SMTPUTF8 nor address literals). Pure.
 */
#ifndef CONF_MAILBOX_H
#define CONF_MAILBOX_H

#include <glib.h>
#include <stdbool.h>

/* False with an error that says what is wrong and what would be right. */
bool conf_domain_check(const char *domain, GError **error);
bool conf_mailbox_check(const char *address, GError **error);

/* The @ between local-part and domain; NULL if there is none, or
 * nothing on one of its sides. */
const char *conf_mailbox_at(const char *address);

/* The local-part's meaning, without quotes and backslashes; g_free(). */
char *conf_local_part_unquote(const char *local_part, size_t length);
/* A local-part with this meaning, quoted where it must be; g_free(). */
char *conf_local_part_quote(const char *meaning);

/* The same text for addresses that are the same but for case and needless quotes;
 * g_free(). NULL when it is no address at all. */
char *conf_mailbox_canonical(const char *address);

#endif
