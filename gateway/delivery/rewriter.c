/* Applies mime/ to one message and keeps the decoded attachments: in memory those of a
 * small message, else in files without a name. Knows nothing of where they go. */
#include "gateway/delivery/rewriter.h"

#include "gateway/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Attachments of a message up to this size are decoded into memory, larger ones onto
 * disk: the bound for a worker's memory. */
#define MEMORY_BYTES (512 * 1024)

struct rewriter {
	struct mime_message *message;
	const char *directory; /* only during rewriter_new() */
	GArray *fds;           /* of int, one per attachment, or empty */
	GByteArray *octets; /* one attachment after the other; NULL: they are in files */
	GArray *starts;     /* of guint into octets, one per attachment, or empty */
};

static int open_output(void *context, size_t index, GError **error)
{
	struct rewriter *rewriter = context;
	g_assert(index == rewriter->fds->len);
	int fd = open(rewriter->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		g_array_append_val(rewriter->fds, fd);
	else
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot make a temporary file in %s: %s", rewriter->directory,
			g_strerror(errno));
	return fd;
}

static void discard_file(void *context, size_t index)
{
	struct rewriter *rewriter = context;
	g_assert(index + 1 == rewriter->fds->len);
	close(rewriter_fd(rewriter, index));
	g_array_set_size(rewriter->fds, (guint)index);
}

/* An empty attachment is never written to: its start is that of the next. */
static void begin_attachments(struct rewriter *rewriter, size_t n)
{
	while (rewriter->starts->len < n)
		g_array_append_val(rewriter->starts, rewriter->octets->len);
}

static bool write_memory(
	void *context, size_t index, const char *octets, size_t n, GError **error)
{
	struct rewriter *rewriter = context;
	(void)error;
	begin_attachments(rewriter, index + 1);
	g_byte_array_append(rewriter->octets, (const guint8 *)octets, (guint)n);
	return true;
}

static void discard_memory(void *context, size_t index)
{
	struct rewriter *rewriter = context;
	begin_attachments(rewriter, index + 1);
	g_byte_array_set_size(
		rewriter->octets, g_array_index(rewriter->starts, guint, index));
	g_array_set_size(rewriter->starts, (guint)index);
}

static bool extract_to_memory(struct rewriter *rewriter, uint64_t size, GError **error)
{
	const struct mime_output output = {
		.discard_output = discard_memory,
		.write_output = write_memory,
		.context = rewriter,
	};
	const struct mime_attachment *attachments;
	/* What is decoded is no longer than what was encoded: it has not to grow. */
	rewriter->octets = g_byte_array_sized_new((guint)size + 1);
	if (!mime_message_extract(rewriter->message, &output, error))
		return false;
	begin_attachments(rewriter, rewriter_attachments(rewriter, &attachments));
	return true;
}

static bool extract_to_files(struct rewriter *rewriter, GError **error)
{
	const struct mime_output output = {
		.open_output = open_output,
		.discard_output = discard_file,
		.context = rewriter,
	};
	return mime_message_extract(rewriter->message, &output, error);
}

struct rewriter *rewriter_new(int fd, uint64_t size, const struct mime_settings *settings,
	const char *directory, GError **error)
{
	struct rewriter *rewriter = g_new0(struct rewriter, 1);
	rewriter->directory = directory;
	rewriter->fds = g_array_new(false, false, sizeof(int));
	rewriter->starts = g_array_new(false, false, sizeof(guint));
	rewriter->message = mime_message_new(fd, size, settings, error);
	if (!rewriter->message ||
		!(size <= MEMORY_BYTES ? extract_to_memory(rewriter, size, error)
				       : extract_to_files(rewriter, error)))
		rewriter_free(&rewriter);
	return rewriter;
}

const struct mime_message *rewriter_message(const struct rewriter *rewriter)
{
	return rewriter->message;
}

size_t rewriter_attachments(
	const struct rewriter *rewriter, const struct mime_attachment **attachments)
{
	return mime_message_attachments(rewriter->message, attachments);
}

const char *rewriter_octets(const struct rewriter *rewriter, size_t index)
{
	if (!rewriter->octets)
		return NULL;
	return (const char *)rewriter->octets->data +
	       g_array_index(rewriter->starts, guint, index);
}

int rewriter_fd(const struct rewriter *rewriter, size_t index)
{
	if (index >= rewriter->fds->len)
		return -1;
	return g_array_index(rewriter->fds, int, (guint)index);
}

bool rewriter_link(struct rewriter *rewriter, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error)
{
	return mime_message_link(rewriter->message, links, n_links, splice, error);
}

void rewriter_free(struct rewriter **rewriter)
{
	if (!*rewriter)
		return;
	for (guint i = 0; i < (*rewriter)->fds->len; i++)
		close(rewriter_fd(*rewriter, i));
	g_array_unref((*rewriter)->fds);
	g_array_unref((*rewriter)->starts);
	g_clear_pointer(&(*rewriter)->octets, g_byte_array_unref);
	mime_message_free(&(*rewriter)->message);
	g_clear_pointer(rewriter, g_free);
}
