/* Start after a crash: files without rows, rows without files, flights that were cut.
 * Leaves the database's own recovery to SQLite. */
#include "gateway/queue/recovery.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 4096 /* IDs held in memory at a time */

struct message_ids {
	size_t n;
	char (*ids)[MESSAGE_ID_BYTES];
	int spool_fd; /* for see_missing() */
};

static bool see_any(void *context, const struct store_glance *glance)
{
	struct message_ids *list = context;
	g_strlcpy(list->ids[list->n++], glance->id, MESSAGE_ID_BYTES);
	return list->n < CHUNK;
}

static bool see_missing(void *context, const struct store_glance *glance)
{
	const struct message_ids *list = context;
	if (faccessat(list->spool_fd, glance->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		errno != ENOENT)
		return true;
	return see_any(context, glance);
}

struct change {
	enum queue_state to;
	int64_t next_attempt_ms;
	int64_t finished_ms;
	const char *reason;
};

static bool change_one(
	struct store *store, const char *id, const struct change *change, GError **error)
{
	bool found = false;
	enum queue_state from = QUEUE_HELD;
	if (!store_find(store, id, &found, &from, error) || !found)
		return found;
	struct store_totals changes = { 0 };
	changes.messages[from]--;
	changes.messages[change->to]++;
	return store_set_state(store, id, change->to, change->next_attempt_ms,
		       change->finished_ms, change->reason, error) &&
	       store_add_totals(store, &changes, error);
}

static bool change_all(struct store *store, const struct message_ids *list,
	const struct change *change, GError **error)
{
	if (list->n == 0)
		return true;
	bool ok = store_begin(store, error);
	for (size_t i = 0; ok && i < list->n; i++)
		ok = change_one(store, list->ids[i], change, error);
	ok = ok && store_commit(store, error);
	if (!ok) {
		store_rollback(store);
		return false;
	}
	for (size_t i = 0; i < list->n; i++)
		log_warning("queue.recovered", LOG_TEXT("id", list->ids[i]),
			LOG_TEXT("state", queue_state_name(change->to)),
			LOG_TEXT("reason", change->reason));
	return true;
}

static bool end_cut_flights(struct store *store, struct message_ids *list, GError **error)
{
	struct store_totals totals;
	if (!store_totals(store, &totals, error))
		return false;
	if (totals.messages[QUEUE_RELAYING] <= 0)
		return true; /* spares the walk over a long queue */
	const struct change change = {
		.to = QUEUE_UNCERTAIN,
		.next_attempt_ms = g_get_real_time() / 1000,
		.reason = "the gateway ended before the relay's reply came",
	};
	do {
		list->n = 0;
		if (!store_scan_state(store, QUEUE_RELAYING, see_any, list, error) ||
			!change_all(store, list, &change, error))
			return false;
	} while (list->n == CHUNK);
	return true;
}

static bool kill_fileless(struct store *store, struct message_ids *list, GError **error)
{
	const struct change change = {
		.to = QUEUE_DEAD,
		.next_attempt_ms = STORE_NEVER_MS,
		.finished_ms = g_get_real_time() / 1000,
		.reason = "its spool file is missing",
	};
	do {
		list->n = 0;
		if (!store_scan_state(store, QUEUE_STATES, see_missing, list, error) ||
			!change_all(store, list, &change, error))
			return false;
	} while (list->n == CHUNK);
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Deletes those files that belong to no message; *kept counts
 * those of unfinished ones. */
static bool judge_files(
	struct store *store, struct message_ids *list, int64_t *kept, GError **error)
{
	/* In the order of the table, whose pages are then read once each. */
	qsort(list->ids, list->n, sizeof *list->ids, compare_ids);
	for (size_t i = 0; i < list->n; i++) {
		bool found = false;
		enum queue_state state = QUEUE_HELD;
		if (!store_find(store, list->ids[i], &found, &state, error))
			return false;
		if (!found || state == QUEUE_SENT) {
			unlinkat(list->spool_fd, list->ids[i], 0);
			log_info("queue.orphan_removed", LOG_TEXT("id", list->ids[i]),
				LOG_TEXT("reason", found ? "its message was sent"
							 : "it was never acknowledged"));
		} else if (state != QUEUE_DEAD && state != QUEUE_BOUNCED) {
			++*kept;
		}
	}
	list->n = 0;
	return true;
}

static bool judge_directory(struct store *store, struct message_ids *list, DIR *directory,
	int64_t *kept, GError **error)
{
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		if (!message_id_is_valid(entry->d_name))
			continue; /* not ours to delete */
		g_strlcpy(list->ids[list->n++], entry->d_name, MESSAGE_ID_BYTES);
		if (list->n == CHUNK && !judge_files(store, list, kept, error))
			return false;
	}
	return judge_files(store, list, kept, error);
}

static DIR *open_spool(int spool_fd, GError **error)
{
	int fd = openat(spool_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	if (!directory) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"the spool directory cannot be read: %s", g_strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return directory;
}

bool recovery_check_record(const char *database, int spool_fd, GError **error)
{
	struct stat st;
	if (stat(database, &st) == 0 && st.st_size > 0)
		return true;
	DIR *directory = open_spool(spool_fd, error);
	if (!directory)
		return false;
	const struct dirent *entry;
	size_t n = 0;
	while ((entry = readdir(directory)) != NULL)
		n += message_id_is_valid(entry->d_name);
	closedir(directory);
	if (n > 0)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s is missing or empty, but %" G_GSIZE_FORMAT
			" message%s in incoming beside it: put the database back, or "
			"move the messages elsewhere to begin anew",
			database, n, n == 1 ? " lies" : "s lie");
	return n == 0;
}

static bool remove_orphans(
	struct store *store, struct message_ids *list, int64_t *kept, GError **error)
{
	DIR *directory = open_spool(list->spool_fd, error);
	if (!directory)
		return false;
	list->n = 0;
	bool ok = judge_directory(store, list, directory, kept, error);
	closedir(directory);
	return ok;
}

bool recovery_run(struct store *store, int spool_fd, GError **error)
{
	struct message_ids list = { .spool_fd = spool_fd };
	list.ids = g_malloc_n(CHUNK, MESSAGE_ID_BYTES);
	int64_t kept = 0, unfinished = 0;
	struct store_totals totals;
	bool ok = end_cut_flights(store, &list, error) &&
		  remove_orphans(store, &list, &kept, error) &&
		  store_totals(store, &totals, error);
	for (unsigned i = 0; ok && i < QUEUE_SENT; i++)
		unfinished += totals.messages[i];
	/* As many files as unfinished messages: none is missing, no
	 * need to look for each. */
	if (ok && kept != unfinished)
		ok = kill_fileless(store, &list, error);
	g_free(list.ids);
	return ok;
}
