/* Reads one series of the exposition. */
#include "tests/unit/metric.h"

#include <string.h>

double metric_value(struct metrics *metrics, const char *series)
{
	GString *text = metrics_print(metrics);
	g_autofree char *start = g_strdup_printf("\n%s ", series);
	const char *line = strstr(text->str, start);
	double value = line ? g_ascii_strtod(line + strlen(start), NULL) : 0;
	g_string_free(text, TRUE);
	return value;
}
