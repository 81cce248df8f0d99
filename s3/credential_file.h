/*
 * credential_file - secrets that stand in files: read with a bound, and watched.
 *
 * Owner: whoever made the list; it is used by one thread at a time.
 */
#ifndef S3_CREDENTIAL_FILE_H
#define S3_CREDENTIAL_FILE_H

#include <glib.h>
#include <stdbool.h>

/* Files as they were when read. g_array_unref(). */
GArray *s3_credential_files_new(void);
void s3_credential_files_clear(GArray *files);

/* Whether one of them came, went or changed since. */
bool s3_credential_files_changed(const GArray *files);

/* The file's text, NUL-ended, and its length; sigv4_wipe() it. NULL with errno, EFBIG
 * above max_bytes. files NULL: not watched. */
char *s3_credential_file_read(
	GArray *files, const char *path, size_t max_bytes, size_t *length);

/* value itself, or what stands in file without blanks at its end, or NULL in *out when
 * neither is given. sigv4_wipe() it. False with S3_ERROR_MEND naming source. */
bool s3_credential_value(GArray *files, const char *value, const char *file,
	const char *source, char **out, GError **error);

#endif
