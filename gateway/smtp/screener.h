/*
 * screener - what the DNS says of a client before it is greeted: the name of its address,
 * and whether block lists have it.
 *
 * Asynchronous on the loop (c-ares); every lookup bounded by dns.timeout; answers kept
 * for their TTL (at most an hour; failures a minute) in a bounded cache; lookups under
 * way are bounded, beyond which a client goes unscreened. What cannot be found out
 * refuses nobody, but for reverse_dns: require, where an answer that does not come is the
 * same as no name (the refusal is a 450).
 *
 * Block lists: RFC 5782. An answer within 127.0.0.0/8 is a listing, but for
 * 127.255.255.0/24, by which lists say that they do not answer: logged, and nobody
 * refused. Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_SCREENER_H
#define GATEWAY_SMTP_SCREENER_H

#include "conf/conf.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

struct screener;
struct screening;

/* Nothing is found out before screener_set_settings(). */
struct screener *screener_new(uv_loop_t *loop);
/* Screenings under way end with nobody told; memory goes with the loop's next turns.
 * Clears the pointer. */
void screener_free(struct screener **screener);
/* Takes dns.servers and dns.timeout of new settings, for lookups from now on; reads
 * resolv.conf where there are no dns.servers. What is known is forgotten. */
void screener_set_settings(struct screener *screener, const struct conf *conf);

struct screening_result {
	const char *name; /* leads back to the address; NULL: none, or not asked */
	const char *zone; /* the block list that has it; NULL: none */
};

/* Whether listener wants anything looked up for client (never for loopback, unless
 * dns.servers is given). */
bool screener_is_wanted(const struct conf *conf, const struct conf_listener *listener,
	const struct sockaddr *client);

/* done is called once, later, with a result lent for the call; the screening is gone
 * then. listener is borrowed until that or until it is forgotten. */
struct screening *screener_start(struct screener *screener,
	const struct conf_listener *listener, const struct sockaddr *client,
	void (*done)(void *context, const struct screening_result *result),
	void *context);
/* done will not be called. Clears the pointer; takes NULL in it. */
void screening_forget(struct screening **screening);

#endif
