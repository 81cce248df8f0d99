/*
 * spool - the received message on disk, from DATA until its delivery has ended.
 *
 * Owner:   the session until queue_submit(), then the queue; never both.
 * Memory:  one buffer of SPOOL_BUFFER_BYTES; a small message reaches the disk only at
 *          commit.
 * Blocks:  spool_flush() and spool_commit(): call them off the front loop.
 * Errors:  GATEWAY_ERROR_FULL (no room), GATEWAY_ERROR_RETRY (I/O): nothing the sender
 *          did wrong.
 */
#ifndef GATEWAY_QUEUE_SPOOL_H
#define GATEWAY_QUEUE_SPOOL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Three quarters of it hold an attachment of 100 kB in base64 and its message: that is
 * then written once, by the writer, with no detour over a flush. */
#define SPOOL_BUFFER_BYTES 196608

/* Of a message's header, the gateway's own trace field in front of it. SES would not take
 * a larger one, and what a client may hide behind it could not be removed. */
#define SPOOL_HEADER_BYTES_MAX (1024 * 1024)

/*
 * A message's file lies in a folder of the spool directory, for all that arrived in the
 * same half minute, named by the beginning of their IDs: no directory grows with the
 * queue, and what arrives together shares one, and its sync. Earlier versions left files
 * in the spool directory itself: there they are found too.
 */
#define SPOOL_FOLDER_BYTES 8 /* with the NUL */
void spool_folder(const char *id, char folder[SPOOL_FOLDER_BYTES]);
bool spool_folder_is_valid(const char *name);

/* The path of message id's file in the spool directory, also where there
 * is none. g_free() */
char *spool_path(const char *directory, const char *id);
/* A read-only descriptor of it; -1 with errno. */
int spool_open(int directory_fd, const char *id);
/* Whether it is there; true too where that cannot be said. */
bool spool_exists(int directory_fd, const char *id);
/* False with errno: it is still there. */
bool spool_remove(int directory_fd, const char *id);

struct spool;

/* A spool for message id, made in directory when first flushed. */
struct spool *spool_new(const char *directory, const char *id);

/* Takes up to SPOOL_BUFFER_BYTES minus what is buffered; the number
 * taken. Never blocks. */
size_t spool_append(struct spool *spool, const char *data, size_t data_bytes);

/* Octets taken in all. */
uint64_t spool_bytes(const struct spool *spool);

/* The octets themselves while all of them are in memory, none flushed yet; else NULL.
 * Shared with the spool, which takes no more afterwards: g_atomic_rc_box_release(). */
char *spool_share(struct spool *spool);

/* Whether spool_append() would take less than a quarter of the buffer: flush now. */
bool spool_is_full(const struct spool *spool);

/* Writes the buffer to the file, and lets the disk begin with it. Blocks. Not at the same
 * time as spool_append(). */
bool spool_flush(struct spool *spool, GError **error);

/* Flushes, and makes the file survive a crash (its directory is synced by the queue, once
 * for many). Until the queue's row is committed too, no client must see 250. Blocks. */
bool spool_commit(struct spool *spool, GError **error);
/* Its two halves. The first makes the file, with all that was appended. */
bool spool_write(struct spool *spool, GError **error);
bool spool_sync(struct spool *spool, GError **error);

/* Closes and sets *spool to NULL. A file never committed is deleted. */
void spool_free(struct spool **spool);

/* The same, and a committed file is deleted too: its row could not be written. */
void spool_discard(struct spool **spool);

#endif
