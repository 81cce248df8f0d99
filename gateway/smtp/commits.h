/*
 * commits - messages handed to the queue, and what came of them carried from the threads
 * of the queue and of the deliveries back to the loop: many answers, one wake-up.
 *
 * Thread: the loop's, for every call and for done.
 */
#ifndef GATEWAY_SMTP_COMMITS_H
#define GATEWAY_SMTP_COMMITS_H

#include "gateway/queue/queue.h"
#include "gateway/smtp/reply.h"
#include <uv.h>

struct commits;

/* Borrowed, for the call of done. */
struct commit_outcome {
	const GError *error; /* a fault of ours: nobody took the message; NULL: none */
	/* Without one: REPLY_QUEUED (the message is durable here), or what hop_reply()
	 * says and its detail. */
	enum smtp_reply_id id;
	const char *detail;
};
typedef void (*commits_done)(void *context, const struct commit_outcome *outcome);

struct commits *commits_new(uv_loop_t *loop, struct queue *queue);

/* queue_submit(), but done is called on the loop. */
void commits_submit(struct commits *commits, struct queue_message *message,
	struct spool *spool, commits_done done, void *context);

/* queue_pass(), and queue_keep() where only some recipients have the message: that is
 * QUEUED then. */
void commits_pass(struct commits *commits, struct queue_message *message,
	struct spool *spool, commits_done done, void *context);

/* Nothing may be under way. closed is called when the handle has
 * closed; memory goes then. */
void commits_close(
	struct commits **commits, void (*closed)(void *context), void *context);

#endif
