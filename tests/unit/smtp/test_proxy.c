/* Headers whole, cut at every octet, with mail behind them, and broken in every field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/proxy.h"
#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define TEXT(text) (text), sizeof(text) - 1

/* 192.0.2.1:4660 > 198.51.100.2:25 */
#define V4_BLOCK "\xc0\0\2\1\xc6\x33\x64\2\x12\x34\0\x19"
/* 2001:db8::1:4660 > 2001:db8::2:25 */
#define V6_BLOCK                                                                         \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                       \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"                                       \
	"\x12\x34\0\x19"
/* ::ffff:192.0.2.1:4660 */
#define MAPPED_BLOCK                                                                     \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"                                         \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\2"                                     \
	"\x12\x34\0\x19"

static const struct test_case {
	const char *name;
	const char *bytes;
	size_t n_bytes;
	enum proxy_status status;
	const char *client; /* ADDRESS PORT */
} cases[] = {
	{ "v1, IPv4", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n"), PROXY_CLIENT,
		"192.0.2.1 4660" },
	{ "v1, IPv6", TEXT("PROXY TCP6 2001:db8::1 2001:db8::2 4660 25\r\n"),
		PROXY_CLIENT, "2001:db8::1 4660" },
	{ "v1, mapped", TEXT("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n"),
		PROXY_CLIENT, "192.0.2.1 1" },
	{ "v1, greatest and least port",
		TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 65535 0\r\n"), PROXY_CLIENT,
		"192.0.2.1 65535" },
	{ "v1, longest",
		TEXT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		PROXY_CLIENT, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535" },
	{ "v1, unknown", TEXT("PROXY UNKNOWN\r\n"), PROXY_LOCAL, NULL },
	{ "v1, unknown with more", TEXT("PROXY UNKNOWN ffff::1 ffff::2 65535 x\r\n"),
		PROXY_LOCAL, NULL },
	{ "v1, unknown, 107 octets",
		TEXT("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901"
		     "234567890123456789012345678901234567890\r\n"),
		PROXY_LOCAL, NULL },
	{ "v1, 108 octets",
		TEXT("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901"
		     "2345678901234567890123456789012345678901\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, no address", TEXT("PROXY TCP4\r\n"), PROXY_MALFORMED, NULL },
	{ "v1, in lower case", TEXT("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, LF alone", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, LF at once", TEXT("PROXY \n"), PROXY_MALFORMED, NULL },
	{ "v1, CR within", TEXT("PROXY UNKNOWN\rx\r\n"), PROXY_MALFORMED, NULL },
	{ "v1, NUL within", TEXT("PROXY UNKNOWN \0\r\n"), PROXY_MALFORMED, NULL },
	{ "v1, two spaces", TEXT("PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, space at the end", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, a word more", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, a word less", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, another family", TEXT("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, IPv6 in TCP4", TEXT("PROXY TCP4 ::1 ::2 1 2\r\n"), PROXY_MALFORMED, NULL },
	{ "v1, IPv4 in TCP6", TEXT("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, zeros lead an address", TEXT("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, an octet of 256", TEXT("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, zeros lead a port", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, a port beyond", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, a port far beyond",
		TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 4294967297 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, a signed port", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, no port", TEXT("PROXY TCP4 192.0.2.1 198.51.100.2  2\r\n"),
		PROXY_MALFORMED, NULL },
	{ "v1, the other port is wrong",
		TEXT("PROXY TCP4 192.0.2.1 198.51.100.2 1 2x\r\n"), PROXY_MALFORMED,
		NULL },

	{ "v2, IPv4", TEXT(SIGNATURE "\x21\x11\0\x0c" V4_BLOCK), PROXY_CLIENT,
		"192.0.2.1 4660" },
	{ "v2, IPv6", TEXT(SIGNATURE "\x21\x21\0\x24" V6_BLOCK), PROXY_CLIENT,
		"2001:db8::1 4660" },
	{ "v2, mapped", TEXT(SIGNATURE "\x21\x21\0\x24" MAPPED_BLOCK), PROXY_CLIENT,
		"192.0.2.1 4660" },
	{ "v2, with type-length-values",
		TEXT(SIGNATURE "\x21\x11\0\x15" V4_BLOCK "\x04\0\0\xea\0\3vpc"),
		PROXY_CLIENT, "192.0.2.1 4660" },
	{ "v2, a value longer than the header",
		TEXT(SIGNATURE "\x21\x11\0\x11" V4_BLOCK "\xea\0\3vp"), PROXY_MALFORMED,
		NULL },
	{ "v2, half a type-length-value",
		TEXT(SIGNATURE "\x21\x11\0\x0e" V4_BLOCK "\xea\0"), PROXY_MALFORMED,
		NULL },
	{ "v2, local", TEXT(SIGNATURE "\x20\0\0\0"), PROXY_LOCAL, NULL },
	{ "v2, local with an address", TEXT(SIGNATURE "\x20\x11\0\x0c" V4_BLOCK),
		PROXY_LOCAL, NULL },
	{ "v2, local with anything", TEXT(SIGNATURE "\x20\x99\0\2\xff\xff"), PROXY_LOCAL,
		NULL },
	{ "v2, of no family", TEXT(SIGNATURE "\x21\0\0\0"), PROXY_LOCAL, NULL },
	{ "v2, UDP", TEXT(SIGNATURE "\x21\x12\0\x0c" V4_BLOCK), PROXY_MALFORMED, NULL },
	{ "v2, unspecified transport", TEXT(SIGNATURE "\x21\x10\0\x0c" V4_BLOCK),
		PROXY_MALFORMED, NULL },
	{ "v2, another family", TEXT(SIGNATURE "\x21\x41\0\x0c" V4_BLOCK),
		PROXY_MALFORMED, NULL },
	{ "v2, another command", TEXT(SIGNATURE "\x22\x11\0\x0c" V4_BLOCK),
		PROXY_MALFORMED, NULL },
	{ "v2, version 1", TEXT(SIGNATURE "\x11\x11\0\x0c" V4_BLOCK), PROXY_MALFORMED,
		NULL },
	{ "v2, version 3", TEXT(SIGNATURE "\x31\x11\0\x0c" V4_BLOCK), PROXY_MALFORMED,
		NULL },
	{ "v2, too short for IPv4", TEXT(SIGNATURE "\x21\x11\0\x0b" V4_BLOCK),
		PROXY_MALFORMED, NULL },
	{ "v2, too short for IPv6", TEXT(SIGNATURE "\x21\x21\0\x23" V6_BLOCK),
		PROXY_MALFORMED, NULL },
	{ "v2, too long", TEXT(SIGNATURE "\x21\x11\x0f\xf1"), PROXY_MALFORMED, NULL },
	{ "v2, another signature", TEXT("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c"),
		PROXY_MALFORMED, NULL },

	{ "a greeting", TEXT("EHLO a\r\n"), PROXY_MALFORMED, NULL },
	{ "TLS", TEXT("\x16\x03\x01\x02\0"), PROXY_MALFORMED, NULL },
	{ "PROXIES", TEXT("PROXIES"), PROXY_MALFORMED, NULL },
	{ "nothing", TEXT(""), PROXY_MORE, NULL },
};

static char *describe(const struct sockaddr_storage *client)
{
	char address[INET6_ADDRSTRLEN];
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)client;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)client;
	bool is_ipv4 = client->ss_family == AF_INET;
	const void *from = is_ipv4 ? (const void *)&ipv4->sin_addr : &ipv6->sin6_addr;
	assert_non_null(inet_ntop(client->ss_family, from, address, sizeof(address)));
	return g_strdup_printf(
		"%s %u", address, ntohs(is_ipv4 ? ipv4->sin_port : ipv6->sin6_port));
}

/* In memory of just that size, for the sanitizers. */
static enum proxy_status parse(const char *bytes, size_t n_bytes,
	struct sockaddr_storage *client, size_t *header_bytes)
{
	g_autofree char *copy = g_memdup2(bytes, n_bytes);
	return proxy_parse(copy, n_bytes, client, header_bytes);
}

static void headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct test_case *c = &cases[i];
		struct sockaddr_storage client;
		size_t n = 0;
		if (parse(c->bytes, c->n_bytes, &client, &n) != c->status)
			fail_msg("%s", c->name);
		if (c->status == PROXY_CLIENT || c->status == PROXY_LOCAL)
			assert_int_equal(n, c->n_bytes);
		if (!c->client)
			continue;
		g_autofree char *got = describe(&client);
		assert_string_equal(got, c->client);
	}
}

static void cut_and_continued(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct test_case *c = &cases[i];
		struct sockaddr_storage client;
		size_t n;
		if (c->status != PROXY_CLIENT && c->status != PROXY_LOCAL)
			continue;
		for (size_t cut = 0; cut < c->n_bytes; cut++) {
			if (parse(c->bytes, cut, &client, &n) != PROXY_MORE)
				fail_msg("%s, cut to %zu", c->name, cut);
		}
		g_autofree char *more = g_malloc(c->n_bytes + 6);
		memcpy(more, c->bytes, c->n_bytes);
		memcpy(more + c->n_bytes, "EHLO a", 6);
		assert_int_equal(parse(more, c->n_bytes + 6, &client, &n), c->status);
		assert_int_equal(n, c->n_bytes);
	}
}

/* What is broken stays so, whatever comes. */
static void broken_is_never_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct test_case *c = &cases[i];
		struct sockaddr_storage client;
		size_t n;
		bool was_malformed = false;
		for (size_t cut = 0; cut <= c->n_bytes; cut++) {
			enum proxy_status status = parse(c->bytes, cut, &client, &n);
			if (was_malformed && status != PROXY_MALFORMED)
				fail_msg("%s, cut to %zu", c->name, cut);
			was_malformed = status == PROXY_MALFORMED;
		}
	}
}

static void the_largest(void **state)
{
	(void)state;
	struct sockaddr_storage client;
	size_t n;
	char *bytes = g_malloc0(PROXY_HEADER_BYTES_MAX);
	memcpy(bytes, SIGNATURE "\x21\x11\x0f\xf0" V4_BLOCK "\xea\x0f\xe1", 31);
	assert_int_equal(
		proxy_parse(bytes, PROXY_HEADER_BYTES_MAX, &client, &n), PROXY_CLIENT);
	assert_int_equal(n, PROXY_HEADER_BYTES_MAX);
	assert_int_equal(
		proxy_parse(bytes, PROXY_HEADER_BYTES_MAX - 1, &client, &n), PROXY_MORE);
	g_free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(cut_and_continued),
		cmocka_unit_test(broken_is_never_whole),
		cmocka_unit_test(the_largest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
