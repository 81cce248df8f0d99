/* That routes name what there is, and that each can be taken. */
#include "conf/check.h"
#include <string.h>

static bool is_listener(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (g_strcmp0(conf->listeners[i].name, name) == 0)
			return true;
	return false;
}

static void check_listener(
	const struct conf_check *check, const struct conf_route *route, const char *place)
{
	g_autofree char *path = g_strconcat(place, ".listener", NULL);
	if (route->listener != NULL && !is_listener(check->conf, route->listener) &&
		!conf_source_is_bad(check->source, path))
		conf_source_problem(check->source, path,
			"\"%s\" is not the name of a listener", route->listener);
}

static void check_relays(
	const struct conf_check *check, const struct conf_route *route, const char *place)
{
	for (size_t i = 0; route->relays != NULL && route->relays[i] != NULL; i++) {
		const char *name = route->relays[i];
		g_autofree char *path = g_strdup_printf("%s.relays[%zu]", place, i);
		if (conf_relay_find(check->conf, name) == NULL)
			conf_source_problem(check->source, path,
				"\"%s\" is not the name of a relay: it must be "
				"\"" CONF_RELAY_DEFAULT "\" or one of relays",
				name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(route->relays[j], name) == 0) {
				conf_source_problem(check->source, path,
					"\"%s\" stands in the route already", name);
				break;
			}
	}
}

static bool fits_all(const struct conf_route *route)
{
	return route->listener == NULL && route->user == NULL && route->senders == NULL &&
	       route->recipients == NULL;
}

void conf_check_routes(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	size_t last = conf->n_routes; /* the first that leaves nothing for others */
	for (size_t i = 0; i < conf->n_routes; i++) {
		const struct conf_route *route = &conf->routes[i];
		g_autofree char *place = g_strdup_printf("routes[%zu]", i);
		check_listener(check, route, place);
		if (!conf_check_any_bad(check, "relays", NULL))
			check_relays(check, route, place);
		if (last < i)
			conf_source_warning(check->source, place,
				"is never taken: routes[%zu] fits all mail", last);
		else if (fits_all(route))
			last = i;
	}
}
