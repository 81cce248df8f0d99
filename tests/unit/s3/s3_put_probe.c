/*
 * s3_put_probe ENDPOINT REGION BUCKET FILE COUNT [THREADS]
 *
 * Puts one file COUNT times by THREADS callers and prints a link to each object. Keys
 * come from the environment, and so do CA_FILE, SEED (16 characters: the same objects
 * each time), MULTIPART_THRESHOLD, UNSIGNED, CHECKSUM, ENCRYPTION (numbers of enum) and
 * TAG. Measures on standard error: time and CPU per object.
 */
#include "s3/s3.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct work {
	struct s3_store *store;
	struct s3_object object;
	const char *name;
	unsigned count;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void hash(int fd, uint8_t digest[32])
{
	char buffer[65536];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_DigestInit(context, EVP_sha256());
	ssize_t n;
	for (off_t offset = 0; (n = pread(fd, buffer, sizeof(buffer), offset)) > 0;
		offset += n)
		EVP_DigestUpdate(context, buffer, (size_t)n);
	EVP_DigestFinal(context, digest, NULL);
	EVP_MD_CTX_free(context);
}

static void put_one(struct work *work, const uint8_t seed[16], unsigned number)
{
	g_autoptr(GError) error = NULL;
	int64_t now_s = (int64_t)time(NULL), expires_at_s;
	g_autofree char *key =
		s3_object_key("probe", "probe", seed, now_s, number, work->name);
	struct s3_object object = work->object;
	object.key = key;
	if (!s3_store_put(work->store, &object, 1, &error))
		die("put", error->message);
	g_autofree char *url = s3_store_presign(work->store, key, work->name,
		"application/octet-stream", now_s, 3600, &expires_at_s, &error);
	if (!url)
		die("presign", error->message);
	puts(url);
}

static gpointer run(gpointer data)
{
	struct work *work = data;
	uint8_t seed[16];
	const char *given = g_getenv("SEED");
	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = given ? (uint8_t)given[i % strlen(given)]
				: (uint8_t)g_random_int();
	for (unsigned i = 0; i < work->count; i++)
		put_one(work, seed, i);
	return NULL;
}

static uint64_t number(const char *name)
{
	const char *text = g_getenv(name);
	return text ? strtoull(text, NULL, 10) : 0;
}

static double seconds(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void report(unsigned count, gint64 took_us)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	double user_s = seconds(&usage.ru_utime), system_s = seconds(&usage.ru_stime);
	fprintf(stderr,
		"%u objects, %.0f a second; CPU ms an object: %.3f user, %.3f system; "
		"peak RSS %ld KiB\n",
		count, count * 1e6 / (double)took_us, 1e3 * user_s / count,
		1e3 * system_s / count, usage.ru_maxrss);
}

int main(int argc, char **argv)
{
	if (argc < 6 || argc > 7)
		die("usage", "s3_put_probe ENDPOINT REGION BUCKET FILE COUNT [THREADS]");
	struct s3_settings settings = { .endpoint = argv[1],
		.region = argv[2],
		.bucket = argv[3],
		.ca_file = g_getenv("CA_FILE"),
		.path_style = true };
	const char *tags[] = { g_getenv("TAG"), NULL };
	settings.tags = tags;
	settings.multipart_threshold = number("MULTIPART_THRESHOLD");
	settings.checksum = (enum s3_checksum)number("CHECKSUM");
	settings.unsigned_payload = number("UNSIGNED");
	settings.encryption = (enum s3_encryption)number("ENCRYPTION");
	unsigned n_threads = argc == 7 ? (unsigned)atoi(argv[6]) : 1;
	g_autoptr(GError) error = NULL;
	struct work work = { .store = s3_store_new(&settings, &error) };
	if (!work.store)
		die("store", error->message);
	struct stat st;
	work.object.fd = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (work.object.fd < 0 || fstat(work.object.fd, &st) < 0)
		die(argv[4], g_strerror(errno));
	g_autofree char *name = g_path_get_basename(argv[4]);
	work.name = work.object.file_name = name;
	work.object.size = (uint64_t)st.st_size;
	work.object.media_type = "application/octet-stream";
	work.object.message_id = "probe";
	work.count = (unsigned)atoi(argv[5]) / n_threads;
	hash(work.object.fd, work.object.sha256);

	gint64 start_us = g_get_monotonic_time();
	g_autoptr(GPtrArray) threads = g_ptr_array_new();
	for (unsigned i = 0; i < n_threads; i++)
		g_ptr_array_add(threads, g_thread_new("put", run, &work));
	for (unsigned i = 0; i < n_threads; i++)
		g_thread_join(threads->pdata[i]);
	report(work.count * n_threads, g_get_monotonic_time() - start_us);
	close(work.object.fd);
	s3_store_free(&work.store);
	return EXIT_SUCCESS;
}
