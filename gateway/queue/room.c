/* Whether there is room for more: disk, inodes, ceiling of messages. */
#include "gateway/queue/queue.h"

#include "gateway/error.h"
#include "gateway/queue/writer.h"
#include <sys/statvfs.h>

#define ROOM_CHECK_US G_TIME_SPAN_SECOND

static void look_at_disk(struct queue *queue)
{
	int64_t now_us = g_get_monotonic_time();
	if (queue->room_checked_us != 0 &&
		now_us - queue->room_checked_us < ROOM_CHECK_US)
		return;
	struct statvfs vfs;
	if (fstatvfs(queue->spool_fd, &vfs) == 0) {
		queue->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
		queue->free_inodes =
			vfs.f_files == 0 ? UINT64_MAX : (uint64_t)vfs.f_favail;
		queue->read_only = (vfs.f_flag & ST_RDONLY) != 0;
	} else {
		queue->free_bytes = 0;
		queue->free_inodes = 0;
	}
	queue->room_checked_us = now_us;
}

static uint64_t unfinished(const struct queue *queue)
{
	uint64_t n = queue->submitting;
	for (unsigned i = 0; i < QUEUE_SENT; i++)
		n += (uint64_t)MAX(queue->totals.messages[i], 0);
	return n;
}

/* What a look at the disk, at most a second ago, and the writer know. */
struct room {
	uint64_t bytes, inodes, queued;
	bool read_only, unwritable;
};

static struct room look(struct queue *queue, struct conf_queue *settings)
{
	struct room room;
	g_mutex_lock(&queue->lock);
	*settings = queue->settings;
	room.queued = unfinished(queue);
	room.unwritable = queue->unwritable;
	g_mutex_unlock(&queue->lock);
	g_mutex_lock(&queue->room_lock);
	look_at_disk(queue);
	room.bytes = queue->free_bytes;
	room.inodes = queue->free_inodes;
	room.read_only = queue->read_only;
	g_mutex_unlock(&queue->room_lock);
	return room;
}

G_GNUC_PRINTF(2, 3)
static bool refuse(GError **error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, text);
	return false;
}

bool writer_has_reserve(struct queue *queue, GError **error)
{
	struct statvfs vfs;
	g_mutex_lock(&queue->lock);
	uint64_t reserve = queue->settings.min_free_bytes / 2;
	g_mutex_unlock(&queue->lock);
	if (reserve == 0 || fstatvfs(queue->spool_fd, &vfs) < 0 ||
		(uint64_t)vfs.f_bavail * vfs.f_frsize >= reserve)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_FULL,
		"%s: less than half of queue.min_free is free: that is for what is "
		"queued already",
		queue->directory);
	return false;
}

bool queue_is_ready(struct queue *queue, GError **error)
{
	g_mutex_lock(&queue->lock);
	bool unspoolable = queue->unspoolable;
	g_mutex_unlock(&queue->lock);
	return unspoolable ? refuse(error, "%s: messages cannot be written to",
				     queue->spool_directory)
			   : queue_has_room(queue, 0, error);
}

bool queue_has_room(struct queue *queue, uint64_t size, GError **error)
{
	struct conf_queue settings;
	struct room room = look(queue, &settings);
	if (room.read_only)
		return refuse(
			error, "%s: the file system is read-only", queue->directory);
	if (room.unwritable)
		return refuse(error, "%s: the queue's database cannot be written to",
			queue->directory);
	if (room.queued >= settings.max_messages)
		return refuse(error,
			"%" G_GUINT64_FORMAT
			" messages are queued, queue.max_messages is %" G_GUINT64_FORMAT,
			room.queued, (uint64_t)settings.max_messages);
	if (room.bytes < settings.min_free_bytes ||
		room.bytes - settings.min_free_bytes < size)
		return refuse(error,
			"%s: %" G_GUINT64_FORMAT
			" bytes free, queue.min_free is %" G_GUINT64_FORMAT
			", the message has %" G_GUINT64_FORMAT,
			queue->directory, room.bytes, (uint64_t)settings.min_free_bytes,
			size);
	if (room.inodes < settings.min_free_inodes)
		return refuse(error,
			"%s: %" G_GUINT64_FORMAT
			" inodes free, queue.min_free_inodes is %" G_GUINT64_FORMAT,
			queue->directory, room.inodes,
			(uint64_t)settings.min_free_inodes);
	return true;
}
