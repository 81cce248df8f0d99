/*
 * preflight_addresses - address lists (RFC 5322, section 3.4) that the relay may not
 * take, said so that it does: SES refuses a whole message for one name without an
 * address. Pure; mime_init() has been called.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_ADDRESSES_H
#define GATEWAY_DELIVERY_PREFLIGHT_ADDRESSES_H

#include <gmime/gmime.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether a field's raw value is a list that every reader takes alike:
 * addresses of ASCII with a domain, quotes and brackets closed, "," between
 * them, ";" at the end of groups. */
bool addresses_are_sound(const char *raw, size_t raw_bytes);

/* The list as GMime reads it, with ";" between addresses taken as ",", local parts
 * with misplaced dots as in quotes; may be NULL: nothing can be read, or it is over
 * 64 KiB; g_object_unref(). */
InternetAddressList *addresses_read(const char *raw, size_t raw_bytes);

/* The mailbox's address, its domain in A-labels where it was beyond ASCII; borrowed;
 * may be anything, or NULL. */
const char *addresses_ascii(InternetAddressMailbox *mailbox);

/* Whether at least one address that mail can be sent to is in it. */
bool addresses_have_any(const char *raw, size_t raw_bytes);

/*
 * The list in ASCII, unfolded: names in encoded-words, domains as A-labels. Whoever has
 * no address that can be written so (no domain, a local part beyond ASCII) stands as a
 * group without members, whose name says what was there (RFC 6857, section 3.1.8). A
 * long list is read piece by piece. g_free(); NULL: nothing is in it.
 */
char *addresses_repair(const char *raw, size_t raw_bytes);

#endif
