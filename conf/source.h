/*
 * source - where the values of one settings file stand, and what is wrong with them.
 *
 * A value is named by its path: "relay.port", "listeners[1].networks[0]"; "" is the whole
 * file. Lines and columns count from 1. One thread.
 */
#ifndef CONF_SOURCE_H
#define CONF_SOURCE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct conf_source;

/* file is only a name. */
struct conf_source *conf_source_new(const char *file);
void conf_source_free(struct conf_source **source);

/* Notes that the value is given, and where. */
void conf_source_mark(
	struct conf_source *source, const char *path, size_t line, size_t column);
bool conf_source_is_given(const struct conf_source *source, const char *path);

/* Notes that the value is not to be judged by others (a problem does it by itself). */
void conf_source_mark_bad(struct conf_source *source, const char *path);
bool conf_source_is_bad(const struct conf_source *source, const char *path);

/* At the value; for one that is not given, at the nearest that encloses it. */
void conf_source_problem(struct conf_source *source, const char *path, const char *format,
	...) G_GNUC_PRINTF(3, 4);
void conf_source_warning(struct conf_source *source, const char *path, const char *format,
	...) G_GNUC_PRINTF(3, 4);
/* At a place of its own; line 0: the file as a whole. */
void conf_source_problem_at(struct conf_source *source, size_t line, size_t column,
	const char *path, const char *format, ...) G_GNUC_PRINTF(5, 6);

bool conf_source_has_problems(const struct conf_source *source);

/* Appends "FILE:LINE:COLUMN: PATH: TEXT" (new strings) in the order of
 * places; NULL is taken. */
void conf_source_report(
	const struct conf_source *source, GPtrArray *problems, GPtrArray *warnings);

#endif
