/*
 * objects_tls - the gateway's certificates, as libmicrohttpd's TLS (GnuTLS) takes them.
 *
 * They are read and judged by gateway/smtp's TLS; a client that asks for a name (SNI)
 * gets the first certificate that has it, all others get tls.certificate. Threads: a set
 * is immutable, and may be shared.
 */
#ifndef GATEWAY_ADMIN_OBJECTS_TLS_H
#define GATEWAY_ADMIN_OBJECTS_TLS_H

#include "conf/conf.h"
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

/* TLS 1.2 and 1.3, with forward secrecy and authenticated encryption only. */
#define OBJECTS_TLS_PRIORITIES                                                           \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC"

struct objects_tls;

/* NULL with GATEWAY_ERROR_MEND naming the setting and the file. Reads the disk. */
struct objects_tls *objects_tls_load(const struct conf *conf, GError **error);
struct objects_tls *objects_tls_ref(struct objects_tls *tls);
void objects_tls_unref(struct objects_tls *tls); /* NULL is taken */

/* How session's handshake chooses: of tls (borrowed for the handshake's time). */
void objects_tls_use(struct objects_tls *tls, gnutls_session_t session);
/* MHD_OPTION_HTTPS_CERT_CALLBACK */
int objects_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities,
	int n_authorities, const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
	gnutls_pcert_st **chain, unsigned *n_chain, gnutls_privkey_t *key);

#endif
