/* The upload loop: hands transfers to channels, drives libcurl by libuv, tries again with
 * jitter, wakes the callers. What a request is and what its answer means: transfer.c. */
#include "s3/client.h"
#include "s3/budget.h"
#include "s3/curl.h"
#include "s3/transfer.h"
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* Full jitter: a random wait of at most FIRST * 2^n, never above MAX. */
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS   5000

/* Held by the caller and, for each transfer, by the loop: whoever is last to let go frees
 * it, so that the caller can be woken without the lock held. */
struct s3_batch {
	struct s3_client *client;
	gatomicrefcount references;
	GMutex lock;
	GCond ended;
	size_t left;  /* submitted and not taken; the caller's */
	GQueue ready; /* to be taken */
	bool failed;
};

struct s3_client {
	struct s3_client_settings settings;
	GThread *thread;
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t curl_timer, retry_timer;
	CURLM *multi;
	bool kick; /* libcurl wants to run at once */

	/* the loop's own */
	GQueue ready;        /* struct s3_transfer waiting for a channel */
	GQueue resting;      /* waiting for due_ms */
	GPtrArray *idle;     /* struct s3_channel without a transfer */
	GHashTable *watches; /* by socket */
	unsigned n_channels;
	struct s3_budget budget;

	GMutex lock; /* of what follows */
	GQueue incoming;
	bool stop;
};

/* One socket of libcurl's, from its first use until it is closed: between two transfers
 * it is left armed, which spares adding it anew. Freed when its handle has closed. */
struct watch {
	uv_poll_t poll;
	curl_socket_t socket;
	struct s3_client *client;
	int armed; /* events, 0: none */
	bool idle; /* libcurl does not ask for it at present */
};

/* ---- ends and beginnings of transfers ---- */

static void release_batch(struct s3_batch *batch)
{
	if (!g_atomic_ref_count_dec(&batch->references))
		return;
	g_cond_clear(&batch->ended);
	g_mutex_clear(&batch->lock);
	g_free(batch);
}

static bool batch_failed(struct s3_batch *batch)
{
	g_mutex_lock(&batch->lock);
	bool failed = batch->failed;
	g_mutex_unlock(&batch->lock);
	return failed;
}

bool s3_transfer_has_failed(const struct s3_transfer *transfer)
{
	long status = transfer->answer.status;
	return transfer->error && !s3_transfer_trial_failed(transfer) &&
	       !(transfer->is_conditional &&
		       (status == 400 || status == 412 || status == 501));
}

bool s3_transfer_trial_failed(const struct s3_transfer *transfer)
{
	const struct s3_answer *answer = &transfer->answer;
	return transfer->error && transfer->is_trial &&
	       (answer->status == 400 || answer->status == 405 || answer->status == 501 ||
		       (answer->status == 403 &&
			       strcmp(answer->code, "SignatureDoesNotMatch") == 0));
}

/* Takes error, which is NULL when it is done or cancelled. The
 * transfer is its caller's afterwards. */
static void end_transfer(struct s3_transfer *transfer, GError *error)
{
	struct s3_batch *batch = transfer->batch;
	transfer->error = error;
	g_mutex_lock(&batch->lock);
	batch->failed |= s3_transfer_has_failed(transfer);
	g_queue_push_tail(&batch->ready, transfer);
	g_mutex_unlock(&batch->lock);
	g_cond_signal(&batch->ended);
	release_batch(batch);
}

static struct s3_channel *new_channel(struct s3_client *client);

static struct s3_channel *take_channel(struct s3_client *client)
{
	unsigned under_way = client->n_channels - client->idle->len;
	if (!s3_budget_may_begin(
		    &client->budget, under_way, (int64_t)uv_now(&client->loop)))
		return NULL;
	if (client->idle->len)
		return g_ptr_array_steal_index_fast(client->idle, client->idle->len - 1);
	if (client->n_channels == client->settings.connections)
		return NULL;
	client->n_channels++;
	return new_channel(client);
}

static void start_on(struct s3_client *client, struct s3_channel *channel,
	struct s3_transfer *transfer)
{
	GError *error = NULL;
	if (!s3_channel_begin(channel, transfer, &error)) {
		g_ptr_array_add(client->idle, channel);
		end_transfer(transfer, error);
		return;
	}
	CURLMcode added = curl_multi_add_handle(client->multi, s3_channel_easy(channel));
	if (added != CURLM_OK)
		g_error("libcurl: %s", curl_multi_strerror(added));
}

static void arm_retry_timer(struct s3_client *client);

static void start_ready(struct s3_client *client)
{
	while (!g_queue_is_empty(&client->ready)) {
		struct s3_transfer *transfer = g_queue_peek_head(&client->ready);
		if (batch_failed(transfer->batch)) {
			g_queue_pop_head(&client->ready);
			transfer->is_cancelled = true;
			end_transfer(transfer, NULL);
			continue;
		}
		struct s3_channel *channel = take_channel(client);
		if (!channel) {
			arm_retry_timer(client);
			return;
		}
		g_queue_pop_head(&client->ready);
		start_on(client, channel, transfer);
	}
}

static void on_retry_timer(uv_timer_t *timer);

/* For the first that rests; and for those that are ready, once the store is
 * left alone for long enough. */
static void arm_retry_timer(struct s3_client *client)
{
	const struct s3_transfer *next = g_queue_peek_head(&client->resting);
	int64_t now_ms = (int64_t)uv_now(&client->loop);
	int64_t due_ms = next ? next->due_ms : INT64_MAX;
	if (!g_queue_is_empty(&client->ready) && client->budget.resume_ms > now_ms)
		due_ms = MIN(due_ms, client->budget.resume_ms);
	if (due_ms == INT64_MAX)
		uv_timer_stop(&client->retry_timer);
	else
		uv_timer_start(&client->retry_timer, on_retry_timer,
			(uint64_t)MAX(due_ms - now_ms, 0), 0);
}

static int compare_due(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct s3_transfer *x = a, *y = b;
	(void)unused;
	return (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms);
}

static void rest(struct s3_client *client, struct s3_transfer *transfer)
{
	int bound_ms = MIN(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << transfer->attempts);
	uv_update_time(&client->loop);
	transfer->due_ms =
		(int64_t)uv_now(&client->loop) + g_random_int_range(0, bound_ms + 1);
	g_queue_insert_sorted(&client->resting, transfer, compare_due, NULL);
	arm_retry_timer(client);
}

/* Whether there is to be another attempt of one that failed with *error, which says so
 * where only the budget forbids it. */
static bool may_try_again(
	struct s3_client *client, const struct s3_transfer *transfer, GError **error)
{
	if (transfer->attempts >= client->settings.attempts ||
		batch_failed(transfer->batch))
		return false;
	if (s3_budget_pay(&client->budget))
		return true;
	char *said = g_strconcat((*error)->message,
		"; not tried again at once, since too many requests have failed of late",
		NULL);
	g_free((*error)->message);
	(*error)->message = said;
	return false;
}

static void note_throttle(struct s3_client *client, const struct s3_transfer *transfer)
{
	uv_update_time(&client->loop);
	s3_budget_throttled(&client->budget, (int64_t)uv_now(&client->loop),
		transfer->answer.retry_after_s * 1000, g_random_double());
}

static void end_attempt(struct s3_client *client, CURL *easy, CURLcode result)
{
	struct s3_channel *channel = NULL;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&channel);
	struct s3_transfer *transfer = s3_channel_transfer(channel);
	GError *error = NULL;
	curl_multi_remove_handle(client->multi, easy);
	enum s3_verdict verdict = s3_channel_end(channel, result, &error);
	g_ptr_array_add(client->idle, channel);

	if (verdict == S3_DONE)
		s3_budget_succeeded(&client->budget, transfer->attempts > 1);
	else if (error && s3_error_is_throttle(error))
		note_throttle(client, transfer);

	if (verdict == S3_AGAIN_NOW) {
		g_queue_push_head(&client->ready, transfer);
	} else if (verdict == S3_AGAIN_LATER && may_try_again(client, transfer, &error)) {
		g_clear_error(&error);
		rest(client, transfer);
	} else {
		end_transfer(transfer, error);
	}
}

/* ---- libcurl on libuv ---- */

static void run_curl(struct s3_client *client, curl_socket_t socket, int events)
{
	int running, left;
	for (;;) {
		client->kick = false;
		curl_multi_socket_action(client->multi, socket, events, &running);
		CURLMsg *message;
		while ((message = curl_multi_info_read(client->multi, &left)))
			if (message->msg == CURLMSG_DONE)
				end_attempt(client, message->easy_handle,
					message->data.result);
		start_ready(client);
		/* A transfer just added wants to run: at once, not a turn
		 * of the loop later. */
		if (!client->kick)
			return;
		socket = CURL_SOCKET_TIMEOUT;
		events = 0;
	}
}

static void start(struct s3_client *client)
{
	start_ready(client);
	if (client->kick)
		run_curl(client, CURL_SOCKET_TIMEOUT, 0);
}

static void on_curl_timer(uv_timer_t *timer)
{
	run_curl(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *data)
{
	struct s3_client *client = data;
	(void)multi;
	client->kick = timeout_ms == 0;
	if (timeout_ms < 0)
		uv_timer_stop(&client->curl_timer);
	else
		uv_timer_start(
			&client->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

static bool arm(struct watch *watch, int events);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	int action = 0;
	if (watch->idle) { /* closed by the server: libcurl finds that when it wants it */
		arm(watch, 0);
		return;
	}
	if (status < 0) { /* libuv has stopped watching it */
		watch->armed = 0;
		action = CURL_CSELECT_ERR;
	}
	if (events & UV_READABLE)
		action |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		action |= CURL_CSELECT_OUT;
	run_curl(watch->client, watch->socket, action);
}

static bool arm(struct watch *watch, int events)
{
	if (events == watch->armed)
		return true;
	int result = events ? uv_poll_start(&watch->poll, events, on_poll)
			    : uv_poll_stop(&watch->poll);
	watch->armed = result < 0 ? 0 : events;
	return result == 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
	g_free(handle->data);
}

static void close_watch(void *data)
{
	struct watch *watch = data;
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *new_watch(struct s3_client *client, curl_socket_t socket)
{
	struct watch *watch = g_new0(struct watch, 1);
	watch->client = client;
	watch->socket = socket;
	watch->poll.data = watch;
	if (uv_poll_init_socket(&client->loop, &watch->poll, socket) < 0) {
		g_free(watch);
		return NULL;
	}
	g_hash_table_insert(client->watches, GINT_TO_POINTER(socket), watch);
	return watch;
}

static int on_socket_change(
	CURL *easy, curl_socket_t socket, int what, void *data, void *unused)
{
	struct s3_client *client = data;
	struct watch *watch =
		g_hash_table_lookup(client->watches, GINT_TO_POINTER(socket));
	(void)easy, (void)unused;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			watch->idle = true;
		return 0;
	}
	if (!watch)
		watch = new_watch(client, socket);
	if (!watch)
		return -1;
	watch->idle = false;
	return arm(watch, (what & CURL_POLL_IN ? UV_READABLE : 0) |
				  (what & CURL_POLL_OUT ? UV_WRITABLE : 0))
		       ? 0
		       : -1;
}

/* Some sockets (of attempts to connect that were lost) libcurl closes by itself: what is
 * left of one with the same number goes now. */
static curl_socket_t on_open(
	void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct s3_client *client = data;
	(void)purpose;
	int fd = socket(
		address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0)
		g_hash_table_remove(client->watches, GINT_TO_POINTER(fd));
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_close(void *data, curl_socket_t socket)
{
	struct s3_client *client = data;
	g_hash_table_remove(client->watches, GINT_TO_POINTER(socket));
	return close(socket);
}

static struct s3_channel *new_channel(struct s3_client *client)
{
	struct s3_channel *channel = s3_channel_new(&client->settings);
	CURL *easy = s3_channel_easy(channel);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, client);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client);
	return channel;
}

static void on_retry_timer(uv_timer_t *timer)
{
	struct s3_client *client = timer->data;
	struct s3_transfer *transfer;
	while ((transfer = g_queue_peek_head(&client->resting)) &&
		transfer->due_ms <= (int64_t)uv_now(&client->loop)) {
		g_queue_pop_head(&client->resting);
		g_queue_push_tail(&client->ready, transfer);
	}
	arm_retry_timer(client);
	start(client);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void on_wake(uv_async_t *wake)
{
	struct s3_client *client = wake->data;
	struct s3_transfer *transfer;
	g_mutex_lock(&client->lock);
	while ((transfer = g_queue_pop_head(&client->incoming)))
		g_queue_push_tail(&client->ready, transfer);
	bool stop = client->stop;
	g_mutex_unlock(&client->lock);
	if (stop)
		uv_stop(&client->loop);
	else
		start(client);
}

static gpointer run(gpointer data)
{
	struct s3_client *client = data;
	uv_run(&client->loop, UV_RUN_DEFAULT);
	return NULL;
}

/* ---- the client ---- */

#define SET(option, value)                                                               \
	do {                                                                             \
		CURLMcode set = curl_multi_setopt(client->multi, option, value);         \
		if (set != CURLM_OK)                                                     \
			g_error("libcurl refuses " #option ": %s",                       \
				curl_multi_strerror(set));                               \
	} while (0)

static void init_curl(struct s3_client *client)
{
	s3_curl_start();
	client->multi = curl_multi_init();
	if (!client->multi)
		g_error("libcurl gives no handle: out of memory");
	SET(CURLMOPT_SOCKETFUNCTION, on_socket_change);
	SET(CURLMOPT_SOCKETDATA, client);
	SET(CURLMOPT_TIMERFUNCTION, on_timeout_change);
	SET(CURLMOPT_TIMERDATA, client);
	SET(CURLMOPT_MAXCONNECTS, (long)client->settings.connections);
}

static bool init_loop(struct s3_client *client, GError **error)
{
	int result = uv_loop_init(&client->loop);
	if (result == 0) {
		result = uv_async_init(&client->loop, &client->wake, on_wake);
		if (result < 0)
			uv_loop_close(&client->loop);
	}
	if (result < 0) {
		g_set_error(error, S3_ERROR, S3_ERROR_RETRY,
			"cannot make the upload loop: %s", uv_strerror(result));
		return false;
	}
	uv_timer_init(&client->loop, &client->curl_timer);
	uv_timer_init(&client->loop, &client->retry_timer);
	client->wake.data = client;
	client->curl_timer.data = client;
	client->retry_timer.data = client;
	return true;
}

/* Signals are for the main thread: the new one inherits a mask with
 * all of them blocked. */
static GThread *start_thread(struct s3_client *client, GError **error)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	g_autoptr(GError) cause = NULL;
	GThread *thread = g_thread_try_new("s3", run, client, &cause);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!thread)
		g_set_error(error, S3_ERROR, S3_ERROR_RETRY,
			"cannot start the upload thread: %s", cause->message);
	return thread;
}

static void free_channel(gpointer data)
{
	struct s3_channel *channel = data;
	s3_channel_free(&channel);
}

/* Handles first, since libcurl still tells of sockets when it closes connections. */
static void tear_down(struct s3_client *client)
{
	g_ptr_array_unref(client->idle);
	curl_multi_cleanup(client->multi);
	g_hash_table_unref(client->watches);
	uv_walk(&client->loop, close_handle, NULL);
	uv_run(&client->loop, UV_RUN_DEFAULT);
	uv_loop_close(&client->loop);
	g_mutex_clear(&client->lock);
	g_free(client);
}

struct s3_client *s3_client_new(const struct s3_client_settings *settings, GError **error)
{
	struct s3_client *client = g_new0(struct s3_client, 1);
	client->settings = *settings;
	s3_budget_init(&client->budget, settings->connections);
	if (!init_loop(client, error)) {
		g_free(client);
		return NULL;
	}
	init_curl(client);
	client->idle = g_ptr_array_new_with_free_func(free_channel);
	client->watches = g_hash_table_new_full(NULL, NULL, NULL, close_watch);
	g_mutex_init(&client->lock);
	client->thread = start_thread(client, error);
	if (!client->thread) {
		tear_down(client);
		return NULL;
	}
	return client;
}

void s3_client_free(struct s3_client **client)
{
	if (!*client)
		return;
	g_mutex_lock(&(*client)->lock);
	(*client)->stop = true;
	g_mutex_unlock(&(*client)->lock);
	uv_async_send(&(*client)->wake);
	g_thread_join((*client)->thread);
	tear_down(*client);
	*client = NULL;
}

struct s3_site *s3_client_site(const struct s3_client *client)
{
	return client->settings.site;
}

unsigned s3_client_connections(const struct s3_client *client)
{
	return client->settings.connections;
}

/* ---- batches ---- */

struct s3_batch *s3_batch_new(struct s3_client *client)
{
	struct s3_batch *batch = g_new0(struct s3_batch, 1);
	batch->client = client;
	g_atomic_ref_count_init(&batch->references);
	g_mutex_init(&batch->lock);
	g_cond_init(&batch->ended);
	g_queue_init(&batch->ready);
	return batch;
}

void s3_batch_submit(struct s3_batch *batch, struct s3_transfer *transfers, size_t n)
{
	struct s3_client *client = batch->client;
	batch->left += n;
	for (size_t i = 0; i < n; i++) {
		g_atomic_ref_count_inc(&batch->references);
		transfers[i].batch = batch;
	}
	g_mutex_lock(&client->lock);
	for (size_t i = 0; i < n; i++)
		g_queue_push_tail(&client->incoming, &transfers[i]);
	g_mutex_unlock(&client->lock);
	uv_async_send(&client->wake);
}

struct s3_transfer *s3_batch_take(struct s3_batch *batch)
{
	if (batch->left == 0)
		return NULL;
	g_mutex_lock(&batch->lock);
	while (g_queue_is_empty(&batch->ready))
		g_cond_wait(&batch->ended, &batch->lock);
	struct s3_transfer *transfer = g_queue_pop_head(&batch->ready);
	g_mutex_unlock(&batch->lock);
	batch->left--;
	return transfer;
}

void s3_batch_free(struct s3_batch **batch)
{
	release_batch(g_steal_pointer(batch));
}

bool s3_client_run(struct s3_client *client, struct s3_transfer *transfer)
{
	struct s3_batch *batch = s3_batch_new(client);
	s3_batch_submit(batch, transfer, 1);
	s3_batch_take(batch);
	s3_batch_free(&batch);
	return !transfer->error;
}
