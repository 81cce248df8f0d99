/*
 * files - whether the files and directories that settings name can be used. Reads them;
 * makes, changes and keeps nothing. CONF_ERROR_FILE says what is wrong.
 */
#ifndef CONF_FILES_H
#define CONF_FILES_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* A regular file with something in it. */
bool conf_file_check(const char *path, GError **error);

/* At least one certificate in PEM. */
bool conf_file_check_certificates(const char *path, GError **error);

/* A PEM key that needs no passphrase. */
bool conf_file_check_key(const char *path, GError **error);

/* Certificate and key, both good in themselves, belong together. */
bool conf_file_check_pair(const char *certificate, const char *key, GError **error);

/* What tells apart the certificates that a server may show: the kind of key and the names
 * it is for, the same text for the same ones; g_free(). NULL: it cannot be read. */
char *conf_file_certificate_identity(const char *path);

bool conf_file_certificate_has_expired(const char *path);
bool conf_file_is_world_readable(const char *path);
bool conf_file_is_empty(const char *path);

/* The first certificate or revocation list in it whose time is over, "the revocation list
 * of NAME"; g_free(). NULL: none. */
char *conf_file_expired_authority(const char *path);

/* The name of a certificate in it that the distribution's bundle has as well; g_free().
 * NULL: none, or there is no bundle. */
char *conf_file_public_authority(const char *path);

/* Up to max_bytes of what fd has; the number read, -1 with errno. */
ssize_t conf_file_read(int fd, char *buffer, size_t max_bytes);

/* A directory that may be written to, or that may be made. */
bool conf_directory_check(const char *path, GError **error);

#endif
