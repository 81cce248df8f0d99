/* Applies mime/ to one message and keeps the decoded attachments: in memory those of a
 * small message, else in files without a name. Knows nothing of where they go. */
#include "gateway/delivery/rewriter.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/tnef/tnef.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

/* Attachments of a message up to this size are decoded into memory, larger ones onto
 * disk: the bound for a worker's memory. */
#define MEMORY_BYTES (512 * 1024)
#define BLOCK_BYTES  65536

/* What is yet to be added to a message: header fields at the relay. */
#define HEADER_ROOM_BYTES 4096

/* How much longer a text may get as quoted-printable, with its soft line breaks. */
#define SHORTENED_GROWTH 4

/* As long as presigned links with a session token come. */
#define LONGEST_URL_BYTES 3000

struct rewriter {
	struct mime_message *message;
	const struct mime_settings *settings; /* borrowed */
	int original_fd;
	uint64_t original_bytes;
	struct mime_markers markers; /* no callback after rewriter_recipients() */
	bool edits_text;
	char *notice; /* or NULL */
	bool is_whole;
	struct mime_attachment whole; /* instead of all others, when is_whole */
	const char *directory;        /* only during rewriter_new() */
	GArray *fds;                  /* of int, one per attachment, or empty */
	GByteArray *octets; /* one attachment after the other; NULL: they are in files */
	GArray *starts;     /* of guint into octets, one per attachment, or empty */
};

static int open_temporary(const struct rewriter *rewriter, GError **error)
{
	int fd = open(rewriter->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno),
			"cannot make a temporary file in %s: %s", rewriter->directory,
			g_strerror(errno));
	return fd;
}

static int open_output(void *context, size_t index, GError **error)
{
	struct rewriter *rewriter = context;
	g_assert(index == rewriter->fds->len);
	int fd = open_temporary(rewriter, error);
	if (fd >= 0)
		g_array_append_val(rewriter->fds, fd);
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
	g_autoptr(GError) failure = NULL;
	if (mime_message_extract(rewriter->message, &output, &failure))
		return true;
	if (g_error_matches(failure, MIME_ERROR, MIME_ERROR_IO))
		g_prefix_error(&failure, "in %s: ", rewriter->directory);
	g_propagate_error(error, g_steal_pointer(&failure));
	return false;
}

/* A file on its way to where the decoded attachments are. */
struct keeping {
	struct rewriter *rewriter;
	EVP_MD_CTX *digest;
	int to; /* -1: memory */
};

static bool keep_octets(struct keeping *keeping, const char *octets, size_t n)
{
	if (EVP_DigestUpdate(keeping->digest, octets, n) != 1)
		return false;
	if (keeping->to >= 0)
		return write_all(keeping->to, octets, n);
	g_byte_array_append(keeping->rewriter->octets, (const guint8 *)octets, (guint)n);
	return true;
}

static bool copy_octets(struct keeping *keeping, int from, const struct tnef_file *file)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	uint64_t at = file->start, end = file->start + file->bytes;
	while (at < end) {
		size_t wanted = (size_t)MIN(end - at, (uint64_t)BLOCK_BYTES);
		ssize_t n = pread(from, block, wanted, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !keep_octets(keeping, block, (size_t)n))
			return false;
		at += (uint64_t)n;
	}
	return true;
}

/* One of a container's files, whose octets are at from. */
static bool keep_file(struct rewriter *rewriter, int from, const struct tnef_file *file,
	struct mime_file *kept, GError **error)
{
	struct keeping keeping = { rewriter, EVP_MD_CTX_new(), -1 };
	*kept = (struct mime_file){ .name = file->name, .size = file->bytes };
	if (rewriter->octets) {
		g_array_append_val(rewriter->starts, rewriter->octets->len);
	} else {
		keeping.to = open_temporary(rewriter, error);
		if (keeping.to < 0) {
			EVP_MD_CTX_free(keeping.digest);
			return false;
		}
		g_array_append_val(rewriter->fds, keeping.to);
	}
	bool ok = EVP_DigestInit_ex(keeping.digest, EVP_sha256(), NULL) == 1 &&
		  copy_octets(&keeping, from, file) &&
		  EVP_DigestFinal_ex(keeping.digest, kept->sha256, NULL) == 1;
	if (!ok)
		g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno),
			"cannot keep a file of an Outlook container: %s",
			g_strerror(errno));
	EVP_MD_CTX_free(keeping.digest);
	return ok;
}

static bool keep_files(struct rewriter *rewriter, size_t container, int from,
	const GArray *files, GError **error)
{
	g_autofree struct mime_file *kept = g_new0(struct mime_file, files->len + 1);
	for (guint i = 0; i < files->len; i++)
		if (!keep_file(rewriter, from, &g_array_index(files, struct tnef_file, i),
			    &kept[i], error))
			return false;
	mime_message_add_files(rewriter->message, container, kept, files->len);
	return true;
}

/* A container that cannot be read is an attachment like any other. */
static bool open_container(struct rewriter *rewriter, size_t index,
	const struct mime_attachment *attachment, GError **error)
{
	g_autoptr(GError) unreadable = NULL;
	int target = open_temporary(rewriter, error);
	if (target < 0)
		return false;
	GArray *files =
		tnef_read(rewriter_octets(rewriter, index), rewriter_fd(rewriter, index),
			attachment->size, target, NULL, &unreadable);
	bool ok = true;
	if (files) {
		ok = keep_files(rewriter, index, target, files, error);
		g_array_unref(files);
	} else {
		log_warning("attachment.unopened",
			LOG_TEXT("file_name", attachment->file_name),
			LOG_TEXT("reason", unreadable->message));
		mime_message_add_files(rewriter->message, index, NULL, 0);
	}
	close(target);
	return ok;
}

/* Files that are added are none of Outlook's containers: those in
 * containers stay shut. */
static bool open_containers(struct rewriter *rewriter, GError **error)
{
	const struct mime_attachment *attachments;
	size_t n = mime_message_attachments(rewriter->message, &attachments);
	if (rewriter->settings->tnef != MIME_TNEF_EXTRACT)
		return true;
	for (size_t i = 0; i < n; i++) {
		mime_message_attachments(rewriter->message, &attachments);
		const struct mime_attachment container = attachments[i];
		if (mime_attachment_is_tnef(&container) &&
			!open_container(rewriter, i, &container, error))
			return false;
	}
	return true;
}

struct rewriter *rewriter_new(int fd, const char *octets, uint64_t size,
	const struct mime_settings *settings, const char *directory, GError **error)
{
	struct rewriter *rewriter = g_new0(struct rewriter, 1);
	rewriter->directory = directory;
	rewriter->settings = settings;
	rewriter->original_fd = fd;
	rewriter->original_bytes = size;
	rewriter->fds = g_array_new(false, false, sizeof(int));
	rewriter->starts = g_array_new(false, false, sizeof(guint));
	rewriter->message = mime_message_new(fd, octets, size, settings, error);
	if (!rewriter->message ||
		!(size <= MEMORY_BYTES ? extract_to_memory(rewriter, size, error)
				       : extract_to_files(rewriter, error)) ||
		!open_containers(rewriter, error))
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
	if (!rewriter->is_whole)
		return mime_message_attachments(rewriter->message, attachments);
	*attachments = &rewriter->whole;
	return 1;
}

const char *rewriter_octets(const struct rewriter *rewriter, size_t index)
{
	if (!rewriter->octets || rewriter->is_whole)
		return NULL;
	return (const char *)rewriter->octets->data +
	       g_array_index(rewriter->starts, guint, index);
}

int rewriter_fd(const struct rewriter *rewriter, size_t index)
{
	if (rewriter->is_whole)
		return rewriter->original_fd;
	if (index >= rewriter->fds->len)
		return -1;
	return g_array_index(rewriter->fds, int, (guint)index);
}

/* Octets of the message with links as long as they get; without any where none can be
 * placed. What cannot be read now will be told by who sends it. */
static uint64_t bytes_when_sent(struct rewriter *rewriter, bool shortens)
{
	const struct mime_attachment *attachments;
	size_t n = mime_message_attachments(rewriter->message, &attachments);
	g_autofree char *url = g_strnfill(LONGEST_URL_BYTES, 'x');
	g_autofree struct mime_link *links = g_new(struct mime_link, n);
	struct splice *splice = splice_new(rewriter->original_bytes);
	bool changed;
	for (size_t i = 0; i < n; i++)
		links[i] = (struct mime_link){ url, "2026-11-27 14:05 UTC" };
	if (!mime_message_link(rewriter->message, links, n, splice, NULL)) {
		splice_free(&splice);
		splice = splice_new(rewriter->original_bytes);
	}
	if (shortens)
		mime_message_shorten_lines(rewriter->message, splice, &changed, NULL);
	uint64_t bytes = splice_bytes(splice);
	splice_free(&splice);
	return bytes;
}

bool rewriter_fit(
	struct rewriter *rewriter, uint64_t max_bytes, bool shortens, GError **error)
{
	uint64_t longest = rewriter->original_bytes * (shortens ? SHORTENED_GROWTH : 1);
	if (max_bytes == 0 || longest + HEADER_ROOM_BYTES <= max_bytes ||
		rewriter->settings->oversized == MIME_OVERSIZED_KEEP ||
		bytes_when_sent(rewriter, shortens) + HEADER_ROOM_BYTES <= max_bytes)
		return true;
	rewriter->is_whole =
		mime_message_whole(rewriter->message, &rewriter->whole, error);
	return rewriter->is_whole;
}

bool rewriter_is_whole(const struct rewriter *rewriter)
{
	return rewriter->is_whole;
}

/* For people: why the message is not as it was sent. */
static char *explain_whole(const struct rewriter *rewriter)
{
	const char *why = mime_message_untouched_reason(rewriter->message);
	return g_strdup_printf("This message (%.1f MB) is too large to be delivered as "
			       "it was sent%s%s. All of it is in the file below; a mail "
			       "program opens it.",
		(double)rewriter->original_bytes / 1e6, why ? ": " : "", why ? why : "");
}

bool rewriter_shorten_lines(
	struct rewriter *rewriter, struct splice *splice, bool *changed, GError **error)
{
	return mime_message_shorten_lines(rewriter->message, splice, changed, error);
}

bool rewriter_mend_fields(
	struct rewriter *rewriter, struct splice *splice, mime_mend mend, GError **error)
{
	return mime_message_mend_fields(rewriter->message, splice, mend, error);
}

bool rewriter_link(struct rewriter *rewriter, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error)
{
	if (!rewriter->is_whole)
		return mime_message_link(
			rewriter->message, links, n_links, splice, error);
	g_autofree char *why = explain_whole(rewriter);
	g_autofree char *explanation =
		rewriter->notice ? g_strjoin(" ", rewriter->notice, why, NULL)
				 : g_steal_pointer(&why);
	return mime_message_link_whole(
		rewriter->message, &rewriter->whole, links, explanation, splice, error);
}

bool rewriter_recipients(struct rewriter *rewriter, const struct mime_markers *markers,
	GPtrArray **addresses, char **reason, GError **error)
{
	rewriter->markers = *markers;
	bool ok = mime_message_recipients(
		rewriter->message, &rewriter->markers, addresses, reason, error);
	rewriter->markers.allows = NULL;
	rewriter->markers.context = NULL;
	rewriter->edits_text = ok && *addresses;
	return ok;
}

void rewriter_set_notice(
	struct rewriter *rewriter, const char *notice, const char *unforeseen)
{
	g_free(rewriter->notice);
	rewriter->notice = g_strdup(notice);
	rewriter->edits_text = true;
	mime_message_set_notice(rewriter->message, notice, unforeseen);
}

bool rewriter_edits_text(const struct rewriter *rewriter)
{
	return rewriter->edits_text;
}

void rewriter_free(struct rewriter **rewriter)
{
	if (!*rewriter)
		return;
	for (guint i = 0; i < (*rewriter)->fds->len; i++)
		close(g_array_index((*rewriter)->fds, int, i));
	g_array_unref((*rewriter)->fds);
	g_array_unref((*rewriter)->starts);
	g_clear_pointer(&(*rewriter)->octets, g_byte_array_unref);
	g_free((*rewriter)->notice);
	mime_message_free(&(*rewriter)->message);
	g_clear_pointer(rewriter, g_free);
}
