/*
 * marker - finds lists of recipients in text and HTML.
 * Leaves to body.c the cutting, to recipients.c which bodies are looked through.
 */
#include "mime/marker.h"

#include "mime/html.h"
#include <string.h>

enum {
	CUTS_MAX = 500,
	OPEN_MAX = 64, /* tags within a marker of which the end is looked for */
	LOCAL_PART_MAX = 64,
	DOMAIN_MAX = 253,
	LABEL_MAX = 63,
	END_OF_TEXT = -1,
};

/* A place in the text. A copy of it goes its own way. */
struct cursor {
	const char *text;
	size_t length, at;
	bool html;
	struct html_scanner scanner;
	struct html_token token; /* the next one, at or behind at; HTML only */
};

/* What is compared: an octet and where it stands. */
struct sign {
	int octet; /* or END_OF_TEXT */
	size_t start, end;
};

static void next_token(struct cursor *cursor)
{
	if (!html_next(&cursor->scanner, &cursor->token))
		cursor->token = (struct html_token){ .start = cursor->length,
			.end = cursor->length };
}

static void cursor_init(struct cursor *cursor, const char *text, size_t length, bool html)
{
	*cursor = (struct cursor){ .text = text, .length = length, .html = html };
	html_scanner_init(&cursor->scanner, text, length);
	if (html)
		next_token(cursor);
}

/* "&#64;", "&commat;" or the like at text: its length, and what it stands for; else 0. */
static size_t reference(const char *text, size_t length, int *octet)
{
	static const struct {
		const char *name;
		char octet;
	} names[] = { { "&amp;", '&' }, { "&colon;", ':' }, { "&comma;", ',' },
		{ "&commat;", '@' }, { "&lowbar;", '_' }, { "&UnderBar;", '_' },
		{ "&lbrack;", '[' }, { "&lsqb;", '[' }, { "&rbrack;", ']' },
		{ "&rsqb;", ']' }, { "&period;", '.' }, { "&semi;", ';' },
		{ "&plus;", '+' }, { "&nbsp;", ' ' }, { "&shy;", ' ' }, { "&Tab;", ' ' },
		{ "&NewLine;", ' ' } };
	guint64 value;
	char *end;
	bool hex = length > 2 && (text[2] == 'x' || text[2] == 'X');

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		size_t n = strlen(names[i].name);

		if (length < n || memcmp(text, names[i].name, n) != 0)
			continue;
		*octet = names[i].octet;
		return n;
	}
	if (length < 4 || text[1] != '#' || !g_ascii_isxdigit(text[hex ? 3 : 2]) ||
		(!hex && !g_ascii_isdigit(text[2])))
		return 0;
	g_autofree char *digits =
		g_strndup(text + (hex ? 3 : 2), MIN(length - (hex ? 3 : 2), 10));
	value = g_ascii_strtoull(digits, &end, hex ? 16 : 10);
	if (*end != ';')
		return 0;
	if (value == 0xa0 || value == 0xad || value == 0x200b || value <= ' ')
		value = ' ';
	*octet = value < 0x80 ? (int)value : 0x80;
	return (size_t)(end - digits) + (hex ? 4 : 3);
}

/* Blanks in ASCII, and U+00A0, U+00AD and U+200B in UTF-8: their length, else 0. */
static size_t blank_at(const char *text, size_t length)
{
	if (g_ascii_isspace(text[0]))
		return 1;
	if (length >= 2 && text[0] == '\xc2' && (text[1] == '\xa0' || text[1] == '\xad'))
		return 2;
	return length >= 3 && memcmp(text, "\xe2\x80\x8b", 3) == 0 ? 3 : 0;
}

/* The next octet that is seen, and steps behind it. */
static struct sign next_sign(struct cursor *cursor)
{
	while (cursor->at < cursor->length) {
		size_t until = cursor->html ? cursor->token.start : cursor->length, n;
		struct sign sign = { .start = cursor->at };

		if (cursor->at >= until) {
			cursor->at = cursor->token.end;
			next_token(cursor);
			continue;
		}
		n = blank_at(cursor->text + cursor->at, until - cursor->at);
		if (n > 0) {
			cursor->at += n;
			continue;
		}
		sign.octet = (unsigned char)cursor->text[cursor->at];
		n = cursor->html && sign.octet == '&'
			    ? reference(cursor->text + cursor->at, until - cursor->at,
				      &sign.octet)
			    : 0;
		cursor->at += MAX(n, 1);
		sign.end = cursor->at;
		if (sign.octet == ' ')
			continue;
		return sign;
	}
	return (struct sign){ END_OF_TEXT, cursor->length, cursor->length };
}

/* Whether words stands where cursor is; if so cursor steps behind it. words is in lower
 * case. */
static bool match(struct cursor *cursor, const char *words, size_t *start, size_t *end)
{
	struct cursor ahead = *cursor;

	for (const char *p = words; *p != '\0'; p++) {
		struct sign sign = next_sign(&ahead);

		if (sign.octet == END_OF_TEXT || g_ascii_tolower((char)sign.octet) != *p)
			return false;
		if (p == words)
			*start = sign.start;
		*end = sign.end;
	}
	*cursor = ahead;
	return true;
}

/* What a marker begins and ends with. */
struct form {
	char *begin, *end;
};

static void form_init(
	struct form *form, const struct mime_markers *markers, enum mime_marker which)
{
	g_autofree char *word = g_ascii_strdown(markers->word, -1);

	if (which == MIME_MARKER_COLON) {
		form->begin = g_strdup_printf(":%s:", word);
		form->end = g_strdup(form->begin);
	} else {
		form->begin = g_strdup_printf("%s:[", word);
		form->end = g_strdup_printf("]:%s:", word);
	}
}

static void form_clear(struct form *form)
{
	g_free(form->begin);
	g_free(form->end);
}

static void add_cut(GArray *cuts, size_t start, size_t end)
{
	struct marker_cut cut = { start, end };
	struct marker_cut *last =
		cuts->len > 0 ? &g_array_index(cuts, struct marker_cut, cuts->len - 1)
			      : NULL;

	if (start == end)
		return;
	if (last != NULL && last->end == start)
		last->end = end;
	else
		g_array_append_val(cuts, cut);
}

static bool tag_is(const struct html_token *token, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == token->name_bytes &&
			g_ascii_strncasecmp(names[i], token->name, token->name_bytes) ==
				0)
			return true;
	return false;
}

/* Tags that never go: what the document is made of, and what holds no text. */
static bool stays(const struct html_token *token)
{
	static const char *const names[] = { "html", "head", "body", "frameset", "style",
		"script", "title", "textarea", "xmp", "iframe", "noembed", "noframes",
		"plaintext" };

	return tag_is(token, names, G_N_ELEMENTS(names));
}

static bool is_void(const struct html_token *token)
{
	static const char *const names[] = { "br", "wbr" };

	return tag_is(token, names, G_N_ELEMENTS(names));
}

struct tag {
	struct html_token token;
	bool goes;
};

/* Which tags begin and end among tags: both go. */
static void pair_tags(GArray *tags)
{
	size_t open[OPEN_MAX], n = 0;

	for (size_t i = 0; i < tags->len; i++) {
		struct tag *tag = &g_array_index(tags, struct tag, i);

		if (stays(&tag->token))
			continue;
		if (tag->token.type == HTML_START_TAG) {
			tag->goes = is_void(&tag->token);
			if (!tag->goes && n < OPEN_MAX)
				open[n++] = i;
			continue;
		}
		for (size_t k = n; k-- > 0;) {
			struct tag *start = &g_array_index(tags, struct tag, open[k]);

			if (start->token.name_bytes != tag->token.name_bytes ||
				g_ascii_strncasecmp(start->token.name, tag->token.name,
					tag->token.name_bytes) != 0)
				continue;
			start->goes = tag->goes = true;
			n = k;
			break;
		}
	}
}

/* Cuts from start to end, but for what HTML cannot spare. */
static void cut_html(GArray *cuts, size_t start, size_t end, const struct cursor *from)
{
	struct cursor cursor = *from;
	g_autoptr(GArray) tags = g_array_new(FALSE, FALSE, sizeof(struct tag));
	size_t at = start;

	for (; cursor.token.start < end; next_token(&cursor)) {
		struct tag tag = { .token = cursor.token };

		if (cursor.token.start >= start)
			g_array_append_val(tags, tag);
	}
	/* Comments and raw text are no tags: pair_tags() sees only those. */
	g_autoptr(GArray) named = g_array_new(FALSE, FALSE, sizeof(struct tag));

	for (size_t i = 0; i < tags->len; i++) {
		const struct tag *tag = &g_array_index(tags, struct tag, i);

		if (tag->token.type == HTML_START_TAG || tag->token.type == HTML_END_TAG)
			g_array_append_vals(named, tag, 1);
	}
	pair_tags(named);
	for (size_t i = 0, k = 0; i < tags->len; i++) {
		const struct tag *tag = &g_array_index(tags, struct tag, i);
		bool is_named = tag->token.type == HTML_START_TAG ||
				tag->token.type == HTML_END_TAG;

		if (is_named && g_array_index(named, struct tag, k++).goes)
			continue;
		add_cut(cuts, at, tag->token.start);
		at = tag->token.end;
	}
	add_cut(cuts, at, end);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A marker that has its lines for itself takes them with it. */
static void cut_text(
	GArray *cuts, const char *text, size_t length, size_t start, size_t end)
{
	size_t from = start, to = end;

	while (from > 0 && is_blank(text[from - 1]))
		from--;
	while (to < length && is_blank(text[to]))
		to++;
	if ((from == 0 || text[from - 1] == '\n') && to < length) {
		if (text[to] == '\n')
			to++;
		else if (text[to] == '\r' && to + 1 < length && text[to + 1] == '\n')
			to += 2;
		if (text[to - 1] == '\n') {
			start = from;
			end = to;
		}
	}
	add_cut(cuts, start, end);
}

/* The list at cursor up to the form's end, into the search. */
static bool read_list(struct marker_search *search, struct cursor *cursor,
	const struct form *form, size_t *end)
{
	size_t begin = search->list->len, start = 0;

	while (search->list->len - begin <= MARKER_LIST_BYTES_MAX) {
		struct sign sign;

		if (match(cursor, form->end, &start, end)) {
			g_string_append_c(search->list, ',');
			search->markers++;
			return true;
		}
		sign = next_sign(cursor);
		if (sign.octet == END_OF_TEXT) {
			search->fault = "the list of recipients has no end";
			return false;
		}
		g_string_append_c(search->list, (char)sign.octet);
	}
	search->fault = "the list of recipients is too long";
	return false;
}

/* True where one begins at cursor, which is then behind it; else it is where it was. */
static bool take_marker(
	struct marker_search *search, struct cursor *cursor, const struct form *form)
{
	struct cursor begin = *cursor, next;
	size_t start = 0, end = 0;

	if (!match(cursor, form->begin, &start, &end))
		return false;
	next = *cursor;
	/* "...:WORD:[": the other form's beginning. */
	if (form->begin[0] == ':' && next_sign(&next).octet == '[') {
		*cursor = begin;
		return false;
	}
	if (!read_list(search, cursor, form, &end))
		return true;
	if (cursor->html)
		cut_html(search->cuts, start, end, &begin);
	else
		cut_text(search->cuts, cursor->text, cursor->length, start, end);
	if (search->cuts->len > CUTS_MAX)
		search->fault = "the list of recipients is in too many pieces";
	return true;
}

void marker_search(struct marker_search *search, const struct mime_markers *markers,
	const char *text, size_t length, bool html)
{
	static const enum mime_marker all[] = { MIME_MARKER_COLON, MIME_MARKER_BRACKET };
	struct form forms[G_N_ELEMENTS(all)];
	struct cursor cursor;
	size_t n = 0;

	*search = (struct marker_search){
		.cuts = g_array_new(FALSE, FALSE, sizeof(struct marker_cut)),
		.list = g_string_new(NULL),
	};
	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		if (markers->forms & all[i])
			form_init(&forms[n++], markers, all[i]);
	cursor_init(&cursor, text, length, html);
	while (cursor.at < length && search->fault == NULL) {
		bool taken = false;

		for (size_t i = 0; i < n && !taken; i++)
			taken = take_marker(search, &cursor, &forms[i]);
		if (!taken)
			next_sign(&cursor);
	}
	for (size_t i = 0; i < n; i++)
		form_clear(&forms[i]);
}

void marker_search_clear(struct marker_search *search)
{
	g_clear_pointer(&search->cuts, g_array_unref);
	if (search->list != NULL)
		g_string_free(search->list, TRUE);
	search->list = NULL;
}

/* RFC 5322's dot-atom, of ASCII (RFC 5321, section 4.1.2). */
static bool is_local_part(const char *text, size_t length)
{
	if (length == 0 || length > LOCAL_PART_MAX || text[0] == '.' ||
		text[length - 1] == '.')
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '.' && text[i + 1] == '.')
			return false;
		if (c != '.' && !g_ascii_isalnum(c) &&
			(c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
			return false;
	}
	return true;
}

/* A name of at least two labels, the last of them no number. */
static bool is_domain(const char *text)
{
	size_t label = 0, labels = 0;
	const char *last = text;

	if (strlen(text) > DOMAIN_MAX)
		return false;
	for (const char *p = text;; p++) {
		if (*p == '.' || *p == '\0') {
			if (label == 0 || label > LABEL_MAX || p[-1] == '-')
				return false;
			labels++;
			label = 0;
			if (*p == '\0')
				break;
			last = p + 1;
		} else if (!g_ascii_isalnum(*p) && (*p != '-' || label == 0)) {
			return false;
		} else {
			label++;
		}
	}
	return labels >= 2 && strspn(last, "0123456789") < strlen(last);
}

static bool is_address(const char *text)
{
	const char *at = strrchr(text, '@');

	return at != NULL && is_local_part(text, (size_t)(at - text)) &&
	       is_domain(at + 1);
}

static bool holds(const GPtrArray *addresses, const char *address)
{
	for (size_t i = 0; i < addresses->len; i++)
		if (g_ascii_strcasecmp(addresses->pdata[i], address) == 0)
			return true;
	return false;
}

GPtrArray *marker_addresses(
	const struct mime_markers *markers, const char *list, char **reason)
{
	g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
	size_t number = 0;

	*reason = NULL;
	for (const char *p = list; *p != '\0' && *reason == NULL;) {
		size_t length = strcspn(p, ",;");
		g_autofree char *address = g_strndup(p, length);

		p += length + (p[length] != '\0');
		if (length == 0)
			continue;
		number++;
		if (!is_address(address))
			*reason = g_strdup_printf(
				"recipient %zu of the list is not an address", number);
		else if (markers->allows != NULL &&
			 !markers->allows(markers->context, address))
			*reason = g_strdup_printf(
				"recipient %zu of the list is not one that may be "
				"written to",
				number);
		else if (!holds(addresses, address))
			g_ptr_array_add(addresses, g_steal_pointer(&address));
		if (addresses->len > markers->max)
			*reason = g_strdup_printf(
				"the list has more than %zu recipients", markers->max);
	}
	if (*reason == NULL && addresses->len == 0)
		*reason = g_strdup("the list of recipients is empty");
	return *reason == NULL ? g_steal_pointer(&addresses) : NULL;
}
