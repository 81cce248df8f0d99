/* What a person's command about the queue begins with. Leaves what it is about to the
 * verbs. */
#include "gateway/queue/visit.h"

#include "gateway/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define PAGE_MESSAGES                                                                    \
	200 /* read, or changed in one transaction: a gateway waits for it */
#define NOTICED_US      (2 * G_TIME_SPAN_SECOND)
#define NOTICED_POLL_US (10 * G_TIME_SPAN_MILLISECOND)
#define PREFIX_SEEN     2 /* more are not needed to know that a prefix is not unique */

bool visit_has(const struct visit *visit, enum option option)
{
	return visit->options.given & option;
}

int visit_misused(const struct visit *visit, const char *what, const char *argument)
{
	fprintf(stderr, "%s: %s%s%s\n%s", visit->who, what, argument ? ": " : "",
		argument ? argument : "", visit->usage);
	return EX_USAGE;
}

static int run_verb(
	struct visit *visit, const struct visit_verb *verb, int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	visit->verb = verb->name;
	visit->now_ms = g_get_real_time() / 1000;
	int code = options_parse(&visit->options, verb->taken, argc, argv, &error)
			   ? verb->run(visit)
			   : visit_misused(visit, error->message, NULL);
	store_close(&visit->store);
	options_clear(&visit->options);
	return code;
}

int visit_run(struct visit *visit, const struct visit_verb *verbs, size_t n_verbs,
	int argc, char **argv)
{
	if (argc < 1)
		return visit_misused(visit, "a verb is missing", NULL);
	if (options_ask_for_help(argc, argv)) {
		fputs(visit->usage, stdout);
		return EX_OK;
	}
	for (size_t i = 0; i < n_verbs; i++) {
		if (strcmp(argv[0], verbs[i].name) == 0)
			return run_verb(visit, &verbs[i], argc, argv);
	}
	return visit_misused(visit, "not a verb", argv[0]);
}

int visit_code(const GError *error)
{
	bool passes =
		error->code == GATEWAY_ERROR_RETRY || error->code == GATEWAY_ERROR_FULL;
	return passes ? EX_TEMPFAIL : EX_DATAERR;
}

int visit_report(const struct visit *visit, const GError *error)
{
	fprintf(stderr, "%s: %s\n", visit->who, error->message);
	return visit_code(error);
}

void visit_refuse(struct visit *visit, const char *id, int code, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", visit->who, id, why);
	visit->code = code;
}

void visit_print(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
	putchar('\n');
}

static int open_record(struct visit *visit, bool read_only)
{
	const char *directory = visit->conf->queue.directory;
	g_autofree char *path = g_build_filename(directory, "queue.db", NULL);
	g_autoptr(GError) error = NULL;
	if (access(path, read_only ? R_OK : R_OK | W_OK) < 0) {
		if (errno == ENOENT || errno == ENOTDIR) {
			fprintf(stderr,
				"%s: no queue in %s: the gateway has not run yet, or "
				"queue.directory names another place\n",
				visit->who, directory);
			return EX_NOINPUT;
		}
		fprintf(stderr, "%s: %s: %s: run this as the gateway's user\n",
			visit->who, path, g_strerror(errno));
		return EX_NOPERM;
	}
	visit->store = store_open_visitor(path, read_only, &error);
	return visit->store ? EX_OK : visit_report(visit, error);
}

/* --- messages --- */

struct matches {
	unsigned n;
	char id[MESSAGE_ID_BYTES];
};

static bool see_match(void *context, const struct store_glance *glance)
{
	struct matches *matches = context;
	g_strlcpy(matches->id, glance->id, sizeof matches->id);
	return ++matches->n < PREFIX_SEEN;
}

static bool may_begin_id(const char *text)
{
	size_t n = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz");
	return n > 0 && n < MESSAGE_ID_BYTES && text[n] == '\0';
}

static int resolve(
	const struct visit *visit, const char *given, char id[MESSAGE_ID_BYTES])
{
	struct matches matches = { 0 };
	g_autofree char *prefix = g_ascii_strdown(given, -1);
	g_autoptr(GError) error = NULL;
	if (!may_begin_id(prefix))
		return visit_misused(visit, "not an ID", given);
	if (!store_scan_prefix(visit->store, prefix, see_match, &matches, &error))
		return visit_report(visit, error);
	if (matches.n == 1) {
		memcpy(id, matches.id, sizeof matches.id);
		return EX_OK;
	}
	fprintf(stderr, "%s: %s: %s\n", visit->who, given,
		matches.n == 0 ? "no such message" : "more than one message begins so");
	return matches.n == 0 ? EX_NOINPUT : EX_USAGE;
}

int visit_check_selection(const struct visit *visit)
{
	if (visit->options.n_words > 0 ||
		(visit->options.given & (OPTION_STATE | OPTION_FILTERS | OPTION_ALL)))
		return EX_OK;
	return visit_misused(visit,
		"which messages? IDs, a filter such as --state or --sender, or --all",
		NULL);
}

/* One that is named twice is gone through once. */
static void add_id(GArray *ids, const char id[MESSAGE_ID_BYTES])
{
	for (guint i = 0; i < ids->len; i++) {
		if (strcmp(visit_id(ids, i), id) == 0)
			return;
	}
	g_array_append_vals(ids, id, 1);
}

static int resolve_words(struct visit *visit)
{
	for (int i = 0; i < visit->options.n_words; i++) {
		char id[MESSAGE_ID_BYTES];
		int code = resolve(visit, visit->options.words[i], id);
		if (code != EX_OK)
			return code;
		add_id(visit->options.selection.ids, id);
	}
	return EX_OK;
}

int visit_select(struct visit *visit, bool read_only, unsigned states)
{
	struct selection *selection = &visit->options.selection;
	const unsigned filters = OPTION_STATE | OPTION_FILTERS | OPTION_ALL |
				 OPTION_LIMIT | OPTION_EXPIRING;
	if (visit->options.n_words > 0 && (visit->options.given & filters))
		return visit_misused(visit, "either IDs or filters", NULL);
	int code = open_record(visit, read_only);
	if (code == EX_OK)
		code = resolve_words(visit);
	if (!selection->states)
		selection->states = states ? states : STATES_ALL;
	return code;
}

bool visit_is_named(const struct visit *visit)
{
	return visit->options.selection.ids->len > 0;
}

const char *visit_id(const GArray *ids, guint i)
{
	return ids->data + (size_t)i * MESSAGE_ID_BYTES;
}

int visit_each(const struct visit *visit, bool bounded, visit_see_ids see, void *context)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
	struct selection_walk *walk = selection_walk_new(
		visit->store, &visit->options.selection, visit->now_ms, bounded, &error);
	int code = walk ? EX_OK : visit_report(visit, error);
	while (code == EX_OK) {
		if (!selection_walk_next(walk, ids, PAGE_MESSAGES, &error))
			code = visit_report(visit, error);
		else if (ids->len == 0)
			break;
		else
			code = see(context, ids);
	}
	selection_walk_free(&walk);
	return code;
}

char *visit_spool_path(const struct visit *visit, const char *id)
{
	g_autofree char *spool =
		g_build_filename(visit->conf->queue.directory, "incoming", NULL);
	return spool_path(spool, id);
}

/* The gateway's writer touches the lock file when it has noticed. */
void visit_wait_noticed(const struct visit *visit)
{
	struct timespec committed;
	struct stat lock;
	g_autofree char *path =
		g_build_filename(visit->conf->queue.directory, "lock", NULL);
	clock_gettime(CLOCK_REALTIME_COARSE, &committed); /* that of the file's times */
	int64_t until_us = g_get_monotonic_time() + NOTICED_US;
	while (visit_gateway_runs(visit) && stat(path, &lock) == 0 &&
		(lock.st_mtim.tv_sec < committed.tv_sec ||
			(lock.st_mtim.tv_sec == committed.tv_sec &&
				lock.st_mtim.tv_nsec <= committed.tv_nsec)) &&
		g_get_monotonic_time() < until_us)
		g_usleep(NOTICED_POLL_US);
}

static bool is_locked(const struct visit *visit, const char *name)
{
	g_autofree char *path =
		g_build_filename(visit->conf->queue.directory, name, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	bool locked = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

bool visit_gateway_runs(const struct visit *visit)
{
	return is_locked(visit, "lock") || is_locked(visit, "incoming");
}
