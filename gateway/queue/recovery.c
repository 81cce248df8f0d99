/* Start after a crash: files without rows, rows without files, flights that were cut.
 * Leaves the database's own recovery to SQLite. */
#include "gateway/queue/recovery.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP      250 /* messages or files looked at in one step */
#define SPREAD_MS 10  /* between messages that become due: a deep queue is no herd */

struct recovery {
	struct store *store; /* borrowed */
	int spool_fd;        /* borrowed */
	recovery_is_in_flight is_in_flight;
	void *context;
	char began[MESSAGE_ID_BYTES]; /* IDs from here on are of this process */
	char after[MESSAGE_ID_BYTES]; /* the last message seen */
	bool messages_seen;
	bool of_plans;
	int64_t longest_wait_ms;
	int64_t latest_ms; /* what is planned for later was planned by a wrong clock */
	int64_t made_due;  /* of that */
	DIR *spool;        /* NULL: not begun */
	DIR *folder;       /* in it; NULL: none open */
	char folder_name[SPOOL_FOLDER_BYTES];
};

struct recovery *recovery_new(struct store *store, int spool_fd, int64_t longest_wait_ms,
	recovery_is_in_flight is_in_flight, void *context)
{
	struct recovery *recovery = g_new0(struct recovery, 1);
	recovery->store = store;
	recovery->spool_fd = spool_fd;
	recovery->is_in_flight = is_in_flight;
	recovery->context = context;
	recovery->longest_wait_ms = longest_wait_ms;
	recovery->latest_ms = g_get_real_time() / 1000 + longest_wait_ms;
	message_id_new(recovery->began);
	/* The first ID of this very millisecond. */
	memset(recovery->began + 10, '0', MESSAGE_ID_BYTES - 11);
	return recovery;
}

struct recovery *recovery_new_of_plans(struct store *store, int64_t longest_wait_ms,
	recovery_is_in_flight is_in_flight, void *context)
{
	struct recovery *recovery =
		recovery_new(store, -1, longest_wait_ms, is_in_flight, context);
	recovery->of_plans = true;
	return recovery;
}

void recovery_free(struct recovery **recovery)
{
	if (!*recovery)
		return;
	if ((*recovery)->folder)
		closedir((*recovery)->folder);
	if ((*recovery)->spool)
		closedir((*recovery)->spool);
	g_clear_pointer(recovery, g_free);
}

/* --- messages --- */

struct change {
	enum queue_state from, to;
	int64_t next_attempt_ms;
	int64_t finished_ms;
	const char *reason;
};

static bool change_one(struct store *store, const char *id, const struct change *change,
	struct store_totals *changes, GError **error)
{
	if (!store_set_state(store, id, change->to, change->next_attempt_ms,
		    change->finished_ms, change->reason, error) ||
		!store_add_event(store, id, change->to, change->reason, error))
		return false;
	changes->messages[change->from]--;
	changes->messages[change->to]++;
	log_warning("queue.recovered", LOG_TEXT("id", id),
		LOG_TEXT("state", queue_state_name(change->to)),
		LOG_TEXT("reason", change->reason));
	return true;
}

bool recovery_end_flight(struct store *store, const char *id, enum queue_state from,
	struct store_totals *changes, GError **error)
{
	bool uncertain = false;
	if (from == QUEUE_RELAYING && !store_end_cut(store, id, &uncertain, error))
		return false;
	const struct change change = {
		.from = from,
		.to = uncertain ? QUEUE_UNCERTAIN : QUEUE_DEFERRED,
		.next_attempt_ms = g_get_real_time() / 1000,
		.reason = uncertain ? "the gateway ended before the relay's reply came"
				    : "the gateway ended in the middle of a delivery",
	};
	return store_keep_journal(store, id, error) &&
	       change_one(store, id, &change, changes, error);
}

static bool kill_fileless(struct store *store, const char *id, enum queue_state from,
	struct store_totals *changes, GError **error)
{
	const struct change change = {
		.from = from,
		.to = QUEUE_DEAD,
		.next_attempt_ms = STORE_NEVER_MS,
		.finished_ms = g_get_real_time() / 1000,
		.reason = "its spool file is missing",
	};
	return change_one(store, id, &change, changes, error) &&
	       store_end_recipients(store, id, error);
}

typedef bool (*mend_function)(struct store *store, const char *id, enum queue_state state,
	struct store_totals *changes, GError **error);

/* What a step is to change. */
struct finding {
	char id[MESSAGE_ID_BYTES];
	enum queue_state state;
	mend_function mend; /* NULL: it waits as before, but not as long */
};

struct findings {
	struct recovery *recovery;
	unsigned looked_at;
	unsigned n;
	struct finding list[STEP];
};

static bool was_cut(enum queue_state state)
{
	return state == QUEUE_RELAYING || state == QUEUE_REWRITING ||
	       state == QUEUE_UPLOADING;
}

/* Whether something is wrong with that message, and how to mend it. Held ones wait for
 * something else than a time. */
static bool find_fault(const struct recovery *recovery, const struct store_glance *glance,
	mend_function *mend)
{
	if (!recovery->of_plans && !spool_exists(recovery->spool_fd, glance->id))
		*mend = kill_fileless;
	else if (!recovery->of_plans && was_cut(glance->state))
		*mend = recovery_end_flight;
	return *mend || (glance->state != QUEUE_HELD &&
				glance->next_attempt_ms > recovery->latest_ms);
}

static bool see_unfinished(void *context, const struct store_glance *glance)
{
	struct findings *findings = context;
	struct recovery *recovery = findings->recovery;
	g_strlcpy(recovery->after, glance->id, sizeof recovery->after);
	struct finding finding = { .state = glance->state };
	if (find_fault(recovery, glance, &finding.mend) &&
		!recovery->is_in_flight(recovery->context, glance->id)) {
		g_strlcpy(finding.id, glance->id, sizeof finding.id);
		findings->list[findings->n++] = finding;
	}
	return ++findings->looked_at < STEP;
}

static bool make_due(
	struct recovery *recovery, const struct finding *finding, GError **error)
{
	int64_t later_ms = recovery->made_due++ * SPREAD_MS % recovery->longest_wait_ms;
	return store_set_state(recovery->store, finding->id, finding->state,
		g_get_real_time() / 1000 + later_ms, 0, NULL, error);
}

static bool mend_messages(struct recovery *recovery, const struct findings *findings,
	struct store_totals *changes, GError **error)
{
	struct store *store = recovery->store;
	struct store_totals mine = { 0 };
	if (findings->n == 0)
		return true;
	bool ok = store_begin(store, error);
	for (unsigned i = 0; ok && i < findings->n; i++) {
		const struct finding *finding = &findings->list[i];
		ok = finding->mend ? finding->mend(store, finding->id, finding->state,
					     &mine, error)
				   : make_due(recovery, finding, error);
	}
	ok = ok && store_add_totals(store, &mine, error) && store_commit(store, error);
	if (!ok) {
		store_rollback(store);
		return false;
	}
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		changes->messages[i] += mine.messages[i];
	return true;
}

static bool see_messages(
	struct recovery *recovery, struct store_totals *changes, GError **error)
{
	g_autofree struct findings *findings = g_new0(struct findings, 1);
	char before[MESSAGE_ID_BYTES];
	memcpy(before, recovery->after, sizeof before);
	findings->recovery = recovery;
	if (!store_scan_unfinished(
		    recovery->store, before, see_unfinished, findings, error) ||
		!mend_messages(recovery, findings, changes, error)) {
		memcpy(recovery->after, before, sizeof before);
		return false;
	}
	recovery->messages_seen = findings->looked_at < STEP;
	return true;
}

/* --- files --- */

static DIR *open_directory(int at_fd, const char *name, GError **error)
{
	int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	if (directory)
		return directory;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"the spool directory cannot be read: %s", g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* Deletes the file if it belongs to no message. */
static bool judge_file(const struct recovery *recovery, const char *id, GError **error)
{
	bool found = false;
	enum queue_state state = QUEUE_HELD;
	if (strcmp(id, recovery->began) >= 0 ||
		recovery->is_in_flight(recovery->context, id))
		return true;
	if (!store_find(recovery->store, id, &found, &state, error))
		return false;
	if (found && state != QUEUE_SENT)
		return true;
	spool_remove(recovery->spool_fd, id);
	log_info("queue.orphan_removed", LOG_TEXT("id", id),
		LOG_TEXT("reason",
			found ? "its message was sent" : "it was never acknowledged"));
	return true;
}

/* Looks at one entry; *over: there was none left. */
static bool judge_entry(struct recovery *recovery, bool *over, GError **error)
{
	const struct dirent *entry =
		readdir(recovery->folder ? recovery->folder : recovery->spool);
	*over = !entry && !recovery->folder;
	if (!entry && recovery->folder) {
		closedir(g_steal_pointer(&recovery->folder));
		/* Those that sessions may use now are the writer's. */
		if (strncmp(recovery->folder_name, recovery->began,
			    SPOOL_FOLDER_BYTES - 1) < 0)
			unlinkat(recovery->spool_fd, recovery->folder_name,
				AT_REMOVEDIR); /* only if it is empty */
		return true;
	}
	if (!entry)
		return true;
	if (!recovery->folder && spool_folder_is_valid(entry->d_name)) {
		memcpy(recovery->folder_name, entry->d_name, SPOOL_FOLDER_BYTES);
		/* One that cannot be read is as good as one that went meanwhile. */
		recovery->folder =
			open_directory(recovery->spool_fd, recovery->folder_name, NULL);
		return true;
	}
	return !message_id_is_valid(entry->d_name) /* not ours to delete */ ||
	       judge_file(recovery, entry->d_name, error);
}

static bool judge_files(struct recovery *recovery, bool *over, GError **error)
{
	if (!recovery->spool)
		recovery->spool = open_directory(recovery->spool_fd, ".", error);
	if (!recovery->spool)
		return false;
	for (unsigned i = 0; i < STEP && !*over; i++) {
		if (!judge_entry(recovery, over, error))
			return false;
	}
	return true;
}

bool recovery_step(struct recovery *recovery, bool *over, struct store_totals *changes,
	GError **error)
{
	*over = recovery->of_plans && recovery->messages_seen;
	if (*over)
		return true;
	return recovery->messages_seen ? judge_files(recovery, over, error)
				       : see_messages(recovery, changes, error);
}

/* --- before all --- */

/* Up to most: what is over need not be known. */
static size_t count_messages(DIR *directory, size_t most)
{
	const struct dirent *entry;
	size_t n = 0;
	while (n < most && (entry = readdir(directory)) != NULL)
		n += message_id_is_valid(entry->d_name);
	return n;
}

static bool count_files(int spool_fd, size_t most, size_t *n, GError **error)
{
	DIR *spool = open_directory(spool_fd, ".", error);
	if (!spool)
		return false;
	*n = count_messages(spool, most);
	rewinddir(spool);
	const struct dirent *entry;
	while (*n < most && (entry = readdir(spool)) != NULL) {
		DIR *folder = spool_folder_is_valid(entry->d_name)
				      ? open_directory(spool_fd, entry->d_name, NULL)
				      : NULL;
		if (!folder)
			continue;
		*n += count_messages(folder, most - *n);
		closedir(folder);
	}
	closedir(spool);
	return true;
}

bool recovery_check_record(const char *database, int spool_fd, GError **error)
{
	struct stat st;
	size_t n = 0;
	if (stat(database, &st) == 0 && st.st_size > 0)
		return true;
	if (!count_files(spool_fd, SIZE_MAX, &n, error))
		return false;
	if (n > 0)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s is missing or empty, but %" G_GSIZE_FORMAT
			" message%s in incoming beside it: put the database back, or "
			"move the messages elsewhere to begin anew",
			database, n, n == 1 ? " lies" : "s lie");
	return n == 0;
}

/* Which directory was the spool directory last. */
#define PLACE_NOTE "spool"

static void see_place(void *context, const char *name, const char *text)
{
	char **known = context;
	if (!strcmp(name, PLACE_NOTE))
		*known = g_strdup(text);
}

static bool put_place(struct store *store, const char *place, GError **error)
{
	if (store_begin(store, error) &&
		store_put_note(store, PLACE_NOTE, place, error) &&
		store_commit(store, error))
		return true;
	store_rollback(store);
	return false;
}

static bool check_that_some_wait_here(
	struct store *store, int spool_fd, const char *directory, GError **error)
{
	struct store_totals totals;
	size_t n_files = 0;
	int64_t n_waiting = 0;
	if (!store_totals(store, &totals, error) ||
		!count_files(spool_fd, 1, &n_files, error))
		return false;
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		n_waiting += queue_state_is_final(i) ? 0 : totals.messages[i];
	if (n_files > 0 || n_waiting <= 0)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"%s holds no message, but %" G_GINT64_FORMAT " %s for delivery: mount or "
		"put back what belongs there, or give up what is lost with stowage queue "
		"delete",
		directory, n_waiting, n_waiting == 1 ? "waits" : "wait");
	return false;
}

bool recovery_check_spool(
	struct store *store, int spool_fd, const char *directory, GError **error)
{
	struct stat st;
	g_autofree char *known = NULL;
	if (fstat(spool_fd, &st) < 0) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"%s: cannot be looked at: %s", directory, g_strerror(errno));
		return false;
	}
	if (!store_scan_notes(store, see_place, &known, error))
		return false;
	g_autofree char *place = g_strdup_printf("%" PRIuMAX, (uintmax_t)st.st_ino);
	return g_strcmp0(place, known) == 0 ||
	       (check_that_some_wait_here(store, spool_fd, directory, error) &&
		       put_place(store, place, error));
}
