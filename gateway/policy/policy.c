/* Who may send what to whom. Asks the settings and decides; counts
 * nothing, remembers nothing. */
#include "gateway/policy/policy.h"

#include "gateway/idn.h"
#include <string.h>

#define HOPS_MAX 10 /* maps that an address is led through; more is a loop */

static bool in_networks(
	const struct conf_listener *listener, const struct sockaddr *address)
{
	return conf_networks_contain(listener->networks, listener->n_networks, address);
}

bool policy_client(const struct conf_listener *listener, const struct sockaddr *address)
{
	return listener->n_networks == 0 || in_networks(listener, address);
}

bool policy_is_postmaster(const char *address)
{
	size_t bytes = strlen("postmaster");
	return !g_ascii_strncasecmp(address, "postmaster", bytes) &&
	       (!address[bytes] || address[bytes] == '@');
}

/* RFC 5321, section 4.5.1: postmaster without a domain is taken by every host. It is this
 * host's, or that of the first domain that the listener receives for. */
static char *complete_address(const struct conf *conf,
	const struct conf_recipient_map *map, const char *address)
{
	if (g_ascii_strcasecmp(address, "postmaster") != 0)
		return g_strdup(address);
	char *complete = g_strconcat(address, "@", conf->hostname, NULL);
	for (size_t i = 0; map && i < conf_recipient_map_size(map); i++) {
		const char *domain = strrchr(conf_recipient_map_pattern(map, i), '@');
		if (conf_recipient_map_has(map, complete) || !domain)
			continue;
		g_free(complete);
		complete = g_strconcat(address, domain, NULL);
	}
	return complete;
}

/* Whether the map receives for any address of this one's domain: where not, a client asks
 * for relaying. */
static bool has_domain(const struct conf_recipient_map *map, const char *address)
{
	const char *domain = strrchr(address, '@');
	for (size_t i = 0; domain && i < conf_recipient_map_size(map); i++) {
		const char *own = strrchr(conf_recipient_map_pattern(map, i), '@');
		if (own && g_ascii_strcasecmp(own, domain) == 0)
			return true;
	}
	return false;
}

#define ID_BYTES 26 /* of a message's ID */

/* "bounces+ID@example.com", with mark behind the ID, is "bounces@example.com", where that
 * is the envelope address and gets IDs; NULL: address is another. Borrowed. */
static const char *plain_envelope(
	const struct conf *conf, const char *address, const char *mark)
{
	const struct conf_sender *sender = &conf->sender;
	const char *own = sender->envelope ? sender->envelope : sender->from;
	const char *domain = own ? strrchr(own, '@') : NULL;
	if (!sender->envelope_has_id || !domain)
		return NULL;
	size_t local_bytes = (size_t)(domain - own);
	const char *id = address + local_bytes + 1;
	size_t mark_bytes = strlen(mark);
	if (strlen(address) != strlen(own) + 1 + ID_BYTES + mark_bytes ||
		g_ascii_strncasecmp(address, own, local_bytes) || id[-1] != '+' ||
		g_ascii_strncasecmp(id + ID_BYTES, mark, mark_bytes) ||
		g_ascii_strcasecmp(id + ID_BYTES + mark_bytes, domain))
		return NULL;
	for (size_t i = 0; i < ID_BYTES; i++) {
		if (!g_ascii_isalnum(id[i]))
			return NULL;
	}
	return own;
}

/* What to look up in the map for address: what comes back for a message goes where its
 * plain address is sent, if the map names that. A whole domain takes both as they are. */
static char *lookup_of(const struct conf *conf, const struct conf_recipient_map *map,
	const char *address)
{
	const char *plain = plain_envelope(conf, address, "");
	for (size_t i = 0; plain && i < conf_recipient_map_size(map); i++) {
		if (!g_ascii_strcasecmp(conf_recipient_map_pattern(map, i), plain))
			return g_strdup(plain);
	}
	return g_strdup(address);
}

/* Whether the client may send to anyone, on a listener without a map. */
static enum policy_verdict may_relay(const struct conf_listener *listener,
	const struct sockaddr *client, const char *user)
{
	if (user)
		return POLICY_ACCEPT;
	if (listener->auth == CONF_AUTH_REQUIRED)
		return POLICY_AUTH_NEEDED;
	if (listener->n_networks > 0 && in_networks(listener, client))
		return POLICY_ACCEPT;
	return listener->auth == CONF_AUTH_OPTIONAL ? POLICY_AUTH_NEEDED
						    : POLICY_NO_RELAY;
}

/* RFC 5321, section 4.5.1: whoever receives for a domain takes mail for its postmaster,
 * also where no map names one. NULL: address is another, or the map leads to nobody. */
static char *postmaster_target(const struct conf *conf,
	const struct conf_recipient_map *map, const char *address)
{
	const char *domain = strrchr(address, '@');
	if (!policy_is_postmaster(address) || !domain ||
		(!has_domain(map, address) &&
			g_ascii_strcasecmp(domain + 1, conf->hostname) != 0))
		return NULL;
	if (conf->postmaster)
		return g_strdup(conf->postmaster);
	for (size_t i = 0; i < conf_recipient_map_size(map); i++) {
		char *target = conf_recipient_map_leads_to(map, i);
		if (target && *target != '@')
			return target;
		g_free(target);
	}
	return NULL;
}

/* Where the listener itself sends address. */
static enum policy_verdict first_step(const struct conf *conf,
	const struct conf_listener *listener, const struct sockaddr *client,
	const char *user, const char *address, char **next)
{
	if (!listener->recipients) {
		enum policy_verdict verdict = may_relay(listener, client, user);
		*next = verdict == POLICY_ACCEPT ? g_strdup(address) : NULL;
		return verdict;
	}
	if (listener->auth == CONF_AUTH_REQUIRED && !user)
		return POLICY_AUTH_NEEDED;
	g_autofree char *lookup = lookup_of(conf, listener->recipients, address);
	*next = conf_recipient_map_resolve(listener->recipients, lookup);
	if (!*next)
		*next = postmaster_target(conf, listener->recipients, address);
	if (*next && plain_envelope(conf, address, CONF_SENDER_REPORT)) {
		g_clear_pointer(next, g_free);
		return POLICY_LOOP;
	}
	if (*next)
		return POLICY_ACCEPT;
	return has_domain(listener->recipients, address) ? POLICY_NO_SUCH
							 : POLICY_NO_RELAY;
}

/* Where the map that receives for address sends it, the listener's own first; NULL: no
 * map receives for it. */
static char *step_through_maps(
	const struct conf *conf, const struct conf_listener *own, const char *address)
{
	for (size_t i = 0; i <= conf->n_listeners; i++) {
		const struct conf_recipient_map *map =
			i == 0 ? own->recipients : conf->listeners[i - 1].recipients;
		if (!map)
			continue;
		g_autofree char *lookup = lookup_of(conf, map, address);
		if (conf_recipient_map_owns(map, lookup))
			return conf_recipient_map_resolve(map, lookup);
	}
	return NULL;
}

/* Takes start, and leads it on until no map receives for it. Where that never comes
 * about, it may stay where the relay delivers without asking an MX record, which would
 * point back here. */
static enum policy_verdict lead_out(const struct conf *conf,
	const struct conf_listener *listener, char *start, char **forward_path)
{
	g_autofree char *current = g_strdup(start);
	g_autofree char *first = start;
	for (unsigned hop = 0; hop < HOPS_MAX; hop++) {
		char *next = step_through_maps(conf, listener, current);
		if (!next) {
			*forward_path = g_steal_pointer(&current);
			return POLICY_ACCEPT;
		}
		bool stays = g_ascii_strcasecmp(next, current) == 0;
		g_free(current);
		current = next;
		if (!stays)
			continue;
		if (!conf_relay_delivers(conf, current))
			return POLICY_LOOP;
		*forward_path = g_steal_pointer(&current);
		return POLICY_ACCEPT;
	}
	if (!conf_relay_delivers(conf, first))
		return POLICY_LOOP;
	*forward_path = g_steal_pointer(&first);
	return POLICY_ACCEPT;
}

enum policy_verdict policy_recipient(const struct conf *conf,
	const struct conf_listener *listener, const struct sockaddr *client,
	const char *user, const char *address, char **forward_path)
{
	char *next = NULL;
	*forward_path = NULL;
	if (!policy_client(listener, client))
		return POLICY_NO_RELAY;
	g_autofree char *complete = complete_address(conf, listener->recipients, address);
	/* Maps and lists are ASCII. */
	g_autofree char *ascii = idn_address(complete);
	if (!ascii)
		return POLICY_NO_SUCH;
	enum policy_verdict verdict =
		first_step(conf, listener, client, user, ascii, &next);
	if (verdict == POLICY_ACCEPT)
		verdict = lead_out(conf, listener, next, forward_path);
	if (verdict == POLICY_ACCEPT && !strcmp(*forward_path, ascii)) {
		g_free(*forward_path);
		*forward_path = g_steal_pointer(&complete);
	}
	return verdict;
}

enum policy_verdict policy_onward(const struct conf *conf,
	const struct conf_listener *listener, const char *address, char **forward_path)
{
	*forward_path = NULL;
	return lead_out(conf, listener, g_strdup(address), forward_path);
}

static bool is_ascii(const char *text, const char *end)
{
	for (; text < end; text++) {
		if ((unsigned char)*text >= 0x80)
			return false;
	}
	return true;
}

bool policy_way_is_open(const struct conf *conf, const struct conf_way *way)
{
	static const char *const unrouted[] = { CONF_RELAY_DEFAULT, NULL };
	const char *at = strrchr(way->forward_path, '@');
	if (!at || is_ascii(way->forward_path, at))
		return true;
	g_autofree char *reverse_path = idn_address(way->reverse_path);
	g_autofree char *forward_path = idn_address(way->forward_path);
	if (!reverse_path || !forward_path)
		return true; /* what is no address is judged elsewhere */
	struct conf_way ascii = *way;
	ascii.reverse_path = reverse_path;
	ascii.forward_path = forward_path;
	const struct conf_route *route = conf_route_for(conf, &ascii);
	const char *const *relays = route ? route->relays : unrouted;
	for (; relays && *relays; relays++) {
		const struct conf_relay *relay = conf_relay_find(conf, *relays);
		if (relay && !conf_relay_is_ses(relay))
			return true;
	}
	return false;
}
