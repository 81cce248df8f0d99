/* From envelope to ways. Which relay of a way is used is not known here. */
#include "gateway/delivery/groups.h"

#include "gateway/idn.h"

static const char *const by_default[] = { CONF_RELAY_DEFAULT, NULL };

bool groups_is_open(const struct queue_recipient *recipient)
{
	return recipient->state != QUEUE_SENT && recipient->state != QUEUE_DEAD &&
	       recipient->state != QUEUE_BOUNCED;
}

/* Routes are written in ASCII. Takes an address that has no such form as it is. */
static char *ascii_of(const char *address)
{
	char *ascii = g_str_is_ascii(address) ? NULL : idn_address(address);
	return ascii ? ascii : g_strdup(address);
}

static const struct conf_route *route_of(const struct conf *conf,
	const struct queue_message *message, const struct queue_recipient *recipient)
{
	if (conf->n_routes == 0)
		return NULL;
	g_autofree char *reverse_path = ascii_of(message->reverse_path);
	g_autofree char *forward_path = ascii_of(recipient->forward_path);
	const struct conf_way way = { message->listener, message->user, reverse_path,
		forward_path };
	return conf_route_for(conf, &way);
}

bool groups_is_kept(const struct conf *conf, const struct queue_message *message,
	const struct queue_recipient *recipient)
{
	if (recipient->state != QUEUE_UNCERTAIN)
		return false;
	const struct conf_route *route = route_of(conf, message, recipient);
	return route && route->once == CONF_AT_MOST_ONCE;
}

void groups_recover(struct queue_message *message)
{
	if (message->state != QUEUE_UNCERTAIN)
		return;
	bool recorded = false; /* each recipient's state was */
	for (guint i = 0; i < message->recipients->len && !recorded; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		recorded = !groups_is_open(r) || r->state == QUEUE_RELAYING ||
			   r->state == QUEUE_UNCERTAIN;
	}
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (r->state == QUEUE_RELAYING || !recorded)
			r->state = QUEUE_UNCERTAIN;
	}
}

static void group_free(void *data)
{
	struct group *group = data;
	g_ptr_array_unref(group->recipients);
	g_free(group);
}

static struct group *group_for(GPtrArray *groups, const struct conf_route *route)
{
	for (guint i = 0; i < groups->len; i++) {
		struct group *group = groups->pdata[i];
		if (group->route == route)
			return group;
	}
	struct group *group = g_new0(struct group, 1);
	group->route = route;
	group->relays = route ? route->relays : by_default;
	group->recipients = g_ptr_array_new();
	g_ptr_array_add(groups, group);
	return group;
}

GPtrArray *groups_new(const struct conf *conf, const struct queue_message *message)
{
	GPtrArray *groups = g_ptr_array_new_with_free_func(group_free);
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (!groups_is_open(r))
			continue;
		const struct conf_route *route = route_of(conf, message, r);
		if (r->state == QUEUE_UNCERTAIN && route &&
			route->once == CONF_AT_MOST_ONCE)
			continue;
		g_ptr_array_add(group_for(groups, route)->recipients, r);
	}
	return groups;
}

uint64_t groups_max_bytes(const struct conf *conf, const GPtrArray *groups)
{
	uint64_t least = UINT64_MAX;
	for (guint i = 0; i < groups->len; i++) {
		const struct group *group = groups->pdata[i];
		for (const char *const *name = group->relays; *name; name++)
			least = MIN(
				least, conf_relay_find(conf, *name)->max_message_size);
	}
	return least == UINT64_MAX ? conf->relay.max_message_size : least;
}

bool groups_have_ses(const struct conf *conf, const GPtrArray *groups)
{
	for (guint i = 0; i < groups->len; i++) {
		const struct group *group = groups->pdata[i];
		for (const char *const *name = group->relays; *name; name++)
			if (conf_relay_is_ses(conf_relay_find(conf, *name)))
				return true;
	}
	return false;
}
