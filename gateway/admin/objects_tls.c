/* Certificates from OpenSSL's hands into GnuTLS's. Sockets are libmicrohttpd's. */
#include "gateway/admin/objects_tls.h"

#include "gateway/error.h"
#include "gateway/smtp/tls_certificate.h"
#include "gateway/smtp/tls_name.h"
#include <openssl/crypto.h>
#include <string.h>

/* One certificate as it is shown. */
struct shown {
	const struct tls_certificate *certificate;
	gnutls_pcert_st *chain; /* the certificate first */
	unsigned n_chain;
	gnutls_privkey_t key;
};

struct objects_tls {
	gatomicrefcount references;
	struct tls_certificates *certificates;
	struct shown *shown;
	size_t n_shown;
};

/* ---- from one library to the other ---- */

static int add_to_chain(struct shown *shown, X509 *certificate)
{
	unsigned char *der = NULL;
	int bytes = i2d_X509(certificate, &der);
	if (bytes < 0)
		return GNUTLS_E_ASN1_ELEMENT_NOT_FOUND;
	const gnutls_datum_t datum = { der, (unsigned)bytes };
	int bad = gnutls_pcert_import_x509_raw(
		&shown->chain[shown->n_chain], &datum, GNUTLS_X509_FMT_DER, 0);
	OPENSSL_free(der);
	shown->n_chain += bad == 0;
	return bad;
}

static int take_key(struct shown *shown, EVP_PKEY *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *der = NULL;
	int bytes = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
	PKCS8_PRIV_KEY_INFO_free(info);
	if (bytes < 0)
		return GNUTLS_E_ASN1_ELEMENT_NOT_FOUND;
	const gnutls_datum_t datum = { der, (unsigned)bytes };
	int bad = gnutls_privkey_init(&shown->key);
	if (bad == 0)
		bad = gnutls_privkey_import_x509_raw(
			shown->key, &datum, GNUTLS_X509_FMT_DER, NULL, 0);
	OPENSSL_clear_free(der, (size_t)bytes);
	return bad;
}

static bool show(
	struct shown *shown, const struct tls_certificate *certificate, GError **error)
{
	int n_above = sk_X509_num(certificate->chain);
	shown->certificate = certificate;
	shown->chain = g_new0(gnutls_pcert_st, (gsize)n_above + 1);
	int bad = add_to_chain(shown, certificate->leaf);
	for (int i = 0; bad == 0 && i < n_above; i++)
		bad = add_to_chain(shown, sk_X509_value(certificate->chain, i));
	if (bad == 0)
		bad = take_key(shown, certificate->key);
	if (bad != 0)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s cannot be shown over HTTPS: %s", certificate->file,
			gnutls_strerror(bad));
	return bad == 0;
}

/* ---- sets ---- */

struct objects_tls *objects_tls_load(const struct conf *conf, GError **error)
{
	struct tls_certificates *certificates = tls_certificates_load(conf, error);
	if (!certificates)
		return NULL;
	struct objects_tls *tls = g_new0(struct objects_tls, 1);
	g_atomic_ref_count_init(&tls->references);
	tls->certificates = certificates;
	tls->n_shown = tls_certificates_count(certificates);
	tls->shown = g_new0(struct shown, tls->n_shown);
	for (size_t i = 0; i < tls->n_shown; i++) {
		if (!show(&tls->shown[i], tls_certificate_at(certificates, i), error)) {
			objects_tls_unref(tls);
			return NULL;
		}
	}
	return tls;
}

struct objects_tls *objects_tls_ref(struct objects_tls *tls)
{
	g_atomic_ref_count_inc(&tls->references);
	return tls;
}

void objects_tls_unref(struct objects_tls *tls)
{
	if (!tls || !g_atomic_ref_count_dec(&tls->references))
		return;
	for (size_t i = 0; i < tls->n_shown; i++) {
		for (unsigned j = 0; j < tls->shown[i].n_chain; j++)
			gnutls_pcert_deinit(&tls->shown[i].chain[j]);
		g_free(tls->shown[i].chain);
		gnutls_privkey_deinit(tls->shown[i].key);
	}
	g_free(tls->shown);
	tls_certificates_free(&tls->certificates);
	g_free(tls);
}

/* ---- handshakes ---- */

void objects_tls_use(struct objects_tls *tls, gnutls_session_t session)
{
	gnutls_session_set_ptr(session, tls);
}

/* The name that the client asks for, folded; false: none. */
static bool name_asked_for(
	gnutls_session_t session, char folded[static TLS_NAME_BYTES_MAX + 1])
{
	char name[TLS_NAME_BYTES_MAX + 2];
	size_t bytes = sizeof(name);
	unsigned type;
	return gnutls_server_name_get(session, name, &bytes, &type, 0) == 0 &&
	       type == GNUTLS_NAME_DNS &&
	       tls_name_fold(name, strnlen(name, bytes), false, folded);
}

int objects_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities,
	int n_authorities, const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
	gnutls_pcert_st **chain, unsigned *n_chain, gnutls_privkey_t *key)
{
	(void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
	const struct objects_tls *tls = gnutls_session_get_ptr(session);
	char name[TLS_NAME_BYTES_MAX + 1];
	size_t choice = 0;
	if (!tls)
		return -1;
	if (name_asked_for(session, name)) {
		while (choice < tls->n_shown &&
			!tls_certificate_has(tls->shown[choice].certificate, name) &&
			!tls_certificate_covers(tls->shown[choice].certificate, name))
			choice++;
		choice %= tls->n_shown;
	}
	*chain = tls->shown[choice].chain;
	*n_chain = tls->shown[choice].n_chain;
	*key = tls->shown[choice].key;
	return 0;
}
