/*
 * snapshot - what stands behind a struct conf: its memory and its references.
 */
#ifndef CONF_SNAPSHOT_H
#define CONF_SNAPSHOT_H

#include "conf/conf.h"

struct conf_snapshot {
	struct conf conf; /* first: a struct conf is one of these */
	gint references;
	GPtrArray *strings;   /* owns; wiped when freed, some are secrets */
	GPtrArray *blocks;    /* owns; g_free() */
	GPtrArray *maps;      /* owns; struct conf_recipient_map */
	GPtrArray *templates; /* owns; struct mime_template */
};

/* Without any value, not even defaults. One reference. */
struct conf_snapshot *conf_snapshot_new(void);

/* Copies text, for as long as the snapshot lives. */
const char *conf_snapshot_text(struct conf_snapshot *snapshot, const char *text);

/* Takes a block from g_malloc() or NULL. */
void *conf_snapshot_block(struct conf_snapshot *snapshot, void *block);

/* Takes a template. */
void conf_snapshot_template(
	struct conf_snapshot *snapshot, struct mime_template *template);

/* An empty map. */
struct conf_recipient_map *conf_snapshot_map(struct conf_snapshot *snapshot);

#endif
