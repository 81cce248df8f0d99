/* Judges address lists by a scanner of its own, and mends them by GMime, which reads what
 * people and devices write. */
#include "gateway/delivery/preflight_addresses.h"

#include "gateway/delivery/preflight_text.h"
#include "gateway/quoting.h"
#include "mime/encoded_words.h"
#include <gmime/gmime.h>
#include <string.h>

/* A longer list is not read at once: GMime's costs 60 times it. */
#define VALUE_BYTES_MAX 65536
#define GROUP_DEPTH     3
#define NAME_BYTES      400

/* --- the judge --- */

struct scan {
	const char *at, *end;
	bool bare_at; /* an "@" without quotes stands in the element's words */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Past the quoted string or comment that begins at s->at; false: it does not end. */
static bool skip_delimited(struct scan *s, char open, char close)
{
	unsigned depth = 0;
	for (; s->at < s->end; s->at++) {
		unsigned char c = (unsigned char)*s->at;
		if (c >= 0x80)
			return false;
		if (c == '\\') {
			s->at++;
		} else if (c == (unsigned char)close && depth && --depth == 0) {
			s->at++;
			return true;
		} else if (c == (unsigned char)open) {
			depth++;
		}
	}
	return false;
}

/* White space and comments. */
static bool skip_blanks(struct scan *s)
{
	while (s->at < s->end && (is_space(*s->at) || *s->at == '(')) {
		if (*s->at != '(')
			s->at++;
		else if (!skip_delimited(s, '(', ')'))
			return false;
	}
	return true;
}

static bool is_address_at(const char *at, const char *end)
{
	g_autofree char *address = g_strndup(at, (size_t)(end - at));
	return !memchr(at, '\0', (size_t)(end - at)) && text_is_address(address);
}

/* "<address>" and what may follow it. An "@" in the phrase before it, without quotes,
 * makes some readers take that for the author: fine only where it is the same address. */
static bool scan_angle(struct scan *s, const char *phrase, const char *phrase_end)
{
	const char *open = s->at;
	const char *close = memchr(open, '>', (size_t)(s->end - open));
	if (!close || !is_address_at(open + 1, close))
		return false;
	size_t bytes = (size_t)(close - open) - 1;
	if (s->bare_at && ((size_t)(phrase_end - phrase) != bytes ||
				  memcmp(phrase, open + 1, bytes) != 0))
		return false;
	s->at = close + 1;
	return skip_blanks(s) && (s->at == s->end || *s->at == ',' || *s->at == ';');
}

/* One word of a phrase or of an address without angle brackets. */
static bool scan_word(struct scan *s)
{
	const char *begin = s->at;
	while (s->at < s->end && !is_space(*s->at) && !strchr("(<>,;:", *s->at)) {
		if (*s->at < ' ' || *s->at > '~' || *s->at == ')')
			return false; /* beyond ASCII it is negative, or above */
		if (*s->at == '"') {
			if (!skip_delimited(s, '"', '"'))
				return false;
		} else if (*s->at == '[') {
			if (!skip_delimited(s, '[', ']'))
				return false;
		} else {
			s->bare_at = s->bare_at || *s->at == '@';
			s->at++;
		}
	}
	return s->at > begin;
}

/* What stands between two commas. */
static bool scan_element(struct scan *s, bool *in_group)
{
	const char *first = s->at, *last = s->at;
	unsigned words = 0;
	s->bare_at = false;
	for (;;) {
		if (!skip_blanks(s))
			return false;
		bool ends = s->at == s->end || *s->at == ',' || *s->at == ';';
		if (ends)
			return words == 1 && is_address_at(first, last);
		if (*s->at == '<')
			return scan_angle(s, first, last);
		if (*s->at == ':') {
			bool fits = !*in_group && words > 0;
			*in_group = true;
			s->at++;
			return fits;
		}
		if (words++ == 0)
			first = s->at;
		if (!scan_word(s))
			return false;
		last = s->at;
	}
}

bool addresses_are_sound(const char *raw, size_t raw_bytes)
{
	struct scan s = { raw, raw + raw_bytes, false };
	bool in_group = false, wanted = true; /* whether an element has to follow */
	for (;;) {
		if (!skip_blanks(&s))
			return false;
		if (s.at == s.end)
			return !wanted && !in_group;
		char c = *s.at;
		if (c == ';' && in_group) {
			in_group = wanted = false;
			s.at++;
		} else if (c == ',' && !wanted) {
			wanted = true;
			s.at++;
		} else if (c == ',' || c == ';' || !wanted) {
			return false;
		} else {
			if (!scan_element(&s, &in_group))
				return false;
			/* behind "name:" a member or the end of the group may follow */
			wanted = s.at[-1] == ':';
		}
	}
}

/* --- the mender --- */

/* ";" between addresses, as some devices and address books write, where no group can be
 * meant. */
static void mend_separators(char *text)
{
	bool quoted = false;
	if (strchr(text, ':'))
		return;
	for (; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (*text == ';' && !quoted)
			*text = ',';
	}
}

/* GMime reads no address whose local part wants quotes; g_free(). */
static char *quote_local_parts(const char *text)
{
	GString *out = g_string_new(NULL);
	bool quoted = false;
	while (*text) {
		size_t bytes = quoted ? 0 : quoting_span(text);
		bool needed = text[bytes] == '@' && quoting_is_needed(text, bytes);
		if (bytes) {
			g_string_append(out, needed ? "\"" : "");
			g_string_append_len(out, text, (gssize)bytes);
			g_string_append(out, needed ? "\"" : "");
			text += bytes;
			continue;
		}
		quoted ^= *text == '"';
		bytes = *text == '\\' && text[1] ? 2 : 1;
		g_string_append_len(out, text, (gssize)bytes);
		text += bytes;
	}
	return g_string_free(out, FALSE);
}

InternetAddressList *addresses_read(const char *raw, size_t raw_bytes)
{
	if (raw_bytes > VALUE_BYTES_MAX)
		return NULL;
	g_autofree char *text = text_line(raw, raw_bytes);
	mend_separators(text);
	g_autofree char *quoted = quote_local_parts(text);
	g_autoptr(GString) words = g_string_new(quoted);
	encoded_words_join(words);
	return internet_address_list_parse(NULL, words->str);
}

const char *addresses_ascii(InternetAddressMailbox *mailbox)
{
	const char *address = internet_address_mailbox_get_addr(mailbox);
	return !address || text_is_ascii(address, strlen(address))
		       ? address
		       : internet_address_mailbox_get_idn_addr(mailbox);
}

static const char *sendable_address(InternetAddress *entry)
{
	const char *address = addresses_ascii(INTERNET_ADDRESS_MAILBOX(entry));
	return address && text_is_address(address) ? address : NULL;
}

static bool has_sendable(InternetAddressList *list, unsigned depth)
{
	int count = list ? internet_address_list_length(list) : 0;
	for (int i = 0; i < count; i++) {
		InternetAddress *entry = internet_address_list_get_address(list, i);
		if (!INTERNET_ADDRESS_IS_GROUP(entry) && sendable_address(entry))
			return true;
		if (INTERNET_ADDRESS_IS_GROUP(entry) && depth < GROUP_DEPTH &&
			has_sendable(internet_address_group_get_members(
					     INTERNET_ADDRESS_GROUP(entry)),
				depth + 1))
			return true;
	}
	return false;
}

bool addresses_have_any(const char *raw, size_t raw_bytes)
{
	InternetAddressList *list = addresses_read(raw, raw_bytes);
	bool any = has_sendable(list, 0);
	g_clear_object(&list);
	return any;
}

static void append_separated(GString *out, const char *text)
{
	if (out->len && out->str[out->len - 1] != ':')
		g_string_append(out, ", ");
	else if (out->len)
		g_string_append_c(out, ' ');
	g_string_append(out, text);
}

/* Atoms need no quotes (RFC 5322, section 3.2.3). */
static bool is_atoms(const char *text)
{
	for (; *text; text++) {
		if (!g_ascii_isalnum(*text) && !strchr(" !#$%&'*+-/^_`{|}~", *text))
			return false;
	}
	return true;
}

static char *clean_phrase(const char *text)
{
	g_autofree char *clean = text_clean(text, strlen(text), NAME_BYTES);
	if (!*clean)
		return NULL;
	return is_atoms(clean) ? g_steal_pointer(&clean) : text_phrase(clean);
}

/* A group without members that says who it was. */
static void append_unsendable(GString *out, InternetAddress *entry)
{
	const char *name = internet_address_get_name(entry);
	const char *address =
		internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(entry));
	bool has_name = name && *name, has_address = address && *address;
	g_autofree char *text = has_name && has_address
					? g_strdup_printf("%s <%s>", name, address)
				: has_name    ? g_strdup(name)
				: has_address ? g_strdup(address)
					      : g_strdup("");
	g_autofree char *phrase = clean_phrase(text);
	if (!phrase)
		return;
	g_autofree char *group = g_strconcat(phrase, ":;", NULL);
	append_separated(out, group);
}

static void append_mailbox(GString *out, InternetAddress *entry)
{
	const char *name = internet_address_get_name(entry);
	const char *address = sendable_address(entry);
	g_autofree char *phrase = name ? clean_phrase(name) : NULL;
	g_autofree char *mailbox =
		phrase ? g_strdup_printf("%s <%s>", phrase, address) : g_strdup(address);
	append_separated(out, mailbox);
}

/* out: the list; aside: what cannot stand inside a group. */
static void append_list(
	GString *out, GString *aside, InternetAddressList *list, unsigned depth)
{
	int count = list ? internet_address_list_length(list) : 0;
	for (int i = 0; i < count; i++) {
		InternetAddress *entry = internet_address_list_get_address(list, i);
		if (!INTERNET_ADDRESS_IS_GROUP(entry)) {
			if (sendable_address(entry))
				append_mailbox(out, entry);
			else
				append_unsendable(depth ? aside : out, entry);
			continue;
		}
		const char *name = internet_address_get_name(entry);
		g_autofree char *phrase = name && !depth ? clean_phrase(name) : NULL;
		if (phrase) {
			append_separated(out, phrase);
			g_string_append_c(out, ':');
		}
		if (depth < GROUP_DEPTH)
			append_list(out, aside,
				internet_address_group_get_members(
					INTERNET_ADDRESS_GROUP(entry)),
				depth + 1);
		if (phrase)
			g_string_append_c(out, ';');
	}
}

/* Octets of a list that are read at once: all of a short one, of a long one those up to
 * the last end of an entry outside of groups; where none can be told, up to any comma. */
static size_t piece_bytes(const char *raw, size_t raw_bytes)
{
	size_t sure = 0, any = 0;
	char closes = '\0'; /* what ends the quotes, comment or brackets at hand */
	bool in_group = false;
	if (raw_bytes <= VALUE_BYTES_MAX)
		return raw_bytes;
	for (size_t i = 0; i < VALUE_BYTES_MAX; i++) {
		char c = raw[i];
		any = c == ',' ? i + 1 : any;
		if (c == '\\') {
			i++;
		} else if (closes) {
			closes = c == closes ? '\0' : closes;
		} else if (c == ',' || c == ';') {
			in_group = in_group && c != ';';
			sure = in_group ? sure : i + 1;
		} else {
			closes = c == '"'   ? '"'
				 : c == '(' ? ')'
				 : c == '<' ? '>'
				 : c == '[' ? ']'
					    : '\0';
			in_group = in_group || c == ':';
		}
	}
	return sure ? sure : any ? any : VALUE_BYTES_MAX;
}

char *addresses_repair(const char *raw, size_t raw_bytes)
{
	g_autoptr(GString) out = g_string_new(NULL);
	g_autoptr(GString) aside = g_string_new(NULL);
	for (size_t at = 0, bytes; at < raw_bytes; at += bytes) {
		bytes = piece_bytes(raw + at, raw_bytes - at);
		InternetAddressList *list = addresses_read(raw + at, bytes);
		append_list(out, aside, list, 0);
		g_clear_object(&list);
	}
	if (aside->len)
		append_separated(out, aside->str);
	if (out->len)
		return g_strdup(out->str);
	g_autofree char *clean = text_clean(raw, raw_bytes, NAME_BYTES);
	g_autofree char *phrase = *clean ? text_phrase(clean) : NULL;
	return phrase ? g_strconcat(phrase, ":;", NULL) : NULL;
}
