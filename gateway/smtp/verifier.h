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

struct login {
	const struct sockaddr *client;
	bool is_known; /* user has authenticated from there before */
	const char *user, *password;
};

struct verifier_callbacks {
	/* Asked when its turn has come: false saves the work, and done() is told that
	 * the password is wrong. */
	bool (*is_wanted)(void *context);
	/* Called once, later. */
	void (*done)(void *context, bool good);
};

/* Known logins come before all others, so that guessers do not delay them. Among each,
 * addresses (of IPv6 each /64) take turns: who tries many passwords waits longest. NULL:
 * too many wait already, of all or of the client's address. Texts are copied, and wiped;
 * callbacks are borrowed. */
struct verification *verifier_start(struct verifier *verifier, struct users *users,
	const struct login *login, const struct verifier_callbacks *callbacks,
	void *context);
/* No callback will be called. Clears the pointer; takes NULL in it. */
void verification_forget(struct verification **verification);

#endif
