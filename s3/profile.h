/*
 * profile - one profile of AWS's shared credentials and config files. Pure.
 *
 * The format is AWS's own: INI with "#" and ";" comments, "[name]" in the
 * credentials file and "[profile name]" in the config file ("[default]" in
 * both), and indented settings below a setting without a value, which belong to
 * that one and are skipped here.
 */
#ifndef S3_PROFILE_H
#define S3_PROFILE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define S3_PROFILE_FILE_MAX_BYTES ((size_t)1 << 20)

/*
 * The settings of profile in text: names in lower case to values, the last one winning.
 * NULL when no section has that name. Values are wiped when the table goes
 * (g_hash_table_unref()).
 */
GHashTable *s3_profile_parse(
	const char *text, size_t text_bytes, const char *profile, bool config_file);

#endif
