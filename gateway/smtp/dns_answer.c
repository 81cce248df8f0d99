/* c-ares reads the records; how long they hold, it says of some types only, so that the
 * message's records are walked here for it. */
#include "gateway/smtp/dns_answer.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <string.h>

#define TTL_MAX_S    3600
#define FAILED_TTL_S 60
#define RECORDS_MAX  256
#define SOA_NUMBERS  20 /* octets at its end: five numbers, the last its minimum */

/* ---- how long it holds ---- */

struct walk {
	const unsigned char *message, *at;
	int n_octets;
};

static size_t left(const struct walk *walk)
{
	return (size_t)(walk->message + walk->n_octets - walk->at);
}

static bool skip_name(struct walk *walk)
{
	char *name = NULL;
	long n_octets = 0;
	if (!left(walk) || ares_expand_name(walk->at, walk->message, walk->n_octets,
				   &name, &n_octets) != ARES_SUCCESS)
		return false;
	ares_free_string(name);
	walk->at += n_octets;
	return true;
}

static unsigned number_at(const unsigned char *octets, size_t n_octets)
{
	unsigned number = 0;
	for (size_t i = 0; i < n_octets; i++)
		number = number << 8 | octets[i];
	return number;
}

/* A record's TTL; of an SOA what RFC 2308 has instead: no more than its minimum. */
static bool next_ttl(struct walk *walk, unsigned *ttl_s)
{
	if (!skip_name(walk) || left(walk) < NS_RRFIXEDSZ)
		return false;
	unsigned type = number_at(walk->at, 2);
	unsigned n_data = number_at(walk->at + 8, 2);
	*ttl_s = number_at(walk->at + 4, 4);
	walk->at += NS_RRFIXEDSZ;
	if (left(walk) < n_data)
		return false;
	walk->at += n_data;
	if (type == ns_t_soa && n_data >= SOA_NUMBERS)
		*ttl_s = MIN(*ttl_s, number_at(walk->at - 4, 4));
	return true;
}

/* The least of all records of the answer (there are none in a negative one) or, without
 * those, of the authority section. */
static unsigned ttl_of(const unsigned char *octets, int n_octets)
{
	if (!octets || n_octets < NS_HFIXEDSZ)
		return FAILED_TTL_S;
	struct walk walk = { octets, octets + NS_HFIXEDSZ, n_octets };
	for (unsigned n = number_at(octets + 4, 2); n > 0; n--) {
		if (!skip_name(&walk) || left(&walk) < NS_QFIXEDSZ)
			return FAILED_TTL_S;
		walk.at += NS_QFIXEDSZ;
	}
	unsigned n_records = number_at(octets + 6, 2);
	if (!n_records)
		n_records = number_at(octets + 8, 2);
	unsigned least_s = n_records ? TTL_MAX_S : FAILED_TTL_S, ttl_s;
	for (n_records = MIN(n_records, RECORDS_MAX); n_records > 0; n_records--) {
		if (!next_ttl(&walk, &ttl_s))
			return FAILED_TTL_S;
		least_s = MIN(least_s, ttl_s);
	}
	return least_s;
}

/* ---- what it says ---- */

static void set_addresses(
	struct dns_answer *answer, const struct dns_address *addresses, size_t n)
{
	answer->n_addresses = n;
	answer->addresses = g_memdup2(addresses, n * sizeof(*addresses));
}

static int read_a(struct dns_answer *answer, const unsigned char *octets, int n_octets)
{
	struct ares_addrttl records[DNS_ADDRESSES_MAX];
	struct dns_address addresses[DNS_ADDRESSES_MAX];
	int n = DNS_ADDRESSES_MAX;
	int status = ares_parse_a_reply(octets, n_octets, NULL, records, &n);
	if (status != ARES_SUCCESS || n < 1)
		return status == ARES_SUCCESS ? ARES_ENODATA : status;
	for (int i = 0; i < n; i++) {
		addresses[i] = (struct dns_address){ .family = AF_INET, .n_octets = 4 };
		memcpy(addresses[i].octets, &records[i].ipaddr, 4);
	}
	set_addresses(answer, addresses, (size_t)n);
	return ARES_SUCCESS;
}

static int read_aaaa(struct dns_answer *answer, const unsigned char *octets, int n_octets)
{
	struct ares_addr6ttl records[DNS_ADDRESSES_MAX];
	struct dns_address addresses[DNS_ADDRESSES_MAX];
	int n = DNS_ADDRESSES_MAX;
	int status = ares_parse_aaaa_reply(octets, n_octets, NULL, records, &n);
	if (status != ARES_SUCCESS || n < 1)
		return status == ARES_SUCCESS ? ARES_ENODATA : status;
	for (int i = 0; i < n; i++) {
		addresses[i] = (struct dns_address){ .family = AF_INET6, .n_octets = 16 };
		memcpy(addresses[i].octets, &records[i].ip6addr, 16);
	}
	set_addresses(answer, addresses, (size_t)n);
	return ARES_SUCCESS;
}

static int read_ptr(struct dns_answer *answer, const unsigned char *octets, int n_octets)
{
	struct hostent *host = NULL;
	int status = ares_parse_ptr_reply(octets, n_octets, NULL, 0, AF_INET, &host);
	/* c-ares takes no message that has a name which is no host's */
	if (status == ARES_EBADRESP || status == ARES_EBADNAME)
		return ARES_ENODATA;
	if (status != ARES_SUCCESS)
		return status;
	for (char **name = host->h_aliases; *name && answer->n_names < DNS_NAMES_MAX;
		name++)
		if (dns_name_is_host(*name))
			answer->names[answer->n_names++] = g_strdup(*name);
	ares_free_hostent(host);
	return answer->n_names ? ARES_SUCCESS : ARES_ENODATA;
}

struct dns_answer *dns_answer_new(
	enum dns_type type, int status, const unsigned char *octets, int n_octets)
{
	static int (*const readers[])(struct dns_answer *, const unsigned char *, int) = {
		[DNS_A] = read_a,
		[DNS_AAAA] = read_aaaa,
		[DNS_PTR] = read_ptr,
	};
	struct dns_answer *answer = g_rc_box_new0(struct dns_answer);
	if (status == ARES_SUCCESS)
		status = readers[type](answer, octets, n_octets);
	if (status == ARES_SUCCESS)
		answer->result = DNS_FOUND;
	else if (status == ARES_ENODATA || status == ARES_ENOTFOUND)
		answer->result = DNS_NONE;
	else
		answer->result = DNS_FAILED;
	answer->ttl_s =
		answer->result == DNS_FAILED ? FAILED_TTL_S : ttl_of(octets, n_octets);
	return answer;
}

struct dns_answer *dns_answer_ref(struct dns_answer *answer)
{
	return g_rc_box_acquire(answer);
}

static void clear(void *box)
{
	struct dns_answer *answer = box;
	for (size_t i = 0; i < answer->n_names; i++)
		g_free(answer->names[i]);
	g_free((void *)answer->addresses);
}

void dns_answer_unref(struct dns_answer *answer)
{
	if (answer)
		g_rc_box_release_full(answer, clear);
}

/* ---- what follows from it ---- */

bool dns_answer_has(const struct dns_answer *answer, const struct dns_address *address)
{
	for (size_t i = 0; i < answer->n_addresses; i++) {
		const struct dns_address *one = &answer->addresses[i];
		if (one->family == address->family &&
			!memcmp(one->octets, address->octets, one->n_octets))
			return true;
	}
	return false;
}

static enum dns_listing judge(const struct dns_address *address)
{
	static const uint8_t declined[] = { 127, 255, 255 };
	if (address->family != AF_INET || address->octets[0] != 127)
		return DNS_NO_LIST;
	return memcmp(address->octets, declined, sizeof(declined)) ? DNS_LISTED
								   : DNS_DECLINED;
}

enum dns_listing dns_answer_listing(const struct dns_answer *answer)
{
	if (answer->result != DNS_FOUND)
		return answer->result == DNS_NONE ? DNS_UNLISTED : DNS_UNKNOWN;
	enum dns_listing listing = DNS_NO_LIST;
	for (size_t i = 0; i < answer->n_addresses; i++) {
		enum dns_listing one = judge(&answer->addresses[i]);
		/* A list that declines may say so of anything: it lists nothing then. */
		if (one == DNS_DECLINED)
			return DNS_DECLINED;
		if (one == DNS_LISTED)
			listing = DNS_LISTED;
	}
	return listing;
}
