/* Whether a message says to be from whom its user may speak for. Mail programs read a
 * broken From in their own ways: what could be read in two is not allowed. */
#include "gateway/policy/policy.h"

#include "gateway/idn.h"
#include <gmime/gmime.h>
#include <string.h>

/* Beyond these nobody writes, and a parser may be made to toil. */
#define FROM_BYTES_MAX  65536
#define FROM_GROUPS_MAX 32
#define FROM_DEPTH_MAX  4

static bool has(const char *const *list, const char *address)
{
	g_autofree char *ascii = idn_address(address);
	return ascii && conf_identities_have(list, ascii);
}

bool policy_sender(const struct conf_account *account, const char *reverse_path)
{
	return !account || !account->from || !*reverse_path ||
	       has(account->from, reverse_path);
}

bool policy_account_recipient(const struct conf_account *account, const char *address)
{
	return !account || !account->recipients ||
	       !g_ascii_strcasecmp(address, "postmaster") ||
	       has(account->recipients, address);
}

/* Past the quoted string that at begins with; NULL: it does not end. */
static const char *skip_quoted(const char *at)
{
	for (at++; *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (!*at)
			return NULL;
	}
	return at + 1;
}

/* The same of a comment (RFC 5322, section 3.2.2), which may have others in it. */
static const char *skip_comment(const char *at)
{
	for (unsigned depth = 0; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '(')
			depth++;
		else if (*at == ')' && --depth == 0)
			return at + 1;
	}
	return NULL;
}

/* Past the word that at begins with: up to what stands between addresses. *has_at: an @
 * is in it, outside quotes. NULL: a quoted string in it does not end. */
static const char *skip_word(const char *at, bool *has_at)
{
	while (at && *at && !strchr(" \t\r\n<>,;:()", *at)) {
		*has_at |= *at == '@';
		at = *at == '"' ? skip_quoted(at) : at + 1;
	}
	return at;
}

/* Whether each word with an @ is an address of the list, wherever it stands: also a name
 * that looks like an address, and what a parser would pass over. */
static bool words_are_allowed(const char *const *list, const char *from)
{
	for (const char *at = from; at && *at;) {
		bool has_at = false;
		const char *end = *at == '(' ? skip_comment(at) : skip_word(at, &has_at);
		g_autofree char *word =
			end && has_at ? g_strndup(at, (size_t)(end - at)) : NULL;
		if (!end || (word && !has(list, word)))
			return false;
		at = end > at ? end : at + 1;
	}
	return true;
}

/* Whether all mailboxes are in the list, those of groups too; adds to
 * *n what they are. */
static bool mailboxes_are_allowed(const char *const *list, InternetAddressList *addresses,
	unsigned depth, unsigned *n)
{
	int length = internet_address_list_length(addresses);
	for (int i = 0; i < length; i++) {
		InternetAddress *one = internet_address_list_get_address(addresses, i);
		if (INTERNET_ADDRESS_IS_GROUP(one)) {
			InternetAddressList *members = internet_address_group_get_members(
				INTERNET_ADDRESS_GROUP(one));
			if (depth == FROM_DEPTH_MAX ||
				!mailboxes_are_allowed(list, members, depth + 1, n))
				return false;
			continue;
		}
		const char *address =
			internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(one));
		if (!address || !has(list, address))
			return false;
		++*n;
	}
	return true;
}

static bool is_readable(const char *from)
{
	unsigned groups = 0;
	for (const char *at = from; *at; at++)
		groups += *at == ':';
	return groups <= FROM_GROUPS_MAX &&
	       strnlen(from, FROM_BYTES_MAX + 1) <= FROM_BYTES_MAX;
}

bool policy_from(const struct conf_account *account, const char *from)
{
	if (!account || !account->from)
		return true;
	if (!from)
		return false;
	if (!from[strspn(from, " \t\r\n,")])
		return true;
	if (!is_readable(from) || !words_are_allowed(account->from, from))
		return false;
	unsigned n = 0;
	InternetAddressList *addresses = internet_address_list_parse(NULL, from);
	bool allowed = addresses &&
		       mailboxes_are_allowed(account->from, addresses, 0, &n) && n > 0;
	g_clear_object(&addresses);
	return allowed;
}
