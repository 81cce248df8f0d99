/*
 * mail_flow PORT: both ends of a mail server on loopback, for its rate and latency.
 *
 * Takes mail at PORT, as a relay does. For each line of standard input,
 *
 *	SERVER SESSIONS MESSAGES RATE RECIPIENT
 *
 * sends so many messages of 2 KB to the server at that port, each over a connection of
 * its own, at most SESSIONS at a time, RATE a second (0: as fast as they go). Once all
 * have come back, or none has for a while, prints a line of JSON: how many came, how long
 * that took, and for a message from its final dot to the 250 and to its own end at PORT:
 * median and 99th percentile. A RECIPIENT that begins with "-" (which is left out) is one
 * whose mail does not come back; then the last 250 is the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENDS_MAX     1000
#define BUFFER_BYTES 16384
#define BODY_BYTES   2048
#define PATIENCE_MS  60000
#define NUMBER       "X-Flow: "

/* One connection: of a client's, or a relay's that has come to PORT. */
struct end {
	int fd; /* -1: free */
	bool is_relay, in_data;
	size_t step;     /* client: replies had */
	size_t number;   /* client: of its message */
	size_t buffered; /* octets in buffer */
	char buffer[BUFFER_BYTES + 1];
};

struct run {
	uint16_t server;
	size_t sessions, messages;
	double rate;
	char recipient[128];
	bool comes_back;
	size_t begun, open, acked, arrived;
	int64_t began_ns, last_ns;
	int64_t *dot_ns, *ack_ns, *end_ns; /* per message; 0: not yet */
};

static struct end ends[ENDS_MAX];
static char body[BODY_BYTES + 1];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "mail_flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static struct end *new_end(int fd, bool is_relay)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
	for (size_t i = 0; i < ENDS_MAX; i++) {
		if (ends[i].fd >= 0)
			continue;
		ends[i].fd = fd;
		ends[i].is_relay = is_relay;
		ends[i].in_data = false;
		ends[i].step = ends[i].buffered = 0;
		return &ends[i];
	}
	die("too many connections");
}

static void close_end(struct end *end)
{
	close(end->fd);
	end->fd = -1;
}

/* What is sent at a time fits any socket's buffer. */
static void put(struct end *end, const char *text, size_t length)
{
	if (length && send(end->fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("send");
}

/* False: the other end has closed. */
static bool fill(struct end *end)
{
	if (end->buffered == BUFFER_BYTES)
		die("too much at a time");
	ssize_t got = recv(
		end->fd, end->buffer + end->buffered, BUFFER_BYTES - end->buffered, 0);
	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0)
		return false;
	end->buffered += (size_t)got;
	end->buffer[end->buffered] = '\0';
	return true;
}

static void drop(struct end *end, size_t octets)
{
	end->buffered -= octets;
	memmove(end->buffer, end->buffer + octets, end->buffered + 1);
}

/* ---- the relay's end ---- */

static const char *answer(const char *line)
{
	if (!strncasecmp(line, "EHLO", 4))
		return "250-flow.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
		       "250 ENHANCEDSTATUSCODES\r\n";
	if (!strncasecmp(line, "DATA", 4))
		return "354 go on\r\n";
	if (!strncasecmp(line, "QUIT", 4))
		return "221 2.0.0 bye\r\n";
	return "250 2.0.0 ok\r\n";
}

static void note_arrival(struct run *run, const char *message)
{
	const char *found = strstr(message, NUMBER);
	unsigned long number =
		found ? strtoul(found + strlen(NUMBER), NULL, 10) : run->messages;
	if (number >= run->messages || run->end_ns[number])
		die("a message that was not sent, or twice");
	run->end_ns[number] = run->last_ns = now_ns();
	run->arrived++;
}

/* The length of what was taken from the buffer; 0: it needs more. */
static size_t take(struct end *end, struct run *run, const char **said)
{
	char *stop = strstr(end->buffer, end->in_data ? "\r\n.\r\n" : "\r\n");
	if (!stop)
		return 0;
	*stop = '\0';
	if (end->in_data) {
		note_arrival(run, end->buffer);
		end->in_data = false;
		*said = "250 2.0.0 taken\r\n";
		return (size_t)(stop - end->buffer) + 5;
	}
	*said = answer(end->buffer);
	end->in_data = **said == '3';
	return (size_t)(stop - end->buffer) + 2;
}

static void serve(struct end *end, struct run *run)
{
	char replies[4096];
	size_t length = 0, taken;
	const char *said;
	bool open = fill(end);
	while (open && (taken = take(end, run, &said))) {
		drop(end, taken);
		if (length + strlen(said) >= sizeof(replies))
			die("too many commands at a time");
		memcpy(replies + length, said, strlen(said));
		length += strlen(said);
		open = strncmp(said, "221", 3) != 0;
	}
	put(end, replies, length);
	if (!open)
		close_end(end);
}

/* ---- the client's end ---- */

static void begin(struct run *run)
{
	struct sockaddr_in address = loopback(run->server);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	new_end(fd, false)->number = run->begun++;
	run->open++;
}

/* The message, whose last octets are the final dot. */
static void send_message(struct end *end, struct run *run)
{
	char text[BODY_BYTES + 512];
	int length = snprintf(text, sizeof(text),
		"From: <a@flow.test>\r\nTo: <%s>\r\nSubject: flow\r\n"
		"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-ID: "
		"<%zu@flow.test>\r\n" NUMBER "%zu\r\n\r\n%s.\r\n",
		run->recipient, end->number, end->number, body);
	run->dot_ns[end->number] = now_ns();
	put(end, text, (size_t)length);
}

/* After the reply that belongs to end->step. */
static void go_on(struct end *end, struct run *run)
{
	char line[256];
	int length = 0;
	switch (end->step++) {
	case 0:
		length = snprintf(line, sizeof(line), "EHLO client.test\r\n");
		break;
	case 1:
		length = snprintf(line, sizeof(line), "MAIL FROM:<a@flow.test>\r\n");
		break;
	case 2:
		length = snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", run->recipient);
		break;
	case 3:
		length = snprintf(line, sizeof(line), "DATA\r\n");
		break;
	case 4:
		send_message(end, run);
		break;
	case 5:
		run->ack_ns[end->number] = run->last_ns = now_ns();
		run->acked++;
		length = snprintf(line, sizeof(line), "QUIT\r\n");
		break;
	default:
		close_end(end);
		run->open--;
		return;
	}
	put(end, line, (size_t)length);
}

static void converse(struct end *end, struct run *run)
{
	if (!fill(end)) {
		fprintf(stderr, "mail_flow: the server has closed: %s\n", end->buffer);
		exit(1);
	}
	for (char *stop; end->fd >= 0 && (stop = strstr(end->buffer, "\r\n"));) {
		bool last = end->buffer[3] == ' ';
		if (last && !strchr("23", end->buffer[0])) {
			*stop = '\0';
			fprintf(stderr, "mail_flow: refused: %s\n", end->buffer);
			exit(1);
		}
		drop(end, (size_t)(stop - end->buffer) + 2);
		if (last)
			go_on(end, run);
	}
}

/* ---- a run ---- */

/* Milliseconds until the next message is to begin; 0: now. */
static int until_next(const struct run *run)
{
	if (run->begun == run->messages || run->open == run->sessions)
		return PATIENCE_MS;
	if (run->rate <= 0)
		return 0;
	double due_ns = (double)run->begun * 1e9 / run->rate;
	double wait_ms = (due_ns - (double)(now_ns() - run->began_ns)) / 1e6;
	return wait_ms <= 0 ? 0 : (int)wait_ms + 1;
}

static bool is_done(const struct run *run)
{
	return run->acked == run->messages && run->open == 0 &&
	       (!run->comes_back || run->arrived == run->messages);
}

/* Waits for timeout_ms at most; false: nothing happened. */
static bool turn(int listener, struct run *run, int timeout_ms)
{
	struct pollfd polls[ENDS_MAX + 1] = { { listener, POLLIN, 0 } };
	struct end *of[ENDS_MAX + 1];
	nfds_t n = 1;
	for (size_t i = 0; i < ENDS_MAX; i++) {
		if (ends[i].fd < 0)
			continue;
		of[n] = &ends[i];
		polls[n++] = (struct pollfd){ ends[i].fd, POLLIN, 0 };
	}
	int ready = poll(polls, n, timeout_ms);
	if (ready < 0 && errno != EINTR)
		die("poll");
	for (nfds_t i = 1; ready > 0 && i < n; i++) {
		if (!polls[i].revents)
			continue;
		if (of[i]->is_relay)
			serve(of[i], run);
		else
			converse(of[i], run);
	}
	if (ready > 0 && polls[0].revents) {
		int fd = accept(listener, NULL, NULL);
		if (fd >= 0)
			put(new_end(fd, true), "220 flow.test\r\n", 15);
	}
	return ready > 0;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* "[median, 99th percentile]" of to - from, in ms. */
static void print_times(
	const char *name, const struct run *run, const int64_t *to, size_t wanted)
{
	int64_t *times = calloc(run->messages, sizeof(*times));
	size_t n = 0;
	for (size_t i = 0; times && i < run->messages; i++)
		if (to[i])
			times[n++] = to[i] - run->dot_ns[i];
	if (times && n == wanted && n > 0) {
		qsort(times, n, sizeof(*times), compare);
		printf(", \"%s\": [%.3f, %.3f]", name, (double)times[n / 2] / 1e6,
			(double)times[n * 99 / 100] / 1e6);
	}
	free(times);
}

static void run_one(int listener, struct run *run)
{
	run->dot_ns = calloc(run->messages, sizeof(int64_t));
	run->ack_ns = calloc(run->messages, sizeof(int64_t));
	run->end_ns = calloc(run->messages, sizeof(int64_t));
	if (!run->dot_ns || !run->ack_ns || !run->end_ns)
		die("calloc");
	run->began_ns = run->last_ns = now_ns();
	while (!is_done(run)) {
		int wait_ms;
		while ((wait_ms = until_next(run)) == 0 && run->open < run->sessions)
			begin(run);
		if (!turn(listener, run, wait_ms) &&
			now_ns() - run->last_ns > (int64_t)PATIENCE_MS * 1000000)
			break;
	}
	printf("{\"messages\": %zu, \"arrived\": %zu, \"seconds\": %.4f", run->messages,
		run->comes_back ? run->arrived : run->acked,
		(double)(run->last_ns - run->began_ns) / 1e9);
	print_times("ack_ms", run, run->ack_ns, run->acked);
	print_times("end_ms", run, run->end_ns, run->arrived);
	printf("}\n");
	fflush(stdout);
	free(run->dot_ns);
	free(run->ack_ns);
	free(run->end_ns);
}

static int listen_at(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 500) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("listen");
	return fd;
}

/* False: the input has ended. */
static bool read_run(struct run *run)
{
	char line[256], recipient[128];
	unsigned server;
	*run = (struct run){ .comes_back = true };
	if (!fgets(line, sizeof(line), stdin))
		return false;
	if (sscanf(line, "%u %zu %zu %lf %127s", &server, &run->sessions, &run->messages,
		    &run->rate, recipient) != 5 ||
		server > UINT16_MAX || run->sessions < 1 || run->messages < 1 ||
		run->sessions > ENDS_MAX / 2)
		die("not a run");
	run->server = (uint16_t)server;
	run->comes_back = recipient[0] != '-';
	snprintf(run->recipient, sizeof(run->recipient), "%s",
		recipient + !run->comes_back);
	return true;
}

int main(int argc, char **argv)
{
	struct run run;
	if (argc != 2) {
		fprintf(stderr, "usage: mail_flow PORT\n");
		return 2;
	}
	for (size_t i = 0; i < ENDS_MAX; i++)
		ends[i].fd = -1;
	for (size_t i = 0; i < BODY_BYTES; i += 64)
		memcpy(body + i,
			"The water in the tank stands at two metres, which is "
			"normal...\r\n",
			64);
	int listener = listen_at((uint16_t)atoi(argv[1]));
	printf("ready\n");
	fflush(stdout);
	while (read_run(&run))
		run_one(listener, &run);
	return 0;
}
