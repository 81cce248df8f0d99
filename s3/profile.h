/*
 * profile - one profile of AWS's shared credentials and config files. Pure.
 *
 * The format is AWS's own: INI with "#" and ";" comments, "[name]" in the
 * credentials file and "[profile name]" in the config file ("[default]" in
 * both), "[services name]" there too, and indented settings below a setting without a
 * value, which belong to that one: "s3 =" with "addressing_style = path" below is
 * s3.addressing_style here.
 */
#ifndef S3_PROFILE_H
#define S3_PROFILE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define S3_PROFILE_FILE_MAX_BYTES ((size_t)1 << 20)

enum s3_profile_section {
	S3_PROFILE_CREDENTIALS, /* [name] */
	S3_PROFILE_CONFIG,      /* [profile name], [default] */
	S3_PROFILE_SERVICES,    /* [services name] */
};

/*
 * The settings of the section profile in text: names in lower case to values, the last
 * one winning. NULL when no section has that name. Values are wiped when the table
 * goes (g_hash_table_unref()).
 */
GHashTable *s3_profile_parse(const char *text, size_t text_bytes, const char *profile,
	enum s3_profile_section section);

/* Whether text is such a file: what has lines, but no section, is something else. */
bool s3_profile_has_form(const char *text, size_t text_bytes);

#endif
