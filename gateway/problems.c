/* Prints what conf/ found. Decides nothing. */
#include "gateway/problems.h"

#include <stdio.h>

static void print(const GPtrArray *lines, const char *mark)
{
	for (guint i = 0; i < lines->len; i++)
		fprintf(stderr, "%s%s\n", (const char *)g_ptr_array_index(lines, i),
			mark);
}

struct conf *problems_load_conf(const char *path, GPtrArray *warnings)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problems, warnings ? warnings : found);
	print(problems, "");
	if (!warnings)
		print(found, " (warning)");
	return conf;
}
