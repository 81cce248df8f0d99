/* Removes directories with all that is in them. What stands there is not looked at. */
#include "tests/unit/tree.h"

#include <ftw.h>
#include <glib.h>
#include <stdio.h>

#define DESCRIPTORS 16 /* open at a time; deeper trees only take longer */

char *tree_directory;

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

int tree_set_up(void **state)
{
	(void)state;
	tree_directory = g_dir_make_tmp("stowage-XXXXXX", NULL);
	return tree_directory ? 0 : -1;
}

int tree_tear_down(void **state)
{
	(void)state;
	tree_remove(tree_directory);
	g_clear_pointer(&tree_directory, g_free);
	return 0;
}
