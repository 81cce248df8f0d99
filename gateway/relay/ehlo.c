/* Keywords of RFC 5321, section 4.1.1.1, and of the extensions that
 * the relay client uses. */
#include "gateway/relay/ehlo.h"

#include <glib.h>
#include <stddef.h>
#include <string.h>

#define BLANKS " \t\r"

static const struct {
	const char *keyword;
	size_t offset;
} keywords[] = {
	{ "STARTTLS", offsetof(struct ehlo, starttls) },
	{ "PIPELINING", offsetof(struct ehlo, pipelining) },
	{ "8BITMIME", offsetof(struct ehlo, body_8bit) },
	{ "SMTPUTF8", offsetof(struct ehlo, smtputf8) },
	{ "DSN", offsetof(struct ehlo, dsn) },
	{ "SIZE", offsetof(struct ehlo, size) },
};
static const struct {
	const char *name;
	size_t offset;
} mechanisms[] = {
	{ "PLAIN", offsetof(struct ehlo, auth_plain) },
	{ "LOGIN", offsetof(struct ehlo, auth_login) },
};

struct word {
	const char *at;
	size_t bytes;
};

/* The next word before end; bytes 0: none. */
static struct word next_word(const char *at, const char *end)
{
	while (at < end && strchr(BLANKS, *at))
		at++;
	const char *stop = at;
	while (stop < end && !strchr(BLANKS, *stop))
		stop++;
	return (struct word){ at, (size_t)(stop - at) };
}

static bool word_is(struct word word, const char *name)
{
	return word.bytes == strlen(name) &&
	       !g_ascii_strncasecmp(word.at, name, word.bytes);
}

static void set_flag(struct ehlo *ehlo, size_t offset)
{
	*(bool *)(void *)((char *)ehlo + offset) = true;
}

static void parse_mechanisms(struct ehlo *ehlo, const char *at, const char *end)
{
	for (struct word w = next_word(at, end); w.bytes;
		w = next_word(w.at + w.bytes, end)) {
		for (size_t i = 0; i < G_N_ELEMENTS(mechanisms); i++) {
			if (word_is(w, mechanisms[i].name))
				set_flag(ehlo, mechanisms[i].offset);
		}
	}
}

/* A number that is none, or too large to be meant, is no limit. */
static uint64_t parse_size(struct word word)
{
	uint64_t value = 0;
	if (word.bytes > 18)
		return 0;
	for (size_t i = 0; i < word.bytes; i++) {
		if (!g_ascii_isdigit(word.at[i]))
			return 0;
		value = value * 10 + (uint64_t)(word.at[i] - '0');
	}
	return value;
}

static void parse_line(struct ehlo *ehlo, const char *line, const char *end)
{
	struct word keyword = next_word(line, end);
	const char *rest = keyword.at + keyword.bytes;
	for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++) {
		if (word_is(keyword, keywords[i].keyword))
			set_flag(ehlo, keywords[i].offset);
	}
	if (word_is(keyword, "SIZE"))
		ehlo->max_bytes = parse_size(next_word(rest, end));
	else if (word_is(keyword, "AUTH"))
		parse_mechanisms(ehlo, rest, end);
	else if (keyword.bytes > 5 && !g_ascii_strncasecmp(keyword.at, "AUTH=", 5))
		parse_mechanisms(ehlo, keyword.at + 5, end); /* as before RFC 2554 */
}

void ehlo_parse(struct ehlo *ehlo, const char *text)
{
	*ehlo = (struct ehlo){ 0 };
	for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
		line++;
		parse_line(ehlo, line, strchrnul(line, '\n'));
	}
}
