/* Reads author addresses with GMime and words a From that SES sends. Places nothing. */
#include "gateway/delivery/preflight_sender.h"

#include "gateway/delivery/preflight_text.h"
#include <gmime/gmime.h>
#include <string.h>

#define VALUE_BYTES                                                                      \
	16384 /* of an address list that is still read: GMime's costs 60 times it */
#define AUTHORS_MAX    32
#define GROUP_DEPTH    3
#define NAME_BYTES     120
#define ORIGINAL_BYTES 2000

struct author {
	char *name;    /* cleaned; may be empty */
	char *address; /* domain as A-labels; may be anything */
};

static void author_free(void *author)
{
	struct author *a = author;
	g_free(a->name);
	g_free(a->address);
	g_free(a);
}

static void collect_authors(GPtrArray *authors, InternetAddressList *list, unsigned depth)
{
	int count = list ? internet_address_list_length(list) : 0;
	for (int i = 0; i < count && authors->len < AUTHORS_MAX; i++) {
		InternetAddress *entry = internet_address_list_get_address(list, i);
		if (INTERNET_ADDRESS_IS_GROUP(entry)) {
			if (depth < GROUP_DEPTH)
				collect_authors(authors,
					internet_address_group_get_members(
						INTERNET_ADDRESS_GROUP(entry)),
					depth + 1);
			continue;
		}
		const char *name = internet_address_get_name(entry);
		const char *address = internet_address_mailbox_get_idn_addr(
			INTERNET_ADDRESS_MAILBOX(entry));
		if (!address || !*address)
			continue;
		struct author *author = g_new(struct author, 1);
		author->name =
			text_clean(name ? name : "", name ? strlen(name) : 0, NAME_BYTES);
		author->address = g_strdup(address);
		g_ptr_array_add(authors, author);
	}
}

/* The mailboxes in raw, groups opened; empty where it is too long or cannot be read. */
static GPtrArray *read_authors(const char *raw, size_t raw_bytes)
{
	GPtrArray *authors = g_ptr_array_new_with_free_func(author_free);
	if (raw_bytes > VALUE_BYTES)
		return authors;
	g_autofree char *text = g_strndup(raw, raw_bytes);
	InternetAddressList *list = internet_address_list_parse(NULL, text);
	collect_authors(authors, list, 0);
	g_clear_object(&list);
	return authors;
}

/* Equal as SES compares addresses: the domain ignores case, the local part does not. */
static bool same_address(const char *a, const char *b)
{
	const char *domain = text_domain(a);
	size_t local_bytes = (size_t)(domain - a);
	return *domain && !strncmp(a, b, local_bytes) &&
	       !g_ascii_strcasecmp(domain, b + local_bytes);
}

static bool domain_covers(const char *entry, const char *domain)
{
	size_t entry_bytes = strlen(entry), domain_bytes = strlen(domain);
	if (domain_bytes < entry_bytes)
		return false;
	size_t above = domain_bytes - entry_bytes;
	return !g_ascii_strcasecmp(domain + above, entry) &&
	       (!above || domain[above - 1] == '.');
}

bool sender_is_verified(const struct conf_sender *sender, const char *address)
{
	if (!text_is_address(address))
		return false;
	if (sender->from && same_address(sender->from, address))
		return true;
	for (const char *const *entry = sender->verified; entry && *entry; entry++) {
		if (strchr(*entry, '@') ? same_address(*entry, address)
					: domain_covers(*entry, text_domain(address)))
			return true;
	}
	return false;
}

bool sender_value_is_verified(
	const struct conf_sender *sender, const char *raw, size_t raw_bytes)
{
	g_autoptr(GPtrArray) authors = read_authors(raw, raw_bytes);
	for (guint i = 0; i < authors->len; i++) {
		const struct author *author = authors->pdata[i];
		if (!sender_is_verified(sender, author->address))
			return false;
	}
	return authors->len && authors->len < AUTHORS_MAX;
}

/* The name to show for an author: the given one, or the local part. */
static char *shown_name(const struct author *author)
{
	if (*author->name)
		return g_strdup(author->name);
	const char *at = strrchr(author->address, '@');
	size_t bytes = at ? (size_t)(at - author->address) : strlen(author->address);
	const char *local = author->address;
	if (bytes >= 2 && local[0] == '"' && local[bytes - 1] == '"')
		return text_clean(local + 1, bytes - 2, NAME_BYTES);
	return text_clean(local, bytes, NAME_BYTES);
}

/* A From without any address may still be somebody's name ("UPS room 3"). */
static char *name_of_nobody(const char *raw, size_t raw_bytes)
{
	for (size_t i = 0; i < raw_bytes; i++) {
		if (raw[i] == '\0' || strchr("<>@\"=;:", raw[i]))
			return g_strdup("");
	}
	return text_clean(raw, raw_bytes, NAME_BYTES);
}

static char *word_from(const struct conf_sender *sender, const char *name, bool several)
{
	g_autofree char *via = g_strdup_printf(" via %s", text_domain(sender->from));
	if (!*name)
		return g_strdup_printf("<%s>", sender->from);
	g_autofree char *shown = g_strconcat(name, several ? " et al." : "",
		g_str_has_suffix(name, via) ? "" : via, NULL);
	g_autofree char *phrase = text_phrase(shown);
	return g_strdup_printf("%s <%s>", phrase, sender->from);
}

/* Those of the authors that mail can be sent to, or NULL. */
static char *word_reply_to(const GPtrArray *authors)
{
	GString *list = g_string_new(NULL);
	for (guint i = 0; i < authors->len; i++) {
		const struct author *author = authors->pdata[i];
		if (!text_is_address(author->address))
			continue;
		if (list->len)
			g_string_append(list, ", ");
		if (*author->name) {
			g_autofree char *phrase = text_phrase(author->name);
			g_string_append_printf(list, "%s <%s>", phrase, author->address);
		} else {
			g_string_append(list, author->address);
		}
	}
	return g_string_free(list, list->len == 0);
}

void sender_rewrite_init(struct sender_rewrite *rewrite, const struct conf_sender *sender,
	const char *raw, size_t raw_bytes)
{
	g_autoptr(GPtrArray) authors = read_authors(raw, raw_bytes);
	g_autofree char *name = authors->len ? shown_name(authors->pdata[0])
					     : name_of_nobody(raw, raw_bytes);
	g_autofree char *original = text_clean(raw, raw_bytes, ORIGINAL_BYTES);
	rewrite->from = word_from(sender, name, authors->len > 1);
	rewrite->reply_to = word_reply_to(authors);
	rewrite->original_from = *original ? text_unstructured(original) : NULL;
}

void sender_rewrite_deinit(struct sender_rewrite *rewrite)
{
	g_clear_pointer(&rewrite->from, g_free);
	g_clear_pointer(&rewrite->reply_to, g_free);
	g_clear_pointer(&rewrite->original_from, g_free);
}
