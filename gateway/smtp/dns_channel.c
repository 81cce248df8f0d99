/* c-ares opens sockets and says what it waits for; libuv waits. What is asked, and how
 * often, is dns.c's. */
#include "gateway/smtp/dns_channel.h"

#include "gateway/error.h"
#include <ares.h>
#include <arpa/nameser.h>
#include <string.h>
#include <sys/time.h>

#define TRIES 2

struct dns_channel {
	ares_channel ares;
	uv_timer_t timer;  /* the next try, or the end of the last */
	GHashTable *polls; /* of struct poll, by socket */
	size_t n_questions;
	bool is_closing;
};

struct poll {
	uv_poll_t handle;
	struct dns_channel *channel;
	ares_socket_t socket;
};

struct question {
	struct dns_channel *channel;
	enum dns_type type;
	void (*done)(void *context, struct dns_answer *answer);
	void *context;
};

/* ---- libuv waits for c-ares ---- */

static void after_processing(struct dns_channel *channel);

static void on_timer(uv_timer_t *timer)
{
	struct dns_channel *channel = timer->data;
	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	after_processing(channel);
}

/* A timer that runs stays: whatever was asked since has longer to wait. */
static void set_timer(struct dns_channel *channel)
{
	struct timeval wait;
	if (uv_is_active((uv_handle_t *)&channel->timer) ||
		!ares_timeout(channel->ares, NULL, &wait))
		return;
	uint64_t wait_ms = (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000;
	uv_timer_start(&channel->timer, on_timer, wait_ms + 1, 0);
}

static void after_processing(struct dns_channel *channel)
{
	if (channel->is_closing)
		return;
	if (channel->n_questions)
		set_timer(channel);
	else
		uv_timer_stop(&channel->timer);
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
	struct poll *poll = handle->data;
	struct dns_channel *channel = poll->channel;
	ares_socket_t socket = poll->socket;
	/* An error is c-ares' to find, by reading */
	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(channel->ares, events & UV_READABLE ? socket : ARES_SOCKET_BAD,
		events & UV_WRITABLE ? socket : ARES_SOCKET_BAD);
	after_processing(channel);
}

static void on_poll_closed(uv_handle_t *handle)
{
	g_free(handle->data);
}

static void close_poll(void *data)
{
	struct poll *poll = data;
	uv_close((uv_handle_t *)&poll->handle, on_poll_closed);
}

static struct poll *poll_new(struct dns_channel *channel, ares_socket_t socket)
{
	struct poll *poll = g_new0(struct poll, 1);
	if (uv_poll_init(channel->timer.loop, &poll->handle, socket)) {
		g_free(poll);
		return NULL;
	}
	poll->handle.data = poll;
	poll->channel = channel;
	poll->socket = socket;
	g_hash_table_insert(channel->polls, GINT_TO_POINTER(socket), poll);
	return poll;
}

/* Neither: the socket is about to be closed. */
static void on_wish(void *data, ares_socket_t socket, int readable, int writable)
{
	struct dns_channel *channel = data;
	if (!readable && !writable) {
		g_hash_table_remove(channel->polls, GINT_TO_POINTER(socket));
		return;
	}
	struct poll *poll = g_hash_table_lookup(channel->polls, GINT_TO_POINTER(socket));
	if (!poll)
		poll = poll_new(channel, socket);
	if (poll) /* else its questions time out */
		uv_poll_start(&poll->handle,
			(readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
			on_socket);
}

/* ---- life ---- */

static char *join(const char *const *servers)
{
	GString *all = g_string_new(NULL);
	for (; *servers; servers++)
		g_string_append_printf(all, "%s%s", all->len ? "," : "", *servers);
	return g_string_free(all, FALSE);
}

static int open_ares(
	struct dns_channel *channel, const char *const *servers, unsigned try_ms)
{
	struct ares_options options = {
		.timeout = (int)try_ms,
		.tries = TRIES,
		.sock_state_cb = on_wish,
		.sock_state_cb_data = channel,
	};
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status != ARES_SUCCESS)
		return status;
	status = ares_init_options(&channel->ares, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		ares_library_cleanup();
		return status;
	}
	if (!servers)
		return ARES_SUCCESS;
	g_autofree char *all = join(servers);
	status = ares_set_servers_ports_csv(channel->ares, all);
	if (status != ARES_SUCCESS) {
		ares_destroy(channel->ares);
		ares_library_cleanup();
	}
	return status;
}

struct dns_channel *dns_channel_new(
	uv_loop_t *loop, const char *const *servers, unsigned try_ms, GError **error)
{
	struct dns_channel *channel = g_new0(struct dns_channel, 1);
	int status = open_ares(channel, servers, try_ms);
	if (status != ARES_SUCCESS) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"name servers of %s: %s", servers ? "dns.servers" : "resolv.conf",
			ares_strerror(status));
		g_free(channel);
		return NULL;
	}
	channel->polls = g_hash_table_new_full(NULL, NULL, NULL, close_poll);
	uv_timer_init(loop, &channel->timer);
	channel->timer.data = channel;
	return channel;
}

/* Never within c-ares, which would find itself gone. */
static void on_timer_closed(uv_handle_t *handle)
{
	struct dns_channel *channel = handle->data;
	ares_destroy(channel->ares);
	ares_library_cleanup();
	g_hash_table_destroy(channel->polls);
	g_free(channel);
}

void dns_channel_free(struct dns_channel **channel)
{
	struct dns_channel *old = g_steal_pointer(channel);
	if (!old)
		return;
	old->is_closing = true;
	uv_close((uv_handle_t *)&old->timer, on_timer_closed);
}

bool dns_channel_is_idle(const struct dns_channel *channel)
{
	return !channel->n_questions;
}

/* ---- questions ---- */

static void on_answer(
	void *data, int status, int timeouts, unsigned char *octets, int n_octets)
{
	(void)timeouts;
	struct question *question = data;
	struct dns_channel *channel = question->channel;
	channel->n_questions--;
	if (!channel->is_closing) {
		struct dns_answer *answer =
			dns_answer_new(question->type, status, octets, n_octets);
		question->done(question->context, answer);
		dns_answer_unref(answer);
	}
	g_free(question);
}

void dns_channel_ask(struct dns_channel *channel, enum dns_type type, const char *name,
	void (*done)(void *context, struct dns_answer *answer), void *context)
{
	static const int types[] = {
		[DNS_A] = ns_t_a,
		[DNS_AAAA] = ns_t_aaaa,
		[DNS_PTR] = ns_t_ptr,
	};
	struct question *question = g_new(struct question, 1);
	*question = (struct question){ channel, type, done, context };
	channel->n_questions++;
	ares_query(channel->ares, name, ns_c_in, types[type], on_answer, question);
	after_processing(channel);
}
