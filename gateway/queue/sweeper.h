/*
 * sweeper - deletes the objects of a directory store that are past s3.retention.
 *
 * Never one whose message is still to be sent, or one to which a link is good by the
 * queue's record. A thread of its own walks the directory once an hour, a few files at a
 * time: neither the front loop nor a delivery waits for it. Threads: any.
 */
#ifndef GATEWAY_QUEUE_SWEEPER_H
#define GATEWAY_QUEUE_SWEEPER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct sweeper;

/* directory is the store's. retention_s 0: nothing is deleted. */
struct sweeper *sweeper_new(
	const char *directory, const char *queue_directory, unsigned retention_s);
/* Begins its passes, the first at once. */
bool sweeper_start(struct sweeper *sweeper, GError **error);
void sweeper_set_retention(struct sweeper *sweeper, unsigned retention_s);
/* Waits until what is under way has stopped. NULL in it is taken. */
void sweeper_free(struct sweeper **sweeper);

/* One pass, as of now_s (Unix time): the number of objects deleted. */
size_t sweeper_pass(struct sweeper *sweeper, int64_t now_s);

#endif
