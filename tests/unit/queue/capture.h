/*
 * capture - what a command prints and gives back.
 */
#ifndef TESTS_UNIT_QUEUE_CAPTURE_H
#define TESTS_UNIT_QUEUE_CAPTURE_H

#include "conf/conf.h"

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct ran {
	int code;
	char *out, *err;
};

typedef int (*capture_command)(const struct conf *conf, int argc, char **argv);

/* Runs command with arguments, NULL-ended. capture_clear() the result. */
struct ran capture_run(
	capture_command command, const struct conf *conf, const char *const *arguments);
void capture_clear(struct ran *ran);

/* Fails the test unless it ends with code and prints these parts (NULL: anything). */
void capture_check(capture_command command, const struct conf *conf,
	const char *const *arguments, int code, const char *out, const char *err);

#endif
