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
 * MAIL's reverse-path and From's addresses against the account's list: the null
 * reverse-path and an account without such a list may be anything. account may be
 * NULL. from as smtp_session_callbacks.data_end has it: a message without From is fine
 * (it gets the reverse-path's), one whose From cannot be read beyond doubt is not.
 * mime_init() has been called.
 */
bool policy_sender(const struct conf_account *account, const char *reverse_path);
bool policy_from(const struct conf_account *account, const char *from);

/* Whether address is postmaster's, of whatever domain: who is refused may write there. */
bool policy_is_postmaster(const char *address);

/* The account's list of recipients; as policy_sender(). "postmaster" alone is always in
 * it: every host takes that (RFC 5321, section 4.5.1). */
bool policy_account_recipient(const struct conf_account *account, const char *address);

/*
 * Whether mail for address (local-part@domain, unquoted where possible; "postmaster"
 * alone is taken as postmaster@hostname) may pass, and where it goes: *forward_path,
 * g_free(), only with POLICY_ACCEPT. user is NULL without AUTH.
 *
 * With a map, the listener takes what the map has and nothing else. Without one,
 * anything for authenticated users and, where auth is not required, for clients of
 * the listener's networks. An address that any listener's map receives for is then
 * led through that map as well, until it leaves; what would not leave is a loop. With
 * sender.envelope_id the envelope address with an ID goes where a map sends it without;
 * what comes back for a report (CONF_SENDER_REPORT) is a loop.
 * Domains in relay.delivers may stay. A domain in U-labels is looked up by its A-labels;
 * where no map changes it, it stays as given.
 */
enum policy_verdict policy_recipient(const struct conf *conf,
	const struct conf_listener *listener, const struct sockaddr *client,
	const char *user, const char *address, char **forward_path);

/* Where mail for address (ASCII) goes on from here, led through the maps as there,
 * whoever sends it: POLICY_ACCEPT with *forward_path, g_free(), or POLICY_LOOP.
 * listener's own map is asked first. */
enum policy_verdict policy_onward(const struct conf *conf,
	const struct conf_listener *listener, const char *address, char **forward_path);

/* Whether a relay that the message may go by can be told of the recipient: SES takes no
 * local part beyond ASCII. */
bool policy_way_is_open(const struct conf *conf, const struct conf_way *way);

#endif
