/* Files instead of S3. Signing and serving their links is done elsewhere. */
#include "s3/directory.h"
#include "s3/name.h"
#include "s3/profile.h"
#include "s3/sigv4.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE  0750
#define OBJECT_MODE     0640
#define ORPHAN_AGE_S    86400
#define COPY_BYTES      ((size_t)64 << 10)
#define CREDENTIALS     "credentials"
#define CREDENTIALS_MAX ((size_t)4096)

static bool fail(GError **error, int kind, const char *what, const char *path)
{
	int saved = errno;
	g_set_error(error, S3_ERROR, kind, "%s %s: %s", what, path, g_strerror(saved));
	return false;
}

/* ---- durable directories ---- */

static bool sync_directory(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(error, S3_ERROR_RETRY, "cannot open", path);
	int result = fsync(fd);
	close(fd);
	return result == 0 || fail(error, S3_ERROR_RETRY, "cannot sync", path);
}

/* mkdir of path within root, with its parents, each synced into its own parent. */
static bool make_directories(const char *root, char *path, GError **error)
{
	for (char *p = path + strlen(root) + 1; p; p = p ? p + 1 : NULL) {
		p = strchr(p, '/');
		if (p)
			*p = '\0';
		bool made = mkdir(path, DIRECTORY_MODE) == 0;
		if (!made && errno != EEXIST)
			return fail(error, S3_ERROR_RETRY, "cannot make", path);
		if (made) {
			g_autofree char *parent = g_path_get_dirname(path);
			if (!sync_directory(parent, error))
				return false;
		}
		if (!p)
			break;
		*p = '/';
	}
	return true;
}

static void remove_orphans(const char *incoming)
{
	g_autoptr(GDir) dir = g_dir_open(incoming, 0, NULL);
	const char *name;
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(incoming, name, NULL);
		struct stat st;
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
			st.st_mtime < time(NULL) - ORPHAN_AGE_S)
			unlink(path);
	}
}

bool s3_directory_prepare(const char *directory, GError **error)
{
	static const char *const parts[] = { "objects", "metadata", "incoming" };
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		g_autofree char *path = g_build_filename(directory, parts[i], NULL);
		if (g_mkdir_with_parents(path, DIRECTORY_MODE) < 0)
			return fail(error, S3_ERROR_CONFIG, "cannot make", path);
		if (access(path, W_OK | X_OK) < 0)
			return fail(error, S3_ERROR_CONFIG, "cannot write to", path);
		if (strcmp(parts[i], "incoming") == 0)
			remove_orphans(path);
	}
	return true;
}

/* ---- objects ---- */

static bool write_all(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t written = write(fd, data, n);
		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			data += written;
			n -= (size_t)written;
		}
	}
	return true;
}

/* The octets from offset on, read and written; errno EIO when the source ends early. */
static bool copy_by_hand(int from, uint64_t offset, uint64_t size, int to)
{
	g_autofree char *buffer = g_malloc(COPY_BYTES);
	while (offset < size) {
		ssize_t n = pread(from, buffer, (size_t)MIN(COPY_BYTES, size - offset),
			(off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0 || !write_all(to, buffer, (size_t)n))
			return false;
		offset += (uint64_t)n;
	}
	return true;
}

/* By the kernel where it can (some pairs of file systems cannot), else by hand. */
static bool copy_content(int from, uint64_t size, int to)
{
	off_t offset = 0;
	while ((uint64_t)offset < size) {
		ssize_t n = copy_file_range(
			from, &offset, to, NULL, (size_t)(size - (uint64_t)offset), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return copy_by_hand(from, (uint64_t)offset, size, to);
	}
	return true;
}

static bool write_temporary(int fd, const struct s3_object *object)
{
	bool written = object->octets
			       ? write_all(fd, object->octets, (size_t)object->size)
			       : copy_content(object->fd, object->size, fd);
	return written && fchmod(fd, OBJECT_MODE) == 0 && fdatasync(fd) == 0;
}

static bool store_object(const char *directory, const struct s3_object *object,
	const char *path, GError **error)
{
	g_autofree char *temporary =
		g_build_filename(directory, "incoming", "XXXXXX", NULL);
	int fd = g_mkstemp_full(temporary, O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(error, S3_ERROR_RETRY, "cannot make", temporary);
	bool written = write_temporary(fd, object);
	int saved = errno;
	close(fd);
	errno = saved;
	if (!written || rename(temporary, path) < 0) {
		fail(error, S3_ERROR_RETRY, "cannot write", path);
		unlink(temporary);
		return false;
	}
	return true;
}

static char *metadata_text(const struct s3_object *object)
{
	char sha256[65];
	sigv4_hex(object->sha256, sha256);
	g_autofree char *type = s3_name_media_type(object->media_type);
	g_autofree char *name =
		g_utf8_make_valid(object->file_name ? object->file_name : "", -1);
	g_autofree char *id =
		g_utf8_make_valid(object->message_id ? object->message_id : "", -1);
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I}", "message_id", id,
		"file_name", name, "media_type", type, "sha256", sha256, "size",
		(json_int_t)object->size);
	char *text = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
	char *copy = g_strconcat(text, "\n", NULL);
	free(text);
	return copy;
}

static bool store_metadata(
	const struct s3_object *object, const char *path, GError **error)
{
	g_autofree char *text = metadata_text(object);
	g_autoptr(GError) cause = NULL;
	if (g_file_set_contents_full(
		    path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, OBJECT_MODE, &cause))
		return true;
	g_set_error_literal(error, S3_ERROR, S3_ERROR_RETRY, cause->message);
	return false;
}

/* DIR/PART/KEY SUFFIX, its directories made */
static char *path_for(const char *directory, const char *part, const char *key,
	const char *suffix, GError **error)
{
	g_autofree char *root = g_build_filename(directory, part, NULL);
	g_autofree char *path = g_strconcat(root, "/", key, suffix, NULL);
	g_autofree char *parent = g_path_get_dirname(path);
	if (strcmp(parent, root) != 0 && !make_directories(root, parent, error))
		return NULL;
	return g_steal_pointer(&path);
}

bool s3_directory_put(
	const char *directory, const struct s3_object *object, GError **error)
{
	if (!s3_name_is_key(object->key)) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"\"%s\" cannot be an object's key: check the prefix",
			object->key);
		return false;
	}
	g_autofree char *path = path_for(directory, "objects", object->key, "", error);
	if (!path)
		return false;
	g_autofree char *metadata =
		path_for(directory, "metadata", object->key, ".json", error);
	if (!metadata)
		return false;
	g_autofree char *parent = g_path_get_dirname(path);
	return store_metadata(object, metadata, error) &&
	       store_object(directory, object, path, error) &&
	       sync_directory(parent, error);
}

/* rmdir() refuses what is not empty: it ends at the first that still is in use. */
static void remove_empty_parents(const char *root, const char *path)
{
	g_autofree char *parent = g_path_get_dirname(path);
	while (strlen(parent) > strlen(root) && rmdir(parent) == 0)
		*strrchr(parent, '/') = '\0';
}

static bool delete_file(const char *directory, const char *part, const char *key,
	const char *suffix, GError **error)
{
	g_autofree char *root = g_build_filename(directory, part, NULL);
	g_autofree char *path = g_strconcat(root, "/", key, suffix, NULL);
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail(error,
			errno == EACCES || errno == EPERM ? S3_ERROR_MEND
							  : S3_ERROR_RETRY,
			"cannot delete", path);
	remove_empty_parents(root, path);
	return true;
}

bool s3_directory_delete(const char *directory, const char *key, GError **error)
{
	if (!s3_name_is_key(key)) {
		g_set_error(
			error, S3_ERROR, S3_ERROR_MEND, "\"%s\" cannot be a key", key);
		return false;
	}
	return delete_file(directory, "objects", key, "", error) &&
	       delete_file(directory, "metadata", key, ".json", error);
}

/* ---- the key pair ---- */

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
		return fail(error, S3_ERROR_CONFIG, "cannot make", temporary);
	char *text = new_credentials_text();
	bool written = write_all(fd, text, strlen(text)) && fsync(fd) == 0;
	int saved = errno;
	sigv4_wipe(text);
	close(fd);
	errno = saved;
	if (written && link(temporary, path) < 0 && errno != EEXIST)
		written = false;
	if (!written)
		fail(error, S3_ERROR_CONFIG, "cannot write", path);
	unlink(temporary);
	return written && sync_directory(directory, error);
}

/* False without an error: there is no such file. */
static bool load_credentials(
	const char *path, char **access_key_id, char **secret_access_key, GError **error)
{
	char text[CREDENTIALS_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT
			       ? false
			       : fail(error, S3_ERROR_CONFIG, "cannot read", path);
	ssize_t n = pread(fd, text, sizeof(text), 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0)
		return fail(error, S3_ERROR_CONFIG, "cannot read", path);
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
		return fail(error, S3_ERROR_CONFIG, "cannot make", directory);
	return make_credentials(directory, path, error) &&
	       load_credentials(path, access_key_id, secret_access_key, error);
}
