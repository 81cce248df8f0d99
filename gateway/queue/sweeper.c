/* Walks a directory store and deletes what is old and no longer linked. What an object's
 * file is called, and where, is s3's layout: DIR/objects/KEY. */
#include "gateway/queue/sweeper.h"

#include "gateway/log.h"
#include "gateway/queue/store.h"
#include "s3/s3.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASS_EVERY_S  3600
#define SLACK_S       3600 /* a large object takes a while from its file to its link */
#define DEPTH_MAX     40   /* of directories: PREFIX/YYYY/MM/DD/MESSAGE_ID */
#define RECORD_SUFFIX ".json"
#define BURST_FILES   256
#define BURST_REST_US 5000

struct sweeper {
	char *directory, *queue_directory;
	GThread *thread;
	GMutex lock;
	GCond changed;
	unsigned retention_s; /* under lock, as stopping is */
	bool stopping;
};

struct pass {
	struct sweeper *sweeper;
	int objects;     /* the directory of the objects, O_PATH */
	bool is_records; /* it walks what stands beside them */
	struct store *record;
	int64_t now_s, keep_s;
	GString *key;
	size_t seen, deleted;
};

static bool is_stopping(struct sweeper *sweeper)
{
	g_mutex_lock(&sweeper->lock);
	bool stopping = sweeper->stopping;
	g_mutex_unlock(&sweeper->lock);
	return stopping;
}

/* The key's last directory is named for the message. */
static char *message_of(const char *key)
{
	g_autofree char *parent = g_path_get_dirname(key);
	return g_path_get_basename(parent);
}

/* True also where the record cannot be read: what is in doubt is kept. */
static bool is_needed(struct pass *pass, const char *key)
{
	g_autofree char *id = message_of(key);
	struct queue_message *message = NULL;
	if (!message_id_is_valid(id))
		return false;
	if (!store_load(pass->record, id, &message, NULL))
		return true;
	if (!message)
		return false;
	bool needed = message->finished_ms == 0;
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *attachment =
			message->attachments->pdata[i];
		needed = needed || (!strcmp(attachment->key, key) &&
					   attachment->expires_at_s > pass->now_s);
	}
	queue_message_free(message);
	return needed;
}

/* What stands beside an object that never came: a crash, and the message was given up. */
static bool is_orphan(const struct pass *pass, const char *key)
{
	return faccessat(pass->objects, key, F_OK, AT_SYMLINK_NOFOLLOW) &&
	       errno == ENOENT;
}

static void look_at(struct pass *pass, const struct stat *file)
{
	g_autofree char *key = g_strdup(pass->key->str);
	g_autoptr(GError) error = NULL;
	if (++pass->seen % BURST_FILES == 0)
		g_usleep(BURST_REST_US);
	if (pass->is_records) {
		if (!g_str_has_suffix(key, RECORD_SUFFIX))
			return;
		key[strlen(key) - strlen(RECORD_SUFFIX)] = '\0';
		if (!is_orphan(pass, key))
			return;
	}
	if (file->st_mtim.tv_sec + pass->keep_s > pass->now_s || is_needed(pass, key))
		return;
	if (!s3_directory_delete(pass->sweeper->directory, key, &error)) {
		log_warning("object.kept", LOG_TEXT("key", key),
			LOG_TEXT("reason", error->message));
		return;
	}
	pass->deleted++;
	log_info("object.deleted", LOG_TEXT("key", key),
		LOG_TEXT("reason", pass->is_records ? "nothing was stored with it"
						    : "older than s3.retention"));
}

/* Takes fd. Recursion goes no deeper than depth. */
static void walk(struct pass *pass, int fd, unsigned depth)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	size_t key_bytes = pass->key->len;
	const struct dirent *entry;
	while ((entry = readdir(dir)) && !is_stopping(pass->sweeper)) {
		struct stat file;
		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &file,
						       AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		g_string_append_printf(
			pass->key, "%s%s", key_bytes ? "/" : "", entry->d_name);
		if (S_ISREG(file.st_mode))
			look_at(pass, &file);
		else if (S_ISDIR(file.st_mode) && depth > 0)
			walk(pass,
				openat(dirfd(dir), entry->d_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
				depth - 1);
		g_string_truncate(pass->key, key_bytes);
	}
	closedir(dir);
}

static void walk_both(struct pass *pass)
{
	const char *directory = pass->sweeper->directory;
	g_autofree char *objects = g_build_filename(directory, "objects", NULL);
	g_autofree char *records = g_build_filename(directory, "metadata", NULL);
	pass->objects = open(objects, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pass->objects < 0)
		return;
	walk(pass, open(objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC), DEPTH_MAX);
	pass->is_records = true;
	walk(pass, open(records, O_RDONLY | O_DIRECTORY | O_CLOEXEC), DEPTH_MAX);
	close(pass->objects);
}

size_t sweeper_pass(struct sweeper *sweeper, int64_t now_s)
{
	g_mutex_lock(&sweeper->lock);
	int64_t keep_s = (int64_t)sweeper->retention_s + SLACK_S;
	bool wanted = sweeper->retention_s != 0;
	g_mutex_unlock(&sweeper->lock);
	if (!wanted)
		return 0;
	g_autofree char *database =
		g_build_filename(sweeper->queue_directory, "queue.db", NULL);
	g_autoptr(GError) error = NULL;
	struct pass pass = { .sweeper = sweeper,
		.record = store_open_visitor(database, true, &error),
		.now_s = now_s,
		.keep_s = keep_s,
		.key = g_string_new(NULL) };
	if (pass.record)
		walk_both(&pass);
	else
		log_warning("objects.not_swept", LOG_TEXT("reason", error->message));
	store_close(&pass.record);
	g_string_free(pass.key, TRUE);
	return pass.deleted;
}

static void *run(void *context)
{
	struct sweeper *sweeper = context;
	while (!is_stopping(sweeper)) {
		sweeper_pass(sweeper, g_get_real_time() / G_USEC_PER_SEC);
		int64_t until_us =
			g_get_monotonic_time() + PASS_EVERY_S * G_TIME_SPAN_SECOND;
		g_mutex_lock(&sweeper->lock);
		while (!sweeper->stopping &&
			g_cond_wait_until(&sweeper->changed, &sweeper->lock, until_us))
			;
		g_mutex_unlock(&sweeper->lock);
	}
	return NULL;
}

struct sweeper *sweeper_new(
	const char *directory, const char *queue_directory, unsigned retention_s)
{
	struct sweeper *sweeper = g_new0(struct sweeper, 1);
	sweeper->directory = g_strdup(directory);
	sweeper->queue_directory = g_strdup(queue_directory);
	sweeper->retention_s = retention_s;
	g_mutex_init(&sweeper->lock);
	g_cond_init(&sweeper->changed);
	return sweeper;
}

bool sweeper_start(struct sweeper *sweeper, GError **error)
{
	sweeper->thread = g_thread_try_new("sweeper", run, sweeper, error);
	return sweeper->thread != NULL;
}

void sweeper_set_retention(struct sweeper *sweeper, unsigned retention_s)
{
	g_mutex_lock(&sweeper->lock);
	sweeper->retention_s = retention_s;
	g_mutex_unlock(&sweeper->lock);
}

void sweeper_free(struct sweeper **sweeper)
{
	struct sweeper *gone = g_steal_pointer(sweeper);
	if (!gone)
		return;
	g_mutex_lock(&gone->lock);
	gone->stopping = true;
	g_cond_signal(&gone->changed);
	g_mutex_unlock(&gone->lock);
	if (gone->thread)
		g_thread_join(gone->thread);
	g_mutex_clear(&gone->lock);
	g_cond_clear(&gone->changed);
	g_free(gone->directory);
	g_free(gone->queue_directory);
	g_free(gone);
}
