/* Follows proxies back to who asked. What that one may, others decide. */
#include "gateway/admin/requester.h"

#include <arpa/inet.h>
#include <string.h>

#define HOPS_MAX 16

static void unmap(struct sockaddr_storage *address)
{
	const struct sockaddr_in6 ipv6 = *(const struct sockaddr_in6 *)address;
	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr))
		return;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
	memset(address, 0, sizeof(*address));
	ipv4->sin_family = AF_INET;
	ipv4->sin_port = ipv6.sin6_port;
	memcpy(&ipv4->sin_addr, ipv6.sin6_addr.s6_addr + 12, sizeof(ipv4->sin_addr));
}

/* One hop as proxies write it: ADDRESS, IPV4:PORT, [IPV6] or [IPV6]:PORT. */
static bool read_hop(const char *text, struct sockaddr_storage *address)
{
	char bare[INET6_ADDRSTRLEN];
	const char *colon = strchr(text, ':');
	bool bracketed = *text == '[';
	text += bracketed;
	size_t bytes = strlen(text);
	if (bracketed)
		bytes = strcspn(text, "]");
	else if (colon && !strchr(colon + 1, ':'))
		bytes = (size_t)(colon - text);
	if (bytes >= sizeof(bare))
		return false;
	memcpy(bare, text, bytes);
	bare[bytes] = '\0';
	*address = (struct sockaddr_storage){ .ss_family = AF_INET };
	if (inet_pton(AF_INET, bare, &((struct sockaddr_in *)address)->sin_addr) == 1)
		return true;
	address->ss_family = AF_INET6;
	return inet_pton(AF_INET6, bare, &((struct sockaddr_in6 *)address)->sin6_addr) ==
	       1;
}

void requester_find(struct sockaddr_storage *requester, const struct sockaddr *peer,
	const char *forwarded_for, const struct conf_network *proxies, size_t n)
{
	*requester = (struct sockaddr_storage){ 0 };
	memcpy(requester, peer,
		peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					    : sizeof(struct sockaddr_in));
	unmap(requester);
	g_auto(GStrv) hops = g_strsplit(forwarded_for ? forwarded_for : "", ",", -1);
	size_t left = g_strv_length(hops);
	for (size_t hop = 0; hop < HOPS_MAX && left > 0; hop++) {
		struct sockaddr_storage before;
		if (!conf_networks_contain(
			    proxies, n, (const struct sockaddr *)requester) ||
			!read_hop(g_strstrip(hops[--left]), &before))
			return;
		unmap(&before);
		*requester = before;
	}
}

void requester_print(
	const struct sockaddr_storage *requester, char text[static INET6_ADDRSTRLEN])
{
	const void *octets = NULL;
	*text = '\0';
	if (requester->ss_family == AF_INET)
		octets = &((const struct sockaddr_in *)requester)->sin_addr;
	else if (requester->ss_family == AF_INET6)
		octets = &((const struct sockaddr_in6 *)requester)->sin6_addr;
	if (octets)
		inet_ntop(requester->ss_family, octets, text, INET6_ADDRSTRLEN);
}
