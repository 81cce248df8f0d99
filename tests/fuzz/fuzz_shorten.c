/*
 * What stays in a mail made fit for a next hop that takes short lines only. The result
 * has the same parts, and nothing is left in it to be changed.
 */
#include "mime/mime.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static GString *mend(const char *field, size_t length, const char *newline)
{
	g_assert(length > 0);
	return memchr(field, '!', length) != NULL
		       ? g_string_new(newline[1] == '\0' ? "X:\n" : "X:\r\n")
		       : NULL;
}

static struct mime_message *open_mail(int fd, uint64_t bytes)
{
	struct mime_settings settings;

	mime_settings_init(&settings);
	struct mime_message *message = mime_message_new(fd, NULL, bytes, &settings, NULL);

	g_assert(message != NULL);
	return message;
}

/* The octets of result; *changed: there was something. */
static uint64_t shorten(
	struct mime_message *message, int fd, uint64_t bytes, int result, bool *changed)
{
	struct splice *splice = splice_new(bytes);
	struct splice_reader reader;
	char block[1000];
	uint64_t length;
	ssize_t n;

	g_assert(mime_message_shorten_lines(message, splice, changed, NULL));
	g_assert(*changed == !splice_leaves(splice, 0, bytes));
	g_assert(!*changed || mime_message_mend_fields(message, splice, mend, NULL));
	length = splice_bytes(splice);
	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, block, sizeof(block), NULL)) > 0)
		if (write(result, block, (size_t)n) != n)
			abort();
	g_assert(n == 0);
	splice_free(&splice);
	return length;
}

static void check_parts(
	const struct mime_message *before, const struct mime_message *after)
{
	const struct mime_decision *old, *new;
	size_t n = mime_message_decisions(before, &old);

	g_assert(mime_message_decisions(after, &new) == n);
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
	int first = memfd_create("first", MFD_CLOEXEC);
	int second = memfd_create("second", MFD_CLOEXEC);
	struct mime_message *message, *again;
	bool changed;

	if (write(original, data, size) != (ssize_t)size)
		abort();
	message = open_mail(original, size);
	uint64_t bytes = shorten(message, original, size, first, &changed);

	if (changed && memchr(data, '!', size) == NULL) {
		again = open_mail(first, bytes);
		check_parts(message, again);
		shorten(again, first, bytes, second, &changed);
		g_assert(!changed);
		mime_message_free(&again);
	}
	mime_message_free(&message);
	close(original);
	close(first);
	close(second);
	return 0;
}
