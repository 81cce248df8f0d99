/*
 * proxy - the PROXY protocol's header, versions 1 and 2, from bytes to addresses. Pure.
 *
 * Source: haproxy's doc/proxy-protocol.txt, "The PROXY protocol Versions 1 & 2". No byte
 * beyond the header is looked at; it may come in pieces.
 */
#ifndef GATEWAY_SMTP_PROXY_H
#define GATEWAY_SMTP_PROXY_H

#include <stddef.h>
#include <sys/socket.h>

/* Of a whole header: version 1 has at most 107 octets, version 2 what it says, its TLVs
 * included, up to this. */
#define PROXY_HEADER_BYTES_MAX 4096

enum proxy_status {
	PROXY_MORE,      /* it is not whole yet */
	PROXY_CLIENT,    /* the client's address was given */
	PROXY_LOCAL,     /* LOCAL or UNKNOWN: the connection is the proxy's own */
	PROXY_MALFORMED, /* no such header, or a broken one */
};

/* Reads the header at the beginning of bytes. Unless MORE or MALFORMED, *header_bytes is
 * its length; with CLIENT, *client is the source address (IPv4 or IPv6; IPv4 mapped to
 * IPv6 comes out as IPv4). */
enum proxy_status proxy_parse(const char *bytes, size_t n_bytes,
	struct sockaddr_storage *client, size_t *header_bytes);

#endif
