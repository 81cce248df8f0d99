/* Who may vouch for clients, and what is checked of the certificates that they show. */
#include "gateway/smtp/tls_private.h"

#include "gateway/error.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* Authorities between a client and the file's. */
#define DEPTH_MAX 5
/* What a client may send of certificates: it is held in memory unverified. */
#define CHAIN_BYTES_MAX 32768
/* Names of more authorities than these would make the question a burden to every client,
 * and an empty list means: any. */
#define NAMES_BYTES_MAX 8192

static void free_infos(STACK_OF(X509_INFO) * infos)
{
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
}

/* ---- the file ---- */

static void add_name(struct tls_authorities *authorities, const X509 *certificate)
{
	const X509_NAME *name = X509_get_subject_name(certificate);
	for (int i = 0; i < sk_X509_NAME_num(authorities->names); i++) {
		if (!X509_NAME_cmp(sk_X509_NAME_value(authorities->names, i), name))
			return;
	}
	sk_X509_NAME_push(authorities->names, X509_NAME_dup(name));
}

static void drop_names_if_many(struct tls_authorities *authorities)
{
	size_t bytes = 0;
	for (int i = 0; i < sk_X509_NAME_num(authorities->names); i++) {
		int one = i2d_X509_NAME(sk_X509_NAME_value(authorities->names, i), NULL);
		bytes += (size_t)MAX(one, 0) + 2;
	}
	while (bytes > NAMES_BYTES_MAX && sk_X509_NAME_num(authorities->names))
		X509_NAME_free(sk_X509_NAME_pop(authorities->names));
}

/* How many of infos are certificates; -1: one does not fit into the store. */
static int add_infos(struct tls_authorities *authorities, STACK_OF(X509_INFO) * infos)
{
	int n_certificates = 0;
	unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
	for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
		const X509_INFO *info = sk_X509_INFO_value(infos, i);
		if (info->x509) {
			if (X509_STORE_add_cert(authorities->store, info->x509) != 1)
				return -1;
			add_name(authorities, info->x509);
			n_certificates++;
		}
		if (info->crl) {
			if (X509_STORE_add_crl(authorities->store, info->crl) != 1)
				return -1;
			flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
		}
	}
	X509_STORE_set_flags(authorities->store, flags);
	drop_names_if_many(authorities);
	return n_certificates;
}

bool tls_authorities_load(
	struct tls_authorities *authorities, const char *path, GError **error)
{
	*authorities =
		(struct tls_authorities){ X509_STORE_new(), sk_X509_NAME_new_null() };
	g_autoptr(BIO) bio = tls_file_open("client_ca", path, error);
	if (!bio)
		return false;
	STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	int n = infos ? add_infos(authorities, infos) : -1;
	free_infos(infos);
	if (n < 0)
		return tls_fail(error, "client_ca", path);
	if (n > 0)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"client_ca %s: no certificate of an authority in it", path);
	return false;
}

void tls_authorities_clear(struct tls_authorities *authorities)
{
	X509_STORE_free(authorities->store);
	sk_X509_NAME_pop_free(authorities->names, X509_NAME_free);
	*authorities = (struct tls_authorities){ 0 };
}

/* ---- a handshake ---- */

/* With one revocation list, OpenSSL asks for one of every authority. One that has none
 * here has revoked nothing that we could know of. */
static bool has_no_list(X509_STORE_CTX *verification)
{
	const X509 *certificate = X509_STORE_CTX_get_current_cert(verification);
	STACK_OF(X509_CRL) *lists =
		X509_STORE_CTX_get1_crls(verification, X509_get_issuer_name(certificate));
	bool none = sk_X509_CRL_num(lists) <= 0;
	sk_X509_CRL_pop_free(lists, X509_CRL_free);
	return none;
}

static int on_verified(int good, X509_STORE_CTX *verification)
{
	if (good)
		return 1;
	int reason = X509_STORE_CTX_get_error(verification);
	if (reason == X509_V_ERR_UNABLE_TO_GET_CRL && has_no_list(verification)) {
		X509_STORE_CTX_set_error(verification, X509_V_OK);
		return 1;
	}
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		verification, SSL_get_ex_data_X509_STORE_CTX_idx());
	tls_note_refusal(ssl, reason, X509_STORE_CTX_get0_cert(verification));
	return 0;
}

void tls_authorities_use(const struct tls_authorities *authorities, SSL_CTX *ssl,
	enum conf_client_certificates wanted)
{
	int mode = SSL_VERIFY_PEER;
	if (wanted == CONF_CLIENT_CERTIFICATES_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ssl, mode, on_verified);
	SSL_CTX_set_verify_depth(ssl, DEPTH_MAX);
	SSL_CTX_set_max_cert_list(ssl, CHAIN_BYTES_MAX);
	SSL_CTX_set1_cert_store(ssl, authorities->store);
	SSL_CTX_set_client_CA_list(ssl, SSL_dup_CA_list(authorities->names));
}
