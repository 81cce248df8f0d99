/* A BIO whose input is a borrowed range of bytes and whose output is a string; around it
 * OpenSSL's calls, each with a clean error queue. */
#include "gateway/smtp/tls_private.h"

#include <openssl/err.h>
#include <string.h>

/* A handshake's flight is large, and sent once. */
#define OUTPUT_KEPT_BYTES_MAX 512

struct tls {
	struct tls_context *context;
	SSL *ssl;
	const char *input;
	size_t input_bytes;
	GString *output;
	char *error; /* NULL: none yet */
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *buffer, size_t room, size_t *n_bytes)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	*n_bytes = MIN(room, tls->input_bytes);
	if (!*n_bytes) {
		BIO_set_retry_read(bio);
		return 0;
	}
	memcpy(buffer, tls->input, *n_bytes);
	tls->input += *n_bytes;
	tls->input_bytes -= *n_bytes;
	return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t n_bytes, size_t *taken)
{
	struct tls *tls = BIO_get_data(bio);
	g_string_append_len(tls->output, bytes, (gssize)n_bytes);
	*taken = n_bytes;
	return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *method =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	return method;
}

/* One method serves every context, for as long as the program runs: BIOs point to it. */
static const BIO_METHOD *bio_method(void)
{
	static gsize method;
	if (g_once_init_enter(&method))
		g_once_init_leave(&method, (gsize)make_method());
	return (const BIO_METHOD *)method; /* NOLINT: gsize holds a pointer */
}

/* ---- connections ---- */

struct tls *tls_new(struct tls_context *context)
{
	struct tls *tls = g_new0(struct tls, 1);
	tls->context = tls_context_ref(context);
	tls->output = g_string_new(NULL);
	tls->ssl = SSL_new(tls_context_default(context));
	BIO *bio = BIO_new(bio_method());
	g_assert(tls->ssl && bio);
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void tls_free(struct tls **tls)
{
	if (!*tls)
		return;
	SSL_free((*tls)->ssl);
	tls_context_unref(&(*tls)->context);
	g_string_free((*tls)->output, TRUE);
	g_free((*tls)->error);
	g_clear_pointer(tls, g_free);
}

void tls_lend(struct tls *tls, const char *bytes, size_t n_bytes)
{
	tls->input = bytes;
	tls->input_bytes = n_bytes;
}

size_t tls_left(const struct tls *tls)
{
	return tls->input_bytes;
}

/* The SSL's BIO is ours. */
void tls_note_refusal(SSL *ssl, int reason, const X509 *certificate)
{
	struct tls *tls = BIO_get_data(SSL_get_rbio(ssl));
	g_autofree char *name = NULL;
	if (certificate)
		name = tls_name_of_client(certificate, CONF_CLIENT_COMMON_NAME);
	g_free(tls->error);
	tls->error = g_strdup_printf("the client's certificate%s%s%s: %s",
		name ? " of \"" : "", name ? name : "", name ? "\"" : "",
		X509_verify_cert_error_string(reason));
}

static enum tls_status status_of(struct tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_NONE:
		return TLS_OK;
	case SSL_ERROR_WANT_READ:
		return TLS_WANTS_INPUT;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		if (!tls->error)
			tls->error = g_strdup(tls_reason());
		ERR_clear_error();
		return TLS_FAILED;
	}
}

enum tls_status tls_handshake(struct tls *tls)
{
	ERR_clear_error();
	return status_of(tls, SSL_do_handshake(tls->ssl));
}

enum tls_status tls_read(struct tls *tls, char *buffer, size_t room, size_t *n_bytes)
{
	ERR_clear_error();
	return status_of(tls, SSL_read_ex(tls->ssl, buffer, room, n_bytes));
}

bool tls_write(struct tls *tls, const char *bytes, size_t n_bytes)
{
	while (n_bytes) {
		size_t taken;
		ERR_clear_error();
		if (status_of(tls, SSL_write_ex(tls->ssl, bytes, n_bytes, &taken)) !=
			TLS_OK)
			return false;
		bytes += taken;
		n_bytes -= taken;
	}
	return true;
}

void tls_close(struct tls *tls)
{
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

GString *tls_output(struct tls *tls)
{
	return tls->output;
}

void tls_output_sent(struct tls *tls)
{
	if (tls->output->allocated_len > OUTPUT_KEPT_BYTES_MAX) {
		g_string_free(tls->output, TRUE);
		tls->output = g_string_new(NULL);
	}
	g_string_truncate(tls->output, 0);
}

const char *tls_version(const struct tls *tls)
{
	return SSL_get_version(tls->ssl);
}

const char *tls_cipher(const struct tls *tls)
{
	return SSL_get_cipher_name(tls->ssl);
}

const char *tls_error(const struct tls *tls)
{
	return tls->error ? tls->error : "no error";
}

bool tls_cipher_is_old(const struct tls *tls)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	if (!cipher)
		return false;
	int exchange = SSL_CIPHER_get_kx_nid(cipher);
	bool has_forward_secrecy = exchange == NID_kx_any || /* TLS 1.3 */
				   exchange == NID_kx_ecdhe || exchange == NID_kx_dhe;
	return !has_forward_secrecy || !SSL_CIPHER_is_aead(cipher);
}

/* Without a certificate, OpenSSL's verdict is good as well. */
static const X509 *verified_certificate(const struct tls *tls)
{
	bool good = SSL_is_init_finished(tls->ssl) &&
		    SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE &&
		    SSL_get_verify_result(tls->ssl) == X509_V_OK;
	return good ? SSL_get0_peer_certificate(tls->ssl) : NULL;
}

char *tls_client_name(const struct tls *tls, enum conf_client_name which)
{
	const X509 *certificate = verified_certificate(tls);
	return certificate ? tls_name_of_client(certificate, which) : NULL;
}

bool tls_has_client_certificate(const struct tls *tls)
{
	return verified_certificate(tls);
}
