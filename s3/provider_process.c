/* A program of the admin's that prints credentials (credential_process): run without a
 * shell, its output and its time bounded. */
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/provider_kinds.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX_BYTES ((size_t)64 << 10)
#define TIMEOUT_MS       60000

extern char **environ;

/* ---- running ---- */

/* Its standard error goes nowhere: it may hold anything, a secret too. */
static void set_files(posix_spawn_file_actions_t *files, int output)
{
	posix_spawn_file_actions_init(files);
	posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
}

/* A group of its own, so that all of it can be killed; signals as a shell would give
 * them, since this thread blocks them. */
static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setflags(attributes,
		POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(attributes, 0);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
}

/* The reading end, or -1 with errno. */
static int start(const char *path, char **command, pid_t *pid)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	set_files(&files, ends[1]);
	set_attributes(&attributes);
	int result = posix_spawn(pid, path, &files, &attributes, command, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(ends[1]);
	if (result == 0)
		return ends[0];
	close(ends[0]);
	errno = result;
	return -1;
}

/* 0 at the end of the output, else why it was not read to there: EFBIG, ETIMEDOUT,
 * ECANCELED, or as read(2). */
static int read_output(int fd, int stop_fd, char *buffer, size_t *bytes)
{
	int64_t end_us = g_get_monotonic_time() + (int64_t)TIMEOUT_MS * 1000;
	*bytes = 0;
	for (;;) {
		int64_t left_ms = (end_us - g_get_monotonic_time()) / 1000;
		struct pollfd fds[] = { { fd, POLLIN, 0 }, { stop_fd, POLLIN, 0 } };
		if (left_ms <= 0)
			return ETIMEDOUT;
		if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
			return errno;
		if (fds[1].revents)
			return ECANCELED;
		if (!fds[0].revents)
			continue;
		ssize_t n = read(fd, buffer + *bytes, OUTPUT_MAX_BYTES + 1 - *bytes);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno;
		*bytes += n > 0 ? (size_t)n : 0;
		if (*bytes > OUTPUT_MAX_BYTES)
			return EFBIG;
	}
}

/* It has closed its output; what it does after that is not waited for long. */
static int reap(pid_t pid, bool kill_it)
{
	int status = 0;
	for (unsigned waited_ms = 0; !kill_it; waited_ms += 10) {
		if (waitpid(pid, &status, WNOHANG) != 0)
			return status;
		kill_it = waited_ms >= 2000;
		g_usleep(10000);
	}
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

static bool judge(
	const struct s3_provider *provider, int failure, int status, GError **error)
{
	const char *program = provider->command[0];
	if (failure == ETIMEDOUT)
		return s3_fail(error, S3_ERROR_RETRY,
			"credentials from %s: %s was not done within %d s",
			provider->source, program, TIMEOUT_MS / 1000);
	if (failure)
		return s3_fail(error, failure == EFBIG ? S3_ERROR_MEND : S3_ERROR_RETRY,
			"credentials from %s: the output of %s: %s", provider->source,
			program, g_strerror(failure));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	return s3_fail(error, S3_ERROR_MEND,
		"credentials from %s: %s ended with %s %d: run it by hand to see why",
		provider->source, program, WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static struct s3_credentials *load(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	pid_t pid;
	g_autofree char *path = g_find_program_in_path(provider->command[0]);
	int fd = path ? start(path, provider->command, &pid) : -1;
	if (fd < 0) {
		s3_fail(error, S3_ERROR_MEND, "credentials from %s: cannot run %s: %s",
			provider->source, provider->command[0],
			path ? g_strerror(errno) : "there is no such program");
		return NULL;
	}
	char *output = g_malloc(OUTPUT_MAX_BYTES + 1);
	size_t bytes;
	int failure = read_output(fd, stop_fd, output, &bytes);
	close(fd);
	int status = reap(pid, failure != 0);
	struct s3_credentials *credentials = NULL;
	if (judge(provider, failure, status, error))
		credentials = s3_credential_set_parse(
			output, bytes, true, provider->source, error);
	OPENSSL_cleanse(output, bytes);
	g_free(output);
	return credentials;
}

static const struct s3_provider_kind kind = { load };

struct s3_provider *s3_provider_process(
	const char *command_line, const char *source, GError **error)
{
	g_auto(GStrv) command = NULL;
	/* GLib's own text would quote the line, and what is secret in it. */
	if (!g_shell_parse_argv(command_line, NULL, &command, NULL))
		return s3_provider_refuse(
			source, error, "credential_process: a quote in it is not closed");
	struct s3_provider *provider = s3_provider_new(&kind, source);
	provider->command = g_steal_pointer(&command);
	return provider;
}
