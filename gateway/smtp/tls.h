/*
 * tls - OpenSSL's server side as a layer from bytes to bytes: no socket inside.
 *
 * Profiles as Mozilla names them (ssl-config.mozilla.org): "intermediate" with TLS 1.2
 * and 1.3, "modern" with 1.3, "old" from 1.0 up with all that OpenSSL still has. No
 * renegotiation, no compression, no session cache, no tickets.
 * Threads: one at a time for a struct tls; certificates and contexts are immutable, and
 * may be shared between threads, made and freed in any.
 * Memory:  about 17 KiB when idle: input is read where it lies, output kept until sent.
 */
#ifndef GATEWAY_SMTP_TLS_H
#define GATEWAY_SMTP_TLS_H

#include "conf/conf.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- certificates and contexts ---- */

/* tls.certificate and tls.additional, with their keys, as they were when loaded. */
struct tls_certificates;

/* NULL with GATEWAY_ERROR_MEND naming the setting and the file. Reads the disk. */
struct tls_certificates *tls_certificates_load(const struct conf *conf, GError **error);
void tls_certificates_free(struct tls_certificates **certificates);

size_t tls_certificates_count(const struct tls_certificates *certificates);
/* When the certificate at index ends, Unix time, and the file that it came from. */
int64_t tls_certificates_expiry_s(
	const struct tls_certificates *certificates, size_t index, const char **file);

/*
 * A context holds all certificates for one kind of listener: its TLS profile, and what it
 * wants of clients' certificates. A client that asks for a name (SNI) gets the
 * certificate with that name, all others get the default; where there are several with
 * one name but different kinds of key, what the client is able to use decides.
 */
struct tls_context;

/* NULL with GATEWAY_ERROR_MEND naming the file. Takes what it needs of certificates.
 * Reads client_ca from the disk. */
struct tls_context *tls_context_new(const struct tls_certificates *certificates,
	const struct conf_listener *listener, GError **error);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context); /* NULL in it is taken */

/* ---- connections ---- */

struct tls;
enum tls_status {
	TLS_OK,
	TLS_WANTS_INPUT,
	TLS_CLOSED, /* the peer said so (close_notify) */
	TLS_FAILED, /* tls_error() says why; the output may hold an alert */
};

/* Takes a reference to context. */
struct tls *tls_new(struct tls_context *context);
void tls_free(struct tls **tls);

/* Lends ciphertext that was received, instead of what was lent before. */
void tls_lend(struct tls *tls, const char *bytes, size_t n_bytes);
/* How much of it has not been taken yet (the end of it). */
size_t tls_left(const struct tls *tls);

enum tls_status tls_handshake(struct tls *tls);
/* TLS_OK: *n_bytes of plaintext are in buffer. */
enum tls_status tls_read(struct tls *tls, char *buffer, size_t room, size_t *n_bytes);
/* False: failed. */
bool tls_write(struct tls *tls, const char *bytes, size_t n_bytes);
/* Says close_notify. */
void tls_close(struct tls *tls);

/* Ciphertext to be sent. */
GString *tls_output(struct tls *tls);
/* It was: forgets it, with its memory. */
void tls_output_sent(struct tls *tls);

const char *tls_version(const struct tls *tls); /* "TLSv1.3" */
const char *tls_cipher(const struct tls *tls);  /* "TLS_AES_256_GCM_SHA384" */
/* For the log: of a client's certificate that was refused, what is wrong with it and, as
 * far as it is printable, the name in it. Never NULL. */
const char *tls_error(const struct tls *tls);
/* No forward secrecy, or CBC, or SHA-1, or worse. */
bool tls_cipher_is_old(const struct tls *tls);

/* The name in the client's verified certificate, printable UTF-8 of 1 to 255 octets
 * without NUL; g_free(). NULL: none was shown, or it has no such name, or another one in
 * its place. The name may be in any case, DNS names too. */
char *tls_client_name(const struct tls *tls, enum conf_client_name which);
/* Whether a certificate was shown and verified. */
bool tls_has_client_certificate(const struct tls *tls);

#endif
