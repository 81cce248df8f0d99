/* Files that settings name: certificates, keys, secrets, directories; the examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/error.h"
#include "conf/files.h"
#include <glib/gstdio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of its own for each test. */
struct fixture {
	char *directory;
};

static int make_fixture(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	fixture->directory = g_dir_make_tmp("stowage-conf-XXXXXX", NULL);
	assert_non_null(fixture->directory);
	*state = fixture;
	return 0;
}

static int remove_fixture(void **state)
{
	struct fixture *fixture = *state;
	const char *name;
	GDir *directory = g_dir_open(fixture->directory, 0, NULL);
	while ((name = g_dir_read_name(directory)) != NULL) {
		g_autofree char *path = g_build_filename(fixture->directory, name, NULL);
		g_remove(path);
	}
	g_dir_close(directory);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture);
	return 0;
}

static char *path_in(const struct fixture *fixture, const char *name)
{
	return g_build_filename(fixture->directory, name, NULL);
}

static char *write_file(const struct fixture *fixture, const char *name, const char *text)
{
	char *path = path_in(fixture, name);
	assert_true(g_file_set_contents_full(
		path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
	return path;
}

static void add_names(X509 *certificate, const char *names)
{
	X509_EXTENSION *extension =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	assert_non_null(extension);
	assert_true(X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

/* A self-signed certificate that ends after_s from now, and its key, which is given away.
 * names: "DNS:a.example,DNS:b.example", or NULL. */
static void write_key_pair(const struct fixture *fixture, const char *certificate_name,
	const char *key_name, const char *passphrase, long after_s, EVP_PKEY *key,
	const char *names)
{
	g_autofree char *certificate_path = path_in(fixture, certificate_name);
	g_autofree char *key_path = path_in(fixture, key_name);
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), after_s);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		(const unsigned char *)"mail.example.com", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	if (names != NULL)
		add_names(certificate, names);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);

	FILE *file = fopen(certificate_path, "w");
	assert_true(PEM_write_X509(file, certificate) == 1);
	fclose(file);
	file = fopen(key_path, "w");
	assert_true(PEM_write_PrivateKey(file, key,
			    passphrase != NULL ? EVP_aes_128_cbc() : NULL,
			    (const unsigned char *)passphrase,
			    passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
			    NULL) == 1);
	fclose(file);
	assert_int_equal(chmod(key_path, 0600), 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void write_pair(const struct fixture *fixture, const char *certificate_name,
	const char *key_name, const char *passphrase, long after_s)
{
	write_key_pair(fixture, certificate_name, key_name, passphrase, after_s,
		EVP_EC_gen("P-256"), NULL);
}

static void test_secrets(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *content, *secret, *problem; /* one of them NULL */
	} cases[] = {
		{ "hunter2", "hunter2", NULL },
		{ "hunter2\n", "hunter2", NULL },
		{ "hunter2\r\n", "hunter2", NULL },
		{ " with blanks \n", " with blanks ", NULL },
		{ "two\nlines\n", "two\nlines", NULL },
		{ "", NULL, "is empty" },
		{ "\n", NULL, "is empty" },
		{ "\r\n", NULL, "is empty" },
	};
	char *secret = NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = write_file(fixture, "secret", cases[i].content);
		g_autoptr(GError) error = NULL;
		assert_int_equal(conf_secret(NULL, path, &secret, &error),
			cases[i].secret != NULL);
		if (cases[i].secret != NULL)
			assert_string_equal(secret, cases[i].secret);
		else
			assert_non_null(strstr(error->message, cases[i].problem));
		g_clear_pointer(&secret, g_free);
	}
	assert_true(conf_secret(NULL, NULL, &secret, NULL));
	assert_null(secret);
	assert_true(conf_secret("given", NULL, &secret, NULL));
	assert_string_equal(secret, "given");
	g_free(secret);
}

static void test_wrong_secrets(void **state)
{
	const struct fixture *fixture = *state;
	char *secret = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *large = g_strnfill(64 * 1024 + 1, 'x');
	g_autofree char *path = write_file(fixture, "secret", large);
	assert_false(conf_secret(NULL, path, &secret, &error));
	assert_true(g_error_matches(error, CONF_ERROR, CONF_ERROR_FILE));
	assert_non_null(strstr(error->message, "larger than 64 KiB"));
	g_clear_error(&error);

	large[64 * 1024] = '\0';
	g_free(write_file(fixture, "secret", large));
	assert_true(conf_secret(NULL, path, &secret, NULL));
	assert_int_equal(strlen(secret), 64 * 1024);
	g_clear_pointer(&secret, g_free);

	assert_true(g_file_set_contents(path, "a\0b", 3, NULL));
	assert_false(conf_secret(NULL, path, &secret, &error));
	assert_non_null(strstr(error->message, "holds a NUL octet"));
	g_clear_error(&error);

	assert_false(conf_secret(NULL, "/nonexistent/secret", &secret, &error));
	assert_non_null(strstr(error->message, "cannot be read: No such file"));
	g_clear_error(&error);

	/* A FIFO without a writer would make open() wait for ever. */
	g_autofree char *fifo = path_in(fixture, "fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_false(conf_secret(NULL, fifo, &secret, &error));
	assert_non_null(strstr(error->message, "not a regular file"));
	g_clear_error(&error);
	assert_false(conf_secret(NULL, fixture->directory, &secret, &error));
	assert_non_null(strstr(error->message, "not a regular file"));
	assert_null(secret);
}

static void expect_file_error(bool passed, GError **error, const char *part)
{
	assert_false(passed);
	assert_true(g_error_matches(*error, CONF_ERROR, CONF_ERROR_FILE));
	if (strstr((*error)->message, part) == NULL)
		fail_msg("%s", (*error)->message);
	g_clear_error(error);
}

static void test_pems(void **state)
{
	const struct fixture *fixture = *state;
	GError *error = NULL;
	write_pair(fixture, "c.pem", "k.pem", NULL, 3600);
	write_pair(fixture, "c2.pem", "k2.pem", "secret", -3600);
	write_pair(fixture, "c3.pem", "k3.pem", NULL, 3600);
	g_autofree char *c = path_in(fixture, "c.pem"), *k = path_in(fixture, "k.pem");
	g_autofree char *c2 = path_in(fixture, "c2.pem"),
			*k2 = path_in(fixture, "k2.pem");
	g_autofree char *k3 = path_in(fixture, "k3.pem");
	g_autofree char *junk =
		write_file(fixture, "junk.pem", "-----BEGIN CERTIFICATE-----\n");

	assert_true(conf_file_check_certificates(c, NULL));
	assert_true(conf_file_check_key(k, NULL));
	assert_true(conf_file_check_pair(c, k, NULL));
	assert_false(conf_file_certificate_has_expired(c));
	assert_true(conf_file_certificate_has_expired(c2));
	expect_file_error(
		conf_file_check_pair(c, k3, &error), &error, "is not the key of the");
	expect_file_error(conf_file_check_key(k2, &error), &error, "needs a passphrase");
	expect_file_error(
		conf_file_check_key(c, &error), &error, "no private key in PEM");
	expect_file_error(
		conf_file_check_certificates(k, &error), &error, "no certificate");
	expect_file_error(
		conf_file_check_certificates(junk, &error), &error, "no certificate");
	expect_file_error(conf_file_check_certificates("/nonexistent", &error), &error,
		"cannot be read");

	assert_false(conf_file_is_world_readable(k));
	assert_int_equal(chmod(k, 0644), 0);
	assert_true(conf_file_is_world_readable(k));
}

static void test_directories(void **state)
{
	const struct fixture *fixture = *state;
	GError *error = NULL;
	g_autofree char *new = path_in(fixture, "new");
	g_autofree char *newer = g_build_filename(new, "newer", NULL);
	g_autofree char *file = write_file(fixture, "file", "x");
	g_autofree char *below = g_build_filename(file, "below", NULL);
	assert_true(conf_directory_check(fixture->directory, NULL));
	assert_true(conf_directory_check(new, NULL));
	assert_false(g_file_test(new, G_FILE_TEST_EXISTS));
	expect_file_error(
		conf_directory_check(newer, &error), &error, "cannot be made in");
	expect_file_error(
		conf_directory_check(file, &error), &error, "is not a directory");
	expect_file_error(conf_directory_check(below, &error), &error, "cannot be used");
}

static char *join(const GPtrArray *lines)
{
	GString *text = g_string_new(NULL);
	for (size_t i = 0; i < lines->len; i++)
		g_string_append_printf(text, "%s\n", (const char *)lines->pdata[i]);
	return g_string_free(text, FALSE);
}

static struct conf *load(const char *path, char **problems, char **warnings)
{
	g_autoptr(GPtrArray) problem_lines = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) warning_lines = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problem_lines, warning_lines);
	*problems = join(problem_lines);
	*warnings = join(warning_lines);
	return conf;
}

static void test_load(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *problems = NULL, *warnings = NULL;
	write_pair(fixture, "c.pem", "k.pem", NULL, -60);
	g_autofree char *text =
		g_strdup_printf("hostname: mail.example.com\n"
				"listeners:\n"
				"  - { name: in, address: \"127.0.0.1:2525\", networks: "
				"[ 127.0.0.0/8 ] }\n"
				"tls: { certificate: %s/c.pem, key: %s/k.pem }\n"
				"s3: { bucket: box, region: eu-west-1, access_key_id: a, "
				"secret_access_key: b }\n"
				"relay: { host: localhost, tls: none }\n"
				"queue: { directory: %s/queue }\n",
			fixture->directory, fixture->directory, fixture->directory);
	g_autofree char *path = write_file(fixture, "stowage.yaml", text);
	struct conf *conf = load(path, &problems, &warnings);
	assert_string_equal(problems, "");
	assert_non_null(strstr(
		warnings, "stowage.yaml:4:21: tls.certificate: the certificate in"));
	assert_null(strstr(warnings, "chmod"));
	assert_string_equal(conf->s3.secret_access_key, "b");
	conf_unref(conf);

	g_autofree char *key = path_in(fixture, "k.pem");
	g_free(problems);
	g_free(warnings);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(key, 0644), 0);
	conf = load(path, &problems, &warnings);
	assert_non_null(conf);
	assert_non_null(strstr(
		warnings, "stowage.yaml: holds a secret and can be read by every"));
	assert_non_null(strstr(warnings, "k.pem can be read by every user"));
	conf_unref(conf);
	assert_non_null(conf = conf_load(path, NULL, NULL));
	conf_unref(conf);
}

static void check_identity(
	const struct fixture *fixture, const char *name, const char *want)
{
	g_autofree char *path = path_in(fixture, name);
	g_autofree char *identity = conf_file_certificate_identity(path);
	if (want == NULL)
		assert_null(identity);
	else
		assert_non_null(identity);
	if (want != NULL)
		assert_string_equal(strchr(identity, ' '), want);
}

/* More certificates: each with its own mistakes, and none that is never shown. */
static void test_additional(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *problems = NULL, *warnings = NULL;
	const char *d = fixture->directory;
	write_key_pair(fixture, "c.pem", "k.pem", NULL, 3600, EVP_EC_gen("P-256"),
		"DNS:a.example,DNS:B.example,IP:10.0.0.1");
	write_key_pair(fixture, "c1.pem", "k1.pem", NULL, 3600, EVP_RSA_gen(2048),
		"DNS:a.example,DNS:b.example");
	write_key_pair(fixture, "c2.pem", "k2.pem", NULL, -60, EVP_EC_gen("P-256"),
		"DNS:b.example,DNS:a.example");
	check_identity(fixture, "c.pem", " a.example b.example");
	check_identity(fixture, "c1.pem", " a.example b.example");
	check_identity(fixture, "k.pem", NULL);
	check_identity(fixture, "none.pem", NULL);
	g_autofree char *head = g_strdup_printf(
		"hostname: mail.example.com\n"
		"s3: { bucket: box, region: eu-west-1 }\n"
		"relay: { host: localhost, tls: none }\n"
		"queue: { directory: %s/queue }\n"
		"listeners: [ { name: in, address: \"127.0.0.1:2525\", networks: [ "
		"127.0.0.0/8 ],\n"
		"  client_certificates: optional, client_ca: %s/c.pem } ]\n"
		"tls: { certificate: %s/c.pem, key: %s/k.pem, additional: [\n",
		d, d, d, d);
	g_autofree char *text =
		g_strdup_printf("%s{ certificate: %s/c1.pem, key: %s/k1.pem },\n"
				"{ certificate: %s/c2.pem, key: %s/k2.pem } ] }\n"
				"auth: { accounts: [ { user: \"*\" } ] }\n",
			head, d, d, d, d);
	g_autofree char *path = write_file(fixture, "stowage.yaml", text);
	struct conf *conf = load(path, &problems, &warnings);
	assert_string_equal(problems, "");
	assert_non_null(strstr(warnings,
		"stowage.yaml:9:16: tls.additional[1].certificate: has the names and the "
		"kind of key that tls.certificate has: only one"));
	assert_non_null(strstr(warnings, "c2.pem has expired"));
	assert_null(strstr(warnings, "additional[0]"));
	conf_unref(conf);
	g_clear_pointer(&problems, g_free);
	g_clear_pointer(&warnings, g_free);

	g_autofree char *wrong =
		g_strdup_printf("%s{ certificate: %s/c1.pem, key: %s/k2.pem },\n"
				"{ certificate: %s/k2.pem, key: %s/none.pem } ] }\n"
				"auth: { accounts: [ { user: \"*\" } ] }\n",
			head, d, d, d, d);
	g_free(write_file(fixture, "stowage.yaml", wrong));
	assert_null(load(path, &problems, &warnings));
	g_auto(GStrv) lines = g_strsplit(problems, "\n", -1);
	assert_int_equal(g_strv_length(lines), 4);
	assert_non_null(strstr(lines[0], ": tls.additional[0].key: "));
	assert_non_null(strstr(lines[0], "k2.pem is not the key of the first"));
	assert_non_null(strstr(lines[1], "yaml:9:16: tls.additional[1].certificate: "));
	assert_non_null(strstr(lines[1], "k2.pem holds no certificate"));
	assert_non_null(strstr(lines[2], ": tls.additional[1].key: "));
	assert_non_null(strstr(lines[2], "none.pem cannot be read"));
}

/* Two lines in a file are a mistake: an identifier and its secret, say. */
static void test_lines(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *problems = NULL, *warnings = NULL;
	g_free(write_file(fixture, "password", "user\npassword\n"));
	g_autofree char *text = g_strdup_printf(
		"hostname: mail.example.com\n"
		"listeners: [ { name: in, address: \"127.0.0.1:2525\", tls: none,\n"
		"      networks: [ 127.0.0.0/8 ] } ]\n"
		"s3: { bucket: box, region: eu-west-1 }\n"
		"relay: { host: localhost, tls: none, user: a, password_file: "
		"%s/password }\n"
		"queue: { directory: %s/queue }\n",
		fixture->directory, fixture->directory);
	g_autofree char *path = write_file(fixture, "stowage.yaml", text);
	assert_null(load(path, &problems, &warnings));
	assert_non_null(strstr(problems, "stowage.yaml:5:62: relay.password_file: "));
	assert_non_null(strstr(problems, "password holds more than one line"));
	assert_null(strstr(problems, "user"));
}

static void test_missing_files(void **state)
{
	const struct fixture *fixture = *state;
	g_autofree char *problems = NULL, *warnings = NULL;
	assert_null(load("/nonexistent/stowage.yaml", &problems, &warnings));
	assert_string_equal(problems,
		"/nonexistent/stowage.yaml: cannot be read: No such file or directory\n");
	g_clear_pointer(&problems, g_free);
	g_clear_pointer(&warnings, g_free);
	assert_null(load(fixture->directory, &problems, &warnings));
	assert_non_null(strstr(problems, ": cannot be read: Is a directory\n"));
	g_clear_pointer(&problems, g_free);
	g_clear_pointer(&warnings, g_free);

	g_autofree char *path = write_file(fixture, "stowage.yaml",
		"hostname: mail.example.com\n"
		"listeners: [ { name: in, address: \"127.0.0.1:2525\", auth: required } "
		"]\n"
		"tls: { certificate: /nonexistent/c.pem, key: /nonexistent/k.pem }\n"
		"auth: { users: /nonexistent/users }\n"
		"s3: { bucket: box, region: eu-west-1, ca_file: /nonexistent/ca.pem,\n"
		"      access_key_id_file: /nonexistent/a, secret_access_key_file: "
		"/nonexistent/b }\n"
		"relay: { host: localhost, user: a, password_file: /nonexistent/p,\n"
		"      ca_file: /nonexistent/ca.pem }\n"
		"queue: { directory: /nonexistent/queue/deep }\n");
	static const char *const want[] = {
		"stowage.yaml:3:21: tls.certificate: /nonexistent/c",
		"stowage.yaml:3:46: tls.key: /nonexistent/k.pem cannot be read: No such "
		"file",
		"stowage.yaml:4:16: auth.users: ", "stowage.yaml:5:48: s3.ca_file: ",
		"stowage.yaml:6:27: s3.access_key_id_file: ",
		"stowage.yaml:6:67: s3.secret_access_key_file: ",
		"stowage.yaml:7:51: relay.password_file: ",
		"stowage.yaml:8:16: relay.ca_file: ",
		"stowage.yaml:9:21: queue.directory: /nonexistent/queue/deep is not "
		"there and"
	};
	assert_null(load(path, &problems, &warnings));
	g_auto(GStrv) lines = g_strsplit(problems, "\n", -1);
	assert_int_equal(g_strv_length(lines), G_N_ELEMENTS(want) + 1);
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++)
		if (strstr(lines[i], want[i]) == NULL)
			fail_msg("%s", lines[i]);
}

/* Puts what the example wants below /etc/stowage into the fixture, and says so in it. */
static char *settle_example(const struct fixture *fixture, const char *name)
{
	static const char *const secrets[] = { "users", "s3-access-key-id",
		"s3-secret-access-key", "relay-password", "ses-access-key-id",
		"ses-secret-access-key" };
	g_autofree char *source = g_build_filename(EXAMPLES, name, NULL);
	g_autofree char *text = NULL;
	assert_true(g_file_get_contents(source, &text, NULL, NULL));
	for (size_t i = 0; i < G_N_ELEMENTS(secrets); i++)
		g_free(write_file(fixture, secrets[i], "AKIAIOSFODNN7EXAMPLE\n"));
	write_pair(fixture, "fullchain.pem", "key.pem", NULL, 3600);
	g_autoptr(GString) settled = g_string_new(text);
	assert_true(g_string_replace(settled, "/etc/stowage", fixture->directory, 0) > 0);
	assert_int_equal(
		g_string_replace(settled, "/var/lib/stowage", fixture->directory, 0), 1);
	return write_file(fixture, name, settled->str);
}

static void test_examples(void **state)
{
	static const struct {
		const char *name;
		size_t n_listeners;
		enum conf_auth auth; /* of the first */
		enum conf_tls tls;
		enum conf_profile profile;
		bool has_map;
	} examples[] = {
		{ "mx.yaml", 1, CONF_AUTH_NONE, CONF_TLS_STARTTLS, CONF_PROFILE_STRICT,
			true },
		{ "iot.yaml", 3, CONF_AUTH_REQUIRED, CONF_TLS_REQUIRED,
			CONF_PROFILE_STANDARD, false },
		{ "smarthost.yaml", 1, CONF_AUTH_NONE, CONF_TLS_NONE,
			CONF_PROFILE_STANDARD, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(examples); i++) {
		g_autofree char *path = settle_example(*state, examples[i].name);
		g_autofree char *problems = NULL, *warnings = NULL;
		struct conf *conf = load(path, &problems, &warnings);
		assert_string_equal(problems, "");
		assert_string_equal(warnings, "");
		assert_int_equal(conf->n_listeners, examples[i].n_listeners);
		assert_int_equal(conf->listeners[0].auth, examples[i].auth);
		assert_int_equal(conf->listeners[0].tls, examples[i].tls);
		assert_int_equal(conf->listeners[0].profile, examples[i].profile);
		assert_int_equal(
			conf->listeners[0].recipients != NULL, examples[i].has_map);
		assert_string_equal(
			conf->relay.host, "email-smtp.eu-west-1.amazonaws.com");
		conf_unref(conf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_secrets, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(
			test_wrong_secrets, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(test_pems, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(
			test_directories, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(
			test_additional, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(test_lines, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(test_load, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(
			test_missing_files, make_fixture, remove_fixture),
		cmocka_unit_test_setup_teardown(
			test_examples, make_fixture, remove_fixture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
