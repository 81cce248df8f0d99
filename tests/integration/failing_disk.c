/* Preloaded into a gateway: writes to files fail while the file named by FAILING_DISK says
 * so, as "ERRNO PART-OF-PATH". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd)
{
	char link[64], path[4096], text[256], part[200];
	const char *name = getenv("FAILING_DISK");
	int orders = name ? open(name, O_RDONLY | O_CLOEXEC) : -1, number = 0;
	if (orders < 0)
		return 0;
	ssize_t n = read(orders, text, sizeof text - 1);
	close(orders);
	text[n > 0 ? n : 0] = '\0';
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t bytes = readlink(link, path, sizeof path - 1);
	path[bytes > 0 ? bytes : 0] = '\0';
	if (sscanf(text, "%d %199s", &number, part) != 2 || !strstr(path, part))
		return 0;
	errno = number;
	return 1;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
	static ssize_t (*real)(int, const void *, size_t);
	if (!real)
		real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	return fault(fd) ? -1 : real(fd, data, bytes);
}

static ssize_t pwrite_at(int fd, const void *data, size_t bytes, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(
			RTLD_NEXT, "pwrite64");
	return fault(fd) ? -1 : real(fd, data, bytes, at);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	return pwrite_at(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at)
{
	return pwrite_at(fd, data, bytes, at);
}
