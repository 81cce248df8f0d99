/* Writes one word of the settings to where its field says. Lists
 * are left to the reader. */
#include "conf/field.h"

#include "conf/error.h"
#include "conf/text.h"
#include "conf/value.h"
#include <string.h>

static void *member(const struct conf_field *field, void *base)
{
	return (char *)base + field->offset;
}

void conf_field_store_pointer(
	const struct conf_field *field, void *base, const void *pointer)
{
	memcpy(member(field, base), &pointer, sizeof(pointer));
}

void conf_field_store_count(const struct conf_field *field, void *base, size_t count)
{
	memcpy((char *)base + field->count_offset, &count, sizeof(count));
}

static void store_number(const struct conf_field *field, void *base, uint64_t value)
{
	if (field->width == sizeof(uint32_t)) {
		uint32_t narrow = (uint32_t)value;
		g_assert(narrow == value);
		memcpy(member(field, base), &narrow, sizeof(narrow));
	} else {
		g_assert(field->width == sizeof(value));
		memcpy(member(field, base), &value, sizeof(value));
	}
}

static enum conf_unit unit_of(enum conf_kind kind)
{
	switch (kind) {
	case CONF_KIND_SIZE:
		return CONF_UNIT_OCTETS;
	case CONF_KIND_SECONDS:
		return CONF_UNIT_SECONDS;
	case CONF_KIND_MILLISECONDS:
		return CONF_UNIT_MILLISECONDS;
	default:
		return CONF_UNIT_NONE;
	}
}

const struct conf_choice *conf_field_choice(
	const struct conf_field *field, const char *text, GError **error)
{
	for (const struct conf_choice *c = field->choices; c->word != NULL; c++)
		if (g_ascii_strcasecmp(text, c->word) == 0)
			return c;
	g_autofree char *quoted = conf_value_quote(text);
	g_autofree char *words = conf_choice_words(field->choices);
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE, "%s is unknown: it must be %s",
		quoted, words);
	return NULL;
}

static bool read_choice(
	const struct conf_field *field, const char *text, void *base, GError **error)
{
	const struct conf_choice *choice = conf_field_choice(field, text, error);
	if (choice != NULL)
		store_number(field, base, choice->value);
	return choice != NULL;
}

static bool read_text(struct conf_snapshot *snapshot, const struct conf_field *field,
	const char *text, void *base, GError **error)
{
	if (field->kind == CONF_KIND_ADDRESS_OFF && strcmp(text, "off") == 0) {
		conf_field_store_pointer(field, base, NULL);
		return true;
	}
	if (!conf_text_check(field->kind, text, error))
		return false;
	conf_field_store_pointer(field, base, conf_snapshot_text(snapshot, text));
	return true;
}

bool conf_field_read(struct conf_snapshot *snapshot, const struct conf_field *field,
	const char *text, void *base, GError **error)
{
	uint64_t number;
	switch (field->kind) {
	case CONF_KIND_BOOL:
		return conf_value_bool(text, member(field, base), error);
	case CONF_KIND_RATE:
		return conf_value_rate(
			text, (double)field->max, member(field, base), error);
	case CONF_KIND_PACE:
		return conf_value_pace(text, (double)field->max, member(field, base),
			(bool *)((char *)base + field->count_offset), error);
	case CONF_KIND_NUMBER:
	case CONF_KIND_SIZE:
	case CONF_KIND_SECONDS:
	case CONF_KIND_MILLISECONDS:
		if (!conf_value_number(text, unit_of(field->kind), field->min, field->max,
			    &number, error))
			return false;
		store_number(field, base, number);
		return true;
	case CONF_KIND_CHOICE:
		return read_choice(field, text, base, error);
	default:
		return read_text(snapshot, field, text, base, error);
	}
}

void conf_field_set_defaults(
	struct conf_snapshot *snapshot, const struct conf_section *section, void *base)
{
	for (size_t i = 0; i < section->n_fields; i++) {
		const struct conf_field *field = &section->fields[i];
		if (field->kind == CONF_KIND_SECTION)
			conf_field_set_defaults(
				snapshot, field->section, (char *)base + field->offset);
		else if (field->initial != NULL &&
			 !conf_field_read(snapshot, field, field->initial, base, NULL))
			g_error("the default of %s is not in its own bounds", field->key);
	}
}
