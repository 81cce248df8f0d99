/* Prints the schema as a settings file in which every line is a comment. Has no words of
 * its own but the frame. */
#include "conf/conf.h"
#include "conf/schema.h"
#include "conf/value.h"
#include <string.h>

enum { COLUMNS = 86 };

/* The sentences of help, wrapped, each line behind "#", indentation and "# ". */
static void print_wrapped(FILE *out, const char *indentation, const char *text)
{
	size_t room = COLUMNS - strlen(indentation) - strlen("## ");
	while (*text != '\0') {
		size_t length = strlen(text);
		if (length > room) {
			length = room;
			while (length > 1 && text[length] != ' ')
				length--;
		}
		fprintf(out, "#%s# %.*s\n", indentation, (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
}

static void append_range(
	GString *text, const struct conf_field *field, enum conf_unit unit)
{
	g_autofree char *low = conf_value_print(field->min, unit);
	g_autofree char *high = conf_value_print(field->max, unit);
	g_string_append_printf(text, " From %s to %s.", low, high);
}

static void append_bounds(GString *text, const struct conf_field *field)
{
	switch (field->kind) {
	case CONF_KIND_NUMBER:
		append_range(text, field, CONF_UNIT_NONE);
		break;
	case CONF_KIND_RATE:
	case CONF_KIND_PACE:
		append_range(text, field, CONF_UNIT_NONE);
		break;
	case CONF_KIND_SIZE:
		append_range(text, field, CONF_UNIT_OCTETS);
		break;
	case CONF_KIND_SECONDS:
		append_range(text, field, CONF_UNIT_SECONDS);
		break;
	case CONF_KIND_MILLISECONDS:
		append_range(text, field, CONF_UNIT_MILLISECONDS);
		break;
	default:
		break;
	}
}

static void print_help(FILE *out, const char *indentation, const struct conf_field *field)
{
	g_autoptr(GString) text = g_string_new(field->help);
	if (field->choices != NULL) {
		g_autofree char *words = conf_choice_words(field->choices);
		g_string_append_printf(text,
			field->kind == CONF_KIND_WORDS ? " Any of %s." : " One of %s.",
			words);
	}
	append_bounds(text, field);
	if (field->required)
		g_string_append(text, " Required.");
	else if (field->unset != NULL)
		g_string_append_printf(text, " Default: %s.", field->unset);
	else if (field->initial != NULL)
		g_string_append_printf(text, " Default: %s.", field->initial);
	print_wrapped(out, indentation, text->str);
}

static void print_fields(FILE *out, const struct conf_section *section,
	const char *indentation, bool is_element)
{
	for (size_t i = 0; i < section->n_fields; i++) {
		const struct conf_field *field = &section->fields[i];
		const char *value =
			field->initial != NULL ? field->initial : field->example;
		if (*indentation == '\0')
			fputs("\n", out);
		print_help(out, indentation, field);
		/* An element of a list begins with a hyphen in its indentation. */
		if (is_element && i == 0)
			fprintf(out, "#%.*s- %s:", (int)strlen(indentation) - 2,
				indentation, field->key);
		else
			fprintf(out, "#%s%s:", indentation, field->key);
		if (field->section == NULL) {
			fprintf(out, " %s\n", value);
			continue;
		}
		fputs("\n", out);
		bool is_list = field->kind == CONF_KIND_LIST;
		g_autofree char *deeper =
			g_strconcat(indentation, is_list ? "    " : "  ", NULL);
		print_fields(out, field->section, deeper, is_list);
	}
}

void conf_print_sample(FILE *out)
{
	fputs("## Settings of Stowage: every option there is, with its default or an "
	      "example.\n"
	      "## Take the first # from a line to set it. Sizes are written as 64KiB or "
	      "40MB,\n"
	      "## durations as 90s, 36h or 1h30m. Try a file with: stowage check -c "
	      "FILE\n",
		out);
	print_fields(out, &conf_schema, "", false);
}
