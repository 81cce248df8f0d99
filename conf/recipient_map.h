/*
 * recipient_map - from the address that mail arrives for to where it goes. Pure.
 *
 * An entry's pattern is an exact address, "@domain" (every address of it) or "*" (every
 * address). Its target is an address in which %{local}, %{domain} and %{address} stand for
 * parts of the address that arrived, or NULL: the address itself. The most exact entry wins;
 * comparison ignores case.
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

/* Whether an entry other than "*" matches: the gateway itself receives for this address. */
bool conf_recipient_map_owns(const struct conf_recipient_map *map, const char *address);

/* Where address goes; g_free(). NULL when no entry matches. */
char *conf_recipient_map_resolve(const struct conf_recipient_map *map, const char *address);

#endif
