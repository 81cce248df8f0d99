/*
 * template_html - follows a template's elements and where its tags stand in them.
 * Leaves to html.c what is an element.
 */
#include "mime/template_html.h"

#include "mime/html.h"
#include "mime/mime.h"
#include <string.h>

enum { ELEMENTS_MAX = 100, PLACEHOLDER = 'x' };

enum mark_type { MARK_URL, MARK_FIELD, MARK_OPEN, MARK_CLOSE };

/* A tag of the template: a field is the octet at its offset, a section lies before it. */
struct mark {
	enum mark_type type;
	size_t offset, line;
};

struct template_html {
	GString *text;
	GArray *marks; /* struct mark */
};

/* An open element or, with a NULL name, section. */
struct element {
	const char *name;
	size_t name_bytes;
};

struct checker {
	const struct template_html *html;
	size_t mark; /* the next one */
	struct element open[ELEMENTS_MAX];
	size_t n_open;
	bool has_link;
	const struct mark *culprit; /* the mark being looked at, or NULL */
};

struct template_html *template_html_new(void)
{
	struct template_html *html = g_new0(struct template_html, 1);

	html->text = g_string_new(NULL);
	html->marks = g_array_new(FALSE, FALSE, sizeof(struct mark));
	return html;
}

void template_html_add_text(struct template_html *html, const char *text, size_t length)
{
	g_string_append_len(html->text, text, (gssize)length);
}

static void add_mark(struct template_html *html, enum mark_type type, size_t line)
{
	struct mark mark = { .type = type, .offset = html->text->len, .line = line };

	g_array_append_val(html->marks, mark);
}

void template_html_add_field(struct template_html *html, bool is_url, size_t line)
{
	add_mark(html, is_url ? MARK_URL : MARK_FIELD, line);
	g_string_append_c(html->text, PLACEHOLDER);
}

void template_html_add_section(struct template_html *html, bool opens, size_t line)
{
	add_mark(html, opens ? MARK_OPEN : MARK_CLOSE, line);
}

static bool refuse(GError **error, const char *text)
{
	g_set_error_literal(error, MIME_ERROR, MIME_ERROR_CONTENT, text);
	return false;
}

static const struct mark *next_mark(const struct checker *checker)
{
	if (checker->mark == checker->html->marks->len)
		return NULL;
	return &g_array_index(checker->html->marks, struct mark, checker->mark);
}

static bool name_is(const struct html_token *token, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == token->name_bytes &&
			g_ascii_strncasecmp(token->name, names[i], token->name_bytes) ==
				0)
			return true;
	return false;
}

/* Elements that stand outside of a body, end it, run, or hide what is in them. */
static bool is_refused(const struct html_token *token)
{
	static const char *const names[] = { "applet", "base", "body", "embed", "frame",
		"frameset", "head", "html", "iframe", "link", "math", "meta", "noembed",
		"noframes", "noscript", "object", "plaintext", "script", "select", "svg",
		"template", "textarea", "title", "xmp" };

	return name_is(token, names, G_N_ELEMENTS(names));
}

static bool is_void(const struct html_token *token)
{
	static const char *const names[] = { "area", "br", "col", "hr", "img", "input",
		"param", "source", "track", "wbr" };

	return name_is(token, names, G_N_ELEMENTS(names));
}

static bool push(struct checker *checker, const char *name, size_t length, GError **error)
{
	if (checker->n_open == ELEMENTS_MAX)
		return refuse(error, "elements are nested too deeply");
	checker->open[checker->n_open++] = (struct element){ name, length };
	return true;
}

static bool pop_section(struct checker *checker, GError **error)
{
	if (checker->n_open == 0 || checker->open[checker->n_open - 1].name != NULL)
		return refuse(error,
			"an element that begins within the section does not end in it");
	checker->n_open--;
	return true;
}

static bool pop_element(
	struct checker *checker, const struct html_token *token, GError **error)
{
	const struct element *last =
		checker->n_open > 0 ? &checker->open[checker->n_open - 1] : NULL;

	if (last == NULL || last->name == NULL || last->name_bytes != token->name_bytes ||
		g_ascii_strncasecmp(last->name, token->name, token->name_bytes) != 0)
		return refuse(error, "an end tag without its start tag right before it");
	checker->n_open--;
	return true;
}

static bool attribute_is(const struct html_attribute *attribute, const char *name)
{
	return strlen(name) == attribute->name_bytes &&
	       g_ascii_strncasecmp(attribute->name, name, attribute->name_bytes) == 0;
}

static bool check_attribute_mark(struct checker *checker, const struct mark *mark,
	const struct html_attribute *attribute, GError **error)
{
	const char *at = checker->html->text->str + mark->offset;
	bool within =
		at >= attribute->value && at < attribute->value + attribute->value_bytes;

	if (!within || !attribute->quoted)
		return refuse(error,
			"a tag of the template stands within an HTML tag, but not in an "
			"attribute's value in quotation marks");
	if (attribute_is(attribute, "href")) {
		if (mark->type != MARK_URL || attribute->value_bytes != 1)
			return refuse(error, "href must be {{url}} and nothing else, or "
					     "without tags of the template");
		checker->has_link = true;
		return true;
	}
	if (attribute_is(attribute, "title") || attribute_is(attribute, "alt") ||
		attribute_is(attribute, "aria-label"))
		return true;
	return refuse(error,
		"of attributes only href, title, alt and aria-label can be filled in");
}

/* The attribute in which offset lies, or the last one before it. */
static struct html_attribute attribute_at(
	const struct checker *checker, const struct html_token *token, size_t offset)
{
	const char *text = checker->html->text->str;
	struct html_attribute attribute, found = { .name = "", .value = text };
	size_t at = (size_t)(token->name - text) + token->name_bytes;

	while (html_next_attribute(text, token->end, &at, &attribute)) {
		if (attribute.name > text + offset)
			break;
		found = attribute;
	}
	return found;
}

/* The marks that stand within a token. */
static bool check_marks(
	struct checker *checker, const struct html_token *token, GError **error)
{
	for (const struct mark *mark = next_mark(checker);
		mark != NULL && mark->offset < token->end; mark = next_mark(checker)) {
		struct html_attribute attribute;

		checker->culprit = mark;
		if (mark->type == MARK_OPEN || mark->type == MARK_CLOSE)
			return refuse(error, "a section can neither begin nor end within "
					     "an HTML tag, style or comment");
		if (token->type != HTML_START_TAG)
			return refuse(error, "nothing can be filled in within an end "
					     "tag, style or comment");
		attribute = attribute_at(checker, token, mark->offset);
		if (!check_attribute_mark(checker, mark, &attribute, error))
			return false;
		checker->mark++;
	}
	checker->culprit = NULL;
	return true;
}

static bool check_raw(
	const struct checker *checker, const struct html_token *token, GError **error)
{
	for (size_t i = token->start; i < token->end; i++)
		if ((unsigned char)checker->html->text->str[i] >= 0x80)
			return refuse(error, "a style must be in ASCII");
	return true;
}

static bool check_token(
	struct checker *checker, const struct html_token *token, GError **error)
{
	if (token->type == HTML_RAW)
		return check_raw(checker, token, error);
	if (token->type == HTML_COMMENT)
		return true;
	if (is_refused(token)) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_CONTENT,
			"<%.*s> cannot stand in a template", (int)token->name_bytes,
			token->name);
		return false;
	}
	if (is_void(token))
		return token->type == HTML_START_TAG ||
		       refuse(error, "an end tag of an element that has none");
	if (token->type == HTML_END_TAG)
		return pop_element(checker, token, error);
	return push(checker, token->name, token->name_bytes, error);
}

/* Whether the text up to offset could become an HTML tag or comment with what follows,
 * which at a section's ends differs from one message to the next. */
static bool is_half_markup(const GString *text, size_t offset)
{
	const char *end = text->str + offset;

	return (offset >= 1 && end[-1] == '<') ||
	       (offset >= 2 && end[-2] == '<' && strchr("/!?", end[-1]) != NULL) ||
	       (offset >= 3 && memcmp(end - 3, "<!-", 3) == 0);
}

static bool check_whole(const struct checker *checker, size_t offset, GError **error)
{
	return !is_half_markup(checker->html->text, offset) ||
	       refuse(error, "a \"<\" that is text must be written &lt;");
}

/* Sections that begin and end in the text up to offset. */
static bool pass_text(struct checker *checker, size_t offset, GError **error)
{
	for (const struct mark *mark = next_mark(checker);
		mark != NULL && mark->offset <= offset; mark = next_mark(checker)) {
		bool field = mark->type == MARK_URL || mark->type == MARK_FIELD;

		/* What stands at offset is the token's, but for a section before it. */
		if (field && mark->offset == offset)
			break;
		checker->culprit = mark;
		if (!field && !check_whole(checker, mark->offset, error))
			return false;
		if (mark->type == MARK_OPEN && !push(checker, NULL, 0, error))
			return false;
		if (mark->type == MARK_CLOSE && !pop_section(checker, error))
			return false;
		checker->mark++;
	}
	checker->culprit = NULL;
	return true;
}

static size_t line_at(const struct checker *checker, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset; i++)
		line += checker->html->text->str[i] == '\n';
	return line;
}

static bool check_all(struct checker *checker, size_t *offset, GError **error)
{
	const GString *text = checker->html->text;
	struct html_scanner scanner;
	struct html_token token;

	html_scanner_init(&scanner, text->str, text->len);
	while (html_next(&scanner, &token)) {
		*offset = token.start;
		/* Raw text begins where its start tag ends: there is no
		 * text before it. */
		if (token.type != HTML_RAW && !pass_text(checker, token.start, error))
			return false;
		if (token.unclosed)
			return refuse(error, "an HTML tag, style or comment never ends");
		if (!check_token(checker, &token, error) ||
			!check_marks(checker, &token, error))
			return false;
	}
	*offset = text->len;
	if (!pass_text(checker, text->len, error) ||
		!check_whole(checker, text->len, error))
		return false;
	if (checker->n_open > 0)
		return refuse(error, "an element is never closed");
	return checker->has_link ||
	       refuse(error, "no href=\"{{url}}\": nobody could open the attachments");
}

bool template_html_check(const struct template_html *html, size_t *line, GError **error)
{
	struct checker checker = { .html = html };
	size_t offset = 0;

	if (check_all(&checker, &offset, error))
		return true;
	*line = checker.culprit != NULL ? checker.culprit->line
					: line_at(&checker, offset);
	return false;
}

void template_html_free(struct template_html **html)
{
	if (html == NULL || *html == NULL)
		return;
	g_string_free((*html)->text, TRUE);
	g_array_unref((*html)->marks);
	g_free(*html);
	*html = NULL;
}
