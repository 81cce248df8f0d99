/* Ends connections that are too slow by shutting them down under libmicrohttpd, which
 * then sees them as ended by their clients. */
#include "gateway/admin/visitors.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct visitor {
	GList link;
	int fd;
	bool is_answered, is_cut_off;
	int64_t since_us;    /* of what it is at now; of an answer, of the window */
	uint64_t sent_bytes; /* acknowledged when the window began */
};

struct visitors {
	GMutex lock;
	GCond changed;
	GQueue all; /* under lock, as stopping is */
	bool stopping;
	unsigned interval_ms;
	void (*tick)(void *context);
	void *context;
	GThread *thread;
};

static uint64_t bytes_taken(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0
		       ? info.tcpi_bytes_acked
		       : 0;
}

static bool is_too_slow(struct visitor *visitor, int64_t now_us)
{
	int64_t for_us = now_us - visitor->since_us;
	if (!visitor->is_answered)
		return for_us > VISITORS_HEADER_S * G_TIME_SPAN_SECOND;
	if (for_us < VISITORS_WINDOW_S * G_TIME_SPAN_SECOND)
		return false;
	uint64_t taken = bytes_taken(visitor->fd);
	uint64_t least =
		(uint64_t)(for_us / G_TIME_SPAN_SECOND) * (uint64_t)VISITORS_BYTES_S;
	if (taken - visitor->sent_bytes < least)
		return true;
	visitor->since_us = now_us;
	visitor->sent_bytes = taken;
	return false;
}

size_t visitors_look(struct visitors *visitors, int64_t now_us)
{
	size_t n = 0;
	g_mutex_lock(&visitors->lock);
	for (GList *at = visitors->all.head; at; at = at->next) {
		struct visitor *visitor = at->data;
		if (visitor->is_cut_off || !is_too_slow(visitor, now_us))
			continue;
		visitor->is_cut_off = true;
		shutdown(visitor->fd, SHUT_RDWR);
		n++;
	}
	g_mutex_unlock(&visitors->lock);
	return n;
}

static bool rest(struct visitors *visitors)
{
	int64_t until_us = g_get_monotonic_time() + visitors->interval_ms * 1000LL;
	g_mutex_lock(&visitors->lock);
	while (!visitors->stopping &&
		g_cond_wait_until(&visitors->changed, &visitors->lock, until_us))
		;
	bool stopping = visitors->stopping;
	g_mutex_unlock(&visitors->lock);
	return !stopping;
}

static void *run(void *context)
{
	struct visitors *visitors = context;
	while (rest(visitors)) {
		visitors_look(visitors, g_get_monotonic_time());
		if (visitors->tick)
			visitors->tick(visitors->context);
	}
	return NULL;
}

struct visitors *visitors_new(
	unsigned interval_ms, void (*tick)(void *context), void *context, GError **error)
{
	struct visitors *visitors = g_new0(struct visitors, 1);
	g_mutex_init(&visitors->lock);
	g_cond_init(&visitors->changed);
	g_queue_init(&visitors->all);
	visitors->interval_ms = interval_ms;
	visitors->tick = tick;
	visitors->context = context;
	visitors->thread = g_thread_try_new("visitors", run, visitors, error);
	if (!visitors->thread)
		visitors_free(&visitors);
	return visitors;
}

void visitors_free(struct visitors **visitors)
{
	struct visitors *gone = g_steal_pointer(visitors);
	if (!gone)
		return;
	g_mutex_lock(&gone->lock);
	gone->stopping = true;
	g_cond_signal(&gone->changed);
	g_mutex_unlock(&gone->lock);
	if (gone->thread)
		g_thread_join(gone->thread);
	g_assert(!gone->all.length);
	g_mutex_clear(&gone->lock);
	g_cond_clear(&gone->changed);
	g_free(gone);
}

struct visitor *visitors_enter(struct visitors *visitors, int fd)
{
	struct visitor *visitor = g_new0(struct visitor, 1);
	visitor->link.data = visitor;
	visitor->fd = fd;
	visitor->since_us = g_get_monotonic_time();
	g_mutex_lock(&visitors->lock);
	g_queue_push_tail_link(&visitors->all, &visitor->link);
	g_mutex_unlock(&visitors->lock);
	return visitor;
}

void visitors_leave(struct visitors *visitors, struct visitor *visitor)
{
	g_mutex_lock(&visitors->lock);
	g_queue_unlink(&visitors->all, &visitor->link);
	g_mutex_unlock(&visitors->lock);
	g_free(visitor);
}

static bool change(struct visitors *visitors, struct visitor *visitor, bool is_answered)
{
	g_mutex_lock(&visitors->lock);
	visitor->is_answered = is_answered;
	visitor->since_us = g_get_monotonic_time();
	visitor->sent_bytes = is_answered ? bytes_taken(visitor->fd) : 0;
	bool is_cut_off = visitor->is_cut_off;
	g_mutex_unlock(&visitors->lock);
	return is_cut_off;
}

void visitors_asked(struct visitors *visitors, struct visitor *visitor)
{
	change(visitors, visitor, true);
}

bool visitors_answered(struct visitors *visitors, struct visitor *visitor)
{
	return change(visitors, visitor, false);
}
