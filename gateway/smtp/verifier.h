/*
 * verifier - passwords checked on libuv's worker threads, a few at a time: hashes are
 * slow on purpose, and the same threads write spool files.
 *
 * Thread: the loop's, for every call and for done.
 */
#ifndef GATEWAY_SMTP_VERIFIER_H
#define GATEWAY_SMTP_VERIFIER_H

#include "gateway/policy/users.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

struct verifier;
struct verification;

struct verifier *verifier_new(uv_loop_t *loop);
/* What is under way ends by itself, with nobody told. Clears the pointer. */
void verifier_free(struct verifier **verifier);

/* done is called once, later. Addresses (of IPv6 each /64) take turns: who tries many
 * passwords waits longest. NULL: too many wait already, of all or of client's address.
 * Texts are copied, and wiped. */
struct verification *verifier_start(struct verifier *verifier, struct users *users,
	const struct sockaddr *client, const char *user, const char *password,
	void (*done)(void *context, bool good), void *context);
/* done will not be called. Clears the pointer; takes NULL in it. */
void verification_forget(struct verification **verification);

#endif
