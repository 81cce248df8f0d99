/*
 * html - a tokenizer for HTML bodies, and what body.c and policy.c ask of it.
 * Leaves to block.c what is inserted.
 */
#include "mime/html.h"

#include <stdint.h>
#include <string.h>

enum { ID_MAX_BYTES = 1000, HIDING_MAX = 64 };

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

/* By its first character: what is looked for is short and near, the text behind is long.
 */
static size_t find(const struct html_scanner *scanner, size_t at, const char *what)
{
	size_t n = strlen(what);

	while (at < scanner->length) {
		const char *found =
			memchr(scanner->text + at, what[0], scanner->length - at);

		if (found == NULL)
			break;
		at = (size_t)(found - scanner->text);
		if (scanner->length - at >= n && memcmp(found, what, n) == 0)
			return at;
		at++;
	}
	return scanner->length;
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

/* Where the raw text from at on ends. A script in "<!-- ... -->"
 * may hold another's tags. */
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
	size_t frames = SIZE_MAX, end = 0;
	bool hides = false;

	html_scanner_init(&scanner, text, length);
	while (html_next(&scanner, &token)) {
		if (token.type == HTML_END_TAG && !token.unclosed) {
			if (name_is(token.name, token.name_bytes, "body"))
				body = token.start;
			else if (name_is(token.name, token.name_bytes, "html"))
				html = token.start;
		}
		if (token.type == HTML_START_TAG && frames == SIZE_MAX &&
			name_is(token.name, token.name_bytes, "frameset"))
			frames = token.start;
		/* Raw text and its end tag hide what is put before them as well. */
		hides = token.type == HTML_RAW || (hides && token.start == end);
		if (token.unclosed && unclosed == SIZE_MAX)
			unclosed = hides ? last_tag : token.start;
		if (!hides)
			last_tag = token.start;
		else if (token.type != HTML_RAW)
			hides = false;
		end = token.end;
	}
	/* The first two characters of what would be a comment with more behind them. */
	if (unclosed == SIZE_MAX && length - end >= 2 &&
		memcmp(text + length - 2, "</", 2) == 0)
		unclosed = length - 2;
	if (body != SIZE_MAX)
		return body;
	/* A frameset shows nothing else, but what stands before it makes it a body. */
	if (frames != SIZE_MAX)
		return frames;
	if (html != SIZE_MAX)
		return html;
	return unclosed != SIZE_MAX ? unclosed : length;
}

size_t html_top_of_body(const char *text, size_t length)
{
	struct html_scanner scanner;
	struct html_token token;
	size_t head = SIZE_MAX, first = 0;

	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		first = 3;
	html_scanner_init(&scanner, text, length);
	while (html_next(&scanner, &token)) {
		bool start = token.type == HTML_START_TAG;

		if (token.unclosed || token.type == HTML_RAW)
			continue;
		if (start && name_is(token.name, token.name_bytes, "body"))
			return token.end;
		if (start && name_is(token.name, token.name_bytes, "html"))
			first = token.end;
		/* <!DOCTYPE>: what stands before it would undo it. */
		if (token.type == HTML_COMMENT && text[token.start + 1] == '!' &&
			starts_at(&scanner, token.start + 2, "doctype"))
			first = MAX(first, token.end);
		if (token.type == HTML_END_TAG && head == SIZE_MAX &&
			name_is(token.name, token.name_bytes, "head"))
			head = token.end;
	}
	return head != SIZE_MAX ? head : first;
}

bool html_next_attribute(
	const char *text, size_t end, size_t *at, struct html_attribute *a)
{
	size_t i = *at;

	while (i < end && (g_ascii_isspace(text[i]) || text[i] == '/'))
		i++;
	if (i >= end || text[i] == '>')
		return false;
	*a = (struct html_attribute){ .name = text + i, .value = "" };
	for (i++; i < end && !g_ascii_isspace(text[i]); i++)
		if (strchr("=/>", text[i]) != NULL)
			break;
	a->name_bytes = (size_t)(text + i - a->name);
	while (i < end && g_ascii_isspace(text[i]))
		i++;
	*at = i;
	if (i >= end || text[i] != '=')
		return true;
	for (i++; i < end && g_ascii_isspace(text[i]);)
		i++;
	if (i < end && (text[i] == '"' || text[i] == '\'')) {
		const char *quote = memchr(text + i + 1, text[i], end - i - 1);

		a->value = text + i + 1;
		a->quoted = true;
		*at = quote != NULL ? (size_t)(quote - text) + 1 : end;
		a->value_bytes = (size_t)(text + *at - a->value) - (quote != NULL);
		return true;
	}
	a->value = text + i;
	while (i < end && !g_ascii_isspace(text[i]) && text[i] != '>')
		i++;
	a->value_bytes = (size_t)(text + i - a->value);
	*at = i;
	return true;
}

/* Does a style sheet's declaration take what it applies to out of sight? */
static bool style_hides(const struct html_attribute *style)
{
	static const char *const words[] = { "display:none", "visibility:hidden",
		"mso-hide:all" };
	static const char *const zeros[] = { "font-size:0", "max-height:0", "opacity:0" };
	g_autoptr(GString) text = g_string_new(NULL);

	for (size_t i = 0; i < style->value_bytes; i++)
		if (!g_ascii_isspace(style->value[i]))
			g_string_append_c(text, g_ascii_tolower(style->value[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		if (strstr(text->str, words[i]) != NULL)
			return true;
	for (size_t i = 0; i < G_N_ELEMENTS(zeros); i++) {
		const char *found = strstr(text->str, zeros[i]);

		if (found != NULL && found[strlen(zeros[i])] != '.')
			return true;
	}
	return false;
}

/* Elements in which a table of links would not be seen, or not as one. */
static bool element_hides(
	const struct html_scanner *scanner, const struct html_token *tag)
{
	static const char *const names[] = { "a", "audio", "button", "canvas", "datalist",
		"details", "dialog", "math", "noscript", "object", "option", "select",
		"svg", "template", "video" };
	struct html_attribute attribute;
	size_t at = (size_t)(tag->name - scanner->text) + tag->name_bytes;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (name_is(tag->name, tag->name_bytes, names[i]))
			return true;
	while (html_next_attribute(scanner->text, tag->end, &at, &attribute))
		if (name_is(attribute.name, attribute.name_bytes, "hidden") ||
			(name_is(attribute.name, attribute.name_bytes, "style") &&
				style_hides(&attribute)))
			return true;
	return false;
}

static bool is_void(const struct html_token *tag)
{
	static const char *const names[] = { "area", "base", "br", "col", "embed", "hr",
		"img", "input", "link", "meta", "param", "source", "track", "wbr", "html",
		"body" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (name_is(tag->name, tag->name_bytes, names[i]))
			return true;
	return false;
}

/* An element that hides what is in it, and how many of its name are open since. */
struct hiding {
	const char *name;
	size_t name_bytes, open;
};

static void follow_hiding(const struct html_scanner *scanner,
	const struct html_token *tag, struct hiding *stack, size_t *n)
{
	if (tag->type == HTML_END_TAG) {
		for (size_t i = *n; i-- > 0;) {
			if (stack[i].name_bytes != tag->name_bytes ||
				g_ascii_strncasecmp(
					stack[i].name, tag->name, tag->name_bytes) != 0)
				continue;
			if (--stack[i].open == 0)
				*n = i;
			return;
		}
		return;
	}
	for (size_t i = *n; i-- > 0;) {
		if (stack[i].name_bytes == tag->name_bytes &&
			g_ascii_strncasecmp(stack[i].name, tag->name, tag->name_bytes) ==
				0) {
			/* A link or an option ends the one before it. */
			if (!name_is(tag->name, tag->name_bytes, "a") &&
				!name_is(tag->name, tag->name_bytes, "option"))
				stack[i].open++;
			return;
		}
	}
	if (*n < HIDING_MAX && !is_void(tag) && element_hides(scanner, tag))
		stack[(*n)++] = (struct hiding){ tag->name, tag->name_bytes, 1 };
}

GString *html_close_hiding(const char *text, size_t at)
{
	struct html_scanner scanner;
	struct html_token token;
	struct hiding stack[HIDING_MAX];
	GString *tags = g_string_new(NULL);
	size_t n = 0;

	html_scanner_init(&scanner, text, at);
	while (html_next(&scanner, &token))
		if ((token.type == HTML_START_TAG || token.type == HTML_END_TAG) &&
			!token.unclosed)
			follow_hiding(&scanner, &token, stack, &n);
	while (n-- > 0) {
		for (size_t i = 0; i < MIN(stack[n].open, HIDING_MAX); i++) {
			g_string_append(tags, "</");
			g_string_append_len(
				tags, stack[n].name, (gssize)stack[n].name_bytes);
			g_string_append_c(tags, '>');
		}
	}
	return tags;
}

/* "&#64;", "&#x40;" or "&amp;" at text: its length, and the ASCII
 * character it stands for; else 0. */
static size_t character_reference(const char *text, size_t length, char *c)
{
	size_t at = 2, digits;
	unsigned value = 0;
	bool hex;

	if (length >= 5 && g_ascii_strncasecmp(text, "&amp;", 5) == 0) {
		*c = '&';
		return 5;
	}
	if (length < 4 || text[1] != '#')
		return 0;
	hex = text[2] == 'x' || text[2] == 'X';
	at += hex;
	for (digits = 0; at < length && digits < 5; at++, digits++) {
		int digit = hex ? g_ascii_xdigit_value(text[at])
				: g_ascii_digit_value(text[at]);

		if (digit < 0)
			break;
		value = value * (hex ? 16 : 10) + (unsigned)digit;
	}
	if (digits == 0 || at == length || text[at] != ';' || value <= ' ' || value > '~')
		return 0;
	*c = (char)value;
	return at + 1;
}

char *html_decode_id(const char *text, size_t length)
{
	GString *id = g_string_sized_new(length);

	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		size_t n = c == '&' ? character_reference(text + i, length - i, &c) : 0;

		if (n > 0)
			i += n - 1;
		if (c == '%' && n == 0 && length - i > 2 &&
			g_ascii_isxdigit(text[i + 1]) && g_ascii_isxdigit(text[i + 2])) {
			c = (char)(g_ascii_xdigit_value(text[i + 1]) << 4 |
				   g_ascii_xdigit_value(text[i + 2]));
			i += 2;
		}
		g_string_append_c(id, g_ascii_tolower(c));
	}
	return g_string_free(id, FALSE);
}

/* A quotation mark, bare or as a reference, at text: its length, else 0. */
static size_t quote_at(const char *text, size_t length)
{
	static const char *const quotes[] = { "\"", "'", "&quot;", "&apos;", "&#34;",
		"&#39;", "&#x22;", "&#x27;" };

	for (size_t i = 0; i < G_N_ELEMENTS(quotes); i++) {
		size_t n = strlen(quotes[i]);

		if (length >= n && g_ascii_strncasecmp(text, quotes[i], n) == 0)
			return n;
	}
	return 0;
}

/* The quotation mark that ends right before text + at: its length, else 0. */
static size_t quote_before(const char *text, size_t at)
{
	for (size_t n = 1; n <= 6 && n <= at; n++)
		if (quote_at(text + at - n, n) == n)
			return n;
	return 0;
}

/* Where the id that begins at text + at ends: within quotes at the next like them, for
 * ids may hold blanks and parentheses; else where an unquoted value or url() does. */
static size_t end_of_id(const char *text, size_t length, size_t at, size_t cid)
{
	size_t quote = quote_before(text, cid), end;

	for (end = at; quote > 0 && end < length && end - at < ID_MAX_BYTES; end++) {
		if (text[end] == '<' || text[end] == '>')
			break;
		if (length - end >= quote &&
			memcmp(text + end, text + cid - quote, quote) == 0) {
			while (end > at && g_ascii_isspace(text[end - 1]))
				end--;
			return end;
		}
	}
	for (end = at; end < length; end++)
		if (g_ascii_isspace(text[end]) || strchr("<>)", text[end]) != NULL ||
			quote_at(text + end, length - end) > 0)
			break;
	return end;
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
		end = end_of_id(text, length, place + 1, place - 3);
		if (end == place + 1)
			continue;
		*start = place - 3;
		*id = html_decode_id(text + place + 1, end - place - 1);
		*at = end;
		return true;
	}
	return false;
}

bool html_next_location(
	const char *text, size_t length, const char *location, size_t *at, size_t *start)
{
	const struct html_scanner scanner = { .text = text, .length = length };
	size_t bytes = strlen(location), found = *at;

	for (; (found = find(&scanner, found, location)) < length; found++) {
		size_t end = found + bytes;

		if (found == 0 || strchr("\"'(= ;", text[found - 1]) == NULL)
			continue;
		if (end < length && !g_ascii_isspace(text[end]) &&
			strchr("\"')>&#", text[end]) == NULL)
			continue;
		*start = found;
		*at = end;
		return true;
	}
	return false;
}
