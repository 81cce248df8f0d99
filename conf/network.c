/* Address ranges and addresses as text; whether they are loopback,
 * private or everybody. */
#include "conf/network.h"

#include "conf/error.h"
#include "conf/value.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, MAPPED_BITS = 96 };

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* Decimal without sign, blanks or leading zeros. */
static bool parse_decimal(const char *text, unsigned max, unsigned *value)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 5 || text[digits] != '\0' ||
		(text[0] == '0' && digits > 1))
		return false;
	unsigned result = 0;
	for (const char *c = text; *c != '\0'; c++)
		result = result * 10 + (unsigned)(*c - '0');
	*value = result;
	return result <= max;
}

static bool bits_are_zero_from(const uint8_t *address, unsigned from, unsigned total)
{
	for (unsigned bit = from; bit < total; bit++)
		if (address[bit / 8] & (0x80u >> (bit % 8)))
			return false;
	return true;
}

static bool bits_are_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

/* ::ffff:a.b.c.d/96+n is a.b.c.d/n: clients of a dual-stack socket
 * are matched as IPv4. */
static void unmap(struct conf_network *network)
{
	if (network->family != AF_INET6 || network->prefix_bits < MAPPED_BITS ||
		memcmp(network->address, mapped_prefix, sizeof(mapped_prefix)) != 0)
		return;
	memmove(network->address, network->address + sizeof(mapped_prefix), 4);
	memset(network->address + 4, 0, sizeof(network->address) - 4);
	network->family = AF_INET;
	network->prefix_bits -= MAPPED_BITS;
}

static bool parse_host(const char *host, struct conf_network *network)
{
	memset(network->address, 0, sizeof(network->address));
	network->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(network->family, host, network->address) == 1;
}

static void error_host_bits(
	const char *host, const struct conf_network *network, GError **error)
{
	struct conf_network base = *network;
	unsigned total = network->family == AF_INET ? V4_BITS : V6_BITS;
	for (unsigned bit = base.prefix_bits; bit < total; bit++)
		base.address[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
	char text[INET6_ADDRSTRLEN];
	inet_ntop(base.family, base.address, text, sizeof(text));
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
		"%s/%u has bits set beyond its prefix: write %s/%u for the network, or "
		"%s for the one address",
		host, network->prefix_bits, text, network->prefix_bits, host);
}

bool conf_network_parse(const char *text, struct conf_network *network, GError **error)
{
	char host[INET6_ADDRSTRLEN];
	size_t length = strcspn(text, "/");
	bool fits = length < sizeof(host);
	if (fits) {
		memcpy(host, text, length);
		host[length] = '\0';
	}
	if (!fits || !parse_host(host, network))
		return conf_value_refuse(text, error,
			"is not a network: write one such as 10.1.0.0/16, 10.1.2.3 or "
			"fd00::/8");

	unsigned total = network->family == AF_INET ? V4_BITS : V6_BITS;
	network->prefix_bits = total;
	if (text[length] == '/' &&
		!parse_decimal(text + length + 1, total, &network->prefix_bits))
		return conf_value_refuse(text, error,
			"is not a network: its prefix must be a number from 0 to %u",
			total);
	if (!bits_are_zero_from(network->address, network->prefix_bits, total)) {
		error_host_bits(host, network, error);
		return false;
	}
	unmap(network);
	return true;
}

/* The bytes of an address and its family, IPv4 where it is IPv4 in IPv6's clothes. */
static const uint8_t *address_bytes(const struct sockaddr *address, int *family)
{
	if (address->sa_family == AF_INET) {
		*family = AF_INET;
		return (const uint8_t *)&(
			(const struct sockaddr_in *)(const void *)address)
			->sin_addr;
	}
	if (address->sa_family != AF_INET6)
		return NULL;
	const uint8_t *bytes =
		((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
	bool mapped = memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
	*family = mapped ? AF_INET : AF_INET6;
	return mapped ? bytes + sizeof(mapped_prefix) : bytes;
}

bool conf_network_contains(
	const struct conf_network *network, const struct sockaddr *address)
{
	int family = AF_UNSPEC;
	const uint8_t *bytes = address_bytes(address, &family);
	return bytes != NULL && family == network->family &&
	       bits_are_equal(bytes, network->address, network->prefix_bits);
}

bool conf_networks_contain(
	const struct conf_network *networks, size_t n, const struct sockaddr *address)
{
	for (size_t i = 0; i < n; i++)
		if (conf_network_contains(&networks[i], address))
			return true;
	return false;
}

static bool lies_in(const struct conf_network *network, const struct conf_network *outer)
{
	return network->family == outer->family &&
	       network->prefix_bits >= outer->prefix_bits &&
	       bits_are_equal(network->address, outer->address, outer->prefix_bits);
}

static const struct conf_network loopback[] = {
	{ AF_INET, { 127 }, 8 },
	{ AF_INET6, { [15] = 1 }, 128 },
};

static const struct conf_network private_use[] = {
	{ AF_INET, { 10 }, 8 },           /* RFC 1918 */
	{ AF_INET, { 172, 16 }, 12 },     /* RFC 1918 */
	{ AF_INET, { 192, 168 }, 16 },    /* RFC 1918 */
	{ AF_INET, { 100, 64 }, 10 },     /* RFC 6598 */
	{ AF_INET, { 169, 254 }, 16 },    /* RFC 3927 */
	{ AF_INET6, { 0xfc }, 7 },        /* RFC 4193 */
	{ AF_INET6, { 0xfe, 0x80 }, 10 }, /* RFC 4291 */
};

bool conf_network_is_loopback(const struct conf_network *network)
{
	for (size_t i = 0; i < G_N_ELEMENTS(loopback); i++)
		if (lies_in(network, &loopback[i]))
			return true;
	return false;
}

bool conf_network_is_private(const struct conf_network *network)
{
	for (size_t i = 0; i < G_N_ELEMENTS(private_use); i++)
		if (lies_in(network, &private_use[i]))
			return true;
	return conf_network_is_loopback(network);
}

bool conf_network_is_world(const struct conf_network *network)
{
	unsigned widest = network->family == AF_INET ? 8 : 16;
	return network->prefix_bits < widest && !conf_network_is_private(network);
}

bool conf_address_is_loopback(const struct sockaddr *address)
{
	return conf_networks_contain(loopback, G_N_ELEMENTS(loopback), address);
}

/* Splits "HOST:PORT" or "[V6]:PORT": host gets the host, the
 * result is the port's text. */
static const char *split_address(const char *text, char host[static INET6_ADDRSTRLEN])
{
	const char *begin = text, *colon = strrchr(text, ':');
	if (colon == NULL)
		return NULL;
	const char *end = colon;
	if (*begin == '[') {
		if (end - begin < 2 || end[-1] != ']')
			return NULL;
		begin++;
		end--;
	}
	size_t length = (size_t)(end - begin);
	if (length == 0 || length >= INET6_ADDRSTRLEN)
		return NULL;
	memcpy(host, begin, length);
	host[length] = '\0';
	/* Without brackets 2001:db8::25 would be taken for an address and port 25. */
	bool is_v6 = strchr(host, ':') != NULL;
	return is_v6 == (*text == '[') ? colon + 1 : NULL;
}

bool conf_address_parse(
	const char *text, struct sockaddr_storage *address, GError **error)
{
	char host[INET6_ADDRSTRLEN];
	struct conf_network parsed;
	unsigned port = 0;
	const char *port_text = split_address(text, host);
	if (port_text == NULL || !parse_host(host, &parsed))
		return conf_value_refuse(text, error,
			"is not a numeric address and port: write one such as "
			"\"0.0.0.0:25\", \"10.1.0.5:25\" or \"[::]:25\"");
	if (!parse_decimal(port_text, UINT16_MAX, &port))
		return conf_value_refuse(text, error,
			"has a wrong port: it must be a number from 1 to 65535");

	memset(address, 0, sizeof(*address));
	if (parsed.family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)address;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		memcpy(&v4->sin_addr, parsed.address, sizeof(v4->sin_addr));
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		memcpy(&v6->sin6_addr, parsed.address, sizeof(v6->sin6_addr));
	}
	return true;
}
