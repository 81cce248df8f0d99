/*
 * tls - OpenSSL's server side as a layer from bytes to bytes: no socket inside.
 *
 * TLS 1.2 and 1.3 with Mozilla's "intermediate" ciphers; for the legacy profile TLS 1.0
 * up with all that OpenSSL still has. No renegotiation, no session cache, no tickets.
 * Threads: one at a time for a struct tls; contexts may be shared.
 * Memory:  about 17 KiB when idle: input is read where it lies, output kept until sent.
 */
#ifndef GATEWAY_SMTP_TLS_H
#define GATEWAY_SMTP_TLS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_context;

/* Loads chain and key from PEM files. NULL with GATEWAY_ERROR_MEND naming the file. */
struct tls_context *tls_context_new(
	const char *certificate, const char *key, bool legacy, GError **error);
void tls_context_free(struct tls_context **context);
/* When the certificate ends, Unix time. */
int64_t tls_context_expiry_s(const struct tls_context *context);

struct tls;
enum tls_status {
	TLS_OK,
	TLS_WANTS_INPUT,
	TLS_CLOSED, /* the peer said so (close_notify) */
	TLS_FAILED, /* tls_error() says why; the output may hold an alert */
};

/* Keeps what it needs of the context: that may go first. */
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
const char *tls_error(const struct tls *tls);   /* for the log */

#endif
