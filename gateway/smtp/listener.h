/*
 * listener - one bound address and the clients it lets in.
 *
 * Owner:  the server; memory stays until its handle has closed and its last session has
 * ended. Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_LISTENER_H
#define GATEWAY_SMTP_LISTENER_H

#include "gateway/smtp/front.h"
#include "gateway/smtp/inherited.h"

struct listener;

/* Takes what was inherited for conf->listeners[index] of settings, else binds its address
 * and listens, without accepting yet. inherited may be NULL. NULL with GATEWAY_ERROR_MEND
 * naming the address. gone is called once, when memory is gone. */
struct listener *listener_new(struct front *front, struct smtp_settings *settings,
	size_t index, struct inherited *inherited, void (*gone)(void *owner), void *owner,
	GError **error);

/* Clients from now on are served by conf->listeners[index] of settings. */
void listener_set(
	struct listener *listener, struct smtp_settings *settings, size_t index);
bool listener_has_address(
	const struct listener *listener, const struct sockaddr_storage *address);

void listener_start(struct listener *listener);
/* Frees the address. Open sessions go on. Clears the pointer. */
void listener_close(struct listener **listener);

#endif
