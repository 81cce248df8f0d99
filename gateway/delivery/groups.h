/*
 * groups - the recipients that a message has still to go to, sorted by the way they take.
 * Pure.
 */
#ifndef GATEWAY_DELIVERY_GROUPS_H
#define GATEWAY_DELIVERY_GROUPS_H

#include "conf/conf.h"
#include "gateway/queue/queue.h"
#include <glib.h>
#include <stdbool.h>

struct group {
	const struct conf_route *route; /* NULL: none fits */
	const char *const *relays;      /* NULL-ended names, in the order of trial */
	GPtrArray *recipients;          /* of struct queue_recipient, borrowed; open */
};

/* Whether the recipient has not been settled by an earlier attempt. */
bool groups_is_open(const struct queue_recipient *recipient);

/* Whether nobody may send to it again by itself: it is UNCERTAIN, and its route says
 * that it is sent at most once. */
bool groups_is_kept(const struct conf *conf, const struct queue_message *message,
	const struct queue_recipient *recipient);

/*
 * A message that the gateway was relaying when it ended is UNCERTAIN as a whole. What was
 * recorded of its recipients tells to which of them that applies: they become UNCERTAIN.
 */
void groups_recover(struct queue_message *message);

/* Of struct group (owned), in the order of their first recipients: those that are open
 * and not kept. g_ptr_array_unref(). */
GPtrArray *groups_new(const struct conf *conf, const struct queue_message *message);

/* The least that a relay which the message may go by takes, in octets. */
uint64_t groups_max_bytes(const struct conf *conf, const GPtrArray *groups);

/* Whether a relay which the message may go by is Amazon SES. */
bool groups_have_ses(const struct conf *conf, const GPtrArray *groups);

#endif
