/*
 * tree - what tests leave behind in directories of their own.
 */
#ifndef TESTS_UNIT_TREE_H
#define TESTS_UNIT_TREE_H

/* Removes path and all below it; follows no links. What is not there is no error. */
void tree_remove(const char *path);

#endif
