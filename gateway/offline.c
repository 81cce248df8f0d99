/* One message from standard input through rewriter and stowing to standard output. */
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

static bool write_splice(const struct splice *splice, int fd, GError **error)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	struct splice_reader reader;
	splice_reader_init(&reader, splice, fd);
	ssize_t n;
	while ((n = splice_read(&reader, block, BLOCK_BYTES, error)) > 0) {
		if (write_all(STDOUT_FILENO, block, (size_t)n))
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

static json_t *describe_attachments(
	struct stowing *stowing, const struct rewriter *rewriter)
{
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(rewriter, &attachments);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		char sha256[65];
		stowing_sha256_text(attachments[i].sha256, sha256);
		json_array_append_new(
			list, json_pack("{s:I, s:s, s:s, s:s, s:I, s:s}", "part",
				      (json_int_t)attachments[i].part, "key",
				      stowing_key(stowing, i), "file_name",
				      attachments[i].file_name, "media_type",
				      attachments[i].media_type, "size",
				      (json_int_t)attachments[i].size, "sha256", sha256));
	}
	return list;
}

static json_t *describe_parts(const struct rewriter *rewriter)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(rewriter_message(rewriter), &decisions);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
			json_pack("{s:I, s:s, s:o, s:b, s:s}", "part",
				(json_int_t)decisions[i].part, "media_type",
				decisions[i].media_type, "file_name",
				text_or_null(decisions[i].file_name), "linked",
				decisions[i].linked, "reason", decisions[i].reason));
	return list;
}

static bool write_manifest(const char *path, struct stowing *stowing,
	const struct rewriter *rewriter, const char *untouched)
{
	if (!path)
		return true;
	json_t *manifest = json_pack("{s:o, s:o, s:o}", "untouched",
		text_or_null(untouched), "parts", describe_parts(rewriter), "attachments",
		describe_attachments(stowing, rewriter));
	bool ok = json_dump_file(manifest, path, JSON_INDENT(2)) == 0;
	json_decref(manifest);
	return ok;
}

static int report(int code, const char *what, const char *why)
{
	fprintf(stderr, "stowage rewrite: %s: %s\n", what, why);
	return code;
}

static int finish(const struct conf *conf, const struct offline *offline, int fd,
	uint64_t size, struct rewriter *rewriter, struct stowing *stowing)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *why = NULL;
	const char *untouched = mime_message_untouched_reason(rewriter_message(rewriter));
	bool linked = false;
	if (!write_objects(offline->objects, stowing))
		return report(EX_CANTCREAT, offline->objects, g_strerror(errno));
	struct s3_store *store = s3_store_new(&conf->s3, &error);
	struct splice *splice = NULL;
	int code = EX_OK;
	if (store)
		splice = stowing_link(stowing, rewriter, store,
			g_get_real_time() / G_USEC_PER_SEC, size, &linked, &why, &error);
	if (!splice)
		code = report(EX_CONFIG, "no link can be made", error->message);
	if (why)
		untouched = why;
	if (code == EX_OK && !write_splice(splice, fd, &error))
		code = report(EX_IOERR, "message", error->message);
	if (code == EX_OK && untouched)
		fprintf(stderr, "stowage rewrite: the message stays as it is: %s\n",
			untouched);
	if (code == EX_OK &&
		!write_manifest(offline->manifest, stowing, rewriter, untouched))
		code = report(EX_CANTCREAT, offline->manifest, "cannot be written");
	if (splice)
		splice_free(&splice);
	if (store)
		s3_store_free(&store);
	return code;
}

int offline_rewrite(const struct conf *conf, const struct offline *offline)
{
	g_autoptr(GError) error = NULL;
	uint64_t size = 0;
	int fd = seekable_input(&size);
	if (fd < 0)
		return report(EX_NOINPUT, "standard input", g_strerror(errno));
	mime_init();
	struct rewriter *rewriter =
		rewriter_new(fd, size, &conf->attachments, g_get_tmp_dir(), &error);
	int code;
	if (rewriter) {
		struct queue_message *message = queue_message_new();
		struct stowing *stowing = stowing_new(conf, rewriter, message->id,
			message->seed, message->received_ms / 1000);
		code = finish(conf, offline, fd, size, rewriter, stowing);
		stowing_free(&stowing);
		queue_message_free(message);
	} else {
		code = report(EX_IOERR, "message", error->message);
	}
	rewriter_free(&rewriter);
	close(fd);
	return code;
}
