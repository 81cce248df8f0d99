/*
 * problems - settings loaded for a person at a command line: every
 * mistake on standard error.
 */
#ifndef GATEWAY_PROBLEMS_H
#define GATEWAY_PROBLEMS_H

#include "conf/conf.h"
#include <stdbool.h>

/* conf_load(), with its problems printed one a line. Warnings go to warnings, or are
 * printed as well when it is NULL. NULL: the caller exits with EX_CONFIG. */
struct conf *problems_load_conf(const char *path, GPtrArray *warnings);

/* Reads the users, certificates and authorities that conf names, as the gateway will.
 * False: what is wrong with them stands on standard error. */
bool problems_read_files(const struct conf *conf);

#endif
