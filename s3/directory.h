/*
 * directory - the store without S3: objects are files, written whole or not at all.
 *
 *   DIR/objects/KEY        the content
 *   DIR/metadata/KEY.json  what S3 would keep beside it: media_type, file_name,
 *                          message_id, sha256, size. A record for people; who serves the
 *                          object needs none of it, the link carries type and name in
 *                          its signed query.
 *   DIR/incoming/          files being written; what is old in there is removed at start
 *   DIR/credentials        the key pair that signs and checks links, in AWS's format
 *
 * Threads: any; two writers of one key leave one whole object.
 */
#ifndef S3_DIRECTORY_H
#define S3_DIRECTORY_H

#include "s3/s3.h"

/* Makes the directories and clears what an earlier crash left. S3_ERROR_CONFIG. */
bool s3_directory_prepare(const char *directory, GError **error);

/* Durable when true. */
bool s3_directory_put(
	const char *directory, const struct s3_object *object, GError **error);

#endif
