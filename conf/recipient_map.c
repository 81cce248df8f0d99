/* Maps an address to where its mail goes. What a listener does with it is policy's. */
#include "conf/recipient_map.h"

#include "conf/error.h"
#include "conf/mailbox.h"
#include "conf/value.h"
#include <string.h>

/* Both templates NULL: the address itself. The local part is kept without quotes. */
struct entry {
	char *pattern; /* canonical address, "@domain" in lower case, or "*" */
	char *local_part;
	char *domain;
};

struct conf_recipient_map {
	GPtrArray *entries;     /* owns */
	GHashTable *by_pattern; /* borrows pattern and entry */
};

/* What the arrived address is made of. NULL: not known, any. */
struct arrived {
	const char *address;
	const char *local_part; /* without quotes */
	const char *domain;
};

static void entry_free(void *pointer)
{
	struct entry *entry = pointer;
	g_free(entry->pattern);
	g_free(entry->local_part);
	g_free(entry->domain);
	g_free(entry);
}

struct conf_recipient_map *conf_recipient_map_new(void)
{
	struct conf_recipient_map *map = g_new0(struct conf_recipient_map, 1);
	map->entries = g_ptr_array_new_with_free_func(entry_free);
	map->by_pattern = g_hash_table_new(g_str_hash, g_str_equal);
	return map;
}

void conf_recipient_map_free(struct conf_recipient_map **map)
{
	if (*map == NULL)
		return;
	g_hash_table_unref((*map)->by_pattern);
	g_ptr_array_unref((*map)->entries);
	g_clear_pointer(map, g_free);
}

static char *pattern_canonical(const char *pattern, GError **error)
{
	if (strcmp(pattern, "*") == 0)
		return g_strdup(pattern);
	if (pattern[0] == '@') {
		if (!conf_domain_check(pattern + 1, error))
			return NULL;
		return g_ascii_strdown(pattern, -1);
	}
	if (strchr(pattern, '@') == NULL || g_str_has_prefix(pattern, "*@")) {
		conf_value_refuse(pattern, error,
			"is no pattern for recipients: write an address, \"@domain\" for "
			"every address of a domain, or \"*\"");
		return NULL;
	}
	return conf_mailbox_check(pattern, error) ? conf_mailbox_canonical(pattern)
						  : NULL;
}

/* The value of the name that stands at *at (behind "%{"), which is
 * moved behind its "}". */
static const char *variable_value(
	const char **at, const struct arrived *arrived, bool *is_variable)
{
	static const char *const names[] = { "address}", "local}", "domain}" };
	const char *const values[] = { arrived->address, arrived->local_part,
		arrived->domain };
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		if (!g_str_has_prefix(*at, names[i]))
			continue;
		*at += strlen(names[i]);
		*is_variable = true;
		return values[i];
	}
	*is_variable = false;
	return NULL;
}

/* The template with its variables replaced; NULL when one is not known (or is none). */
static char *substitute(const char *template, const struct arrived *arrived)
{
	g_autoptr(GString) result = g_string_new(NULL);
	while (*template != '\0') {
		if (!g_str_has_prefix(template, "%{")) {
			g_string_append_c(result, *template ++);
			continue;
		}
		bool is_variable;
		template += strlen("%{");
		const char *value = variable_value(&template, arrived, &is_variable);
		if (value == NULL)
			return NULL;
		g_string_append(result, value);
	}
	return g_strdup(result->str);
}

static bool check_variables(const char *target, GError **error)
{
	static const struct arrived any = { "", "", "" };
	for (const char *at = strstr(target, "%{"); at != NULL; at = strstr(at, "%{")) {
		bool is_variable;
		at += strlen("%{");
		const char *name = at;
		variable_value(&at, &any, &is_variable);
		if (is_variable)
			continue;
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"\"%%{%.*s\" is unknown in a target: there are %%{local}, "
			"%%{domain} and %%{address}",
			(int)MIN(strcspn(name, "}") + 1, 32), name);
		return false;
	}
	return true;
}

static bool is_identity(const char *target)
{
	return target == NULL || strcmp(target, "%{address}") == 0 ||
	       strcmp(target, "%{local}@%{domain}") == 0;
}

/* Whether an address comes out of it, whatever comes in. */
static bool check_target(const char *target, GError **error)
{
	static const struct arrived sample = { "a@b", "a", "example.com" };
	if (!check_variables(target, error))
		return false;
	const char *at = strrchr(target, '@');
	if (at != NULL &&
		(strstr(at, "%{local}") != NULL || strstr(at, "%{address}") != NULL)) {
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"only %%{domain} may stand behind the @, as in "
			"\"%%{local}@%%{domain}\": with others a sender would choose "
			"where the mail goes");
		return false;
	}
	g_autofree char *result = substitute(target, &sample);
	const char *result_at = strrchr(result, '@');
	if (at == NULL || result_at == NULL)
		return conf_value_refuse(target, error,
			"gives no mail address: write one such as ops@example.com or "
			"\"%%{local}@example.com\"");
	/* %{address} has an @, for which the local part will be quoted. */
	g_autofree char *meaning =
		conf_local_part_unquote(result, (size_t)(result_at - result));
	g_autofree char *local_part =
		strstr(target, "%{address}") == NULL
			? g_strndup(result, (size_t)(result_at - result))
			: conf_local_part_quote(meaning);
	g_autofree char *address = g_strconcat(local_part, result_at, NULL);
	return conf_mailbox_check(address, error);
}

bool conf_recipient_map_add(struct conf_recipient_map *map, const char *pattern,
	const char *target, GError **error)
{
	g_autofree char *canonical = pattern_canonical(pattern, error);
	if (canonical == NULL)
		return false;
	if (g_hash_table_contains(map->by_pattern, canonical))
		return conf_value_refuse(
			pattern, error, "is given twice: keep one of them");
	if (!is_identity(target) && !check_target(target, error))
		return false;

	struct entry *entry = g_new0(struct entry, 1);
	entry->pattern = g_steal_pointer(&canonical);
	if (!is_identity(target)) {
		const char *at = strrchr(target, '@');
		entry->local_part =
			conf_local_part_unquote(target, (size_t)(at - target));
		entry->domain = g_strdup(at + 1);
	}
	g_ptr_array_add(map->entries, entry);
	g_hash_table_insert(map->by_pattern, entry->pattern, entry);
	return true;
}

size_t conf_recipient_map_size(const struct conf_recipient_map *map)
{
	return map->entries->len;
}

static const struct entry *find_owner(
	const struct conf_recipient_map *map, const char *address)
{
	g_autofree char *canonical = conf_mailbox_canonical(address);
	if (canonical == NULL)
		return NULL;
	const struct entry *entry = g_hash_table_lookup(map->by_pattern, canonical);
	return entry != NULL
		       ? entry
		       : g_hash_table_lookup(map->by_pattern, conf_mailbox_at(canonical));
}

static const struct entry *find(const struct conf_recipient_map *map, const char *address)
{
	const struct entry *entry = find_owner(map, address);
	if (entry != NULL || conf_mailbox_at(address) == NULL)
		return entry;
	return g_hash_table_lookup(map->by_pattern, "*");
}

bool conf_recipient_map_has(const struct conf_recipient_map *map, const char *address)
{
	return find(map, address) != NULL;
}

bool conf_recipient_map_owns(const struct conf_recipient_map *map, const char *address)
{
	return find_owner(map, address) != NULL;
}

/* Where an address goes; "@domain" when its local part is not known before it arrives;
 * NULL when not even the domain is. */
static char *follow(const struct entry *entry, const struct arrived *arrived)
{
	if (entry->domain == NULL) {
		if (arrived->address != NULL)
			return g_strdup(arrived->address);
		return arrived->domain != NULL ? g_strconcat("@", arrived->domain, NULL)
					       : NULL;
	}
	g_autofree char *domain = substitute(entry->domain, arrived);
	if (domain == NULL)
		return NULL;
	g_autofree char *meaning = substitute(entry->local_part, arrived);
	if (meaning == NULL)
		return g_strconcat("@", domain, NULL);
	g_autofree char *local_part = conf_local_part_quote(meaning);
	return g_strconcat(local_part, "@", domain, NULL);
}

static char *follow_address(const struct entry *entry, const char *address)
{
	const char *at = conf_mailbox_at(address);
	g_autofree char *meaning =
		conf_local_part_unquote(address, (size_t)(at - address));
	struct arrived arrived = { address, meaning, at + 1 };
	return follow(entry, &arrived);
}

char *conf_recipient_map_resolve(
	const struct conf_recipient_map *map, const char *address)
{
	const struct entry *entry = find(map, address);
	return entry != NULL ? follow_address(entry, address) : NULL;
}

char *conf_recipient_map_step(const struct conf_recipient_map *map, const char *place)
{
	if (place[0] != '@') {
		const struct entry *entry = find_owner(map, place);
		return entry != NULL ? follow_address(entry, place) : NULL;
	}
	g_autofree char *pattern = g_ascii_strdown(place, -1);
	const struct entry *entry = g_hash_table_lookup(map->by_pattern, pattern);
	struct arrived arrived = { .domain = place + 1 };
	return entry != NULL ? follow(entry, &arrived) : NULL;
}

const char *conf_recipient_map_pattern(const struct conf_recipient_map *map, size_t index)
{
	const struct entry *entry = g_ptr_array_index(map->entries, index);
	return entry->pattern;
}

char *conf_recipient_map_leads_to(const struct conf_recipient_map *map, size_t index)
{
	const struct entry *entry = g_ptr_array_index(map->entries, index);
	if (entry->pattern[0] != '@' && strcmp(entry->pattern, "*") != 0)
		return follow_address(entry, entry->pattern);
	struct arrived arrived = {
		.domain = entry->pattern[0] == '@' ? entry->pattern + 1 : NULL,
	};
	return follow(entry, &arrived);
}

bool conf_recipient_map_is_open(const struct conf_recipient_map *map)
{
	static const struct arrived anybody = { 0 };
	const struct entry *entry = g_hash_table_lookup(map->by_pattern, "*");
	if (entry == NULL)
		return false;
	g_autofree char *place = follow(entry, &anybody);
	return place == NULL;
}
