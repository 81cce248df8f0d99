/* Applies mime/ to one message and keeps the decoded attachments in files without a name.
 * Knows nothing of where they go. */
#include "gateway/delivery/rewriter.h"

#include "gateway/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Attachments of a message up to this size are decoded into memory, larger ones onto
 * disk: two system calls less for most mail, and a bound for memory. */
#define MEMORY_BYTES (512 * 1024)

struct rewriter {
	struct mime_message *message;
	const char *directory; /* only during rewriter_new() */
	bool in_memory;
	GArray *fds; /* of int, one per attachment */
};

static int open_temporary(const struct rewriter *rewriter, GError **error)
{
	int fd = rewriter->in_memory ? memfd_create("attachment", MFD_CLOEXEC)
				     : open(rewriter->directory,
					       O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
			"cannot make a temporary file in %s: %s", rewriter->directory,
			g_strerror(errno));
	return fd;
}

static int open_output(void *context, size_t index, GError **error)
{
	struct rewriter *rewriter = context;
	(void)index;
	g_assert(index == rewriter->fds->len);
	int fd = open_temporary(rewriter, error);
	if (fd >= 0)
		g_array_append_val(rewriter->fds, fd);
	return fd;
}

static void discard_output(void *context, size_t index)
{
	struct rewriter *rewriter = context;
	g_assert(index + 1 == rewriter->fds->len);
	close(rewriter_fd(rewriter, index));
	g_array_set_size(rewriter->fds, (guint)index);
}

struct rewriter *rewriter_new(int fd, uint64_t size, const struct mime_settings *settings,
	const char *directory, GError **error)
{
	struct rewriter *rewriter = g_new0(struct rewriter, 1);
	rewriter->directory = directory;
	rewriter->in_memory = size <= MEMORY_BYTES;
	rewriter->fds = g_array_new(false, false, sizeof(int));
	rewriter->message = mime_message_new(fd, size, settings, error);
	const struct mime_output output = { open_output, discard_output, rewriter };
	if (!rewriter->message ||
		!mime_message_extract(rewriter->message, &output, error))
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

int rewriter_fd(const struct rewriter *rewriter, size_t index)
{
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
	mime_message_free(&(*rewriter)->message);
	g_clear_pointer(rewriter, g_free);
}
