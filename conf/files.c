/* Looks at files that settings name, and reads secrets from them. Which setting a mistake
 * belongs to is for the checks to say. */
#include "conf/files.h"

#include "conf/conf.h"
#include "conf/error.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_BYTES_MAX = 64 * 1024 };

#define DISTRIBUTION_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

static bool wrong(GError **error, const char *path, const char *what)
{
	g_set_error(error, CONF_ERROR, CONF_ERROR_FILE, "%s %s", path, what);
	return false;
}

/* A descriptor of a regular file that is not empty, or -1. Never
 * waits, as a FIFO would. */
static int open_file(const char *path, GError **error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		g_set_error(error, CONF_ERROR, CONF_ERROR_FILE, "%s cannot be read: %s",
			path, g_strerror(errno));
		return -1;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		wrong(error, path, "is not a regular file");
	else if (status.st_size == 0)
		wrong(error, path, "is empty");
	else
		return fd;
	close(fd);
	return -1;
}

bool conf_file_check(const char *path, GError **error)
{
	int fd = open_file(path, error);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static BIO *open_bio(const char *path, GError **error)
{
	int fd = open_file(path, error);
	/* OpenSSL reads lines octet by octet. */
	return fd >= 0 ? BIO_push(BIO_new(BIO_f_buffer()), BIO_new_fd(fd, BIO_CLOSE))
		       : NULL;
}

static X509 *read_certificate(const char *path, GError **error)
{
	g_autoptr(BIO) bio = open_bio(path, error);
	if (bio == NULL)
		return NULL;
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ERR_clear_error();
	if (certificate == NULL)
		wrong(error, path,
			"holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
	return certificate;
}

/* Instead of OpenSSL's own, which would ask at the terminal. */
static int refuse_passphrase(char *buffer, int size, int writing, void *asked)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *read_key(const char *path, GError **error)
{
	bool asked = false;
	g_autoptr(BIO) bio = open_bio(path, error);
	if (bio == NULL)
		return NULL;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
	ERR_clear_error();
	if (key == NULL)
		wrong(error, path,
			asked ? "needs a passphrase: store the key without one, readable "
				"only for the gateway"
			      : "holds no private key in PEM (-----BEGIN PRIVATE "
				"KEY-----)");
	return key;
}

bool conf_file_check_certificates(const char *path, GError **error)
{
	g_autoptr(X509) certificate = read_certificate(path, error);
	return certificate != NULL;
}

bool conf_file_check_key(const char *path, GError **error)
{
	g_autoptr(EVP_PKEY) key = read_key(path, error);
	return key != NULL;
}

bool conf_file_check_pair(const char *certificate, const char *key, GError **error)
{
	g_autoptr(X509) x509 = read_certificate(certificate, error);
	g_autoptr(EVP_PKEY) pkey = x509 != NULL ? read_key(key, error) : NULL;
	if (pkey == NULL)
		return false;
	bool fit = X509_check_private_key(x509, pkey) == 1;
	ERR_clear_error();
	if (!fit)
		g_set_error(error, CONF_ERROR, CONF_ERROR_FILE,
			"%s is not the key of the first certificate in %s", key,
			certificate);
	return fit;
}

bool conf_file_certificate_has_expired(const char *path)
{
	g_autoptr(X509) certificate = read_certificate(path, NULL);
	return certificate != NULL &&
	       X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

static bool is_over(const ASN1_TIME *end)
{
	return end != NULL && X509_cmp_current_time(end) < 0;
}

static char *name_of(const X509_NAME *name)
{
	char *text = X509_NAME_oneline(name, NULL, 0);
	char *copy = g_strdup(text);
	OPENSSL_free(text);
	return copy;
}

/* What of one entry is over: "WHAT of NAME"; NULL: nothing. */
static char *overdue(const X509_INFO *info)
{
	const X509_NAME *name = NULL;
	const char *what = "certificate";
	if (info->x509 != NULL && is_over(X509_get0_notAfter(info->x509)))
		name = X509_get_subject_name(info->x509);
	else if (info->crl != NULL && is_over(X509_CRL_get0_nextUpdate(info->crl))) {
		name = X509_CRL_get_issuer(info->crl);
		what = "revocation list";
	}
	if (name == NULL)
		return NULL;
	g_autofree char *text = name_of(name);
	return g_strdup_printf("the %s of %s", what, text);
}

/* NULL: it cannot be read. */
static STACK_OF(X509_INFO) * read_infos(const char *path)
{
	g_autoptr(BIO) bio = open_bio(path, NULL);
	STACK_OF(X509_INFO) *infos =
		bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	ERR_clear_error();
	return infos;
}

static bool has_certificate(const STACK_OF(X509_INFO) * infos, const X509 *wanted)
{
	bool has = false;
	for (int i = 0; !has && wanted != NULL && i < sk_X509_INFO_num(infos); i++) {
		const X509 *one = sk_X509_INFO_value(infos, i)->x509;
		has = one != NULL && X509_cmp(one, wanted) == 0;
	}
	return has;
}

char *conf_file_public_authority(const char *path)
{
	char *told = NULL;
	STACK_OF(X509_INFO) *infos = read_infos(path);
	STACK_OF(X509_INFO) *bundle = read_infos(DISTRIBUTION_BUNDLE);
	for (int i = 0; told == NULL && i < sk_X509_INFO_num(infos); i++) {
		const X509 *one = sk_X509_INFO_value(infos, i)->x509;
		if (has_certificate(bundle, one))
			told = name_of(X509_get_subject_name(one));
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	sk_X509_INFO_pop_free(bundle, X509_INFO_free);
	return told;
}

char *conf_file_expired_authority(const char *path)
{
	char *told = NULL;
	STACK_OF(X509_INFO) *infos = read_infos(path);
	for (int i = 0; told == NULL && i < sk_X509_INFO_num(infos); i++)
		told = overdue(sk_X509_INFO_value(infos, i));
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	return told;
}

bool conf_file_is_empty(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The DNS names of its subjectAltName, in lower case and in order. */
static GPtrArray *names_of(X509 *certificate)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	GENERAL_NAMES *all =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
		if (name->type == GEN_DNS)
			g_ptr_array_add(names,
				g_ascii_strdown((const char *)ASN1_STRING_get0_data(
							name->d.dNSName),
					ASN1_STRING_length(name->d.dNSName)));
	}
	GENERAL_NAMES_free(all);
	ERR_clear_error();
	g_ptr_array_sort(names, compare_names);
	return names;
}

char *conf_file_certificate_identity(const char *path)
{
	g_autoptr(X509) certificate = read_certificate(path, NULL);
	if (certificate == NULL)
		return NULL;
	g_autoptr(GPtrArray) names = names_of(certificate);
	GString *identity = g_string_new(NULL);
	g_string_append_printf(
		identity, "%d", EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)));
	for (size_t i = 0; i < names->len; i++)
		g_string_append_printf(identity, " %s", (char *)names->pdata[i]);
	return g_string_free(identity, FALSE);
}

bool conf_file_is_world_readable(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && (status.st_mode & S_IROTH) != 0;
}

bool conf_directory_check(const char *path, GError **error)
{
	struct stat status;
	if (stat(path, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			return wrong(error, path, "is not a directory");
		return access(path, W_OK | X_OK) == 0 ||
		       wrong(error, path, "is not writable for this user");
	}
	if (errno != ENOENT) {
		g_set_error(error, CONF_ERROR, CONF_ERROR_FILE, "%s cannot be used: %s",
			path, g_strerror(errno));
		return false;
	}
	g_autofree char *parent = g_path_get_dirname(path);
	if (access(parent, W_OK | X_OK) == 0)
		return true;
	g_set_error(error, CONF_ERROR, CONF_ERROR_FILE,
		"%s is not there and cannot be made in %s: %s", path, parent,
		g_strerror(errno));
	return false;
}

ssize_t conf_file_read(int fd, char *buffer, size_t max_bytes)
{
	size_t length = 0;
	while (length < max_bytes) {
		ssize_t n = read(fd, buffer + length, max_bytes - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

/* Takes off one line end; what is left must be text. */
static bool take_secret(const char *buffer, size_t length, const char *path,
	char **secret, GError **error)
{
	if (length > SECRET_BYTES_MAX)
		return wrong(error, path, "is larger than 64 KiB: this is no secret");
	if (length > 0 && buffer[length - 1] == '\n')
		length--;
	if (length > 0 && buffer[length - 1] == '\r')
		length--;
	if (length == 0)
		return wrong(error, path, "is empty");
	if (memchr(buffer, '\0', length) != NULL)
		return wrong(error, path, "holds a NUL octet: this is no secret");
	*secret = g_strndup(buffer, length);
	return true;
}

bool conf_secret(const char *value, const char *file, char **secret, GError **error)
{
	*secret = g_strdup(value);
	if (value != NULL || file == NULL)
		return true;
	int fd = open_file(file, error);
	if (fd < 0)
		return false;
	/* Room for one octet more than allowed shows that there are more. */
	char *buffer = g_malloc(SECRET_BYTES_MAX + 1);
	ssize_t length = conf_file_read(fd, buffer, SECRET_BYTES_MAX + 1);
	bool taken;
	if (length < 0) {
		g_set_error(error, CONF_ERROR, CONF_ERROR_FILE, "%s cannot be read: %s",
			file, g_strerror(errno));
		taken = false;
	} else {
		taken = take_secret(buffer, (size_t)length, file, secret, error);
	}
	close(fd);
	OPENSSL_cleanse(buffer, SECRET_BYTES_MAX + 1);
	g_free(buffer);
	return taken;
}
