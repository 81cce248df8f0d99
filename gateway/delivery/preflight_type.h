/*
 * preflight_type - Content-Type and Content-Disposition said so that SES takes them: it
 * refuses a message for one that its parser stumbles over. Pure.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_TYPE_H
#define GATEWAY_DELIVERY_PREFLIGHT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a field's raw value is as RFC 2045, section 5.1, has it: type and subtype, no
 * parameter empty or twice, a multipart with a boundary. A ";" at the end is fine. */
bool type_is_sound(const char *raw, size_t raw_bytes);

/*
 * What is to stand instead, unfolded: the same with values in quotes that need them, and
 * without parameters that nobody can read or that were there before. No type and subtype
 * is text/plain (RFC 2045, section 5.2; "multipart" alone is multipart/mixed), and so is
 * a multipart whose parts cannot be told apart: *is_other is set where that may be
 * another type than was meant. NULL: nothing is in it; g_free().
 */
char *type_repair(const char *raw, size_t raw_bytes, bool *is_other);

/* The same of a Content-Disposition (RFC 2183, section 2). The repaired one is
 * "attachment" where what it says is none. */
bool type_disposition_is_sound(const char *raw, size_t raw_bytes);
char *type_disposition_repair(const char *raw, size_t raw_bytes);

#endif
