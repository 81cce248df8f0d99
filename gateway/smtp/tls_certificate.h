/*
 * tls_certificate - the gateway's certificates as they were read: what those who show
 * them to clients need, this TLS layer and that of the downloads.
 *
 * All is borrowed from the set (tls_certificates_load()), which is immutable; any thread.
 */
#ifndef GATEWAY_SMTP_TLS_CERTIFICATE_H
#define GATEWAY_SMTP_TLS_CERTIFICATE_H

#include "gateway/smtp/tls.h"
#include <openssl/x509.h>

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
/* Whether it is for name (folded): as it stands, or by a wildcard (RFC 6125, 6.4.3). */
bool tls_certificate_has(const struct tls_certificate *certificate, const char *name);
bool tls_certificate_covers(const struct tls_certificate *certificate, const char *name);

#endif
