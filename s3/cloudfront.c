/* CloudFront's canned policy, signed. */
#include "s3/cloudfront.h"
#include "s3/error.h"
#include "s3/name.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#define KEY_FILE_MAX_BYTES ((size_t)64 << 10)
#define RSA_BITS           2048
#define EC_GROUP_P256      "prime256v1"

struct s3_cloudfront {
	char *key_pair_id;
	EVP_PKEY *key;
};

/* ---- the key ---- */

/* An encrypted key is no use to a program that starts by itself: nobody is asked. */
static int refuse_password(char *buffer, int size, int writing, void *data)
{
	(void)buffer, (void)size, (void)writing, (void)data;
	return -1;
}

static EVP_PKEY *read_key(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		s3_fail(error, S3_ERROR_CONFIG, "cannot read %s: %s", path,
			g_strerror(errno));
		return NULL;
	}
	char *text = g_malloc(KEY_FILE_MAX_BYTES);
	ssize_t n = read(fd, text, KEY_FILE_MAX_BYTES);
	close(fd);
	BIO *bio = n > 0 ? BIO_new_mem_buf(text, (int)n) : NULL;
	EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_password, NULL) : NULL;
	BIO_free(bio);
	OPENSSL_cleanse(text, KEY_FILE_MAX_BYTES);
	g_free(text);
	ERR_clear_error();
	if (!key)
		s3_fail(error, S3_ERROR_CONFIG,
			"%s holds no private key in PEM without a password", path);
	return key;
}

static bool is_p256(const EVP_PKEY *key)
{
	char group[64] = "";
	size_t length = 0;
	return EVP_PKEY_get_group_name(key, group, sizeof(group), &length) == 1 &&
	       (!strcmp(group, EC_GROUP_P256) || !strcmp(group, "P-256"));
}

static bool is_taken(const EVP_PKEY *key)
{
	return (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == RSA_BITS) ||
	       (EVP_PKEY_is_a(key, "EC") && is_p256(key));
}

struct s3_cloudfront *s3_cloudfront_new(
	const char *key_pair_id, const char *private_key_file, GError **error)
{
	EVP_PKEY *key = read_key(private_key_file, error);
	if (!key)
		return NULL;
	if (!is_taken(key)) {
		s3_fail(error, S3_ERROR_CONFIG,
			"%s: CloudFront takes keys of RSA with 2048 bits and of ECDSA on "
			"P-256",
			private_key_file);
		EVP_PKEY_free(key);
		return NULL;
	}
	struct s3_cloudfront *cloudfront = g_new0(struct s3_cloudfront, 1);
	cloudfront->key_pair_id = g_strdup(key_pair_id);
	cloudfront->key = key;
	return cloudfront;
}

void s3_cloudfront_free(struct s3_cloudfront **cloudfront)
{
	struct s3_cloudfront *gone = g_steal_pointer(cloudfront);
	if (!gone)
		return;
	EVP_PKEY_free(gone->key);
	g_free(gone->key_pair_id);
	g_free(gone);
}

/* ---- the signature ---- */

/* Base64 with the three letters that a query cannot hold replaced. */
static char *encode(const uint8_t *octets, size_t n)
{
	char *text = g_base64_encode(octets, n);
	for (char *p = text; *p; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '=')
			*p = '_';
		else if (*p == '/')
			*p = '~';
	}
	return text;
}

static char *sign(struct s3_cloudfront *cloudfront, const char *text, GError **error)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_get_size(cloudfront->key);
	g_autofree uint8_t *signature = g_malloc(n);
	bool done = context &&
		    EVP_DigestSignInit(
			    context, NULL, EVP_sha256(), NULL, cloudfront->key) == 1 &&
		    EVP_DigestSign(context, signature, &n, (const uint8_t *)text,
			    strlen(text)) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	if (done)
		return encode(signature, n);
	s3_fail(error, S3_ERROR_MEND, "links.cloudfront: the private key does not sign");
	return NULL;
}

/* What the link asks for, before its signature: the resource of the policy. */
static char *resource_of(
	const struct s3_endpoint *distribution, const struct s3_link *link)
{
	g_autofree char *url = s3_endpoint_url(distribution, link->key);
	g_autofree char *disposition = s3_name_disposition(link->file_name);
	g_autofree char *type = s3_name_media_type(link->media_type);
	GString *out = g_string_new(url);
	g_string_append(out, "?response-content-disposition=");
	sigv4_append_encoded(out, disposition, false);
	g_string_append(out, "&response-content-type=");
	sigv4_append_encoded(out, type, false);
	return g_string_free(out, FALSE);
}

char *s3_cloudfront_url(struct s3_cloudfront *cloudfront,
	const struct s3_endpoint *distribution, const struct s3_link *link,
	GError **error)
{
	int64_t end_s = link->now_s + link->life_s;
	g_autofree char *resource = resource_of(distribution, link);
	/* Rebuilt by CloudFront from the request: to the letter, no blanks. */
	g_autofree char *policy = g_strdup_printf(
		"{\"Statement\":[{\"Resource\":\"%s\",\"Condition\":{\"DateLessThan\":{"
		"\"AWS:EpochTime\":%" G_GINT64_FORMAT "}}}]}",
		resource, end_s);
	g_autofree char *signature = sign(cloudfront, policy, error);
	if (!signature)
		return NULL;
	return g_strdup_printf("%s&Expires=%" G_GINT64_FORMAT
			       "&Signature=%s&Key-Pair-Id=%s&Hash-Algorithm=SHA256",
		resource, end_s, signature, cloudfront->key_pair_id);
}
