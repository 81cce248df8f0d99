/*
 * s3_put ENDPOINT BUCKET FILE COUNT - puts one file COUNT times, one after another, each
 * under a key of its own, as a delivery does: hashed, then signed and sent; up to 1 MiB
 * from memory, else from the file. Keys come from the environment, as AWS's tools have
 * them; IN_ONE_PIECE for stores that know no uploads in parts. For tests/bench/put.
 */
#include "s3/s3.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_MEMORY_BYTES ((size_t)1 << 20)
#define ONE_PIECE_BYTES ((uint64_t)5 << 30)
#define STEP_BYTES      ((size_t)64 << 10)

static void die(const char *what, const char *why)
{
	fprintf(stderr, "s3_put: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void hash(const struct s3_object *object, char *buffer, uint8_t digest[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_DigestInit_ex(context, EVP_sha256(), NULL);
	if (object->octets)
		EVP_DigestUpdate(context, object->octets, (size_t)object->size);
	ssize_t n = 0;
	for (off_t at = 0;
		!object->octets && (n = pread(object->fd, buffer, STEP_BYTES, at)) > 0;
		at += n)
		EVP_DigestUpdate(context, buffer, (size_t)n);
	EVP_DigestFinal_ex(context, digest, NULL);
	EVP_MD_CTX_free(context);
}

static void put(
	struct s3_store *store, struct s3_object *object, char *buffer, unsigned number)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *key = g_strdup_printf("bench/%d/%u.bin", getpid(), number);
	object->key = key;
	hash(object, buffer, object->sha256);
	if (!s3_store_put(store, object, 1, &error))
		die("put", error->message);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage", "s3_put ENDPOINT BUCKET FILE COUNT");
	const struct s3_settings settings = { .endpoint = argv[1],
		.region = "us-east-1",
		.bucket = argv[2],
		.path_style = true,
		.multipart_threshold = g_getenv("IN_ONE_PIECE") ? ONE_PIECE_BYTES : 0 };
	g_autoptr(GError) error = NULL;
	struct s3_store *store = s3_store_new(&settings, &error);
	if (!store)
		die("store", error->message);
	struct stat file;
	struct s3_object object = { .fd = open(argv[3], O_RDONLY | O_CLOEXEC),
		.media_type = "application/octet-stream",
		.file_name = "bench.bin",
		.message_id = "bench" };
	if (object.fd < 0 || fstat(object.fd, &file) < 0)
		die(argv[3], g_strerror(errno));
	object.size = (uint64_t)file.st_size;
	g_autofree char *content = g_malloc(IN_MEMORY_BYTES);
	if (object.size <= IN_MEMORY_BYTES) {
		if (pread(object.fd, content, (size_t)object.size, 0) != file.st_size)
			die(argv[3], "cannot be read");
		object.octets = content;
	}
	g_autofree char *buffer = g_malloc(STEP_BYTES);
	unsigned count = (unsigned)strtoul(argv[4], NULL, 10);
	for (unsigned i = 0; i < count; i++)
		put(store, &object, buffer, i);
	s3_store_free(&store);
	close(object.fd);
	return EXIT_SUCCESS;
}
