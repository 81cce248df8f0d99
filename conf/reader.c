/* Reads values by the schema. Syntax is yaml's matter, the sense of
 * the whole the checks'. */
#include "conf/reader.h"

#include "conf/field.h"
#include "conf/schema.h"
#include "conf/text.h"
#include "conf/value.h"
#include "conf/yaml.h"
#include <string.h>

struct reader {
	struct conf_snapshot *snapshot;
	struct conf_source *source;
	yaml_document_t *document;
};

/* A list or mapping under way: where it stands and what it fills. */
struct place {
	const struct conf_section *section;
	void *base; /* the struct that the section's fields lie in */
	const char *path;
};

static yaml_node_t *node_at(const struct reader *reader, int index)
{
	return yaml_document_get_node(reader->document, index);
}

static void mark(const struct reader *reader, const yaml_node_t *node, const char *path)
{
	conf_source_mark(reader->source, path, node->start_mark.line + 1,
		node->start_mark.column + 1);
}

/* A problem with the key of a pair, not with its value. */
static void key_problem(const struct reader *reader, const yaml_node_t *key,
	const char *path, const char *what)
{
	conf_source_problem_at(reader->source, key->start_mark.line + 1,
		key->start_mark.column + 1, path, "%s", what);
}

static void report(const struct reader *reader, const char *path, const GError *error)
{
	conf_source_problem(reader->source, path, "%s", error->message);
}

/* With an element that is wrong, the list is not fit to be judged as a whole. */
static void spoil(const struct reader *reader, const char *list, const char *element)
{
	if (conf_source_is_bad(reader->source, element))
		conf_source_mark_bad(reader->source, list);
}

/* The text of an element of a list or a target; false: a problem has been told. */
static const char *element_text(
	const struct reader *reader, const yaml_node_t *node, const char *path)
{
	mark(reader, node, path);
	const char *text = conf_yaml_text(node);
	if (text != NULL && !conf_yaml_is_null(node))
		return text;
	conf_source_problem(reader->source, path, "is %s, but must be text%s",
		text != NULL ? "empty" : conf_yaml_kind(node),
		node->type == YAML_SEQUENCE_NODE
			? " (put text that begins with [ in quotes)"
			: "");
	return NULL;
}

static bool is_list(const struct reader *reader, const yaml_node_t *node,
	const char *path, const char *example)
{
	if (node->type == YAML_SEQUENCE_NODE)
		return true;
	conf_source_problem(reader->source, path, "is %s, but must be a list such as %s",
		conf_yaml_kind(node), example);
	return false;
}

static size_t list_length(const yaml_node_t *list)
{
	return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static yaml_node_t *element_at(
	const struct reader *reader, const yaml_node_t *list, size_t index)
{
	return node_at(reader, list->data.sequence.items.start[index]);
}

/* What a list's elements are read into: texts or networks, n so far. */
struct elements {
	const struct conf_field *field;
	const char **texts;
	struct conf_network *networks;
	size_t n;
};

/* The text as it is kept, or NULL with error. */
static const char *read_text(const struct reader *reader, const struct conf_field *field,
	const char *text, GError **error)
{
	enum conf_kind kind =
		field->kind == CONF_KIND_DOMAINS ? CONF_KIND_DOMAIN : field->kind;
	if (kind == CONF_KIND_WORDS) {
		const struct conf_choice *choice = conf_field_choice(field, text, error);
		return choice != NULL ? choice->word : NULL;
	}
	return conf_text_check(kind, text, error)
		       ? conf_snapshot_text(reader->snapshot, text)
		       : NULL;
}

static void read_element(const struct reader *reader, struct elements *elements,
	const yaml_node_t *node, const char *path)
{
	g_autoptr(GError) error = NULL;
	const char *text = element_text(reader, node, path);
	if (text == NULL)
		return;
	bool sound;
	if (elements->networks != NULL) {
		sound = conf_network_parse(
			text, &elements->networks[elements->n], &error);
	} else {
		const char *kept = read_text(reader, elements->field, text, &error);
		elements->texts[elements->n] = kept;
		sound = kept != NULL;
	}
	if (sound)
		elements->n++;
	else
		report(reader, path, error);
}

static void read_elements(const struct reader *reader, struct elements *elements,
	const yaml_node_t *list, const char *path)
{
	for (size_t i = 0; i < list_length(list); i++) {
		g_autofree char *element = g_strdup_printf("%s[%zu]", path, i);
		read_element(reader, elements, element_at(reader, list, i), element);
		spoil(reader, path, element);
	}
}

static void read_texts(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *list, void *base, const char *path)
{
	if (!is_list(reader, list, path, field->example))
		return;
	struct elements elements = {
		.field = field,
		.texts = conf_snapshot_block(
			reader->snapshot, g_new0(const char *, list_length(list) + 1)),
	};
	read_elements(reader, &elements, list, path);
	conf_field_store_pointer(field, base, elements.texts);
}

static void read_networks(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *list, void *base, const char *path)
{
	if (!is_list(reader, list, path, field->example))
		return;
	struct elements elements = {
		.field = field,
		.networks = conf_snapshot_block(reader->snapshot,
			g_new0(struct conf_network, list_length(list) + 1)),
	};
	read_elements(reader, &elements, list, path);
	if (list_length(list) == 0)
		conf_source_problem(reader->source, path,
			"is an empty list: name a network, or take the line out");
	conf_field_store_pointer(field, base, elements.networks);
	conf_field_store_count(field, base, elements.n);
}

char *conf_reader_recipient_path(const char *recipients, const char *pattern)
{
	return g_strconcat(recipients, ".\"", pattern, "\"", NULL);
}

/* path is the map's, element the entry's as written, at its place. */
static void add_recipient(const struct reader *reader, struct conf_recipient_map *map,
	const char *pattern, const char *target, const char *path, const char *element,
	const yaml_node_t *node)
{
	g_autoptr(GError) error = NULL;
	size_t index = conf_recipient_map_size(map);
	if (!conf_recipient_map_add(map, pattern, target, &error)) {
		report(reader, element, error);
		return;
	}
	g_autofree char *known =
		conf_reader_recipient_path(path, conf_recipient_map_pattern(map, index));
	mark(reader, node, known);
}

static void read_recipient_list(const struct reader *reader,
	struct conf_recipient_map *map, const yaml_node_t *list, const char *path)
{
	for (size_t i = 0; i < list_length(list); i++) {
		g_autofree char *element = g_strdup_printf("%s[%zu]", path, i);
		const yaml_node_t *node = element_at(reader, list, i);
		const char *pattern = element_text(reader, node, element);
		if (pattern != NULL)
			add_recipient(reader, map, pattern, NULL, path, element, node);
		spoil(reader, path, element);
	}
}

static void read_recipient_pair(const struct reader *reader,
	struct conf_recipient_map *map, const yaml_node_pair_t *pair, const char *path)
{
	const yaml_node_t *key = node_at(reader, pair->key);
	const char *pattern = conf_yaml_text(key);
	if (pattern == NULL) {
		key_problem(reader, key, path, "a pattern must be text");
		return;
	}
	g_autofree char *quoted = conf_value_quote(pattern);
	g_autofree char *element = g_strconcat(path, ".", quoted, NULL);
	const char *target = element_text(reader, node_at(reader, pair->value), element);
	/* From here on it stands where its pattern does. */
	mark(reader, key, element);
	if (target != NULL)
		add_recipient(reader, map, pattern, target, path, element, key);
	spoil(reader, path, element);
}

static void read_recipient_pairs(const struct reader *reader,
	struct conf_recipient_map *map, const yaml_node_t *mapping, const char *path)
{
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
		pair < mapping->data.mapping.pairs.top; pair++)
		read_recipient_pair(reader, map, pair, path);
}

static void read_recipients(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *node, void *base, const char *path)
{
	if (node->type == YAML_SCALAR_NODE) {
		conf_source_problem(reader->source, path,
			"is text, but must be a list such as [ \"@in.example.com\" ] or "
			"a mapping such as %s",
			field->example);
		return;
	}
	struct conf_recipient_map *map = conf_snapshot_map(reader->snapshot);
	conf_field_store_pointer(field, base, map);
	if (node->type == YAML_SEQUENCE_NODE)
		read_recipient_list(reader, map, node, path);
	else
		read_recipient_pairs(reader, map, node, path);
	if (conf_recipient_map_size(map) == 0 &&
		!conf_source_is_bad(reader->source, path))
		conf_source_problem(reader->source, path,
			"is empty, so that nobody would get mail: name a recipient, or "
			"take the line out");
}

static void read_section(
	const struct reader *reader, const yaml_node_t *node, const struct place *place);

static void read_list(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *list, void *base, const char *path)
{
	if (!is_list(reader, list, path, field->example))
		return;
	size_t length = list_length(list);
	if (length > field->max) {
		conf_source_problem(reader->source, path,
			"has more than %" G_GUINT64_FORMAT " elements", field->max);
		return;
	}
	char *elements = conf_snapshot_block(
		reader->snapshot, g_malloc0_n(length, field->element_size));
	for (size_t i = 0; i < length; i++) {
		g_autofree char *element = g_strdup_printf("%s[%zu]", path, i);
		const yaml_node_t *node = element_at(reader, list, i);
		struct place place = { field->section, elements + i * field->element_size,
			element };
		conf_field_set_defaults(reader->snapshot, field->section, place.base);
		mark(reader, node, element);
		read_section(reader, node, &place);
	}
	conf_field_store_pointer(field, base, elements);
	conf_field_store_count(field, base, length);
}

static void read_scalar(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *node, void *base, const char *path)
{
	g_autoptr(GError) error = NULL;
	const char *text = conf_yaml_text(node);
	if (text == NULL)
		conf_source_problem(reader->source, path,
			"is %s, but must be one value%s%s", conf_yaml_kind(node),
			field->example != NULL || field->initial != NULL ? " such as "
									 : "",
			field->example != NULL   ? field->example
			: field->initial != NULL ? field->initial
						 : "");
	else if (!conf_field_read(reader->snapshot, field, text, base, &error))
		report(reader, path, error);
}

static void read_value(const struct reader *reader, const struct conf_field *field,
	const yaml_node_t *node, void *base, const char *path)
{
	struct place place = { field->section, (char *)base + field->offset, path };
	mark(reader, node, path);
	if (conf_yaml_is_null(node)) {
		/* A section whose lines are all commented out is as good as none. */
		if (field->kind != CONF_KIND_SECTION)
			conf_source_problem(reader->source, path,
				"has no value: give it one, or take the line out");
		return;
	}
	switch (field->kind) {
	case CONF_KIND_SECTION:
		read_section(reader, node, &place);
		break;
	case CONF_KIND_LIST:
		read_list(reader, field, node, base, path);
		break;
	case CONF_KIND_RECIPIENTS:
		read_recipients(reader, field, node, base, path);
		break;
	case CONF_KIND_NETWORKS:
		read_networks(reader, field, node, base, path);
		break;
	case CONF_KIND_DOMAINS:
	case CONF_KIND_IDENTITIES:
	case CONF_KIND_WORDS:
	case CONF_KIND_SERVERS:
	case CONF_KIND_PAIRS:
	case CONF_KIND_WORD_LIST:
		read_texts(reader, field, node, base, path);
		break;
	default:
		read_scalar(reader, field, node, base, path);
		break;
	}
}

static char *path_of(const struct place *place, const char *key)
{
	return *place->path == '\0' ? g_strdup(key)
				    : g_strconcat(place->path, ".", key, NULL);
}

static void report_unknown(const struct reader *reader, const yaml_node_t *key_node,
	const struct place *place, const char *path)
{
	const char *key = conf_yaml_text(key_node);
	const struct conf_field *nearest = conf_section_nearest(place->section, key);
	g_autofree char *what = NULL;
	if (strcmp(key, "<<") == 0) {
		what = g_strdup(
			"merge keys (<<) are not taken here: write the values out");
	} else if (nearest != NULL) {
		g_autofree char *meant = path_of(place, nearest->key);
		/* What was meant is there: it is not to be reported as missing. */
		conf_source_mark_bad(reader->source, meant);
		what = g_strdup_printf("unknown key: did you mean \"%s\"?", nearest->key);
	} else {
		g_autofree char *keys = conf_section_keys(place->section);
		what = g_strdup_printf("unknown key: here may stand %s", keys);
	}
	key_problem(reader, key_node, path, what);
}

static void read_pair(const struct reader *reader, const yaml_node_pair_t *pair,
	const struct place *place)
{
	const yaml_node_t *key_node = node_at(reader, pair->key);
	const char *key = conf_yaml_text(key_node);
	if (key == NULL) {
		key_problem(reader, key_node, place->path, "a key must be text");
		return;
	}
	const struct conf_field *field = conf_section_find(place->section, key);
	g_autofree char *quoted = field == NULL ? conf_value_quote(key) : NULL;
	g_autofree char *path = path_of(place, field != NULL ? key : quoted);
	if (field == NULL)
		report_unknown(reader, key_node, place, path);
	else if (conf_source_is_given(reader->source, path))
		key_problem(reader, key_node, path, "is given twice: keep one of them");
	else
		read_value(
			reader, field, node_at(reader, pair->value), place->base, path);
}

static void report_missing(const struct reader *reader, const struct place *place)
{
	for (size_t i = 0; i < place->section->n_fields; i++) {
		const struct conf_field *field = &place->section->fields[i];
		g_autofree char *path = path_of(place, field->key);
		if (!field->required || conf_source_is_given(reader->source, path) ||
			conf_source_is_bad(reader->source, path))
			continue;
		conf_source_problem(reader->source, path, "is missing: add %s: %s%s",
			field->key, field->kind == CONF_KIND_LIST ? "and below it " : "",
			field->example);
	}
}

static void read_section(
	const struct reader *reader, const yaml_node_t *node, const struct place *place)
{
	if (node->type != YAML_MAPPING_NODE) {
		const char *first = place->section->fields[0].key;
		conf_source_problem(reader->source, place->path,
			"is %s, but must be a mapping such as { %s: ... }",
			conf_yaml_is_null(node) ? "empty" : conf_yaml_kind(node), first);
		return;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++)
		read_pair(reader, pair, place);
	report_missing(reader, place);
}

bool conf_read(struct conf_snapshot *snapshot, struct conf_source *source,
	const char *bytes, size_t length)
{
	yaml_document_t document;
	if (!conf_yaml_load(bytes, length, &document, source))
		return false;
	struct reader reader = { snapshot, source, &document };
	struct place place = { &conf_schema, &snapshot->conf, "" };
	conf_field_set_defaults(snapshot, &conf_schema, &snapshot->conf);
	const yaml_node_t *root = yaml_document_get_root_node(&document);
	mark(&reader, root, "");
	read_section(&reader, root, &place);
	conf_yaml_free(&document);
	return true;
}
