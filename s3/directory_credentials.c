/* The key pair of a directory store: made once, kept beside the objects. */
#include "s3/durable.h"
#include "s3/error.h"
#include "s3/profile.h"
#include "s3/s3.h"
#include "s3/sigv4.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_MODE  0750
#define CREDENTIALS     "credentials"
#define CREDENTIALS_MAX ((size_t)4096)

static bool fail(GError **error, const char *what, const char *path)
{
	return s3_fail(
		error, S3_ERROR_CONFIG, "%s %s: %s", what, path, g_strerror(errno));
}

/* n letters and digits; wiped and g_free()d by the caller */
static char *random_text(size_t n, const char letters[64])
{
	char *text = g_malloc0(n + 1);
	uint8_t random[64];
	g_assert(n <= sizeof(random));
	if (RAND_bytes(random, (int)n) != 1)
		g_error("no random bytes to be had");
	for (size_t i = 0; i < n; i++)
		text[i] = letters[random[i] & 63];
	OPENSSL_cleanse(random, sizeof(random));
	return text;
}

static char *new_credentials_text(void)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	static const char any[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
				  "ghijklmnopqrstuvwxyz0123456789+/";
	char *id = random_text(16, upper);
	char *secret = random_text(40, any);
	char *text =
		g_strdup_printf("# Signs the links to the objects in this directory. "
				"Without it they are void.\n"
				"[default]\n"
				"aws_access_key_id = STOW%s\n"
				"aws_secret_access_key = %s\n",
			id, secret);
	sigv4_wipe(secret);
	g_free(id);
	return text;
}

/* Written aside and linked, so that no reader sees a part and the
 * first of two makers wins. */
static bool make_credentials(const char *directory, const char *path, GError **error)
{
	g_autofree char *temporary =
		g_build_filename(directory, "." CREDENTIALS ".XXXXXX", NULL);
	int fd = g_mkstemp_full(temporary, O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(error, "cannot make", temporary);
	char *text = new_credentials_text();
	bool written = s3_durable_write(fd, text, strlen(text)) && fsync(fd) == 0;
	int saved = errno;
	sigv4_wipe(text);
	close(fd);
	errno = saved;
	if (written && link(temporary, path) < 0 && errno != EEXIST)
		written = false;
	if (!written)
		fail(error, "cannot write", path);
	unlink(temporary);
	return written &&
	       (s3_durable_sync(directory) || fail(error, "cannot sync", directory));
}

/* False without an error: there is no such file. */
static bool load_credentials(
	const char *path, char **access_key_id, char **secret_access_key, GError **error)
{
	char text[CREDENTIALS_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? false : fail(error, "cannot read", path);
	ssize_t n = pread(fd, text, sizeof(text), 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0)
		return fail(error, "cannot read", path);
	g_autoptr(GHashTable) profile =
		s3_profile_parse(text, (size_t)n, "default", false);
	OPENSSL_cleanse(text, sizeof(text));
	const char *id =
		profile ? g_hash_table_lookup(profile, "aws_access_key_id") : NULL;
	const char *secret =
		profile ? g_hash_table_lookup(profile, "aws_secret_access_key") : NULL;
	if (!id || !*id || !secret || !*secret) {
		g_set_error(error, S3_ERROR, S3_ERROR_CONFIG,
			"%s holds no key pair: remove it, and a new one is made (links "
			"given out before are then void)",
			path);
		return false;
	}
	*access_key_id = g_strdup(id);
	*secret_access_key = g_strdup(secret);
	return true;
}

bool s3_directory_credentials(const char *directory, char **access_key_id,
	char **secret_access_key, GError **error)
{
	g_autofree char *path = g_build_filename(directory, CREDENTIALS, NULL);
	g_autoptr(GError) cause = NULL;
	if (load_credentials(path, access_key_id, secret_access_key, &cause))
		return true;
	if (cause) {
		g_propagate_error(error, g_steal_pointer(&cause));
		return false;
	}
	if (g_mkdir_with_parents(directory, DIRECTORY_MODE) < 0)
		return fail(error, "cannot make", directory);
	return make_credentials(directory, path, error) &&
	       load_credentials(path, access_key_id, secret_access_key, error);
}
