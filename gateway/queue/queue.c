/* The queue's calls: opening, submitting, taking, finishing, room. What touches the
 * database is handed to the writer. */
#include "gateway/queue/queue.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/queue/recovery.h"
#include "gateway/queue/writer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_CHECK_US G_TIME_SPAN_SECOND

/* --- opening --- */

static bool mend(GError **error, const char *path, const char *what)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"queue.directory: %s: %s: %s", path, what, g_strerror(errno));
	return false;
}

static void sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

/* What others may write into is no place for mail. */
static bool close_to_others(const char *path, int fd, mode_t forbidden, GError **error)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return mend(error, path, "cannot be examined");
	if ((st.st_mode & forbidden) == 0)
		return true;
	if (fchmod(fd, 0700) < 0)
		return mend(error, path,
			"can be written by others, and its mode not be changed");
	log_warning("queue.mode_changed", LOG_TEXT("directory", path),
		LOG_TEXT("reason", "it was open to others; now its mode is 0700"));
	return true;
}

/* A descriptor of the directory, made where it is not there; -1 with error. */
static int open_directory(const char *path, mode_t forbidden, GError **error)
{
	if (g_mkdir_with_parents(path, 0700) < 0) {
		mend(error, path, "cannot be made");
		return -1;
	}
	g_autofree char *parent = g_path_get_dirname(path);
	sync_path(parent);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		mend(error, path, "cannot be opened");
		return -1;
	}
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		mend(error, path, "cannot be written to");
	else if (close_to_others(path, fd, forbidden, error))
		return fd;
	close(fd);
	return -1;
}

static void say_who_has_it(int fd, const char *directory, GError **error)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
	pid[n > 0 ? n : 0] = '\0';
	g_strchomp(pid);
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"queue.directory: %s: another gateway (process %s) runs on it", directory,
		*pid ? pid : "unknown");
}

/* A descriptor that holds the queue's lock, with our process id written into the file. */
static int take_lock(int directory_fd, const char *directory, GError **error)
{
	int fd = openat(
		directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		mend(error, directory, "the file lock cannot be opened");
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		g_autofree char *pid = g_strdup_printf("%ld\n", (long)getpid());
		if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, strlen(pid), 0) > 0)
			return fd;
		mend(error, directory, "the file lock cannot be written");
	} else if (errno == EWOULDBLOCK) {
		say_who_has_it(fd, directory, error);
	} else {
		mend(error, directory, "cannot be locked");
	}
	close(fd);
	return -1;
}

static bool open_files(struct queue *queue, GError **error)
{
	int directory_fd = open_directory(queue->directory, 022, error);
	if (directory_fd < 0)
		return false;
	queue->lock_fd = take_lock(directory_fd, queue->directory, error);
	if (queue->lock_fd >= 0)
		queue->spool_fd = open_directory(queue->spool_directory, 077, error);
	if (queue->spool_fd >= 0) {
		g_autofree char *path =
			g_build_filename(queue->directory, "queue.db", NULL);
		if (recovery_check_record(path, queue->spool_fd, error))
			queue->store = store_open_owner(path, error);
	}
	bool ok = queue->store != NULL;
	if (ok && fsync(directory_fd) < 0) {
		mend(error, queue->directory, "cannot be synced to the disk");
		ok = false;
	}
	close(directory_fd);
	return ok;
}

static bool open_queue(struct queue *queue, GError **error)
{
	return open_files(queue, error) &&
	       recovery_run(queue->store, queue->spool_fd, error) &&
	       store_totals(queue->store, &queue->totals, error) &&
	       store_oldest(queue->store, &queue->oldest_ms, error) &&
	       store_version(queue->store, &queue->version, error);
}

struct queue *queue_new(const struct conf_queue *settings, GError **error)
{
	struct queue *queue = g_new0(struct queue, 1);
	queue->settings = *settings;
	queue->directory = g_strdup(settings->directory);
	queue->settings.directory = queue->directory;
	queue->spool_directory = g_build_filename(queue->directory, "incoming", NULL);
	queue->lock_fd = -1;
	queue->spool_fd = -1;
	queue->due_us = WRITER_NEVER_US;
	g_mutex_init(&queue->lock);
	g_mutex_init(&queue->room_lock);
	g_cond_init(&queue->work);
	g_cond_init(&queue->ready);
	if (open_queue(queue, error))
		queue->thread = g_thread_new("queue", writer_run, queue);
	else
		queue_free(&queue);
	return queue;
}

static void lane_clear(struct lane *lane)
{
	g_queue_clear_full(&lane->messages, (GDestroyNotify)queue_message_free);
}

void queue_free(struct queue **queue)
{
	struct queue *q = *queue;
	*queue = NULL;
	if (!q)
		return;
	if (q->thread) {
		queue_stop(q);
		g_mutex_lock(&q->lock);
		q->ending = true;
		writer_wake(q);
		g_mutex_unlock(&q->lock);
		g_thread_join(q->thread);
	}
	lane_clear(&q->fresh);
	lane_clear(&q->backlog);
	store_close(&q->store);
	if (q->spool_fd >= 0)
		close(q->spool_fd);
	if (q->lock_fd >= 0)
		close(q->lock_fd);
	g_mutex_clear(&q->lock);
	g_mutex_clear(&q->room_lock);
	g_cond_clear(&q->work);
	g_cond_clear(&q->ready);
	g_free(q->spool_directory);
	g_free(q->directory);
	g_free(q);
}

const char *queue_spool_directory(const struct queue *queue)
{
	return queue->spool_directory;
}

void queue_set_settings(struct queue *queue, const struct conf_queue *settings)
{
	g_mutex_lock(&queue->lock);
	queue->settings = *settings;
	queue->settings.directory = queue->directory;
	g_mutex_unlock(&queue->lock);
}

/* --- room --- */

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

bool queue_has_room(struct queue *queue, uint64_t size, GError **error)
{
	g_mutex_lock(&queue->lock);
	uint64_t min_bytes = queue->settings.min_free_bytes;
	uint64_t min_inodes = queue->settings.min_free_inodes;
	uint64_t most = queue->settings.max_messages;
	uint64_t queued = unfinished(queue);
	g_mutex_unlock(&queue->lock);
	g_mutex_lock(&queue->room_lock);
	look_at_disk(queue);
	uint64_t bytes = queue->free_bytes, inodes = queue->free_inodes;
	g_mutex_unlock(&queue->room_lock);

	if (queued >= most) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"%" G_GUINT64_FORMAT
			" messages are queued, queue.max_messages is "
			"%" G_GUINT64_FORMAT,
			queued, most);
	} else if (bytes < min_bytes || bytes - min_bytes < size) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"%s: %" G_GUINT64_FORMAT
			" bytes free, queue.min_free is %" G_GUINT64_FORMAT
			", the message has %" G_GUINT64_FORMAT,
			queue->directory, bytes, min_bytes, size);
	} else if (inodes < min_inodes) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"%s: %" G_GUINT64_FORMAT
			" inodes free, queue.min_free_inodes is %" G_GUINT64_FORMAT,
			queue->directory, inodes, min_inodes);
	} else {
		return true;
	}
	return false;
}

/* --- a message's way --- */

void queue_submit(struct queue *queue, struct queue_message *message, struct spool *spool,
	queue_submitted done, void *context)
{
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_SUBMIT;
	operation->message = message;
	operation->spool = spool;
	operation->done = done;
	operation->context = context;
	message->size = spool_bytes(spool);
	g_mutex_lock(&queue->lock);
	queue->submitting++;
	writer_add(queue, operation, URGENCY_NOW);
	g_mutex_unlock(&queue->lock);
}

static struct queue_message *lane_pop(struct lane *lane)
{
	struct queue_message *message = g_queue_pop_head(&lane->messages);
	lane->recipients -= message->recipients->len;
	return message;
}

struct queue_message *queue_take(struct queue *queue)
{
	struct queue_message *message = NULL;
	g_mutex_lock(&queue->lock);
	while (!queue->stopped && g_queue_is_empty(&queue->fresh.messages) &&
		g_queue_is_empty(&queue->backlog.messages)) {
		queue->takers_waiting++;
		g_cond_wait(&queue->ready, &queue->lock);
		queue->takers_waiting--;
	}
	if (!queue->stopped) {
		bool backlog = g_queue_is_empty(&queue->fresh.messages) ||
			       (queue->backlog_turn &&
				       !g_queue_is_empty(&queue->backlog.messages));
		queue->backlog_turn = !backlog;
		message = lane_pop(backlog ? &queue->backlog : &queue->fresh);
		if (backlog && writer_should_refill(queue, g_get_real_time() / 1000))
			writer_wake(queue);
	}
	g_mutex_unlock(&queue->lock);
	return message;
}

int queue_open_spool(
	struct queue *queue, const struct queue_message *message, GError **error)
{
	int fd = openat(queue->spool_fd, message->id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		return fd;
	bool gone = errno == ENOENT;
	g_set_error(error, GATEWAY_ERROR,
		gone ? GATEWAY_ERROR_REJECT : GATEWAY_ERROR_RETRY,
		"the spool file cannot be opened: %s", g_strerror(errno));
	return -1;
}

static void copy_attachment(struct queue_message *to, const struct queue_attachment *from)
{
	struct queue_attachment *copy = queue_message_add_attachment(to);
	*copy = *from;
	copy->key = g_strdup(from->key);
	copy->file_name = g_strdup(from->file_name);
	copy->media_type = g_strdup(from->media_type);
}

void queue_record_attachments(struct queue *queue, const struct queue_message *message)
{
	if (message->attachments->len == 0)
		return;
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_ATTACHMENTS;
	operation->message = queue_message_new();
	memcpy(operation->message->id, message->id, sizeof message->id);
	operation->message->state = message->state;
	for (guint i = 0; i < message->attachments->len; i++)
		copy_attachment(operation->message, message->attachments->pdata[i]);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_WITH_NEXT);
	g_mutex_unlock(&queue->lock);
}

bool queue_mark_relaying(
	struct queue *queue, const struct queue_message *message, GError **error)
{
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_RELAYING;
	operation->message = (struct queue_message *)message; /* only read */
	g_atomic_ref_count_init(&operation->holders);
	g_atomic_ref_count_inc(&operation->holders);
	g_cond_init(&operation->ended);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_NOW);
	while (!operation->has_ended)
		g_cond_wait(&operation->ended, &queue->lock);
	g_mutex_unlock(&queue->lock);
	GError *failure = g_steal_pointer(&operation->error);
	writer_release(operation);
	if (!failure)
		return true;
	g_propagate_error(error, failure);
	return false;
}

/* What the states imply, whatever the caller left in the fields. */
static void complete_fields(struct queue_message *message)
{
	switch (message->state) {
	case QUEUE_SENT:
	case QUEUE_BOUNCED:
	case QUEUE_DEAD:
		if (message->finished_ms == 0)
			message->finished_ms = g_get_real_time() / 1000;
		return;
	case QUEUE_RELAYING: /* given back in the middle: nobody knows */
		message->state = QUEUE_UNCERTAIN;
		message->uncertain = true;
		break;
	case QUEUE_UNCERTAIN:
		message->uncertain = true;
		break;
	case QUEUE_HELD:
		message->next_attempt_ms = STORE_NEVER_MS;
		break;
	case QUEUE_RECEIVED:
	case QUEUE_DEFERRED:
	case QUEUE_STATES:
		break;
	}
	message->finished_ms = 0;
}

void queue_finish(struct queue *queue, struct queue_message *message)
{
	struct operation *operation = g_new0(struct operation, 1);
	operation->kind = OPERATION_FINISH;
	operation->message = message;
	complete_fields(message);
	g_mutex_lock(&queue->lock);
	writer_add(queue, operation, URGENCY_SOON);
	g_mutex_unlock(&queue->lock);
}

void queue_statistics(
	struct queue *queue, size_t counts[QUEUE_STATES], int64_t *oldest_ms)
{
	g_mutex_lock(&queue->lock);
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		counts[i] = (size_t)MAX(queue->totals.messages[i], 0);
	*oldest_ms = queue->oldest_ms;
	g_mutex_unlock(&queue->lock);
}

void queue_stop(struct queue *queue)
{
	g_mutex_lock(&queue->lock);
	queue->stopped = true;
	g_cond_broadcast(&queue->ready);
	g_mutex_unlock(&queue->lock);
}
