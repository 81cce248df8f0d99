/* Messages through rewriter and stowing, from descriptor to descriptor. Leaves to
 * offline_batch.c which files they are. */
#include "gateway/offline.h"

#include "gateway/delivery/rewriter.h"
#include "gateway/delivery/stowing.h"
#include "gateway/error.h"
#include "gateway/queue/queue.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

static bool copy_all(int from, int to, uint64_t *size)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	ssize_t n;
	*size = 0;
	while ((n = read(from, block, BLOCK_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !write_all(to, block, (size_t)n))
			return false;
		*size += (uint64_t)n;
	}
	return true;
}

/* The rewriting reads a message more than once; standard input may be a pipe. */
static int seekable_input(uint64_t *size)
{
	int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 && !copy_all(STDIN_FILENO, fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool write_object(const char *directory, const struct s3_object *object)
{
	g_autofree char *path = g_build_filename(directory, object->key, NULL);
	g_autofree char *parent = g_path_get_dirname(path);
	if (g_mkdir_with_parents(parent, 0777) < 0)
		return false;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	uint64_t written;
	bool ok = fd >= 0 &&
		  (object->octets ? write_all(fd, object->octets, (size_t)object->size)
				  : lseek(object->fd, 0, SEEK_SET) == 0 &&
					    copy_all(object->fd, fd, &written));
	if (fd >= 0 && close(fd) < 0)
		ok = false;
	return ok;
}

static bool write_objects(const char *directory, struct stowing *stowing)
{
	size_t n;
	const struct s3_object *objects = stowing_objects(stowing, &n);
	for (size_t i = 0; i < n; i++)
		if (!write_object(directory, &objects[i]))
			return false;
	return true;
}

static bool write_splice(const struct splice *splice, int fd, int out, GError **error)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	struct splice_reader reader;
	splice_reader_init(&reader, splice, fd);
	ssize_t n;
	while ((n = splice_read(&reader, block, BLOCK_BYTES, error)) > 0) {
		if (write_all(out, block, (size_t)n))
			continue;
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot write the message: %s", g_strerror(errno));
		return false;
	}
	return n == 0;
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *describe_link(const struct stowing *stowing, size_t index)
{
	g_autoptr(GDateTime) end =
		g_date_time_new_from_unix_utc(stowing_expires_at_s(stowing, index));
	g_autofree char *text = end ? g_date_time_format_iso8601(end) : NULL;
	return json_pack("{s:s, s:o}", "url", stowing_url(stowing, index), "expires",
		text_or_null(text));
}

/* One message at work. */
struct work {
	const struct conf *conf;
	const struct offline *offline;
	const struct offline_message *message;
	struct rewriter *rewriter;
	struct stowing *stowing;
	struct splice *splice;
	bool linked;
	char *untouched; /* why the message stays, or NULL */
};

static json_t *describe_attachments(const struct work *work)
{
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(work->rewriter, &attachments);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		char sha256[65];
		stowing_sha256_text(attachments[i].sha256, sha256);
		json_array_append_new(list,
			json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:s, s:o}", "part",
				(json_int_t)attachments[i].part, "key",
				stowing_key(work->stowing, i), "file_name",
				attachments[i].file_name, "media_type",
				attachments[i].media_type, "reason",
				attachments[i].reason, "size",
				(json_int_t)attachments[i].size, "sha256", sha256, "link",
				work->linked ? describe_link(work->stowing, i)
					     : json_null()));
	}
	return list;
}

static json_t *describe_parts(const struct rewriter *rewriter)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(rewriter_message(rewriter), &decisions);
	bool whole = rewriter_is_whole(rewriter);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{s:I, s:s, s:o, s:b, s:s}", "part",
				      (json_int_t)decisions[i].part, "media_type",
				      decisions[i].media_type, "file_name",
				      text_or_null(decisions[i].file_name), "linked",
				      !whole && decisions[i].linked, "reason",
				      whole ? "within the whole message"
					    : decisions[i].reason));
	return list;
}

static bool write_manifest(const struct work *work)
{
	if (!work->offline->manifest)
		return true;
	json_t *manifest = json_pack("{s:o, s:b, s:I, s:I, s:o, s:o}", "untouched",
		text_or_null(work->untouched), "whole", rewriter_is_whole(work->rewriter),
		"size", (json_int_t)work->message->in_bytes, "rewritten_size",
		(json_int_t)splice_bytes(work->splice), "parts",
		describe_parts(work->rewriter), "attachments",
		describe_attachments(work));
	bool ok = json_dump_file(manifest, work->offline->manifest, JSON_INDENT(2)) == 0;
	json_decref(manifest);
	return ok;
}

static int report(const char *name, int code, const char *what, const char *why)
{
	if (name)
		fprintf(stderr, "stowage rewrite: %s: %s: %s\n", name, what, why);
	else
		fprintf(stderr, "stowage rewrite: %s: %s\n", what, why);
	return code;
}

static int link_work(struct work *work, struct s3_store *store)
{
	g_autoptr(GError) error = NULL;
	const struct offline_message *message = work->message;
	const char *untouched =
		mime_message_untouched_reason(rewriter_message(work->rewriter));
	if (!write_objects(work->offline->objects, work->stowing))
		return report(message->name, EX_CANTCREAT, work->offline->objects,
			g_strerror(errno));
	work->splice = stowing_link(work->stowing, work->rewriter, store,
		g_get_real_time() / G_USEC_PER_SEC, message->in_bytes, &work->linked,
		&work->untouched, &error);
	if (!work->splice)
		return report(
			message->name, EX_CONFIG, "no link can be made", error->message);
	if (!work->untouched && untouched)
		work->untouched = g_strdup(untouched);
	if (!write_splice(work->splice, message->in, message->out, &error))
		return report(message->name, EX_IOERR, "message", error->message);
	return EX_OK;
}

/* What a person would ask about first. */
static void say_untouched(const struct work *work)
{
	if (work->message->name || !work->untouched)
		return;
	fprintf(stderr, "stowage rewrite: the message %s: %s\n",
		work->linked ? "is linked as a whole" : "stays as it is",
		work->untouched);
}

static int finish(struct work *work, struct s3_store *store)
{
	int code = link_work(work, store);
	if (code != EX_OK)
		return code;
	say_untouched(work);
	if (!write_manifest(work))
		return report(work->message->name, EX_CANTCREAT, work->offline->manifest,
			"cannot be written");
	return EX_OK;
}

int offline_rewrite_one(const struct conf *conf, struct s3_store *store,
	const struct offline *offline, const struct offline_message *message)
{
	g_autoptr(GError) error = NULL;
	struct work work = { .conf = conf, .offline = offline, .message = message };
	work.rewriter = rewriter_new(message->in, NULL, message->in_bytes,
		conf_attachments_for(conf, offline->listener, offline->user),
		g_get_tmp_dir(), &error);
	if (!work.rewriter || !rewriter_fit(work.rewriter, conf->relay.max_message_size,
				      false, &error)) {
		rewriter_free(&work.rewriter);
		return report(message->name, EX_IOERR, "message", error->message);
	}
	struct queue_message *queued = queue_message_new();
	work.stowing = stowing_new(conf, work.rewriter, queued->id, queued->seed,
		queued->received_ms / 1000);
	int code = finish(&work, store);
	splice_free(&work.splice);
	stowing_free(&work.stowing);
	queue_message_free(queued);
	rewriter_free(&work.rewriter);
	g_free(work.untouched);
	return code;
}

int offline_rewrite(const struct conf *conf, const struct offline *offline)
{
	g_autoptr(GError) error = NULL;
	struct offline_message message = { .out = STDOUT_FILENO };
	message.in = seekable_input(&message.in_bytes);
	if (message.in < 0)
		return report(NULL, EX_NOINPUT, "standard input", g_strerror(errno));
	mime_init();
	struct s3_store *store = s3_store_new(&conf->s3, &error);
	int code = store ? offline_rewrite_one(conf, store, offline, &message)
			 : report(NULL, EX_CONFIG, "no link can be made", error->message);
	if (store)
		s3_store_free(&store);
	close(message.in);
	return code;
}
