/*
 * header - reads the values of Content-* fields.
 * Leaves to outline.c which fields there are, to filename.c how a name is cleaned.
 */
#include "mime/header.h"

#include "mime/encoded_words.h"
#include <gmime/gmime.h>
#include <stdint.h>
#include <string.h>

void header_content_init(struct header_content *content, const char *media_type)
{
	*content = (struct header_content){ .media_type = g_strdup(media_type) };
}

void header_content_clear(struct header_content *content)
{
	g_free(content->media_type);
	g_free(content->boundary);
	g_free(content->charset);
	g_free(content->name);
	g_free(content->file_name);
	g_free(content->start);
	g_free(content->content_id);
	g_free(content->location);
	*content = (struct header_content){ 0 };
}

/* Steps over white space and comments (RFC 5322, section 3.2.2), nested ones too. */
static const char *skip_cfws(const char *p)
{
	size_t depth = 0;

	for (; *p != '\0'; p++) {
		if (*p == '(')
			depth++;
		else if (*p == ')' && depth > 0)
			depth--;
		else if (*p == '\\' && depth > 0 && p[1] != '\0')
			p++;
		else if (depth == 0 && !g_ascii_isspace(*p))
			break;
	}
	return p;
}

static bool is_token_char(char c)
{
	return (unsigned char)c > ' ' && (unsigned char)c < 127 &&
	       strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static size_t token_length(const char *p)
{
	size_t n = 0;

	while (is_token_char(p[n]))
		n++;
	return n;
}

/* "type/subtype" in lower case from the front of value, or NULL; *rest is behind it. */
static char *parse_media_type(const char *value, const char **rest)
{
	const char *type = skip_cfws(value);
	size_t type_length = token_length(type), subtype_length;
	const char *subtype = skip_cfws(type + type_length);

	*rest = value;
	if (type_length == 0 || type_length > 100 || *subtype != '/')
		return NULL;
	subtype = skip_cfws(subtype + 1);
	subtype_length = token_length(subtype);
	if (subtype_length == 0 || subtype_length > 150)
		return NULL;
	*rest = subtype + subtype_length;
	g_autofree char *major = g_ascii_strdown(type, (gssize)type_length);
	g_autofree char *minor = g_ascii_strdown(subtype, (gssize)subtype_length);
	return g_strconcat(major, "/", minor, NULL);
}

/*
 * The parameter's value. Of several the one written as RFC 2231 says, else the first;
 * *conflict is set when two differ. GMime keeps all of them in its list.
 */
static char *parameter(GMimeParamList *list, const char *name, bool *conflict)
{
	const char *found = NULL;
	bool found_encoded = false;

	for (int i = 0; i < g_mime_param_list_length(list); i++) {
		GMimeParam *param = g_mime_param_list_get_parameter_at(list, i);
		const char *value = g_mime_param_get_value(param);
		bool encoded = g_mime_param_get_encoding_method(param) ==
			       GMIME_PARAM_ENCODING_METHOD_RFC2231;

		if (value == NULL ||
			g_ascii_strcasecmp(g_mime_param_get_name(param), name) != 0)
			continue;
		if (found != NULL && conflict != NULL && strcmp(found, value) != 0)
			*conflict = true;
		if (found == NULL || (encoded && !found_encoded && *value != '\0')) {
			found = value;
			found_encoded = encoded;
		}
	}
	return g_strdup(found);
}

static bool parameter_is(GMimeParamList *list, const char *name, const char *want)
{
	g_autofree char *value = parameter(list, name, NULL);

	return value != NULL && g_ascii_strcasecmp(value, want) == 0;
}

/* Opening quotation marks without a closing one: GMime leaves them in the value. */
static void mend_quotes(char *value)
{
	if (value != NULL && value[0] == '"' && strchr(value + 1, '"') == NULL)
		memmove(value, value + 1, strlen(value));
}

/* The type, then parameters without a ';' between: "text/plain charset=x" is read by
 * nobody alike, so only what follows the first ';' counts. */
static const char *after_semicolon(const char *rest)
{
	const char *semicolon = strchr(rest, ';');

	return semicolon != NULL ? semicolon + 1 : "";
}

/*
 * GMime takes a comment behind a value of RFC 2231's form for a part of it. Others have
 * names like "Report (final).pdf" there, without quotes.
 */
static void drop_comments(GString *text)
{
	size_t at = 0;

	while (at < text->len) {
		const char *value = strstr(text->str + at, "*="), *open;
		size_t end, close;

		if (value == NULL)
			return;
		at = (size_t)(value - text->str) + 2;
		end = at + strcspn(text->str + at, ";\"");
		open = memchr(text->str + at, '(', end - at);
		close = end;
		while (close > at && g_ascii_isspace(text->str[close - 1]))
			close--;
		if (open == NULL || text->str[end] == '"' || open == text->str + at ||
			!g_ascii_isspace(open[-1]) || text->str[close - 1] != ')')
			continue;
		g_string_erase(text, (gssize)(open - text->str),
			(gssize)(close - (size_t)(open - text->str)));
	}
}

/* A NUL in a value of RFC 2231's form would end the name there, extension and all. */
static void drop_nuls(GString *text)
{
	const char *value = text->str;

	while ((value = strstr(value, "*=")) != NULL) {
		size_t at = (size_t)(value - text->str) + 2;

		for (; at < text->len && text->str[at] != ';'; at++)
			while (g_str_has_prefix(text->str + at, "%00"))
				g_string_erase(text, (gssize)at, 3);
		value = text->str + at;
	}
}

/*
 * Characters of two octets, as Shift_JIS, GBK and Big5 have them, may have a backslash
 * for their second: it is doubled within quotes, so that it is read as one.
 */
static void keep_second_octets(GString *text)
{
	bool quoted = false;

	for (size_t i = 0; i < text->len; i++) {
		unsigned char c = (unsigned char)text->str[i];

		if (c >= 0x81 && i + 1 < text->len &&
			(unsigned char)text->str[i + 1] >= 0x40) {
			i++;
			if (quoted && text->str[i] == '\\')
				g_string_insert_c(text, (gssize)i++, '\\');
		} else if (c == '"') {
			quoted = !quoted;
		} else if (quoted && c == '\\' && i + 1 < text->len) {
			i++;
		}
	}
}

/* Steps over a parameter's value: a quoted string, or up to ';'. */
static const char *skip_value(const char *p)
{
	if (*p != '"')
		return p + strcspn(p, ";");
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

/* One parameter as it was sent; a segment "name*NUMBER" of one (RFC 2231, section 3) has
 * its name's length and number. */
struct segment {
	const char *text;
	size_t length, name_bytes;
	uint64_t number;
};

static int compare_segments(gconstpointer a, gconstpointer b)
{
	const struct segment *x = a, *y = b;
	int names;

	if (x->name_bytes != y->name_bytes)
		return x->name_bytes < y->name_bytes ? -1 : 1;
	names = g_ascii_strncasecmp(x->text, y->text, x->name_bytes);
	if (names != 0 || x->number == y->number)
		return names;
	return x->number < y->number ? -1 : 1;
}

static struct segment read_segment(const char *text, size_t length)
{
	struct segment segment = { .text = text, .length = length };
	size_t name = MIN(strcspn(text, "*=;\""), length);

	if (length > name + 1 && text[name] == '*' && g_ascii_isdigit(text[name + 1])) {
		segment.name_bytes = name;
		segment.number = g_ascii_strtoull(text + name + 1, NULL, 10);
	}
	return segment;
}

static GArray *read_segments(const char *text)
{
	GArray *segments = g_array_new(FALSE, FALSE, sizeof(struct segment));

	for (const char *p = text; *p != '\0';) {
		const char *start = p, *value;
		struct segment segment;

		while (g_ascii_isspace(*start))
			start++;
		value = start + strcspn(start, "=;\"");
		value += *value == '=';
		while (g_ascii_isspace(*value))
			value++;
		p = skip_value(value);
		p += strcspn(p, ";");
		segment = read_segment(start, (size_t)(p - start));
		g_array_append_val(segments, segment);
		p += *p == ';';
	}
	return segments;
}

static const struct segment *segment_at(const GArray *segments, size_t index)
{
	return &g_array_index(segments, struct segment, index);
}

/* Whether no segment stands before its predecessor. */
static bool are_in_order(const GArray *segments)
{
	for (size_t i = 1; i < segments->len; i++)
		if (segment_at(segments, i)->name_bytes > 0 &&
			compare_segments(
				segment_at(segments, i - 1), segment_at(segments, i)) > 0)
			return false;
	return true;
}

static bool is_same_name(const struct segment *a, const struct segment *b)
{
	return a->name_bytes == b->name_bytes &&
	       g_ascii_strncasecmp(a->text, b->text, a->name_bytes) == 0;
}

/* Where the segment's value begins; extended: it has "*" before "=". */
static const char *segment_value(const struct segment *segment, bool *extended)
{
	const char *p = segment->text + segment->name_bytes + 1;

	p += strspn(p, "0123456789");
	*extended = *p == '*';
	p += *extended;
	return *p == '=' ? p + 1 : NULL;
}

/* Octets of "charset'language'" at the head of an extended segment's value; 0: none. */
static size_t charset_bytes(const struct segment *segment)
{
	bool extended = false;
	const char *value =
		segment->name_bytes > 0 ? segment_value(segment, &extended) : NULL;
	size_t n = 0;

	if (value == NULL || !extended)
		return 0;
	while (g_ascii_isalnum(value[n]) ||
		(value[n] != '\0' && strchr("-_.:", value[n])))
		n++;
	if (n == 0 || value[n] != '\'')
		return 0;
	for (n++; g_ascii_isalnum(value[n]) || value[n] == '-';)
		n++;
	return value[n] == '\'' ? n + 1 : 0;
}

/* The segment behind first that has the charset first should have; 0: none. */
static size_t find_charset(const GArray *segments, size_t first)
{
	const struct segment *segment = segment_at(segments, first);
	bool extended = true;

	if (segment->name_bytes == 0 || segment->number != 0 ||
		segment_value(segment, &extended) == NULL || extended)
		return 0;
	for (size_t i = first + 1; i < segments->len; i++) {
		if (!is_same_name(segment, segment_at(segments, i)))
			return 0;
		if (charset_bytes(segment_at(segments, i)) > 0)
			return i;
	}
	return 0;
}

/* Writes a plain first segment as an extended one, with the charset of another. */
static void append_extended(
	GString *out, const struct segment *first, const struct segment *other)
{
	bool extended;
	const char *end = first->text + first->length;
	const char *value = segment_value(first, &extended);
	const char *charset = segment_value(other, &extended);

	g_string_append_len(out, first->text, (gssize)first->name_bytes);
	g_string_append(out, "*0*=");
	g_string_append_len(out, charset, (gssize)charset_bytes(other));
	for (const char *p = value; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			continue;
		if (g_ascii_isalnum(*p) || *p == '.' || *p == '-')
			g_string_append_c(out, *p);
		else
			g_string_append_printf(out, "%%%02X", (unsigned char)*p);
	}
}

/*
 * GMime looks for the charset in the segment that comes first. Where segments stand
 * out of order, all are put in order, at the end; a charset that stands in a later
 * segment goes to number 0.
 */
static void arrange_segments(GString *text)
{
	g_autoptr(GArray) segments = read_segments(text->str);
	g_autoptr(GString) arranged = g_string_sized_new(text->len);
	bool changed = !are_in_order(segments);
	size_t moved = 0;

	if (changed)
		g_array_sort(segments, compare_segments);
	for (size_t i = 0; i < segments->len; i++) {
		const struct segment *segment = segment_at(segments, i);
		size_t charset = find_charset(segments, i), cut = 0;

		if (charset > 0) {
			append_extended(arranged, segment, segment_at(segments, charset));
			moved = charset;
			changed = true;
		} else if (moved > 0 && i == moved) {
			bool extended;
			const char *value = segment_value(segment, &extended);

			cut = (size_t)(value - segment->text);
			g_string_append_len(arranged, segment->text, (gssize)cut);
			cut += charset_bytes(segment);
		}
		if (charset == 0)
			g_string_append_len(arranged, segment->text + cut,
				(gssize)(segment->length - cut));
		g_string_append_c(arranged, ';');
	}
	if (changed)
		g_string_assign(text, arranged->str);
}

/*
 * GMime takes "C:\temp\x.pdf" for quoted pairs, as RFC 2045 says; those who write it mean
 * a path. A backslash before a letter or digit within quotes becomes a slash.
 */
static GMimeParamList *parse_parameters(const char *text)
{
	g_autoptr(GString) copy = g_string_new(text);
	bool quoted = false;

	encoded_words_join(copy);
	drop_comments(copy);
	if (strchr(copy->str, '*') != NULL)
		arrange_segments(copy);
	drop_nuls(copy);
	if (!g_utf8_validate(text, -1, NULL))
		keep_second_octets(copy);
	for (char *p = copy->str; *p != '\0'; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && g_ascii_isalnum(p[1]))
			*p = '/';
		else if (quoted && *p == '\\' && p[1] != '\0')
			p++;
	}
	return g_mime_param_list_parse(NULL, copy->str);
}

/* Octets that are no ASCII, quoted pairs, encoded words (RFC 2047 has none in
 * parameters), comments, and what stands behind the closing quotation mark. */
static bool is_odd_value(const char *value, const char *end)
{
	bool quoted = *value == '"';

	for (const char *p = value; p < end; p++)
		if ((unsigned char)*p >= 0x80 || *p == '\\' ||
			encoded_words_head(p, "BbQq") > 0 || (*p == '(' && !quoted) ||
			(*p == '"' && !quoted))
			return true;
	if (!quoted)
		return false;
	if (end - value < 2 || end[-1] != '"')
		return true;
	while (g_ascii_isspace(*end))
		end++;
	return *end != '\0' && *end != ';';
}

/* Whether a boundary among the parameters is written so that readers differ in what they
 * compare lines with. */
static bool holds_odd_boundary(const char *parameters)
{
	for (const char *p = parameters; *p != '\0';) {
		const char *value, *end;
		bool boundary;

		while (g_ascii_isspace(*p) || *p == ';')
			p++;
		boundary = g_ascii_strncasecmp(p, "boundary", 8) == 0;
		p += strcspn(p, "=;\"");
		if (*p == ';' || *p == '\0')
			continue;
		for (value = *p == '=' ? p + 1 : p; g_ascii_isspace(*value);)
			value++;
		end = skip_value(value);
		if (boundary && is_odd_value(value, end))
			return true;
		p = end + strcspn(end, ";");
	}
	return false;
}

void header_parse_type(struct header_content *content, const char *value)
{
	const char *rest;
	char *media_type = parse_media_type(value, &rest);

	content->type_given = true;
	if (media_type != NULL) {
		g_free(content->media_type);
		content->media_type = media_type;
	} else if (g_ascii_strncasecmp(skip_cfws(value), "text", 4) != 0 ||
		   is_token_char(skip_cfws(value)[4])) {
		/* A bare "text" is older than RFC 2045 and means text/plain. */
		content->malformed = true;
		g_free(content->media_type);
		content->media_type = g_strdup("application/octet-stream");
	}

	GMimeParamList *list = parse_parameters(after_semicolon(rest));

	if (list == NULL)
		return;
	content->boundary = parameter(list, "boundary", &content->boundary_conflict);
	/* A quotation mark behind the type takes the parameters from some readers. */
	if (content->boundary != NULL &&
		((*rest != '\0' && strchr(" \t;(", *rest) == NULL) ||
			holds_odd_boundary(after_semicolon(rest))))
		content->boundary_conflict = true;
	mend_quotes(content->boundary);
	if (content->boundary != NULL)
		g_strchomp(content->boundary);
	content->charset = parameter(list, "charset", &content->charset_conflict);
	content->name = parameter(list, "name", NULL);
	mend_quotes(content->name);
	content->start = parameter(list, "start", NULL);
	content->flowed = parameter_is(list, "format", "flowed");
	content->delsp = parameter_is(list, "delsp", "yes");
	g_object_unref(list);
}

static const char *skip_quote(const char *p)
{
	return *p == '"' ? p + 1 : p;
}

void header_parse_disposition(struct header_content *content, const char *value)
{
	const char *word = skip_quote(skip_cfws(value));
	size_t length = token_length(word);

	if (length == 0)
		content->disposition = HEADER_DISPOSITION_NONE;
	else if (length == 10 && g_ascii_strncasecmp(word, "attachment", length) == 0)
		content->disposition = HEADER_DISPOSITION_ATTACHMENT;
	else if (length == 6 && g_ascii_strncasecmp(word, "inline", length) == 0)
		content->disposition = HEADER_DISPOSITION_INLINE;
	else
		content->disposition = HEADER_DISPOSITION_OTHER;

	const char *semicolon = strchr(word, ';');
	const char *parameters = semicolon != NULL ? semicolon + 1 : word + length;

	/* "filename=x": the word itself was forgotten. */
	if (length > 0 && strchr("=*", *skip_cfws(word + length)) != NULL &&
		*skip_cfws(word + length) != '\0') {
		content->disposition = HEADER_DISPOSITION_OTHER;
		parameters = word;
	}
	GMimeParamList *list = parse_parameters(parameters);

	if (list == NULL)
		return;
	content->file_name = parameter(list, "filename", NULL);
	mend_quotes(content->file_name);
	g_object_unref(list);
}

void header_parse_encoding(struct header_content *content, const char *value)
{
	static const struct {
		const char *name;
		enum header_encoding encoding;
	} names[] = {
		{ "7bit", HEADER_ENCODING_IDENTITY },
		{ "8bit", HEADER_ENCODING_IDENTITY },
		{ "binary", HEADER_ENCODING_IDENTITY },
		{ "7-bit", HEADER_ENCODING_IDENTITY },
		{ "8-bit", HEADER_ENCODING_IDENTITY },
		{ "base64", HEADER_ENCODING_BASE64 },
		{ "quoted-printable", HEADER_ENCODING_QP },
		{ "x-uuencode", HEADER_ENCODING_UUENCODE },
		{ "x-uue", HEADER_ENCODING_UUENCODE },
		{ "uuencode", HEADER_ENCODING_UUENCODE },
	};
	const char *word = skip_quote(skip_cfws(value));
	size_t length = token_length(word);

	content->encoding = HEADER_ENCODING_UNKNOWN;
	if (length == 0 && *word == '\0')
		content->encoding = HEADER_ENCODING_IDENTITY;
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (strlen(names[i].name) == length &&
			g_ascii_strncasecmp(word, names[i].name, length) == 0)
			content->encoding = names[i].encoding;
	/* With a comment, quotes or a second word beside it, some programs see the name,
	 * others none, which is as good as identity. */
	if (content->encoding != HEADER_ENCODING_IDENTITY && strlen(value) != length)
		content->encoding = HEADER_ENCODING_UNKNOWN;
}

void header_parse_id(struct header_content *content, const char *value)
{
	const char *start = skip_cfws(value);
	size_t length;

	if (*start == '<')
		start++;
	length = strcspn(start, ">");
	while (length > 0 && g_ascii_isspace(start[length - 1]))
		length--;
	if (length > 0)
		content->content_id = g_strndup(start, length);
}

/* RFC 2557, section 4.4.1: white space in a folded location does not count. */
void header_parse_location(struct header_content *content, const char *value)
{
	GString *location = g_string_new(NULL);

	for (const char *p = skip_cfws(value); *p != '\0'; p++)
		if (!g_ascii_isspace(*p) && *p != '"')
			g_string_append_c(location, *p);
	if (location->len > 0)
		content->location = g_string_free(location, FALSE);
	else
		g_string_free(location, TRUE);
}

bool header_is(const struct header_content *content, const char *media_type)
{
	return strcmp(content->media_type, media_type) == 0;
}

bool header_starts(const struct header_content *content, const char *prefix)
{
	return g_str_has_prefix(content->media_type, prefix);
}
