/* Reads author addresses with GMime and words a From that SES sends. Places nothing. */
#include "gateway/delivery/preflight_sender.h"

#include "gateway/delivery/preflight_addresses.h"
#include "gateway/delivery/preflight_text.h"
#include <gmime/gmime.h>
#include <string.h>

#define VALUE_BYTES                                                                      \
	16384 /* of an address list that is still read: GMime's costs 60 times it */
#define AUTHORS_MAX    32
#define GROUP_DEPTH    3
#define NAME_BYTES     120
#define SHOWN_BYTES    240
#define ORIGINAL_BYTES 2000
#define AND_OTHERS     " et al."

/* Without a setting: as its default is. */
static const char *pattern_of(const struct conf_sender *sender)
{
	return sender->display_name ? sender->display_name : "{name} via {gateway}";
}

struct author {
	char *name;    /* cleaned, as long as one that is shown; may be empty */
	char *address; /* domain as A-labels; may be anything */
};

static void author_free(void *author)
{
	struct author *a = author;
	g_free(a->name);
	g_free(a->address);
	g_free(a);
}

static void append_author(GPtrArray *authors, const char *name, const char *address)
{
	struct author *author = g_new(struct author, 1);
	author->name = text_clean(name, strlen(name), SHOWN_BYTES);
	author->address = g_strdup(address);
	g_ptr_array_add(authors, author);
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
		const char *address = addresses_ascii(INTERNET_ADDRESS_MAILBOX(entry));
		if (address && *address)
			append_author(authors, name ? name : "", address);
	}
}

/* The mailboxes in raw, groups opened; empty where it is too long or cannot be read. */
static GPtrArray *read_authors(const char *raw, size_t raw_bytes)
{
	GPtrArray *authors = g_ptr_array_new_with_free_func(author_free);
	if (raw_bytes > VALUE_BYTES)
		return authors;
	InternetAddressList *list = addresses_read(raw, raw_bytes);
	collect_authors(authors, list, 0);
	g_clear_object(&list);
	return authors;
}

/* Of a From that cannot be read ("Camera 3 cam@example.org", "'cam@example.org'",
 * "<mailto:...>", all of it in an encoded-word), the one address in it, and what stands
 * beside that as its name. */
static GPtrArray *guess_authors(const char *raw, size_t raw_bytes)
{
	GPtrArray *authors = g_ptr_array_new_with_free_func(author_free);
	if (raw_bytes > VALUE_BYTES)
		return authors;
	g_autofree char *line = text_line(raw, raw_bytes);
	g_autofree char *text = text_decode(line);
	g_auto(GStrv) words = g_strsplit_set(text, " \t<>()[]\"',;", -1);
	g_autoptr(GString) name = g_string_new(NULL);
	const char *address = NULL;
	unsigned n_addresses = 0;
	for (char **word = words; *word; word++) {
		if (strchr(*word, '@')) {
			n_addresses++;
			address = g_str_has_prefix(*word, "mailto:") ? *word + 7 : *word;
		} else {
			g_string_append_printf(name, "%s ", *word);
		}
	}
	if (n_addresses == 1 && text_is_address(address))
		append_author(authors, name->str, address);
	return authors;
}

static bool any_has_address(const GPtrArray *authors)
{
	for (guint i = 0; i < authors->len; i++) {
		const struct author *author = authors->pdata[i];
		if (text_is_address(author->address))
			return true;
	}
	return false;
}

/* To be named only: nobody is verified by what was guessed. */
static GPtrArray *name_authors(const char *raw, size_t raw_bytes)
{
	g_autoptr(GPtrArray) authors = read_authors(raw, raw_bytes);
	if (any_has_address(authors))
		return g_steal_pointer(&authors);
	g_autoptr(GPtrArray) guessed = guess_authors(raw, raw_bytes);
	return guessed->len ? g_steal_pointer(&guessed) : g_steal_pointer(&authors);
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
		return text_clean(author->name, strlen(author->name), NAME_BYTES);
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

/* Appends what stands for a "{word}" of the pattern; false: it is none. */
static bool append_variable(GString *out, const char *word, size_t bytes,
	const char *name, const struct author *author, const char *gateway)
{
	const char *const words[] = { "{name}", "{address}", "{domain}", "{gateway}" };
	const char *address = author ? author->address : "";
	const char *const values[] = { name, address, text_domain(address), gateway };
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		if (bytes != strlen(words[i]) || strncmp(word, words[i], bytes) != 0)
			continue;
		g_autofree char *clean =
			text_clean(values[i], strlen(values[i]), NAME_BYTES);
		g_string_append(out, clean);
		return true;
	}
	return false;
}

/* What the pattern makes of an author. */
static char *expand(const char *pattern, const char *name, const struct author *author,
	const char *gateway)
{
	g_autoptr(GString) out = g_string_new(NULL);
	while (*pattern) {
		const char *close = *pattern == '{' ? strchr(pattern, '}') : NULL;
		size_t bytes = close ? (size_t)(close - pattern) + 1 : 1;
		if (!close ||
			!append_variable(out, pattern, bytes, name, author, gateway))
			g_string_append_len(out, pattern, (gssize)bytes);
		pattern += bytes;
	}
	return text_clean(out->str, out->len, SHOWN_BYTES);
}

/* Whether shown is what the pattern made of a name already. */
static bool is_expanded(const char *pattern, const char *shown,
	const struct author *author, const char *gateway)
{
	const char *at = strstr(pattern, "{name}");
	if (!at)
		return false;
	g_autofree char *head = g_strndup(pattern, (size_t)(at - pattern));
	g_autofree char *before = expand(head, "", author, gateway);
	g_autofree char *after = expand(at + strlen("{name}"), "", author, gateway);
	size_t bytes = strlen(shown);
	return (*before || *after) && bytes > strlen(before) + strlen(after) &&
	       g_str_has_prefix(shown, before) && g_str_has_suffix(shown, after);
}

/* What names the author beside sender->from; "" where nothing does. */
static char *word_name(const struct conf_sender *sender, const char *name,
	const struct author *author, bool several)
{
	const char *gateway = text_domain(sender->from);
	const char *pattern = pattern_of(sender);
	if (!*name || is_expanded(pattern, name, author, gateway))
		return g_strdup(name);
	g_autofree char *all = g_strconcat(name, several ? AND_OTHERS : "", NULL);
	return expand(pattern, all, author, gateway);
}

static char *word_from(const struct conf_sender *sender, const char *name,
	const struct author *author, bool several)
{
	g_autofree char *shown = word_name(sender, name, author, several);
	if (!*shown)
		return g_strdup_printf("<%s>", sender->from);
	g_autofree char *phrase = text_phrase(shown);
	return g_strdup_printf("%s <%s>", phrase, sender->from);
}

static bool is_common_form(const char *shown, const char *name, const char *quote)
{
	g_autofree char *form = g_strconcat(quote, name, quote, " via ", NULL);
	return g_str_has_prefix(shown, form);
}

/* Whether shown is a name that a gateway or a list made of name: by our pattern, or in
 * the common form, where it may stand in quotes. */
static bool is_made_of(const struct conf_sender *sender, const struct author *shown,
	const char *name, const struct author *author)
{
	static const char *const quotes[] = { "", "'", "\"" };
	const char *gateway = text_domain(shown->address);
	if (!*name || !*gateway)
		return false;
	g_autofree char *ours = expand(pattern_of(sender), name, author, gateway);
	g_autofree char *all = g_strconcat(name, AND_OTHERS, NULL);
	g_autofree char *of_several = expand(pattern_of(sender), all, author, gateway);
	if (!strcmp(shown->name, ours) || !strcmp(shown->name, of_several) ||
		is_common_form(shown->name, all, ""))
		return true;
	for (size_t i = 0; i < G_N_ELEMENTS(quotes); i++) {
		if (is_common_form(shown->name, name, quotes[i]))
			return true;
	}
	return false;
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

char *sender_original_text(const char *raw, size_t raw_bytes)
{
	g_autofree char *line = text_line(raw, MIN(raw_bytes, VALUE_BYTES));
	bool is_ascii = text_is_ascii(line, strlen(line));
	g_autofree char *text = is_ascii ? NULL : text_decode(line);
	const char *said = text ? text : line;
	g_autofree char *clean = text_clean(said, strlen(said), ORIGINAL_BYTES);
	if (!*clean)
		return NULL;
	return is_ascii ? g_steal_pointer(&clean) : text_unstructured(clean);
}

/* The authors in an X-Original-From, which is in encoded-words as a whole where it was
 * beyond ASCII: sender_original_text(). */
static GPtrArray *read_original(const char *raw, size_t raw_bytes)
{
	if (raw_bytes > VALUE_BYTES || memchr(raw, '@', raw_bytes))
		return name_authors(raw, raw_bytes);
	g_autofree char *line = text_line(raw, raw_bytes);
	g_autofree char *text = text_decode(line);
	return name_authors(text, strlen(text));
}

/* The author whom an earlier gateway has replaced by the one that authors
 * begin with; NULL: none did. */
static GPtrArray *read_earlier(const struct conf_sender *sender, const GPtrArray *authors,
	const char *earlier, size_t earlier_bytes)
{
	g_autoptr(GPtrArray) before = read_original(earlier, earlier_bytes);
	if (!before->len || authors->len != 1)
		return NULL;
	g_autofree char *name = shown_name(before->pdata[0]);
	return is_made_of(sender, authors->pdata[0], name, before->pdata[0])
		       ? g_steal_pointer(&before)
		       : NULL;
}

void sender_rewrite_init(struct sender_rewrite *rewrite, const struct conf_sender *sender,
	const char *raw, size_t raw_bytes, const char *earlier, size_t earlier_bytes)
{
	g_autoptr(GPtrArray) authors = name_authors(raw, raw_bytes);
	GPtrArray *before =
		earlier ? read_earlier(sender, authors, earlier, earlier_bytes) : NULL;
	rewrite->is_chained = before;
	if (before) {
		g_ptr_array_unref(authors);
		authors = before;
	}
	const struct author *first = authors->len ? authors->pdata[0] : NULL;
	g_autofree char *name =
		first ? shown_name(first) : name_of_nobody(raw, raw_bytes);
	rewrite->from = word_from(sender, name, first, authors->len > 1);
	rewrite->reply_to = word_reply_to(authors);
	rewrite->original_from = before ? NULL : sender_original_text(raw, raw_bytes);
}

void sender_rewrite_deinit(struct sender_rewrite *rewrite)
{
	g_clear_pointer(&rewrite->from, g_free);
	g_clear_pointer(&rewrite->reply_to, g_free);
	g_clear_pointer(&rewrite->original_from, g_free);
}
