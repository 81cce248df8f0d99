/* Collects mistakes with their places, so that one run reports them all. What a mistake
 * is, others know. */
#include "conf/source.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* A file of nothing but mistakes is not worth more lines than a person will read. */
enum { REMARKS_MAX = 200 };

struct place {
	size_t line, column;
};

struct remark {
	struct place place;
	bool is_problem;
	char *text;
};

struct conf_source {
	char *file;
	GHashTable *places; /* path > struct place */
	GHashTable *bad;    /* set of paths */
	GArray *remarks;    /* struct remark */
	size_t dropped;     /* beyond REMARKS_MAX */
	bool has_problems;
};

static void remark_clear(void *pointer)
{
	struct remark *remark = pointer;
	g_free(remark->text);
}

struct conf_source *conf_source_new(const char *file)
{
	struct conf_source *source = g_new0(struct conf_source, 1);
	source->file = g_strdup(file);
	source->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	source->bad = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	source->remarks = g_array_new(FALSE, FALSE, sizeof(struct remark));
	g_array_set_clear_func(source->remarks, remark_clear);
	return source;
}

void conf_source_free(struct conf_source **source)
{
	if (*source == NULL)
		return;
	g_free((*source)->file);
	g_hash_table_unref((*source)->places);
	g_hash_table_unref((*source)->bad);
	g_array_unref((*source)->remarks);
	g_clear_pointer(source, g_free);
}

void conf_source_mark(
	struct conf_source *source, const char *path, size_t line, size_t column)
{
	struct place *place = g_new(struct place, 1);
	*place = (struct place){ line, column };
	g_hash_table_replace(source->places, g_strdup(path), place);
}

bool conf_source_is_given(const struct conf_source *source, const char *path)
{
	return g_hash_table_contains(source->places, path);
}

void conf_source_mark_bad(struct conf_source *source, const char *path)
{
	g_hash_table_add(source->bad, g_strdup(path));
}

bool conf_source_is_bad(const struct conf_source *source, const char *path)
{
	return g_hash_table_contains(source->bad, path);
}

/* Of the value, or of the nearest one around it that is in the file. */
static struct place find_place(const struct conf_source *source, const char *path)
{
	g_autofree char *enclosing = g_strdup(path);
	for (;;) {
		const struct place *place =
			g_hash_table_lookup(source->places, enclosing);
		if (place != NULL)
			return *place;
		if (*enclosing == '\0')
			return (struct place){ 1, 1 };
		char *dot = strrchr(enclosing, '.'), *bracket = strrchr(enclosing, '[');
		char *end = dot > bracket ? dot : bracket;
		*(end != NULL ? end : enclosing) = '\0';
	}
}

G_GNUC_PRINTF(5, 0)
static void add_remark(struct conf_source *source, struct place place, bool is_problem,
	const char *path, const char *format, va_list arguments)
{
	source->has_problems = source->has_problems || is_problem;
	if (is_problem)
		conf_source_mark_bad(source, path);
	if (source->remarks->len >= REMARKS_MAX) {
		source->dropped++;
		return;
	}
	g_autoptr(GString) text = g_string_new(source->file);
	if (place.line > 0)
		g_string_append_printf(text, ":%zu:%zu", place.line, place.column);
	if (*path != '\0')
		g_string_append_printf(text, ": %s", path);
	g_string_append(text, ": ");
	g_string_append_vprintf(text, format, arguments);
	struct remark remark = { place, is_problem, g_strdup(text->str) };
	g_array_append_val(source->remarks, remark);
}

void conf_source_problem(
	struct conf_source *source, const char *path, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_remark(source, find_place(source, path), true, path, format, arguments);
	va_end(arguments);
}

void conf_source_warning(
	struct conf_source *source, const char *path, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_remark(source, find_place(source, path), false, path, format, arguments);
	va_end(arguments);
}

void conf_source_problem_at(struct conf_source *source, size_t line, size_t column,
	const char *path, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_remark(source, (struct place){ line, column }, true, path, format, arguments);
	va_end(arguments);
}

bool conf_source_has_problems(const struct conf_source *source)
{
	return source->has_problems;
}

/* Equal places keep their order: g_array_sort() is stable. */
static int compare_places(const void *a, const void *b)
{
	const struct place *x = &((const struct remark *)a)->place;
	const struct place *y = &((const struct remark *)b)->place;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

void conf_source_report(
	const struct conf_source *source, GPtrArray *problems, GPtrArray *warnings)
{
	g_array_sort(source->remarks, compare_places);
	for (size_t i = 0; i < source->remarks->len; i++) {
		const struct remark *r =
			&g_array_index(source->remarks, struct remark, i);
		GPtrArray *out = r->is_problem ? problems : warnings;
		if (out != NULL)
			g_ptr_array_add(out, g_strdup(r->text));
	}
	if (source->dropped > 0 && source->has_problems && problems != NULL)
		g_ptr_array_add(problems, g_strdup_printf("%s: and %zu more",
						  source->file, source->dropped));
}
