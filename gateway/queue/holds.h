/*
 * holds - the faults that messages are held for until a person mends them:
 * one alert each, a message tried now and then, and the release of the others
 * once that one gets through.
 *
 * Internal to gateway/queue/. The writer's thread.
 */
#ifndef GATEWAY_QUEUE_HOLDS_H
#define GATEWAY_QUEUE_HOLDS_H

#include "gateway/queue/writer.h"

#define HOLDS_MAX 256 /* watched at a time; what is over waits until others have ended */

/* Reads from the database what is held, at the start and after others changed it. */
bool holds_load(struct queue *queue, GError **error);
void holds_free(struct holds **holds);

/* A flight has ended, and that is recorded. */
void holds_note_finish(struct queue *queue, const struct flight *flight,
	const struct queue_message *message);

/* Once a second: takes up queue_release(), and tries what is to be tried. */
bool holds_tick(struct queue *queue, GError **error);

/* One step of a release; *more: there is more to do at once. */
bool holds_step(struct queue *queue, bool *more, GError **error);

#endif
