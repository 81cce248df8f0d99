/* A signalfd under uv_poll. What a signal means is serve.c's. */
#include "gateway/signals.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signals {
	uv_poll_t poll;
	int fd;
	void (*told)(void *context, int number);
	void *context;
};

static void fill(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
}

void signals_block(void)
{
	sigset_t set;
	fill(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct signals *signals = poll->data;
	struct signalfd_siginfo one;
	(void)status, (void)events;
	/* One at a time: told may have freed us. A descriptor that has
	 * more calls again. */
	if (read(signals->fd, &one, sizeof(one)) == sizeof(one))
		signals->told(signals->context, (int)one.ssi_signo);
}

struct signals *signals_new(
	uv_loop_t *loop, void (*told)(void *context, int number), void *context)
{
	sigset_t set;
	fill(&set);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct signals *signals = g_new0(struct signals, 1);
	signals->fd = fd;
	signals->told = told;
	signals->context = context;
	signals->poll.data = signals;
	int bad = uv_poll_init(loop, &signals->poll, fd);
	if (bad) {
		close(fd);
		g_free(signals);
		errno = -bad;
		return NULL;
	}
	uv_poll_start(&signals->poll, UV_READABLE, on_readable);
	return signals;
}

static void on_closed(uv_handle_t *handle)
{
	struct signals *signals = handle->data;
	close(signals->fd);
	g_free(signals);
}

void signals_free(struct signals **signals)
{
	struct signals *old = g_steal_pointer(signals);
	if (old)
		uv_close((uv_handle_t *)&old->poll, on_closed);
}
