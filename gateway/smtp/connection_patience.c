/* How long is waited for what, and what becomes of those who do not keep to it. One timer
 * serves all. */
#include "gateway/smtp/connection_private.h"

#define PROXY_TIMEOUT_MS     10000
#define HANDSHAKE_TIMEOUT_MS 30000
#define CR_LF_TIMEOUT_MS     1000
#define LINGER_TIMEOUT_MS    2000
#define AUTH_DELAY_MS        1000 /* grows by as much with each failure */

/* A message must be there within DATA_TIMEOUTS times data_timeout, and a second more for
 * so many octets: as slow as a modem may be, and no slot is held with a byte a minute. */
#define DATA_TIMEOUTS   4
#define DATA_BYTES_S    500
#define DATA_TIME_S_MAX 86400

static enum wait what_to_wait_for(const struct connection *c)
{
	if (c->lingering)
		return WAIT_LINGER;
	if (c->writing)
		return WAIT_WRITE;
	if (c->awaits_proxy)
		return WAIT_PROXY;
	if (c->handshaking)
		return WAIT_HANDSHAKE;
	if (!c->greeted && !smtp_session_is_closed(c->session))
		return c->greeting_waits ? WAIT_GREETING : WAIT_NOBODY;
	if (c->auth_delayed)
		return WAIT_AUTH_DELAY;
	if (c->flushing || smtp_session_is_stopped(c->session))
		return WAIT_NOBODY;
	return smtp_session_in_data(c->session) ? WAIT_DATA : WAIT_COMMAND;
}

static uint64_t patience_ms(const struct connection *c)
{
	uint64_t command_ms = 1000 * (uint64_t)c->client.listener->command_timeout_s;
	switch (c->wait) {
	case WAIT_NOBODY:
		return 0;
	case WAIT_PROXY:
		return MIN(PROXY_TIMEOUT_MS, command_ms);
	case WAIT_GREETING:
		return c->client.listener->greeting_delay_ms;
	case WAIT_HANDSHAKE:
		return MIN(HANDSHAKE_TIMEOUT_MS, command_ms);
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
	return command_ms;
}

/* Who waits for the next hop hears of it before the process ends. */
static bool waits_for_hop(const struct connection *c)
{
	return c->committing && transaction_is_passed_on(&c->client) &&
	       !smtp_session_is_closed(c->session);
}

/* When the message at hand, or a gateway that is shutting down, waits no longer,
 * whatever the client sends. 0: not limited. */
static uint64_t limit_ms(const struct connection *c)
{
	if (c->wait == WAIT_NOBODY && waits_for_hop(c))
		return c->drain_ms;
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
	uint64_t now_ms = connection_now_ms(c);
	uv_timer_start(&c->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/* A command must come whole within its time, data must keep coming. */
void connection_set_deadline(struct connection *c)
{
	enum wait wait = what_to_wait_for(c);
	bool moved = wait == WAIT_DATA                              ? c->heard
		     : (wait == WAIT_COMMAND || wait == WAIT_WRITE) ? c->said
								    : false;
	uint64_t now_ms = connection_now_ms(c);
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
	log_info("session.timeout", LOG_CLIENT(c), LOG_TEXT("reason", reason));
}

static void run_out_of_time(struct connection *c)
{
	switch (c->wait) {
	case WAIT_PROXY:
		connection_fail_proxy(c, "no PROXY header came in time");
		return;
	case WAIT_GREETING:
		c->greeting_waits = false;
		connection_advance(c);
		return;
	case WAIT_HANDSHAKE:
		connection_tell_tls_failed(c, "the handshake took too long");
		connection_close(c);
		return;
	case WAIT_WRITE:
		log_timeout(c, "the client does not read its replies");
		connection_close(c);
		return;
	case WAIT_AUTH_DELAY:
		connection_refuse_auth(c);
		return;
	case WAIT_COMMAND:
	case WAIT_DATA:
		log_timeout(c, c->wait == WAIT_DATA ? "no more data" : "no command");
		smtp_session_end(c->session, REPLY_TIMEOUT);
		connection_advance(c);
		return;
	case WAIT_NOBODY:
	case WAIT_LINGER:
		connection_close(c);
	}
}

static void reach_limit(struct connection *c)
{
	enum smtp_reply_id id = REPLY_SHUTDOWN;
	if (!c->drain_ms || connection_now_ms(c) < c->drain_ms) {
		log_timeout(c, "the message comes too slowly");
		id = REPLY_TOO_SLOW;
	}
	smtp_session_end(c->session, id);
	connection_advance(c);
}

static void on_timer(uv_timer_t *timer)
{
	struct connection *c = timer->data;
	uint64_t now_ms = connection_now_ms(c);
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
		connection_advance(c);
	} else {
		set_timer(c);
	}
}
