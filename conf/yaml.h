/*
 * yaml - the bytes of a settings file to a tree of libyaml's document API.
 *
 * Takes one document of UTF-8 without anchors, aliases and tags, nested eight deep at
 * most: what settings need, and nothing that could make a small file large. One thread.
 */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "conf/source.h"
#include <glib.h>
#include <stdbool.h>
#include <yaml.h>

enum { CONF_YAML_BYTES_MAX = 1024 * 1024 };

/* False: source has the problems. The root is a mapping. End with conf_yaml_free(). */
bool conf_yaml_load(const char *bytes, size_t length, yaml_document_t *document,
	struct conf_source *source);

/* Wipes all text first: it may hold secrets. */
void conf_yaml_free(yaml_document_t *document);

/* Whether the node is nothing at all: an empty place, "~" or "null". */
bool conf_yaml_is_null(const yaml_node_t *node);

/* The node's text; NULL when it is a list or a mapping. */
const char *conf_yaml_text(const yaml_node_t *node);

/* "a list", "a mapping", "text". */
const char *conf_yaml_kind(const yaml_node_t *node);

#endif
