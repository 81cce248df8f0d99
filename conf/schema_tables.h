/*
 * schema_tables - what the tables of settings are written with, and the sections that the
 * file's table puts together.
 *
 * Private to schema*.c.
 */
#ifndef CONF_SCHEMA_TABLES_H
#define CONF_SCHEMA_TABLES_H

#include "conf/conf.h"
#include "conf/schema.h"
#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

enum { SECOND_MS = 1000, HOUR = 3600, DAY = 24 * HOUR };

#define MEMBER(type, member)                                                             \
	.offset = offsetof(type, member), .width = sizeof(((type *)NULL)->member)
#define TO(member) MEMBER(struct conf, member)
#define LIST_OF(elements, type, member, count)                                           \
	.section = &(elements), .element_size = sizeof(type), TO(member),                \
	.count_offset = offsetof(struct conf, count)
#define SECTION(array)                                                                   \
	{                                                                                \
		array, G_N_ELEMENTS(array)                                               \
	}

extern const struct conf_section conf_schema_listener; /* of struct conf_listener */
extern const struct conf_section conf_schema_tls;
extern const struct conf_section conf_schema_auth;
extern const struct conf_section conf_schema_dns;
extern const struct conf_section conf_schema_s3;
extern const struct conf_section conf_schema_links;
extern const struct conf_section conf_schema_attachments;
extern const struct conf_section conf_schema_recipients;
extern const struct conf_section conf_schema_sender;
extern const struct conf_section conf_schema_relay;         /* of struct conf_relay */
extern const struct conf_section conf_schema_further_relay; /* of struct conf_relay */
extern const struct conf_section conf_schema_route;         /* of struct conf_route */

#endif
