/* Addresses turned round into names; what may be a host's name. */
#include "gateway/smtp/dns_name.h"

#include <glib.h>
#include <netinet/in.h>
#include <string.h>

#define LABEL_BYTES_MAX 63

struct dns_address dns_address_of(const struct sockaddr *address)
{
	struct dns_address result = { .family = AF_UNSPEC };
	const void *octets = NULL;
	if (address->sa_family == AF_INET) {
		result.family = AF_INET;
		octets = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	} else if (address->sa_family == AF_INET6) {
		const struct in6_addr *v6 =
			&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
		result.family = mapped ? AF_INET : AF_INET6;
		octets = mapped ? v6->s6_addr + 12 : v6->s6_addr;
	}
	if (!octets)
		return result;
	result.n_octets = result.family == AF_INET ? 4 : 16;
	memcpy(result.octets, octets, result.n_octets);
	return result;
}

char *dns_name_listed(const struct dns_address *address, const char *zone)
{
	g_autoptr(GString) name = g_string_sized_new(128);
	for (size_t i = address->n_octets; i-- > 0;) {
		unsigned octet = address->octets[i];
		if (address->family == AF_INET)
			g_string_append_printf(name, "%u.", octet);
		else
			g_string_append_printf(name, "%x.%x.", octet & 0xf, octet >> 4);
	}
	if (!name->len)
		return NULL;
	g_string_append(name, zone);
	if (name->len > DNS_NAME_BYTES_MAX)
		return NULL;
	return g_string_free(g_steal_pointer(&name), FALSE);
}

char *dns_name_reverse(const struct dns_address *address)
{
	return dns_name_listed(
		address, address->family == AF_INET ? "in-addr.arpa" : "ip6.arpa");
}

static bool label_is_good(const char *label, size_t n_bytes)
{
	if (n_bytes < 1 || n_bytes > LABEL_BYTES_MAX || label[0] == '-' ||
		label[n_bytes - 1] == '-')
		return false;
	for (size_t i = 0; i < n_bytes; i++)
		if (!g_ascii_isalnum(label[i]) && label[i] != '-' && label[i] != '_')
			return false;
	return true;
}

bool dns_name_is_host(const char *name)
{
	if (strlen(name) > DNS_NAME_BYTES_MAX)
		return false;
	const char *label = name;
	for (;;) {
		size_t n_bytes = strcspn(label, ".");
		if (!label_is_good(label, n_bytes))
			return false;
		if (!label[n_bytes])
			return strspn(label, "0123456789") < n_bytes;
		label += n_bytes + 1;
	}
}
