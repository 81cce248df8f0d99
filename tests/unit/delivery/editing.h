/*
 * editing - messages as preflight has them sent.
 */
#ifndef TESTS_UNIT_DELIVERY_EDITING_H
#define TESTS_UNIT_DELIVERY_EDITING_H

#include "gateway/delivery/preflight.h"
#include <stddef.h>

/* The message as the relay would send it; g_free(). NULL where preflight_edit() fails. */
char *edited_octets(const struct preflight *preflight, const char *in, size_t in_bytes,
	GError **error);
char *edited(const struct preflight *preflight, const char *in, GError **error);

#endif
