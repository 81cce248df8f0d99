/*
 * reading - the settings read again while the gateway runs: the file and all that it
 * names (certificates, users, secrets), in a worker, so that no client waits for it.
 */
#ifndef GATEWAY_READING_H
#define GATEWAY_READING_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/delivery/route.h"
#include "gateway/smtp/settings.h"
#include <uv.h>

struct reading {
	GPtrArray *problems; /* of char *: why it cannot be put in force; else empty */
	GPtrArray *warnings; /* of char * */
	/* Without problems; who keeps one takes its own reference. */
	struct conf *conf;
	/* May be taken, and the old one left in its place: a relay's connections take
	 * time to close, so that happens in a worker too. */
	struct route *route;
	struct smtp_settings *door;
};

/*
 * Reads path. What cannot change beside the settings now in force is a problem. done is
 * called on the loop, once; what it is lent goes behind it. path, metrics and
 * memory (of route_new()) are borrowed until then.
 */
void reading_start(uv_loop_t *loop, const char *path, struct conf *now,
	struct metrics *metrics, const struct relay_memory *memory,
	void (*done)(void *context, struct reading *reading), void *context);

#endif
