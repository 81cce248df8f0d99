#include "dns_message.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <string.h>

static void add_number(GByteArray *message, uint64_t number, unsigned n_octets)
{
	while (n_octets-- > 0) {
		uint8_t octet = (uint8_t)(number >> (8 * n_octets));
		g_byte_array_append(message, &octet, 1);
	}
}

static void add_name(GByteArray *message, const char *name)
{
	g_auto(GStrv) labels = g_strsplit(name, ".", -1);
	for (char **label = labels; *label; label++) {
		uint8_t n = (uint8_t)strlen(*label);
		g_byte_array_append(message, &n, 1);
		g_byte_array_append(message, (const uint8_t *)*label, n);
	}
	add_number(message, 0, 1);
}

GByteArray *dns_message_new(uint16_t id, unsigned rcode, const char *name, unsigned type)
{
	GByteArray *message = g_byte_array_new();
	add_number(message, id, 2);
	add_number(
		message, 0x8180u | rcode, 2); /* a response; recursion wanted, there is */
	add_number(message, 1, 2);
	add_number(message, 0, 6);
	add_name(message, name);
	add_number(message, type, 2);
	add_number(message, ns_c_in, 2);
	return message;
}

static void add_data(GByteArray *data, unsigned type, const char *text)
{
	uint8_t address[16];
	switch (type) {
	case ns_t_a:
		g_assert_cmpint(inet_pton(AF_INET, text, address), ==, 1);
		g_byte_array_append(data, address, 4);
		break;
	case ns_t_aaaa:
		g_assert_cmpint(inet_pton(AF_INET6, text, address), ==, 1);
		g_byte_array_append(data, address, 16);
		break;
	case ns_t_soa:
		add_name(data, "ns.test");
		add_name(data, "root.test");
		for (uint32_t number = 1; number <= 4; number++)
			add_number(data, number, 4);
		add_number(data, (uint32_t)g_ascii_strtoull(text, NULL, 10), 4);
		break;
	default:
		add_name(data, text);
	}
}

void dns_message_add(GByteArray *message, gboolean is_authority, const char *name,
	unsigned type, uint32_t ttl_s, const char *data)
{
	g_autoptr(GByteArray) octets = g_byte_array_new();
	add_data(octets, type, data);
	add_name(message, name);
	add_number(message, type, 2);
	add_number(message, ns_c_in, 2);
	add_number(message, ttl_s, 4);
	add_number(message, octets->len, 2);
	g_byte_array_append(message, octets->data, octets->len);
	message->data[is_authority ? 9 : 7]++;
}

char *dns_message_question(
	const uint8_t *octets, size_t n_octets, unsigned *type, size_t *n_question)
{
	g_autoptr(GString) name = g_string_new(NULL);
	size_t at = DNS_MESSAGE_HEADER_BYTES;
	while (at < n_octets && octets[at] > 0) {
		size_t n = octets[at];
		if (at + 1 + n >= n_octets)
			return NULL;
		g_string_append_printf(name, "%s%.*s", name->len ? "." : "", (int)n,
			(const char *)octets + at + 1);
		at += 1 + n;
	}
	if (at + 5 > n_octets)
		return NULL;
	*type = (unsigned)octets[at + 1] << 8 | octets[at + 2];
	*n_question = at + 5;
	return g_string_free(g_steal_pointer(&name), FALSE);
}
