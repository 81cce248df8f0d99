/*
 * write - all of a block to a descriptor, however often the kernel takes only a part.
 *
 * Blocks as long as the descriptor does. Threads: any.
 */
#ifndef GATEWAY_WRITE_H
#define GATEWAY_WRITE_H

#include <stdbool.h>
#include <stddef.h>

/* False with errno: some of it may have been written. */
bool write_all(int fd, const void *data, size_t data_bytes);

#endif
