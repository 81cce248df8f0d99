/*
 * door - a front door on loopback, with the real queue behind it. The server runs on a
 * thread with its loop; the test is the client.
 */
#ifndef TESTS_UNIT_SMTP_DOOR_H
#define TESTS_UNIT_SMTP_DOOR_H

#include "gateway/smtp/server.h"
#include <glib.h>
#include <stdbool.h>
#include <uv.h>

/* The listeners, by name. */
enum port { MX, LAN, SUBMIT, SUBMITS, ELSEWHERE, FEW, HASTY, PORTS };

struct door {
	char *directory;
	unsigned ports[PORTS];
	struct conf *conf;
	struct queue *queue;
	struct metrics *metrics;
	struct smtp_server *server;
	/* the loop's thread */
	GThread *thread;
	uv_loop_t loop;
	uv_async_t call;
	GMutex lock;
	GCond done;
	void (*function)(void); /* to be run on the loop; under the lock */
	bool drained;
	bool lose_key;
	char *reload_error;
};

extern struct door door;

/* cmocka's set-up and tear-down of a group. */
int door_start(void **state);
int door_stop(void **state);

/* Runs function on the loop; returns once it has ended. */
void door_call(void (*function)(void));

/* A port that nobody listens on. */
unsigned door_free_port(void);

/* Of a file in the door's directory; g_free(). */
char *door_path(const char *name);

/* Writes the settings with the ports as they are now, and reads them; conf_unref(). */
struct conf *door_load_settings(void);

#endif
