/* Binds one snapshot of the settings to the store and the relays made from it. */
#include "gateway/delivery/route.h"

#include "gateway/log.h"
#include "gateway/relay/allowance.h"

/* What the settings ask of links and the credentials cannot give is said at the start,
 * not by a reader whose link has ended. */
static void warn_of_short_links(const struct route *route)
{
	g_autofree char *text = s3_store_link_warning(route->store,
		g_get_real_time() / G_USEC_PER_SEC, route->conf->link_expiry_s);
	if (text)
		log_warning("links.short", LOG_TEXT("reason", text));
}

/* What comes from elsewhere than the settings, or nobody would look for it there. */
static void tell_ambient(const struct route *route)
{
	for (const char *const *word = s3_store_ambient(route->store); *word; word++)
		log_info("store.setting", LOG_TEXT("setting", *word));
}

static char *recall(void *context, const char *name)
{
	return queue_recall(context, name);
}

static void remember(void *context, const char *name, const char *text)
{
	queue_remember(context, name, text);
}

struct relay_memory *route_memory_new(struct queue *queue)
{
	struct relay_memory *memory = g_new0(struct relay_memory, 1);
	memory->recall = recall;
	memory->remember = remember;
	memory->context = queue;
	memory->allowances = allowances_new();
	return memory;
}

void route_memory_free(struct relay_memory **memory)
{
	if (!*memory)
		return;
	allowances_free(&(*memory)->allowances);
	g_clear_pointer(memory, g_free);
}

struct route *route_new(struct conf *conf, struct metrics *metrics,
	const struct relay_memory *memory, GError **error)
{
	struct route *route = g_new0(struct route, 1);
	g_atomic_ref_count_init(&route->references);
	route->conf = conf_ref(conf);
	route->store = s3_store_new(&conf->s3, error);
	if (route->store)
		route->relays = relays_new(conf, metrics, memory, error);
	if (!route->relays)
		route_unref(&route);
	else {
		tell_ambient(route);
		warn_of_short_links(route);
		s3_store_watch_lifecycle(route->store, conf->link_expiry_s);
	}
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
	relays_free(&r->relays);
	s3_store_free(&r->store);
	conf_unref(r->conf);
	g_free(r);
}
