/* The one place that knows both uv.h and the session. What a message means is
 * transaction.c's. */
#include "gateway/smtp/connection.h"

#include "gateway/log.h"
#include "gateway/smtp/input.h"
#include "gateway/smtp/transaction.h"

#include <openssl/crypto.h>
#include <unistd.h>

#define HANDSHAKE_TIMEOUT_MS 30000
#define CR_LF_TIMEOUT_MS     1000
#define LINGER_TIMEOUT_MS    2000
#define AUTH_DELAY_MS        1000 /* grows by as much with each failure */
#define LINGER_BYTES_MAX     1048576

/* A message must be there within DATA_TIMEOUTS times data_timeout, and a second more for
 * so many octets: as slow as a modem may be, and no slot is held with a byte a minute. */
#define DATA_TIMEOUTS   4
#define DATA_BYTES_S    500
#define DATA_TIME_S_MAX 86400
/* Of one session. A client in a loop must not fill the disk. */
#define REFUSALS_TOLD_MAX 50
#define USER_TOLD_BYTES   255

/* What the timer is for. */
enum wait {
	WAIT_NOBODY, /* we work: the client has all time */
	WAIT_HANDSHAKE,
	WAIT_COMMAND,
	WAIT_DATA,
	WAIT_WRITE, /* for the client to read */
	WAIT_AUTH_DELAY,
	WAIT_LINGER,
};

struct connection {
	struct client client;
	struct transaction transaction;
	struct receipt receipt;
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_work_t flush;
	uv_shutdown_t shutdown;
	GList link;
	struct smtp_session *session;
	struct tls *tls;
	struct verification *verification;
	char *auth_user;
	struct input raw;   /* as received */
	struct input plain; /* decrypted */
	GError *flush_error;
	/* loop time; 0: none */
	uint64_t deadline_ms, stall_ms, limit_ms, timer_ms, drain_ms;
	uint64_t data_began_ms, flush_began_ms, data_bytes;
	enum wait wait;
	size_t lingered_bytes;
	unsigned refusals_told;
	unsigned pins; /* handles not closed yet, work under way */
	bool starttls, handshaking, reading, writing, flushing, committing, auth_delayed;
	bool eof, lingering, closing, heard, said, hung_up, saw_secret;
	void (*ended)(void *owner);
	void *owner;
};

static void advance(struct connection *c);

static struct front *front_of(const struct connection *c)
{
	return c->client.front;
}

/* ---- life ---- */

static void unpin(struct connection *c)
{
	if (--c->pins)
		return;
	void (*ended)(void *) = c->ended;
	void *owner = c->owner;
	metrics_add(front_of(c)->metrics, METRIC_SESSIONS, c->client.listener->name, -1);
	g_queue_unlink(&front_of(c)->connections, &c->link);
	transaction_abandon(&c->transaction, &c->client);
	smtp_session_free(&c->session);
	tls_free(&c->tls);
	g_clear_error(&c->flush_error);
	g_free(c->auth_user);
	g_free(c->client.user);
	smtp_settings_unref(&c->client.settings);
	g_free(c);
	ended(owner);
}

static void on_handle_closed(uv_handle_t *handle)
{
	unpin(handle->data);
}

void connection_close(struct connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	verification_forget(&c->verification);
	input_clear(&c->plain);
	input_clear(&c->raw);
	uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* ---- output ---- */

struct pending_write {
	uv_write_t request;
	char bytes[];
};

static void on_written(uv_write_t *request, int status)
{
	struct connection *c = request->data;
	g_free(request);
	c->writing = false;
	c->said = true;
	if (c->closing)
		return;
	if (status)
		connection_close(c);
	else
		advance(c);
}

/* The kernel's buffer is full: the client does not read, and gets no more until it does.
 */
static void write_later(struct connection *c, const char *bytes, size_t n_bytes)
{
	struct pending_write *later = g_malloc(sizeof(*later) + n_bytes);
	memcpy(later->bytes, bytes, n_bytes);
	later->request.data = c;
	uv_buf_t buffer = uv_buf_init(later->bytes, (unsigned)n_bytes);
	c->writing = true;
	if (uv_write(&later->request, (uv_stream_t *)&c->tcp, &buffer, 1, on_written)) {
		g_free(later);
		c->writing = false;
		connection_close(c);
	}
}

static void write_out(struct connection *c, const GString *output)
{
	uv_buf_t buffer = uv_buf_init(output->str, (unsigned)output->len);
	int n = c->writing ? UV_EAGAIN : uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
	if (n == UV_EAGAIN)
		n = 0;
	if (n < 0)
		connection_close(c);
	else if ((size_t)n < output->len)
		write_later(c, output->str + n, output->len - (size_t)n);
	c->said = true;
}

/* False: there was nothing to send. */
static bool send_output(struct connection *c)
{
	GString *output = smtp_session_output(c->session);
	if (c->tls) {
		if (!c->handshaking && output->len &&
			!tls_write(c->tls, output->str, output->len))
			connection_close(c);
		if (!c->handshaking)
			g_string_truncate(output, 0);
		output = tls_output(c->tls);
	}
	if (!output->len || c->closing)
		return false;
	write_out(c, output);
	if (c->tls)
		tls_output_sent(c->tls);
	else
		g_string_truncate(output, 0);
	return true;
}

/* ---- TLS ---- */

static void log_tls_failed(struct connection *c, const char *reason)
{
	metrics_add(front_of(c)->metrics, METRIC_TLS_FAILURES_TOTAL,
		c->client.listener->name, 1);
	log_info("tls.failed", LOG_TEXT("listener", c->client.listener->name),
		LOG_TEXT("client", c->client.address),
		LOG_TEXT("helo", smtp_session_helo(c->session)),
		LOG_TEXT("reason", reason));
}

static void start_handshake(struct connection *c)
{
	c->tls = tls_new(smtp_settings_tls(c->client.settings, c->client.listener));
	c->handshaking = true;
}

/* 220 is on its way. What came in the clear behind STARTTLS may be anybody's (RFC 3207,
 * section 6): it is dropped, and the client with it. */
static void answer_starttls(struct connection *c)
{
	c->starttls = false;
	if (c->raw.rest.bytes) {
		log_tls_failed(c, "commands in the clear behind STARTTLS: dropped");
		connection_close(c);
		return;
	}
	start_handshake(c);
}

static void end_handshake(struct connection *c)
{
	c->handshaking = false;
	g_clear_pointer(&c->client.user, g_free); /* said in the clear */
	c->client.tls_version = tls_version(c->tls);
	c->client.tls_cipher = tls_cipher(c->tls);
	metrics_add(front_of(c)->metrics, METRIC_TLS_TOTAL, c->client.tls_version, 1);
	log_debug("tls.started", LOG_TEXT("client", c->client.address),
		LOG_TEXT("version", c->client.tls_version),
		LOG_TEXT("cipher", c->client.tls_cipher));
	if (c->client.listener->tls == CONF_TLS_WRAPPER)
		smtp_session_greet(c->session, true);
	else
		smtp_session_tls_started(c->session);
}

static void lend_raw(struct connection *c)
{
	tls_lend(c->tls, c->raw.rest.start, c->raw.rest.bytes);
}

static void take_back_raw(struct connection *c)
{
	c->raw.rest = slice_from(c->raw.rest, c->raw.rest.bytes - tls_left(c->tls));
}

static void shake_hands(struct connection *c)
{
	lend_raw(c);
	enum tls_status status = tls_handshake(c->tls);
	take_back_raw(c);
	if (status == TLS_OK) {
		end_handshake(c);
	} else if (status != TLS_WANTS_INPUT) {
		log_tls_failed(c, tls_error(c->tls));
		send_output(c); /* the alert */
		connection_close(c);
	}
}

/* close_notify: what follows it is nobody's. */
static void end_input(struct connection *c)
{
	c->eof = true;
	input_clear(&c->raw);
}

static void decrypt(struct connection *c)
{
	size_t n_bytes = 0;
	lend_raw(c);
	enum tls_status status = tls_read(
		c->tls, front_of(c)->plain, sizeof(front_of(c)->plain), &n_bytes);
	take_back_raw(c);
	if (status == TLS_OK)
		input_set(&c->plain, front_of(c)->plain, n_bytes);
	else if (status == TLS_CLOSED)
		end_input(c);
	else if (status == TLS_FAILED)
		connection_close(c);
}

/* ---- the session's turn ---- */

/* Whether input has to wait. */
static bool is_busy(const struct connection *c)
{
	return c->closing || c->writing || c->flushing ||
	       smtp_session_is_stopped(c->session) || smtp_session_is_closed(c->session);
}

static void feed(struct connection *c, struct input *input)
{
	if (!input->rest.bytes)
		return;
	size_t taken =
		smtp_session_feed(c->session, input->rest.start, input->rest.bytes);
	input->rest = slice_from(input->rest, taken);
	c->data_bytes += taken;
	c->heard |= taken;
}

static void flush_work(uv_work_t *work)
{
	struct connection *c = work->data;
	spool_flush(c->transaction.spool, &c->flush_error);
}

static void on_flushed(uv_work_t *work, int status)
{
	struct connection *c = work->data;
	c->flushing = false;
	c->data_began_ms += uv_now(front_of(c)->loop) - c->flush_began_ms;
	if (!c->closing) {
		if (c->flush_error || status) {
			log_error("spool.failed",
				LOG_TEXT("id", c->transaction.message->id),
				LOG_TEXT("reason", c->flush_error
							   ? c->flush_error->message
							   : "cancelled"));
			g_clear_error(&c->flush_error);
			smtp_session_data_failed(c->session, REPLY_NO_ROOM);
		} else {
			transaction_flushed(&c->transaction);
		}
		c->heard = true;
		advance(c);
	}
	unpin(c);
}

static void flush_if_full(struct connection *c)
{
	if (c->closing || c->flushing || !c->transaction.spool ||
		!spool_is_full(c->transaction.spool))
		return;
	c->flushing = true;
	c->flush_began_ms = uv_now(front_of(c)->loop);
	c->pins++;
	c->flush.data = c;
	uv_queue_work(front_of(c)->loop, &c->flush, flush_work, on_flushed);
}

/* One step of input towards the session. */
static void consume(struct connection *c)
{
	if (c->tls && c->handshaking) {
		if (!c->closing && !c->writing)
			shake_hands(c);
		return;
	}
	if (is_busy(c))
		return;
	if (!c->tls) {
		feed(c, &c->raw);
		return;
	}
	if (!c->plain.rest.bytes)
		decrypt(c);
	if (!c->closing)
		feed(c, &c->plain);
}

/* ---- waiting ---- */

static enum wait what_to_wait_for(const struct connection *c)
{
	if (c->lingering)
		return WAIT_LINGER;
	if (c->writing)
		return WAIT_WRITE;
	if (c->handshaking)
		return WAIT_HANDSHAKE;
	if (c->auth_delayed)
		return WAIT_AUTH_DELAY;
	if (c->flushing || smtp_session_is_stopped(c->session))
		return WAIT_NOBODY;
	return smtp_session_in_data(c->session) ? WAIT_DATA : WAIT_COMMAND;
}

static uint64_t patience_ms(const struct connection *c)
{
	switch (c->wait) {
	case WAIT_NOBODY:
		return 0;
	case WAIT_HANDSHAKE:
		return HANDSHAKE_TIMEOUT_MS;
	case WAIT_DATA:
		return 1000 * (uint64_t)c->client.listener->data_timeout_s;
	case WAIT_AUTH_DELAY:
		return AUTH_DELAY_MS * (1 + smtp_session_auth_failures(c->session));
	case WAIT_LINGER:
		return LINGER_TIMEOUT_MS;
	case WAIT_COMMAND:
	case WAIT_WRITE:
		break;
	}
	return 1000 * (uint64_t)c->client.listener->command_timeout_s;
}

/* When the message at hand, or a gateway that is shutting down, waits no longer,
 * whatever the client sends. 0: not limited. */
static uint64_t limit_ms(const struct connection *c)
{
	if (c->wait != WAIT_DATA && c->wait != WAIT_COMMAND)
		return 0;
	if (c->wait == WAIT_COMMAND)
		return c->drain_ms;
	uint64_t least_s = DATA_TIMEOUTS * (uint64_t)c->client.listener->data_timeout_s;
	uint64_t allowed_s = MIN(least_s + c->data_bytes / DATA_BYTES_S, DATA_TIME_S_MAX);
	uint64_t due_ms = c->data_began_ms + 1000 * allowed_s;
	return c->drain_ms ? MIN(c->drain_ms, due_ms) : due_ms;
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
	return !a_ms || (b_ms && b_ms < a_ms) ? b_ms : a_ms;
}

static void on_timer(uv_timer_t *timer);

/* The timer may fire early and look again: moving it with every command would cost more.
 */
static void set_timer(struct connection *c)
{
	uint64_t due_ms = earlier(earlier(c->deadline_ms, c->stall_ms), c->limit_ms);
	if (!due_ms || (c->timer_ms && c->timer_ms <= due_ms))
		return;
	c->timer_ms = due_ms;
	uint64_t now_ms = uv_now(front_of(c)->loop);
	uv_timer_start(&c->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/* A command must come whole within its time, data must keep coming. */
static void set_deadline(struct connection *c)
{
	enum wait wait = what_to_wait_for(c);
	bool moved = wait == WAIT_DATA                              ? c->heard
		     : (wait == WAIT_COMMAND || wait == WAIT_WRITE) ? c->said
								    : false;
	uint64_t now_ms = uv_now(front_of(c)->loop);
	if (wait != c->wait || moved) {
		c->wait = wait;
		c->deadline_ms = wait == WAIT_NOBODY ? 0 : now_ms + patience_ms(c);
	}
	c->stall_ms =
		smtp_session_awaits_cr_lf(c->session) ? now_ms + CR_LF_TIMEOUT_MS : 0;
	c->limit_ms = limit_ms(c);
	c->heard = c->said = false;
	set_timer(c);
}

static void log_timeout(const struct connection *c, const char *reason)
{
	log_info("session.timeout", LOG_TEXT("listener", c->client.listener->name),
		LOG_TEXT("client", c->client.address),
		LOG_TEXT("helo", smtp_session_helo(c->session)),
		LOG_TEXT("reason", reason));
}

static void end_auth(struct connection *c, enum smtp_reply_id id)
{
	c->auth_delayed = false;
	smtp_session_auth_done(c->session, id);
	advance(c);
}

static void run_out_of_time(struct connection *c)
{
	switch (c->wait) {
	case WAIT_HANDSHAKE:
		log_tls_failed(c, "the handshake took too long");
		connection_close(c);
		return;
	case WAIT_WRITE:
		log_timeout(c, "the client does not read its replies");
		connection_close(c);
		return;
	case WAIT_AUTH_DELAY:
		end_auth(c, REPLY_AUTH_FAILED);
		return;
	case WAIT_COMMAND:
	case WAIT_DATA:
		log_timeout(c, c->wait == WAIT_DATA ? "no more data" : "no command");
		smtp_session_end(c->session, REPLY_TIMEOUT);
		advance(c);
		return;
	case WAIT_NOBODY:
	case WAIT_LINGER:
		connection_close(c);
	}
}

static void reach_limit(struct connection *c)
{
	enum smtp_reply_id id = REPLY_SHUTDOWN;
	if (!c->drain_ms || uv_now(front_of(c)->loop) < c->drain_ms) {
		log_timeout(c, "the message comes too slowly");
		id = REPLY_TOO_SLOW;
	}
	smtp_session_end(c->session, id);
	advance(c);
}

static void on_timer(uv_timer_t *timer)
{
	struct connection *c = timer->data;
	uint64_t now_ms = uv_now(front_of(c)->loop);
	c->timer_ms = 0;
	if (c->deadline_ms && now_ms >= c->deadline_ms) {
		c->deadline_ms = 0;
		run_out_of_time(c);
	} else if (c->limit_ms && now_ms >= c->limit_ms) {
		c->limit_ms = 0;
		reach_limit(c);
	} else if (c->stall_ms && now_ms >= c->stall_ms) {
		c->stall_ms = 0;
		smtp_session_stalled(c->session);
		advance(c);
	} else {
		set_timer(c);
	}
}

/* ---- reading ---- */

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	(void)suggested;
	struct connection *c = handle->data;
	*buffer = uv_buf_init(front_of(c)->input, sizeof(front_of(c)->input));
}

static void linger_on(struct connection *c, ssize_t n_bytes)
{
	c->lingered_bytes += n_bytes > 0 ? (size_t)n_bytes : 0;
	if (n_bytes < 0 || c->lingered_bytes > LINGER_BYTES_MAX)
		connection_close(c);
}

static void on_read(uv_stream_t *stream, ssize_t n_bytes, const uv_buf_t *buffer)
{
	struct connection *c = stream->data;
	if (n_bytes == 0)
		return;
	if (c->lingering) {
		linger_on(c, n_bytes);
		return;
	}
	if (n_bytes == UV_EOF) {
		c->eof = true;
		c->reading = false;
		uv_read_stop(stream);
	} else if (n_bytes < 0) {
		connection_close(c);
		return;
	} else {
		input_add(&c->raw, buffer->base, (size_t)n_bytes);
	}
	struct front *front = front_of(c);
	advance(c);
	if (c->saw_secret && n_bytes > 0) {
		OPENSSL_cleanse(front->input, (size_t)n_bytes);
		OPENSSL_cleanse(front->plain, sizeof(front->plain));
		c->saw_secret = false;
	}
}

/* Stopping and starting costs system calls: a client that waits for its reply, as most
 * do, is left readable. */
static void set_reading(struct connection *c)
{
	bool reading = !c->eof && !c->raw.rest.bytes && !c->plain.rest.bytes;
	if (reading == c->reading)
		return;
	c->reading = reading;
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
		send_output(c);
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
	return c->eof && !c->raw.rest.bytes && !c->plain.rest.bytes && !is_busy(c);
}

/* After each turn: what next? */
static void settle(struct connection *c)
{
	if (c->handshaking && c->eof && !c->closing) {
		log_tls_failed(c, "the client closed during the handshake");
		connection_close(c);
	}
	if (!c->closing && !c->writing && !c->lingering && !c->handshaking &&
		(smtp_session_is_closed(c->session) || is_exhausted(c)))
		hang_up(c);
	if (c->closing)
		return;
	input_keep(&c->plain);
	input_keep(&c->raw);
	set_deadline(c);
	set_reading(c);
}

/* Lets the session take input and sends what it says, until one of them has to wait. */
static void advance(struct connection *c)
{
	bool moved = !c->lingering;
	while (moved && !c->closing) {
		size_t before = c->raw.rest.bytes + c->plain.rest.bytes;
		consume(c);
		moved = before != c->raw.rest.bytes + c->plain.rest.bytes;
		if (!c->closing)
			moved |= send_output(c);
		if (!c->closing && c->starttls)
			answer_starttls(c);
		flush_if_full(c);
	}
	settle(c);
}

/* ---- what the session asks for ---- */

static enum smtp_reply_id on_mail(void *context, const struct smtp_mail *mail)
{
	struct connection *c = context;
	return transaction_mail(&c->transaction, &c->client, mail);
}

static enum smtp_reply_id on_recipient(void *context, const char *address)
{
	struct connection *c = context;
	return transaction_recipient(&c->transaction, &c->client, address);
}

static void on_reset(void *context)
{
	struct connection *c = context;
	transaction_reset(&c->transaction, &c->client);
}

static enum smtp_reply_id on_data_begin(void *context)
{
	struct connection *c = context;
	c->data_began_ms = uv_now(front_of(c)->loop);
	c->data_bytes = 0;
	return transaction_begin_data(&c->transaction, &c->client);
}

static size_t on_data_room(void *context)
{
	struct connection *c = context;
	return c->flushing || spool_is_full(c->transaction.spool)
		       ? 0
		       : transaction_room(&c->transaction);
}

static void on_data_bytes(void *context, const char *bytes, size_t n_bytes)
{
	struct connection *c = context;
	transaction_append(&c->transaction, bytes, n_bytes);
}

static void on_data_drop(void *context, enum smtp_reply_id why)
{
	struct connection *c = context;
	transaction_drop(&c->transaction, &c->client, why);
}

static void on_committed(void *context, const GError *error)
{
	struct connection *c = context;
	enum smtp_reply_id id = transaction_committed(&c->receipt, &c->client, error);
	c->committing = false;
	if (!c->closing) {
		smtp_session_data_done(c->session, id, c->receipt.id);
		advance(c);
	}
	unpin(c);
}

static void on_data_end(void *context, bool has_8bit)
{
	struct connection *c = context;
	c->committing = true;
	c->pins++;
	transaction_commit(
		&c->transaction, &c->client, has_8bit, &c->receipt, on_committed, c);
}

/* reason NULL: good. */
static void log_auth(const struct connection *c, const char *reason)
{
	bool good = !reason;
	char user[USER_TOLD_BYTES + 1];
	g_strlcpy(user, c->auth_user, sizeof(user));
	metrics_add(front_of(c)->metrics, METRIC_AUTH_TOTAL, good ? "ok" : "failed", 1);
	log_event(good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
		good ? "auth.ok" : "auth.failed",
		LOG_TEXT("listener", c->client.listener->name),
		LOG_TEXT("client", c->client.address),
		LOG_TEXT("helo", smtp_session_helo(c->session)), LOG_TEXT("user", user),
		LOG_TEXT("reason", reason));
}

/* The answer to a wrong password waits, and waits longer with each. */
static void on_verified(void *context, bool good)
{
	struct connection *c = context;
	c->verification = NULL;
	log_auth(c, good ? NULL : "wrong name or password");
	if (good) {
		g_free(c->client.user);
		c->client.user = g_steal_pointer(&c->auth_user);
		end_auth(c, REPLY_AUTH_OK);
	} else {
		c->auth_delayed = true;
		settle(c);
	}
}

static void on_auth(void *context, const char *user, const char *password)
{
	struct connection *c = context;
	c->saw_secret = true;
	g_free(c->auth_user);
	c->auth_user = g_strdup(user);
	if (!password) {
		log_auth(c, "an authorization identity other than the user's own");
		c->auth_delayed = true;
		return;
	}
	c->verification = verifier_start(front_of(c)->verifier, c->client.settings->users,
		user, password, on_verified, c);
	if (!c->verification)
		smtp_session_auth_done(c->session, REPLY_AUTH_UNAVAILABLE);
}

static void on_starttls(void *context)
{
	struct connection *c = context;
	c->starttls = true;
}

static void on_refused(void *context, enum smtp_reply_id id, const char *command)
{
	struct connection *c = context;
	char code[8];
	g_snprintf(code, sizeof(code), "%u", smtp_reply(id)->code);
	metrics_add(front_of(c)->metrics, METRIC_REPLIES_TOTAL, code, 1);
	c->hung_up |= smtp_reply_closes(id);
	bool is_news = (command || id == REPLY_TOO_MANY_ERRORS) &&
		       c->refusals_told < REFUSALS_TOLD_MAX;
	c->refusals_told += is_news;
	log_event(is_news ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "command.refused",
		LOG_TEXT("listener", c->client.listener->name),
		LOG_TEXT("client", c->client.address),
		LOG_TEXT("helo", smtp_session_helo(c->session)),
		LOG_TEXT("user", c->client.user), LOG_TEXT("command", command),
		LOG_TEXT("code", code), LOG_TEXT("reason", smtp_reply_reason(id)));
}

static const struct smtp_session_callbacks callbacks = {
	.mail = on_mail,
	.recipient = on_recipient,
	.reset = on_reset,
	.data_begin = on_data_begin,
	.data_room = on_data_room,
	.data_bytes = on_data_bytes,
	.data_drop = on_data_drop,
	.data_end = on_data_end,
	.auth = on_auth,
	.starttls = on_starttls,
	.refused = on_refused,
};

/* ---- the beginning ---- */

static void init_client(struct connection *c, struct front *front,
	struct smtp_settings *settings, const struct conf_listener *listener,
	const struct sockaddr_storage *peer)
{
	c->session = smtp_session_new(listener, settings->conf->hostname, &callbacks, c);
	c->client = (struct client){ .front = front,
		.settings = smtp_settings_ref(settings),
		.listener = listener,
		.peer = *peer,
		.session = c->session };
	uv_ip_name((const struct sockaddr *)peer, c->client.address,
		sizeof(c->client.address));
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
	c->link.data = c;
	init_client(c, front, settings, listener, peer);
	init_handles(c, front->loop);
	g_queue_push_tail_link(&front->connections, &c->link);
	metrics_add(front->metrics, METRIC_SESSIONS_TOTAL, listener->name, 1);
	metrics_add(front->metrics, METRIC_SESSIONS, listener->name, 1);
	log_debug("session.opened", LOG_TEXT("listener", listener->name),
		LOG_TEXT("client", c->client.address));
	if (uv_tcp_open(&c->tcp, fd)) {
		close(fd);
		connection_close(c);
		return;
	}
	if (listener->tls == CONF_TLS_WRAPPER)
		start_handshake(c);
	else
		smtp_session_greet(c->session, false);
	advance(c);
}

void connection_drain(struct connection *c)
{
	if (c->handshaking) {
		connection_close(c);
		return;
	}
	/* Who is in the middle of a message hears of it before the process ends. */
	uint64_t patience_s = c->client.settings->conf->shutdown_timeout_s;
	c->drain_ms = uv_now(front_of(c)->loop) + 750 * patience_s;
	smtp_session_drain(c->session);
	advance(c);
}
