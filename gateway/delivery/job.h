/*
 * job - one message's way out, once: the steps, and what their
 * outcome means for the queue.
 *
 * Thread: one worker from start to end; blocks.
 */
#ifndef GATEWAY_DELIVERY_JOB_H
#define GATEWAY_DELIVERY_JOB_H

#include "gateway/admin/metrics.h"
#include "gateway/delivery/route.h"
#include "gateway/queue/queue.h"

/* Tries to deliver message (taken) and records the outcome with queue_finish(). */
void job_run(struct queue *queue, struct metrics *metrics, struct route *route,
	struct queue_message *message);

#endif
