/* A directory of messages, several at a time. What is done with one is offline.c's. */
#include "gateway/offline.h"

#include "mime/mime.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define THREADS_MAX 16

struct batch {
	const struct conf *conf;
	struct s3_store *store;
	const struct offline *offline;
	const char *in, *out, *objects;
	GAsyncQueue *names; /* of char *: all files, before the first thread starts */
	gint code;          /* the first failure's; atomic */
};

static void fail(struct batch *batch, int code)
{
	g_atomic_int_compare_and_exchange(&batch->code, EX_OK, code);
}

static int report(const char *name, const char *path, int code)
{
	fprintf(stderr, "stowage rewrite: %s: %s: %s\n", name, path, g_strerror(errno));
	return code;
}

/* Under another name until it is whole. */
static int write_message(
	const struct batch *batch, const char *name, int in, const struct stat *status)
{
	g_autofree char *path = g_build_filename(batch->out, name, NULL);
	g_autofree char *unfinished = g_strdup_printf("%s/.%s.part", batch->out, name);
	g_autofree char *manifest = g_strconcat(path, ".json", NULL);
	struct offline offline = *batch->offline;
	offline.objects = batch->objects;
	offline.manifest = manifest;
	struct offline_message message = {
		.name = name,
		.in = in,
		.in_bytes = (uint64_t)status->st_size,
		.out = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
	};
	if (message.out < 0)
		return report(name, unfinished, EX_CANTCREAT);
	int code = offline_rewrite_one(batch->conf, batch->store, &offline, &message);
	if (close(message.out) < 0 && code == EX_OK)
		code = report(name, unfinished, EX_IOERR);
	if (code == EX_OK && rename(unfinished, path) < 0)
		code = report(name, path, EX_CANTCREAT);
	if (code != EX_OK) {
		unlink(unfinished);
		unlink(manifest);
	}
	return code;
}

static void rewrite_file(struct batch *batch, const char *name)
{
	g_autofree char *path = g_build_filename(batch->in, name, NULL);
	struct stat status;
	/* A pipe among the files would be waited for. */
	int in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in < 0 || fstat(in, &status) < 0)
		fail(batch, report(name, path, EX_NOINPUT));
	else if (S_ISREG(status.st_mode))
		fail(batch, write_message(batch, name, in, &status));
	if (in >= 0)
		close(in);
}

static void *rewrite_names(void *data)
{
	struct batch *batch = data;
	char *name;
	while ((name = g_async_queue_try_pop(batch->names)) != NULL) {
		rewrite_file(batch, name);
		g_free(name);
	}
	return NULL;
}

static int rewrite_files(struct batch *batch, GDir *dir)
{
	GThread *threads[THREADS_MAX];
	guint n = MIN(g_get_num_processors(), THREADS_MAX);
	const char *name;
	batch->names = g_async_queue_new_full(g_free);
	while ((name = g_dir_read_name(dir)) != NULL)
		if (*name != '.')
			g_async_queue_push(batch->names, g_strdup(name));
	for (guint i = 0; i < n; i++)
		threads[i] = g_thread_new("rewrite", rewrite_names, batch);
	for (guint i = 0; i < n; i++)
		g_thread_join(threads[i]);
	g_async_queue_unref(batch->names);
	return g_atomic_int_get(&batch->code);
}

int offline_batch(const struct conf *conf, const struct offline *offline, const char *in,
	const char *out)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *inside = g_build_filename(out, "objects", NULL);
	struct batch batch = {
		.conf = conf,
		.offline = offline,
		.in = in,
		.out = out,
		.objects = offline->objects ? offline->objects : inside,
		.code = EX_OK,
	};
	if (g_mkdir_with_parents(batch.objects, 0777) < 0 ||
		g_mkdir_with_parents(out, 0777) < 0)
		return report(out, batch.objects, EX_CANTCREAT);
	GDir *dir = g_dir_open(in, 0, &error);
	if (!dir) {
		fprintf(stderr, "stowage rewrite: %s\n", error->message);
		return EX_NOINPUT;
	}
	mime_init();
	int code = EX_CONFIG;
	batch.store = s3_store_new(&conf->s3, &error);
	if (batch.store) {
		code = rewrite_files(&batch, dir);
		s3_store_free(&batch.store);
	} else {
		fprintf(stderr, "stowage rewrite: %s\n", error->message);
	}
	g_dir_close(dir);
	return code;
}
