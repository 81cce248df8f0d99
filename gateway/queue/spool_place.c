/* Where the spool files lie, and finding them there. Leaves writing them to spool.c, and
 * the folders' syncs and ends to folders.c. */
#include "gateway/queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLACE_BYTES 64 /* folder, slash and ID */

void spool_folder(const char *id, char folder[SPOOL_FOLDER_BYTES])
{
	g_strlcpy(folder, id, SPOOL_FOLDER_BYTES);
}

bool spool_folder_is_valid(const char *name)
{
	return strlen(name) == SPOOL_FOLDER_BYTES - 1 &&
	       strspn(name, "0123456789abcdefghjkmnpqrstvwxyz") == SPOOL_FOLDER_BYTES - 1;
}

static void place_of(const char *id, char place[PLACE_BYTES])
{
	char folder[SPOOL_FOLDER_BYTES];
	spool_folder(id, folder);
	g_snprintf(place, PLACE_BYTES, "%s/%s", folder, id);
}

char *spool_path(const char *directory, const char *id)
{
	char place[PLACE_BYTES];
	place_of(id, place);
	g_autofree char *path = g_build_filename(directory, place, NULL);
	g_autofree char *flat = g_build_filename(directory, id, NULL);
	bool is_flat =
		access(path, F_OK) < 0 && errno == ENOENT && access(flat, F_OK) == 0;
	return is_flat ? g_steal_pointer(&flat) : g_steal_pointer(&path);
}

int spool_open(int directory_fd, const char *id)
{
	char place[PLACE_BYTES];
	place_of(id, place);
	/* Nobody's pipe is waited for. */
	const int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = openat(directory_fd, place, how);
	if (fd < 0 && errno == ENOENT)
		fd = openat(directory_fd, id, how);
	return fd;
}

static bool is_absent(int directory_fd, const char *name)
{
	return faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	       errno == ENOENT;
}

bool spool_exists(int directory_fd, const char *id)
{
	char place[PLACE_BYTES];
	place_of(id, place);
	return !is_absent(directory_fd, place) || !is_absent(directory_fd, id);
}

bool spool_remove(int directory_fd, const char *id)
{
	char place[PLACE_BYTES];
	place_of(id, place);
	if (unlinkat(directory_fd, place, 0) == 0)
		return true;
	return errno == ENOENT && (unlinkat(directory_fd, id, 0) == 0 || errno == ENOENT);
}
