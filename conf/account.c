/* Finds users' accounts, and addresses in their lists. What an account allows is for the
 * policy to say. */
#include "conf/account.h"

#include "conf/conf.h"
#include "conf/mailbox.h"
#include <string.h>

bool conf_account_fits(const char *pattern, const char *name)
{
	const char *first = strchr(pattern, '*'), *last = strrchr(pattern, '*');
	if (first == NULL)
		return strcmp(pattern, name) == 0;
	size_t head = (size_t)(first - pattern), tail = strlen(last + 1);
	size_t left = strlen(name);
	if (left < head + tail || strncmp(pattern, name, head) != 0 ||
		strcmp(name + left - tail, last + 1) != 0)
		return false;
	name += head;
	left -= head + tail;
	/* What stands between two stars is best found as early as it can be. */
	while (first != last) {
		const char *piece = first + 1;
		first = strchr(piece, '*');
		size_t length = (size_t)(first - piece);
		const char *found = memmem(name, left, piece, length);
		if (found == NULL)
			return false;
		left -= (size_t)(found - name) + length;
		name = found + length;
	}
	return true;
}

const struct conf_account *conf_account_find(const struct conf *conf, const char *user)
{
	for (size_t i = 0; i < conf->n_accounts; i++)
		if (conf_account_fits(conf->accounts[i].user, user))
			return &conf->accounts[i];
	return NULL;
}

static bool same_mailbox(const char *a, const char *b)
{
	if (g_ascii_strcasecmp(a, b) == 0)
		return true;
	if (strchr(a, '"') == NULL && strchr(b, '"') == NULL)
		return false;
	g_autofree char *x = conf_mailbox_canonical(a), *y = conf_mailbox_canonical(b);
	return x != NULL && y != NULL && strcmp(x, y) == 0;
}

bool conf_identities_have(const char *const *list, const char *address)
{
	const char *at = conf_mailbox_at(address);
	for (; at != NULL && *list != NULL; list++)
		if (strchr(*list, '@') != NULL ? same_mailbox(*list, address)
					       : g_ascii_strcasecmp(*list, at + 1) == 0)
			return true;
	return false;
}
