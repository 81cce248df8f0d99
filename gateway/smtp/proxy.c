/* Two parsers behind one signature check. Strict: proxies are machines. */
#include "gateway/smtp/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define V1_BYTES_MAX   107
#define V2_PREFIX      16
#define V2_LOCAL       0x20
#define V2_PROXY       0x21
#define V2_UNSPECIFIED 0x00
#define V2_TCP4        0x11
#define V2_TCP6        0x21
#define TLV_PREFIX     3

static const char v1_signature[] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const char v2_signature[] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U',
	'I', 'T', '\n' };

/* Whether bytes begin with signature, as far as they go. */
static bool may_begin(
	const char *bytes, size_t n_bytes, const char *signature, size_t signature_bytes)
{
	size_t n = n_bytes < signature_bytes ? n_bytes : signature_bytes;
	return !n || !memcmp(bytes, signature, n);
}

static void set_ipv4(struct sockaddr_storage *client, const void *address, in_port_t port)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)client;
	memset(client, 0, sizeof(*client));
	ipv4->sin_family = AF_INET;
	ipv4->sin_port = port;
	memcpy(&ipv4->sin_addr, address, sizeof(ipv4->sin_addr));
}

static void set_ipv6(
	struct sockaddr_storage *client, const struct in6_addr *address, in_port_t port)
{
	if (IN6_IS_ADDR_V4MAPPED(address)) {
		set_ipv4(client, &address->s6_addr[12], port);
		return;
	}
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)client;
	memset(client, 0, sizeof(*client));
	ipv6->sin6_family = AF_INET6;
	ipv6->sin6_port = port;
	ipv6->sin6_addr = *address;
}

/* ---- version 1: a line of text ---- */

struct words {
	const char *at;
	bool broken;
};

/* The next word, ended by one space or by the end of the line. */
static const char *next_word(struct words *words, char *word, size_t room, char end)
{
	size_t n = strcspn(words->at, " ");
	bool ends_well = words->at[n] == end;
	if (!n || n >= room || !ends_well) {
		words->broken = true;
		return "";
	}
	memcpy(word, words->at, n);
	word[n] = '\0';
	words->at += n + (end == ' ');
	return word;
}

/* Decimal, without leading zeros, at most 65535. */
static bool parse_port(const char *word, in_port_t *port)
{
	uint32_t number = 0;
	size_t n = strlen(word);
	if (!n || n > 5 || strspn(word, "0123456789") != n || (n > 1 && *word == '0'))
		return false;
	for (; *word; word++)
		number = number * 10 + (uint32_t)(*word - '0');
	*port = htons((uint16_t)number);
	return number <= UINT16_MAX;
}

/* "SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT" */
static enum proxy_status parse_v1_addresses(
	const char *text, int family, struct sockaddr_storage *client)
{
	struct words words = { .at = text };
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	char source_port[8], destination_port[8];
	struct in6_addr address, unused;
	in_port_t port, unused_port;
	next_word(&words, source, sizeof(source), ' ');
	next_word(&words, destination, sizeof(destination), ' ');
	next_word(&words, source_port, sizeof(source_port), ' ');
	next_word(&words, destination_port, sizeof(destination_port), '\0');
	if (words.broken || inet_pton(family, source, &address) != 1 ||
		inet_pton(family, destination, &unused) != 1 ||
		!parse_port(source_port, &port) ||
		!parse_port(destination_port, &unused_port))
		return PROXY_MALFORMED;
	if (family == AF_INET)
		set_ipv4(client, &address, port);
	else
		set_ipv6(client, &address, port);
	return PROXY_CLIENT;
}

/* line is behind the signature, without its CR LF. */
static enum proxy_status parse_v1_line(const char *line, struct sockaddr_storage *client)
{
	if (!strncmp(line, "TCP4 ", 5))
		return parse_v1_addresses(line + 5, AF_INET, client);
	if (!strncmp(line, "TCP6 ", 5))
		return parse_v1_addresses(line + 5, AF_INET6, client);
	bool is_unknown = !strcmp(line, "UNKNOWN") || !strncmp(line, "UNKNOWN ", 8);
	return is_unknown ? PROXY_LOCAL : PROXY_MALFORMED;
}

static enum proxy_status parse_v1(const char *bytes, size_t n_bytes,
	struct sockaddr_storage *client, size_t *header_bytes)
{
	size_t room = n_bytes < V1_BYTES_MAX ? n_bytes : V1_BYTES_MAX;
	const char *end = memchr(bytes, '\n', room);
	if (!end)
		return room == V1_BYTES_MAX ? PROXY_MALFORMED : PROXY_MORE;
	size_t line_bytes = (size_t)(end - bytes) - sizeof(v1_signature);
	char line[V1_BYTES_MAX + 1];
	memcpy(line, bytes + sizeof(v1_signature), line_bytes);
	if (!line_bytes || line[line_bytes - 1] != '\r')
		return PROXY_MALFORMED;
	line[line_bytes - 1] = '\0';
	if (strlen(line) != line_bytes - 1)
		return PROXY_MALFORMED; /* a NUL */
	*header_bytes = (size_t)(end - bytes) + 1;
	return parse_v1_line(line, client);
}

/* ---- version 2: a length, addresses, type-length-values ---- */

static size_t read_uint16(const unsigned char *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* None of their meaning matters here, but that they fill the header. */
static bool has_good_tlvs(const unsigned char *bytes, size_t n_bytes)
{
	while (n_bytes) {
		if (n_bytes < TLV_PREFIX)
			return false;
		size_t whole = TLV_PREFIX + read_uint16(bytes + 1);
		if (whole > n_bytes)
			return false;
		bytes += whole;
		n_bytes -= whole;
	}
	return true;
}

static enum proxy_status parse_v2_block(unsigned char family, const unsigned char *block,
	size_t n_bytes, struct sockaddr_storage *client)
{
	size_t address_bytes = family == V2_TCP4 ? 4 : 16;
	size_t all = 2 * (address_bytes + sizeof(in_port_t));
	in_port_t port;
	struct in6_addr ipv6;
	if (family == V2_UNSPECIFIED)
		return PROXY_LOCAL;
	if ((family != V2_TCP4 && family != V2_TCP6) || n_bytes < all ||
		!has_good_tlvs(block + all, n_bytes - all))
		return PROXY_MALFORMED;
	memcpy(&port, block + 2 * address_bytes, sizeof(port));
	if (family == V2_TCP4) {
		set_ipv4(client, block, port);
		return PROXY_CLIENT;
	}
	memcpy(&ipv6, block, sizeof(ipv6));
	set_ipv6(client, &ipv6, port);
	return PROXY_CLIENT;
}

static enum proxy_status parse_v2(const unsigned char *bytes, size_t n_bytes,
	struct sockaddr_storage *client, size_t *header_bytes)
{
	size_t signature_bytes = sizeof(v2_signature);
	if (n_bytes > signature_bytes && bytes[signature_bytes] != V2_LOCAL &&
		bytes[signature_bytes] != V2_PROXY)
		return PROXY_MALFORMED;
	if (n_bytes < V2_PREFIX)
		return PROXY_MORE;
	size_t block_bytes = read_uint16(bytes + V2_PREFIX - 2);
	if (V2_PREFIX + block_bytes > PROXY_HEADER_BYTES_MAX)
		return PROXY_MALFORMED;
	if (n_bytes < V2_PREFIX + block_bytes)
		return PROXY_MORE;
	*header_bytes = V2_PREFIX + block_bytes;
	if (bytes[signature_bytes] == V2_LOCAL)
		return PROXY_LOCAL; /* whatever else it says */
	return parse_v2_block(
		bytes[signature_bytes + 1], bytes + V2_PREFIX, block_bytes, client);
}

enum proxy_status proxy_parse(const char *bytes, size_t n_bytes,
	struct sockaddr_storage *client, size_t *header_bytes)
{
	bool may_be_v1 = may_begin(bytes, n_bytes, v1_signature, sizeof(v1_signature));
	bool may_be_v2 = may_begin(bytes, n_bytes, v2_signature, sizeof(v2_signature));
	if (!may_be_v1 && !may_be_v2)
		return PROXY_MALFORMED;
	if (may_be_v1 && n_bytes >= sizeof(v1_signature))
		return parse_v1(bytes, n_bytes, client, header_bytes);
	if (may_be_v2 && n_bytes >= sizeof(v2_signature))
		return parse_v2(
			(const unsigned char *)bytes, n_bytes, client, header_bytes);
	return PROXY_MORE;
}
