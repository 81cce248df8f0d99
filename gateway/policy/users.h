/*
 * users - who may authenticate: a file of NAME:HASH lines, hashes of crypt(5) (yescrypt,
 * bcrypt, SHA-512), "*" for a hash where only a certificate counts. Immutable once
 * loaded; reference-counted; threads: any.
 */
#ifndef GATEWAY_POLICY_USERS_H
#define GATEWAY_POLICY_USERS_H

#include <glib.h>
#include <stdbool.h>

struct users;

/* path NULL: a list of nobody. GATEWAY_ERROR_MEND with FILE:LINE and what is wrong. */
struct users *users_load(const char *path, GError **error);
struct users *users_ref(struct users *users);
void users_unref(struct users **users);

/* Slow on purpose: never on a loop. An unknown name, and one without a password, costs as
 * much time as a known one. */
bool users_verify(const struct users *users, const char *name, const char *password);

/* Whether the list has name: for those who authenticate by certificate. Not for others,
 * who would learn it from the time it takes. */
bool users_has(const struct users *users, const char *name);

/* stowage user add|remove|list|verify FILE NAME; passwords from standard input or the
 * terminal, never from arguments. A sysexits code; of verify EX_NOPERM for a wrong
 * password, EX_NOUSER where there is no such user. */
int users_command(int argc, char **argv);

#endif
