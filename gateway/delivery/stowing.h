/*
 * stowing - names and links for the attachments of one message.
 *
 * Objects are named before they are uploaded, so a retry names them alike; identical
 * contents in one message share an object. Used by deliveries and by stowage rewrite
 * alike. Thread: any; one struct belongs to one thread.
 */
#ifndef GATEWAY_DELIVERY_STOWING_H
#define GATEWAY_DELIVERY_STOWING_H

#include "conf/conf.h"
#include "gateway/delivery/rewriter.h"
#include "s3/s3.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct stowing;

/* The attachments of rewriter (borrowed, must outlive it), named
 * for message id and seed. */
struct stowing *stowing_new(const struct conf *conf, const struct rewriter *rewriter,
	const char *id, const uint8_t seed[16], int64_t received_s);

size_t stowing_attachments(const struct stowing *stowing);
const char *stowing_key(const struct stowing *stowing, size_t index);
/* Unix time at which the link of attachment index ends; after stowing_link(). */
int64_t stowing_expires_at_s(const struct stowing *stowing, size_t index);

/* The link of attachment index; after stowing_link(). Borrowed. */
const char *stowing_url(const struct stowing *stowing, size_t index);

/* Whether what was stored when the message came may have been deleted since
 * (s3.retention): it is to be stored again. */
bool stowing_is_over(const struct stowing *stowing, int64_t now_s);
/* That the objects were stored at now_s: from then on they are kept for s3.retention.
 * Without it they count as stored when the message came. */
void stowing_set_stored(struct stowing *stowing, int64_t now_s);

/* That store may delete the objects earlier, by lifecycle rules of its own. */
void stowing_heed_lifecycle(struct stowing *stowing, struct s3_store *store);

/* The distinct objects to store: an array of *n_objects, owned by the stowing. */
const struct s3_object *stowing_objects(struct stowing *stowing, size_t *n_objects);

/*
 * Presigns a link for each attachment and writes them into the bodies: the rewritten
 * message, splice_free(). *linked tells whether the attachments are out of it. Where no
 * body can carry the links it is the message as it was, and *reason (g_free(), else NULL)
 * says why. NULL with error only where no link could be made.
 */
struct splice *stowing_link(struct stowing *stowing, struct rewriter *rewriter,
	struct s3_store *store, int64_t now_s, uint64_t message_bytes, bool *linked,
	char **reason, GError **error);

/* What waits for a person when s3_store_put() or stowing_link() failed with
 * error: one text for all messages that wait for the same thing, "store:
 * access" (s3_error_subject()). g_free() it. NULL: it may pass by itself,
 * or is none of the store's. */
char *stowing_hold(const GError *error);

/* In lower-case hexadecimal, as it is logged and recorded. */
void stowing_sha256_text(const uint8_t sha256[32], char text[65]);

void stowing_free(struct stowing **stowing);

#endif
