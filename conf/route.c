/* Which way a message goes. Whether the relays can be used is not known here. */
#include "conf/account.h"
#include "conf/conf.h"
#include <string.h>

const struct conf_relay *conf_relay_find(const struct conf *conf, const char *name)
{
	if (strcmp(name, CONF_RELAY_DEFAULT) == 0)
		return &conf->relay;
	for (size_t i = 0; i < conf->n_relays; i++)
		if (g_strcmp0(conf->relays[i].name, name) == 0)
			return &conf->relays[i];
	return NULL;
}

static bool fits(const struct conf_route *route, const struct conf_way *way)
{
	if (route->listener != NULL && g_strcmp0(route->listener, way->listener) != 0)
		return false;
	if (route->user != NULL &&
		(way->user == NULL || !conf_account_fits(route->user, way->user)))
		return false;
	if (route->senders != NULL &&
		(*way->reverse_path == '\0' ||
			!conf_identities_have(route->senders, way->reverse_path)))
		return false;
	return route->recipients == NULL ||
	       conf_identities_have(route->recipients, way->forward_path);
}

const struct conf_route *conf_route_for(
	const struct conf *conf, const struct conf_way *way)
{
	for (size_t i = 0; i < conf->n_routes; i++)
		if (fits(&conf->routes[i], way))
			return &conf->routes[i];
	return NULL;
}

static bool delivers(const struct conf_relay *relay, const char *domain)
{
	if (relay->maildir != NULL)
		return true; /* it goes no further, whatever its domain */
	for (const char *const *d = relay->delivers; d != NULL && *d != NULL; d++)
		if (g_ascii_strcasecmp(domain, *d) == 0)
			return true;
	return false;
}

static bool all_deliver(
	const struct conf *conf, const char *const *relays, const char *domain)
{
	for (; relays != NULL && *relays != NULL; relays++) {
		const struct conf_relay *relay = conf_relay_find(conf, *relays);
		if (relay != NULL && !delivers(relay, domain))
			return false;
	}
	return true;
}

/* How much of the mail for address (or all of its domain, with nothing before the "@") a
 * route takes, by its recipients. */
enum part { PART_NONE, PART_SOME, PART_ALL };

static enum part part_of(const struct conf_route *route, const char *address)
{
	bool others_too =
		route->listener != NULL || route->user != NULL || route->senders != NULL;
	enum part all = others_too ? PART_SOME : PART_ALL;
	if (route->recipients == NULL)
		return all;
	const char *domain = strchr(address, '@') == address ? address + 1 : NULL;
	if (domain == NULL)
		return conf_identities_have(route->recipients, address) ? all : PART_NONE;
	enum part part = PART_NONE;
	for (const char *const *r = route->recipients; *r != NULL; r++) {
		const char *at = strrchr(*r, '@');
		if (g_ascii_strcasecmp(at != NULL ? at + 1 : *r, domain) != 0)
			continue;
		if (at == NULL)
			return all;
		part = PART_SOME;
	}
	return part;
}

bool conf_relay_delivers(const struct conf *conf, const char *address)
{
	const char *at = strrchr(address, '@');
	const char *domain = at != NULL ? at + 1 : "";
	for (size_t i = 0; i < conf->n_routes; i++) {
		const struct conf_route *route = &conf->routes[i];
		enum part part = part_of(route, address);
		if (part != PART_NONE && !all_deliver(conf, route->relays, domain))
			return false;
		if (part == PART_ALL)
			return true;
	}
	return delivers(&conf->relay, domain);
}
