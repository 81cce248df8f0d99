/*
 * route - what a delivery needs of the settings: the snapshot, the
 * object store, the relay.
 *
 * A reload makes a new one; deliveries under way keep theirs.
 * Reference-counted; threads: any.
 */
#ifndef GATEWAY_DELIVERY_ROUTE_H
#define GATEWAY_DELIVERY_ROUTE_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/relay/relay.h"
#include "s3/s3.h"
#include <glib.h>

struct route {
	struct conf *conf;
	struct s3_store *store;
	struct relay *relay;
	gatomicrefcount references;
};

/* Takes a reference to conf. NULL with error: store or relay cannot be used as set. */
struct route *route_new(struct conf *conf, struct metrics *metrics, GError **error);
struct route *route_ref(struct route *route);
void route_unref(struct route **route);

#endif
