/*
 * http - ranges, conditions and dates of HTTP requests (RFC 9110). Pure.
 */
#ifndef GATEWAY_ADMIN_HTTP_H
#define GATEWAY_ADMIN_HTTP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* "Fri, 21 Nov 2025 00:00:00 GMT", whatever the locale; g_free(). */
char *http_date(int64_t time_s);

/* What is asked for, as one of its validators: the header fields'
 * values, NULL where missing. */
struct http_conditions {
	const char *if_match, *if_none_match, *if_modified_since, *if_unmodified_since;
	const char *range, *if_range;
};

/* What there is. */
struct http_entity {
	uint64_t size;
	const char *etag;          /* with its quotes */
	const char *last_modified; /* as http_date() gives it */
	int64_t modified_s;
};

/*
 * The status to answer with (RFC 9110, sections 13.2.2 and 14.2): 200, 206, 304, 412 or
 * 416. *offset and *length get the octets to send, with 200 all of them. A range that is
 * malformed, of another unit, or one of several is as if it were not there.
 */
unsigned http_evaluate(const struct http_conditions *conditions,
	const struct http_entity *entity, uint64_t *offset, uint64_t *length);

#endif
