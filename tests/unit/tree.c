/* Removes directories with all that is in them. What stands there is not looked at. */
#include "tests/unit/tree.h"

#include <ftw.h>
#include <stdio.h>

#define DESCRIPTORS 16 /* open at a time; deeper trees only take longer */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void tree_remove(const char *path)
{
	(void)nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
