/*
 * tls_name - names of hosts and clients, as clients ask for them and
 * certificates have them.
 *
 * Pure; any thread.
 */
#ifndef GATEWAY_SMTP_TLS_NAME_H
#define GATEWAY_SMTP_TLS_NAME_H

#include "conf/conf.h"
#include <glib.h>
#include <openssl/x509.h>
#include <stdbool.h>

/* Names of the DNS are at most so long (RFC 1035, 2.3.4), as text without final dot. */
#define TLS_NAME_BYTES_MAX 253

/* name in lower case, without a final dot. False: it is none that a host may have, other
 * than as "*" for its first label where that is taken. */
bool tls_name_fold(const char *name, size_t bytes, bool wildcard,
	char folded[TLS_NAME_BYTES_MAX + 1]);

/* The names that a server's certificate is for, folded: its dNSNames or, where it has no
 * subjectAltName, its common name. g_ptr_array_unref(). */
GPtrArray *tls_names_of_server(const X509 *certificate);

/* tls_client_name() of a certificate. */
char *tls_name_of_client(const X509 *certificate, enum conf_client_name which);

#endif
