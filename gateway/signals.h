/*
 * signals - those that tell the gateway something, as events of its loop.
 *
 * They stay blocked in all threads and are read from a descriptor (signalfd(2)): none
 * ends the process before it listens or when it does no more, and those of one kind
 * that come together are one.
 */
#ifndef GATEWAY_SIGNALS_H
#define GATEWAY_SIGNALS_H

#include <uv.h>

/* SIGHUP, SIGTERM and SIGINT wait from now on. Before any other thread is started. */
void signals_block(void);

struct signals;

/* told is called on the loop, with the signal's number. NULL: no
 * descriptor is left; errno says why. */
struct signals *signals_new(
	uv_loop_t *loop, void (*told)(void *context, int number), void *context);

/* No told from now on; what comes waits for ever. Memory goes with the loop's next turns.
 * Clears the pointer; NULL in it is taken. */
void signals_free(struct signals **signals);

#endif
