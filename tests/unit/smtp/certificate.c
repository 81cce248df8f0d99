/* P-256, version 3, no extensions. */
#include "certificate.h"

#include <glib.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static X509 *sign(EVP_PKEY *pair, int64_t lifetime_s)
{
	X509 *x509 = X509_new();
	X509_NAME *name = X509_get_subject_name(x509);
	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x509), (long)lifetime_s);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.example", -1, -1, 0);
	X509_set_issuer_name(x509, name);
	X509_set_pubkey(x509, pair);
	g_assert(X509_sign(x509, pair, EVP_sha256()) > 0);
	return x509;
}

void certificate_make(const char *certificate, const char *key, int64_t lifetime_s)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	g_assert(pair);
	X509 *x509 = sign(pair, lifetime_s);
	FILE *file = fopen(certificate, "w");
	g_assert(file && PEM_write_X509(file, x509));
	fclose(file);
	file = fopen(key, "w");
	g_assert(file && PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL));
	fclose(file);
	X509_free(x509);
	EVP_PKEY_free(pair);
}
