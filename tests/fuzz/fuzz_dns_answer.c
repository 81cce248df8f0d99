/* Messages of a name server. What is kept of one is within its bounds, and names in it
 * may stand in a header and in the log. */
#include "gateway/smtp/dns_answer.h"
#include "tests/fuzz/fuzz.h"

#include <ares.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { ARES_SUCCESS, ARES_ENOTFOUND, ARES_ESERVFAIL };
	if (size < 2 || size > UINT16_MAX)
		return 0;
	enum dns_type type = data[0] % (DNS_PTR + 1);
	int status = statuses[data[1] % G_N_ELEMENTS(statuses)];
	struct dns_answer *answer =
		dns_answer_new(type, status, data + 2, (int)(size - 2));
	g_assert(answer->ttl_s <= 3600);
	g_assert(answer->n_addresses <= DNS_ADDRESSES_MAX);
	g_assert(answer->n_names <= DNS_NAMES_MAX);
	g_assert((answer->result == DNS_FOUND) ==
		 (answer->n_addresses || answer->n_names));
	for (size_t i = 0; i < answer->n_names; i++)
		g_assert(dns_name_is_host(answer->names[i]));
	dns_answer_listing(answer);
	struct dns_address address = { .family = AF_INET, .n_octets = 4 };
	dns_answer_has(answer, &address);
	dns_answer_unref(answer);
	return 0;
}
