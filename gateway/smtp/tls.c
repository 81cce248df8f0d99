/* A BIO whose input is a borrowed range of bytes and whose output is a string; around it
 * OpenSSL's calls, each with a clean error queue. */
#include "gateway/smtp/tls.h"

#include "gateway/error.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

/* ssl-config.mozilla.org, "intermediate", version 5.7; those of TLS 1.3
 * are OpenSSL's default. */
static const char intermediate_ciphers[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
	"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
/* Security level 0: below it TLS 1.0's SHA-1 signatures are refused. */
static const char legacy_ciphers[] = "ALL:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0";

/* A handshake's flight is large, and sent once. */
#define OUTPUT_KEPT_BYTES_MAX 512

struct tls_context {
	SSL_CTX *ssl;
};

struct tls {
	SSL *ssl;
	const char *input;
	size_t input_bytes;
	GString *output;
	char error[128];
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

/* ---- contexts ---- */

/* OpenSSL's newest reason, in its own words. */
static const char *reason(char *text, size_t room)
{
	unsigned long code = ERR_peek_last_error();
	const char *words = code ? ERR_reason_error_string(code) : NULL;
	g_strlcpy(text, words ? words : "unknown reason", room);
	ERR_clear_error();
	return text;
}

static bool fail(GError **error, const char *what, const char *path)
{
	char text[128];
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s %s: %s", what, path,
		reason(text, sizeof(text)));
	return false;
}

/* Instead of OpenSSL's question on the terminal. */
static int no_passphrase(char *buffer, int room, int writing, void *context)
{
	(void)buffer, (void)room, (void)writing, (void)context;
	return -1;
}

static bool load(SSL_CTX *ssl, const char *certificate, const char *key, GError **error)
{
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1)
		return fail(error, "tls.certificate", certificate);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return fail(error, "tls.key", key);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return fail(error, "tls.key does not belong to tls.certificate:", key);
	return true;
}

static bool configure(SSL_CTX *ssl, bool legacy)
{
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(
		ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_dh_auto(ssl, 1);
	return SSL_CTX_set_min_proto_version(
		       ssl, legacy ? TLS1_VERSION : TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(
		       ssl, legacy ? legacy_ciphers : intermediate_ciphers) == 1 &&
	       (legacy || SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1);
}

struct tls_context *tls_context_new(
	const char *certificate, const char *key, bool legacy, GError **error)
{
	struct tls_context *context = g_new0(struct tls_context, 1);
	context->ssl = SSL_CTX_new(TLS_server_method());
	g_assert(context->ssl);
	if (!configure(context->ssl, legacy))
		fail(error, "tls", "ciphers");
	else if (load(context->ssl, certificate, key, error))
		return context;
	tls_context_free(&context);
	return NULL;
}

void tls_context_free(struct tls_context **context)
{
	if (!*context)
		return;
	SSL_CTX_free((*context)->ssl);
	g_clear_pointer(context, g_free);
}

int64_t tls_context_expiry_s(const struct tls_context *context)
{
	struct tm tm = { 0 };
	ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context->ssl)), &tm);
	return timegm(&tm);
}

/* ---- connections ---- */

struct tls *tls_new(struct tls_context *context)
{
	struct tls *tls = g_new0(struct tls, 1);
	tls->output = g_string_new(NULL);
	tls->ssl = SSL_new(context->ssl);
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
	g_string_free((*tls)->output, TRUE);
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
		reason(tls->error, sizeof(tls->error));
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
	return tls->error;
}
