/*
 * spooling - makes the files of submitted messages durable, and their names: those that
 * come together at the same time, so that on a slow disk they take as long as one.
 *
 * Internal to gateway/queue/. The writer's thread begins it; where a sync
 * takes long, it goes on in threads of its own, and the writer's is free for
 * what else is to be recorded.
 */
#ifndef GATEWAY_QUEUE_SPOOLING_H
#define GATEWAY_QUEUE_SPOOLING_H

#include <glib.h>

struct queue;
struct spooling;

struct spooling *spooling_new(struct queue *queue);
/* When no submission is left (queue->spooling is 0). */
void spooling_free(struct spooling **spooling);

/* Syncs what the submissions in batch consist of, unless that was done: they have an
 * error or are spooled afterwards. Or takes them out of it, and puts them into
 * queue->pending when that is so. */
void spooling_begin(struct spooling *spooling, GQueue *batch);

#endif
