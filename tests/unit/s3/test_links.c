/* Links: who signs them, for which host, and until when they are good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/s3.h"
#include "tests/unit/tree.h"
#include <glib/gstdio.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#define NOW   1785974400 /* 2026-08-06T00:00:00Z */
#define DAY_S 86400
#define NAME  "\xc3\xa4 b.pdf"

/* Made for these tests; no distribution knows them. */
static const char rsa_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC09E0PI0eMXZ1t\n"
	"Xc4343UYAUKn8HlUz87bXKfvD3FLFYaMc1gKGMD5rHy7mmwkg+YM2RHOARvoURIN\n"
	"4w2DTlqrPicz+7vXJ2DiLrNZSqL83GKOItQf7kAsUprh7NmNlOOaagV6SD0MZ6A7\n"
	"A+8mmZ6vsmxBV9v+yCLaqg5YvENOqxuXB3IWLt1DKjpepOiHGUMXWAm1NGPmquYD\n"
	"NfLwuZm2xRROzcEFEILBVFJXjSIY1hFCmVCHiMcR+vzym5tT+fVg3ucvtRinLeng\n"
	"6MA9X59dMOXiBmBCeS8TRFW9r7SVSv25z6N6+lLZklYppZ4p5UrjT7cX+Zcb2gtK\n"
	"bxYXoRBLAgMBAAECggEAUN1HvncOlzySiHg+Gp2sCyEtD22YWv1OvJrIdT2abGpf\n"
	"KU62TjTHsAuT5iZZI2xKFv2+Rigat5PbFJedx0rxm8r3q/RX+gsf8ZPbFBEVixhV\n"
	"dp073FUVGnmDu2ijw/CAUdYFQqMbnPqGETlt2vsVfgCm/gBsUIxRfxQ1uxPOpE1z\n"
	"2UlIwc7g4wnYiEr5KLjiV434Lm0LY2HGyD7dqh3sqZKTY2jvm1kp8NA9BGhPNqN/\n"
	"vxAzvXCaqMdv96KhcpCu939R4i3ktC4vysyrK8Gtlmn2SK5lEHV3k8gayaCPVDVy\n"
	"prkDYcvBLaV4CRYaN48nJc7wnES3+LSN6xsVvyQwAQKBgQDpGuuMSDHeiV+4qs6F\n"
	"RxyiDyyqKZ93UVcFrJA4PZ2vDg2mbAfHF13pEjBy8h8Q3x6LVY19EMx638M7w0Op\n"
	"EifD8TF5DL9EguVcX99QH9gFEd7GgEwr9WXVNGghAa3CKDWv9iMoEhGZenWx8kUQ\n"
	"jMToxwHuKkZjWe4YbWmanX6IAQKBgQDGuiAyqgWbjxWfXBlL9SdxOR3jVvwUSlGp\n"
	"1DLWW0hDFpTA89MJChK9rhtr50adBaGdWN4sT6+l/6iWMhd9JrJEGwj7IDVygNOA\n"
	"Th21ciUJCL5x1ueC9GANwETpELJnThtWGhLSW+ayR204MqxaaVdS0GMFpGlzm33F\n"
	"SlQeTc84SwKBgH+YRbDO38VBCs1JaawYZbrrdXZbPDeSpYCsmXC/gW2N0rjyzzsS\n"
	"NkxasXxpvcl9Z/m6xazcoiDsFLDEzGdiUbP2dS8eZB+7SpLKw7DXDWaRBpE/LvKs\n"
	"66XNfuX6RkNNwT1lDI9lfI63Mm9J/rX1Z99G926HY2oEksh6M2D3rogBAoGBAL6J\n"
	"bp2lDsNbqSumLkr5vtt8HAABQqhhqXLfle6YjuxkFjP6k3izQ8zBxmDq2nVrFM28\n"
	"iyiJLqxGN+nqFUNVes557V56P0SN6Du4qhtyWbgTviWAG3EfxYjptCiSbbtG1Eb1\n"
	"sN4oZ0S/3yRm0YHORn+MdaTPQpwplak33vc/O1OJAoGARYtOaInYGGvemnwCP20r\n"
	"kQo32LCW//poNgEuV70frh5qmaiOBelXkxDjwHoJ+7MylQICrLzUPjiykWV7WA0u\n"
	"m/ArMWrYBCNHJ/3EGg9hSxR8SF8DOSDOvDoHaWQd+aCqH9KhLFJJ2ebKdMcCW7FD\n"
	"f4gf4YEgyTa/jtwWGBUlyig=\n"
	"-----END PRIVATE KEY-----\n";

static const char ec_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUqW/ZSY6zQivVi1m\n"
	"N1il+svD7wfroX72gzNEtbbXg7ihRANCAASuFaiecmHDdLSwerWZSt6Hu++nHSGq\n"
	"LE2Yuran+DHMbJVZqc5SolT9ZDz9pIm0yvanNERE8NFypsgbIX2fqJ4P\n"
	"-----END PRIVATE KEY-----\n";

static const char p384_key[] =
	"-----BEGIN EC PRIVATE KEY-----\n"
	"MIGkAgEBBDAH2UN2vCeT4HQXhBHmYGMds92i2PXBDAMbEItxr28VxFMIg/4a/uAi\n"
	"b1cNR064VcKgBwYFK4EEACKhZANiAASQutksjVGnLoDtghv7A1i7RQJFn7pECrEW\n"
	"f7Nc4nJwsE63CbosucHhLEucZf7uVc6UEggTBKWZtM0S8FXlSm2/K+BUWguKe7+O\n"
	"32WOQgfk00yePRNWDIlF5N9/ks5a2Wo=\n"
	"-----END EC PRIVATE KEY-----\n";

/* Of rsa_key, by another implementation (openssl dgst -sha256 -sign). */
static const char rsa_link[] =
	"https://d111111abcdef8.cloudfront.net/mail/a.pdf?response-cont"
	"ent-disposition=attachment%3B%20filename%3D%22_%20b.pdf%22%3B%"
	"20filename%2A%3DUTF-8%27%27%25C3%25A4%2520b.pdf&response-conte"
	"nt-type=application%2Fpdf&Expires=1793750400&Signature=oe3xKWY"
	"30c9o4a4rQGiJzUzNL7cPwhL7WghKuCXWekJ8QxLQ8BMR8MVqo0LOnuauW7B4v"
	"RJPSAtb4-i-IWI6QA5-HQtYxrRUsIzuH0a6ZiqmwQTn7EOPqtCKjuBvFNbO62R"
	"CD2LZwNVLeE7665pfZfak5RXdYco9DAG9Qc1Ud5jlcwNOACk7BBYChDp2CTAjz"
	"nXuNQ1Q1zsXvLr3j-X8pxIkgGiHaPilMtzwM2zvF1FfHougK-RALzAeAWbPRe1"
	"4lZ47EI3lDavKzLRkUu5HlBxS5CebUk1-sCWTlf1gtMS4NN8IlWydP0Ynjc831"
	"p10qLb-YoLdESl6kdJZTonA2Q__&Key-Pair-Id=K2JCJMDEHXQW5F&Hash-Al"
	"gorithm=SHA256";

static const char policy[] =
	"{\"Statement\":[{\"Resource\":\"https://d111111abcdef8.cloudfront.n"
	"et/mail/a.pdf?response-content-disposition=attachment%3B%20fil"
	"ename%3D%22_%20b.pdf%22%3B%20filename%2A%3DUTF-8%27%27%25C3%25"
	"A4%2520b.pdf&response-content-type=application%2Fpdf\",\"Conditi"
	"on\":{\"DateLessThan\":{\"AWS:EpochTime\":1793750400}}}]}";

static struct s3_settings bucket_settings(void)
{
	return (struct s3_settings){ .bucket = "acme",
		.region = "eu-west-1",
		.access_key_id = "UPLOADS",
		.secret_access_key = "upload-secret" };
}

static char *write_file(const char *name, const char *text)
{
	char *path = g_build_filename(tree_directory, name, NULL);
	assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

static struct s3_store *open_store(const struct s3_settings *settings)
{
	g_autoptr(GError) error = NULL;
	struct s3_store *store = s3_store_new(settings, &error);
	if (!store)
		fail_msg("%s", error->message);
	return store;
}

static char *link_of(
	const struct s3_settings *settings, unsigned expiry_s, int64_t *end_s)
{
	struct s3_store *store = open_store(settings);
	g_autoptr(GError) error = NULL;
	char *url = s3_store_presign(store, "mail/a.pdf", NAME, "application/pdf", NOW,
		expiry_s, end_s, &error);
	s3_store_free(&store);
	if (!url)
		fail_msg("%s", error->message);
	return url;
}

/* ---- two identities ---- */

static void links_have_keys_of_their_own(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	g_autofree char *secret = write_file("secret", "link-secret\n");
	settings.session_token = "upload-token";
	settings.links.access_key_id = "LINKS";
	settings.links.secret_access_key_file = secret;
	int64_t end_s = 0;
	g_autofree char *url = link_of(&settings, 7 * DAY_S, &end_s);
	assert_non_null(strstr(url, "X-Amz-Credential=LINKS%2F20260806%2Feu-west-1%2F"));
	assert_null(strstr(url, "X-Amz-Security-Token"));
	assert_int_equal(end_s, NOW + 7 * DAY_S);
}

static void links_may_have_a_profile(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	g_autofree char *file = write_file("credentials",
		"[links]\naws_access_key_id = P\naws_secret_access_key = s\n"
		"aws_session_token = t\n");
	settings.links.credentials_file = file;
	settings.links.profile = "links";
	int64_t end_s = 0;
	g_autofree char *url = link_of(&settings, 7 * DAY_S, &end_s);
	assert_non_null(strstr(url, "X-Amz-Credential=P%2F"));
	assert_non_null(strstr(url, "&X-Amz-Security-Token=t&"));
	assert_int_equal(end_s, NOW + 36 * 3600);
}

/* Keys of uploads never stand in for those of links. */
static void broken_keys_of_links_are_an_error(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	settings.links.access_key_id = "LINKS";
	g_autoptr(GError) error = NULL;
	assert_null(s3_store_new(&settings, &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
	assert_true(g_str_has_prefix(error->message, "links: "));
}

static void directory_keeps_its_own_pair(void **state)
{
	(void)state;
	const struct s3_settings settings = { .directory = tree_directory,
		.directory_url = "http://127.0.0.1:8025",
		.links = { .access_key_id = "LINKS", .secret_access_key = "s" } };
	int64_t end_s = 0;
	g_autofree char *url = link_of(&settings, 60, &end_s);
	assert_null(strstr(url, "LINKS"));
}

static void what_cannot_be_kept_is_said(void **state)
{
	(void)state;
	static const struct {
		const char *uploads_token, *links_id, *links_token;
		unsigned expiry_s;
		const char *says; /* NULL: nothing */
	} cases[] = {
		{ NULL, NULL, NULL, 7 * DAY_S, NULL },
		{ "t", NULL, NULL, 36 * 3600, NULL },
		{ "t", NULL, NULL, 7 * DAY_S,
			"is 7 d, but links signed now live for 36 h" },
		{ "t", "L", NULL, 7 * DAY_S, NULL },
		{ NULL, "L", "t", 48 * 3600,
			"is 2 d, but links signed now live for 36 h" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_settings settings = bucket_settings();
		settings.session_token = cases[i].uploads_token;
		settings.links.access_key_id = cases[i].links_id;
		settings.links.secret_access_key = cases[i].links_id ? "s" : NULL;
		settings.links.session_token = cases[i].links_token;
		struct s3_store *store = open_store(&settings);
		g_autofree char *text =
			s3_store_link_warning(store, NOW, cases[i].expiry_s);
		s3_store_free(&store);
		if (!text != !cases[i].says)
			fail_msg("case %zu: %s", i, text ? text : "says nothing");
		if (text && !strstr(text, cases[i].says))
			fail_msg("case %zu: %s", i, text);
	}
}

/* ---- hosts ---- */

static const char *signature_of(const char *url)
{
	return strstr(url, "&X-Amz-Signature=");
}

static void base_url_is_what_is_signed(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	struct s3_settings other = bucket_settings();
	int64_t end_s = 0;
	settings.links.base_url = "https://files.example.com:8443/mail-in/";
	g_autofree char *url = link_of(&settings, 60, &end_s);
	assert_true(g_str_has_prefix(
		url, "https://files.example.com:8443/mail-in/mail/a.pdf?X-Amz-"));
	/* the same host and path, reached by the bucket's endpoint */
	other.endpoint = "https://files.example.com:8443";
	other.bucket = "mail-in";
	other.path_style = true;
	g_autofree char *same = link_of(&other, 60, &end_s);
	assert_string_equal(url, same);
}

static void base_url_may_be_a_front_of_the_endpoint(void **state)
{
	(void)state;
	struct s3_settings settings = bucket_settings();
	int64_t end_s = 0;
	g_autofree char *plain = link_of(&settings, 60, &end_s);
	settings.links.base_url = "https://cdn.example.com/x";
	g_autofree char *own = link_of(&settings, 60, &end_s);
	settings.links.signed_for_endpoint = true;
	g_autofree char *front = link_of(&settings, 60, &end_s);
	assert_true(
		g_str_has_prefix(front, "https://cdn.example.com/x/mail/a.pdf?X-Amz-"));
	assert_string_equal(signature_of(front), signature_of(plain));
	assert_string_not_equal(signature_of(own), signature_of(plain));
}

static void bad_bases_are_said(void **state)
{
	(void)state;
	static const char *const bad[] = { "files.example.com", "ftp://a.example",
		"https://a.example/?q", "https://u@a.example", "https:///x" };
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct s3_settings settings = bucket_settings();
		settings.links.base_url = bad[i];
		g_autoptr(GError) error = NULL;
		assert_null(s3_store_new(&settings, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		assert_true(g_str_has_prefix(error->message, "links.base_url: "));
	}
}

/* ---- CloudFront ---- */

static struct s3_settings cloudfront_settings(const char *key_file)
{
	struct s3_settings settings = bucket_settings();
	settings.links.cloudfront_url = "https://d111111abcdef8.cloudfront.net";
	settings.links.cloudfront_key_pair_id = "K2JCJMDEHXQW5F";
	settings.links.cloudfront_private_key_file = key_file;
	return settings;
}

static void rsa_links_are_as_cloudfront_wants(void **state)
{
	(void)state;
	g_autofree char *file = write_file("rsa.pem", rsa_key);
	struct s3_settings settings = cloudfront_settings(file);
	settings.session_token = "temporary"; /* of no matter for these links */
	int64_t end_s = 0;
	g_autofree char *url = link_of(&settings, 90 * DAY_S, &end_s);
	assert_string_equal(url, rsa_link);
	assert_int_equal(end_s, NOW + 90 * DAY_S);
}

static uint8_t *decode(const char *text, size_t *n)
{
	g_autofree char *base64 = g_strdup(text);
	g_strdelimit(base64, "-", '+');
	g_strdelimit(base64, "_", '=');
	g_strdelimit(base64, "~", '/');
	return g_base64_decode(base64, n);
}

/* ECDSA signs differently each time: its key judges. */
static bool is_signed(const char *text, const char *signature)
{
	size_t n = 0;
	g_autofree uint8_t *octets = decode(signature, &n);
	BIO *bio = BIO_new_mem_buf(ec_key, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(
			    context, octets, n, (const uint8_t *)text, strlen(text)) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

static void ecdsa_links_are_as_cloudfront_wants(void **state)
{
	(void)state;
	g_autofree char *file = write_file("ec.pem", ec_key);
	struct s3_settings settings = cloudfront_settings(file);
	int64_t end_s = 0;
	g_autofree char *url = link_of(&settings, 90 * DAY_S, &end_s);
	const char *signature = strstr(url, "&Signature=");
	assert_non_null(signature);
	const char *expected = strstr(rsa_link, "&Signature=");
	assert_int_equal(signature - url, expected - rsa_link);
	assert_memory_equal(url, rsa_link, (size_t)(signature - url));
	g_auto(GStrv) parameters = g_strsplit(signature + 1, "&", -1);
	assert_int_equal(g_strv_length(parameters), 3);
	assert_string_equal(parameters[1], "Key-Pair-Id=K2JCJMDEHXQW5F");
	assert_string_equal(parameters[2], "Hash-Algorithm=SHA256");
	assert_true(is_signed(policy, parameters[0] + strlen("Signature=")));
	assert_false(is_signed(policy + 1, parameters[0] + strlen("Signature=")));
}

static void keys_that_cloudfront_does_not_take_are_said(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ p384_key, "CloudFront takes keys of RSA with 2048 bits" },
		{ "no key\n", "holds no private key in PEM" },
		{ NULL, "cannot read" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *file = g_build_filename(tree_directory, "none", NULL);
		if (cases[i].text) {
			g_free(file);
			file = write_file("key", cases[i].text);
		}
		struct s3_settings settings = cloudfront_settings(file);
		g_autoptr(GError) error = NULL;
		assert_null(s3_store_new(&settings, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		if (!strstr(error->message, cases[i].says))
			fail_msg("case %zu: %s", i, error->message);
	}
}

static void half_a_distribution_is_said(void **state)
{
	(void)state;
	struct s3_settings settings = cloudfront_settings(NULL);
	g_autoptr(GError) error = NULL;
	assert_null(s3_store_new(&settings, &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
}

/* ---- deleting ---- */

static void deleted_objects_leave_nothing(void **state)
{
	(void)state;
	const struct s3_settings settings = { .directory = tree_directory,
		.directory_url = "http://127.0.0.1:8025" };
	struct s3_store *store = open_store(&settings);
	const struct s3_object objects[] = {
		{ .key = "mail/2026/08/06/m/1-a.pdf", .octets = "x", .size = 1 },
		{ .key = "mail/2026/08/06/m/2-b.pdf", .octets = "y", .size = 1 },
	};
	assert_true(s3_store_put(store, objects, 2, NULL));
	g_autofree char *folder =
		g_build_filename(tree_directory, "objects", "mail/2026/08/06/m", NULL);
	g_autofree char *metadata =
		g_build_filename(tree_directory, "metadata", "mail", NULL);
	g_autofree char *root = g_build_filename(tree_directory, "objects", NULL);
	g_autofree char *top = g_build_filename(root, "mail", NULL);
	assert_true(s3_store_delete(store, objects[0].key, NULL));
	assert_int_equal(access(folder, F_OK), 0);
	assert_true(s3_store_delete(store, objects[0].key, NULL)); /* gone already */
	assert_true(s3_store_delete(store, objects[1].key, NULL));
	assert_int_not_equal(access(top, F_OK), 0);
	assert_int_not_equal(access(metadata, F_OK), 0);
	assert_int_equal(access(root, F_OK), 0);
	g_autoptr(GError) error = NULL;
	assert_false(s3_store_delete(store, "../credentials", &error));
	assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_MEND));
	s3_store_free(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(links_have_keys_of_their_own),
		TEST(links_may_have_a_profile),
		TEST(broken_keys_of_links_are_an_error),
		TEST(directory_keeps_its_own_pair),
		TEST(what_cannot_be_kept_is_said),
		TEST(base_url_is_what_is_signed),
		TEST(base_url_may_be_a_front_of_the_endpoint),
		TEST(bad_bases_are_said),
		TEST(rsa_links_are_as_cloudfront_wants),
		TEST(ecdsa_links_are_as_cloudfront_wants),
		TEST(keys_that_cloudfront_does_not_take_are_said),
		TEST(half_a_distribution_is_said),
		TEST(deleted_objects_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
