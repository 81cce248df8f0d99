/* A command run with its output in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_MAX_BYTES (4 << 20)
#define ARGUMENTS_MAX    32

static int send_to(int fd, FILE *file)
{
	int before = dup(fd);
	assert_true(before >= 0 && dup2(fileno(file), fd) == fd);
	return before;
}

static char *take_back(int fd, int before, FILE *file)
{
	fflush(fd == STDOUT_FILENO ? stdout : stderr);
	dup2(before, fd);
	close(before);
	rewind(file);
	char *text = g_malloc0(OUTPUT_MAX_BYTES);
	size_t n = fread(text, 1, OUTPUT_MAX_BYTES - 1, file);
	assert_true(n < OUTPUT_MAX_BYTES - 1);
	fclose(file);
	return text;
}

struct ran capture_run(
	capture_command command, const struct conf *conf, const char *const *arguments)
{
	char *argv[ARGUMENTS_MAX] = { NULL };
	int argc = 0;
	for (; arguments[argc]; argc++) {
		assert_true(argc < ARGUMENTS_MAX - 1);
		argv[argc] = (char *)arguments[argc]; /* not written to, as in main() */
	}
	FILE *out = tmpfile(), *err = tmpfile();
	fflush(stdout);
	int out_before = send_to(STDOUT_FILENO, out);
	int err_before = send_to(STDERR_FILENO, err);
	struct ran ran = { .code = command(conf, argc, argv) };
	ran.out = take_back(STDOUT_FILENO, out_before, out);
	ran.err = take_back(STDERR_FILENO, err_before, err);
	return ran;
}

void capture_clear(struct ran *ran)
{
	g_clear_pointer(&ran->out, g_free);
	g_clear_pointer(&ran->err, g_free);
}

void capture_check(capture_command command, const struct conf *conf,
	const char *const *arguments, int code, const char *out, const char *err)
{
	struct ran ran = capture_run(command, conf, arguments);
	if (ran.code != code || (out && !strstr(ran.out, out)) ||
		(err && !strstr(ran.err, err)))
		fail_msg("%s: exit code %d, out \"%s\", err \"%s\"", arguments[0],
			ran.code, ran.out, ran.err);
	capture_clear(&ran);
}
