/*
 * tree - directories of tests' own, and what they leave behind in them.
 */
#ifndef TESTS_UNIT_TREE_H
#define TESTS_UNIT_TREE_H

/* Removes path and all below it; follows no links. What is not there is no error. */
void tree_remove(const char *path);

/* A new directory for each test that has these around it. */
extern char *tree_directory;
int tree_set_up(void **state);
int tree_tear_down(void **state);

#endif
