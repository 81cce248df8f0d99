/* The TLS layer against OpenSSL's own client, memory to memory: versions, ciphers, data,
 * what is refused, what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/smtp/tls.h"
#include "identity.h"
#include "tests/unit/tree.h"
#include "tls_pair.h"
#include <malloc.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct {
	char *directory;
	char *certificate, *key, *other_key;
	char *rsa_certificate, *rsa_key;
} files;

static char *path_of(const char *name)
{
	return g_build_filename(files.directory, name, NULL);
}

static void make(const char *certificate, const char *key, int key_type)
{
	const struct identity_request request = {
		.common_name = "mx.example", .key_type = key_type, .ends_s = 3600
	};
	struct identity *identity = identity_new(&request);
	identity_write(identity, certificate, key);
	identity_free(identity);
}

static int make_files(void **state)
{
	(void)state;
	files.directory = g_dir_make_tmp("stowage-tls-XXXXXX", NULL);
	files.certificate = path_of("cert.pem");
	files.key = path_of("key.pem");
	files.other_key = path_of("other.pem");
	files.rsa_certificate = path_of("rsa-cert.pem");
	files.rsa_key = path_of("rsa-key.pem");
	make(files.certificate, files.other_key, EVP_PKEY_EC);
	make(files.certificate, files.key, EVP_PKEY_EC);
	make(files.rsa_certificate, files.rsa_key, EVP_PKEY_RSA);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	tree_remove(files.directory);
	g_free(files.certificate);
	g_free(files.key);
	g_free(files.other_key);
	g_free(files.rsa_certificate);
	g_free(files.rsa_key);
	g_free(files.directory);
	return 0;
}

/* With an ECDSA certificate, and an RSA one beside it. */
static struct tls_context *make_context(enum conf_tls_profile profile)
{
	const struct conf_certificate additional[] = { { files.rsa_certificate,
		files.rsa_key } };
	const struct conf conf = { .tls_certificate = files.certificate,
		.tls_key = files.key,
		.tls_additional = additional,
		.n_tls_additional = 1 };
	const struct conf_listener listener = {
		.name = "mx", .tls = CONF_TLS_STARTTLS, .tls_profile = profile
	};
	g_autoptr(GError) error = NULL;
	struct tls_certificates *certificates = tls_certificates_load(&conf, &error);
	assert_null(error);
	struct tls_context *context = tls_context_new(certificates, &listener, &error);
	assert_null(error);
	tls_certificates_free(&certificates); /* it may go first */
	return context;
}

/* The context may go before the connection. */
static void begin(
	struct pair *p, enum conf_tls_profile profile, int version, size_t piece)
{
	const struct pair_client client = { .version = version };
	struct tls_context *context = make_context(profile);
	pair_init(p, context, &client, piece);
	tls_context_unref(&context);
}

/* ---- versions and ciphers ---- */

static const struct version_case {
	enum conf_tls_profile profile;
	int version;
	const char *name; /* NULL: refused */
} versions[] = {
	{ CONF_TLS_INTERMEDIATE, TLS1_3_VERSION, "TLSv1.3" },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "TLSv1.2" },
	{ CONF_TLS_INTERMEDIATE, TLS1_1_VERSION, NULL },
	{ CONF_TLS_INTERMEDIATE, TLS1_VERSION, NULL },
	{ CONF_TLS_MODERN, TLS1_3_VERSION, "TLSv1.3" },
	{ CONF_TLS_MODERN, TLS1_2_VERSION, NULL },
	{ CONF_TLS_MODERN, TLS1_VERSION, NULL },
	{ CONF_TLS_OLD, TLS1_3_VERSION, "TLSv1.3" },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "TLSv1.2" },
	{ CONF_TLS_OLD, TLS1_1_VERSION, "TLSv1.1" },
	{ CONF_TLS_OLD, TLS1_VERSION, "TLSv1" },
};

static void check_version(const struct version_case *c, size_t piece)
{
	struct pair p;
	begin(&p, c->profile, c->version, piece);
	pair_shake_hands(&p);
	assert_int_equal(p.status, c->name ? TLS_OK : TLS_FAILED);
	assert_int_equal(SSL_is_init_finished(p.client), c->name != NULL);
	if (c->name) {
		assert_string_equal(tls_version(p.server), c->name);
		assert_string_equal(tls_cipher(p.server), SSL_get_cipher_name(p.client));
	} else {
		assert_string_not_equal(tls_error(p.server), "no error");
	}
	assert_false(tls_has_client_certificate(p.server)); /* nobody asked */
	assert_null(tls_client_name(p.server, CONF_CLIENT_COMMON_NAME));
	pair_clear(&p);
}

static void handshakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
		for (size_t piece = 1; piece < 100000; piece *= 17)
			check_version(&versions[i], piece);
	}
}

static const struct cipher_case {
	enum conf_tls_profile profile;
	int version;
	const char *offered;
	const char *chosen; /* NULL: refused */
	bool is_old;
} ciphers[] = {
	{ CONF_TLS_INTERMEDIATE, TLS1_3_VERSION, "ALL", "TLS_AES_256_GCM_SHA384", false },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256",
		"ECDHE-ECDSA-AES128-GCM-SHA256", false },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305",
		"ECDHE-RSA-CHACHA20-POLY1305", false },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256",
		"DHE-RSA-AES128-GCM-SHA256", false },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", NULL, false },
	{ CONF_TLS_INTERMEDIATE, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, false },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-RSA-AES256-GCM-SHA384", false },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "AES128-GCM-SHA256", "AES128-GCM-SHA256", true },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256",
		"ECDHE-ECDSA-AES128-SHA256", true },
	{ CONF_TLS_OLD, TLS1_VERSION, "AES128-SHA", "AES128-SHA", true },
	{ CONF_TLS_OLD, TLS1_VERSION, "DHE-RSA-AES128-SHA", "DHE-RSA-AES128-SHA", true },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-GCM-SHA256", false }, /* the choice is ours */
	{ CONF_TLS_OLD, TLS1_2_VERSION, "aNULL", NULL, false },
	{ CONF_TLS_OLD, TLS1_2_VERSION, "eNULL", NULL, false },
};

static void choice_of_cipher(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(ciphers); i++) {
		const struct cipher_case *c = &ciphers[i];
		const struct pair_client client = { .version = c->version,
			.ciphers = c->offered };
		struct tls_context *context = make_context(c->profile);
		struct pair p;
		pair_init(&p, context, &client, 65536);
		assert_false(tls_cipher_is_old(p.server)); /* there is none yet */
		pair_shake_hands(&p);
		if ((p.status == TLS_OK) != (c->chosen != NULL))
			fail_msg("%s: %s", c->offered, tls_error(p.server));
		if (c->chosen) {
			assert_string_equal(tls_cipher(p.server), c->chosen);
			assert_int_equal(tls_cipher_is_old(p.server), c->is_old);
		}
		pair_clear(&p);
		tls_context_unref(&context);
	}
}

/* ---- data ---- */

static void data_both_ways(void **state)
{
	(void)state;
	g_autofree char *sent = g_strnfill(50000, 'x');
	for (size_t piece = 1; piece < 100000; piece *= 11) {
		struct pair p;
		begin(&p, CONF_TLS_INTERMEDIATE, TLS1_3_VERSION, piece);
		pair_shake_hands(&p);
		g_autoptr(GString) got = g_string_new(NULL);
		assert_int_equal(SSL_write(p.client, sent, 50000), 50000);
		pair_to_server(&p, pair_read, got);
		assert_int_equal(p.status, TLS_WANTS_INPUT);
		assert_string_equal(got->str, sent);
		assert_true(tls_write(p.server, sent, 50000));
		pair_to_client(&p);
		g_autofree char *back = g_malloc0(50001);
		for (int n, at = 0; (n = SSL_read(p.client, back + at, 50000 - at)) > 0;)
			at += n;
		assert_string_equal(back, sent);
		SSL_shutdown(p.client);
		pair_to_server(&p, pair_read, got);
		assert_int_equal(p.status, TLS_CLOSED);
		tls_close(p.server);
		pair_to_client(&p);
		assert_int_equal(SSL_shutdown(p.client), 1);
		pair_clear(&p);
	}
}

/* The client is told so, and the session is as good as before. */
static void no_renegotiation(void **state)
{
	(void)state;
	static const int with[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION };
	for (size_t i = 0; i < G_N_ELEMENTS(with); i++) {
		struct pair p;
		begin(&p, CONF_TLS_OLD, with[i], 65536);
		pair_shake_hands(&p);
		assert_int_equal(p.status, TLS_OK);
		g_autoptr(GString) got = g_string_new(NULL);
		assert_int_equal(SSL_renegotiate(p.client), 1);
		SSL_do_handshake(p.client);
		pair_to_server(&p, pair_read, got);
		assert_int_equal(p.status, TLS_WANTS_INPUT);
		assert_in_range(tls_output(p.server)->len, 1, 100); /* an alert */
		assert_true(tls_write(p.server, "250", 3));
		pair_to_client(&p);
		assert_int_not_equal(SSL_do_handshake(p.client), 1);
		assert_int_equal(SSL_num_renegotiations(p.client), 1); /* the attempt */
		pair_clear(&p);
	}
}

static void no_sessions_no_tickets(void **state)
{
	(void)state;
	static const int with[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	for (size_t i = 0; i < G_N_ELEMENTS(with); i++) {
		struct pair p;
		char byte;
		begin(&p, CONF_TLS_INTERMEDIATE, with[i], 65536);
		pair_shake_hands(&p);
		assert_true(SSL_read(p.client, &byte, 1) <= 0);
		SSL_SESSION *session = SSL_get_session(p.client);
		assert_false(SSL_SESSION_has_ticket(session));
		unsigned id_bytes;
		SSL_SESSION_get_id(session, &id_bytes);
		assert_true(with[i] == TLS1_3_VERSION || id_bytes == 0);
		pair_clear(&p);
	}
}

static void noise_fails(void **state)
{
	(void)state;
	struct pair p;
	begin(&p, CONF_TLS_INTERMEDIATE, TLS1_3_VERSION, 65536);
	static const char noise[] = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
	tls_lend(p.server, noise, sizeof(noise) - 1);
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	assert_string_not_equal(tls_error(p.server), "no error");
	pair_clear(&p);
}

/* ---- memory ---- */

#define IDLE           64
#define IDLE_BYTES_MAX 20000

static size_t heap_bytes(void)
{
	return mallinfo2().uordblks;
}

/* Sanitizers and the like have a heap of their own. */
static bool heap_is_counted(void)
{
	size_t before = heap_bytes();
	void *volatile block = g_malloc(10000);
	size_t after = heap_bytes();
	g_free(block);
	return after >= before + 10000;
}

static void idle_connections(enum conf_tls_profile profile, int version)
{
	struct pair pairs[IDLE];
	struct tls_context *context = make_context(profile);
	const struct pair_client client = { .version = version,
		.server_name = "mx.example" };
	for (size_t i = 0; i < IDLE; i++) {
		pair_init(&pairs[i], context, &client, 65536);
		pair_shake_hands(&pairs[i]);
		assert_int_equal(pairs[i].status, TLS_OK);
	}
	size_t before = heap_bytes();
	for (size_t i = 0; i < IDLE; i++)
		tls_free(&pairs[i].server);
	size_t freed = (before - heap_bytes()) / IDLE;
	if (freed > IDLE_BYTES_MAX)
		fail_msg("an idle connection takes %zu bytes", freed);
	for (size_t i = 0; i < IDLE; i++)
		pair_clear(&pairs[i]);
	tls_context_unref(&context);
}

static void memory_when_idle(void **state)
{
	(void)state;
	if (!heap_is_counted())
		skip();
	idle_connections(CONF_TLS_INTERMEDIATE, TLS1_2_VERSION);
	idle_connections(CONF_TLS_INTERMEDIATE, TLS1_3_VERSION);
	idle_connections(CONF_TLS_OLD, TLS1_VERSION);
}

/* ---- files ---- */

static void expect_mistake(const struct conf *conf, const char *words)
{
	g_autoptr(GError) error = NULL;
	assert_null(tls_certificates_load(conf, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	if (!strstr(error->message, words))
		fail_msg("\"%s\" does not say \"%s\"", error->message, words);
}

static void expect_pair_mistake(
	const char *certificate, const char *key, const char *words)
{
	const struct conf conf = { .tls_certificate = certificate, .tls_key = key };
	expect_mistake(&conf, words);
	const struct conf_certificate additional[] = {
		{ files.rsa_certificate, files.rsa_key },
		{ certificate, key },
	};
	const struct conf second = { .tls_certificate = files.certificate,
		.tls_key = files.key,
		.tls_additional = additional,
		.n_tls_additional = 2 };
	if (certificate && key)
		expect_mistake(&second, "tls.additional[1].");
}

static char *written(const char *name, const char *text)
{
	char *path = path_of(name);
	assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

/* The key, but with a passphrase. */
static char *locked(void)
{
	char passphrase[] = "sesame";
	BIO *in = BIO_new_file(files.key, "r");
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	char *path = path_of("locked.pem");
	BIO *out = BIO_new_file(path, "w");
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(
				 out, key, EVP_aes_128_cbc(), NULL, 0, NULL, passphrase),
		1);
	BIO_free_all(in);
	BIO_free_all(out);
	EVP_PKEY_free(key);
	return path;
}

static void mistakes(void **state)
{
	(void)state;
	g_autofree char *encrypted = written("encrypted.pem",
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE "
		"KEY-----\n");
	g_autofree char *empty = written("empty.pem", "");
	g_autofree char *locked_key = locked();
	g_autofree char *pipe = path_of("pipe");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	expect_pair_mistake(NULL, NULL, "tls.certificate and tls.key are needed");
	expect_pair_mistake("/nonexistent/cert.pem", files.key,
		"/nonexistent/cert.pem: No such file");
	expect_pair_mistake(files.certificate, "/nonexistent/key.pem",
		"/nonexistent/key.pem: No such file");
	expect_pair_mistake(files.key, files.key, files.key);
	expect_pair_mistake(files.certificate, files.certificate, "tls.key");
	expect_pair_mistake(
		files.certificate, files.other_key, "tls.key does not belong to");
	expect_pair_mistake(files.certificate, files.rsa_key, files.rsa_key);
	expect_pair_mistake(files.certificate, encrypted, encrypted);
	expect_pair_mistake(files.certificate, locked_key, "take off the passphrase");
	expect_pair_mistake(empty, files.key, empty);
	expect_pair_mistake(files.directory, files.key, "not a regular file");
	expect_pair_mistake(pipe, files.key, "not a regular file");
}

static void no_name_to_ask_for(void **state)
{
	(void)state;
	const struct identity_request request = { .common_name = "Our own server" };
	g_autofree char *certificate = path_of("prose.pem"), *key = path_of("prose.key");
	struct identity *identity = identity_new(&request);
	identity_write(identity, certificate, key);
	identity_free(identity);
	const struct conf_certificate additional[] = { { certificate, key } };
	struct conf conf = { .tls_certificate = certificate, .tls_key = key };
	struct tls_certificates *certificates = tls_certificates_load(&conf, NULL);
	assert_non_null(certificates); /* as the only one it is needed */
	tls_certificates_free(&certificates);
	conf.tls_additional = additional;
	conf.n_tls_additional = 1;
	expect_mistake(&conf, "no DNS name in it");
}

/* However much of a file is written yet: it loads whole, or says why not. */
static void half_written(void **state)
{
	(void)state;
	g_autofree char *certificate = NULL, *key = NULL;
	gsize certificate_bytes, key_bytes;
	assert_true(g_file_get_contents(
		files.certificate, &certificate, &certificate_bytes, NULL));
	assert_true(g_file_get_contents(files.key, &key, &key_bytes, NULL));
	g_autofree char *path = path_of("half.pem");
	for (gsize n = 0; n + 2 < certificate_bytes; n++) {
		assert_true(g_file_set_contents(path, certificate, (gssize)n, NULL));
		expect_pair_mistake(path, files.key, path);
	}
	for (gsize n = 0; n + 2 < key_bytes; n++) {
		assert_true(g_file_set_contents(path, key, (gssize)n, NULL));
		expect_pair_mistake(files.certificate, path, path);
	}
}

static void chains(void **state)
{
	(void)state;
	g_autofree char *one = NULL, *path = path_of("chain.pem");
	assert_true(g_file_get_contents(files.certificate, &one, NULL, NULL));
	g_autoptr(GString) many = g_string_new(one);
	for (int i = 0; i < 16; i++)
		g_string_append(many, one);
	assert_true(g_file_set_contents(path, many->str, -1, NULL));
	const struct conf conf = { .tls_certificate = path, .tls_key = files.key };
	struct tls_certificates *certificates = tls_certificates_load(&conf, NULL);
	assert_non_null(certificates);
	tls_certificates_free(&certificates);
	g_string_append(many, one);
	assert_true(g_file_set_contents(path, many->str, -1, NULL));
	expect_pair_mistake(path, files.key, "not a chain");
	/* A mistake in the second is one of the file. */
	g_string_truncate(many, strlen(one) + strlen(one) / 2);
	assert_true(g_file_set_contents(path, many->str, -1, NULL));
	expect_pair_mistake(path, files.key, path);
}

/* The certificate and its key may be in one file, in any order. */
static void one_file(void **state)
{
	(void)state;
	g_autofree char *certificate = NULL, *key = NULL, *path = path_of("both.pem");
	assert_true(g_file_get_contents(files.certificate, &certificate, NULL, NULL));
	assert_true(g_file_get_contents(files.key, &key, NULL, NULL));
	for (int turned = 0; turned < 2; turned++) {
		g_autofree char *both = turned ? g_strconcat(key, certificate, NULL)
					       : g_strconcat(certificate, key, NULL);
		assert_true(g_file_set_contents(path, both, -1, NULL));
		const struct conf conf = { .tls_certificate = path, .tls_key = path };
		struct tls_certificates *certificates =
			tls_certificates_load(&conf, NULL);
		assert_non_null(certificates);
		tls_certificates_free(&certificates);
	}
}

static void expiry(void **state)
{
	(void)state;
	const struct conf conf = { .tls_certificate = files.certificate,
		.tls_key = files.key };
	struct tls_certificates *certificates = tls_certificates_load(&conf, NULL);
	const char *file;
	assert_int_equal(tls_certificates_count(certificates), 1);
	int64_t left_s = tls_certificates_expiry_s(certificates, 0, &file) - time(NULL);
	assert_in_range(left_s, 3000, 3601);
	assert_string_equal(file, files.certificate);
	tls_certificates_free(&certificates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes),
		cmocka_unit_test(choice_of_cipher),
		cmocka_unit_test(data_both_ways),
		cmocka_unit_test(no_renegotiation),
		cmocka_unit_test(no_sessions_no_tickets),
		cmocka_unit_test(noise_fails),
		cmocka_unit_test(memory_when_idle),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(no_name_to_ask_for),
		cmocka_unit_test(half_written),
		cmocka_unit_test(chains),
		cmocka_unit_test(one_file),
		cmocka_unit_test(expiry),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
