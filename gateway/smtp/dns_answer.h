/*
 * dns_answer - what a name server said, read without trust. Pure.
 *
 * Of an answer are kept at most DNS_ADDRESSES_MAX addresses and DNS_NAMES_MAX names.
 * Immutable and reference-counted: dns_answer_ref(), dns_answer_unref(). Thread: one.
 */
#ifndef GATEWAY_SMTP_DNS_ANSWER_H
#define GATEWAY_SMTP_DNS_ANSWER_H

#include "gateway/smtp/dns_name.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DNS_ADDRESSES_MAX 32
#define DNS_NAMES_MAX     4

enum dns_type { DNS_A, DNS_AAAA, DNS_PTR };

enum dns_result {
	DNS_FOUND,
	DNS_NONE,   /* there is no such name, or nothing of the type has it */
	DNS_FAILED, /* that could not be found out */
};

struct dns_answer {
	enum dns_result result;
	unsigned ttl_s; /* how long it holds; of DNS_FAILED: how long not to ask again */
	size_t n_addresses;
	const struct dns_address *addresses; /* of DNS_A, DNS_AAAA */
	size_t n_names;
	char *names[DNS_NAMES_MAX]; /* of DNS_PTR, hosts' names only */
};

/* status is c-ares', octets (lent) the server's message; NULL: none came. */
struct dns_answer *dns_answer_new(
	enum dns_type type, int status, const unsigned char *octets, int n_octets);
struct dns_answer *dns_answer_ref(struct dns_answer *answer);
void dns_answer_unref(struct dns_answer *answer); /* NULL is taken */

bool dns_answer_has(const struct dns_answer *answer, const struct dns_address *address);

/* What a block list's answer about an address says (RFC 5782, 2.1 and 5). */
enum dns_listing {
	DNS_UNLISTED,
	DNS_LISTED,
	DNS_DECLINED, /* 127.255.255.0/24: the list does not answer us */
	DNS_NO_LIST,  /* outside 127.0.0.0/8: no block list says that */
	DNS_UNKNOWN,  /* no answer */
};
enum dns_listing dns_answer_listing(const struct dns_answer *answer);

#endif
