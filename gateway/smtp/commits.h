/*
 * commits - messages handed to the queue, and its answers carried from its writer thread
 * back to the loop: many answers, one wake-up.
 *
 * Thread: the loop's, for every call and for done.
 */
#ifndef GATEWAY_SMTP_COMMITS_H
#define GATEWAY_SMTP_COMMITS_H

#include "gateway/queue/queue.h"
#include <uv.h>

struct commits;

struct commits *commits_new(uv_loop_t *loop, struct queue *queue);

/* queue_submit(), but done is called on the loop. error NULL: 250 may be said. */
void commits_submit(struct commits *commits, struct queue_message *message,
	struct spool *spool, void (*done)(void *context, const GError *error),
	void *context);

/* Nothing may be under way. closed is called when the handle has
 * closed; memory goes then. */
void commits_close(
	struct commits **commits, void (*closed)(void *context), void *context);

#endif
