/* Which certificate a client is shown, and which of a client is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/smtp/tls_private.h"
#include "identity.h"
#include "tests/unit/tree.h"
#include "tls_pair.h"
#include <string.h>

static char *directory;

static int make_directory(void **state)
{
	(void)state;
	directory = g_dir_make_tmp("stowage-tls-XXXXXX", NULL);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	tree_remove(directory);
	g_free(directory);
	return 0;
}

static char *path_of(const char *name)
{
	return g_build_filename(directory, name, NULL);
}

/* ---- the server's certificates ---- */

#define DNS(name)                                                                        \
	{                                                                                \
		GEN_DNS, name, 0                                                         \
	}
#define END                                                                              \
	{                                                                                \
		0, NULL, 0                                                               \
	}
#define SERVERS 6

/* Each with a common name that says which it is. The first is the default. */
static const struct server {
	const char *label;
	int key_type;
	const struct identity_name names[4];
} servers[SERVERS] = {
	{ "default", EVP_PKEY_EC, { DNS("mx.example"), DNS("*.example"), END } },
	{ "default-rsa", EVP_PKEY_RSA, { DNS("MX.example"), END } },
	{ "other", EVP_PKEY_EC,
		{ DNS("other.example"), DNS("Deep.Other.Example."), END } },
	{ "later", EVP_PKEY_EC, { DNS("other.example"), DNS("mx.example"), END } },
	{ "wild-rsa", EVP_PKEY_RSA, { DNS("*.b.test"), END } },
	{ "exact", EVP_PKEY_EC, { DNS("a.b.test"), DNS("c.test"), END } },
};

static const struct choice {
	const char *server_name; /* NULL: none is asked for */
	const char *ciphers;     /* NULL: all */
	int version;
	const char *want; /* the certificate's label; NULL: no handshake */
} choices[] = {
	/* Nobody asks for a name. */
	{ NULL, NULL, 0, "default" },
	{ NULL, "aECDSA", TLS1_2_VERSION, "default" },
	{ NULL, "aRSA", TLS1_2_VERSION, "default-rsa" },
	/* One that we have. */
	{ "mx.example", NULL, 0, "default" },
	{ "MX.EXAMPLE", NULL, 0, "default" },
	{ "mx.example.", NULL, 0, "default" },
	{ "mx.example", "aRSA", TLS1_2_VERSION, "default-rsa" },
	{ "other.example", NULL, 0, "other" }, /* before a wildcard */
	{ "OTHER.example", NULL, TLS1_2_VERSION, "other" },
	{ "other.example", "aRSA", TLS1_2_VERSION, NULL },
	{ "deep.other.example", NULL, 0, "other" },
	{ "c.test", NULL, 0, "exact" },
	/* Wildcards stand for one label. */
	{ "any.example", NULL, 0, "default" },
	{ "any.any.example", NULL, 0, "default" }, /* unknown */
	{ "x.b.test", NULL, 0, "wild-rsa" },
	{ "X.B.Test", "aRSA", TLS1_2_VERSION, "wild-rsa" },
	{ "x.b.test", "aECDSA", TLS1_2_VERSION, NULL },
	{ "a.b.test", "aECDSA", TLS1_2_VERSION, "exact" },
	{ "a.b.test", "aRSA", TLS1_2_VERSION, "wild-rsa" }, /* beside it */
	{ "x.a.b.test", NULL, 0, "default" },
	/* Unknown, or no name. */
	{ "unknown.test", NULL, 0, "default" },
	{ "unknown.test", "aRSA", TLS1_2_VERSION, "default-rsa" },
	{ "b.test", NULL, 0, "default" },
	{ "*.b.test", NULL, 0, "default" },
	{ "example", NULL, 0, "default" },
	{ ".example", NULL, 0, "default" },
	{ "mx.example\r\nX: y", NULL, 0, "default" },
	{ "\xff\xfe", NULL, 0, "default" },
};

static struct tls_context *load_servers(size_t n)
{
	struct conf_certificate all[SERVERS];
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	for (size_t i = 0; i < n; i++) {
		const struct identity_request request = { .common_name = servers[i].label,
			.alternatives = servers[i].names,
			.key_type = servers[i].key_type };
		struct identity *identity = identity_new(&request);
		char *certificate = g_strdup_printf("%s/%zu.pem", directory, i);
		char *key = g_strdup_printf("%s/%zu.key", directory, i);
		g_ptr_array_add(paths, certificate);
		g_ptr_array_add(paths, key);
		identity_write(identity, certificate, key);
		identity_free(identity);
		all[i] = (struct conf_certificate){ certificate, key };
	}
	const struct conf conf = { .tls_certificate = all[0].certificate,
		.tls_key = all[0].key,
		.tls_additional = all + 1,
		.n_tls_additional = n - 1 };
	const struct conf_listener listener = { .name = "mx", .tls = CONF_TLS_STARTTLS };
	g_autoptr(GError) error = NULL;
	struct tls_certificates *certificates = tls_certificates_load(&conf, &error);
	assert_null(error);
	struct tls_context *context = tls_context_new(certificates, &listener, &error);
	assert_null(error);
	tls_certificates_free(&certificates);
	return context;
}

static char *shown(struct tls_context *context, const struct choice *choice)
{
	const struct pair_client client = { .version = choice->version,
		.ciphers = choice->ciphers,
		.server_name = choice->server_name };
	struct pair p;
	char *name = NULL;
	pair_init(&p, context, &client, 65536);
	pair_shake_hands(&p);
	if (p.status == TLS_OK)
		name = pair_server_name(&p);
	pair_clear(&p);
	return name;
}

static void names_choose(void **state)
{
	(void)state;
	struct tls_context *context = load_servers(SERVERS);
	for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
		g_autofree char *got = shown(context, &choices[i]);
		if (g_strcmp0(got, choices[i].want))
			fail_msg("%s with %s: %s",
				choices[i].server_name ? choices[i].server_name : "none",
				choices[i].ciphers ? choices[i].ciphers : "all",
				got ? got : "(none)");
	}
	tls_context_unref(&context);
}

/* Whatever is asked for. */
static void the_only_one(void **state)
{
	(void)state;
	struct tls_context *context = load_servers(1);
	for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
		if (choices[i].ciphers)
			continue;
		g_autofree char *got = shown(context, &choices[i]);
		assert_string_equal(got, "default");
	}
	tls_context_unref(&context);
}

/* A name of the greatest length, and longer: OpenSSL has its own idea of it. */
static void long_names(void **state)
{
	(void)state;
	struct tls_context *context = load_servers(SERVERS);
	for (size_t n = 250; n <= 255; n++) {
		g_autofree char *name = g_strnfill(n, 'a');
		const struct choice choice = { .server_name = name };
		g_autofree char *got = shown(context, &choice);
		assert_string_equal(got, "default");
	}
	tls_context_unref(&context);
}

/* ---- clients' certificates ---- */

enum shown {
	NOTHING,
	GOOD,
	BELOW, /* an authority that the file has not, which good signed */
	EXPIRED,
	FUTURE,
	REVOKED,
	STRANGE, /* of an authority with the same name */
	SELF_SIGNED,
	SECOND,       /* of a second authority */
	NO_AUTHORITY, /* signed with a certificate that is none */
	SHOWN,
};

static struct {
	struct identity *authority, *second, *intermediate, *impostor;
	struct identity *shown[SHOWN];
} world;

#define REVOKED_SERIAL 666
#define BELOW_SERIAL   77

static struct identity *new_authority(const char *name, const struct identity *issuer)
{
	const struct identity_request request = {
		.common_name = name,
		.is_authority = true,
		.issuer = issuer,
		.serial = issuer ? BELOW_SERIAL : 0,
	};
	return identity_new(&request);
}

static struct identity *new_client(const struct identity *issuer)
{
	static long serial = 100;
	const struct identity_request request = {
		.common_name = "device-17", .issuer = issuer, .serial = ++serial
	};
	return identity_new(&request);
}

static int make_world(void **state)
{
	make_directory(state);
	world.authority = new_authority("Fleet", NULL);
	world.second = new_authority("Second", NULL);
	world.intermediate = new_authority("Fleet 2", world.authority);
	world.impostor = new_authority("Fleet", NULL);
	const struct identity_request expired = { .common_name = "device-17",
		.issuer = world.authority,
		.begins_s = -7200,
		.ends_s = -3600 };
	const struct identity_request future = {
		.common_name = "device-17", .issuer = world.authority, .begins_s = 1800
	};
	const struct identity_request revoked = { .common_name = "device-17",
		.issuer = world.authority,
		.serial = REVOKED_SERIAL };
	world.shown[GOOD] = new_client(world.authority);
	const struct identity_request below_client = { .common_name = "device-18",
		.issuer = world.shown[GOOD] };
	world.shown[BELOW] = new_client(world.intermediate);
	world.shown[EXPIRED] = identity_new(&expired);
	world.shown[FUTURE] = identity_new(&future);
	world.shown[REVOKED] = identity_new(&revoked);
	world.shown[STRANGE] = new_client(world.impostor);
	world.shown[SELF_SIGNED] = new_client(NULL);
	world.shown[SECOND] = new_client(world.second);
	world.shown[NO_AUTHORITY] = identity_new(&below_client);
	return 0;
}

static int end_world(void **state)
{
	identity_free(world.authority);
	identity_free(world.second);
	identity_free(world.intermediate);
	identity_free(world.impostor);
	for (size_t i = 0; i < SHOWN; i++)
		identity_free(world.shown[i]);
	return remove_directory(state);
}

/* What the file of authorities holds. */
enum file {
	ONE,
	ONE_AND_LIST,
	BOTH_AND_LIST,
	OLD_LIST,
	LIST_HAS_BELOW,
	ONLY_BELOW,
	PINNED,
	FILES
};

static char *write_file(enum file file)
{
	g_autoptr(GString) pem = g_string_new("# Who may vouch\n");
	char *path = path_of("client-ca.pem");
	if (file != ONLY_BELOW && file != PINNED)
		identity_print(world.authority, pem);
	if (file == ONE_AND_LIST || file == BOTH_AND_LIST)
		identity_print_revocation(world.authority, REVOKED_SERIAL, 3600, pem);
	if (file == LIST_HAS_BELOW)
		identity_print_revocation(world.authority, BELOW_SERIAL, 3600, pem);
	if (file == OLD_LIST)
		identity_print_revocation(world.authority, REVOKED_SERIAL, -3600, pem);
	if (file == BOTH_AND_LIST)
		identity_print(world.second, pem);
	if (file == ONLY_BELOW)
		identity_print(world.intermediate, pem);
	if (file == PINNED)
		identity_print(world.shown[SELF_SIGNED], pem);
	assert_true(g_file_set_contents(path, pem->str, -1, NULL));
	return path;
}

static struct tls_context *load_authorities(
	enum conf_client_certificates wanted, const char *client_ca, GError **error)
{
	const struct identity_request request = { .common_name = "mx.example" };
	struct identity *identity = identity_new(&request);
	g_autofree char *certificate = path_of("cert.pem"), *key = path_of("key.pem");
	identity_write(identity, certificate, key);
	identity_free(identity);
	const struct conf conf = { .tls_certificate = certificate, .tls_key = key };
	const struct conf_listener listener = { .name = "fleet",
		.tls = CONF_TLS_STARTTLS,
		.client_certificates = wanted,
		.client_ca = client_ca };
	struct tls_certificates *certificates = tls_certificates_load(&conf, NULL);
	struct tls_context *context = tls_context_new(certificates, &listener, error);
	tls_certificates_free(&certificates);
	return context;
}

#define OPTIONAL CONF_CLIENT_CERTIFICATES_OPTIONAL
#define REQUIRED CONF_CLIENT_CERTIFICATES_REQUIRED

static const struct client_case {
	enum conf_client_certificates wanted;
	enum file file;
	enum shown shown;
	bool has_one;      /* verified */
	const char *error; /* a part of it; NULL: the handshake goes well */
} clients[] = {
	{ CONF_CLIENT_CERTIFICATES_NONE, ONE, NOTHING, false, NULL },
	{ CONF_CLIENT_CERTIFICATES_NONE, ONE, GOOD, false, NULL },
	{ CONF_CLIENT_CERTIFICATES_NONE, ONE, EXPIRED, false, NULL },
	{ OPTIONAL, ONE, NOTHING, false, NULL },
	{ OPTIONAL, ONE, GOOD, true, NULL },
	{ OPTIONAL, ONE, BELOW, true, NULL },
	{ OPTIONAL, ONE, EXPIRED, false, "of \"device-17\": certificate has expired" },
	{ OPTIONAL, ONE, FUTURE, false, "not yet valid" },
	{ OPTIONAL, ONE, REVOKED, true, NULL }, /* nobody said so */
	{ OPTIONAL, ONE, STRANGE, false, "signature" },
	{ OPTIONAL, ONE, SELF_SIGNED, false, "self-signed" },
	{ OPTIONAL, ONE, SECOND, false, "unable to get local issuer" },
	{ OPTIONAL, ONE, NO_AUTHORITY, false, "invalid CA certificate" },
	{ REQUIRED, ONE, NOTHING, false, "did not return a certificate" },
	{ REQUIRED, ONE, GOOD, true, NULL },
	{ REQUIRED, ONE, BELOW, true, NULL },
	{ REQUIRED, ONE, EXPIRED, false, "certificate has expired" },
	{ REQUIRED, ONE, STRANGE, false, "signature" },
	{ REQUIRED, ONE_AND_LIST, GOOD, true, NULL },
	{ REQUIRED, ONE_AND_LIST, BELOW, true, NULL }, /* its authority has no list */
	{ REQUIRED, ONE_AND_LIST, REVOKED, false, "certificate revoked" },
	{ REQUIRED, BOTH_AND_LIST, SECOND, true, NULL },
	{ REQUIRED, BOTH_AND_LIST, REVOKED, false, "certificate revoked" },
	{ REQUIRED, OLD_LIST, GOOD, false, "CRL has expired" },
	{ REQUIRED, OLD_LIST, REVOKED, false, "CRL has expired" },
	{ REQUIRED, LIST_HAS_BELOW, GOOD, true, NULL },
	{ REQUIRED, LIST_HAS_BELOW, BELOW, false, "certificate revoked" },
	{ REQUIRED, ONLY_BELOW, BELOW, true, NULL },
	{ REQUIRED, ONLY_BELOW, GOOD, false, "unable to get local issuer" },
	{ REQUIRED, PINNED, SELF_SIGNED, true, NULL },
	{ REQUIRED, PINNED, GOOD, false, "unable to get local issuer" },
};

static const struct identity *above(enum shown which)
{
	if (which == BELOW)
		return world.intermediate;
	return which == NO_AUTHORITY ? world.shown[GOOD] : NULL;
}

static void check_error(const struct client_case *c, const struct pair *p)
{
	const char *error = p->status == TLS_OK ? NULL : tls_error(p->server);
	bool as_wanted = c->error ? error && strstr(error, c->error) : !error;
	if (!as_wanted)
		fail_msg("file %d, client %d: \"%s\", not \"%s\"", (int)c->file,
			(int)c->shown, error ? error : "", c->error ? c->error : "");
}

static void check_client(const struct client_case *c, int version, size_t piece)
{
	g_autofree char *path = write_file(c->file);
	g_autoptr(GError) error = NULL;
	struct tls_context *context = load_authorities(c->wanted, path, &error);
	assert_null(error);
	const struct pair_client client = { .version = version,
		.identity = world.shown[c->shown],
		.above = above(c->shown) };
	struct pair p;
	pair_init(&p, context, &client, piece);
	tls_context_unref(&context);
	pair_shake_hands(&p);
	check_error(c, &p);
	g_autofree char *name = tls_client_name(p.server, CONF_CLIENT_COMMON_NAME);
	g_autofree char *other = tls_client_name(p.server, CONF_CLIENT_DNS);
	assert_int_equal(tls_has_client_certificate(p.server), c->has_one);
	assert_string_equal(name ? name : "", c->has_one ? "device-17" : "");
	assert_null(other);
	/* With TLS 1.3 the client believes to be connected until it reads. */
	char byte;
	if (c->error)
		assert_true(SSL_read(p.client, &byte, 1) <= 0);
	pair_clear(&p);
}

static void clients_certificates(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
		check_client(&clients[i], TLS1_2_VERSION, 65536);
		check_client(&clients[i], TLS1_3_VERSION, 65536);
		check_client(&clients[i], TLS1_3_VERSION, 7);
	}
}

/* So that a client with several certificates finds the right one. */
static void authorities_are_named(void **state)
{
	(void)state;
	g_autofree char *path = write_file(BOTH_AND_LIST);
	struct tls_context *context = load_authorities(OPTIONAL, path, NULL);
	const struct pair_client client = { .version = TLS1_2_VERSION };
	struct pair p;
	pair_init(&p, context, &client, 65536);
	pair_shake_hands(&p);
	const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p.client);
	assert_int_equal(sk_X509_NAME_num(names), 2);
	assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(names, 0),
				 X509_get_subject_name(world.authority->certificate)),
		0);
	pair_clear(&p);
	tls_context_unref(&context);
}

static void not_if_they_are_too_many(void **state)
{
	(void)state;
	g_autoptr(GString) pem = g_string_new(NULL);
	g_autofree char *path = path_of("many.pem");
	for (int i = 0; i < 100; i++) {
		g_autofree char *name = g_strdup_printf("%0100d", i);
		struct identity *one = new_authority(name, NULL);
		identity_print(one, pem);
		identity_free(one);
	}
	identity_print(world.authority, pem);
	assert_true(g_file_set_contents(path, pem->str, -1, NULL));
	struct tls_context *context = load_authorities(REQUIRED, path, NULL);
	const struct pair_client client = { .version = TLS1_2_VERSION,
		.identity = world.shown[GOOD] };
	struct pair p;
	pair_init(&p, context, &client, 65536);
	pair_shake_hands(&p);
	assert_int_equal(p.status, TLS_OK);
	assert_int_equal(sk_X509_NAME_num(SSL_get0_peer_CA_list(p.client)), 0);
	pair_clear(&p);
	tls_context_unref(&context);
}

/* More than a chain can need is not held for anybody. */
static void a_burden_is_refused(void **state)
{
	(void)state;
	g_autofree char *path = write_file(ONE);
	struct tls_context *context = load_authorities(OPTIONAL, path, NULL);
	const struct pair_client client = { .identity = world.shown[GOOD] };
	struct pair p;
	pair_init(&p, context, &client, 65536);
	for (int i = 0; i < 200; i++)
		SSL_add1_chain_cert(p.client, world.second->certificate);
	pair_shake_hands(&p);
	assert_int_equal(p.status, TLS_FAILED);
	assert_string_equal(tls_error(p.server), "excessive message size");
	pair_clear(&p);
	tls_context_unref(&context);
}

static void expect_mistake(const char *client_ca, const char *words)
{
	g_autoptr(GError) error = NULL;
	assert_null(load_authorities(REQUIRED, client_ca, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
	if (!strstr(error->message, words))
		fail_msg("\"%s\" does not say \"%s\"", error->message, words);
}

static void mistakes(void **state)
{
	(void)state;
	g_autoptr(GString) pem = g_string_new(NULL);
	g_autofree char *path = path_of("mistake.pem");
	expect_mistake(NULL, "client_ca is needed: listener \"fleet\"");
	expect_mistake("/nonexistent/ca.pem", "/nonexistent/ca.pem: No such file");
	assert_true(g_file_set_contents(path, "", -1, NULL));
	expect_mistake(path, "no certificate of an authority in it");
	identity_print_revocation(world.authority, 0, 3600, pem);
	assert_true(g_file_set_contents(path, pem->str, -1, NULL));
	expect_mistake(path, "no certificate of an authority in it");
	identity_print(world.authority, pem);
	g_string_truncate(pem, pem->len - 60);
	assert_true(g_file_set_contents(path, pem->str, -1, NULL));
	expect_mistake(path, path);
}

int main(void)
{
	const struct CMUnitTest names[] = {
		cmocka_unit_test(names_choose),
		cmocka_unit_test(the_only_one),
		cmocka_unit_test(long_names),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_certificates),
		cmocka_unit_test(authorities_are_named),
		cmocka_unit_test(not_if_they_are_too_many),
		cmocka_unit_test(a_burden_is_refused),
		cmocka_unit_test(mistakes),
	};
	int bad = cmocka_run_group_tests(names, make_directory, remove_directory);
	return cmocka_run_group_tests(tests, make_world, end_world) || bad;
}
