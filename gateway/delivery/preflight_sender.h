/*
 * preflight_sender - who a message says that it is from, and what to say instead. Pure.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_SENDER_H
#define GATEWAY_DELIVERY_PREFLIGHT_SENDER_H

#include "conf/conf.h"
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Whether SES sends for address: sender->from itself, an entry that is this address
 * (local part compared with case, as SES does), or one that is its domain or a domain
 * above it.
 */
bool sender_is_verified(const struct conf_sender *sender, const char *address);

/* Whether raw (value of From or Sender) has at least one address
 * and only verified ones. */
bool sender_value_is_verified(
	const struct conf_sender *sender, const char *raw, size_t raw_bytes);

/* Field values, unfolded; each g_free(). */
struct sender_rewrite {
	char *from;          /* "Name via DOMAIN" <sender->from> */
	char *reply_to;      /* the original authors; NULL: none could be read */
	char *original_from; /* the original text; NULL: nothing was there */
};

/* What replaces a From of raw text; sender->from is not NULL. */
void sender_rewrite_init(struct sender_rewrite *rewrite, const struct conf_sender *sender,
	const char *raw, size_t raw_bytes);
void sender_rewrite_deinit(struct sender_rewrite *rewrite);

#endif
