/*
 * quoting - local parts with dots where none may stand ("a..b.@example.com"), as Japanese
 * mobile carriers gave them away. Quoted they are the same mailbox, and valid (RFC 5321,
 * section 4.1.2); SES refuses them without quotes. Pure.
 */
#ifndef GATEWAY_QUOTING_H
#define GATEWAY_QUOTING_H

#include <stdbool.h>
#include <stddef.h>

/* How many octets of text an atom may have (RFC 5322, section 3.2.3), dots included. */
size_t quoting_span(const char *text);

/* Whether the atoms of a local part have a dot at an end, or two side by side. */
bool quoting_is_needed(const char *local_part, size_t bytes);

/* The address with its local part in quotes where that is needed, else as
 * it is; g_free().
 */
char *quoting_address(const char *address);

#endif
