/*
 * users - who may authenticate: a file of NAME:HASH lines, hashes of crypt(5) (yescrypt,
 * bcrypt, SHA-512). Immutable once loaded; reference-counted; threads: any.
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

/* Slow on purpose: never on a loop. An unknown name costs as much time as a known one. */
bool users_verify(const struct users *users, const char *name, const char *password);

/* stowage user add|remove|list|verify FILE NAME; passwords from standard input or the
 * terminal, never from arguments. A sysexits code. */
int users_command(int argc, char **argv);

#endif
