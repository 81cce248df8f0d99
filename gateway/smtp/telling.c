/* Counts per second or minute of the loop's clock. */
#include "gateway/smtp/telling.h"

#include <netinet/in.h>
#include <string.h>

#define TOLD_PER_SECOND_MAX       20
#define SHARE_TOLD_PER_MINUTE_MAX 600

static bool may_tell(
	struct telling *telling, uint64_t period, unsigned told_max, unsigned *happened)
{
	telling->happened++;
	if (period != telling->period)
		telling->told = 0;
	telling->period = period;
	if (telling->told == told_max)
		return false;
	telling->told++;
	*happened = telling->happened;
	telling->happened = 0;
	return true;
}

bool telling_may(struct telling *telling, uint64_t now_ms, unsigned *happened)
{
	return may_tell(telling, now_ms / 1000, TOLD_PER_SECOND_MAX, happened);
}

/* By an IPv4 address or an IPv6 /64. */
static unsigned share_of(const struct sockaddr *client)
{
	uint32_t words[2] = { 0 };
	if (client->sa_family == AF_INET6)
		memcpy(words, &((const struct sockaddr_in6 *)client)->sin6_addr,
			sizeof(words));
	else
		words[0] = ((const struct sockaddr_in *)client)->sin_addr.s_addr;
	uint32_t sum = ntohl(words[0]) ^ ntohl(words[1]);
	/* Knuth's multiplier: the upper bits depend on all others */
	return (sum * UINT32_C(2654435761) >> 16) % TELLING_SHARES;
}

bool tellings_may(struct tellings *tellings, const struct sockaddr *client,
	uint64_t now_ms, unsigned *happened)
{
	return may_tell(&tellings->shares[share_of(client)], now_ms / 60000,
		SHARE_TOLD_PER_MINUTE_MAX, happened);
}
