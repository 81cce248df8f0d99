/*
 * account - which of the accounts is a user's. Pure.
 */
#ifndef CONF_ACCOUNT_H
#define CONF_ACCOUNT_H

#include <stdbool.h>

/* Whether a user's pattern fits the name: "*" stands for any run of octets, all else for
 * itself. In time linear in the name for each "*". A pattern instead of the name: true
 * only where the first fits every name that the second does. */
bool conf_account_fits(const char *pattern, const char *name);

#endif
