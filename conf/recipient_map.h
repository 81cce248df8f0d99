/*
 * recipient_map - from the address that mail arrives for to where it goes. Pure.
 *
 * An entry's pattern is an exact address, "@domain" (every address of it) or "*" (every
 * address). Its target is an address in which %{local}, %{domain} and %{address} stand
 * for parts of the address that arrived, or NULL: the address itself. The most exact
 * entry wins; comparison ignores case.
 */
#ifndef CONF_RECIPIENT_MAP_H
#define CONF_RECIPIENT_MAP_H

#include <glib.h>
#include <stdbool.h>

struct conf_recipient_map;

struct conf_recipient_map *conf_recipient_map_new(void);
void conf_recipient_map_free(struct conf_recipient_map **map);

/* False with error: not a pattern, not a target, or the pattern is there already. */
bool conf_recipient_map_add(struct conf_recipient_map *map, const char *pattern,
	const char *target, GError **error);

size_t conf_recipient_map_size(const struct conf_recipient_map *map);

/* Whether an entry matches. */
bool conf_recipient_map_has(const struct conf_recipient_map *map, const char *address);

/* Whether an entry other than "*" matches: the gateway itself
 * receives for this address. */
bool conf_recipient_map_owns(const struct conf_recipient_map *map, const char *address);

/* Where address goes; g_free(). NULL when no entry matches. */
char *conf_recipient_map_resolve(
	const struct conf_recipient_map *map, const char *address);

/*
 * For looking ahead, before any address has arrived: a place is an address, or "@domain"
 * for addresses of a domain whose local part is not known yet. All results: g_free().
 */

/* The pattern of an entry, in the order of adding: lower case,
 * quotes only where needed. */
const char *conf_recipient_map_pattern(
	const struct conf_recipient_map *map, size_t index);

/* Where the entry sends what it matches; NULL: nobody knows before mail arrives ("*" to a
 * target that takes its domain from the address). */
char *conf_recipient_map_leads_to(const struct conf_recipient_map *map, size_t index);

/* Where an entry other than "*" sends the place; NULL when none matches. */
char *conf_recipient_map_step(const struct conf_recipient_map *map, const char *place);

/* Whether it takes any address to any domain: an open relay, if strangers may use it. */
bool conf_recipient_map_is_open(const struct conf_recipient_map *map);

#endif
