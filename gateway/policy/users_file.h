/*
 * users_file - a users file: NAME:HASH lines, "#" comments, blank lines. Pure but for
 * users_file_read().
 *
 * For gateway/policy/, and for who writes such a file. Threads: any.
 */
#ifndef GATEWAY_POLICY_USERS_FILE_H
#define GATEWAY_POLICY_USERS_FILE_H

#include <glib.h>
#include <stdbool.h>

#define USERS_FILE_BYTES_MAX (16 * 1024 * 1024)
#define USERS_NAME_BYTES_MAX 255
#define USERS_PASSWORD_MAX   511 /* what crypt(3) takes */

struct users_entry {
	const char *name;
	const char *hash;
};

/* The file's text (not NUL-ended), to be wiped and g_free()d; NULL with
 * GATEWAY_ERROR_MEND: not readable, not a regular file, over USERS_FILE_BYTES_MAX. */
char *users_file_read(const char *path, size_t *text_bytes, GError **error);

/* A line of the file. Strings are valid during the call; name and
 * hash NULL: no user on it. */
typedef bool (*users_line)(
	void *context, const char *line, const struct users_entry *entry, GError **error);

/* Calls see for each line of text. False with error "PATH:LINE: what is wrong and what
 * would be right", or when see returned false. */
bool users_file_parse(const char *path, const char *text, size_t text_bytes,
	users_line see, void *context, GError **error);

/* Why name cannot be a user's, NULL if it can. */
const char *users_name_problem(const char *name);

/* What stands for a hash where no password is right: for users with a certificate. "!" in
 * the file means the same. */
#define USERS_NO_PASSWORD "*"
bool users_hash_is_password(const char *hash);

/* The method of hash, "yescrypt", or "no password"; NULL: none that is accepted here. */
const char *users_hash_method(const char *hash);

/* Whether password gives hash. Takes as long whatever the password is. */
bool users_hash_verify(const char *hash, const char *password);

/* A new yescrypt hash of password; g_free(). */
char *users_hash_new(const char *password, GError **error);

#endif
