/* SHA-256 and HMAC-SHA-256 by algorithms that OpenSSL has looked up once. */
#include "s3/digest.h"
#include <glib.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

static const EVP_MD *sha256(void)
{
	static gsize fetched;
	if (g_once_init_enter(&fetched)) {
		EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
		if (!md)
			g_error("OpenSSL has no SHA-256");
		g_once_init_leave(&fetched, (gsize)md);
	}
	return (const EVP_MD *)fetched;
}

/* HMAC with SHA-256, without a key: to be copied. */
static const EVP_MAC_CTX *hmac_sha256(void)
{
	static gsize prepared;
	if (g_once_init_enter(&prepared)) {
		char name[] = "SHA256";
		const OSSL_PARAM parameters[] = {
			OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
			OSSL_PARAM_construct_end(),
		};
		EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
		if (!context || !EVP_MAC_CTX_set_params(context, parameters))
			g_error("OpenSSL has no HMAC-SHA-256");
		EVP_MAC_free(mac); /* the context holds it */
		g_once_init_leave(&prepared, (gsize)context);
	}
	return (const EVP_MAC_CTX *)prepared;
}

void s3_sha256(const void *data, size_t data_bytes, uint8_t out[S3_SHA256_BYTES])
{
	if (!EVP_Digest(data, data_bytes, out, NULL, sha256(), NULL))
		g_error("no memory for a digest");
}

void s3_hmac_sha256(
	const void *key, size_t key_bytes, const char *text, uint8_t out[S3_SHA256_BYTES])
{
	EVP_MAC_CTX *context = EVP_MAC_CTX_dup(hmac_sha256());
	size_t out_bytes;
	if (!context || !EVP_MAC_init(context, key, key_bytes, NULL) ||
		!EVP_MAC_update(context, (const uint8_t *)text, strlen(text)) ||
		!EVP_MAC_final(context, out, &out_bytes, S3_SHA256_BYTES))
		g_error("no memory for a digest");
	EVP_MAC_CTX_free(context);
}
