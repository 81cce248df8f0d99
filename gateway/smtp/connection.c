/* A connection's life: opened, read, advanced turn by turn, closed. With its other files
 * (connection_private.h) the one place that knows both uv.h and the session. */
#include "gateway/smtp/connection_private.h"

#include <openssl/crypto.h>
#include <unistd.h>

/* Steps of one connection before it is others' turn; fewer where many wait for theirs, so
 * that a round of all of them stays short. */
#define STEPS_PER_TURN 8
#define CROWD          32
/* In one read, but for the data of a few: what is not taken at once costs memory. A TLS
 * record and more. */
#define INPUT_BYTES      20480
#define FEW              128
#define LINGER_BYTES_MAX 1048576

/* ---- life ---- */

void connection_pin(struct connection *c)
{
	c->pins++;
}

static void free_client(struct client *client)
{
	g_free(client->name);
	g_free(client->block_list);
	g_free(client->user);
	smtp_settings_unref(&client->settings);
}

void connection_unpin(struct connection *c)
{
	if (--c->pins)
		return;
	struct front *front = connection_front(c);
	void (*ended)(void *) = c->ended;
	void *owner = c->owner;
	metrics_add(front->metrics, METRIC_SESSIONS, c->client.listener->name, -1);
	g_queue_unlink(&front->connections, &c->link);
	if (c->entered)
		ceilings_leave(front->ceilings, (const struct sockaddr *)&c->client.peer);
	transaction_abandon(&c->transaction, &c->client);
	smtp_session_free(&c->session);
	tls_free(&c->tls);
	g_clear_error(&c->flush_error);
	g_free(c->auth_user);
	free_client(&c->client);
	g_free(c);
	ended(owner);
}

static void on_handle_closed(uv_handle_t *handle)
{
	connection_unpin(handle->data);
}

void connection_close(struct connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	turns_forget(connection_front(c)->turns, &c->turn);
	screening_forget(&c->screening);
	verification_forget(&c->verification);
	input_clear(&c->plain);
	input_clear(&c->raw);
	uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* ---- reading ---- */

/* libuv reads on and on from who fills its buffer: none is had (UV_ENOBUFS) until others
 * were looked after. */
static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	(void)suggested;
	struct connection *c = handle->data;
	struct front *front = connection_front(c);
	bool is_bulk = smtp_session_in_data(c->session) &&
		       g_queue_get_length(&front->connections) <= FEW;
	size_t room = is_bulk ? sizeof(front->input) : INPUT_BYTES;
	*buffer = uv_buf_init(front->input, c->filled ? 0 : (unsigned)room);
	c->filled = false;
}

static void linger_on(struct connection *c, ssize_t n_bytes)
{
	c->lingered_bytes += n_bytes > 0 ? (size_t)n_bytes : 0;
	if (n_bytes < 0 || c->lingered_bytes > LINGER_BYTES_MAX)
		connection_close(c);
}

/* The client went, by its own will, with its mail accepted and no QUIT said. */
static void tell_departure(struct connection *c)
{
	if (c->left_mail && !smtp_session_is_closed(c->session))
		connection_tell_quirk(c, QUIRK_NO_QUIT);
}

static void wipe_secret(struct connection *c, size_t n_bytes)
{
	struct front *front = connection_front(c);
	if (!c->saw_secret)
		return;
	OPENSSL_cleanse(front->input, n_bytes);
	OPENSSL_cleanse(front->plain, sizeof(front->plain));
	c->saw_secret = false;
}

static void on_read(uv_stream_t *stream, ssize_t n_bytes, const uv_buf_t *buffer)
{
	struct connection *c = stream->data;
	if (n_bytes == 0 || n_bytes == UV_ENOBUFS)
		return;
	c->filled = n_bytes > 0 && (size_t)n_bytes == buffer->len;
	if (c->lingering) {
		linger_on(c, n_bytes);
		return;
	}
	if (n_bytes == UV_EOF) {
		c->eof = true;
		c->reading = false;
		uv_read_stop(stream);
	} else if (n_bytes < 0) {
		tell_departure(c);
		connection_close(c);
		return;
	} else {
		input_add(&c->raw, buffer->base, (size_t)n_bytes);
	}
	connection_advance(c);
	if (n_bytes > 0)
		wipe_secret(c, (size_t)n_bytes);
}

/* Stopping and starting costs system calls: a client that waits for its reply, as most
 * do, is left readable. */
static void set_reading(struct connection *c)
{
	bool has_input = c->raw.rest.bytes || c->plain.rest.bytes;
	bool reading = !c->eof && (!has_input || c->awaits_proxy);
	if (reading == c->reading)
		return;
	c->reading = reading;
	c->filled = false;
	if (!reading)
		uv_read_stop((uv_stream_t *)&c->tcp);
	else if (uv_read_start((uv_stream_t *)&c->tcp, on_buffer, on_read))
		connection_close(c);
}

/* ---- the end ---- */

static void on_shutdown(uv_shutdown_t *request, int status)
{
	struct connection *c = request->handle->data;
	if (status && !c->closing)
		connection_close(c);
}

/* Closing while the client still sends would reset the connection, and our last reply
 * with it. */
static void linger(struct connection *c)
{
	c->lingering = true;
	input_clear(&c->raw);
	input_clear(&c->plain);
	if (c->eof || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown))
		connection_close(c);
}

static void hang_up(struct connection *c)
{
	if (c->tls) {
		tls_close(c->tls);
		connection_send(c);
	}
	if (c->closing)
		return;
	if (c->hung_up || c->raw.rest.bytes || c->plain.rest.bytes)
		linger(c);
	else if (!c->writing)
		connection_close(c);
}

static bool is_exhausted(const struct connection *c)
{
	return c->eof && !c->raw.rest.bytes && !c->plain.rest.bytes &&
	       !connection_is_busy(c);
}

/* The client closed before it was a client. */
static void end_half_open(struct connection *c)
{
	if (c->handshaking) {
		connection_tell_tls_failed(c, "the client closed during the handshake");
		connection_close(c);
	} else if (c->raw.rest.bytes) {
		connection_fail_proxy(c, "a proxy closed within its PROXY header");
	} else {
		connection_close(c); /* a proxy that looks whether we are alive */
	}
}

/* What next? After what changed a state, but brought neither input nor output. */
static void settle(struct connection *c)
{
	if (!c->closing && c->eof && (c->handshaking || c->awaits_proxy))
		end_half_open(c);
	if (!c->closing && !c->writing && !c->lingering && !c->handshaking &&
		(smtp_session_is_closed(c->session) || is_exhausted(c))) {
		tell_departure(c);
		hang_up(c);
	}
	if (c->closing)
		return;
	input_keep(&c->plain);
	input_keep(&c->raw);
	connection_set_deadline(c);
	set_reading(c);
}

/* ---- turns ---- */

static void consume_session(struct connection *c)
{
	if (connection_is_busy(c))
		return;
	if (!c->tls) {
		connection_feed(c, &c->raw);
		return;
	}
	if (!c->plain.rest.bytes)
		connection_decrypt(c);
	if (!c->closing)
		connection_feed(c, &c->plain);
}

/* One step of input towards the session. */
static void consume(struct connection *c)
{
	if (c->awaits_proxy) {
		connection_read_proxy(c);
	} else if (c->handshaking) {
		if (!c->writing)
			connection_shake_hands(c);
	} else if (!c->greeted) {
		connection_greet(c);
	} else {
		consume_session(c);
	}
}

/* Whether anything moved. */
static bool take_step(struct connection *c)
{
	size_t before = c->raw.rest.bytes + c->plain.rest.bytes;
	consume(c);
	bool moved = before != c->raw.rest.bytes + c->plain.rest.bytes;
	if (!c->closing)
		moved |= connection_send(c);
	if (!c->closing && c->starttls)
		connection_answer_starttls(c);
	connection_flush_if_due(c);
	return moved;
}

static unsigned steps_per_turn(const struct connection *c)
{
	unsigned waiting = turns_waiting(connection_front(c)->turns);
	return MAX(1, STEPS_PER_TURN / (1 + waiting / CROWD));
}

void connection_advance(struct connection *c)
{
	bool moved = !c->lingering;
	unsigned n_max = steps_per_turn(c);
	for (unsigned n = 0; moved && !c->closing; n++) {
		if (n == n_max) {
			turns_wait(connection_front(c)->turns, &c->turn);
			break;
		}
		moved = take_step(c);
	}
	settle(c);
}

void connection_continue(void *connection)
{
	connection_advance(connection);
}

/* ---- the beginning ---- */

static void init_client(struct connection *c, struct front *front,
	struct smtp_settings *settings, const struct conf_listener *listener,
	const struct sockaddr_storage *peer)
{
	c->session = smtp_session_new(
		listener, settings->conf->hostname, &connection_callbacks, c);
	c->client = (struct client){ .front = front,
		.settings = smtp_settings_ref(settings),
		.listener = listener,
		.peer = *peer,
		.session = c->session };
	uv_ip_name((const struct sockaddr *)peer, c->client.address,
		sizeof(c->client.address));
	c->awaits_proxy = connection_is_proxied(listener, (const struct sockaddr *)peer);
	c->entered = !c->awaits_proxy; /* the listener saw to it */
}

static void init_handles(struct connection *c, uv_loop_t *loop)
{
	uv_tcp_init(loop, &c->tcp);
	uv_timer_init(loop, &c->timer);
	c->tcp.data = c->timer.data = c;
	c->pins = 2;
}

void connection_open(struct front *front, struct smtp_settings *settings,
	const struct conf_listener *listener, int fd, const struct sockaddr_storage *peer,
	void (*ended)(void *owner), void *owner)
{
	struct connection *c = g_new0(struct connection, 1);
	c->ended = ended;
	c->owner = owner;
	c->link.data = c->turn.link.data = c;
	init_client(c, front, settings, listener, peer);
	init_handles(c, front->loop);
	g_queue_push_tail_link(&front->connections, &c->link);
	metrics_add(front->metrics, METRIC_SESSIONS_TOTAL, listener->name, 1);
	metrics_add(front->metrics, METRIC_SESSIONS, listener->name, 1);
	if (uv_tcp_open(&c->tcp, fd)) {
		close(fd);
		connection_close(c);
		return;
	}
	if (!c->awaits_proxy)
		connection_arrive(c, NULL);
	connection_advance(c);
}

void connection_drain(struct connection *c)
{
	if (c->handshaking || c->awaits_proxy) {
		connection_close(c);
		return;
	}
	/* Who is in the middle of a message hears of it before the process ends. */
	uint64_t patience_s = c->client.settings->conf->shutdown_timeout_s;
	c->drain_ms = connection_now_ms(c) + 750 * patience_s;
	smtp_session_drain(c->session);
	connection_advance(c);
}
