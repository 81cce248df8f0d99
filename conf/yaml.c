/* YAML syntax and its traps. What the tree means is the reader's matter. */
#include "conf/yaml.h"

#include <openssl/crypto.h>
#include <string.h>

enum { DEPTH_MAX = 8 };

struct scan {
	struct conf_source *source;
	size_t depth, documents;
	bool empty; /* so far */
};

/* The libyaml parser keeps copies of the text, which may hold secrets. */
static void parser_delete(yaml_parser_t *parser)
{
	if (parser->raw_buffer.start != NULL)
		OPENSSL_cleanse(parser->raw_buffer.start,
			(size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
	if (parser->buffer.start != NULL)
		OPENSSL_cleanse(parser->buffer.start,
			(size_t)(parser->buffer.end - parser->buffer.start));
	yaml_parser_delete(parser);
}

static void parser_init(yaml_parser_t *parser, const char *bytes, size_t length)
{
	if (!yaml_parser_initialize(parser))
		g_error("out of memory");
	yaml_parser_set_input_string(parser, (const unsigned char *)bytes, length);
}

/* Line and column of a byte, counting characters. */
static void locate(const char *bytes, size_t offset, size_t *line, size_t *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (bytes[i] == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
			(*column)++;
		}
	}
}

/* The character at a place that a mark names, '\0' beyond the end. */
static char character_at(const char *bytes, size_t length, const yaml_mark_t *mark)
{
	const char *at = bytes, *end = bytes + length;
	for (size_t line = 0; line < mark->line && at != NULL; line++) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at != NULL ? at + 1 : NULL;
	}
	for (size_t column = 0; at != NULL && at < end && column < mark->column; column++)
		at += g_utf8_skip[(unsigned char)*at];
	return at != NULL && at < end ? *at : '\0';
}

/* What to do about a character that YAML keeps for itself. */
static const char *advice_for(char c)
{
	switch (c) {
	case '\t':
		return "; a tab stands here: YAML is indented with blanks";
	case '@':
	case '`':
	case '%':
	case '*':
	case '&':
	case '!':
		return "; text that begins with this character needs quotes";
	case ':':
		return "; text with such colons needs quotes";
	default:
		return "";
	}
}

static void report_parser_error(struct conf_source *source, const yaml_parser_t *parser,
	const char *bytes, size_t length)
{
	if (parser->error == YAML_MEMORY_ERROR)
		g_error("out of memory");
	if (parser->error == YAML_READER_ERROR) {
		size_t line, column;
		locate(bytes, MIN(parser->problem_offset, length), &line, &column);
		conf_source_problem_at(source, line, column, "", "not YAML: %s (\\x%02x)",
			parser->problem, (unsigned)parser->problem_value);
		return;
	}
	const yaml_mark_t *mark = &parser->problem_mark;
	const char *advice = advice_for(character_at(bytes, length, mark));
	if (parser->context == NULL)
		conf_source_problem_at(source, mark->line + 1, mark->column + 1, "",
			"not YAML: %s%s", parser->problem, advice);
	else
		conf_source_problem_at(source, mark->line + 1, mark->column + 1, "",
			"not YAML: %s, %s that begins in line %zu%s", parser->problem,
			parser->context, parser->context_mark.line + 1, advice);
}

static void refuse(struct scan *scan, const yaml_event_t *event, const char *what)
{
	const yaml_mark_t *mark = &event->start_mark;
	conf_source_problem_at(
		scan->source, mark->line + 1, mark->column + 1, "", "%s", what);
}

static void refuse_properties(struct scan *scan, const yaml_event_t *event,
	const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		refuse(scan, event,
			"an anchor (&name) is not taken here: write the value out");
	if (tag != NULL)
		refuse(scan, event,
			"a tag (!name) is not taken here: write the value alone");
}

static void enter(struct scan *scan, const yaml_event_t *event)
{
	if (++scan->depth == DEPTH_MAX + 1)
		refuse(scan, event,
			"nested too deep: settings need eight levels at most");
}

static void scan_scalar(struct scan *scan, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t length = event->data.scalar.length;
	scan->empty = scan->empty && length == 0;
	refuse_properties(scan, event, event->data.scalar.anchor, event->data.scalar.tag);
	if (memchr(text, '\0', length) != NULL)
		refuse(scan, event, "the text holds a NUL character: take \\0 out");
}

static void scan_event(struct scan *scan, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++scan->documents == 2)
			refuse(scan, event,
				"a second document begins (---): settings are one "
				"document");
		break;
	case YAML_ALIAS_EVENT:
		refuse(scan, event,
			"an alias (*name) is not taken here: write the value out, or put "
			"text that begins with * in quotes");
		break;
	case YAML_SCALAR_EVENT:
		scan_scalar(scan, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		enter(scan, event);
		refuse_properties(scan, event, event->data.sequence_start.anchor,
			event->data.sequence_start.tag);
		scan->empty = false;
		break;
	case YAML_MAPPING_START_EVENT:
		enter(scan, event);
		refuse_properties(scan, event, event->data.mapping_start.anchor,
			event->data.mapping_start.tag);
		scan->empty = false;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		break;
	default:
		break;
	}
}

/* A first pass over the events: the document API no longer tells what was an alias. */
static void scan_events(const char *bytes, size_t length, struct scan *scan)
{
	yaml_parser_t parser;
	bool more = true;
	parser_init(&parser, bytes, length);
	while (more && scan->depth <= DEPTH_MAX && scan->documents < 2) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			report_parser_error(scan->source, &parser, bytes, length);
			break;
		}
		scan_event(scan, &event);
		more = event.type != YAML_STREAM_END_EVENT;
		if (event.type == YAML_SCALAR_EVENT)
			OPENSSL_cleanse(
				event.data.scalar.value, event.data.scalar.length);
		yaml_event_delete(&event);
	}
	parser_delete(&parser);
}

static bool check_bytes(const char *bytes, size_t length, struct conf_source *source)
{
	if (length > CONF_YAML_BYTES_MAX) {
		conf_source_problem_at(
			source, 0, 0, "", "larger than 1 MiB: this is no settings file");
		return false;
	}
	const char *bad;
	if (g_utf8_validate(bytes, (gssize)length, &bad))
		return true;
	size_t line, column;
	locate(bytes, (size_t)(bad - bytes), &line, &column);
	if (*bad == '\0')
		conf_source_problem_at(source, line, column, "",
			"a NUL byte stands here: this is no text file");
	else
		conf_source_problem_at(source, line, column, "",
			"not UTF-8 (byte \\x%02x): save the file as UTF-8",
			(unsigned char)*bad);
	return false;
}

/* The second pass; nothing that the first one took is refused here. */
static bool load_document(const char *bytes, size_t length, yaml_document_t *document,
	struct conf_source *source)
{
	yaml_parser_t parser;
	parser_init(&parser, bytes, length);
	bool loaded = yaml_parser_load(&parser, document) != 0;
	if (!loaded)
		report_parser_error(source, &parser, bytes, length);
	parser_delete(&parser);
	return loaded;
}

bool conf_yaml_load(const char *bytes, size_t length, yaml_document_t *document,
	struct conf_source *source)
{
	struct scan scan = { .source = source, .empty = true };
	if (!check_bytes(bytes, length, source))
		return false;
	scan_events(bytes, length, &scan);
	if (conf_source_has_problems(source))
		return false;
	if (scan.empty) {
		conf_source_problem_at(source, 1, 1, "",
			"the file holds no settings: it needs at least hostname, "
			"listeners, a store (s3) and a relay");
		return false;
	}
	if (!load_document(bytes, length, document, source))
		return false;
	const yaml_node_t *root = yaml_document_get_root_node(document);
	if (root->type == YAML_MAPPING_NODE)
		return true;
	conf_source_problem_at(source, root->start_mark.line + 1,
		root->start_mark.column + 1, "",
		"the file is %s, but settings are a mapping: lines such as \"hostname: "
		"mail-in.example.com\"",
		conf_yaml_kind(root));
	conf_yaml_free(document);
	return false;
}

void conf_yaml_free(yaml_document_t *document)
{
	for (yaml_node_t *n = document->nodes.start; n < document->nodes.top; n++)
		if (n->type == YAML_SCALAR_NODE)
			OPENSSL_cleanse(n->data.scalar.value, n->data.scalar.length);
	yaml_document_delete(document);
}

bool conf_yaml_is_null(const yaml_node_t *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };
	return node->type == YAML_SCALAR_NODE &&
	       node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       g_strv_contains(words, (const char *)node->data.scalar.value);
}

const char *conf_yaml_text(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
					      : NULL;
}

const char *conf_yaml_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a mapping";
	default:
		return "text";
	}
}
