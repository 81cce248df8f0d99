/*
 * directory_room - whether a directory store may grow: a ceiling on the octets of its
 * objects, a floor of what stays free on its disk.
 *
 * The octets are counted when they are first needed, then kept up by who puts; as others
 * delete meanwhile, they are counted anew every hour, and before anything is refused,
 * though not more than once a minute. Threads: any.
 */
#ifndef S3_DIRECTORY_ROOM_H
#define S3_DIRECTORY_ROOM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct directory_room;

/* objects is the directory of the objects. max_bytes 0: no ceiling. */
struct directory_room *directory_room_new(
	const char *objects, uint64_t max_bytes, uint64_t min_free_bytes);
void directory_room_free(struct directory_room **room); /* NULL in it is taken */

/* Takes room for an object; false with S3_ERROR_MEND, which says what would help. */
bool directory_room_take(struct directory_room *room, uint64_t bytes, GError **error);
/* Gives back what was taken for an object that was not stored. */
void directory_room_give(struct directory_room *room, uint64_t bytes);

#endif
