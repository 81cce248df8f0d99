/*
 * durable - bytes and names that are to be on the disk after a crash.
 *
 * Blocks as long as the disk does. Threads: any.
 */
#ifndef S3_DURABLE_H
#define S3_DURABLE_H

#include <stdbool.h>
#include <stddef.h>

/* All of data to fd, however often the kernel takes only a part. False with errno. */
bool s3_durable_write(int fd, const char *data, size_t n_bytes);

/* Syncs the directory path: what was made or renamed in it. False with errno. */
bool s3_durable_sync(const char *path);

#endif
