/*
 * dns_name - the names that are asked of the DNS about an address. Pure.
 */
#ifndef GATEWAY_SMTP_DNS_NAME_H
#define GATEWAY_SMTP_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Octets of a name's text (RFC 1035: 255 on the wire). */
#define DNS_NAME_BYTES_MAX 253

/* An address as the DNS sees it: IPv4 in IPv6's clothes is IPv4. */
struct dns_address {
	int family; /* AF_INET or AF_INET6; AF_UNSPEC: neither */
	size_t n_octets;
	uint8_t octets[16];
};

struct dns_address dns_address_of(const struct sockaddr *address);

/* The name under which zone lists address (RFC 5782, 2.1 and 2.4): octets or nibbles,
 * the last first. g_free(). NULL: it would be too long, or there is no address. */
char *dns_name_listed(const struct dns_address *address, const char *zone);

/* The name of its PTR records (RFC 1035, 3.5; RFC 3596, 2.5); as above. */
char *dns_name_reverse(const struct dns_address *address);

/* Whether it is a host's name: letters, digits, hyphens and underscores in labels of up
 * to 63, the last of which is no number. */
bool dns_name_is_host(const char *name);

#endif
