/* Reads lines only: it serves messages that the outline does not understand. */
#include "mime/whole.h"

#include "mime/mime.h"
#include <string.h>

struct header {
	const char *text;
	size_t length; /* up to the empty line */
};

static size_t line_end(const struct header *header, size_t at)
{
	const char *feed = memchr(header->text + at, '\n', header->length - at);

	return feed != NULL ? (size_t)(feed - header->text) + 1 : header->length;
}

/* The line at start together with those that are folded onto it. */
static size_t field_end(const struct header *header, size_t start)
{
	size_t end = line_end(header, start);

	while (end < header->length && strchr(" \t", header->text[end]) != NULL &&
		header->text[end] != '\0')
		end = line_end(header, end);
	return end;
}

/* A field that tells of the body. White space may stand before its colon. */
static bool is_of_body(const char *line, size_t length)
{
	static const char content[] = "content-";
	size_t name = 0, colon;

	while (name < length && line[name] > ' ' && line[name] != ':')
		name++;
	colon = name;
	while (colon < length && (line[colon] == ' ' || line[colon] == '\t'))
		colon++;
	if (name == 0 || colon == length || line[colon] != ':')
		return false;
	return (name >= strlen(content) &&
		       g_ascii_strncasecmp(line, content, strlen(content)) == 0) ||
	       (name == 12 && g_ascii_strncasecmp(line, "mime-version", 12) == 0) ||
	       (name == 5 && g_ascii_strncasecmp(line, "lines", 5) == 0);
}

/* Sets the header's length; *body_start behind the empty line. */
static bool find_end(struct header *header, size_t *body_start)
{
	for (size_t at = 0; at < header->length;) {
		size_t end = line_end(header, at);

		if (header->text[end - 1] == '\n' &&
			(end - at == 1 || (end - at == 2 && header->text[at] == '\r'))) {
			header->length = at;
			*body_start = end;
			return true;
		}
		at = end;
	}
	return false;
}

bool whole_replace_fields(struct source *source, const GString *fields,
	struct splice *splice, uint64_t *body_start, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct header header;
	size_t start, end;

	if (!source_append(
		    source, 0, MIN(source->bytes, WHOLE_HEADER_BYTES), text, error))
		return false;
	header = (struct header){ text->str, text->len };
	if (!find_end(&header, &end)) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_CONTENT,
			"no empty line ends its header");
		return false;
	}
	*body_start = end;
	for (start = 0; start < header.length; start = end) {
		end = field_end(&header, start);
		if (is_of_body(text->str + start, end - start))
			splice_replace(splice, start, end - start, "", 0);
	}
	return splice_replace(splice, header.length, 0, fields->str, fields->len);
}
