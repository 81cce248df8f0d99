/* presigned: links made by botocore are good; whatever differs from them is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/admin/presigned.h"
#include <string.h>

#define SIGNED_S 1763683200 /* 2025-11-21 00:00:00 UTC */
#define EXPIRES  3600

#define AUTH_HEADERS(headers)                                                            \
	"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE12345678%2F"       \
	"20251121%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20251121T000000Z&"          \
	"X-Amz-Expires=3600&X-Amz-SignedHeaders=" headers "&X-Amz-Signature="
#define AUTH AUTH_HEADERS("host")

static const struct presigned_keys keys = { "AKIAEXAMPLE12345678",
	"s3cr3t/KEY+abcdefghijklmnop", "eu-west-1" };

struct client {
	const char *host, *authorization, *owner;
};

static const char *header_of(void *context, const char *name)
{
	const struct client *client = context;
	if (!strcmp(name, "host"))
		return client->host;
	if (!strcmp(name, "authorization"))
		return client->authorization;
	if (!strcmp(name, "x-amz-expected-bucket-owner"))
		return client->owner;
	return NULL;
}

static bool judge(struct presigned *result, const char *method, const char *host,
	const char *target, int64_t now_s)
{
	struct client client = { host, NULL, "a  b " };
	struct presigned_request request = { method, target, now_s, header_of, &client };
	return presigned_check(result, &request, &keys);
}

/* Signed by botocore's S3SigV4QueryAuth. */
static const struct vector {
	const char *name, *method, *host, *target, *key;
	const char *overrides[PRESIGNED_OVERRIDES];
} vectors[] = {
	{ "plain", "GET", "127.0.0.1:8025",
		"/b/mail/a.bin?" AUTH
		"61d67e865e50496ee7ecd4e137ffa061fccaf23a7f4bec22ef893c4867c1afce",
		"mail/a.bin", { 0 } },
	{ "name and type", "GET", "127.0.0.1:8025",
		"/b/mail/"
		"a.bin?response-content-disposition=attachment%3B%20filename%3D%22x"
		"%20y.pdf%22%3B%20filename%2A%3DUTF-8%27%27%25E4%25B8%25AD%2520.pdf&"
		"response-content-type=text%2Fplain%3B%20charset%3Dutf-8&" AUTH
		"edf1dfd3b086f79bd32c1e9c95bcbef9f314a8c7203cadfb40fe299783c71a1a",
		"mail/a.bin",
		{ [PRESIGNED_CONTENT_DISPOSITION] = "attachment; filename=\"x y.pdf\"; "
						    "filename*=UTF-8''%E4%B8%AD%20.pdf",
			[PRESIGNED_CONTENT_TYPE] = "text/plain; charset=utf-8" } },
	{ "all other overrides", "GET", "h",
		"/b/k?response-expires=E&response-cache-control=C&"
		"response-content-language=L&response-content-encoding=N&" AUTH
		"8d10be1387ae433146ac6d7f57ec8868eaea1382de523c3b00ef0249f5e2baaf",
		"k",
		{ [PRESIGNED_EXPIRES] = "E",
			[PRESIGNED_CACHE_CONTROL] = "C",
			[PRESIGNED_CONTENT_LANGUAGE] = "L",
			[PRESIGNED_CONTENT_ENCODING] = "N" } },
	{ "odd characters", "GET", "h",
		"/b/"
		"k?response-content-disposition=~%21%2A%27%28%29%2B%26%3D%3B%2C%2F%3F%3A"
		"%40%24%23%5B%5D%25%20%22%5C&" AUTH
		"2559602df54fd0d47afb7eb80c669bb12b0d2cb69de6384518f0bef304e60397",
		"k", { [PRESIGNED_CONTENT_DISPOSITION] = "~!*'()+&=;,/?:@$#[]% \"\\" } },
	{ "the same, escaped otherwise", "GET", "h",
		"/b/%6b?response-content-disposition=%7e!*'()%2b%26=%3b,/"
		"?:@$%23[]%25+%22\\&" AUTH
		"2559602df54fd0d47afb7eb80c669bb12b0d2cb69de6384518f0bef304e60397",
		"k", { [PRESIGNED_CONTENT_DISPOSITION] = "~!*'()+&=;,/?:@$#[]% \"\\" } },
	{ "Latin-1", "GET", "h",
		"/b/k?response-content-disposition=%C3%BC&" AUTH
		"6f73dee6b535547b7853ec2b0d9eb1db0a4384788679a17a5190e8755625d1c2",
		"k", { [PRESIGNED_CONTENT_DISPOSITION] = "\xfc" } },
	{ "names that sort otherwise with their values", "GET", "h",
		"/b/k?x-amz-meta=1&x-amz-meta-b=2&x-amz=3&A=0&a=2&" AUTH
		"c3f3040eefe6be3d2382202e955e93c558a8158f0230db609603104260c98503",
		"k", { 0 } },
	{ "a flag without value", "GET", "h",
		"/b/k?flag&" AUTH
		"79fde43567a32dacdb9ad3117c0268f89fb962ad5dc608c9524311589b4ff535",
		"k", { 0 } },
	{ "a key that is encoded", "GET", "h",
		"/b/a%20b%2Bc/%C3%BC?" AUTH
		"3628c3f204acd5976306987991cf1266e8396809f519b128432fb2a096e70a07",
		"a b+c/\xc3\xbc", { 0 } },
	{ "HEAD", "HEAD", "h",
		"/b/k?" AUTH
		"d73129f5706e4b248ec97afd711951bd8fdcb23e312c8f6e9efb8a79ccc329d3",
		"k", { 0 } },
	{ "a second signed header", "GET", "h",
		"/b/k?" AUTH_HEADERS(
			"host%3Bx-amz-expected-bucket-owner") "2ec426cfdd314a2e02526855a8"
							      "6ed292cbee25da8499d7ccedfc"
							      "8bb3ec6a251c",
		"k", { 0 } },
};

static void assert_same(const char *got, const char *want)
{
	assert_int_equal(g_strcmp0(got, want), 0);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct presigned result;
		bool good = judge(&result, v->method, v->host, v->target, SIGNED_S);
		if (!good)
			print_error("case: %s: %s\n", v->name, result.fault.message);
		assert_true(good);
		assert_int_equal(result.fault.status, 0);
		assert_string_equal(result.bucket, "b");
		assert_string_equal(result.key, v->key);
		assert_int_equal(result.expires_at_s, SIGNED_S + EXPIRES);
		for (size_t o = 0; o < PRESIGNED_OVERRIDES; o++)
			assert_same(result.overrides[o], v->overrides[o]);
		presigned_deinit(&result);
	}
}

/* No octet of a good link may be another. */
static void test_every_octet_counts(void **state)
{
	(void)state;
	const struct vector *v = &vectors[1];
	for (size_t i = 0; v->target[i]; i++) {
		g_autofree char *target = g_strdup(v->target);
		target[i] = target[i] == 'x' ? 'y' : 'x';
		struct presigned result;
		bool good = judge(&result, v->method, v->host, target, SIGNED_S);
		if (good)
			print_error("octet %zu: %s\n", i, target);
		assert_false(good);
		assert_true(result.fault.status == 400 || result.fault.status == 403);
		for (size_t o = 0; o < PRESIGNED_OVERRIDES; o++)
			assert_null(result.overrides[o]);
		presigned_deinit(&result);
	}
}

static void assert_fault(const char *method, const char *host, const char *target,
	int64_t now_s, unsigned status, const char *code)
{
	struct presigned result;
	assert_false(judge(&result, method, host, target, now_s));
	if (g_strcmp0(result.fault.code, code))
		print_error("case: %s %s\n", method, target);
	assert_string_equal(result.fault.code, code);
	assert_int_equal(result.fault.status, status);
	presigned_deinit(&result);
}

static const struct change {
	const char *from, *to;
	unsigned status;
	const char *code;
} changes[] = {
	{ "X-Amz-Expires=3600", "X-Amz-Expires=3601", 403, "SignatureDoesNotMatch" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires=604801", 400,
		"AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires=99999999999999999999", 400,
		"AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires=0", 400,
		"AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires=-1", 400,
		"AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires", 400,
		"AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600&", "", 400, "AuthorizationQueryParametersError" },
	{ "X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=3600", 400,
		"AuthorizationQueryParametersError" },
	{ "HMAC-SHA256", "HMAC-SHA1", 400, "AuthorizationQueryParametersError" },
	{ "20251121%2F", "20251122%2F", 400, "AuthorizationQueryParametersError" },
	{ "20251121T000000Z", "20251121T000000", 400,
		"AuthorizationQueryParametersError" },
	{ "20251121T000000Z", "20251121T250000Z", 400,
		"AuthorizationQueryParametersError" },
	{ "eu-west-1", "us-east-1", 400, "AuthorizationQueryParametersError" },
	{ "%2Fs3%2F", "%2Fses%2F", 400, "AuthorizationQueryParametersError" },
	{ "aws4_request", "aws4_request%2Fx", 400, "AuthorizationQueryParametersError" },
	{ "SignedHeaders=host", "SignedHeaders=date", 400,
		"AuthorizationQueryParametersError" },
	{ "SignedHeaders=host", "SignedHeaders=host%3Bdate", 403, "AccessDenied" },
	{ "AKIAEXAMPLE", "AKIAOTHER", 403, "InvalidAccessKeyId" },
	{ "/b/", "/c/", 403, "SignatureDoesNotMatch" },
	{ "/b/", "//b/", 403, "SignatureDoesNotMatch" },
	{ "/b/", "b/", 400, "InvalidURI" },
	{ "/b/", "http://h/b/", 400, "InvalidURI" },
	{ "/b/", "/b/%", 400, "InvalidURI" },
	{ "/b/", "/b/%0", 400, "InvalidURI" },
	{ "/b/", "/b/%00", 400, "InvalidURI" },
	{ "?", "?a=%4g&", 400, "InvalidURI" },
	{ "?", "?response-content-type=text%2Fhtml&", 403, "SignatureDoesNotMatch" },
	{ "?", "?X-Amz-Security-Token=t&", 400, "InvalidToken" },
	{ "61d67e", "61D67E", 403, "SignatureDoesNotMatch" },
	{ "c1afce", "c1afc", 403, "SignatureDoesNotMatch" },
	{ "c1afce", "c1afce0", 403, "SignatureDoesNotMatch" },
	{ "61d67e865e50496ee7ecd4e137ffa061fccaf23a7f4bec22ef893c4867c1afce", "", 403,
		"SignatureDoesNotMatch" },
};

static char *changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	assert_non_null(at);
	return g_strdup_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void test_changes(void **state)
{
	(void)state;
	const struct vector *v = &vectors[0];
	for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
		const struct change *c = &changes[i];
		g_autofree char *target = changed(v->target, c->from, c->to);
		assert_fault("GET", v->host, target, SIGNED_S, c->status, c->code);
	}
	assert_fault(
		"GET", "127.0.0.1", v->target, SIGNED_S, 403, "SignatureDoesNotMatch");
	assert_fault("HEAD", v->host, v->target, SIGNED_S, 403, "SignatureDoesNotMatch");
	assert_fault("GET", NULL, v->target, SIGNED_S, 403, "AccessDenied");
	assert_fault("GET", v->host, "/b/mail/a.bin", SIGNED_S, 403, "AccessDenied");
	assert_fault("GET", v->host, "/", SIGNED_S, 403, "AccessDenied");
	assert_fault("GET", v->host, "", SIGNED_S, 400, "InvalidURI");
	assert_fault("GET", v->host, "*", SIGNED_S, 400, "InvalidURI");
}

static void test_time(void **state)
{
	(void)state;
	const struct vector *v = &vectors[0];
	static const struct {
		int64_t now_s;
		const char *message;
	} cases[] = {
		{ SIGNED_S - 901, "Request is not valid yet" },
		{ SIGNED_S - 900, NULL },
		{ SIGNED_S + EXPIRES, NULL },
		{ SIGNED_S + EXPIRES + 1, "Request has expired" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct presigned result;
		bool good = judge(&result, "GET", v->host, v->target, cases[i].now_s);
		assert_int_equal(good, !cases[i].message);
		assert_same(result.fault.message, cases[i].message);
		assert_int_equal(result.expires_s, EXPIRES);
		presigned_deinit(&result);
	}
}

static void test_two_ways_to_sign(void **state)
{
	(void)state;
	struct client client = { vectors[0].host, "AWS4-HMAC-SHA256 x", NULL };
	struct presigned_request request = { "GET", vectors[0].target, SIGNED_S,
		header_of, &client };
	struct presigned result;
	assert_false(presigned_check(&result, &request, &keys));
	assert_string_equal(result.fault.code, "InvalidArgument");
	presigned_deinit(&result);
}

static void test_bounds(void **state)
{
	(void)state;
	GString *target = g_string_new("/b/k?");
	for (int i = 0; i < 65; i++)
		g_string_append(target, "a=b&");
	assert_fault("GET", "h", target->str, SIGNED_S, 400, "InvalidURI");
	g_string_assign(target, "/b/");
	while (target->len <= 8192)
		g_string_append_c(target, 'k');
	assert_fault("GET", "h", target->str, SIGNED_S, 400, "InvalidURI");
	g_string_free(target, TRUE);
}

static void test_keys(void **state)
{
	(void)state;
	static const char *const plain[] = { "a", "a/b",
		"mail/2025/11/21/01k-x/1-Ab_.pdf", ".a", "a.", "a..b", "...", "..a/b" };
	static const char *const others[] = { "", "/", "/a", "a/", "a//b", ".", "..",
		"./a", "a/.", "a/../b", "a/..", "a b", "a+b", "a\\b", "\xc3\xbc", "a%2fb",
		"a\nb" };
	for (size_t i = 0; i < G_N_ELEMENTS(plain); i++)
		assert_true(presigned_key_is_plain(plain[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
		assert_false(presigned_key_is_plain(others[i]));
	g_autofree char *longest = g_strnfill(1024, 'a');
	g_autofree char *too_long = g_strnfill(1025, 'a');
	assert_true(presigned_key_is_plain(longest));
	assert_false(presigned_key_is_plain(too_long));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_octet_counts),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_two_ways_to_sign),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
