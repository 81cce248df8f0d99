/* Runs stowage-tnef and waits for it. What arrives is the parser's. */
#include "gateway/tnef/tnef.h"

#include "gateway/error.h"
#include "gateway/tnef/record.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM     "stowage-tnef"
#define WAIT_MS     10000
#define BLOCK_BYTES 65536

static bool fail(GError **error, const char *what)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT, "%s: %s", what,
		g_strerror(errno));
	return false;
}

/* Where it was installed together with this program. */
static char *find_program(const char *program)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *directory = self ? g_path_get_dirname(self) : g_strdup("");
	return program ? g_strdup(program) : g_build_filename(directory, PROGRAM, NULL);
}

/* A descriptor of its own whose file is the container; -1 with error. */
static int input_of(const char *octets, int fd, uint64_t bytes, GError **error)
{
	int input = octets ? memfd_create("container", MFD_CLOEXEC)
			   : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (input >= 0 && (!octets || write_all(input, octets, (size_t)bytes)))
		return input;
	fail(error, "cannot hand the container over");
	if (input >= 0)
		close(input);
	return -1;
}

/* Signals that the caller's thread has blocked are not blocked there. */
static int spawn(const char *path, int input, int output, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	char *const argv[] = { (char *)PROGRAM, NULL }, *const environment[] = { NULL };
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	int result = posix_spawn(pid, path, &files, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return result;
}

static bool read_records(int pipe, struct tnef_parser *parser, GError **error)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	int64_t end_ms = g_get_monotonic_time() / 1000 + WAIT_MS;
	for (;;) {
		struct pollfd poller = { .fd = pipe, .events = POLLIN };
		int64_t left_ms = end_ms - g_get_monotonic_time() / 1000;
		if (left_ms <= 0) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
				"%s took too long", PROGRAM);
			return false;
		}
		if (poll(&poller, 1, (int)left_ms) <= 0)
			continue;
		ssize_t n = read(pipe, block, BLOCK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(error, "cannot read from " PROGRAM);
		if (n == 0)
			return true;
		if (!tnef_parser_push(parser, block, (size_t)n, error))
			return false;
	}
}

/* Whatever it does by now: it has said all it had to say. */
static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool run(const char *path, int input, struct tnef_parser *parser, GError **error)
{
	int ends[2];
	pid_t pid;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(error, "cannot make a pipe");
	int failure = spawn(path, input, ends[1], &pid);
	close(ends[1]);
	bool ok = failure == 0;
	if (ok) {
		ok = read_records(ends[0], parser, error);
		end(pid);
	} else {
		errno = failure;
		fail(error, path);
	}
	close(ends[0]);
	return ok;
}

GArray *tnef_read(const char *octets, int fd, uint64_t bytes, int target,
	const char *program, GError **error)
{
	if (bytes == 0 || bytes > TNEF_INPUT_BYTES) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
			"it is empty, or over %d octets", (int)TNEF_INPUT_BYTES);
		return NULL;
	}
	int input = input_of(octets, fd, bytes, error);
	if (input < 0)
		return NULL;
	g_autofree char *path = find_program(program);
	struct tnef_parser *parser = tnef_parser_new(bytes, target);
	GArray *files = run(path, input, parser, error)
				? tnef_parser_finish(&parser, error)
				: NULL;
	tnef_parser_free(&parser);
	close(input);
	return files;
}
