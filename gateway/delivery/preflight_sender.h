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
	char *from;     /* "Name" <sender->from>, the name by sender->display_name */
	char *reply_to; /* the original authors; NULL: none could be read */
	/* the original text; NULL: nothing was there, or is_chained */
	char *original_from;
	bool is_chained; /* an X-Original-From that is there stays */
};

/*
 * What replaces a From of raw text; sender->from is not NULL. earlier is the value of an
 * X-Original-From, or NULL: where raw is what a gateway made of that author ("NAME via
 * ..."), it is the author who is named, and the field stays.
 */
void sender_rewrite_init(struct sender_rewrite *rewrite, const struct conf_sender *sender,
	const char *raw, size_t raw_bytes, const char *earlier, size_t earlier_bytes);
void sender_rewrite_deinit(struct sender_rewrite *rewrite);

/* Others' field text for a field of ours: unfolded, cut to a few thousand octets, as it
 * was where it is ASCII, else in encoded-words; NULL where nothing is left; g_free(). */
char *sender_original_text(const char *raw, size_t raw_bytes);

#endif
