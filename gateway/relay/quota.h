/*
 * quota - how many recipients were sent to within the last 24 hours.
 *
 * Counted in quarters of an hour, of Unix time: a recipient is forgotten 24 hours
 * after it, or up to a quarter later. A clock that was set back counts on where it
 * was; one that was set back by a day or more begins anew with the sum. Pure.
 * Embedded; guarded by its owner.
 */
#ifndef GATEWAY_RELAY_QUOTA_H
#define GATEWAY_RELAY_QUOTA_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_SLOT_S 900
#define QUOTA_SLOTS  97 /* 24 hours and the quarter that has begun */
/* Of a text that quota_parse() takes. */
#define QUOTA_TEXT_BYTES_MAX 2048

/* Zero-initialise. */
struct quota {
	int64_t newest; /* number of the newest slot: Unix time / QUOTA_SLOT_S */
	uint32_t counts[QUOTA_SLOTS]; /* by number modulo QUOTA_SLOTS */
};

void quota_add(struct quota *quota, size_t n, int64_t now_s);
uint64_t quota_sum(struct quota *quota, int64_t now_s);

/* "NEWEST COUNT COUNT ...", the newest first; g_free(). */
char *quota_print(const struct quota *quota);
/* False, and nothing changed: it is no such text. */
bool quota_parse(struct quota *quota, const char *text);

#endif
