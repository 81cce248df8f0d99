/* The spool file of one message: a buffer before it, one fsync after it. Leaves the
 * directory's sync and the row in the database to the queue. */
#include "gateway/queue/spool.h"

#include "gateway/error.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTES  8192 /* a small message never makes a larger buffer */
#define FOLDER_TRIES 8

struct spool {
	char *path;
	int fd;         /* -1: nothing flushed yet */
	int failure;    /* errno; sticky: a failed write or sync is never tried again */
	bool committed; /* the file stays when the spool goes */
	uint64_t bytes;
	size_t used;
	size_t capacity;
	char *buffer; /* may be shared: of GLib's reference counted boxes */
};

struct spool *spool_new(const char *directory, const char *id)
{
	struct spool *spool = g_new0(struct spool, 1);
	char folder[SPOOL_FOLDER_BYTES];
	spool_folder(id, folder);
	spool->path = g_build_filename(directory, folder, id, NULL);
	spool->fd = -1;
	return spool;
}

static void release_buffer(struct spool *spool)
{
	g_clear_pointer(&spool->buffer, g_atomic_rc_box_release);
}

static void make_room(struct spool *spool, size_t data_bytes)
{
	size_t wanted = spool->used + data_bytes;
	if (wanted <= spool->capacity)
		return;
	spool->capacity = wanted <= FIRST_BYTES ? FIRST_BYTES : SPOOL_BUFFER_BYTES;
	char *larger = g_atomic_rc_box_alloc(spool->capacity);
	if (spool->used)
		memcpy(larger, spool->buffer, spool->used);
	release_buffer(spool);
	spool->buffer = larger;
}

size_t spool_append(struct spool *spool, const char *data, size_t data_bytes)
{
	size_t taken = MIN(data_bytes, SPOOL_BUFFER_BYTES - spool->used);
	if (taken == 0)
		return 0;
	make_room(spool, taken);
	memcpy(spool->buffer + spool->used, data, taken);
	spool->used += taken;
	spool->bytes += taken;
	return taken;
}

uint64_t spool_bytes(const struct spool *spool)
{
	return spool->bytes;
}

char *spool_share(struct spool *spool)
{
	bool has_all = spool->buffer && spool->used == spool->bytes;
	return has_all ? g_atomic_rc_box_acquire(spool->buffer) : NULL;
}

bool spool_is_full(const struct spool *spool)
{
	return SPOOL_BUFFER_BYTES - spool->used < SPOOL_BUFFER_BYTES / 4;
}

static bool fail(struct spool *spool, const char *what, GError **error)
{
	spool->failure = errno ? errno : EIO;
	g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(spool->failure),
		"%s: cannot %s: %s", spool->path, what, g_strerror(spool->failure));
	return false;
}

static bool is_sound(struct spool *spool, GError **error)
{
	errno = spool->failure;
	return !spool->failure || fail(spool, "go on after an earlier error", error);
}

static bool make_folder(const struct spool *spool)
{
	g_autofree char *folder = g_path_get_dirname(spool->path);
	return mkdir(folder, 0700) == 0 || errno == EEXIST;
}

static bool open_file(struct spool *spool, GError **error)
{
	/* The folder may be new, and one that was empty may go at any moment. */
	for (unsigned i = 0; spool->fd < 0 && i < FOLDER_TRIES; i++) {
		spool->fd = open(spool->path,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (spool->fd < 0 && (errno != ENOENT || !make_folder(spool)))
			break;
	}
	return spool->fd >= 0 || fail(spool, "make the spool file", error);
}

/* The buffer goes: more may be long in coming. */
static bool write_buffer(struct spool *spool, GError **error)
{
	if (!write_all(spool->fd, spool->buffer, spool->used))
		return fail(spool, "write", error);
	release_buffer(spool);
	spool->used = spool->capacity = 0;
	return true;
}

bool spool_flush(struct spool *spool, GError **error)
{
	if (!is_sound(spool, error) || !open_file(spool, error))
		return false;
	size_t flushed = spool->used;
	if (!write_buffer(spool, error))
		return false;
	/* The disk begins now, so that the sync at the end does not wait for
	 * the whole message, and several commits share one transaction of the
	 * file system. Only a hint. */
	if (flushed > 0)
		(void)sync_file_range(spool->fd, (off_t)(spool->bytes - flushed),
			(off_t)flushed, SYNC_FILE_RANGE_WRITE);
	return true;
}

bool spool_write(struct spool *spool, GError **error)
{
	return is_sound(spool, error) && open_file(spool, error) &&
	       write_buffer(spool, error);
}

bool spool_sync(struct spool *spool, GError **error)
{
	if (fsync(spool->fd) < 0)
		return fail(spool, "sync", error);
	spool->committed = true;
	return true;
}

bool spool_commit(struct spool *spool, GError **error)
{
	return spool_write(spool, error) && spool_sync(spool, error);
}

void spool_free(struct spool **spool)
{
	struct spool *s = *spool;
	*spool = NULL;
	if (!s)
		return;
	if (s->fd >= 0) {
		close(s->fd);
		if (!s->committed)
			unlink(s->path);
	}
	release_buffer(s);
	g_free(s->path);
	g_free(s);
}

void spool_discard(struct spool **spool)
{
	if (*spool)
		(*spool)->committed = false;
	spool_free(spool);
}
