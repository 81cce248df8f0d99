/* The TLS layer against OpenSSL's own client, memory to memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate.h"
#include "gateway/error.h"
#include "gateway/smtp/tls.h"
#include <glib/gstdio.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

static struct {
	char *directory, *certificate, *key, *other_key;
} files;

static int make_files(void **state)
{
	(void)state;
	files.directory = g_dir_make_tmp("stowage-tls-XXXXXX", NULL);
	files.certificate = g_build_filename(files.directory, "cert.pem", NULL);
	files.key = g_build_filename(files.directory, "key.pem", NULL);
	files.other_key = g_build_filename(files.directory, "other.pem", NULL);
	certificate_make(files.certificate, files.other_key, 3600);
	certificate_make(files.certificate, files.key, 3600);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	g_unlink(files.certificate);
	g_unlink(files.key);
	g_unlink(files.other_key);
	g_rmdir(files.directory);
	g_free(files.certificate);
	g_free(files.key);
	g_free(files.other_key);
	g_free(files.directory);
	return 0;
}

/* A client and a server, and the wire between them. */
struct pair {
	SSL_CTX *context;
	SSL *client;
	struct tls_context *server_context;
	struct tls *server;
	enum tls_status status; /* the server's last */
	size_t piece;           /* how much of the wire's bytes arrive at a time */
};

static void pair_init(struct pair *p, bool legacy, int client_version, size_t piece)
{
	g_autoptr(GError) error = NULL;
	*p = (struct pair){ .piece = piece, .status = TLS_WANTS_INPUT };
	p->server_context = tls_context_new(files.certificate, files.key, legacy, &error);
	assert_null(error);
	p->server = tls_new(p->server_context);
	p->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(p->context, client_version);
	SSL_CTX_set_max_proto_version(p->context, client_version);
	SSL_CTX_set_cipher_list(p->context, "ALL:@SECLEVEL=0");
	p->client = SSL_new(p->context);
	SSL_set_bio(p->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(p->client);
}

static void pair_clear(struct pair *p)
{
	SSL_free(p->client);
	SSL_CTX_free(p->context);
	tls_free(&p->server);
	tls_context_free(&p->server_context);
}

/* Moves the server's output to the client. */
static void to_client(struct pair *p)
{
	GString *output = tls_output(p->server);
	if (output->len)
		BIO_write(SSL_get_rbio(p->client), output->str, (int)output->len);
	tls_output_sent(p->server);
}

/* Moves the client's output to the server, which does step with each piece. */
static void to_server(struct pair *p, void (*step)(struct pair *, void *), void *context)
{
	char wire[65536];
	int n = BIO_read(SSL_get_wbio(p->client), wire, sizeof(wire));
	for (int at = 0; at < n; at += (int)p->piece) {
		g_autofree char *copy =
			g_memdup2(wire + at, MIN(p->piece, (size_t)(n - at)));
		tls_lend(p->server, copy, MIN(p->piece, (size_t)(n - at)));
		step(p, context);
	}
	tls_lend(p->server, NULL, 0);
}

static void step_handshake(struct pair *p, void *unused)
{
	(void)unused;
	if (p->status == TLS_WANTS_INPUT)
		p->status = tls_handshake(p->server);
}

static void shake_hands(struct pair *p)
{
	for (int i = 0; i < 10 && p->status == TLS_WANTS_INPUT; i++) {
		SSL_do_handshake(p->client);
		to_server(p, step_handshake, NULL);
		to_client(p);
	}
	SSL_do_handshake(p->client);
}

static void step_read(struct pair *p, void *got)
{
	char buffer[1000];
	size_t n;
	while ((p->status = tls_read(p->server, buffer, sizeof(buffer), &n)) == TLS_OK)
		g_string_append_len(got, buffer, (gssize)n);
}

static const struct version_case {
	int version;
	bool legacy, works;
	const char *name;
} versions[] = {
	{ TLS1_3_VERSION, false, true, "TLSv1.3" },
	{ TLS1_2_VERSION, false, true, "TLSv1.2" },
	{ TLS1_1_VERSION, false, false, NULL },
	{ TLS1_VERSION, false, false, NULL },
	{ TLS1_3_VERSION, true, true, "TLSv1.3" },
	{ TLS1_2_VERSION, true, true, "TLSv1.2" },
	{ TLS1_1_VERSION, true, true, "TLSv1.1" },
	{ TLS1_VERSION, true, true, "TLSv1" },
};

static void handshakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
		for (size_t piece = 1; piece < 100000; piece *= 17) {
			struct pair p;
			pair_init(&p, versions[i].legacy, versions[i].version, piece);
			shake_hands(&p);
			assert_int_equal(
				p.status, versions[i].works ? TLS_OK : TLS_FAILED);
			assert_int_equal(
				SSL_is_init_finished(p.client), versions[i].works);
			if (versions[i].works) {
				assert_string_equal(
					tls_version(p.server), versions[i].name);
				assert_string_equal(tls_cipher(p.server),
					SSL_get_cipher_name(p.client));
			} else {
				assert_true(strlen(tls_error(p.server)) > 0);
			}
			pair_clear(&p);
		}
	}
}

static void data_both_ways(void **state)
{
	(void)state;
	g_autofree char *sent = g_strnfill(50000, 'x');
	for (size_t piece = 1; piece < 100000; piece *= 11) {
		struct pair p;
		pair_init(&p, false, TLS1_3_VERSION, piece);
		shake_hands(&p);
		g_autoptr(GString) got = g_string_new(NULL);
		assert_int_equal(SSL_write(p.client, sent, 50000), 50000);
		to_server(&p, step_read, got);
		assert_int_equal(p.status, TLS_WANTS_INPUT);
		assert_string_equal(got->str, sent);
		assert_true(tls_write(p.server, sent, 50000));
		to_client(&p);
		g_autofree char *back = g_malloc0(50001);
		for (int n, at = 0; (n = SSL_read(p.client, back + at, 50000 - at)) > 0;)
			at += n;
		assert_string_equal(back, sent);
		SSL_shutdown(p.client);
		to_server(&p, step_read, got);
		assert_int_equal(p.status, TLS_CLOSED);
		tls_close(p.server);
		to_client(&p);
		assert_int_equal(SSL_shutdown(p.client), 1);
		pair_clear(&p);
	}
}

static void no_renegotiation(void **state)
{
	(void)state;
	struct pair p;
	pair_init(&p, false, TLS1_2_VERSION, 65536);
	shake_hands(&p);
	assert_int_equal(p.status, TLS_OK);
	g_autoptr(GString) got = g_string_new(NULL);
	SSL_renegotiate(p.client);
	SSL_do_handshake(p.client);
	to_server(&p, step_read, got);
	to_client(&p);
	assert_int_not_equal(SSL_do_handshake(p.client), 1);
	pair_clear(&p);
}

static void no_sessions_no_tickets(void **state)
{
	(void)state;
	struct pair p;
	pair_init(&p, false, TLS1_3_VERSION, 65536);
	shake_hands(&p);
	char byte;
	SSL_read(p.client, &byte, 1);
	assert_false(SSL_SESSION_is_resumable(SSL_get_session(p.client)));
	pair_clear(&p);
}

static void noise_fails(void **state)
{
	(void)state;
	struct pair p;
	pair_init(&p, false, TLS1_3_VERSION, 65536);
	static const char noise[] = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
	tls_lend(p.server, noise, sizeof(noise) - 1);
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	assert_true(strlen(tls_error(p.server)) > 0);
	pair_clear(&p);
}

static void expect_mistake(const char *certificate, const char *key, const char *words)
{
	g_autoptr(GError) error = NULL;
	assert_null(tls_context_new(certificate, key, false, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	if (!strstr(error->message, words))
		fail_msg("\"%s\" does not say \"%s\"", error->message, words);
}

static void mistakes(void **state)
{
	(void)state;
	g_autofree char *encrypted =
		g_build_filename(files.directory, "encrypted.pem", NULL);
	assert_true(g_file_set_contents(encrypted,
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE "
		"KEY-----\n",
		-1, NULL));
	expect_mistake("/nonexistent/cert.pem", files.key,
		"tls.certificate /nonexistent/cert.pem");
	expect_mistake(files.certificate, "/nonexistent/key.pem",
		"tls.key /nonexistent/key.pem");
	expect_mistake(files.key, files.key, "tls.certificate");
	expect_mistake(files.certificate, files.certificate, "tls.key");
	expect_mistake(files.certificate, files.other_key, files.other_key);
	expect_mistake(files.certificate, encrypted, "tls.key");
	g_unlink(encrypted);
}

static void expiry(void **state)
{
	(void)state;
	struct tls_context *context =
		tls_context_new(files.certificate, files.key, false, NULL);
	int64_t left_s = tls_context_expiry_s(context) - time(NULL);
	assert_in_range(left_s, 3000, 3601);
	tls_context_free(&context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes),
		cmocka_unit_test(data_both_ways),
		cmocka_unit_test(no_renegotiation),
		cmocka_unit_test(no_sessions_no_tickets),
		cmocka_unit_test(noise_fails),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(expiry),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
