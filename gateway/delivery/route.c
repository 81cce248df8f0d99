/* Binds one snapshot of the settings to the store and the relay made from it. */
#include "gateway/delivery/route.h"

#include "gateway/log.h"

/* What the settings ask of links and the credentials cannot give is said at the start, not
 * by a reader whose link has ended. */
static void warn_of_short_links(const struct route *route)
{
	g_autofree char *text = s3_store_link_warning(route->store,
		g_get_real_time() / G_USEC_PER_SEC, route->conf->link_expiry_s);
	if (text)
		log_warning("links.short", LOG_TEXT("reason", text));
}

struct route *route_new(struct conf *conf, struct metrics *metrics, GError **error)
{
	struct route *route = g_new0(struct route, 1);
	g_atomic_ref_count_init(&route->references);
	route->conf = conf_ref(conf);
	route->store = s3_store_new(&conf->s3, error);
	if (route->store)
		route->relay = relay_new(&conf->relay, conf->hostname, metrics, error);
	if (!route->relay)
		route_unref(&route);
	else
		warn_of_short_links(route);
	return route;
}

struct route *route_ref(struct route *route)
{
	g_atomic_ref_count_inc(&route->references);
	return route;
}

void route_unref(struct route **route)
{
	struct route *r = g_steal_pointer(route);
	if (!r || !g_atomic_ref_count_dec(&r->references))
		return;
	relay_free(&r->relay);
	s3_store_free(&r->store);
	conf_unref(r->conf);
	g_free(r);
}
