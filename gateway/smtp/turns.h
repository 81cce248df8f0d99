/*
 * turns - who has more to do than one turn of the loop may take, served in order: no
 * client's backlog delays another's first byte.
 *
 * Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_TURNS_H
#define GATEWAY_SMTP_TURNS_H

#include <glib.h>
#include <stdbool.h>
#include <uv.h>

struct turns;

/* Embedded in who waits; all zero but data, which is its own. */
struct turn {
	GList link;
	bool waits;
};

/* run is called with a turn's link.data when it comes round. */
struct turns *turns_new(uv_loop_t *loop, void (*run)(void *data));
/* Nobody may wait. Memory goes with the loop's next turns. Clears the pointer. */
void turns_free(struct turns **turns);

/* In a turn of the loop that is to come; once, however often it is asked. */
void turns_wait(struct turns *turns, struct turn *turn);
/* How many wait. */
unsigned turns_waiting(const struct turns *turns);
void turns_forget(struct turns *turns, struct turn *turn);

#endif
