/* Files instead of S3. Signing and serving their links is done elsewhere. */
#include "s3/directory.h"
#include "s3/directory_room.h"
#include "s3/durable.h"
#include "s3/error.h"
#include "s3/name.h"
#include "s3/sigv4.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750
#define OBJECT_MODE    0640
#define ORPHAN_AGE_S   86400
#define COPY_BYTES     ((size_t)64 << 10)

struct s3_directory {
	char *path;
	struct directory_room *room;
};

/* By errno: what passes by itself is tried again, the rest takes a person. */
static bool fail(GError **error, const char *what, const char *path)
{
	int saved = errno;
	const char *reason = g_strerror(saved);
	switch (saved) {
	case EACCES:
	case EPERM:
	case EROFS:
		return s3_fail_about(
			error, S3_SUBJECT_ACCESS, "%s %s: %s", what, path, reason);
	case ENOSPC:
	case EDQUOT:
		return s3_fail_about(
			error, S3_SUBJECT_QUOTA, "%s %s: %s", what, path, reason);
	default:
		return s3_fail(error, S3_ERROR_RETRY, "%s %s: %s", what, path, reason);
	}
}

/* ---- durable directories ---- */

static bool sync_directory(const char *path, GError **error)
{
	return s3_durable_sync(path) || fail(error, "cannot sync", path);
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
			return fail(error, "cannot make", path);
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

static bool prepare(const char *directory, GError **error)
{
	static const char *const parts[] = { "objects", "metadata", "incoming" };
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		g_autofree char *path = g_build_filename(directory, parts[i], NULL);
		if (g_mkdir_with_parents(path, DIRECTORY_MODE) < 0)
			return s3_fail(error, S3_ERROR_CONFIG, "cannot make %s: %s", path,
				g_strerror(errno));
		if (access(path, W_OK | X_OK) < 0)
			return s3_fail(error, S3_ERROR_CONFIG, "cannot write to %s: %s",
				path, g_strerror(errno));
		if (strcmp(parts[i], "incoming") == 0)
			remove_orphans(path);
	}
	return true;
}

struct s3_directory *s3_directory_open(const char *directory, uint64_t max_bytes,
	uint64_t min_free_bytes, GError **error)
{
	if (!prepare(directory, error))
		return NULL;
	g_autofree char *objects = g_build_filename(directory, "objects", NULL);
	struct s3_directory *opened = g_new0(struct s3_directory, 1);
	opened->path = g_strdup(directory);
	opened->room = directory_room_new(objects, max_bytes, min_free_bytes);
	return opened;
}

void s3_directory_close(struct s3_directory **directory)
{
	struct s3_directory *gone = g_steal_pointer(directory);
	if (!gone)
		return;
	directory_room_free(&gone->room);
	g_free(gone->path);
	g_free(gone);
}

/* ---- objects ---- */

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
		if (n <= 0 || !s3_durable_write(to, buffer, (size_t)n))
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
	bool written = object->octets ? s3_durable_write(
						fd, object->octets, (size_t)object->size)
				      : copy_content(object->fd, object->size, fd);
	return written && fchmod(fd, OBJECT_MODE) == 0 && fdatasync(fd) == 0;
}

enum stored { STORED_NOT, STORED_SAME, STORED_OTHER };

/* Whether path is there, and with the object's content. */
static enum stored look(const char *path, const struct s3_object *object)
{
	struct stat file;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? STORED_NOT : STORED_OTHER;
	enum stored stored = STORED_OTHER;
	g_autofree unsigned char *buffer = g_malloc(COPY_BYTES);
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	ssize_t n = -1;
	if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) &&
		(uint64_t)file.st_size == object->size &&
		EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) {
		while ((n = read(fd, buffer, COPY_BYTES)) > 0)
			EVP_DigestUpdate(hash, buffer, (size_t)n);
	}
	if (n == 0 && EVP_DigestFinal_ex(hash, digest, NULL) &&
		memcmp(digest, object->sha256, sizeof(object->sha256)) == 0)
		stored = STORED_SAME;
	EVP_MD_CTX_free(hash);
	close(fd);
	return stored;
}

/* As rename(2), but errno EEXIST where path is there, on file systems that can. */
static int rename_to_new(const char *temporary, const char *path)
{
	int result = renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);
	if (result < 0 && (errno == EINVAL || errno == ENOSYS))
		result = rename(temporary, path);
	return result;
}

static bool is_same(const char *path, const struct s3_object *object, GError **error)
{
	if (look(path, object) == STORED_SAME)
		return true;
	return s3_fail_about(error, S3_SUBJECT_OBJECT,
		"%s is there with other content: it is not overwritten", path);
}

static bool store_object(const char *directory, const struct s3_object *object,
	const char *path, GError **error)
{
	g_autofree char *temporary =
		g_build_filename(directory, "incoming", "XXXXXX", NULL);
	int fd = g_mkstemp_full(temporary, O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(error, "cannot make", temporary);
	bool stored = write_temporary(fd, object);
	int saved = errno;
	close(fd);
	errno = saved;
	if (stored && rename_to_new(temporary, path) == 0)
		return true;
	stored = stored && errno == EEXIST ? is_same(path, object, error)
					   : fail(error, "cannot write", path);
	unlink(temporary);
	return stored;
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

/* An object as it is to be found after a crash: what stands beside it is there first. */
static bool put_new(struct s3_directory *directory, const struct s3_object *object,
	const char *path, GError **error)
{
	g_autofree char *metadata =
		path_for(directory->path, "metadata", object->key, ".json", error);
	if (!metadata || !directory_room_take(directory->room, object->size, error))
		return false;
	g_autofree char *beside = g_path_get_dirname(metadata);
	if (store_metadata(object, metadata, error) && sync_directory(beside, error) &&
		store_object(directory->path, object, path, error))
		return true;
	directory_room_give(directory->room, object->size);
	return false;
}

bool s3_directory_put(
	struct s3_directory *directory, const struct s3_object *object, GError **error)
{
	if (!s3_name_is_key(object->key))
		return s3_fail_about(error, S3_SUBJECT_OBJECT,
			"\"%s\" cannot be an object's key: check the prefix",
			object->key);
	g_autofree char *path =
		path_for(directory->path, "objects", object->key, "", error);
	if (!path)
		return false;
	bool stored = look(path, object) == STORED_NOT
			      ? put_new(directory, object, path, error)
			      : is_same(path, object, error);
	g_autofree char *parent = g_path_get_dirname(path);
	return stored && sync_directory(parent, error);
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
		return fail(error, "cannot delete", path);
	remove_empty_parents(root, path);
	return true;
}

bool s3_directory_delete(const char *directory, const char *key, GError **error)
{
	if (!s3_name_is_key(key))
		return s3_fail_about(
			error, S3_SUBJECT_OBJECT, "\"%s\" cannot be a key", key);
	return delete_file(directory, "objects", key, "", error) &&
	       delete_file(directory, "metadata", key, ".json", error);
}

enum s3_presence s3_directory_find(const char *directory, const char *key, GError **error)
{
	g_autofree char *path = g_build_filename(directory, "objects", key, NULL);
	if (access(path, F_OK) == 0)
		return S3_PRESENT;
	if (errno == ENOENT || errno == ENOTDIR)
		return S3_ABSENT;
	s3_fail_about(error, S3_SUBJECT_ACCESS, "%s: %s", path, g_strerror(errno));
	return S3_UNKNOWN;
}
