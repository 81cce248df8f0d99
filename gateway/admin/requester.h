/*
 * requester - whose request it is: the peer's or, behind proxies, whom X-Forwarded-For
 * names. Pure.
 */
#ifndef GATEWAY_ADMIN_REQUESTER_H
#define GATEWAY_ADMIN_REQUESTER_H

#include "conf/network.h"
#include <netinet/in.h>

/*
 * The last address that is not one of n proxies: peer's where it is none, else those of
 * forwarded_for (the field's values in their order, joined by commas; NULL: none) from
 * its end. What was named by anyone but a proxy is not believed. IPv4-mapped addresses
 * become IPv4; the port is 0 unless it is the peer.
 */
void requester_find(struct sockaddr_storage *requester, const struct sockaddr *peer,
	const char *forwarded_for, const struct conf_network *proxies, size_t n);

/* "" for what is no IP address. */
void requester_print(
	const struct sockaddr_storage *requester, char text[static INET6_ADDRSTRLEN]);

#endif
