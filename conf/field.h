/*
 * field - one value of the settings, from its text to the struct where its field lies.
 */
#ifndef CONF_FIELD_H
#define CONF_FIELD_H

#include "conf/schema.h"
#include "conf/snapshot.h"
#include <glib.h>
#include <stdbool.h>

/* Any field that is one word. base is the struct that the field's section fills; on false
 * with error nothing is written. */
bool conf_field_read(struct conf_snapshot *snapshot, const struct conf_field *field,
	const char *text, void *base, GError **error);

/* Those of the section and of sections in it. */
void conf_field_set_defaults(
	struct conf_snapshot *snapshot, const struct conf_section *section, void *base);

/* The choice that text names, in any case; NULL with error. */
const struct conf_choice *conf_field_choice(
	const struct conf_field *field, const char *text, GError **error);

/* For fields that are lists. */
void conf_field_store_pointer(
	const struct conf_field *field, void *base, const void *pointer);
void conf_field_store_count(const struct conf_field *field, void *base, size_t count);

#endif
