/* Recursive-descent parsing of paths, one short function per production; no recursion
 * occurs, since the grammar has none. What the addresses mean is the policy's. */
#include "gateway/smtp/address.h"

#include "gateway/idn.h"

#include <arpa/inet.h>

#define LOCAL_PART_BYTES_MAX 64
#define DOMAIN_BYTES_MAX     255
#define LABEL_CHARACTERS_MAX 63
#define PATH_BYTES_MAX       256 /* with the angle brackets */

struct cursor {
	const char *at, *end;
	unsigned flags, forgiven;
};

static bool take(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static bool is_beyond_ascii(const struct cursor *cursor)
{
	return cursor->at < cursor->end && *cursor->at & 0x80;
}

/* One character beyond ASCII that is no control character. */
static bool take_utf8(struct cursor *cursor)
{
	if (!(cursor->flags & PATH_UTF8) || !is_beyond_ascii(cursor))
		return false;
	gunichar c = g_utf8_get_char_validated(cursor->at, cursor->end - cursor->at);
	if (c >= (gunichar)-2 || g_unichar_iscntrl(c))
		return false;
	cursor->at = g_utf8_next_char(cursor->at);
	return true;
}

static bool is_atext(char c)
{
	return g_ascii_isalnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* The underscore is no letter of a domain in the RFC, but is one in
 * many a device's name. */
static bool is_label_byte(char c)
{
	return g_ascii_isalnum(c) || c == '-' || c == '_';
}

static bool parse_label(struct cursor *cursor)
{
	const char *start = cursor->at;
	while (cursor->at < cursor->end && is_label_byte(*cursor->at))
		cursor->at++;
	while (take_utf8(cursor)) {
		while (cursor->at < cursor->end && is_label_byte(*cursor->at))
			cursor->at++;
	}
	size_t bytes = (size_t)(cursor->at - start);
	return bytes && g_utf8_strlen(start, (gssize)bytes) <= LABEL_CHARACTERS_MAX &&
	       *start != '-' && cursor->at[-1] != '-';
}

static bool parse_domain_name(struct cursor *cursor)
{
	do {
		if (!parse_label(cursor))
			return false;
	} while (take(cursor, '.'));
	return true;
}

/* Standardized-tag ":" 1*dcontent */
static bool is_general_literal(const char *text)
{
	const char *colon = strchr(text, ':');
	if (!colon || colon == text || !colon[1] || !g_ascii_isalnum(colon[-1]))
		return false;
	for (const char *c = text; c < colon; c++) {
		if (!g_ascii_isalnum(*c) && *c != '-')
			return false;
	}
	return true;
}

static bool parse_literal(struct cursor *cursor)
{
	char text[DOMAIN_BYTES_MAX + 1];
	size_t bytes = 0;
	for (; cursor->at < cursor->end && *cursor->at != ']'; cursor->at++) {
		char c = *cursor->at;
		if (c < 33 || c > 126 || c == '[' || c == '\\' ||
			bytes == DOMAIN_BYTES_MAX)
			return false;
		text[bytes++] = c;
	}
	text[bytes] = '\0';
	if (!take(cursor, ']'))
		return false;
	struct in6_addr binary;
	if (!g_ascii_strncasecmp(text, "IPv6:", 5))
		return inet_pton(AF_INET6, text + 5, &binary) == 1;
	return inet_pton(AF_INET, text, &binary) == 1 || is_general_literal(text);
}

/* Whether the DNS could know it: its labels have A-labels (RFC 5890). */
static bool has_ascii_form(struct slice domain)
{
	g_autofree char *address =
		g_strdup_printf("a@%.*s", (int)domain.bytes, domain.start);
	g_autofree char *ascii = idn_address(address);
	return ascii && strlen(ascii) <= strlen("a@") + DOMAIN_BYTES_MAX;
}

static enum smtp_path_status parse_domain(struct cursor *cursor)
{
	const char *start = cursor->at;
	bool good = take(cursor, '[') ? parse_literal(cursor) : parse_domain_name(cursor);
	if (!good)
		return PATH_SYNTAX;
	struct slice domain = { start, (size_t)(cursor->at - start) };
	if (domain.bytes > DOMAIN_BYTES_MAX)
		return PATH_TOO_LONG;
	return slice_is_ascii(domain) || has_ascii_form(domain) ? PATH_OK : PATH_SYNTAX;
}

/* A-d-l: "@" domain *( "," "@" domain ) ":" */
static bool skip_route(struct cursor *cursor)
{
	do {
		if (!take(cursor, '@') || parse_domain(cursor) != PATH_OK)
			return false;
	} while (take(cursor, ','));
	return take(cursor, ':');
}

static bool is_dot_string(const char *text, size_t bytes, bool lenient)
{
	for (size_t i = 0; i < bytes; i++) {
		bool misplaced = i == 0 || i == bytes - 1 || text[i - 1] == '.';
		bool is_text = is_atext(text[i]) || text[i] & 0x80;
		if (text[i] == '.' ? misplaced && !lenient : !is_text)
			return false;
	}
	return bytes > 0;
}

static bool take_atext(struct cursor *cursor)
{
	if (cursor->at == cursor->end || !is_atext(*cursor->at))
		return take_utf8(cursor);
	cursor->at++;
	return true;
}

static bool parse_dot_string(struct cursor *cursor, GString *out)
{
	const char *start = cursor->at;
	while (take_atext(cursor) || take(cursor, '.'))
		continue;
	g_string_append_len(out, start, cursor->at - start);
	return is_dot_string(
		start, (size_t)(cursor->at - start), cursor->flags & PATH_LENIENT);
}

/* What may stand in quotes, behind a backslash or not. */
static bool take_qtext(struct cursor *cursor)
{
	if (cursor->at == cursor->end || *cursor->at < 32 || *cursor->at > 126)
		return take_utf8(cursor);
	cursor->at++;
	return true;
}

static void append_quoted(GString *out, const char *text, size_t bytes)
{
	g_string_append_c(out, '"');
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '"' || text[i] == '\\')
			g_string_append_c(out, '\\');
		g_string_append_c(out, text[i]);
	}
	g_string_append_c(out, '"');
}

/* The opening quote has been taken. */
static bool parse_quoted(struct cursor *cursor, GString *out)
{
	g_autoptr(GString) text = g_string_sized_new(LOCAL_PART_BYTES_MAX);
	while (!take(cursor, '"')) {
		take(cursor, '\\');
		const char *start = cursor->at;
		if (!take_qtext(cursor))
			return false;
		g_string_append_len(text, start, cursor->at - start);
	}
	if (is_dot_string(text->str, text->len, false))
		g_string_append_len(out, text->str, (gssize)text->len);
	else
		append_quoted(out, text->str, text->len);
	return true;
}

static enum smtp_path_status parse_local_part(struct cursor *cursor, GString *out)
{
	const char *start = cursor->at;
	bool good = take(cursor, '"') ? parse_quoted(cursor, out)
				      : parse_dot_string(cursor, out);
	if (!good)
		return PATH_SYNTAX;
	return cursor->at - start > LOCAL_PART_BYTES_MAX ? PATH_TOO_LONG : PATH_OK;
}

/* A local part alone: the postmaster, or a device as sender. */
static bool may_lack_domain(const struct cursor *cursor, GString *local_part)
{
	if (cursor->flags & PATH_REVERSE)
		return cursor->flags & PATH_LENIENT;
	if (g_ascii_strcasecmp(local_part->str, "postmaster") != 0)
		return false;
	g_string_ascii_down(local_part);
	return true;
}

static enum smtp_path_status parse_mailbox(struct cursor *cursor, GString *out)
{
	if (cursor->at < cursor->end && *cursor->at == '@' && !skip_route(cursor))
		return PATH_SYNTAX;
	enum smtp_path_status status = parse_local_part(cursor, out);
	if (status != PATH_OK)
		return status;
	if (!take(cursor, '@'))
		return may_lack_domain(cursor, out) ? PATH_OK : PATH_SYNTAX;
	const char *domain = cursor->at;
	status = parse_domain(cursor);
	g_string_append_c(out, '@');
	g_string_append_len(out, domain, cursor->at - domain);
	return status;
}

static void forgive_spaces(struct cursor *cursor)
{
	const char *start = cursor->at;
	while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
	if (cursor->at > start)
		cursor->forgiven |= FORGIVEN_SPACE;
}

/* The closing bracket, where there was an opening one; or (lenient) one
 * without the other.
 */
static bool end_path(struct cursor *cursor, bool bracket)
{
	const struct cursor before = *cursor;
	bool lenient = cursor->flags & PATH_LENIENT;
	if (lenient && bracket)
		forgive_spaces(cursor);
	bool is_closed = take(cursor, '>');
	if (is_closed == bracket)
		return true;
	if (!is_closed)
		*cursor = before; /* the spaces are those before parameters */
	cursor->forgiven |= FORGIVEN_BRACKETS;
	bool is_whole = cursor->at == cursor->end || *cursor->at == ' ';
	return lenient && is_whole;
}

/* Behind the opening bracket, where there is one. */
static enum smtp_path_status parse_inside(
	struct cursor *cursor, bool bracket, GString *out)
{
	bool lenient = cursor->flags & PATH_LENIENT;
	if (lenient)
		forgive_spaces(cursor);
	if (bracket && cursor->flags & PATH_REVERSE && take(cursor, '>'))
		return PATH_OK;
	enum smtp_path_status status = parse_mailbox(cursor, out);
	if (status != PATH_OK)
		return status;
	return end_path(cursor, bracket) ? PATH_OK : PATH_SYNTAX;
}

/* Path with its brackets, or (lenient) without any. */
static enum smtp_path_status parse_path(struct cursor *cursor, GString *out)
{
	if (cursor->flags & (PATH_LENIENT | PATH_SPACE))
		forgive_spaces(cursor);
	const char *start = cursor->at;
	bool bracket = take(cursor, '<');
	if (!bracket && !(cursor->flags & PATH_LENIENT))
		return PATH_NO_BRACKETS;
	if (!bracket)
		cursor->forgiven |= FORGIVEN_BRACKETS;
	enum smtp_path_status status = parse_inside(cursor, bracket, out);
	if (status != PATH_OK)
		return status;
	return cursor->at - start > PATH_BYTES_MAX ? PATH_TOO_LONG : PATH_OK;
}

enum smtp_path_status smtp_path_parse(
	struct slice text, unsigned flags, struct smtp_path *path)
{
	struct cursor cursor = { text.start, text.start + text.bytes, flags, 0 };
	g_autoptr(GString) out = g_string_sized_new(64);
	enum smtp_path_status status = parse_path(&cursor, out);
	*path = (struct smtp_path){ .address = NULL };
	if (status == PATH_SYNTAX && !(flags & PATH_UTF8) && is_beyond_ascii(&cursor))
		return PATH_NOT_ASCII;
	if (status != PATH_OK)
		return status;
	path->address = g_string_free(g_steal_pointer(&out), FALSE);
	path->forgiven = cursor.forgiven;
	path->rest = (struct slice){ cursor.at, (size_t)(cursor.end - cursor.at) };
	return PATH_OK;
}

static bool is_keyword(struct slice text)
{
	for (size_t i = 0; i < text.bytes; i++) {
		if (!g_ascii_isalnum(text.start[i]) && (i == 0 || text.start[i] != '-'))
			return false;
	}
	return text.bytes > 0;
}

static bool is_value(struct slice text)
{
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.start[i];
		if (c < 33 || c == 127 || c == '=')
			return false;
	}
	return text.bytes > 0 && g_utf8_validate(text.start, (gssize)text.bytes, NULL);
}

static bool parse_parameter(struct slice word, struct smtp_parameter *parameter)
{
	const char *equals = memchr(word.start, '=', word.bytes);
	*parameter = (struct smtp_parameter){ .keyword = word };
	if (equals) {
		parameter->keyword.bytes = (size_t)(equals - word.start);
		parameter->value = slice_from(word, parameter->keyword.bytes + 1);
		if (!is_value(parameter->value))
			return false;
	}
	return is_keyword(parameter->keyword);
}

static bool is_given(const struct smtp_parameter *parameters, size_t n_parameters,
	struct slice keyword)
{
	for (size_t i = 0; i < n_parameters; i++) {
		if (parameters[i].keyword.bytes == keyword.bytes &&
			!g_ascii_strncasecmp(parameters[i].keyword.start, keyword.start,
				keyword.bytes))
			return true;
	}
	return false;
}

enum smtp_parameters_status smtp_parameters_parse(struct slice text,
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX], size_t *n_parameters)
{
	*n_parameters = 0;
	if (text.bytes && *text.start != ' ')
		return PARAMETERS_SYNTAX;
	for (text = slice_trim(text); text.bytes;) {
		struct slice word = slice_word(text, &text);
		struct smtp_parameter *next = &parameters[*n_parameters];
		if (*n_parameters == SMTP_PARAMETERS_MAX || !parse_parameter(word, next))
			return PARAMETERS_SYNTAX;
		if (is_given(parameters, *n_parameters, next->keyword))
			return PARAMETERS_DUPLICATE;
		++*n_parameters;
	}
	return PARAMETERS_OK;
}

bool smtp_is_domain(struct slice text)
{
	struct cursor cursor = { text.start, text.start + text.bytes, 0, 0 };
	return parse_domain(&cursor) == PATH_OK && cursor.at == cursor.end;
}
