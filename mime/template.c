/*
 * template - reads templates into a list of steps, and fills them in.
 * Leaves to template_html.c whether a template is sound HTML.
 */
#include "mime/template.h"

#include "mime/block.h"
#include "mime/mime.h"
#include "mime/template_html.h"
#include <string.h>

enum { NESTING_MAX = 8, SHOWN_HASH_BYTES = 8, KIND_BYTES = 5 };

enum step_type { STEP_TEXT, STEP_FIELD, STEP_SECTION };

/* The order is that of names[]. */
enum tag {
	TAG_COUNT,
	TAG_NUMBER,
	TAG_NAME,
	TAG_SIZE,
	TAG_BYTES,
	TAG_TYPE,
	TAG_KIND,
	TAG_SHA256,
	TAG_SHA256_ALL,
	TAG_URL,
	TAG_EXPIRES,
	TAG_ATTACHMENTS,
	TAG_ONE,
	TAG_SEVERAL,
};

static const struct {
	const char *name;
	bool field, section;
	bool of_attachment; /* it is one attachment's */
} tags[] = {
	[TAG_COUNT] = { "count", true, false, false },
	[TAG_NUMBER] = { "number", true, false, true },
	[TAG_NAME] = { "name", true, false, true },
	[TAG_SIZE] = { "size", true, false, true },
	[TAG_BYTES] = { "bytes", true, false, true },
	[TAG_TYPE] = { "type", true, false, true },
	[TAG_KIND] = { "kind", true, false, true },
	[TAG_SHA256] = { "sha256", true, false, true },
	[TAG_SHA256_ALL] = { "sha256_all", true, false, true },
	[TAG_URL] = { "url", true, false, true },
	[TAG_EXPIRES] = { "expires", true, true, true },
	[TAG_ATTACHMENTS] = { "attachments", false, true, false },
	[TAG_ONE] = { "one", false, true, false },
	[TAG_SEVERAL] = { "several", false, true, false },
};

struct step {
	enum step_type type;
	enum tag tag;
	bool inverted;
	GString *text; /* STEP_TEXT; lines end in LF */
	size_t end;    /* STEP_SECTION: the step behind its last */
};

struct mime_template {
	enum mime_template_kind kind;
	GArray *steps; /* struct step */
};

/* What the reader is in. */
struct open_section {
	size_t step;
	size_t line;
};

struct parser {
	struct mime_template *template;
	const char *text;
	size_t length, at, line;
	struct open_section open[NESTING_MAX];
	size_t n_open;
	struct template_html *html; /* NULL for text */
	bool has_url;
};

static void clear_step(gpointer data)
{
	struct step *step = data;

	if (step->text != NULL)
		g_string_free(step->text, TRUE);
}

static struct step *step_at(const struct mime_template *template, size_t i)
{
	return &g_array_index(template->steps, struct step, i);
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, MIME_ERROR, MIME_ERROR_CONTENT, text);
	return false;
}

static bool is_within_attachments(const struct parser *parser)
{
	for (size_t i = 0; i < parser->n_open; i++)
		if (step_at(parser->template, parser->open[i].step)->tag ==
			TAG_ATTACHMENTS)
			return true;
	return false;
}

static void add_step(
	struct parser *parser, enum step_type type, enum tag tag, bool inverted)
{
	struct step step = { .type = type, .tag = tag, .inverted = inverted };

	g_array_append_val(parser->template->steps, step);
}

static void add_text(struct parser *parser, const char *text, size_t length)
{
	const char *p = text, *end = text + length;
	GString *out = g_string_sized_new(length);

	while (p < end) {
		const char *start = p;

		while (p < end && (parser->html == NULL || (unsigned char)*p < 0x80))
			p++;
		g_string_append_len(out, start, p - start);
		if (p == end)
			break;
		g_string_append_printf(out, "&#x%x;", g_utf8_get_char(p));
		p = g_utf8_next_char(p);
	}
	if (parser->html != NULL)
		template_html_add_text(parser->html, text, length);
	add_step(parser, STEP_TEXT, TAG_COUNT, false);
	step_at(parser->template, parser->template->steps->len - 1)->text = out;
}

static bool open_section(
	struct parser *parser, enum tag tag, bool inverted, GError **error)
{
	if (parser->n_open == NESTING_MAX)
		return refuse(
			error, "sections are nested more than %d deep", (int)NESTING_MAX);
	if (tag == TAG_ATTACHMENTS && inverted)
		return refuse(error,
			"{{^attachments}} is never so: without attachments there is no "
			"block");
	if (tag == TAG_ATTACHMENTS && is_within_attachments(parser))
		return refuse(error, "{{#attachments}} stands within another");
	parser->open[parser->n_open++] =
		(struct open_section){ parser->template->steps->len, parser->line };
	add_step(parser, STEP_SECTION, tag, inverted);
	if (parser->html != NULL)
		template_html_add_section(parser->html, true, parser->line);
	return true;
}

static bool close_section(struct parser *parser, enum tag tag, GError **error)
{
	struct step *step;

	if (parser->n_open == 0)
		return refuse(error, "{{/%s}} closes nothing", tags[tag].name);
	step = step_at(parser->template, parser->open[--parser->n_open].step);
	if (step->tag != tag)
		return refuse(error, "{{/%s}} stands where {{/%s}} must", tags[tag].name,
			tags[step->tag].name);
	step->end = parser->template->steps->len;
	if (parser->html != NULL)
		template_html_add_section(parser->html, false, parser->line);
	return true;
}

static void add_field(struct parser *parser, enum tag tag)
{
	if (tag == TAG_URL)
		parser->has_url = true;
	add_step(parser, STEP_FIELD, tag, false);
	if (parser->html != NULL)
		template_html_add_field(parser->html, tag == TAG_URL, parser->line);
}

static bool find_tag(const char *name, size_t length, enum tag *tag)
{
	for (size_t i = 0; i < G_N_ELEMENTS(tags); i++) {
		if (strlen(tags[i].name) != length ||
			memcmp(tags[i].name, name, length) != 0)
			continue;
		*tag = (enum tag)i;
		return true;
	}
	return false;
}

static bool refuse_name(const char *name, size_t length, bool sections, GError **error)
{
	GString *known = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(tags); i++)
		if (sections ? tags[i].section : tags[i].field)
			g_string_append_printf(
				known, "%s%s", known->len > 0 ? ", " : "", tags[i].name);
	refuse(error, "{{%.*s}} is unknown: here may stand %s", (int)MIN(length, 40),
		name, known->str);
	g_string_free(known, TRUE);
	return false;
}

/* What stands between {{ and }}. */
static bool add_tag(
	struct parser *parser, const char *name, size_t length, GError **error)
{
	char sigil = length > 0 && strchr("#^/!", name[0]) != NULL ? name[0] : '\0';
	enum tag tag;

	if (sigil == '!')
		return true;
	name += sigil != '\0';
	length -= sigil != '\0';
	while (length > 0 && g_ascii_isspace(*name)) {
		name++;
		length--;
	}
	while (length > 0 && g_ascii_isspace(name[length - 1]))
		length--;
	if (!find_tag(name, length, &tag) ||
		!(sigil != '\0' ? tags[tag].section : tags[tag].field))
		return refuse_name(name, length, sigil != '\0', error);
	if (sigil != '/' && tags[tag].of_attachment && !is_within_attachments(parser))
		return refuse(error,
			"{{%s}} must stand between {{#attachments}} and {{/attachments}}",
			tags[tag].name);
	if (sigil == '/')
		return close_section(parser, tag, error);
	if (sigil != '\0')
		return open_section(parser, tag, sigil == '^', error);
	add_field(parser, tag);
	return true;
}

/* A section's tag or comment with nothing but blanks beside it: *start and *end become
 * those of its line. */
static void widen_to_line(const struct parser *parser, size_t *start, size_t *end)
{
	const char *text = parser->text;
	size_t from = *start, to = *end;

	if (strchr("#^/!", text[*start + 2]) == NULL)
		return;
	while (from > parser->at && (text[from - 1] == ' ' || text[from - 1] == '\t'))
		from--;
	if (from > 0 && text[from - 1] != '\n')
		return;
	while (to < parser->length && strchr(" \t", text[to]) != NULL)
		to++;
	if (to < parser->length && text[to] != '\n')
		return;
	*start = from;
	*end = to < parser->length ? to + 1 : to;
}

static void count_lines(struct parser *parser, size_t until)
{
	for (size_t i = parser->at; i < until; i++)
		parser->line += parser->text[i] == '\n';
	parser->at = until;
}

/* The next tag and the text before it; *end is true behind the last. */
static bool parse_next(struct parser *parser, bool *end, GError **error)
{
	const char *open =
		memmem(parser->text + parser->at, parser->length - parser->at, "{{", 2);
	const char *close;
	size_t start, stop, from;

	*end = open == NULL;
	if (open == NULL) {
		add_text(parser, parser->text + parser->at, parser->length - parser->at);
		return true;
	}
	start = (size_t)(open - parser->text);
	close = memmem(open, parser->length - start, "}}", 2);
	stop = close != NULL ? (size_t)(close - parser->text) + 2 : start;
	from = start;
	if (close != NULL)
		widen_to_line(parser, &from, &stop);
	if (from > parser->at)
		add_text(parser, parser->text + parser->at, from - parser->at);
	count_lines(parser, start);
	if (close == NULL)
		return refuse(error, "{{ without }}");
	if (open[2] == '{')
		return refuse(error, "{{{ is unknown: everything is escaped");
	if (memchr(open, '\n', (size_t)(close - open)) != NULL && open[2] != '!')
		return refuse(error, "{{ without }} in its line");
	if (!add_tag(parser, open + 2, (size_t)(close - open) - 2, error))
		return false;
	/* What is checked has all lines, so that they are counted alike. */
	for (size_t i = start; i < stop && parser->html != NULL; i++)
		if (parser->text[i] == '\n')
			template_html_add_text(parser->html, "\n", 1);
	count_lines(parser, stop);
	return true;
}

static bool check_characters(struct parser *parser, GError **error)
{
	const char *bad = NULL;

	if (parser->length > MIME_TEMPLATE_BYTES_MAX)
		return refuse(error, "is over %d octets", (int)MIME_TEMPLATE_BYTES_MAX);
	for (size_t i = 0; i < parser->length && bad == NULL; i++)
		if (g_ascii_iscntrl(parser->text[i]) &&
			strchr("\t\n", parser->text[i] != '\0' ? parser->text[i] : 1) ==
				NULL)
			bad = parser->text + i;
	if (bad == NULL && g_utf8_validate(parser->text, (gssize)parser->length, &bad))
		return true;
	count_lines(parser, (size_t)(bad - parser->text));
	return refuse(error, "must be UTF-8 without control characters");
}

static bool parse(struct parser *parser, GError **error)
{
	bool end = false;

	if (!check_characters(parser, error))
		return false;
	while (!end)
		if (!parse_next(parser, &end, error))
			return false;
	if (parser->n_open > 0) {
		const struct open_section *open = &parser->open[parser->n_open - 1];

		parser->line = open->line;
		return refuse(error, "{{#%s}} is never closed",
			tags[step_at(parser->template, open->step)->tag].name);
	}
	if (!parser->has_url)
		return refuse(error, "no {{url}}: nobody could open the attachments");
	return parser->html == NULL ||
	       template_html_check(parser->html, &parser->line, error);
}

/* Lines end as the message's do when they are filled in. */
static GString *without_cr(const char *text, size_t length)
{
	GString *octets = g_string_sized_new(length);

	for (size_t i = 0; i < length; i++)
		if (text[i] != '\r')
			g_string_append_c(octets, text[i]);
	return octets;
}

struct mime_template *mime_template_new(enum mime_template_kind kind, const char *text,
	size_t length, size_t *line, GError **error)
{
	struct mime_template *template = g_new0(struct mime_template, 1);
	g_autoptr(GString) octets = without_cr(text, length);
	struct parser parser = {
		.template = template,
		.text = octets->str,
		.length = octets->len,
		.line = 1,
	};

	/* A byte order mark is no text. */
	if (g_str_has_prefix(octets->str, "\xef\xbb\xbf")) {
		parser.text += 3;
		parser.length -= 3;
	}
	template->kind = kind;
	template->steps = g_array_new(FALSE, FALSE, sizeof(struct step));
	g_array_set_clear_func(template->steps, clear_step);
	if (kind == MIME_TEMPLATE_HTML)
		parser.html = template_html_new();
	if (!parse(&parser, error))
		mime_template_free(&template);
	if (line != NULL)
		*line = parser.line;
	template_html_free(&parser.html);
	return template;
}

/* What is being filled in. */
struct filling {
	const struct mime_template *template;
	const struct mime_attachment *attachments;
	const struct mime_link *links;
	size_t n;
	size_t index; /* of the attachment whose turn it is */
	GString *out;
};

/* "512 B", "1.2 MB": decimal units, as people and stores count. */
static void append_size(GString *out, uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	uint64_t unit = 1000;
	size_t i = 0;

	if (bytes < 1000) {
		g_string_append_printf(out, "%u B", (unsigned)bytes);
		return;
	}
	while (i + 1 < G_N_ELEMENTS(units) && bytes / unit >= 1000) {
		unit *= 1000;
		i++;
	}
	if (bytes / unit < 10)
		g_string_append_printf(out, "%u.%u %s", (unsigned)(bytes / unit),
			(unsigned)(bytes % unit / (unit / 10)), units[i]);
	else
		g_string_append_printf(out, "%u %s", (unsigned)(bytes / unit), units[i]);
}

static void append_hex(GString *out, const uint8_t *octets, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		g_string_append_c(out, digits[octets[i] >> 4]);
		g_string_append_c(out, digits[octets[i] & 15]);
	}
}

/* The extension, as people know their files by: at most KIND_BYTES of it, else "FILE". */
static void append_kind(GString *out, const char *file_name)
{
	const char *dot = strrchr(file_name, '.');
	size_t length = dot != NULL ? strlen(dot + 1) : 0;

	for (size_t i = 0; i < length; i++)
		if (!g_ascii_isalnum(dot[1 + i]))
			length = 0;
	if (length == 0 || length > KIND_BYTES) {
		g_string_append(out, "FILE");
		return;
	}
	for (size_t i = 0; i < length; i++)
		g_string_append_c(out, g_ascii_toupper(dot[1 + i]));
}

static void append_text(struct filling *filling, const char *text)
{
	if (text == NULL)
		return;
	if (filling->template->kind == MIME_TEMPLATE_HTML)
		block_escape(filling->out, text);
	else
		g_string_append(filling->out, text);
}

static void fill_field(struct filling *filling, enum tag tag)
{
	const struct mime_attachment *attachment = &filling->attachments[filling->index];
	const struct mime_link *link = &filling->links[filling->index];
	GString *out = filling->out;

	switch (tag) {
	case TAG_COUNT:
		g_string_append_printf(out, "%zu", filling->n);
		break;
	case TAG_NUMBER:
		g_string_append_printf(out, "%zu", filling->index + 1);
		break;
	case TAG_NAME:
		append_text(filling, attachment->file_name);
		break;
	case TAG_SIZE:
		append_size(out, attachment->size);
		break;
	case TAG_BYTES:
		g_string_append_printf(out, "%" G_GUINT64_FORMAT, attachment->size);
		break;
	case TAG_TYPE:
		append_text(filling, attachment->media_type);
		break;
	case TAG_KIND:
		append_kind(out, attachment->file_name);
		break;
	case TAG_SHA256:
		append_hex(out, attachment->sha256, SHOWN_HASH_BYTES);
		break;
	case TAG_SHA256_ALL:
		append_hex(out, attachment->sha256, sizeof(attachment->sha256));
		break;
	case TAG_URL:
		append_text(filling, link->url);
		break;
	default:
		append_text(filling, link->expires);
		break;
	}
}

static bool is_so(const struct filling *filling, const struct step *step)
{
	bool so = step->tag == TAG_ONE ? filling->n == 1
		  : step->tag == TAG_SEVERAL
			  ? filling->n > 1
			  : filling->links[filling->index].expires != NULL;

	return so != step->inverted;
}

/* The steps from i to end, of which none is the attachments' section. */
static void fill_steps(struct filling *filling, size_t i, size_t end)
{
	while (i < end) {
		const struct step *step = step_at(filling->template, i);

		i++;
		if (step->type == STEP_TEXT)
			g_string_append_len(
				filling->out, step->text->str, (gssize)step->text->len);
		else if (step->type == STEP_FIELD)
			fill_field(filling, step->tag);
		else if (!is_so(filling, step))
			i = step->end;
	}
}

/* Sections have no steps of their own at their end, so that to fill one in is to go on,
 * and only the attachments' begins again. */
static void fill_all(struct filling *filling)
{
	size_t n = filling->template->steps->len, i = 0;

	while (i < n) {
		const struct step *step = step_at(filling->template, i);

		if (step->type == STEP_SECTION && step->tag == TAG_ATTACHMENTS) {
			for (size_t k = 0; k < filling->n; k++) {
				filling->index = k;
				fill_steps(filling, i + 1, step->end);
			}
			filling->index = 0;
			i = step->end;
		} else if (step->type == STEP_SECTION) {
			i = is_so(filling, step) ? i + 1 : step->end;
		} else {
			fill_steps(filling, i, i + 1);
			i++;
		}
	}
}

/* Lines as the message has them, none of which can end a multipart or a flowed line. */
static GString *finish_lines(const struct filling *filling, const char *newline)
{
	const char *p = filling->out->str;
	GString *out = g_string_sized_new(filling->out->len + 64);

	while (*p != '\0') {
		size_t length = strcspn(p, "\n");
		const char *next = p[length] == '\n' ? p + length + 1 : p + length;

		if (p[0] == '-' && length > 1 && p[1] == '-')
			g_string_append_c(out, ' ');
		while (filling->template->kind == MIME_TEMPLATE_TEXT && length > 0 &&
			(p[length - 1] == ' ' || p[length - 1] == '\t'))
			length--;
		g_string_append_len(out, p, (gssize)length);
		g_string_append(out, newline);
		p = next;
	}
	return out;
}

GString *mime_template_fill(const struct mime_template *template,
	const struct mime_attachment *attachments, const struct mime_link *links,
	size_t n, const char *newline)
{
	struct filling filling = {
		.template = template,
		.attachments = attachments,
		.links = links,
		.n = n,
		.out = g_string_new(NULL),
	};
	GString *lines;

	fill_all(&filling);
	lines = finish_lines(&filling, newline);
	g_string_free(filling.out, TRUE);
	return lines;
}

void mime_template_free(struct mime_template **template)
{
	if (template == NULL || *template == NULL)
		return;
	g_array_unref((*template)->steps);
	g_free(*template);
	*template = NULL;
}
