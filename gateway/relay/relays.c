/* Relays side by side. What one of them does is relay.c's; who goes by
 * which is decided by its users. */
#include "gateway/relay/relays.h"

#include "gateway/log.h"
#include <string.h>

struct member {
	const struct conf_relay *settings;
	struct relay *relay;
	gint left;  /* mail goes elsewhere, or waits; changed under relays->mutex */
	char *hold; /* for which it waits; NULL: it passes by itself; under the mutex */
};

struct relays {
	struct metrics *metrics;
	GPtrArray *members; /* of struct member; few */
	GMutex mutex;
};

static void member_free(void *data)
{
	struct member *member = data;
	relay_free(&member->relay);
	g_free(member->hold);
	g_free(member);
}

static bool add(struct relays *relays, const struct conf *conf,
	const struct conf_relay *settings, const struct relay_memory *memory,
	GError **error)
{
	struct relay *relay =
		relay_new(settings, conf->hostname, relays->metrics, memory, error);
	if (!relay) {
		g_prefix_error(error, "relay %s: ", settings->name);
		return false;
	}
	struct member *member = g_new0(struct member, 1);
	member->settings = settings;
	member->relay = relay;
	g_ptr_array_add(relays->members, member);
	metrics_set(relays->metrics, METRIC_RELAY_LEFT, settings->name, 0);
	return true;
}

struct relays *relays_new(const struct conf *conf, struct metrics *metrics,
	const struct relay_memory *memory, GError **error)
{
	struct relays *relays = g_new0(struct relays, 1);
	relays->metrics = metrics;
	g_mutex_init(&relays->mutex);
	relays->members = g_ptr_array_new_with_free_func(member_free);
	bool ok = add(relays, conf, &conf->relay, memory, error);
	for (size_t i = 0; i < conf->n_relays && ok; i++)
		ok = add(relays, conf, &conf->relays[i], memory, error);
	if (!ok)
		relays_free(&relays);
	return relays;
}

void relays_free(struct relays **relays)
{
	if (!*relays)
		return;
	g_ptr_array_unref((*relays)->members);
	g_mutex_clear(&(*relays)->mutex);
	g_clear_pointer(relays, g_free);
}

static struct member *find(const struct relays *relays, const char *name)
{
	for (guint i = 0; i < relays->members->len; i++) {
		struct member *member = relays->members->pdata[i];
		if (!strcmp(member->settings->name, name))
			return member;
	}
	g_assert_not_reached(); /* the settings were checked */
}

struct relay *relays_find(const struct relays *relays, const char *name)
{
	return find(relays, name)->relay;
}

const struct conf_relay *relays_settings(const struct relays *relays, const char *name)
{
	return find(relays, name)->settings;
}

void relays_hurry(struct relays *relays)
{
	for (guint i = 0; i < relays->members->len; i++)
		relay_hurry(((struct member *)relays->members->pdata[i])->relay);
}

/* Whether it was not left before. hold NULL: what it waits for stays. */
static bool leave(struct relays *relays, struct member *member, const char *hold)
{
	g_mutex_lock(&relays->mutex);
	bool is_new = !member->left;
	g_atomic_int_set(&member->left, true);
	metrics_set(relays->metrics, METRIC_RELAY_LEFT, member->settings->name, 1);
	if (hold) {
		g_free(member->hold);
		member->hold = g_strdup(hold);
	}
	g_mutex_unlock(&relays->mutex);
	return is_new;
}

/* Whether it was left before; *hold: g_free(). */
static bool come_back(struct relays *relays, struct member *member, char **hold)
{
	if (!g_atomic_int_get(&member->left)) /* as for nearly every message */
		return false;
	g_mutex_lock(&relays->mutex);
	bool was_left = member->left;
	g_atomic_int_set(&member->left, false);
	metrics_set(relays->metrics, METRIC_RELAY_LEFT, member->settings->name, 0);
	*hold = g_steal_pointer(&member->hold);
	g_mutex_unlock(&relays->mutex);
	return was_left;
}

void relays_note_left(struct relays *relays, const char *name,
	const struct relay_recipient *why, const char *to)
{
	struct member *member = find(relays, name);
	if (to)
		metrics_add(relays->metrics, METRIC_RELAY_FAILOVERS_TOTAL, name, 1);
	if (why->of_message)
		return; /* others may still go by it */
	if (!leave(relays, member, why->hold))
		return;
	if (!to && why->verdict == RELAY_HELD)
		return; /* the queue says that */
	log_warning(to ? "relay.failed_over" : "relay.unusable", LOG_TEXT("relay", name),
		LOG_TEXT("to", to), LOG_TEXT("host", member->settings->host),
		LOG_NUMBER("code", why->reply_code), LOG_TEXT("reason", why->reply),
		LOG_TEXT("advice", why->advice));
}

char *relays_note_taken(struct relays *relays, const char *name)
{
	struct member *member = find(relays, name);
	char *hold = NULL;
	if (!come_back(relays, member, &hold))
		return NULL;
	log_info("relay.back", LOG_TEXT("relay", name),
		LOG_TEXT("host", member->settings->host));
	return hold;
}
