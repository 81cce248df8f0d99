/* That no mail is relayed to where it came from: each recipient map
 * is followed to its end. */
#include "conf/check.h"
#include "conf/reader.h"
#include <string.h>

/* A chain of maps longer than this ends nowhere, or is beyond what anybody meant. */
enum { PLACES_MAX = 16 };

/* Where mail for one place can get to, by the maps of all listeners. A place is an
 * address or "@domain" (conf_recipient_map_step()). */
struct trail {
	const struct conf *conf;
	GPtrArray *places; /* owns */
	GHashTable *index; /* place, borrowed > its number, from 1 */
	GArray *steps;     /* struct step */
};

struct step {
	size_t from, to; /* indices of places */
};

/* The number of the place, which is taken, new or known. */
static size_t add_place(struct trail *trail, char *place)
{
	char *lower = g_ascii_strdown(place, -1);
	g_free(place);
	size_t known = GPOINTER_TO_SIZE(g_hash_table_lookup(trail->index, lower));
	if (known > 0) {
		g_free(lower);
		return known - 1;
	}
	g_ptr_array_add(trail->places, lower);
	g_hash_table_insert(trail->index, lower, GSIZE_TO_POINTER(trail->places->len));
	return trail->places->len - 1;
}

/* Adds the steps from a place: each listener that receives for it sends its mail on. */
static void add_steps(struct trail *trail, size_t from)
{
	const char *place = g_ptr_array_index(trail->places, from);
	if (conf_relay_delivers(trail->conf, place))
		return;
	for (size_t i = 0; i < trail->conf->n_listeners; i++) {
		const struct conf_recipient_map *map =
			trail->conf->listeners[i].recipients;
		char *next = map != NULL ? conf_recipient_map_step(map, place) : NULL;
		if (next == NULL)
			continue;
		struct step step = { from, add_place(trail, next) };
		g_array_append_val(trail->steps, step);
	}
}

/* Whether some way never leaves: places that lead nowhere are taken
 * out until none is left. */
static bool has_circle(const struct trail *trail)
{
	bool stays[2 * PLACES_MAX] = { false };
	g_assert(trail->places->len <= G_N_ELEMENTS(stays));
	memset(stays, true, trail->places->len);
	for (bool changed = true; changed;) {
		bool leads[2 * PLACES_MAX] = { false };
		for (size_t i = 0; i < trail->steps->len; i++) {
			const struct step *step =
				&g_array_index(trail->steps, struct step, i);
			leads[step->from] = leads[step->from] || stays[step->to];
		}
		changed = memcmp(stays, leads, sizeof(stays)) != 0;
		memcpy(stays, leads, sizeof(stays));
	}
	return memchr(stays, true, sizeof(stays)) != NULL;
}

/* Whether mail that is sent to place, which is taken, may come back here for ever. */
static bool is_loop(const struct conf *conf, char *place)
{
	struct trail trail = { conf, g_ptr_array_new_with_free_func(g_free),
		g_hash_table_new(g_str_hash, g_str_equal),
		g_array_new(FALSE, FALSE, sizeof(struct step)) };
	add_place(&trail, place);
	for (size_t i = 0; i < trail.places->len && trail.places->len <= PLACES_MAX; i++)
		add_steps(&trail, i);
	bool loop = trail.places->len > PLACES_MAX || has_circle(&trail);
	g_hash_table_unref(trail.index);
	g_array_unref(trail.steps);
	g_ptr_array_unref(trail.places);
	return loop;
}

static void check_entry(const struct conf_check *check, size_t listener,
	const struct conf_recipient_map *map, size_t index)
{
	const char *pattern = conf_recipient_map_pattern(map, index);
	char *place = conf_recipient_map_leads_to(map, index);
	if (place == NULL)
		return; /* known only when mail arrives: policy follows the maps then */
	g_autofree char *domain = g_strdup(strrchr(place, '@') + 1);
	if (!is_loop(check->conf, place))
		return;
	g_autofree char *recipients =
		g_strdup_printf("listeners[%zu].recipients", listener);
	g_autofree char *path = conf_reader_recipient_path(recipients, pattern);
	conf_source_problem(check->source, path,
		"mail for it would be relayed to %s, whose mail comes here again (a "
		"loop): map it to an address elsewhere, such as "
		"\"%%{local}@example.com\", or name %s in relay.delivers if the relay "
		"delivers it itself",
		domain, domain);
}

void conf_check_loops(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	if (conf_check_any_bad(check, "relay", "relays", "routes", "relay.maildir",
		    "relay.delivers", NULL))
		return;
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_recipient_map *map = conf->listeners[i].recipients;
		for (size_t j = 0; map != NULL && j < conf_recipient_map_size(map); j++)
			check_entry(check, i, map, j);
	}
}
