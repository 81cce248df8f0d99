/* OpenSSL's side of a small certificate authority. */
#include "identity.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#define DAY_S  86400
#define HOUR_S 3600

/* RSA keys take long to make: one serves a whole test program. */
static EVP_PKEY *rsa_key(void)
{
	static gsize key;
	if (g_once_init_enter(&key))
		g_once_init_leave(&key, (gsize)EVP_RSA_gen(2048));
	EVP_PKEY_up_ref((EVP_PKEY *)key);
	return (EVP_PKEY *)key;
}

static void add_common_name(X509_NAME *subject, const char *text, size_t bytes)
{
	int n = (int)(bytes ? bytes : strlen(text));
	/* Not by NID: its table has an upper bound that some authorities do not keep. */
	X509_NAME_ENTRY *entry = X509_NAME_ENTRY_create_by_NID(
		NULL, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)text, n);
	g_assert(entry && X509_NAME_add_entry(subject, entry, -1, 0));
	X509_NAME_ENTRY_free(entry);
}

static void add_alternatives(X509 *certificate, const struct identity_name *names)
{
	GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
	for (; names->text; names++) {
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();
		ASN1_STRING_set(text, names->text,
			(int)(names->bytes ? names->bytes : strlen(names->text)));
		GENERAL_NAME_set0_value(name, names->type, text);
		sk_GENERAL_NAME_push(all, name);
	}
	g_assert(X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0,
			 X509V3_ADD_APPEND) == 1);
	sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
}

static void add_constraints(X509 *certificate, bool is_authority)
{
	BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
	constraints->ca = is_authority ? 0xff : 0;
	g_assert(X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints, 1,
			 X509V3_ADD_APPEND) == 1);
	BASIC_CONSTRAINTS_free(constraints);
}

static void set_times(X509 *certificate, const struct identity_request *request)
{
	int64_t begins_s = request->begins_s ? request->begins_s : -DAY_S;
	int64_t ends_s = request->ends_s ? request->ends_s : HOUR_S;
	X509_gmtime_adj(X509_getm_notBefore(certificate), (long)begins_s);
	X509_gmtime_adj(X509_getm_notAfter(certificate), (long)ends_s);
}

static void set_names(X509 *certificate, const struct identity_request *request)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	if (request->common_name)
		add_common_name(
			subject, request->common_name, request->common_name_bytes);
	if (request->second_common_name)
		add_common_name(subject, request->second_common_name, 0);
	X509_set_issuer_name(certificate,
		request->issuer ? X509_get_subject_name(request->issuer->certificate)
				: subject);
	if (request->alternatives)
		add_alternatives(certificate, request->alternatives);
}

struct identity *identity_new(const struct identity_request *request)
{
	struct identity *identity = g_new0(struct identity, 1);
	identity->key =
		request->key_type == EVP_PKEY_RSA ? rsa_key() : EVP_EC_gen("P-256");
	identity->certificate = X509_new();
	X509_set_version(identity->certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(identity->certificate),
		request->serial ? request->serial : 1);
	set_times(identity->certificate, request);
	set_names(identity->certificate, request);
	add_constraints(identity->certificate, request->is_authority);
	X509_set_pubkey(identity->certificate, identity->key);
	EVP_PKEY *signer = request->issuer ? request->issuer->key : identity->key;
	g_assert(X509_sign(identity->certificate, signer, EVP_sha256()) > 0);
	return identity;
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
	g_free(identity);
}

static void append(GString *pem, BIO *bio)
{
	char *text;
	long bytes = BIO_get_mem_data(bio, &text);
	g_string_append_len(pem, text, bytes);
	BIO_free_all(bio);
}

void identity_print(const struct identity *identity, GString *pem)
{
	BIO *bio = BIO_new(BIO_s_mem());
	g_assert(PEM_write_bio_X509(bio, identity->certificate));
	append(pem, bio);
}

void identity_print_key(const struct identity *identity, GString *pem)
{
	BIO *bio = BIO_new(BIO_s_mem());
	g_assert(PEM_write_bio_PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL));
	append(pem, bio);
}

void identity_print_revocation(
	const struct identity *issuer, long serial, int64_t ends_s, GString *pem)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *begins = X509_gmtime_adj(NULL, -DAY_S);
	ASN1_TIME *ends = X509_gmtime_adj(NULL, (long)ends_s);
	X509_CRL_set_version(list, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate));
	X509_CRL_set1_lastUpdate(list, begins);
	X509_CRL_set1_nextUpdate(list, ends);
	if (serial) {
		X509_REVOKED *revoked = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();
		ASN1_INTEGER_set(number, serial);
		X509_REVOKED_set_serialNumber(revoked, number);
		X509_REVOKED_set_revocationDate(revoked, begins);
		X509_CRL_add0_revoked(list, revoked);
		ASN1_INTEGER_free(number);
	}
	g_assert(X509_CRL_sign(list, issuer->key, EVP_sha256()) > 0);
	BIO *bio = BIO_new(BIO_s_mem());
	g_assert(PEM_write_bio_X509_CRL(bio, list));
	append(pem, bio);
	ASN1_TIME_free(begins);
	ASN1_TIME_free(ends);
	X509_CRL_free(list);
}

void identity_write(
	const struct identity *identity, const char *certificate, const char *key)
{
	g_autoptr(GString) text = g_string_new(NULL);
	identity_print(identity, text);
	g_assert_true(g_file_set_contents(certificate, text->str, -1, NULL));
	g_string_truncate(text, 0);
	identity_print_key(identity, text);
	g_assert_true(g_file_set_contents(key, text->str, -1, NULL));
}
