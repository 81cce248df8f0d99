/*
 * dns_channel - c-ares on the loop: one question to the name servers, one answer.
 *
 * Questions go by UDP, again where no answer came in time, and by TCP where an answer was
 * cut. Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_DNS_CHANNEL_H
#define GATEWAY_SMTP_DNS_CHANNEL_H

#include "gateway/smtp/dns_answer.h"
#include <glib.h>
#include <uv.h>

struct dns_channel;

/* servers: NULL-ended, numeric HOST or HOST:PORT, IPv6 with a port in brackets; NULL:
 * those of resolv.conf, as it stands now. try_ms: how long the first try may take; the
 * second has twice as long. NULL with GATEWAY_ERROR_MEND: a server is none. */
struct dns_channel *dns_channel_new(
	uv_loop_t *loop, const char *const *servers, unsigned try_ms, GError **error);

/* done is called once, maybe before this returns. */
void dns_channel_ask(struct dns_channel *channel, enum dns_type type, const char *name,
	void (*done)(void *context, struct dns_answer *answer), void *context);

/* Whether no question is under way. */
bool dns_channel_is_idle(const struct dns_channel *channel);

/* Questions under way are forgotten: their done is not called. Memory goes with the
 * loop's next turns. Clears the pointer; takes NULL in it. May be called within done. */
void dns_channel_free(struct dns_channel **channel);

#endif
