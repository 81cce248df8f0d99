/*
 * policy - who may send what to whom: default deny. Pure.
 */
#ifndef GATEWAY_POLICY_POLICY_H
#define GATEWAY_POLICY_POLICY_H

#include "conf/conf.h"
#include <stdbool.h>
#include <sys/socket.h>

enum policy_verdict {
	POLICY_ACCEPT,
	POLICY_AUTH_NEEDED, /* 530 5.7.0 */
	POLICY_NO_RELAY,    /* 550 5.7.1: not for strangers, or not a domain of the map */
	POLICY_NO_SUCH,     /* 550 5.1.1: the listener's map does not have it */
	POLICY_LOOP,        /* 550 5.4.6: it would come back here */
};

/* Whether a client at address may use the listener at all. */
bool policy_client(const struct conf_listener *listener, const struct sockaddr *address);

/*
 * Whether mail for address (local-part@domain, unquoted where possible; "postmaster"
 * alone is taken as postmaster@hostname) may pass, and where it goes: *forward_path,
 * g_free(), only with POLICY_ACCEPT. user is NULL without AUTH.
 *
 * With a map, the listener takes what the map has and nothing else. Without one,
 * anything for authenticated users and, where auth is not required, for clients of
 * the listener's networks. An address that any listener's map receives for is then
 * led through that map as well, until it leaves; what would not leave is a loop.
 * Domains in relay.delivers may stay.
 */
enum policy_verdict policy_recipient(const struct conf *conf,
	const struct conf_listener *listener, const struct sockaddr *client,
	const char *user, const char *address, char **forward_path);

#endif
