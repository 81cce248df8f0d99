/* write(2) to its end, fsync(2) of a directory. What the failure means
 * is the caller's. */
#include "s3/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool s3_durable_write(int fd, const char *data, size_t n_bytes)
{
	while (n_bytes) {
		ssize_t written = write(fd, data, n_bytes);
		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			data += written;
			n_bytes -= (size_t)written;
		}
	}
	return true;
}

bool s3_durable_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool synced = fsync(fd) == 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return synced;
}
