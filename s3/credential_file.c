/* Reads files of secrets, and notices when they change. */
#include "s3/credential_file.h"
#include "s3/error.h"
#include "s3/sigv4.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_FILE_MAX_BYTES ((size_t)64 << 10)

/* A file as it was when it was read. */
struct watched {
	char *path;
	bool exists;
	struct stat stat;
};

static void clear_watched(gpointer data)
{
	g_free(((struct watched *)data)->path);
}

GArray *s3_credential_files_new(void)
{
	GArray *files = g_array_new(FALSE, FALSE, sizeof(struct watched));
	g_array_set_clear_func(files, clear_watched);
	return files;
}

void s3_credential_files_clear(GArray *files)
{
	g_array_set_size(files, 0);
}

/* Before the file is read, so that a change in between is seen as one. */
static void watch(GArray *files, const char *path)
{
	for (size_t i = 0; i < files->len; i++)
		if (strcmp(g_array_index(files, struct watched, i).path, path) == 0)
			return;
	struct watched entry = { .path = g_strdup(path) };
	entry.exists = stat(path, &entry.stat) == 0;
	g_array_append_val(files, entry);
}

static bool has_changed(const struct watched *entry)
{
	struct stat now;
	if (stat(entry->path, &now) < 0)
		return entry->exists;
	return !entry->exists || now.st_ino != entry->stat.st_ino ||
	       now.st_dev != entry->stat.st_dev || now.st_size != entry->stat.st_size ||
	       now.st_mtim.tv_sec != entry->stat.st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != entry->stat.st_mtim.tv_nsec;
}

bool s3_credential_files_changed(const GArray *files)
{
	for (size_t i = 0; i < files->len; i++)
		if (has_changed(&g_array_index(files, struct watched, i)))
			return true;
	return false;
}

/* At most max_bytes of fd; -1 with errno (EFBIG beyond that). */
static ssize_t read_up_to(int fd, char *buffer, size_t max_bytes)
{
	size_t length = 0;
	while (length <= max_bytes) {
		ssize_t n = read(fd, buffer + length, max_bytes + 1 - length);
		if (n == 0)
			return (ssize_t)length;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			length += (size_t)n;
	}
	errno = EFBIG;
	return -1;
}

char *s3_credential_file_read(
	GArray *files, const char *path, size_t max_bytes, size_t *length)
{
	if (files)
		watch(files, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	char *buffer = g_malloc(max_bytes + 2);
	ssize_t n = read_up_to(fd, buffer, max_bytes);
	int saved = errno;
	close(fd);
	if (n < 0) {
		OPENSSL_cleanse(buffer, max_bytes + 2);
		g_free(buffer);
		errno = saved;
		return NULL;
	}
	char *text = g_memdup2(buffer, (size_t)n + 1);
	text[n] = '\0';
	OPENSSL_cleanse(buffer, (size_t)n);
	g_free(buffer);
	*length = (size_t)n;
	return text;
}

bool s3_credential_value(GArray *files, const char *value, const char *file,
	const char *source, char **out, GError **error)
{
	*out = NULL;
	if (value && *value) {
		*out = g_strdup(value);
		return true;
	}
	if (!file || !*file)
		return true;
	size_t length = 0;
	char *text = s3_credential_file_read(files, file, SECRET_FILE_MAX_BYTES, &length);
	if (!text)
		return s3_fail(error, S3_ERROR_MEND,
			"credentials from %s: cannot read %s: %s", source, file,
			g_strerror(errno));
	*out = g_strchomp(text);
	return true;
}
