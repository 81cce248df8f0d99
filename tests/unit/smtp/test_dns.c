/* dns_name, dns_answer, dns_cache: what is asked, what an answer says, and how long it is
 * kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_message.h"
#include "gateway/smtp/dns_answer.h"
#include "gateway/smtp/dns_cache.h"
#include "gateway/smtp/dns_name.h"
#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <glib.h>
#include <netinet/in.h>
#include <string.h>

static struct dns_address address_of(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return dns_address_of((struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return dns_address_of((struct sockaddr *)&v6);
}

/* ---- names ---- */

static const struct {
	const char *address, *listed, *reverse;
} names[] = {
	{ "192.0.2.99", "99.2.0.192.bl.test", "99.2.0.192.in-addr.arpa" },
	{ "::ffff:192.0.2.99", "99.2.0.192.bl.test", "99.2.0.192.in-addr.arpa" },
	{ "0.0.0.0", "0.0.0.0.bl.test", "0.0.0.0.in-addr.arpa" },
	{ "2001:db8::4:ab1",
		"1.b.a.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test",
		"1.b.a.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
		"arpa" },
};

static void addresses_are_turned_round(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		struct dns_address address = address_of(names[i].address);
		g_autofree char *listed = dns_name_listed(&address, "bl.test");
		g_autofree char *reverse = dns_name_reverse(&address);
		assert_string_equal(listed, names[i].listed);
		assert_string_equal(reverse, names[i].reverse);
	}
}

static void what_has_no_name_is_not_asked(void **state)
{
	(void)state;
	struct sockaddr unix_socket = { .sa_family = AF_UNIX };
	struct dns_address none = dns_address_of(&unix_socket);
	assert_int_equal(none.family, AF_UNSPEC);
	assert_null(dns_name_listed(&none, "bl.test"));

	struct dns_address v6 = address_of("2001:db8::1");
	g_autofree char *zone = g_strnfill(DNS_NAME_BYTES_MAX - 64, 'z');
	g_autofree char *fits = dns_name_listed(&v6, zone);
	assert_int_equal(strlen(fits), DNS_NAME_BYTES_MAX);
	g_autofree char *longer = g_strconcat(zone, "z", NULL);
	assert_null(dns_name_listed(&v6, longer));
}

#define LABEL_63 "a23456789-123456789-123456789-123456789-123456789-123456789-123"
static const struct {
	const char *name;
	bool is_host;
} hosts[] = {
	{ "mail.example.com", true },
	{ "MAIL-1.Example.COM", true },
	{ "_x.ip-192-0-2-1.example", true },
	{ "localhost", true },
	{ LABEL_63 ".com", true },
	{ LABEL_63 "4.com", false },
	{ LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 ".toolong", false },
	{ "", false },
	{ ".", false },
	{ "a..b", false },
	{ ".a", false },
	{ "a.", false },
	{ "-a.b", false },
	{ "a-.b", false },
	{ "192.0.2.1", false },
	{ "a.1", false },
	{ "a b.c", false },
	{ "a\\046b.c", false },
	{ "a\r\nX: y.c", false },
	{ "a(b).c", false },
	{ "b\303\274ro.example", false },
};

static void hosts_have_names_of_letters_and_digits(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++)
		if (dns_name_is_host(hosts[i].name) != hosts[i].is_host)
			fail_msg("%s", hosts[i].name);
}

/* ---- answers ---- */

struct record {
	bool is_authority;
	const char *name;
	unsigned type;
	uint32_t ttl_s;
	const char *data;
};
#define RECORDS_MAX 6

static const struct {
	const char *what;
	enum dns_type type;
	int status;
	struct record records[RECORDS_MAX];
	enum dns_result want;
	unsigned want_ttl_s;
	const char *want_text; /* addresses or names, separated by blanks */
} answers[] = {
	{ "one address", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 300, "127.0.0.2" } }, DNS_FOUND, 300,
		"127.0.0.2" },
	{ "the least TTL of several counts", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 300, "127.0.0.2" },
			{ false, "q.test", ns_t_a, 20, "127.0.0.3" } },
		DNS_FOUND, 20, "127.0.0.2 127.0.0.3" },
	{ "an alias is followed, and its TTL counts", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_cname, 10, "r.test" },
			{ false, "r.test", ns_t_a, 300, "192.0.2.1" } },
		DNS_FOUND, 10, "192.0.2.1" },
	{ "a day is too long", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 86400, "127.0.0.2" } }, DNS_FOUND, 3600,
		"127.0.0.2" },
	{ "no time at all", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 0, "127.0.0.2" } }, DNS_FOUND, 0,
		"127.0.0.2" },
	{ "IPv6", DNS_AAAA, ARES_SUCCESS,
		{ { false, "q.test", ns_t_aaaa, 60, "2001:db8::1" } }, DNS_FOUND, 60,
		"2001:db8::1" },
	{ "names", DNS_PTR, ARES_SUCCESS,
		{ { false, "q.test", ns_t_ptr, 60, "a.example" },
			{ false, "q.test", ns_t_ptr, 60, "b.example" } },
		DNS_FOUND, 60, "a.example b.example" },
	{ "names through an alias (RFC 2317)", DNS_PTR, ARES_SUCCESS,
		{ { false, "q.test", ns_t_cname, 60, "r.test" },
			{ false, "r.test", ns_t_ptr, 60, "a.example" } },
		DNS_FOUND, 60, "a.example" },
	{ "four names are enough", DNS_PTR, ARES_SUCCESS,
		{ { false, "q.test", ns_t_ptr, 60, "a.example" },
			{ false, "q.test", ns_t_ptr, 60, "b.example" },
			{ false, "q.test", ns_t_ptr, 60, "c.example" },
			{ false, "q.test", ns_t_ptr, 60, "d.example" },
			{ false, "q.test", ns_t_ptr, 60, "e.example" } },
		DNS_FOUND, 60, "a.example b.example c.example d.example" },
	{ "what is no host's name is passed over", DNS_PTR, ARES_SUCCESS,
		{ { false, "q.test", ns_t_ptr, 60, "192.0.2.1" },
			{ false, "q.test", ns_t_ptr, 60, "_b.example" } },
		DNS_FOUND, 60, "_b.example" },
	{ "and may be all", DNS_PTR, ARES_SUCCESS,
		{ { false, "q.test", ns_t_ptr, 60, "x\r\ny.example" } }, DNS_NONE, 60,
		"" },
	{ "addresses of another kind", DNS_A, ARES_SUCCESS,
		{ { false, "q.test", ns_t_aaaa, 60, "2001:db8::1" } }, DNS_NONE, 60, "" },
	{ "no such name: the SOA says how long", DNS_A, ARES_ENOTFOUND,
		{ { true, "test", ns_t_soa, 900, "120" } }, DNS_NONE, 120, "" },
	{ "no such name: no longer than the SOA's TTL", DNS_A, ARES_ENODATA,
		{ { true, "test", ns_t_soa, 90, "120" } }, DNS_NONE, 90, "" },
	{ "no such name, no SOA", DNS_A, ARES_ENOTFOUND, { { 0 } }, DNS_NONE, 60, "" },
	{ "a server that failed", DNS_A, ARES_ESERVFAIL, { { 0 } }, DNS_FAILED, 60, "" },
	{ "silence", DNS_PTR, ARES_ETIMEOUT, { { 0 } }, DNS_FAILED, 60, "" },
	{ "refusal", DNS_PTR, ARES_EREFUSED, { { 0 } }, DNS_FAILED, 60, "" },
};

static unsigned record_type(enum dns_type type)
{
	static const unsigned types[] = { ns_t_a, ns_t_aaaa, ns_t_ptr };
	return types[type];
}

static GByteArray *message_of(enum dns_type type, const struct record *records)
{
	GByteArray *message = dns_message_new(7, 0, "q.test", record_type(type));
	for (size_t i = 0; i < RECORDS_MAX && records[i].name; i++)
		dns_message_add(message, records[i].is_authority, records[i].name,
			records[i].type, records[i].ttl_s, records[i].data);
	return message;
}

static char *text_of(const struct dns_answer *answer)
{
	GString *text = g_string_new(NULL);
	char address[INET6_ADDRSTRLEN];
	for (size_t i = 0; i < answer->n_addresses; i++) {
		const struct dns_address *one = &answer->addresses[i];
		inet_ntop(one->family, one->octets, address, sizeof(address));
		g_string_append_printf(text, "%s%s", text->len ? " " : "", address);
	}
	for (size_t i = 0; i < answer->n_names; i++)
		g_string_append_printf(
			text, "%s%s", text->len ? " " : "", answer->names[i]);
	return g_string_free(text, FALSE);
}

static void answers_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
		print_message("%s\n", answers[i].what);
		g_autoptr(GByteArray) message =
			message_of(answers[i].type, answers[i].records);
		struct dns_answer *answer = dns_answer_new(answers[i].type,
			answers[i].status, message->data, (int)message->len);
		g_autofree char *text = text_of(answer);
		assert_int_equal(answer->result, answers[i].want);
		assert_int_equal(answer->ttl_s, answers[i].want_ttl_s);
		assert_string_equal(text, answers[i].want_text);
		dns_answer_unref(answer);
	}
}

static void no_message_is_an_answer_too(void **state)
{
	(void)state;
	struct dns_answer *answer = dns_answer_new(DNS_A, ARES_ENOTFOUND, NULL, 0);
	assert_int_equal(answer->result, DNS_NONE);
	assert_int_equal(answer->ttl_s, 60);
	dns_answer_unref(answer);
	dns_answer_unref(NULL);
}

/* Cut anywhere, or with any octet another, a message is no more than wrong. */
static void broken_messages_break_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
		g_autoptr(GByteArray) message =
			message_of(answers[i].type, answers[i].records);
		for (guint n = 0; n < message->len; n++) {
			g_autofree uint8_t *cut = g_memdup2(message->data, n);
			dns_answer_unref(dns_answer_new(
				answers[i].type, answers[i].status, cut, (int)n));
			uint8_t kept = message->data[n];
			for (unsigned octet = 0; octet < 256; octet += 15) {
				message->data[n] = (uint8_t)octet;
				dns_answer_unref(
					dns_answer_new(answers[i].type, answers[i].status,
						message->data, (int)message->len));
			}
			message->data[n] = kept;
		}
	}
}

static const struct {
	const char *what;
	int status;
	struct record records[RECORDS_MAX];
	enum dns_listing want;
} listings[] = {
	{ "listed", ARES_SUCCESS, { { false, "q.test", ns_t_a, 60, "127.0.0.2" } },
		DNS_LISTED },
	{ "the last of them", ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 60, "127.255.254.255" } }, DNS_LISTED },
	{ "declined", ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 60, "127.255.255.254" } }, DNS_DECLINED },
	{ "declined beside an entry", ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 60, "127.0.0.2" },
			{ false, "q.test", ns_t_a, 60, "127.255.255.252" } },
		DNS_DECLINED },
	{ "a parked domain", ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 60, "192.0.2.80" } }, DNS_NO_LIST },
	{ "an entry beside what is none", ARES_SUCCESS,
		{ { false, "q.test", ns_t_a, 60, "192.0.2.80" },
			{ false, "q.test", ns_t_a, 60, "127.0.0.4" } },
		DNS_LISTED },
	{ "not listed", ARES_ENOTFOUND, { { 0 } }, DNS_UNLISTED },
	{ "no answer", ARES_ETIMEOUT, { { 0 } }, DNS_UNKNOWN },
};

static void listings_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(listings); i++) {
		g_autoptr(GByteArray) message = message_of(DNS_A, listings[i].records);
		struct dns_answer *answer = dns_answer_new(
			DNS_A, listings[i].status, message->data, (int)message->len);
		if (dns_answer_listing(answer) != listings[i].want)
			fail_msg("%s", listings[i].what);
		dns_answer_unref(answer);
	}
}

static void an_address_is_found_among_others(void **state)
{
	(void)state;
	static const struct record records[RECORDS_MAX] = {
		{ false, "q.test", ns_t_a, 60, "192.0.2.1" },
		{ false, "q.test", ns_t_a, 60, "192.0.2.2" },
	};
	g_autoptr(GByteArray) message = message_of(DNS_A, records);
	struct dns_answer *answer =
		dns_answer_new(DNS_A, ARES_SUCCESS, message->data, (int)message->len);
	struct dns_address there = address_of("::ffff:192.0.2.2");
	struct dns_address not_there = address_of("192.0.2.3");
	struct dns_address other_kind = address_of("2001:db8::1");
	assert_true(dns_answer_has(answer, &there));
	assert_false(dns_answer_has(answer, &not_there));
	assert_false(dns_answer_has(answer, &other_kind));
	dns_answer_unref(answer);
}

/* ---- the cache ---- */

static struct dns_answer *put(
	struct dns_cache *cache, const char *question, uint64_t now_ms)
{
	struct dns_answer *answer = dns_answer_new(DNS_A, ARES_ENOTFOUND, NULL, 0);
	dns_cache_put(cache, question, answer, now_ms);
	dns_answer_unref(answer);
	return answer;
}

static void answers_are_kept_while_they_hold(void **state)
{
	(void)state;
	struct dns_cache *cache = dns_cache_new(8);
	const struct dns_answer *answer = put(cache, "a", 1000);
	assert_ptr_equal(dns_cache_get(cache, "a", 1000), answer);
	assert_ptr_equal(dns_cache_get(cache, "a", 60999), answer);
	assert_null(dns_cache_get(cache, "a", 61000));
	assert_null(dns_cache_get(cache, "a", 1000)); /* gone for good */
	assert_null(dns_cache_get(cache, "b", 1000));
	put(cache, "a", 1000);
	const struct dns_answer *newer = put(cache, "a", 30000);
	assert_ptr_equal(dns_cache_get(cache, "a", 80000), newer);
	dns_cache_free(&cache);
	assert_null(cache);
	dns_cache_free(&cache);
}

static void the_least_used_answer_goes_first(void **state)
{
	(void)state;
	struct dns_cache *cache = dns_cache_new(2);
	put(cache, "a", 0);
	put(cache, "b", 0);
	assert_non_null(dns_cache_get(cache, "a", 1));
	put(cache, "c", 2);
	assert_null(dns_cache_get(cache, "b", 3));
	assert_non_null(dns_cache_get(cache, "a", 3));
	assert_non_null(dns_cache_get(cache, "c", 3));
	put(cache, "c", 4); /* again, and nobody goes for it */
	assert_non_null(dns_cache_get(cache, "a", 5));
	dns_cache_free(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_turned_round),
		cmocka_unit_test(what_has_no_name_is_not_asked),
		cmocka_unit_test(hosts_have_names_of_letters_and_digits),
		cmocka_unit_test(answers_are_read),
		cmocka_unit_test(no_message_is_an_answer_too),
		cmocka_unit_test(broken_messages_break_nothing),
		cmocka_unit_test(listings_are_judged),
		cmocka_unit_test(an_address_is_found_among_others),
		cmocka_unit_test(answers_are_kept_while_they_hold),
		cmocka_unit_test(the_least_used_answer_goes_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
