/*
 * tls_private - what the parts of the TLS layer share beside names (tls_name.h) and
 * certificates (tls_certificate.h): files, contexts, connections. For tls*.c and their
 * tests.
 */
#ifndef GATEWAY_SMTP_TLS_PRIVATE_H
#define GATEWAY_SMTP_TLS_PRIVATE_H

#include "gateway/smtp/tls.h"
#include "gateway/smtp/tls_certificate.h"
#include "gateway/smtp/tls_name.h"
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

/* ---- tls.c ---- */

/* A certificate of ssl's client is refused. */
void tls_note_refusal(SSL *ssl, int reason, const X509 *certificate);

#endif
