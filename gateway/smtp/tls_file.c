/* PEM files as memory BIOs, and OpenSSL's errors as ours. What is in the files is for
 * others. */
#include "gateway/smtp/tls_private.h"

#include "conf/files.h"
#include "gateway/error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

/* Revocation lists are the largest that may be in one: 16 MiB are some 300,000 entries.
 */
#define FILE_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* OpenSSL's words that nobody could act on, and better ones. */
static const struct {
	int library, reason;
	const char *words;
} plainer[] = {
	{ ERR_LIB_PEM, PEM_R_NO_START_LINE, "nothing of that kind in it, in PEM form" },
	{ ERR_LIB_PEM, PEM_R_BAD_END_LINE, "cut off or damaged (bad end line)" },
	{ ERR_LIB_PEM, PEM_R_BAD_BASE64_DECODE, "damaged (bad base64)" },
	{ ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ, "encrypted: take off the passphrase" },
	{ ERR_LIB_OSSL_DECODER, ERR_R_UNSUPPORTED,
		"nothing of that kind in it, in PEM form" },
};

const char *tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *words = code ? ERR_reason_error_string(code) : NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(plainer); i++) {
		if (ERR_GET_LIB(code) == plainer[i].library &&
			ERR_GET_REASON(code) == plainer[i].reason)
			words = plainer[i].words;
	}
	ERR_clear_error();
	return words ? words : "unknown reason";
}

bool tls_fail(GError **error, const char *what, const char *path)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s %s: %s", what, path,
		tls_reason());
	return false;
}

static void set_error(
	GError **error, const char *setting, const char *path, const char *reason)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s %s: %s", setting, path,
		reason);
}

/* -1 with error. Never waits, as a FIFO would. */
static int open_regular(
	const char *setting, const char *path, size_t *bytes, GError **error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		set_error(error, setting, path, g_strerror(errno));
		return -1;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		set_error(error, setting, path, "not a regular file");
	else if ((uint64_t)status.st_size > FILE_BYTES_MAX)
		set_error(error, setting, path, "larger than 16 MiB");
	else {
		*bytes = (size_t)status.st_size;
		return fd;
	}
	close(fd);
	return -1;
}

/* A file that grows meanwhile is being written: its beginning is as good as the whole
 * would have been a moment ago. */
static BIO *read_all(int fd, size_t bytes)
{
	char *text = OPENSSL_malloc(bytes + 1);
	ssize_t got = conf_file_read(fd, text, bytes);
	BIO *bio = got < 0 ? NULL : BIO_new(BIO_s_secmem());
	if (bio && BIO_write(bio, text, (int)got) != got)
		g_clear_pointer(&bio, BIO_free_all);
	if (bio)
		BIO_set_mem_eof_return(bio, 0);
	OPENSSL_clear_free(text, bytes + 1);
	return bio;
}

BIO *tls_file_open(const char *setting, const char *path, GError **error)
{
	size_t bytes;
	ERR_clear_error();
	int fd = open_regular(setting, path, &bytes, error);
	if (fd < 0)
		return NULL;
	BIO *bio = read_all(fd, bytes);
	if (!bio)
		set_error(error, setting, path, g_strerror(errno));
	close(fd);
	return bio;
}
