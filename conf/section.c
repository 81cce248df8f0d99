/* Finding a setting in its section, and saying which there are. */
#include "conf/schema.h"

#include <string.h>

const struct conf_field *conf_section_find(
	const struct conf_section *section, const char *key)
{
	for (size_t i = 0; i < section->n_fields; i++)
		if (strcmp(section->fields[i].key, key) == 0)
			return &section->fields[i];
	return NULL;
}

enum { KEY_MAX = 40 };

/* How many letters are missing, too many, wrong or swapped with their neighbour. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][KEY_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_length = strlen(a), b_length = strlen(b);
	for (size_t j = 0; j <= b_length; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned wrong = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(wrong, MIN(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		unsigned *oldest = before;
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_length];
}

const struct conf_field *conf_section_nearest(
	const struct conf_section *section, const char *key)
{
	const struct conf_field *nearest = NULL;
	g_autofree char *lower = g_ascii_strdown(key, -1);
	if (strlen(key) > KEY_MAX)
		return NULL;
	unsigned best = strlen(key) > 4 ? 3 : 2; /* beyond what is taken for a slip */
	for (size_t i = 0; i < section->n_fields; i++) {
		unsigned d = distance(lower, section->fields[i].key);
		if (d >= best)
			continue;
		best = d;
		nearest = &section->fields[i];
	}
	return nearest;
}

/* Joins words: "a, b or c". */
static char *join_words(const GPtrArray *words)
{
	GString *text = g_string_new(NULL);
	for (size_t i = 0; i < words->len; i++) {
		if (i > 0)
			g_string_append(text, i + 1 < words->len ? ", " : " or ");
		g_string_append(text, g_ptr_array_index(words, i));
	}
	return g_string_free(text, FALSE);
}

char *conf_section_keys(const struct conf_section *section)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	for (size_t i = 0; i < section->n_fields; i++)
		g_ptr_array_add(words, (char *)section->fields[i].key);
	return join_words(words);
}

char *conf_choice_words(const struct conf_choice *choices)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	for (; choices->word != NULL; choices++)
		g_ptr_array_add(words, (char *)choices->word);
	return join_words(words);
}
