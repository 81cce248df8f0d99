/*
 * snapshot - what stands behind a struct conf: its memory and its references.
 */
#ifndef CONF_SNAPSHOT_H
#define CONF_SNAPSHOT_H

#include "conf/conf.h"

struct conf_snapshot {
	struct conf conf; /* first: a struct conf is one of these */
	gint references;
	GPtrArray *strings; /* owns; wiped when freed, some are secrets */
	GPtrArray *blocks;  /* owns; g_free() */
	/* struct conf_listener; conf.listeners shows it once it is read */
	GArray *listeners;
};

/* Without any value, not even defaults. One reference. */
struct conf_snapshot *conf_snapshot_new(void);

/* Copies text, for as long as the snapshot lives. */
const char *conf_snapshot_text(struct conf_snapshot *snapshot, const char *text);

/* Takes a block from g_malloc() or NULL. */
void *conf_snapshot_block(struct conf_snapshot *snapshot, void *block);

#endif
