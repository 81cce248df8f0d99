/*
 * html - a tokenizer for HTML bodies, and what body.c and policy.c ask of it.
 * Leaves to block.c what is inserted.
 */
#include "mime/html.h"

#include <stdint.h>
#include <string.h>

void html_scanner_init(struct html_scanner *scanner, const char *text, size_t length)
{
	*scanner = (struct html_scanner){ .text = text, .length = length };
}

static bool starts_at(const struct html_scanner *scanner, size_t at, const char *lower)
{
	size_t n = strlen(lower);

	return at <= scanner->length && scanner->length - at >= n &&
	       g_ascii_strncasecmp(scanner->text + at, lower, n) == 0;
}

static size_t find(const struct html_scanner *scanner, size_t at, const char *what)
{
	const char *found;

	if (at >= scanner->length)
		return scanner->length;
	found = memmem(scanner->text + at, scanner->length - at, what, strlen(what));
	return found != NULL ? (size_t)(found - scanner->text) : scanner->length;
}

static bool name_is(const char *name, size_t length, const char *lower)
{
	return strlen(lower) == length && g_ascii_strncasecmp(name, lower, length) == 0;
}

static bool holds_raw_text(const char *name, size_t length)
{
	static const char *const elements[] = { "style", "script", "title", "textarea",
		"xmp", "iframe", "noembed", "noframes", "plaintext" };

	for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
		if (name_is(name, length, elements[i]))
			return true;
	return false;
}

static bool ends_name(char c)
{
	return g_ascii_isspace(c) || c == '/' || c == '>';
}

enum attribute_state { BEFORE_NAME, IN_NAME, AFTER_NAME, BEFORE_VALUE, IN_VALUE };

/* The state behind one character that is no '>' and opens no quoted value. */
static enum attribute_state next_state(enum attribute_state state, char c)
{
	bool blank = g_ascii_isspace(c);

	switch (state) {
	case BEFORE_NAME:
		return blank || c == '/' ? BEFORE_NAME : IN_NAME;
	case IN_NAME:
	case AFTER_NAME:
		if (c == '=')
			return BEFORE_VALUE;
		if (c == '/')
			return BEFORE_NAME;
		return blank ? AFTER_NAME : IN_NAME;
	case BEFORE_VALUE:
		return blank ? BEFORE_VALUE : IN_VALUE;
	default:
		return blank ? BEFORE_NAME : IN_VALUE;
	}
}

/* Behind a tag name: over the attributes to the '>' that is in no quotes. */
static size_t end_of_tag(const struct html_scanner *scanner, size_t at, bool *unclosed)
{
	const char *text = scanner->text;
	enum attribute_state state = BEFORE_NAME;

	*unclosed = false;
	for (; at < scanner->length; at++) {
		char c = text[at];

		if (c == '>')
			return at + 1;
		if (state == BEFORE_VALUE && (c == '"' || c == '\'')) {
			const char *end =
				memchr(text + at + 1, c, scanner->length - at - 1);

			if (end == NULL)
				break;
			at = (size_t)(end - text);
			state = BEFORE_NAME;
		} else {
			state = next_state(state, c);
		}
	}
	*unclosed = true;
	return scanner->length;
}

/* A comment from its "<!--" on. */
static size_t end_of_comment(
	const struct html_scanner *scanner, size_t at, bool *unclosed)
{
	*unclosed = false;
	if (starts_at(scanner, at + 4, ">"))
		return at + 5;
	if (starts_at(scanner, at + 4, "->"))
		return at + 6;
	for (at = find(scanner, at + 4, "--"); at < scanner->length;
		at = find(scanner, at + 1, "--")) {
		if (starts_at(scanner, at, "-->"))
			return at + 3;
		if (starts_at(scanner, at, "--!>"))
			return at + 4;
	}
	*unclosed = true;
	return scanner->length;
}

static size_t end_of_bogus(const struct html_scanner *scanner, size_t at, bool *unclosed)
{
	size_t end = find(scanner, at, ">");

	*unclosed = end == scanner->length;
	return *unclosed ? end : end + 1;
}

/* At '<': fills token when a tag or comment begins there. */
static bool scan_markup(struct html_scanner *scanner, size_t at, struct html_token *token)
{
	const char *text = scanner->text;
	size_t name = at + 1;

	*token = (struct html_token){ .type = HTML_COMMENT, .start = at };
	if (starts_at(scanner, at, "<!--")) {
		token->end = end_of_comment(scanner, at, &token->unclosed);
		return true;
	}
	if (name >= scanner->length)
		return false;
	if (text[name] == '!' || text[name] == '?') {
		token->end = end_of_bogus(scanner, at, &token->unclosed);
		return true;
	}
	token->type = HTML_START_TAG;
	if (text[name] == '/') {
		token->type = HTML_END_TAG;
		name++;
	}
	if (name >= scanner->length)
		return false;
	if (!g_ascii_isalpha(text[name])) {
		if (token->type == HTML_START_TAG)
			return false;
		token->type = HTML_COMMENT;
		token->end = end_of_bogus(scanner, at, &token->unclosed);
		return true;
	}
	token->name = text + name;
	while (name < scanner->length && !ends_name(text[name]))
		name++;
	token->name_bytes = (size_t)(text + name - token->name);
	token->end = end_of_tag(scanner, name, &token->unclosed);
	return true;
}

/* "<name" or "</name" of the raw element, with the end of the name behind it. */
static bool is_raw_tag(const struct html_scanner *scanner, size_t at, bool closing)
{
	size_t name = at + (closing ? 2 : 1);

	if (closing && !starts_at(scanner, at, "</"))
		return false;
	if (scanner->length <= name || scanner->length - name <= scanner->raw_bytes)
		return false;
	return g_ascii_strncasecmp(
		       scanner->text + name, scanner->raw, scanner->raw_bytes) == 0 &&
	       ends_name(scanner->text[name + scanner->raw_bytes]);
}

/* Where the raw text from at on ends. A script in "<!-- ... -->" may hold another's tags.
 */
static size_t end_of_raw(const struct html_scanner *scanner, size_t at)
{
	bool script = name_is(scanner->raw, scanner->raw_bytes, "script");
	bool escaped = false, nested = false;

	if (name_is(scanner->raw, scanner->raw_bytes, "plaintext"))
		return scanner->length;
	for (; at < scanner->length; at++) {
		if (escaped && scanner->text[at] == '-' && starts_at(scanner, at, "-->"))
			escaped = nested = false;
		if (scanner->text[at] != '<')
			continue;
		if (is_raw_tag(scanner, at, true)) {
			if (!nested)
				return at;
			nested = false;
		} else if (script && starts_at(scanner, at, "<!--")) {
			escaped = true;
		} else if (script && escaped && is_raw_tag(scanner, at, false)) {
			nested = true;
		}
	}
	return scanner->length;
}

static bool scan_raw(struct html_scanner *scanner, struct html_token *token)
{
	*token = (struct html_token){
		.type = HTML_RAW,
		.start = scanner->at,
		.end = end_of_raw(scanner, scanner->at),
		.name = scanner->raw,
		.name_bytes = scanner->raw_bytes,
	};
	token->unclosed = token->end == scanner->length;
	scanner->raw = NULL;
	scanner->at = token->end;
	return true;
}

bool html_next(struct html_scanner *scanner, struct html_token *token)
{
	if (scanner->raw != NULL)
		return scan_raw(scanner, token);
	while (scanner->at < scanner->length) {
		scanner->at = find(scanner, scanner->at, "<");
		if (scanner->at == scanner->length)
			return false;
		if (!scan_markup(scanner, scanner->at, token)) {
			scanner->at++;
			continue;
		}
		scanner->at = token->end;
		if (token->type == HTML_START_TAG && !token->unclosed &&
			holds_raw_text(token->name, token->name_bytes)) {
			scanner->raw = token->name;
			scanner->raw_bytes = token->name_bytes;
		}
		return true;
	}
	return false;
}

size_t html_end_of_body(const char *text, size_t length)
{
	struct html_scanner scanner;
	struct html_token token;
	size_t body = SIZE_MAX, html = SIZE_MAX, unclosed = SIZE_MAX, last_tag = 0;

	html_scanner_init(&scanner, text, length);
	while (html_next(&scanner, &token)) {
		if (token.type == HTML_END_TAG && !token.unclosed) {
			if (name_is(token.name, token.name_bytes, "body"))
				body = token.start;
			else if (name_is(token.name, token.name_bytes, "html"))
				html = token.start;
		}
		if (token.unclosed && unclosed == SIZE_MAX)
			unclosed = token.type == HTML_RAW ? last_tag : token.start;
		last_tag = token.start;
	}
	if (body != SIZE_MAX)
		return body;
	if (html != SIZE_MAX)
		return html;
	return unclosed != SIZE_MAX ? unclosed : length;
}

size_t html_top_of_body(const char *text, size_t length)
{
	struct html_scanner scanner;
	struct html_token token;
	size_t head = SIZE_MAX;

	html_scanner_init(&scanner, text, length);
	while (html_next(&scanner, &token)) {
		if (token.unclosed || token.type == HTML_COMMENT ||
			token.type == HTML_RAW)
			continue;
		if (token.type == HTML_START_TAG &&
			name_is(token.name, token.name_bytes, "body"))
			return token.end;
		if (token.type == HTML_END_TAG && head == SIZE_MAX &&
			name_is(token.name, token.name_bytes, "head"))
			head = token.end;
	}
	return head != SIZE_MAX ? head : html_end_of_body(text, length);
}

char *html_decode_id(const char *text, size_t length)
{
	GString *id = g_string_sized_new(length);

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '%' && length - i > 2 && g_ascii_isxdigit(text[i + 1]) &&
			g_ascii_isxdigit(text[i + 2])) {
			c = (char)(g_ascii_xdigit_value(text[i + 1]) << 4 |
				   g_ascii_xdigit_value(text[i + 2]));
			i += 2;
		} else if (c == '&' && length - i > 4 &&
			   g_ascii_strncasecmp(text + i, "&amp;", 5) == 0) {
			i += 4;
		}
		g_string_append_c(id, g_ascii_tolower(c));
	}
	return g_string_free(id, FALSE);
}

bool html_next_cid(const char *text, size_t length, size_t *at, size_t *start, char **id)
{
	while (*at + 4 <= length) {
		const char *colon = memchr(text + *at, ':', length - *at);
		size_t place, end;

		if (colon == NULL)
			return false;
		place = (size_t)(colon - text);
		*at = place + 1;
		if (place < 3 || g_ascii_strncasecmp(colon - 3, "cid", 3) != 0)
			continue;
		for (end = place + 1; end < length; end++)
			if (g_ascii_isspace(text[end]) ||
				strchr("\"'<>)", text[end]) != NULL)
				break;
		if (end == place + 1)
			continue;
		*start = place - 3;
		*id = html_decode_id(text + place + 1, end - place - 1);
		*at = end;
		return true;
	}
	return false;
}

bool html_refers_to(const char *text, size_t length, const char *location)
{
	size_t bytes = strlen(location);
	const char *end = text + length;

	for (const char *p = text;
		(p = memmem(p, (size_t)(end - p), location, bytes)) != NULL; p++)
		if (p > text && strchr("\"'(= ", p[-1]) != NULL)
			return true;
	return false;
}
