/* Opens and ends the queue: directory, lock, database, what has to be done before the
 * first message. What happens to a message is passage's. */
#include "gateway/queue/queue.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/queue/holds.h"
#include "gateway/queue/recovery.h"
#include "gateway/queue/spooling.h"
#include "gateway/queue/writer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Recovery of a long queue goes on in the background after that. */
#define RECOVERY_US (250 * G_TIME_SPAN_MILLISECOND)

/* A command that asks whether a gateway runs holds the lock for a moment. */
#define LOCK_TRIES    10
#define LOCK_PAUSE_US (20 * G_TIME_SPAN_MILLISECOND)

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

/* False with errno. */
static bool lock_soon(int fd)
{
	for (unsigned i = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOCK_TRIES)
			return false;
		g_usleep(LOCK_PAUSE_US);
	}
	return true;
}

/* A person may remove the file lock; the folder of the messages stays.
 * False with errno. */
static bool lock_both(int fd, int spool_fd)
{
	return lock_soon(fd) && (lock_soon(spool_fd) || errno != EWOULDBLOCK);
}

/* A descriptor that holds the queue's lock, with our process id written into the file. */
static int take_lock(
	int directory_fd, int spool_fd, const char *directory, GError **error)
{
	int fd = openat(
		directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		mend(error, directory, "the file lock cannot be opened");
		return -1;
	}
	if (lock_both(fd, spool_fd)) {
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
	queue->spool_fd = open_directory(queue->spool_directory, 077, error);
	if (queue->spool_fd >= 0)
		queue->lock_fd =
			take_lock(directory_fd, queue->spool_fd, queue->directory, error);
	if (queue->lock_fd >= 0) {
		queue->folders = folders_new(queue->spool_fd, queue->spool_directory);
		g_autofree char *path =
			g_build_filename(queue->directory, "queue.db", NULL);
		if (recovery_check_record(path, queue->spool_fd, error))
			queue->store = store_open_owner(path, error);
	}
	bool ok = queue->store && recovery_check_spool(queue->store, queue->spool_fd,
					  queue->spool_directory, error);
	if (ok && fsync(directory_fd) < 0) {
		mend(error, queue->directory, "cannot be synced to the disk");
		ok = false;
	}
	close(directory_fd);
	return ok;
}

/* A queue of usual length is in order before anything is accepted. */
static bool begin_recovery(struct queue *queue, GError **error)
{
	int64_t until_us = g_get_monotonic_time() + RECOVERY_US;
	bool over = false;
	/* Recorded: the totals are read afterwards. */
	struct store_totals changes = { 0 };
	queue->recovery = recovery_new(queue->store, queue->spool_fd,
		writer_longest_wait_ms(queue), writer_is_in_flight, queue);
	while (!over && g_get_monotonic_time() < until_us) {
		if (!recovery_step(queue->recovery, &over, &changes, error))
			return false;
	}
	if (over)
		recovery_free(&queue->recovery);
	return true;
}

static void see_note(void *context, const char *name, const char *text)
{
	g_hash_table_insert(context, g_strdup(name), g_strdup(text));
}

static bool read_notes(struct queue *queue, GError **error)
{
	if (!store_scan_notes(queue->store, see_note, queue->notes, error))
		return false;
	clock_recall(&queue->clock, g_hash_table_lookup(queue->notes, WRITER_CLOCK_NOTE));
	return true;
}

static bool open_queue(struct queue *queue, GError **error)
{
	return open_files(queue, error) && begin_recovery(queue, error) &&
	       store_totals(queue->store, &queue->totals, error) &&
	       store_oldest(queue->store, &queue->oldest_ms, error) &&
	       store_version(queue->store, &queue->version, error) &&
	       read_notes(queue, error) && holds_load(queue, error);
}

static void flight_free(void *data)
{
	struct flight *flight = data;
	g_free(flight->hold);
	g_free(flight);
}

static struct queue *make_queue(const struct conf_queue *settings)
{
	struct queue *queue = g_new0(struct queue, 1);
	queue->settings = *settings;
	queue->directory = g_strdup(settings->directory);
	queue->settings.directory = queue->directory;
	queue->spool_directory = g_build_filename(queue->directory, "incoming", NULL);
	queue->lock_fd = -1;
	queue->spool_fd = -1;
	queue->due_us = WRITER_NEVER_US;
	clock_init(&queue->clock, g_get_real_time(), clock_boot_us());
	queue->notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	queue->releases = g_ptr_array_new_with_free_func(g_free);
	queue->spooler = spooling_new(queue);
	queue->flights =
		g_hash_table_new_full(g_str_hash, g_str_equal, NULL, flight_free);
	g_mutex_init(&queue->lock);
	g_mutex_init(&queue->room_lock);
	g_cond_init(&queue->work);
	g_cond_init(&queue->ready);
	g_cond_init(&queue->alarm);
	return queue;
}

struct queue *queue_new(const struct conf_queue *settings, GError **error)
{
	struct queue *queue = make_queue(settings);
	if (open_queue(queue, error))
		queue->thread = g_thread_new("queue", writer_run, queue);
	else
		queue_free(&queue);
	return queue;
}

int64_t queue_lifetime_end_ms(struct queue *queue, const struct queue_message *message)
{
	int64_t began_ms = MAX(message->received_ms, message->retried_ms);
	g_mutex_lock(&queue->lock);
	writer_watch_clock(queue);
	int64_t lifetime_ms = (int64_t)queue->settings.lifetime_s * 1000 +
			      clock_leapt_ms(&queue->clock, began_ms);
	g_mutex_unlock(&queue->lock);
	return began_ms + lifetime_ms;
}

int64_t queue_leapt_ms(struct queue *queue, int64_t since_ms)
{
	g_mutex_lock(&queue->lock);
	writer_watch_clock(queue);
	int64_t leapt_ms = clock_leapt_ms(&queue->clock, since_ms);
	g_mutex_unlock(&queue->lock);
	return leapt_ms;
}

static void free_members(struct queue *q)
{
	lanes_clear(&q->lanes);
	recovery_free(&q->recovery);
	spooling_free(&q->spooler);
	folders_free(&q->folders);
	holds_free(&q->holds);
	store_close(&q->store);
	g_hash_table_unref(q->flights);
	g_hash_table_unref(q->notes);
	g_ptr_array_unref(q->releases);
	if (q->spool_fd >= 0)
		close(q->spool_fd);
	if (q->lock_fd >= 0)
		close(q->lock_fd);
	g_mutex_clear(&q->lock);
	g_mutex_clear(&q->room_lock);
	g_cond_clear(&q->work);
	g_cond_clear(&q->ready);
	g_cond_clear(&q->alarm);
	g_free(q->spool_directory);
	g_free(q->directory);
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
	free_members(q);
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
	queue->probe_all = true;
	queue->tick_wanted = true;
	writer_wake(queue);
	g_mutex_unlock(&queue->lock);
}

/* --- at large --- */

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
	g_cond_signal(&queue->alarm);
	queue->tick_wanted = true; /* what is in transit is given back */
	writer_wake(queue);
	g_mutex_unlock(&queue->lock);
}
