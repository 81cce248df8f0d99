/* Lays out a sandbox. Serving it is serve's, and nothing there knows that it is one. */
#include "gateway/sandbox.h"

#include "conf/network.h"
#include "gateway/error.h"
#include "gateway/policy/users_file.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#define SANDBOX_USER     "sandbox"
#define SANDBOX_PASSWORD "sandbox"
#define CERTIFICATE_DAYS 825

static const char settings_text[] =
	"# Made by stowage serve --sandbox: an ordinary settings file, change it as you "
	"like.\n"
	"hostname: localhost\n"
	"listeners:\n"
	"  - name: sandbox\n"
	"    address: \"%s\"\n"
	"    tls: starttls\n"
	"    auth: optional\n"
	"    networks: [ 127.0.0.0/8, \"::1\" ]\n"
	"    max_message_size: 2GiB\n"
	"tls:\n"
	"  certificate: \"%s/tls/cert.pem\"\n"
	"  key: \"%s/tls/key.pem\"\n"
	"auth:\n"
	"  users: \"%s/users\"   # " SANDBOX_USER ", password " SANDBOX_PASSWORD "\n"
	"s3:\n"
	"  directory: \"%s/store\"\n"
	"  directory_url: \"http://%s\"\n"
	"  listen: \"%s\"\n"
	"links:\n"
	"  expiry: 7d\n"
	"relay:\n"
	"  maildir: \"%s/Maildir\"\n"
	"queue:\n"
	"  directory: \"%s/queue\"\n"
	"admin:\n"
	"  listen: \"%s\"\n";

static bool fail(GError **error, const char *what, const char *path, const char *why)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "cannot %s %s: %s", what,
		path, why);
	return false;
}

static bool write_private(const char *path, const char *text, GError **error)
{
	return g_file_set_contents_full(
		path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool ok = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

static X509 *self_signed(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	uint64_t serial;
	bool ok = RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
		  X509_set_version(certificate, X509_VERSION_3) &&
		  ASN1_INTEGER_set_uint64(
			  X509_get_serialNumber(certificate), serial >> 1) &&
		  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
		  X509_gmtime_adj(
			  X509_getm_notAfter(certificate), CERTIFICATE_DAYS * 86400L) &&
		  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			  (const unsigned char *)"localhost", -1, -1, 0) &&
		  X509_set_issuer_name(certificate, name) &&
		  X509_set_pubkey(certificate, key) &&
		  add_extension(certificate, NID_subject_alt_name,
			  "DNS:localhost,IP:127.0.0.1,IP:::1") &&
		  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
		  X509_sign(certificate, key, EVP_sha256());
	if (!ok) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static bool write_bio(BIO *bio, const char *path, GError **error)
{
	char *text;
	long length = BIO_get_mem_data(bio, &text);
	g_autofree char *copy = g_strndup(text, (gsize)length);
	bool ok = write_private(path, copy, error);
	OPENSSL_cleanse(copy, (size_t)length);
	return ok;
}

static bool make_certificate(const char *directory, GError **error)
{
	g_autofree char *certificate_path =
		g_build_filename(directory, "tls", "cert.pem", NULL);
	g_autofree char *key_path = g_build_filename(directory, "tls", "key.pem", NULL);
	if (g_file_test(certificate_path, G_FILE_TEST_EXISTS))
		return true;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = key ? self_signed(key) : NULL;
	BIO *key_bio = BIO_new(BIO_s_secmem()), *certificate_bio = BIO_new(BIO_s_mem());
	bool made = certificate && PEM_write_bio_X509(certificate_bio, certificate) &&
		    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL);
	bool ok = made ? write_bio(key_bio, key_path, error) &&
				  write_bio(certificate_bio, certificate_path, error)
		       : fail(error, "make", certificate_path,
				 ERR_reason_error_string(ERR_peek_last_error()));
	BIO_free(key_bio);
	BIO_free(certificate_bio);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return ok;
}

static bool make_users(const char *directory, GError **error)
{
	g_autofree char *path = g_build_filename(directory, "users", NULL);
	if (g_file_test(path, G_FILE_TEST_EXISTS))
		return true;
	g_autofree char *hash = users_hash_new(SANDBOX_PASSWORD, error);
	if (!hash)
		return false;
	g_autofree char *line = g_strdup_printf("%s:%s\n", SANDBOX_USER, hash);
	return write_private(path, line, error);
}

static bool check_addresses(const struct sandbox_addresses *addresses, GError **error)
{
	const char *const all[] = { addresses->smtp, addresses->http, addresses->admin };
	for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
		struct sockaddr_storage address;
		if (!conf_address_parse(all[i], &address, error))
			return false;
		if (!conf_address_is_loopback((const struct sockaddr *)&address)) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
				"%s: a sandbox listens on loopback only", all[i]);
			return false;
		}
	}
	return true;
}

static bool make_settings(const char *directory, const char *path,
	const struct sandbox_addresses *given, GError **error)
{
	if (g_file_test(path, G_FILE_TEST_EXISTS))
		return true;
	const struct sandbox_addresses addresses = {
		.smtp = given->smtp ? given->smtp : "127.0.0.1:2525",
		.http = given->http ? given->http : "127.0.0.1:8025",
		.admin = given->admin ? given->admin : "127.0.0.1:9025",
	};
	if (!check_addresses(&addresses, error))
		return false;
	g_autofree char *text = g_strdup_printf(settings_text, addresses.smtp, directory,
		directory, directory, directory, addresses.http, addresses.http,
		directory, directory, addresses.admin);
	return write_private(path, text, error);
}

char *sandbox_prepare(
	const char *directory, const struct sandbox_addresses *addresses, GError **error)
{
	g_autofree char *absolute = g_canonicalize_filename(directory, NULL);
	if (strpbrk(absolute, "\"\\\n")) {
		fail(error, "use", absolute,
			"a quote, backslash or line end in the name");
		return NULL;
	}
	static const char *const folders[] = { "tls", "queue", "store" };
	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *folder = g_build_filename(absolute, folders[i], NULL);
		if (g_mkdir_with_parents(folder, 0700) < 0) {
			fail(error, "make", folder, g_strerror(errno));
			return NULL;
		}
	}
	g_autofree char *path = g_build_filename(absolute, "stowage.yaml", NULL);
	if (!make_certificate(absolute, error) || !make_users(absolute, error) ||
		!make_settings(absolute, path, addresses, error))
		return NULL;
	return g_steal_pointer(&path);
}
