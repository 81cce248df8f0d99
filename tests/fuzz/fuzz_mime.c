/*
 * A whole mail: listed, extracted, linked. What is rewritten is understood again, and
 * nothing is left in it to take out.
 */
#include "mime/mime.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_output(void *context, size_t index, GError **error)
{
	int fd = *(int *)context;

	(void)index;
	(void)error;
	if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	return fd;
}

static void discard_output(void *context, size_t index)
{
	(void)context;
	(void)index;
}

/* A part that stays since no delimiter ends it can be read once the whole is wrapped,
 * which puts one behind it: a second rewriting may stow it then. */
static bool has_open_end(const struct mime_message *message)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(message, &decisions);

	for (size_t i = 0; i < n; i++)
		if (g_str_has_prefix(decisions[i].reason, "no delimiter behind it"))
			return true;
	return false;
}

/* Rewrites original into result; the number of attachments that went, 0 also where a
 * second rewriting may find more. */
static size_t rewrite(int original, uint64_t bytes, int part, int result,
	uint64_t *result_bytes, unsigned variant)
{
	static const struct mime_rule rules[] = { { "image/*", MIME_ACTION_KEEP },
		{ "text/*l", MIME_ACTION_LINK } };
	struct mime_settings settings;
	struct mime_output output = { open_output, discard_output, &part, NULL };
	const struct mime_attachment *attachments;
	struct splice_reader reader;
	char block[1000];
	ssize_t n;

	mime_settings_init(&settings);
	settings.inline_images = variant & 1 ? MIME_INLINE_LINK : MIME_INLINE_KEEP;
	settings.block_position = variant & 2 ? MIME_BLOCK_TOP : MIME_BLOCK_END;
	settings.forwarded = (enum mime_forwarded)((variant & 63) / 4 % 3);
	settings.resource_forks = variant & 16 ? MIME_FORKS_DROP : MIME_FORKS_LINK;
	settings.text_only = variant & 8 ? MIME_TEXT_ONLY_BOTH : MIME_TEXT_ONLY_TEXT;
	settings.types = rules;
	settings.n_types = variant & 32 ? G_N_ELEMENTS(rules) : 0;
	struct mime_message *message =
		mime_message_new(original, NULL, bytes, &settings, NULL);

	g_assert(message != NULL);
	g_assert(mime_message_extract(message, &output, NULL));
	size_t count = mime_message_attachments(message, &attachments);
	const struct mime_markers markers = {
		.forms = MIME_MARKER_COLON | MIME_MARKER_BRACKET, .word = "W", .max = 9
	};
	GPtrArray *addresses = NULL;
	char *reason = NULL;

	if (variant & 64) {
		g_assert(mime_message_recipients(
			message, &markers, &addresses, &reason, NULL));
		g_assert((addresses == NULL) == (reason != NULL));
		if (reason != NULL && variant & 1)
			mime_message_set_notice(message, reason, "unforeseen");
	}
	struct mime_link *links = g_new0(struct mime_link, count);
	struct splice *splice = splice_new(bytes);

	for (size_t i = 0; i < count; i++) {
		g_assert(g_utf8_validate(attachments[i].file_name, -1, NULL));
		links[i] = (struct mime_link){ "https://x.example/?a=1&b=2", "noon" };
	}
	if (!mime_message_link(message, links, count, splice, NULL)) {
		splice_free(&splice);
		splice = splice_new(bytes);
	}
	g_assert(splice_leaves(splice, 0, bytes) || count > 0 || variant & 64);
	*result_bytes = splice_bytes(splice);
	splice_reader_init(&reader, splice, original);
	if (ftruncate(result, 0) != 0 || lseek(result, 0, SEEK_SET) != 0)
		abort();
	while ((n = splice_read(&reader, block, sizeof(block), NULL)) > 0)
		if (write(result, block, (size_t)n) != n)
			abort();
	g_assert(n == 0);
	if (splice_leaves(splice, 0, bytes) || has_open_end(message))
		count = 0;
	g_free(links);
	g_free(reason);
	g_clear_pointer(&addresses, g_ptr_array_unref);
	splice_free(&splice);
	mime_message_free(&message);
	return count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	mime_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int original = memfd_create("original", MFD_CLOEXEC);
	int part = memfd_create("part", MFD_CLOEXEC);
	int first = memfd_create("first", MFD_CLOEXEC);
	int second = memfd_create("second", MFD_CLOEXEC);
	unsigned variant = size > 0 ? data[size - 1] % 128 : 0;
	uint64_t first_bytes, second_bytes;

	if (write(original, data, size) != (ssize_t)size)
		abort();
	size_t count = rewrite(original, size, part, first, &first_bytes, variant);

	/* What is put in front may become what the body was, and rules say nothing of
	 * bodies. */
	if (count > 0 && !(variant & 32 && variant & (64 | 2)))
		g_assert(rewrite(first, first_bytes, part, second, &second_bytes,
				 variant & 63) == 0);
	close(original);
	close(part);
	close(first);
	close(second);
	return 0;
}
