/* A count per second of the loop's clock. */
#include "gateway/smtp/telling.h"

#define TOLD_PER_SECOND_MAX 20

bool telling_may(struct telling *telling, uint64_t now_ms, unsigned *happened)
{
	uint64_t second = now_ms / 1000;
	telling->happened++;
	if (second != telling->second)
		telling->told = 0;
	telling->second = second;
	if (telling->told == TOLD_PER_SECOND_MAX)
		return false;
	telling->told++;
	*happened = telling->happened;
	telling->happened = 0;
	return true;
}
