/*
 * ceilings - how much one client, its network or one user may have at a time, in a
 * minute, or get wrong: counted in tables of bounded size.
 *
 * A client's address counts as itself, of IPv6 its /64; a network is a /24, of IPv6 a
 * /48. Rates are per minute, spread: who has used up a minute's worth gets on at that
 * pace. A full table forgets the entry that was quiet longest, and never one with open
 * connections. Pure: time is given. Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_CEILINGS_H
#define GATEWAY_SMTP_CEILINGS_H

#include "conf/conf.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct ceilings;

struct ceilings *ceilings_new(void);
void ceilings_free(struct ceilings **ceilings);

/* Counts a connection, unless listener's ceilings are reached: then a reason for the log,
 * a static text. NULL: counted, to be given back with ceilings_leave(). Several
 * listeners' connections count together. */
const char *ceilings_enter(struct ceilings *ceilings,
	const struct conf_listener *listener, const struct sockaddr *client);
void ceilings_leave(struct ceilings *ceilings, const struct sockaddr *client);

/* One more message or recipient of a client: false where its minute is used up. */
bool ceilings_take_message(struct ceilings *ceilings, const struct conf_ceiling *ceiling,
	const struct sockaddr *client, uint64_t now_ms);
bool ceilings_take_recipient(struct ceilings *ceilings,
	const struct conf_ceiling *ceiling, const struct sockaddr *client,
	uint64_t now_ms);
/* The same of a user; per_minute 0: always true. */
bool ceilings_take_user_message(struct ceilings *ceilings, unsigned per_minute,
	const char *user, uint64_t now_ms);
bool ceilings_take_user_recipient(struct ceilings *ceilings, unsigned per_minute,
	const char *user, uint64_t now_ms);

/*
 * Whether a password may be tried: neither the address nor the user has failed too often
 * (auth.max_failures within auth.failure_window). Where a user once authenticated, its
 * failures elsewhere do not shut it out: nobody can lock a device out by guessing, nor a
 * fleet that shares one name. A user that does not exist is counted as any other.
 */
bool ceilings_may_authenticate(struct ceilings *ceilings, const struct conf *conf,
	const struct sockaddr *client, const char *user, uint64_t now_ms);
/* Whether user authenticated from client's address, not too long ago. */
bool ceilings_knows(
	struct ceilings *ceilings, const struct sockaddr *client, const char *user);
void ceilings_authenticated(struct ceilings *ceilings, const struct conf *conf,
	const struct sockaddr *client, const char *user, bool good, uint64_t now_ms);

#endif
