/* Signature Version 4 against Amazon's published vectors: the examples of the S3 API
 * Reference and of the aws-sig-v4-test-suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/sigv4.h"
#include <string.h>

#define EMPTY  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define BUCKET "examplebucket.s3.amazonaws.com"
#define HOST   "example.amazonaws.com"

static const struct sigv4_keys s3_keys = { "AKIAIOSFODNN7EXAMPLE",
	"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL };
static const struct sigv4_keys suite_keys = { "AKIDEXAMPLE",
	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL };
#define S3_TIME    1369353600 /* 20130524T000000Z */
#define SUITE_TIME 1440938160 /* 20150830T123600Z */

static const struct vector {
	const char *name, *service, *method, *host, *path;
	struct sigv4_pair query[3], headers[4];
	const char *payload, *signed_headers, *signature;
} vectors[] = {
	{ "GET object", "s3", "GET", BUCKET, "/test.txt", { { 0 } },
		{ { "Range", "bytes=0-9" }, { "x-amz-content-sha256", EMPTY } }, EMPTY,
		"host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT object", "s3", "PUT", BUCKET, "/test$file.text", { { 0 } },
		{ { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
			{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
			{ "x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b"
						  "6b4b4e99e42034a8b803f8b072" } },
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET bucket lifecycle", "s3", "GET", BUCKET, "/", { { "lifecycle", NULL } },
		{ { "x-amz-content-sha256", EMPTY } }, EMPTY,
		"host;x-amz-content-sha256;x-amz-date",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "GET bucket list", "s3", "GET", BUCKET, "/",
		{ { "prefix", "J" }, { "max-keys", "2" } },
		{ { "x-amz-content-sha256", EMPTY } }, EMPTY,
		"host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
	{ "get-vanilla", "service", "GET", HOST, "/", { { 0 } }, { { 0 } }, EMPTY,
		"host;x-amz-date",
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "post-vanilla", "service", "POST", HOST, "/", { { 0 } }, { { 0 } }, EMPTY,
		"host;x-amz-date",
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "get-utf8", "service", "GET", HOST, "/\xe1\x88\xb4", { { 0 } }, { { 0 } },
		EMPTY, "host;x-amz-date",
		"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-vanilla-query-order-key-case", "service", "GET", HOST, "/",
		{ { "Param2", "value2" }, { "Param1", "value1" } }, { { 0 } }, EMPTY,
		"host;x-amz-date",
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-query-unreserved", "service", "GET", HOST, "/",
		{ { "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			"-._~"
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxy"
			"z" } },
		{ { 0 } }, EMPTY, "host;x-amz-date",
		"9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-header-key-duplicate", "service", "GET", HOST, "/", { { 0 } },
		{ { "My-Header1", "value2" }, { "My-Header1", "value2" },
			{ "My-Header1", "value1" } },
		EMPTY, "host;my-header1;x-amz-date",
		"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
	{ "get-header-value-trim", "service", "GET", HOST, "/", { { 0 } },
		{ { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" } },
		EMPTY, "host;my-header1;my-header2;x-amz-date",
		"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "ListUsers", "iam", "GET", "iam.amazonaws.com", "/",
		{ { "Version", "2010-05-08" }, { "Action", "ListUsers" } },
		{ { "Content-Type",
			"application/x-www-form-urlencoded; charset=utf-8" } },
		EMPTY, "content-type;host;x-amz-date",
		"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
};

static size_t count(const struct sigv4_pair *pairs, size_t room)
{
	size_t n = 0;
	while (n < room && pairs[n].name)
		n++;
	return n;
}

static void vectors_are_signed_as_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
		const struct vector *v = &vectors[i];
		bool is_s3 = strcmp(v->service, "s3") == 0;
		const struct sigv4_keys *keys = is_s3 ? &s3_keys : &suite_keys;
		struct sigv4_request request = { v->method, v->host, v->path, v->query,
			count(v->query, G_N_ELEMENTS(v->query)), v->headers,
			count(v->headers, G_N_ELEMENTS(v->headers)), v->payload };
		struct sigv4_signer *signer = sigv4_signer_new("us-east-1", v->service);
		g_autofree char *got = sigv4_authorization(
			signer, keys, &request, is_s3 ? S3_TIME : SUITE_TIME);
		g_autofree char *want = g_strdup_printf(
			"AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/%s/aws4_request, "
			"SignedHeaders=%s, Signature=%s",
			keys->access_key_id, is_s3 ? "20130524" : "20150830", v->service,
			v->signed_headers, v->signature);
		if (strcmp(got, want) != 0)
			fail_msg("%s:\n  got  %s\n  want %s", v->name, got, want);
		sigv4_signer_free(&signer);
		assert_null(signer);
	}
}

static void presigned_get_is_signed_as_published(void **state)
{
	(void)state;
	struct sigv4_request request = { .method = "GET",
		.host = BUCKET,
		.path = "/test.txt",
		.payload_sha256 = SIGV4_UNSIGNED_PAYLOAD };
	struct sigv4_signer *signer = sigv4_signer_new("us-east-1", "s3");
	g_autofree char *query =
		sigv4_presigned_query(signer, &s3_keys, &request, S3_TIME, 86400);
	assert_string_equal(query,
		"X-Amz-Algorithm=AWS4-HMAC-SHA256"
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%"
		"2Faws4_request"
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders="
		"host&X-Amz-Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	sigv4_signer_free(&signer);
}

/* The kept key must not outlive its day or its secret. */
static void signer_follows_day_and_secret(void **state)
{
	(void)state;
	struct sigv4_request request = {
		.method = "GET", .host = BUCKET, .path = "/", .payload_sha256 = EMPTY
	};
	const struct sigv4_keys others = { "AKIAIOSFODNN7EXAMPLE", "another", "token" };
	const struct {
		const struct sigv4_keys *keys;
		int64_t time_s;
	} uses[] = { { &s3_keys, S3_TIME }, { &s3_keys, S3_TIME + 1 },
		{ &s3_keys, S3_TIME + 86400 }, { &others, S3_TIME + 86400 },
		{ &s3_keys, S3_TIME } };
	struct sigv4_signer *kept = sigv4_signer_new("us-east-1", "s3");
	for (size_t i = 0; i < G_N_ELEMENTS(uses); i++) {
		struct sigv4_signer *fresh = sigv4_signer_new("us-east-1", "s3");
		g_autofree char *a =
			sigv4_authorization(kept, uses[i].keys, &request, uses[i].time_s);
		g_autofree char *b = sigv4_authorization(
			fresh, uses[i].keys, &request, uses[i].time_s);
		assert_string_equal(a, b);
		sigv4_signer_free(&fresh);
	}
	sigv4_signer_free(&kept);
}

static void order_of_what_is_given_is_free(void **state)
{
	(void)state;
	const struct sigv4_pair one[] = { { "b", "2" }, { "a", "" }, { "b", "1" } };
	const struct sigv4_pair two[] = { { "a", NULL }, { "b", "1" }, { "b", "2" } };
	const struct sigv4_pair up[] = { { "X-B", "1" }, { "x-a", "2" } };
	const struct sigv4_pair down[] = { { "x-a", "2" }, { "x-b", "1" } };
	struct sigv4_request first = { "GET", BUCKET, "/", one, 3, up, 2, EMPTY };
	struct sigv4_request second = { "GET", BUCKET, "/", two, 3, down, 2, EMPTY };
	struct sigv4_signer *signer = sigv4_signer_new("us-east-1", "s3");
	g_autofree char *a = sigv4_presigned_query(signer, &s3_keys, &first, S3_TIME, 1);
	g_autofree char *b = sigv4_presigned_query(signer, &s3_keys, &second, S3_TIME, 1);
	assert_string_equal(a, b);
	sigv4_signer_free(&signer);
}

static void encoding_is_amazons(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool keep_slashes;
		const char *want;
	} cases[] = {
		{ "", true, "" },
		{ "AZaz09-._~", false, "AZaz09-._~" },
		{ "/a//b/../c", true, "/a//b/../c" },
		{ "a/b", false, "a%2Fb" },
		{ " +=[]%*'\"", true, "%20%2B%3D%5B%5D%25%2A%27%22" },
		{ "\xc3\xa4\xe2\x80\xae", true, "%C3%A4%E2%80%AE" },
		{ "\x01\x7f\xff", true, "%01%7F%FF" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		sigv4_append_encoded(out, cases[i].text, cases[i].keep_slashes);
		assert_string_equal(out->str, cases[i].want);
	}
}

static void times_are_formatted(void **state)
{
	(void)state;
	static const struct {
		int64_t time_s;
		const char *want;
	} cases[] = { { 0, "19700101T000000Z" }, { 1709208001, "20240229T120001Z" },
		{ 4102444800, "21000101T000000Z" }, { -1, "19700101T000000Z" },
		{ INT64_MAX, "99991231T235959Z" } };
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		char text[SIGV4_TIME_BYTES];
		sigv4_format_time(cases[i].time_s, text);
		assert_string_equal(text, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_signed_as_published),
		cmocka_unit_test(presigned_get_is_signed_as_published),
		cmocka_unit_test(signer_follows_day_and_secret),
		cmocka_unit_test(order_of_what_is_given_is_free),
		cmocka_unit_test(encoding_is_amazons),
		cmocka_unit_test(times_are_formatted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
