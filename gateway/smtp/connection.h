/*
 * connection - a client's socket: between libuv, TLS and the session.
 *
 *   socket > (tls) > session > transaction > spool, queue
 *   socket < (tls) < replies
 *
 * It never blocks: spool files are written and passwords verified on libuv's threads,
 * messages committed on the queue's; meanwhile the client's input waits. Nor does it hold
 * much: input is read only when the last was taken, replies are made only when the last
 * were sent.
 *
 * Owner:  itself: freed when its last handle has closed and nobody works for it any more.
 * Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_CONNECTION_H
#define GATEWAY_SMTP_CONNECTION_H

#include "gateway/smtp/front.h"

struct connection;

/* Whether peer is one of listener's proxies: the client is named in what it sends. */
bool connection_is_proxied(
	const struct conf_listener *listener, const struct sockaddr *peer);

/* Serves the client at fd, which it takes. Unless it is a proxy, its network was checked
 * and ceilings_enter() has counted it: given back at the end. ended is called once, when
 * all memory is gone. */
void connection_open(struct front *front, struct smtp_settings *settings,
	const struct conf_listener *listener, int fd, const struct sockaddr_storage *peer,
	void (*ended)(void *owner), void *owner);

/* A turn of its own (front.turns). */
void connection_continue(void *connection);

/* 421, at once or after the message at hand. */
void connection_drain(struct connection *connection);

/* Without a word. */
void connection_close(struct connection *connection);

#endif
