/*
 * tls_private - what the parts of the TLS layer share: files, names, certificates,
 * contexts, connections. For tls*.c and their tests.
 */
#ifndef GATEWAY_SMTP_TLS_PRIVATE_H
#define GATEWAY_SMTP_TLS_PRIVATE_H

#include "gateway/smtp/tls.h"
#include <openssl/ssl.h>
#include <openssl/x509.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_STORE, X509_STORE_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

/* ---- tls_file.c ---- */

/* OpenSSL's newest reason, in its own words or plainer ones; forgets it. A static
 * string. */
const char *tls_reason(void);
/* GATEWAY_ERROR_MEND, "WHAT PATH: OpenSSL's reason". Returns false. */
bool tls_fail(GError **error, const char *what, const char *path);
/* The file of a setting in memory; goes with its content wiped. NULL with error: not
 * readable, no regular file, too large. */
BIO *tls_file_open(const char *setting, const char *path, GError **error);

/* ---- tls_name.c ---- */

/* Names of the DNS are at most so long (RFC 1035, 2.3.4), as text without final dot. */
#define TLS_NAME_BYTES_MAX 253

/* name in lower case, without a final dot. False: it is none that a host may have, other
 * than as "*" for its first label where that is taken. */
bool tls_name_fold(const char *name, size_t bytes, bool wildcard,
	char folded[TLS_NAME_BYTES_MAX + 1]);

/* The names that a server's certificate is for, folded: its dNSNames or, where it has no
 * subjectAltName, its common name. */
GPtrArray *tls_names_of_server(const X509 *certificate);

/* tls_client_name() of a certificate. */
char *tls_name_of_client(const X509 *certificate, enum conf_client_name which);

/* ---- tls_certificate.c ---- */

struct tls_certificate {
	char *file;
	X509 *leaf;
	STACK_OF(X509) * chain; /* above it */
	EVP_PKEY *key;
	GPtrArray *names; /* folded */
	int64_t expiry_s;
};

const struct tls_certificate *tls_certificate_at(
	const struct tls_certificates *certificates, size_t index);
int tls_certificate_kind(const struct tls_certificate *certificate); /* of key */
/* Whether it is for name: as it stands, or by a wildcard (RFC 6125, 6.4.3). */
bool tls_certificate_has(const struct tls_certificate *certificate, const char *name);
bool tls_certificate_covers(const struct tls_certificate *certificate, const char *name);

/* ---- tls_client.c ---- */

/* What certificates of clients are verified against. */
struct tls_authorities {
	X509_STORE *store;
	STACK_OF(X509_NAME) * names; /* shown to clients; may be empty */
};

bool tls_authorities_load(
	struct tls_authorities *authorities, const char *path, GError **error);
void tls_authorities_clear(struct tls_authorities *authorities);
/* Makes ssl's clients show a certificate of authorities. */
void tls_authorities_use(const struct tls_authorities *authorities, SSL_CTX *ssl,
	enum conf_client_certificates wanted);

/* ---- tls_context.c ---- */

/* The context of a connection that has not said yet which name it wants. Borrowed. */
SSL_CTX *tls_context_default(const struct tls_context *context);
/* The context for name, folded; NULL: no certificate is for it. Borrowed. */
SSL_CTX *tls_context_choose(const struct tls_context *context, const char *name);

/* ---- tls.c ---- */

/* A certificate of ssl's client is refused. */
void tls_note_refusal(SSL *ssl, int reason, const X509 *certificate);

#endif
