/* Messages of a name server, for tests: right ones, and wrong ones made of those. */
#ifndef TESTS_UNIT_SMTP_DNS_MESSAGE_H
#define TESTS_UNIT_SMTP_DNS_MESSAGE_H

#include <glib.h>
#include <stdint.h>

enum { DNS_MESSAGE_HEADER_BYTES = 12 };

/* A response (RFC 1035, 4.1) with its question, without records. */
GByteArray *dns_message_new(uint16_t id, unsigned rcode, const char *name, unsigned type);

/* Appends a record to the answer section, or (is_authority) to the authority section,
 * which comes behind it. data: "127.0.0.2" of an A, "::1" of an AAAA, a name of a PTR or
 * CNAME, the minimum in seconds of an SOA. */
void dns_message_add(GByteArray *message, gboolean is_authority, const char *name,
	unsigned type, uint32_t ttl_s, const char *data);

/* The name asked for; g_free(). NULL: this is no question. *type and *n_octets are of the
 * whole question, header included. */
char *dns_message_question(
	const uint8_t *octets, size_t n_octets, unsigned *type, size_t *n_question);

#endif
