/*
 * directory - the store without S3: objects are files, written whole or not at all.
 *
 *   DIR/objects/KEY        the content; a key has the day and the message in it, so that
 *                          no directory has more entries than a day has messages
 *   DIR/metadata/KEY.json  what S3 would keep beside it: media_type, file_name,
 *                          message_id, sha256, size. A record for people; who serves the
 *                          object needs none of it, the link carries type and name in
 *                          its signed query.
 *   DIR/incoming/          files being written; what is old in there is removed at start
 *   DIR/credentials        the key pair that signs and checks links, in AWS's format
 *
 * Threads: any; of two writers of one key the first wins.
 */
#ifndef S3_DIRECTORY_H
#define S3_DIRECTORY_H

#include "s3/s3.h"

struct s3_directory;

/* Makes the directories and clears what an earlier crash left. max_bytes: of all objects
 * together, 0: no ceiling; min_free_bytes: what must stay free on the disk. NULL with
 * S3_ERROR_CONFIG. */
struct s3_directory *s3_directory_open(const char *directory, uint64_t max_bytes,
	uint64_t min_free_bytes, GError **error);
void s3_directory_close(struct s3_directory **directory); /* NULL in it is taken */

/* Durable when true; also when the object is there with the same content. It is never
 * overwritten with another: S3_ERROR_MEND, as where there is no room. */
bool s3_directory_put(
	struct s3_directory *directory, const struct s3_object *object, GError **error);

/* Whether there is an object under key, which has the form of one (s3_name_is_key()).
 * error is set where that cannot be known. */
enum s3_presence s3_directory_find(
	const char *directory, const char *key, GError **error);

#endif
