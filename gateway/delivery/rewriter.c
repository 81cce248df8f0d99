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
	uint64_t size;
	GArray *fds;       /* of int, one per attachment, or empty */
	GPtrArray *octets; /* of GByteArray, one per attachment, or empty */
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

/* What is decoded is never longer than what was encoded: no array has to grow. */
static void add_arrays(struct rewriter *rewriter, size_t n)
{
	while (rewriter->octets->len < n)
		g_ptr_array_add(rewriter->octets,
			g_byte_array_sized_new((guint)rewriter->size));
}

static bool write_memory(
	void *context, size_t index, const char *octets, size_t n, GError **error)
{
	struct rewriter *rewriter = context;
	(void)error;
	add_arrays(rewriter, index + 1);
	g_byte_array_append(g_ptr_array_index(rewriter->octets, (guint)index),
		(const guint8 *)octets, (guint)n);
	return true;
}

static void discard_memory(void *context, size_t index)
{
	struct rewriter *rewriter = context;
	if (rewriter->octets->len > index) /* an empty one was never begun */
		g_ptr_array_set_size(rewriter->octets, (gint)index);
}

static bool extract(struct rewriter *rewriter, GError **error)
{
	bool in_memory = rewriter->size <= MEMORY_BYTES;
	const struct mime_output output = {
		.open_output = open_output,
		.discard_output = in_memory ? discard_memory : discard_file,
		.write_output = in_memory ? write_memory : NULL,
		.context = rewriter,
	};
	if (!mime_message_extract(rewriter->message, &output, error))
		return false;
	const struct mime_attachment *attachments;
	if (in_memory)
		add_arrays(rewriter, rewriter_attachments(rewriter, &attachments));
	return true;
}

static void free_array(void *octets)
{
	g_byte_array_unref(octets);
}

struct rewriter *rewriter_new(int fd, uint64_t size, const struct mime_settings *settings,
	const char *directory, GError **error)
{
	struct rewriter *rewriter = g_new0(struct rewriter, 1);
	rewriter->directory = directory;
	rewriter->size = size;
	rewriter->fds = g_array_new(false, false, sizeof(int));
	rewriter->octets = g_ptr_array_new_with_free_func(free_array);
	rewriter->message = mime_message_new(fd, size, settings, error);
	if (!rewriter->message || !extract(rewriter, error))
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
	if (index >= rewriter->octets->len)
		return NULL;
	const GByteArray *octets = g_ptr_array_index(rewriter->octets, (guint)index);
	return (const char *)octets->data;
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
	g_ptr_array_unref((*rewriter)->octets);
	mime_message_free(&(*rewriter)->message);
	g_clear_pointer(rewriter, g_free);
}
