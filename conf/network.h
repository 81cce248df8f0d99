/*
 * network - an address range in CIDR notation (RFC 4632, RFC 4291 section 2.3). Pure.
 */
#ifndef CONF_NETWORK_H
#define CONF_NETWORK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct conf_network {
	int family; /* AF_INET or AF_INET6 */
	uint8_t address[16];
	unsigned prefix_bits;
};

/* Parses "10.1.0.0/16", "10.1.2.3", "fd00::/8". Host bits set beyond
 * the prefix: an error. */
bool conf_network_parse(const char *text, struct conf_network *network, GError **error);

/* IPv4-mapped IPv6 addresses are taken as IPv4. */
bool conf_network_contains(
	const struct conf_network *network, const struct sockaddr *address);

/* Whether one of n networks contains it. */
bool conf_networks_contain(
	const struct conf_network *networks, size_t n, const struct sockaddr *address);

/* Whether every address of the network is loopback. */
bool conf_network_is_loopback(const struct conf_network *network);

/* Whether every address of the network is for private use or loopback (RFC 1918, 6598,
 * 3927, 4193, link-local). */
bool conf_network_is_private(const struct conf_network *network);

/* Whether it is so wide (IPv4 below /8, IPv6 below /16) that it names no
 * network in particular. */
bool conf_network_is_world(const struct conf_network *network);

/* Whether the address is loopback (127.0.0.0/8, ::1, mapped). */
bool conf_address_is_loopback(const struct sockaddr *address);

/* "HOST:PORT" or "[V6]:PORT", numeric only; port 0 is taken (settings refuse it). */
bool conf_address_parse(
	const char *text, struct sockaddr_storage *address, GError **error);

#endif
