/* Where a bucket answers, and which settings cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/endpoint.h"
#include <string.h>

static const struct {
	const char *url, *region, *bucket;
	bool path_style;
	const char *want; /* the URL of "a b/c", else part of the error */
} cases[] = {
	{ NULL, "eu-west-1", "acme", false,
		"https://acme.s3.eu-west-1.amazonaws.com/a%20b/c" },
	{ NULL, "us-east-1", "acme", false,
		"https://acme.s3.us-east-1.amazonaws.com/a%20b/c" },
	{ NULL, "us-gov-west-1", "acme", false,
		"https://acme.s3.us-gov-west-1.amazonaws.com/a%20b/c" },
	{ NULL, "cn-north-1", "acme", false,
		"https://acme.s3.cn-north-1.amazonaws.com.cn/a%20b/c" },
	{ NULL, "us-iso-east-1", "acme", false,
		"https://acme.s3.us-iso-east-1.c2s.ic.gov/a%20b/c" },
	{ NULL, "us-isob-east-1", "acme", false,
		"https://acme.s3.us-isob-east-1.sc2s.sgov.gov/a%20b/c" },
	{ NULL, "eusc-de-east-1", "acme", false,
		"https://acme.s3.eusc-de-east-1.amazonaws.eu/a%20b/c" },
	{ NULL, "eu-west-1", "acme", true,
		"https://s3.eu-west-1.amazonaws.com/acme/a%20b/c" },
	{ NULL, "eu-west-1", "acme.mail", false,
		"https://s3.eu-west-1.amazonaws.com/acme.mail/a%20b/c" },
	{ "https://s3.example.com", "x", "acme", false,
		"https://acme.s3.example.com/a%20b/c" },
	{ "https://S3.Example.com/", "x", "acme", false,
		"https://acme.s3.example.com/a%20b/c" },
	{ "https://s3.example.com:443", "x", "acme", true,
		"https://s3.example.com/acme/a%20b/c" },
	{ "https://s3.example.com:8443/base/", "x", "acme", true,
		"https://s3.example.com:8443/base/acme/a%20b/c" },
	{ "https://s3.example.com/base", "x", "acme", false,
		"https://acme.s3.example.com/base/a%20b/c" },
	{ "http://s3.example.com:80", "x", "acme.mail", false,
		"http://acme.mail.s3.example.com/a%20b/c" },
	{ "https://s3.example.com", "x", "acme.mail", false,
		"https://s3.example.com/acme.mail/a%20b/c" },
	{ "http://127.0.0.1:9000", "x", "acme", false,
		"http://127.0.0.1:9000/acme/a%20b/c" },
	{ "http://localhost:9000", "x", "acme", false,
		"http://localhost:9000/acme/a%20b/c" },
	{ "http://[::1]:9000", "x", "acme", false, "http://[::1]:9000/acme/a%20b/c" },
	{ "http://minio:9000", "x", "Acme_Mail", true,
		"http://minio:9000/Acme_Mail/a%20b/c" },
	{ "http://minio:9000", "x", "Acme_Mail", false, "set path_style" },
	{ NULL, "eu-west-1", "ab", false, "set path_style" },
	{ NULL, "eu-west-1", "-ab", false, "set path_style" },
	{ NULL, "eu-west-1", "a/b", true, "not a bucket's name" },
	{ NULL, "eu-west-1", "..", true, "not a bucket's name" },
	{ NULL, "eu-west-1", "a b", true, "not a bucket's name" },
	{ NULL, "eu-west-1", "", true, "bucket is missing" },
	{ NULL, "eu-west-1", NULL, true, "bucket is missing" },
	{ NULL, NULL, "acme", true, "region is missing" },
	{ NULL, "eu west", "acme", true, "not like eu-west-1" },
	{ NULL, "eu/west", "acme", true, "not like eu-west-1" },
	{ "ftp://x", "x", "acme", true, "not like https://" },
	{ "s3.example.com", "x", "acme", true, "not like https://" },
	{ "s3.example.com:9000", "x", "acme", true, "not like https://" },
	{ "https://", "x", "acme", true, "not like https://" },
	{ "https://a b/", "x", "acme", true, "no such host can be" },
	{ "https://u:p@h/", "x", "acme", true, "no user, query or fragment" },
	{ "https://h/?a", "x", "acme", true, "no user, query or fragment" },
	{ "https://h/#a", "x", "acme", true, "no user, query or fragment" },
	{ "https://h%0d%0ax", "x", "acme", true, "" },
	{ "https://h:99999", "x", "acme", true, "not like https://" },
};

static void buckets_have_one_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_endpoint endpoint;
		g_autoptr(GError) error = NULL;
		bool made = s3_endpoint_init(&endpoint, cases[i].url, cases[i].region,
			cases[i].bucket, cases[i].path_style, &error);
		g_autofree char *got = made ? s3_endpoint_url(&endpoint, "a b/c") : NULL;
		if (made != g_str_has_prefix(cases[i].want, "http"))
			fail_msg("case %zu: %s", i, made ? got : error->message);
		if (made)
			assert_string_equal(got, cases[i].want);
		else if (!strstr(error->message, cases[i].want))
			fail_msg("case %zu: %s", i, error->message);
		if (!made)
			assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		s3_endpoint_deinit(&endpoint);
	}
}

static void host_header_omits_the_schemes_port(void **state)
{
	(void)state;
	static const struct {
		const char *url, *want;
	} hosts[] = { { "https://h:443", "h" }, { "https://h:80", "h:80" },
		{ "http://h:80", "h" }, { "http://h:443", "h:443" },
		{ "http://[::1]", "[::1]" }, { "http://[::1]:1", "[::1]:1" } };
	for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++) {
		struct s3_endpoint endpoint;
		assert_true(s3_endpoint_init(
			&endpoint, hosts[i].url, "x", "acme", true, NULL));
		assert_string_equal(endpoint.host, hosts[i].want);
		s3_endpoint_deinit(&endpoint);
	}
}

static void amazon_has_many_hosts(void **state)
{
	(void)state;
	static const struct {
		const char *region;
		bool dual_stack, fips;
		const char *want; /* NULL: refused */
	} hosts[] = {
		{ "eu-west-1", false, false, "https://s3.eu-west-1.amazonaws.com" },
		{ "eu-west-1", true, false,
			"https://s3.dualstack.eu-west-1.amazonaws.com" },
		{ "us-east-1", false, true, "https://s3-fips.us-east-1.amazonaws.com" },
		{ "us-gov-west-1", true, true,
			"https://s3-fips.dualstack.us-gov-west-1.amazonaws.com" },
		{ "cn-north-1", true, false,
			"https://s3.dualstack.cn-north-1.amazonaws.com.cn" },
		{ "cn-north-1", false, true, NULL },
		{ "us-isof-south-1", false, false,
			"https://s3.us-isof-south-1.csp.hci.ic.gov" },
		{ "eu-isoe-west-1", false, false,
			"https://s3.eu-isoe-west-1.cloud.adc-e.uk" },
		{ "eusc-de-east-1", true, false,
			"https://s3.dualstack.eusc-de-east-1.amazonaws.eu" },
		{ "a/b", false, false, NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *url = s3_endpoint_amazon(
			hosts[i].region, hosts[i].dual_stack, hosts[i].fips, &error);
		if (hosts[i].want)
			assert_string_equal(url, hosts[i].want);
		else
			assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
	}
}

static void keys_hold_in_one_partition(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool want;
	} pairs[] = { { "eu-west-1", "us-east-1", true },
		{ "eu-west-1", "cn-north-1", false },
		{ "us-east-1", "us-gov-west-1", false },
		{ "us-gov-east-1", "us-gov-west-1", true },
		{ "us-iso-east-1", "us-isob-east-1", false } };
	for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
		assert_true(s3_endpoint_same_partition(pairs[i].a, pairs[i].b) ==
			    pairs[i].want);
		assert_true(s3_endpoint_same_partition(pairs[i].b, pairs[i].a) ==
			    pairs[i].want);
	}
}

static void amazon_is_known_by_its_domains(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		bool amazon, private;
	} urls[] = {
		{ "https://s3.eu-west-1.amazonaws.com", true, true },
		{ "https://bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", true,
			true },
		{ "https://s3.cn-north-1.amazonaws.com.cn:443", true, true },
		{ "https://s3.eu-west-1.amazonaws.com.evil.example", false, true },
		{ "https://notamazonaws.com", false, true },
		{ "http://127.0.0.1:9000/base", false, true },
		{ "http://[::1]:9000", false, true },
		{ "http://localhost", false, true },
		{ "http://127.evil.example", false, false },
		{ "http://minio:9000", false, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
		struct s3_endpoint endpoint;
		assert_true(s3_endpoint_init(
			&endpoint, urls[i].url, "eu-west-1", "acme-mail", true, NULL));
		if (s3_endpoint_is_amazon(&endpoint) != urls[i].amazon ||
			s3_endpoint_url_is_private(urls[i].url) != urls[i].private)
			fail_msg("%s", urls[i].url);
		s3_endpoint_deinit(&endpoint);
	}
	static const char *const none[] = { "", "minio", "ftp://127.0.0.1/", "https://",
		"https://user@host.example/", "https://host.example/?a=b" };
	for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
		assert_false(s3_endpoint_url_is_private(none[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amazon_is_known_by_its_domains),
		cmocka_unit_test(buckets_have_one_place),
		cmocka_unit_test(amazon_has_many_hosts),
		cmocka_unit_test(keys_hold_in_one_partition),
		cmocka_unit_test(host_header_omits_the_schemes_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
