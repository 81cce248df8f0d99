/* That every account can be somebody's, and allows something. */
#include "conf/account.h"
#include "conf/check.h"
#include "conf/files.h"
#include <string.h>

/* Patterns of earlier accounts that others are compared with: a bound on the work. */
enum { PATTERNS_MAX = 200 };

static bool is_pattern(const char *user)
{
	return strchr(user, '*') != NULL;
}

/* Reports an account that is never reached, since an earlier one fits all its users. */
static void check_reach(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	const char *patterns[PATTERNS_MAX];
	size_t n_patterns = 0;
	for (size_t i = 0; i < conf->n_accounts; i++) {
		const char *user = conf->accounts[i].user;
		const char *earlier =
			user != NULL ? g_hash_table_lookup(names, user) : NULL;
		for (size_t j = 0; user != NULL && earlier == NULL && j < n_patterns; j++)
			if (conf_account_fits(patterns[j], user))
				earlier = patterns[j];
		if (earlier != NULL) {
			g_autofree char *path =
				g_strdup_printf("auth.accounts[%zu].user", i);
			conf_source_warning(check->source, path,
				"is never reached: \"%s\" stands before it, and the "
				"first that fits holds",
				earlier);
		} else if (user != NULL) {
			g_hash_table_add(names, (char *)user);
			if (is_pattern(user) && n_patterns < PATTERNS_MAX)
				patterns[n_patterns++] = user;
		}
	}
}

static void check_empty_list(const struct conf_check *check, size_t index,
	const char *key, const char *const *list, const char *whom)
{
	g_autofree char *path = g_strdup_printf("auth.accounts[%zu].%s", index, key);
	if (list != NULL && *list == NULL && !conf_check_any_bad(check, path, NULL))
		conf_source_problem(check->source, path,
			"is an empty list: name a domain or an address, or take the line "
			"out to allow %s",
			whom);
}

/* The listener's size is what EHLO says before anybody has authenticated. */
static void check_size(const struct conf_check *check, size_t index)
{
	const struct conf *conf = check->conf;
	uint64_t most = 0;
	for (size_t i = 0; i < conf->n_listeners; i++)
		most = MAX(most, conf->listeners[i].max_message_size);
	g_autofree char *path =
		g_strdup_printf("auth.accounts[%zu].max_message_size", index);
	if (conf->n_listeners > 0 && conf->accounts[index].max_message_size > most)
		conf_source_warning(check->source, path,
			"is above that of every listener: clients are told the "
			"listener's before they authenticate, and may send nothing "
			"larger");
}

static bool can_authenticate(const struct conf *conf)
{
	bool can = conf->users_file != NULL;
	for (size_t i = 0; i < conf->n_listeners; i++)
		can = can || conf->listeners[i].client_certificates !=
				     CONF_CLIENT_CERTIFICATES_NONE;
	return can;
}

/* Empty is how it begins, and what is left of it without its last user. */
static void check_users_file(const struct conf_check *check)
{
	const char *file = check->conf->users_file;
	if (!check->look_at_files || file == NULL)
		return;
	if (conf_file_is_empty(file))
		conf_source_warning(check->source, "auth.users",
			"%s is empty: nobody can authenticate with a password until "
			"stowage user add",
			file);
	else
		conf_check_file(check, "auth.users", file, conf_file_check);
	if (conf_file_is_world_readable(file))
		conf_source_warning(check->source, "auth.users",
			"%s can be read by every user of this machine: chmod o-r", file);
}

void conf_check_accounts(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	check_users_file(check);
	if (conf->n_accounts == 0 ||
		conf_check_any_bad(check, "listeners", "auth.users", NULL))
		return;
	if (!can_authenticate(conf))
		conf_source_warning(check->source, "auth.accounts",
			"has no effect: without auth.users and client_certificates "
			"nobody can authenticate");
	check_reach(check);
	for (size_t i = 0; i < conf->n_accounts; i++) {
		const struct conf_account *account = &conf->accounts[i];
		check_empty_list(check, i, "from", account->from, "any sender");
		check_empty_list(
			check, i, "recipients", account->recipients, "any recipient");
		check_size(check, i);
	}
}
