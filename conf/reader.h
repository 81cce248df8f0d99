/*
 * reader - from the tree of a settings file to a snapshot, by the schema. I/O-free. Each
 * value is right in itself afterwards; how values fit each other is for the checks.
 */
#ifndef CONF_READER_H
#define CONF_READER_H

#include "conf/snapshot.h"
#include "conf/source.h"
#include <stdbool.h>
#include <stddef.h>

/* False when the bytes are no settings at all, so that no check makes sense; mistakes in
 * values stand in source either way, and the fields concerned keep their defaults. */
bool conf_read(struct conf_snapshot *snapshot, struct conf_source *source,
	const char *bytes, size_t length);

/* The path of a recipient map's entry, by its pattern
 * (conf_recipient_map_pattern()); g_free(). */
char *conf_reader_recipient_path(const char *recipients, const char *pattern);

#endif
