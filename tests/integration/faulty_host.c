/* Preloaded into a gateway: calls that change files fail, and the clock is off, as the
 * mapped file named by FAULTY_HOST says. Its layout is faulty_host.py's too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
	_Atomic int64_t clock_us; /* added to the real time */
	_Atomic int64_t error;    /* errno; 0: nothing fails */
	_Atomic int64_t first; /* of the calls that match: the first that fails, from 1 */
	_Atomic int64_t last;  /* and the last; 0: all from the first on */
	_Atomic int64_t seen;  /* calls that matched */
	char part[256];        /* of the path */
	char calls[256];       /* names with a blank on either side; "": any of them */
	_Atomic int64_t boot_us;  /* added to the time since boot */
	_Atomic int64_t sync_us;  /* that a sync takes longer */
	_Atomic int64_t syncs[3]; /* that took place: of files, folders, the journal */
};

static struct orders *orders;

__attribute__((constructor)) static void map_orders(void)
{
	const char *name = getenv("FAULTY_HOST");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED,
				    fd, 0);
	if (at != MAP_FAILED)
		orders = at;
	if (fd >= 0)
		close(fd);
}

static int fault(const char *call, const char *path)
{
	char wanted[32];
	if (!orders || !*orders->part || !strstr(path, orders->part))
		return 0;
	snprintf(wanted, sizeof wanted, " %s ", call);
	if (*orders->calls && !strstr(orders->calls, wanted))
		return 0;
	int64_t turn = ++orders->seen, last = orders->last;
	int64_t number = orders->error;
	if (!number || turn < orders->first || (last && turn > last))
		return 0;
	errno = (int)number;
	return 1;
}

static int fault_of(const char *call, int fd)
{
	char link[64], path[4096];
	int before = errno;
	if (!orders || !*orders->part)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t bytes = readlink(link, path, sizeof path - 1);
	path[bytes > 0 ? bytes : 0] = '\0';
	errno = before;
	return fault(call, path);
}

/* What fails without a descriptor of its own: the folder's path and the name. */
static int fault_at(const char *call, int folder, const char *name)
{
	char link[64], path[8192];
	int before = errno;
	if (!orders || !*orders->part)
		return 0;
	ssize_t bytes = 0;
	if (*name != '/') {
		snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
		bytes = readlink(
			folder == AT_FDCWD ? "/proc/self/cwd" : link, path, 4095);
	}
	bytes = bytes > 0 ? bytes : 0;
	snprintf(path + bytes, sizeof path - (size_t)bytes, "%s%s", bytes ? "/" : "",
		name);
	errno = before;
	return fault(call, path);
}

#define REAL(type, name, ...)                                                            \
	static type (*real)(__VA_ARGS__);                                                \
	if (!real)                                                                       \
	real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t bytes)
{
	REAL(ssize_t, "write", int, const void *, size_t);
	return fault_of("write", fd) ? -1 : real(fd, data, bytes);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at)
{
	REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
	return fault_of("pwrite", fd) ? -1 : real(fd, data, bytes, at);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	return pwrite64(fd, data, bytes, at);
}

enum { SYNCED_FILE, SYNCED_FOLDER, SYNCED_JOURNAL };

static int is_folder(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static void slow_down(int kind)
{
	if (!orders)
		return;
	orders->syncs[kind]++;
	if (orders->sync_us)
		usleep((useconds_t)orders->sync_us);
}

int fsync(int fd)
{
	REAL(int, "fsync", int);
	slow_down(is_folder(fd) ? SYNCED_FOLDER : SYNCED_FILE);
	return fault_of("fsync", fd) ? -1 : real(fd);
}

/* The queue's spool files and folders are synced by fsync(). */
int fdatasync(int fd)
{
	REAL(int, "fdatasync", int);
	slow_down(SYNCED_JOURNAL);
	return fault_of("fdatasync", fd) ? -1 : real(fd);
}

int ftruncate64(int fd, off_t bytes)
{
	REAL(int, "ftruncate64", int, off_t);
	return fault_of("ftruncate", fd) ? -1 : real(fd, bytes);
}

int ftruncate(int fd, off_t bytes)
{
	return ftruncate64(fd, bytes);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	REAL(int, "fallocate", int, int, off_t, off_t);
	return fault_of("fallocate", fd) ? -1 : real(fd, mode, at, bytes);
}

int rename(const char *from, const char *to)
{
	REAL(int, "rename", const char *, const char *);
	return fault_at("rename", AT_FDCWD, to) ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int folder, const char *to)
{
	REAL(int, "renameat", int, const char *, int, const char *);
	return fault_at("rename", folder, to) ? -1 : real(from_folder, from, folder, to);
}

int unlink(const char *name)
{
	REAL(int, "unlink", const char *);
	return fault_at("unlink", AT_FDCWD, name) ? -1 : real(name);
}

int unlinkat(int folder, const char *name, int flags)
{
	REAL(int, "unlinkat", int, const char *, int);
	return fault_at("unlink", folder, name) ? -1 : real(folder, name, flags);
}

int mkdirat(int folder, const char *name, mode_t mode)
{
	REAL(int, "mkdirat", int, const char *, mode_t);
	return fault_at("mkdir", folder, name) ? -1 : real(folder, name, mode);
}

static int open_at(int folder, const char *name, int flags, mode_t mode)
{
	REAL(int, "openat64", int, const char *, int, ...);
	int makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	return makes && fault_at("open", folder, name) ? -1
						       : real(folder, name, flags, mode);
}

#define MODE_OF(flags)                                                                   \
	mode_t mode = 0;                                                                 \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                                           \
		va_list more;                                                            \
		va_start(more, flags);                                                   \
		mode = va_arg(more, mode_t);                                             \
		va_end(more);                                                            \
	}

int open64(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(AT_FDCWD, name, flags, mode);
}

int open(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(AT_FDCWD, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(folder, name, flags, mode);
}

int openat(int folder, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(folder, name, flags, mode);
}

/* --- the clock --- */

static int64_t shift_us(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		return orders ? orders->clock_us : 0;
	case CLOCK_BOOTTIME:
		return orders ? orders->boot_us : 0;
	default:
		return 0;
	}
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	REAL(int, "clock_gettime", clockid_t, struct timespec *);
	int rc = real(clock, now);
	int64_t us = shift_us(clock);
	if (rc != 0 || us == 0)
		return rc;
	int64_t ns = now->tv_nsec + us % 1000000 * 1000;
	now->tv_sec += us / 1000000 + ns / 1000000000;
	now->tv_nsec = ns % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec exact;
	clock_gettime(CLOCK_REALTIME, &exact);
	if (now)
		*now = exact.tv_sec;
	return exact.tv_sec;
}
