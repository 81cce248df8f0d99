/* The handshake and what comes encrypted. TLS itself is tls.c's. */
#include "gateway/smtp/connection_private.h"

void connection_tell_tls_failed(struct connection *c, const char *reason)
{
	struct front *front = connection_front(c);
	unsigned clients;
	metrics_add(
		front->metrics, METRIC_TLS_FAILURES_TOTAL, c->client.listener->name, 1);
	if (!telling_may(&front->tls_failures, connection_now_ms(c), &clients))
		return;
	log_info("tls.failed", LOG_CLIENT(c), LOG_TEXT("reason", reason),
		LOG_NUMBER("clients", clients));
}

void connection_start_handshake(struct connection *c)
{
	c->tls = tls_new(smtp_settings_tls(c->client.settings, c->client.listener));
	c->handshaking = true;
}

/* What came in the clear behind STARTTLS may be anybody's (RFC 3207, section 6): it is
 * dropped, and the client with it. */
void connection_answer_starttls(struct connection *c)
{
	c->starttls = false;
	if (c->raw.rest.bytes) {
		connection_tell_tls_failed(
			c, "commands in the clear behind STARTTLS: dropped");
		connection_close(c);
		return;
	}
	connection_start_handshake(c);
}

/* What was said in the clear is forgotten (RFC 3207, section 4.2). */
static void forget_user(struct connection *c)
{
	g_clear_pointer(&c->client.user, g_free);
	c->client.used_auth = false;
	c->client.account = NULL;
}

static void tell_quirks(struct connection *c)
{
	if (g_str_equal(c->client.tls_version, "TLSv1"))
		connection_tell_quirk(c, QUIRK_TLS_1_0);
	else if (g_str_equal(c->client.tls_version, "TLSv1.1"))
		connection_tell_quirk(c, QUIRK_TLS_1_1);
	if (tls_cipher_is_old(c->tls))
		connection_tell_quirk(c, QUIRK_OLD_CIPHER);
}

static void end_handshake(struct connection *c)
{
	c->handshaking = false;
	forget_user(c);
	c->client.tls_version = tls_version(c->tls);
	c->client.tls_cipher = tls_cipher(c->tls);
	metrics_add(
		connection_front(c)->metrics, METRIC_TLS_TOTAL, c->client.tls_version, 1);
	log_debug("tls.started", LOG_CLIENT(c),
		LOG_TEXT("version", c->client.tls_version),
		LOG_TEXT("cipher", c->client.tls_cipher));
	connection_take_certificate(c);
	tell_quirks(c);
	if (!c->greeted)
		return; /* TLS from the first byte */
	smtp_session_tls_started(c->session, c->certified);
	if (c->certified)
		connection_set_terms(c);
}

static void lend_raw(struct connection *c)
{
	tls_lend(c->tls, c->raw.rest.start, c->raw.rest.bytes);
}

static void take_back_raw(struct connection *c)
{
	c->raw.rest = slice_from(c->raw.rest, c->raw.rest.bytes - tls_left(c->tls));
}

void connection_shake_hands(struct connection *c)
{
	lend_raw(c);
	enum tls_status status = tls_handshake(c->tls);
	take_back_raw(c);
	if (status == TLS_OK) {
		end_handshake(c);
	} else if (status != TLS_WANTS_INPUT) {
		connection_tell_tls_failed(c, tls_error(c->tls));
		connection_send(c); /* the alert */
		connection_close(c);
	}
}

/* close_notify: what follows it is nobody's. */
static void end_input(struct connection *c)
{
	c->eof = true;
	input_clear(&c->raw);
}

void connection_decrypt(struct connection *c)
{
	struct front *front = connection_front(c);
	size_t n_bytes = 0;
	lend_raw(c);
	enum tls_status status =
		tls_read(c->tls, front->plain, sizeof(front->plain), &n_bytes);
	take_back_raw(c);
	if (status == TLS_OK)
		input_set(&c->plain, front->plain, n_bytes);
	else if (status == TLS_CLOSED)
		end_input(c);
	else if (status == TLS_FAILED)
		connection_close(c);
}
