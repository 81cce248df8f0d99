/* The one loop around write(2). What a failure means, and syncing, is left to the
 * caller. */
#include "gateway/write.h"

#include <errno.h>
#include <unistd.h>

bool write_all(int fd, const void *data, size_t data_bytes)
{
	const char *at = data;
	while (data_bytes > 0) {
		ssize_t n = write(fd, at, data_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return false;
		at += n;
		data_bytes -= (size_t)n;
	}
	return true;
}
