/* Certificates, their chains and keys, as the settings name them. Which client is shown
 * which is the context's. */
#include "gateway/smtp/tls_private.h"

#include "gateway/error.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <time.h>

/* Above the certificate; clients take few more. */
#define CHAIN_MAX 16

struct tls_certificates {
	GPtrArray *all; /* of struct tls_certificate; the default first */
};

/* Where a pair of files stands in the settings. */
struct place {
	const struct conf_certificate *files;
	char *certificate, *key;
};

/* Instead of OpenSSL's question on the terminal. */
static int no_passphrase(char *buffer, int room, int writing, void *context)
{
	(void)buffer, (void)room, (void)writing, (void)context;
	return -1;
}

static void certificate_free(void *pointer)
{
	struct tls_certificate *certificate = pointer;
	X509_free(certificate->leaf);
	sk_X509_pop_free(certificate->chain, X509_free);
	EVP_PKEY_free(certificate->key);
	if (certificate->names)
		g_ptr_array_unref(certificate->names);
	g_free(certificate->file);
	g_free(certificate);
}

/* Whether the file has ended: no other way to tell OpenSSL's "no more" from a broken one.
 */
static bool was_end_of_file(void)
{
	unsigned long code = ERR_peek_last_error();
	return ERR_GET_LIB(code) == ERR_LIB_PEM &&
	       ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static bool read_chain(struct tls_certificate *certificate, const struct place *place,
	BIO *bio, GError **error)
{
	X509 *above;
	while ((above = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		sk_X509_push(certificate->chain, above);
		if (sk_X509_num(certificate->chain) <= CHAIN_MAX)
			continue;
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s %s: more than %d certificates above the first: not a chain",
			place->certificate, place->files->certificate, CHAIN_MAX);
		return false;
	}
	if (!was_end_of_file())
		return tls_fail(error, place->certificate, place->files->certificate);
	ERR_clear_error();
	return true;
}

static bool read_certificate(
	struct tls_certificate *certificate, const struct place *place, GError **error)
{
	g_autoptr(BIO) bio =
		tls_file_open(place->certificate, place->files->certificate, error);
	if (!bio)
		return false;
	certificate->leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
	if (!certificate->leaf)
		return tls_fail(error, place->certificate, place->files->certificate);
	return read_chain(certificate, place, bio, error);
}

static bool read_key(
	struct tls_certificate *certificate, const struct place *place, GError **error)
{
	g_autoptr(BIO) bio = tls_file_open(place->key, place->files->key, error);
	if (!bio)
		return false;
	certificate->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (!certificate->key)
		return tls_fail(error, place->key, place->files->key);
	if (X509_check_private_key(certificate->leaf, certificate->key) == 1)
		return true;
	g_autofree char *what =
		g_strdup_printf("%s does not belong to %s (%s):", place->key,
			place->certificate, place->files->certificate);
	return tls_fail(error, what, place->files->key);
}

static int64_t end_of(const X509 *certificate)
{
	struct tm tm = { 0 };
	ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm);
	return timegm(&tm);
}

static bool add(GPtrArray *all, const struct place *place, GError **error)
{
	struct tls_certificate *certificate = g_new0(struct tls_certificate, 1);
	g_ptr_array_add(all, certificate);
	certificate->file = g_strdup(place->files->certificate);
	certificate->chain = sk_X509_new_null();
	if (!read_certificate(certificate, place, error) ||
		!read_key(certificate, place, error))
		return false;
	certificate->names = tls_names_of_server(certificate->leaf);
	certificate->expiry_s = end_of(certificate->leaf);
	return true;
}

static bool add_default(GPtrArray *all, const struct conf *conf, GError **error)
{
	const struct conf_certificate files = { conf->tls_certificate, conf->tls_key };
	char certificate[] = "tls.certificate", key[] = "tls.key";
	const struct place place = { &files, certificate, key };
	if (files.certificate && files.key)
		return add(all, &place, error);
	g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"tls.certificate and tls.key are needed: a listener has TLS");
	return false;
}

static bool add_additional(
	GPtrArray *all, const struct conf *conf, size_t index, GError **error)
{
	g_autofree char *certificate =
		g_strdup_printf("tls.additional[%zu].certificate", index);
	g_autofree char *key = g_strdup_printf("tls.additional[%zu].key", index);
	const struct place place = { &conf->tls_additional[index], certificate, key };
	if (!add(all, &place, error))
		return false;
	const struct tls_certificate *added = g_ptr_array_index(all, all->len - 1);
	if (added->names->len)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"%s %s: no DNS name in it that a client could ask for", certificate,
		place.files->certificate);
	return false;
}

struct tls_certificates *tls_certificates_load(const struct conf *conf, GError **error)
{
	struct tls_certificates *certificates = g_new0(struct tls_certificates, 1);
	certificates->all = g_ptr_array_new_with_free_func(certificate_free);
	bool good = add_default(certificates->all, conf, error);
	for (size_t i = 0; good && i < conf->n_tls_additional; i++)
		good = add_additional(certificates->all, conf, i, error);
	if (!good)
		tls_certificates_free(&certificates);
	return certificates;
}

void tls_certificates_free(struct tls_certificates **certificates)
{
	if (!*certificates)
		return;
	g_ptr_array_unref((*certificates)->all);
	g_clear_pointer(certificates, g_free);
}

size_t tls_certificates_count(const struct tls_certificates *certificates)
{
	return certificates->all->len;
}

const struct tls_certificate *tls_certificate_at(
	const struct tls_certificates *certificates, size_t index)
{
	return g_ptr_array_index(certificates->all, index);
}

int64_t tls_certificates_expiry_s(
	const struct tls_certificates *certificates, size_t index, const char **file)
{
	const struct tls_certificate *certificate =
		tls_certificate_at(certificates, index);
	*file = certificate->file;
	return certificate->expiry_s;
}

int tls_certificate_kind(const struct tls_certificate *certificate)
{
	return EVP_PKEY_get_base_id(certificate->key);
}

bool tls_certificate_has(const struct tls_certificate *certificate, const char *name)
{
	for (guint i = 0; i < certificate->names->len; i++) {
		if (!strcmp(g_ptr_array_index(certificate->names, i), name))
			return true;
	}
	return false;
}

bool tls_certificate_covers(const struct tls_certificate *certificate, const char *name)
{
	const char *rest = strchr(name, '.');
	if (!rest || name[0] == '*')
		return false;
	g_autofree char *wildcard = g_strconcat("*", rest, NULL);
	return tls_certificate_has(certificate, wildcard);
}
