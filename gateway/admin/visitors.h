/*
 * visitors - the open connections of an HTTP listener: who is too slow is cut off, so
 * that a few who dawdle cannot keep everyone else out.
 *
 * A request's header must be there within VISITORS_HEADER_S, counted from the
 * connection's begin or the end of the request before. An answer must be taken at
 * VISITORS_BYTES_S or more, over any VISITORS_WINDOW_S. A thread of its own looks every
 * few seconds. Threads: any; a visitor's calls come from one thread at a time.
 */
#ifndef GATEWAY_ADMIN_VISITORS_H
#define GATEWAY_ADMIN_VISITORS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define VISITORS_HEADER_S 30
#define VISITORS_WINDOW_S 30
#define VISITORS_BYTES_S  1024

struct visitors;
struct visitor;

/* tick, when it is not NULL, is called each time the thread has looked. interval_ms is
 * how often that is. NULL with error: no thread to be had. */
struct visitors *visitors_new(
	unsigned interval_ms, void (*tick)(void *context), void *context, GError **error);
/* With the last visitor gone. NULL in it is taken. */
void visitors_free(struct visitors **visitors);

/* fd is borrowed until visitors_leave(). */
struct visitor *visitors_enter(struct visitors *visitors, int fd);
void visitors_leave(struct visitors *visitors, struct visitor *visitor);

/* The header of a request is there: what follows is its answer. */
void visitors_asked(struct visitors *visitors, struct visitor *visitor);
/* It is out, and another request may come. True: it was cut off for being slow. */
bool visitors_answered(struct visitors *visitors, struct visitor *visitor);

/* What visitors_new()'s thread does, as of now_us: the number of those cut off. */
size_t visitors_look(struct visitors *visitors, int64_t now_us);

#endif
