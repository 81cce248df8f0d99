/* Syncs of the spool's folders, shared by what arrives together, and removal
 * of those that became empty. */
#include "gateway/queue/folders.h"

#include "gateway/error.h"
#include "gateway/write.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE       "probe" /* no message's ID, and no folder's name */
#define IN_USE_US   (5 * G_TIME_SPAN_SECOND)
#define LEFT_MOST   10000 /* what is over goes with the next start */
#define LOOK_ALL_US (10 * G_TIME_SPAN_MINUTE)

struct folder {
	char name[SPOOL_FOLDER_BYTES];
	int64_t used_us; /* monotonic */
};

struct folders {
	int spool_fd; /* borrowed */
	char *directory;
	GHashTable *in_use; /* name to struct folder: their names are durable */
	gint failed;        /* atomic: a sync; what is durable is not known any more */
	int64_t look_all_us;
	GQueue left; /* of char *: IDs whose files could not be removed yet */
};

struct folders *folders_new(int spool_fd, const char *directory)
{
	struct folders *folders = g_new0(struct folders, 1);
	folders->spool_fd = spool_fd;
	folders->directory = g_strdup(directory);
	folders->in_use = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	folders->look_all_us = g_get_monotonic_time() + LOOK_ALL_US;
	return folders;
}

void folders_free(struct folders **folders)
{
	if (!*folders)
		return;
	g_hash_table_unref((*folders)->in_use);
	g_queue_clear_full(&(*folders)->left, g_free);
	g_free((*folders)->directory);
	g_clear_pointer(folders, g_free);
}

static bool fail(
	const struct folders *folders, const char *name, const char *what, GError **error)
{
	g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno),
		"%s%s%s: cannot %s: %s", folders->directory, *name ? "/" : "", name, what,
		g_strerror(errno));
	return false;
}

/* Its name may be new in the spool directory. */
static bool begin_use(struct folders *folders, const char *name, GError **error)
{
	if (fsync(folders->spool_fd) < 0)
		return fail(folders, "", "sync", error);
	struct folder *folder = g_new0(struct folder, 1);
	g_strlcpy(folder->name, name, sizeof folder->name);
	g_hash_table_insert(folders->in_use, folder->name, folder);
	return true;
}

int folders_open(struct folders *folders, const char *name, GError **error)
{
	if (g_atomic_int_compare_and_exchange(&folders->failed, TRUE, FALSE))
		g_hash_table_remove_all(folders->in_use);
	/* Anew each time: a sync tells each opened file of a failure once. */
	int fd = openat(
		folders->spool_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		fail(folders, name, "open", error);
		return -1;
	}
	struct folder *folder = g_hash_table_lookup(folders->in_use, name);
	if (!folder && begin_use(folders, name, error))
		folder = g_hash_table_lookup(folders->in_use, name);
	if (!folder) {
		close(fd);
		return -1;
	}
	folder->used_us = g_get_monotonic_time();
	return fd;
}

bool folders_sync(struct folders *folders, const char *name, int fd, GError **error)
{
	if (fsync(fd) == 0)
		return true;
	fail(folders, name, "sync", error);
	g_atomic_int_set(&folders->failed, TRUE);
	return false;
}

void folders_remove(struct folders *folders, const char *id)
{
	char name[SPOOL_FOLDER_BYTES];
	spool_folder(id, name);
	if (!spool_remove(folders->spool_fd, id) && folders->left.length < LEFT_MOST)
		g_queue_push_tail(&folders->left, g_strdup(id));
	if (!g_hash_table_contains(folders->in_use, name))
		unlinkat(folders->spool_fd, name, AT_REMOVEDIR); /* only if it is empty */
}

bool folders_are_in_place(const struct folders *folders, GError **error)
{
	struct stat opened, found;
	if (fstat(folders->spool_fd, &opened) == 0 &&
		stat(folders->directory, &found) == 0 && opened.st_dev == found.st_dev &&
		opened.st_ino == found.st_ino)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
		"%s: is another directory than when the gateway was started",
		folders->directory);
	return false;
}

bool folders_probe(const struct folders *folders, GError **error)
{
	int fd = openat(folders->spool_fd, PROBE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write_all(fd, PROBE, strlen(PROBE)) && fsync(fd) == 0;
	if (!ok)
		g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno),
			"%s: cannot write: %s", folders->directory, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	unlinkat(folders->spool_fd, PROBE, 0);
	return ok;
}

static gboolean leave(void *key, void *value, void *context)
{
	(void)key;
	const struct folder *folder = value;
	const struct folders *folders = context;
	if (g_get_monotonic_time() - folder->used_us < IN_USE_US)
		return FALSE;
	unlinkat(folders->spool_fd, folder->name, AT_REMOVEDIR);
	return TRUE;
}

/* Those of sessions that were cut off, with nothing of them submitted. */
static void look_at_all(const struct folders *folders)
{
	int fd = openat(folders->spool_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		if (spool_folder_is_valid(entry->d_name) &&
			!g_hash_table_contains(folders->in_use, entry->d_name))
			unlinkat(folders->spool_fd, entry->d_name, AT_REMOVEDIR);
	}
	closedir(directory);
}

void folders_tidy(struct folders *folders)
{
	for (guint n = folders->left.length; n > 0; n--) {
		g_autofree char *id = g_queue_pop_head(&folders->left);
		folders_remove(folders, id);
	}
	g_hash_table_foreach_remove(folders->in_use, leave, folders);
	int64_t now_us = g_get_monotonic_time();
	if (now_us < folders->look_all_us)
		return;
	folders->look_all_us = now_us + LOOK_ALL_US;
	look_at_all(folders);
}
