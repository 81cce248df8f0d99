/*
 * folders - the spool directory's folders as the writer sees them: their syncs, and the
 * end of empty ones.
 *
 * Internal to gateway/queue/. Used by the writer's thread alone, but for folders_sync();
 * sessions make folders beside it, but only the writer removes them, so that it knows
 * which ones are durable.
 */
#ifndef GATEWAY_QUEUE_FOLDERS_H
#define GATEWAY_QUEUE_FOLDERS_H

#include "gateway/queue/spool.h"

struct folders;

/* spool_fd is borrowed; directory is its path, for error texts. */
struct folders *folders_new(int spool_fd, const char *directory);
void folders_free(struct folders **folders);

/* A descriptor of that folder, whose own name survives a crash then; -1 with error.
 * close() it. */
int folders_open(struct folders *folders, const char *name, GError **error);
/* Makes the names of the files in that folder survive a crash. May be called from any
 * thread. */
bool folders_sync(struct folders *folders, const char *name, int fd, GError **error);

/* Message id's file is removed; its folder too, once it is empty and
 * not in use any more. */
void folders_remove(struct folders *folders, const char *id);

/* Whether the spool directory is at its path still: it was not moved, nor mounted over. */
bool folders_are_in_place(const struct folders *folders, GError **error);

/* Whether a file can be made, written and synced in the spool directory. */
bool folders_probe(const struct folders *folders, GError **error);

/* Removes what is empty among the folders in use until lately; now and then among all.
 * Called about once a second. */
void folders_tidy(struct folders *folders);

#endif
