/*
 * delivery - takes messages from the queue and brings each to its next state: named steps
 * (rewrite, upload, links, relay), a bounded number of messages at a time.
 *
 * Threads: the engine's calls belong to one thread (the main one);
 * its workers are its own.
 */
#ifndef GATEWAY_DELIVERY_DELIVERY_H
#define GATEWAY_DELIVERY_DELIVERY_H

#include "gateway/admin/metrics.h"
#include "gateway/delivery/route.h"
#include "gateway/queue/queue.h"
#include <stddef.h>

struct delivery;

/*
 * Starts conf->queue.workers workers on queue, and one for high priority alone.
 * Takes a reference to route. queue and metrics are borrowed and must outlive
 * it. Once queue_stop() was called and the last worker has ended, over is called
 * from that worker's thread.
 */
struct delivery *delivery_new(struct queue *queue, struct metrics *metrics,
	struct route *route, void (*over)(void *context), void *context);

/* From now on messages taken from the queue go by this route (its reference is taken).
 * The number of workers does not change. */
void delivery_set_route(struct delivery *delivery, struct route *route);

/* The gateway stops: who waits for a relay gives up, by whichever settings it goes. */
void delivery_hurry(struct delivery *delivery);

/* Messages under way. */
size_t delivery_in_flight(const struct delivery *delivery);

/* Joins the workers: blocks until the last has ended. */
void delivery_free(struct delivery **delivery);

#endif
