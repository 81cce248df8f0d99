/* Counts what a directory store holds. What is in its files is for others. */
#include "s3/directory_room.h"

#include "s3/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COUNT_EVERY_US (G_TIME_SPAN_HOUR)
#define COUNT_AGAIN_US (G_TIME_SPAN_MINUTE) /* at the earliest */
#define DEPTH_MAX      40                   /* of directories: more than a key's */

struct directory_room {
	char *objects;
	uint64_t max_bytes, min_free_bytes;
	GMutex lock;
	uint64_t used_bytes; /* under lock, as counted_us is */
	int64_t counted_us;  /* monotonic; 0: never */
};

struct directory_room *directory_room_new(
	const char *objects, uint64_t max_bytes, uint64_t min_free_bytes)
{
	struct directory_room *room = g_new0(struct directory_room, 1);
	room->objects = g_strdup(objects);
	room->max_bytes = max_bytes;
	room->min_free_bytes = min_free_bytes;
	g_mutex_init(&room->lock);
	return room;
}

void directory_room_free(struct directory_room **room)
{
	struct directory_room *gone = g_steal_pointer(room);
	if (!gone)
		return;
	g_mutex_clear(&gone->lock);
	g_free(gone->objects);
	g_free(gone);
}

/* ---- counting ---- */

/* Takes fd. Recursion goes no deeper than depth. */
static uint64_t count(int fd, unsigned depth)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	uint64_t sum = 0;
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		struct stat file;
		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &file,
						       AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(file.st_mode))
			sum += (uint64_t)file.st_size;
		else if (S_ISDIR(file.st_mode) && depth > 0)
			sum += count(
				openat(dirfd(dir), entry->d_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
				depth - 1);
	}
	closedir(dir);
	return sum;
}

static bool is_over(const struct directory_room *room, uint64_t bytes)
{
	return bytes > room->max_bytes || room->used_bytes > room->max_bytes - bytes;
}

static void count_if_due(struct directory_room *room, uint64_t bytes)
{
	int64_t now_us = g_get_monotonic_time();
	int64_t every_us = is_over(room, bytes) ? COUNT_AGAIN_US : COUNT_EVERY_US;
	if (room->counted_us && now_us - room->counted_us < every_us)
		return;
	room->used_bytes =
		count(open(room->objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC), DEPTH_MAX);
	room->counted_us = now_us;
}

/* ---- room ---- */

static bool fail_full(struct directory_room *room, uint64_t used_bytes, GError **error)
{
	g_autofree char *used = g_format_size_full(used_bytes, G_FORMAT_SIZE_IEC_UNITS);
	g_autofree char *most =
		g_format_size_full(room->max_bytes, G_FORMAT_SIZE_IEC_UNITS);
	return s3_fail_about(error, S3_SUBJECT_QUOTA,
		"%s holds %s, and s3.directory_max_size is %s: raise it, shorten "
		"s3.retention, or revoke links",
		room->objects, used, most);
}

static bool has_disk(const struct directory_room *room, uint64_t bytes, GError **error)
{
	struct statvfs disk;
	if (!room->min_free_bytes)
		return true;
	if (statvfs(room->objects, &disk))
		return s3_fail(error, S3_ERROR_RETRY, "cannot look at the disk of %s: %s",
			room->objects, g_strerror(errno));
	uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (free_bytes >= room->min_free_bytes &&
		free_bytes - room->min_free_bytes >= bytes)
		return true;
	g_autofree char *left = g_format_size_full(free_bytes, G_FORMAT_SIZE_IEC_UNITS);
	return s3_fail_about(error, S3_SUBJECT_QUOTA,
		"the disk of %s has %s left, too little above s3.directory_min_free: "
		"make room there",
		room->objects, left);
}

bool directory_room_take(struct directory_room *room, uint64_t bytes, GError **error)
{
	if (!has_disk(room, bytes, error))
		return false;
	if (!room->max_bytes)
		return true;
	g_mutex_lock(&room->lock);
	count_if_due(room, bytes);
	bool full = is_over(room, bytes);
	uint64_t used_bytes = room->used_bytes;
	if (!full)
		room->used_bytes += bytes;
	g_mutex_unlock(&room->lock);
	return full ? fail_full(room, used_bytes, error) : true;
}

void directory_room_give(struct directory_room *room, uint64_t bytes)
{
	g_mutex_lock(&room->lock);
	room->used_bytes -= MIN(bytes, room->used_bytes);
	g_mutex_unlock(&room->lock);
}
