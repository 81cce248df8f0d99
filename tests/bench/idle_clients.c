/*
 * idle_clients PORT COUNT: holds COUNT SMTP sessions under STARTTLS, EHLO said, on
 * loopback.
 *
 * Says "held COUNT" once all are there; then waits until the server has closed them all,
 * and says "closed COUNT told N": N of them were told 421 first. Ends early when its
 * standard input does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS         4
#define PATIENCE_S      60
#define REPLY_BYTES_MAX 4096

struct client {
	int socket;
	SSL *ssl; /* NULL: in clear */
};

struct tally {
	uint32_t held, closed, told;
};

static void die(const char *what)
{
	fprintf(stderr, "idle_clients: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* ---- one client ---- */

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static ssize_t client_read(struct client *client, char *bytes, size_t room)
{
	if (client->ssl)
		return SSL_read(client->ssl, bytes, (int)room);
	return recv(client->socket, bytes, room, 0);
}

static void client_write(struct client *client, const char *text)
{
	size_t n = strlen(text);
	ssize_t written = client->ssl ? SSL_write(client->ssl, text, (int)n)
				      : send(client->socket, text, n, MSG_NOSIGNAL);
	if (written != (ssize_t)n)
		die("write");
}

/* Whether reply ends with a whole line that is the last of a reply. */
static bool is_whole(const char *reply, size_t n_bytes)
{
	if (n_bytes == 0 || reply[n_bytes - 1] != '\n')
		return false;
	const char *line = memrchr(reply, '\n', n_bytes - 1);
	line = line ? line + 1 : reply;
	return reply + n_bytes - line > 4 && line[3] == ' ';
}

static void expect(struct client *client, const char *code)
{
	char reply[REPLY_BYTES_MAX + 1];
	size_t n_bytes = 0;
	while (!is_whole(reply, n_bytes)) {
		ssize_t n =
			client_read(client, reply + n_bytes, REPLY_BYTES_MAX - n_bytes);
		if (n <= 0)
			die("read");
		n_bytes += (size_t)n;
	}
	reply[n_bytes] = '\0';
	if (strncmp(reply, code, strlen(code)) != 0) {
		fprintf(stderr, "idle_clients: not %s: %s", code, reply);
		exit(1);
	}
}

static void client_open(struct client *client, SSL_CTX *context, uint16_t port)
{
	client->socket = connect_to(port);
	client->ssl = NULL;
	expect(client, "220");
	client_write(client, "EHLO idle.test\r\n");
	expect(client, "250");
	client_write(client, "STARTTLS\r\n");
	expect(client, "220");
	client->ssl = SSL_new(context);
	if (!client->ssl || !SSL_set_fd(client->ssl, client->socket) ||
		SSL_connect(client->ssl) != 1)
		die("handshake");
	client_write(client, "EHLO idle.test\r\n");
	expect(client, "250");
}

/* Waits for the server's last words. */
static void client_await_end(struct client *client, struct tally *tally)
{
	char words[REPLY_BYTES_MAX];
	ssize_t n = client_read(client, words, sizeof(words));
	if (n >= 4 && !strncmp(words, "421 ", 4))
		tally->told++;
	while (n > 0)
		n = client_read(client, words, sizeof(words));
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		die("the server does not close");
	tally->closed++;
	SSL_free(client->ssl);
	close(client->socket);
}

/* ---- workers ---- */

static void report(int pipe, const struct tally *tally)
{
	if (write(pipe, tally, sizeof(*tally)) != sizeof(*tally))
		die("report");
}

static void work(uint16_t port, uint32_t count, int pipe)
{
	struct tally tally = { 0 };
	struct client *clients = calloc(count, sizeof(*clients));
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!clients || !context)
		die("memory");
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	for (; tally.held < count; tally.held++)
		client_open(&clients[tally.held], context, port);
	report(pipe, &tally);
	for (uint32_t i = 0; i < count; i++)
		client_await_end(&clients[i], &tally);
	report(pipe, &tally);
	SSL_CTX_free(context);
	free(clients);
	exit(0);
}

struct worker {
	pid_t pid;
	int reports;
};

static struct worker start_worker(uint16_t port, uint32_t count)
{
	int reports[2];
	if (pipe2(reports, O_CLOEXEC))
		die("pipe");
	struct worker worker = { fork(), reports[0] };
	if (worker.pid < 0)
		die("fork");
	if (worker.pid == 0)
		work(port, count, reports[1]);
	close(reports[1]);
	return worker;
}

/* False: the worker failed, or nobody wants to know. */
static bool read_report(const struct worker *worker, struct tally *tally)
{
	struct pollfd waits[] = { { .fd = worker->reports, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	return poll(waits, 2, -1) > 0 && waits[0].revents &&
	       read(worker->reports, tally, sizeof(*tally)) == sizeof(*tally);
}

/* One report of each. */
static bool collect(const struct worker workers[WORKERS], struct tally *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < WORKERS; i++) {
		struct tally tally;
		if (!read_report(&workers[i], &tally))
			return false;
		sum->held += tally.held;
		sum->closed += tally.closed;
		sum->told += tally.told;
	}
	return true;
}

static void allow_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("setrlimit");
}

static bool hold(const struct worker workers[WORKERS])
{
	struct tally sum;
	if (!collect(workers, &sum))
		return false;
	printf("held %u\n", sum.held);
	fflush(stdout);
	if (!collect(workers, &sum))
		return false;
	printf("closed %u told %u\n", sum.closed, sum.told);
	return true;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: idle_clients PORT COUNT\n");
		return 2;
	}
	uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
	uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
	struct worker workers[WORKERS];
	allow_descriptors();
	for (uint32_t i = 0; i < WORKERS; i++)
		workers[i] = start_worker(port, count / WORKERS + (i < count % WORKERS));
	bool good = hold(workers);
	for (unsigned i = 0; i < WORKERS; i++) {
		int status;
		if (!good)
			kill(workers[i].pid, SIGKILL);
		good &= waitpid(workers[i].pid, &status, 0) > 0 && status == 0;
	}
	return good ? 0 : 1;
}
