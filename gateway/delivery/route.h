/*
 * route - what a delivery needs of the settings: the snapshot, the
 * object store, the relays.
 *
 * A reload makes a new one; deliveries under way keep theirs.
 * Reference-counted; threads: any.
 */
#ifndef GATEWAY_DELIVERY_ROUTE_H
#define GATEWAY_DELIVERY_ROUTE_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/queue/queue.h"
#include "gateway/relay/relays.h"
#include "s3/s3.h"
#include <glib.h>

struct route {
	struct conf *conf;
	struct s3_store *store;
	struct relays *relays;
	gatomicrefcount references;
};

/* What relays learn and is to be known to those after them, at a reload and a restart:
 * kept by queue, which is borrowed and must outlive it. */
struct relay_memory *route_memory_new(struct queue *queue);
/* After the last route. NULL in it is taken. */
void route_memory_free(struct relay_memory **memory);

/* Takes a reference to conf; memory is borrowed and must outlive it. NULL with error:
 * store or relays cannot be used as set. */
struct route *route_new(struct conf *conf, struct metrics *metrics,
	const struct relay_memory *memory, GError **error);
struct route *route_ref(struct route *route);
void route_unref(struct route **route);

#endif
