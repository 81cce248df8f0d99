/*
 * templates - the wording of the links, from the files that the settings name.
 */
#ifndef CONF_TEMPLATES_H
#define CONF_TEMPLATES_H

#include "conf/snapshot.h"
#include "conf/source.h"

/* Those that are given. A mistake in one is a problem of the setting that names it, with
 * the file and line where it stands. */
void conf_templates_load(struct conf_snapshot *snapshot, struct conf_source *source);

#endif
