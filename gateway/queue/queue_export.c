/* Copies spool files out of the queue. Never writes over a file, never follows a link. */
#include "gateway/queue/queue_export.h"

#include "gateway/error.h"
#include "gateway/queue/queue_text.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

/* What is sent is gone; all else has its file. */
#define STATES_KEPT (STATES_ALL & ~STATES(QUEUE_SENT))

struct export
{
	struct visit *visit;
	uint64_t n_done;
};

/* --- one message --- */

static bool fail(const char *what, GError **error)
{
	g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno), "%s: %s", what,
		g_strerror(errno));
	return false;
}

/* What the octets do not say, in front of them. */
static bool write_envelope(int to, const struct queue_message *message, GError **error)
{
	g_autofree char *header = queue_text_envelope(message);
	return write_all(to, header, strlen(header)) || fail("cannot be written", error);
}

static bool copy_octets(int from, int to, GError **error)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	for (;;) {
		ssize_t n = read(from, block, BLOCK_BYTES);
		if (n == 0)
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail("its spool file cannot be read", error);
		if (!write_all(to, block, (size_t)n))
			return fail("cannot be written", error);
	}
}

static bool write_message(struct export *export, const struct queue_message *message,
	int from, int to, GError **error)
{
	return (!visit_has(export->visit, OPTION_ENVELOPE) ||
		       write_envelope(to, message, error)) &&
	       copy_octets(from, to, error);
}

/* Into a file that was not there, whole and on the disk, or not at all. */
static bool write_file(struct export *export, const struct queue_message *message,
	int from, const char *path, GError **error)
{
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return fail(path, error);
	bool ok = write_message(export, message, from, to, error) &&
		  (fsync(to) == 0 || fail(path, error));
	if (close(to) < 0 && ok)
		ok = fail(path, error);
	if (!ok)
		unlink(path);
	return ok;
}

static char *directory_path(const struct export *export, const char *id)
{
	g_autofree char *name = g_strconcat(id, ".eml", NULL);
	return g_build_filename(export->visit->options.directory, name, NULL);
}

/* Named by its ID, so that it is there once however often it is exported. A reader of the
 * Maildir may have moved it to cur, and put flags behind. */
static char *maildir_path(const struct export *export, const char *folder, const char *id)
{
	g_autofree char *name = g_strconcat(id, ".stowage", NULL);
	return g_build_filename(export->visit->options.maildir, folder, name, NULL);
}

static bool write_to_maildir(struct export *export, const struct queue_message *message,
	int from, const char *path, GError **error)
{
	g_autofree char *draft = maildir_path(export, "tmp", message->id);
	if (!write_file(export, message, from, draft, error))
		return false;
	bool ok = link(draft, path) == 0 || fail(path, error);
	unlink(draft);
	return ok;
}

static bool write_where_wanted(struct export *export, const struct queue_message *message,
	int from, char **path, GError **error)
{
	const struct options *options = &export->visit->options;
	if (options->maildir) {
		*path = maildir_path(export, "new", message->id);
		return write_to_maildir(export, message, from, *path, error);
	}
	if (options->directory) {
		*path = directory_path(export, message->id);
		return write_file(export, message, from, *path, error);
	}
	return write_message(export, message, from, STDOUT_FILENO, error);
}

static void tell(
	struct export *export, const struct queue_message *message, const char *path)
{
	export->n_done++;
	if (!path)
		return;
	if (!visit_has(export->visit, OPTION_JSON)) {
		printf("%s  %s\n", message->id, path);
		return;
	}
	json_t *object = json_object();
	g_autofree char *valid = g_utf8_make_valid(path, -1);
	json_object_set_new(object, "id", json_string(message->id));
	json_object_set_new(object, "path", json_string(valid));
	visit_print(object);
}

static void export_message(struct export *export, const struct queue_message *message)
{
	g_autofree char *spool = visit_spool_path(export->visit, message->id);
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	int from = open(spool, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0 && errno == ENOENT) {
		visit_refuse(export->visit, message->id, EX_NOINPUT,
			message->state == QUEUE_SENT ? "was sent: the original is gone"
						     : "its spool file is missing");
		return;
	}
	if (from < 0) {
		visit_refuse(export->visit, message->id, EX_NOPERM, g_strerror(errno));
		return;
	}
	if (write_where_wanted(export, message, from, &path, &error))
		tell(export, message, path);
	else
		visit_refuse(export->visit, message->id, path ? EX_CANTCREAT : EX_IOERR,
			error->message);
	close(from);
}

/* --- all of them --- */

static int export_one(struct export *export, const char *id)
{
	g_autoptr(GError) error = NULL;
	struct queue_message *message = NULL;
	if (!store_load(export->visit->store, id, &message, &error))
		return visit_report(export->visit, error);
	if (message)
		export_message(export, message);
	else if (visit_is_named(export->visit))
		visit_refuse(export->visit, id, EX_NOINPUT, "no such message");
	queue_message_free(message);
	return EX_OK;
}

static int export_page(void *context, const GArray *ids)
{
	int code = EX_OK;
	for (guint i = 0; code == EX_OK && i < ids->len; i++)
		code = export_one(context, visit_id(ids, i));
	return code;
}

static int make_directory(const struct visit *visit, const char *path)
{
	if (g_mkdir_with_parents(path, 0700) == 0 && access(path, W_OK | X_OK) == 0)
		return EX_OK;
	fprintf(stderr, "%s: %s: %s\n", visit->who, path, g_strerror(errno));
	return EX_CANTCREAT;
}

static int make_directories(const struct visit *visit)
{
	static const char *const folders[] = { "tmp", "new", "cur" };
	const struct options *options = &visit->options;
	int code = options->directory ? make_directory(visit, options->directory) : EX_OK;
	for (size_t i = 0; options->maildir && code == EX_OK && i < G_N_ELEMENTS(folders);
		i++) {
		g_autofree char *path =
			g_build_filename(options->maildir, folders[i], NULL);
		code = make_directory(visit, path);
	}
	return code;
}

static int check_options(const struct visit *visit)
{
	const struct options *options = &visit->options;
	if (options->directory && options->maildir)
		return visit_misused(visit, "either --directory or --maildir", NULL);
	if (options->directory || options->maildir)
		return EX_OK;
	if (options->n_words != 1)
		return visit_misused(visit,
			"standard output takes one message: give its ID, or --directory "
			"or --maildir",
			NULL);
	if (visit_has(visit, OPTION_JSON))
		return visit_misused(
			visit, "--json goes with --directory or --maildir", NULL);
	if (!isatty(STDOUT_FILENO))
		return EX_OK;
	return visit_misused(visit,
		"what a stranger sent is not for a terminal: export ID > FILE", NULL);
}

int queue_export(struct visit *visit)
{
	struct export export = { .visit = visit };
	int code = check_options(visit);
	if (code == EX_OK)
		code = visit_check_selection(visit);
	if (code == EX_OK)
		code = visit_select(visit, true, STATES_KEPT);
	if (code == EX_OK)
		code = make_directories(visit);
	if (code == EX_OK)
		code = visit_each(visit, true, export_page, &export);
	if (code != EX_OK)
		return code;
	if (!visit_is_named(visit) && !visit_has(visit, OPTION_JSON))
		printf("%" G_GUINT64_FORMAT " %s exported\n", export.n_done,
			export.n_done == 1 ? "message" : "messages");
	return visit->code;
}
