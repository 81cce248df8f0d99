/*
 * mime_bench FILE [TIMES]: how fast mime/ lists, decodes, hashes and splices one mail.
 *
 * Attachments go to an unlinked temporary file, the rewritten message to
 * memory that is thrown away. Prints MB/s of the message as sent, microseconds
 * per message, and the peak RSS.
 */
#include "mime/mime.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 * 1024 };

struct totals {
	double list_s, extract_s, link_s;
	uint64_t decoded_bytes;
	uint64_t result_bytes;
};

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what, const GError *error)
{
	fprintf(stderr, "mime_bench: %s: %s\n", what,
		error != NULL ? error->message : "failed");
	exit(1);
}

static int open_output(void *context, size_t index, GError **error)
{
	int fd = *(int *)context;

	(void)index;
	(void)error;
	if (lseek(fd, 0, SEEK_SET) < 0)
		die("lseek", NULL);
	return fd;
}

static void discard_output(void *context, size_t index)
{
	(void)context;
	(void)index;
}

static uint64_t read_result(const struct splice *splice, int fd)
{
	static char block[BLOCK_BYTES];
	struct splice_reader reader;
	GError *error = NULL;
	uint64_t total = 0;
	ssize_t n;

	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, block, sizeof(block), &error)) > 0)
		total += (uint64_t)n;
	if (n < 0)
		die("splice", error);
	return total;
}

static void rewrite(int fd, uint64_t bytes, int out, struct totals *totals)
{
	struct mime_settings settings;
	struct mime_output output = { open_output, discard_output, &out, NULL };
	const struct mime_attachment *attachments;
	GError *error = NULL;
	double start = now_s(), listed, extracted;

	mime_settings_init(&settings);
	struct mime_message *message =
		mime_message_new(fd, NULL, bytes, &settings, &error);

	if (message == NULL)
		die("list", error);
	listed = now_s();
	if (!mime_message_extract(message, &output, &error))
		die("extract", error);
	extracted = now_s();
	size_t n = mime_message_attachments(message, &attachments);
	struct mime_link *links = g_new0(struct mime_link, n);
	struct splice *splice = splice_new(bytes);

	for (size_t i = 0; i < n; i++) {
		links[i].url =
			"https://bucket.s3.example/mail/a?X-Amz-Signature=0123456789";
		links[i].expires = "2026-11-27 14:05 UTC";
		totals->decoded_bytes += attachments[i].size;
	}
	if (!mime_message_link(message, links, n, splice, &error))
		die("link", error);
	totals->result_bytes += read_result(splice, fd);
	totals->list_s += listed - start;
	totals->extract_s += extracted - listed;
	totals->link_s += now_s() - extracted;
	g_free(links);
	splice_free(&splice);
	mime_message_free(&message);
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/mime_bench.XXXXXX";
	unsigned long times = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	struct totals totals = { 0 };
	struct rusage usage;
	struct stat status;

	if (argc < 2 || times == 0) {
		fprintf(stderr, "usage: mime_bench FILE [TIMES]\n");
		return 64;
	}
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	int out = mkostemp(path, O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0 || out < 0)
		die(argv[1], NULL);
	unlink(path);
	mime_init();
	for (unsigned long i = 0; i < times; i++)
		rewrite(fd, (uint64_t)status.st_size, out, &totals);
	getrusage(RUSAGE_SELF, &usage);

	double all_s = totals.list_s + totals.extract_s + totals.link_s,
	       runs = (double)times;

	printf("message %.3f MB, decoded %.3f MB, result %.3f MB\n",
		(double)status.st_size / 1e6, (double)totals.decoded_bytes / runs / 1e6,
		(double)totals.result_bytes / runs / 1e6);
	printf("list %.1f us, decode+hash+write %.1f us (%.0f decoded MB/s), link+splice "
	       "%.1f us\n",
		totals.list_s / runs * 1e6, totals.extract_s / runs * 1e6,
		(double)totals.decoded_bytes / 1e6 / totals.extract_s,
		totals.link_s / runs * 1e6);
	printf("all %.1f us, %.0f MB/s, peak RSS %.1f MB\n", all_s / runs * 1e6,
		(double)status.st_size * runs / 1e6 / all_s,
		(double)usage.ru_maxrss / 1e3);
	close(fd);
	close(out);
	return 0;
}
