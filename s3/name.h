/*
 * name - a file's name and type as S3 may hold them and a browser may believe them. Pure.
 *
 * Names come from strangers' mail: nothing here lets one add a header, leave its quotes,
 * pose as another type or run in the reader's browser.
 */
#ifndef S3_NAME_H
#define S3_NAME_H

#include <stdbool.h>

/* "attachment; filename="ASCII"; filename*=UTF-8''..." (RFC 6266,
 * RFC 8187). g_free() it. */
char *s3_name_disposition(const char *file_name);

/* "type/subtype" in lower case; application/octet-stream for active content (HTML, SVG,
 * XML, scripts) and for what is no media type. g_free() it. */
char *s3_name_media_type(const char *media_type);

/* Percent-encoded UTF-8, at most 1 KiB, for a header of plain ASCII. g_free() it. */
char *s3_name_metadata(const char *file_name);

/* Whether key has only A-Za-z0-9._/- and no empty, "." or ".." segment, 1..1024 bytes. */
bool s3_name_is_key(const char *key);

#endif
