/* What the session asks for, about mail. What a message means is transaction.c's. */
#include "gateway/smtp/connection_private.h"

#include "gateway/smtp/refusal.h"

/* In one step. What commands bring about is dearer than their octets. */
#define COMMAND_BYTES_MAX 1024
#define DATA_BYTES_MAX    16384

bool connection_is_busy(const struct connection *c)
{
	return c->closing || c->writing || c->flushing ||
	       smtp_session_is_stopped(c->session) || smtp_session_is_closed(c->session);
}

void connection_feed(struct connection *c, struct input *input)
{
	bool in_data = smtp_session_in_data(c->session);
	size_t n_bytes =
		MIN(input->rest.bytes, in_data ? DATA_BYTES_MAX : COMMAND_BYTES_MAX);
	if (!n_bytes)
		return;
	size_t taken = smtp_session_feed(c->session, input->rest.start, n_bytes);
	input->rest = slice_from(input->rest, taken);
	c->data_bytes += taken;
	c->heard |= taken;
}

/* ---- mail ---- */

static enum smtp_reply_id on_mail(void *context, const struct smtp_mail *mail)
{
	struct connection *c = context;
	if (c->is_proxy) {
		refusal_tell(connection_front(c), c->client.listener, c->client.address,
			"proxy_header", "the proxy named no client: its mail is refused");
		return REPLY_CLIENT_UNKNOWN;
	}
	if (connection_lacks_certificate(c))
		return REPLY_CERTIFICATE_NEEDED;
	return transaction_mail(&c->transaction, &c->client, mail);
}

static enum smtp_reply_id on_recipient(void *context, const struct smtp_rcpt *rcpt)
{
	struct connection *c = context;
	return transaction_recipient(&c->transaction, &c->client, rcpt);
}

static void on_reset(void *context)
{
	struct connection *c = context;
	transaction_reset(&c->transaction, &c->client);
}

static enum smtp_reply_id on_data_begin(void *context)
{
	struct connection *c = context;
	c->data_began_ms = connection_now_ms(c);
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
	transaction_append(&c->transaction, &c->client, bytes, n_bytes);
}

static void on_data_drop(void *context, enum smtp_reply_id why)
{
	struct connection *c = context;
	transaction_drop(&c->transaction, &c->client, why);
}

static void on_committed(void *context, const struct commit_outcome *outcome)
{
	struct connection *c = context;
	bool is_heard = !c->closing && !c->eof && !smtp_session_is_closed(c->session);
	enum smtp_reply_id id =
		transaction_committed(&c->receipt, &c->client, outcome, is_heard);
	c->committing = false;
	c->left_mail |= smtp_reply(id)->code == 250;
	if (!c->closing) {
		const char *detail =
			smtp_reply_is_quoted(id) ? outcome->detail : c->receipt.id;
		smtp_session_data_done(c->session, id, detail);
		connection_advance(c);
	}
	connection_unpin(c);
}

static void on_data_end(void *context, bool has_8bit, const char *from)
{
	struct connection *c = context;
	enum smtp_reply_id id = transaction_check_from(&c->transaction, &c->client, from);
	if (id != REPLY_QUEUED) {
		transaction_reset(&c->transaction, &c->client);
		smtp_session_data_done(c->session, id, NULL);
		return;
	}
	c->committing = true;
	connection_pin(c);
	transaction_commit(
		&c->transaction, &c->client, has_8bit, &c->receipt, on_committed, c);
}

/* ---- the spool ---- */

static void flush_work(uv_work_t *work)
{
	struct connection *c = work->data;
	spool_flush(c->transaction.spool, &c->flush_error);
}

static void end_flush(struct connection *c, bool cancelled)
{
	if (c->flush_error || cancelled) {
		log_error("spool.failed", LOG_TEXT("id", c->transaction.message->id),
			LOG_TEXT("reason",
				c->flush_error ? c->flush_error->message : "cancelled"));
		smtp_session_data_failed(c->session, transaction_fault(c->flush_error));
		g_clear_error(&c->flush_error);
	} else {
		transaction_flushed(&c->transaction, &c->client);
	}
	c->heard = true;
}

static void on_flushed(uv_work_t *work, int status)
{
	struct connection *c = work->data;
	c->flushing = false;
	c->data_began_ms += connection_now_ms(c) - c->flush_began_ms;
	if (!c->closing) {
		end_flush(c, status);
		connection_advance(c);
	}
	connection_unpin(c);
}

void connection_flush_if_due(struct connection *c)
{
	if (c->closing || c->flushing ||
		!transaction_must_flush(&c->transaction, &c->client))
		return;
	c->flushing = true;
	c->flush_began_ms = connection_now_ms(c);
	connection_pin(c);
	c->flush.data = c;
	uv_queue_work(connection_front(c)->loop, &c->flush, flush_work, on_flushed);
}

/* ---- the rest ---- */

static void on_starttls(void *context)
{
	struct connection *c = context;
	c->starttls = true;
}

static void log_refused(const struct connection *c, const char *code, const char *command,
	enum smtp_reply_id id)
{
	unsigned refusals;
	if (!tellings_may(&connection_front(c)->replies, connection_peer(c),
		    connection_now_ms(c), &refusals))
		return;
	log_info("command.refused", LOG_CLIENT(c), LOG_TEXT("user", c->client.user),
		LOG_TEXT("command", command), LOG_TEXT("code", code),
		LOG_TEXT("reason", smtp_reply_reason(id)),
		LOG_NUMBER("refusals", refusals));
}

static void on_refused(void *context, enum smtp_reply_id id, const char *command)
{
	struct connection *c = context;
	struct front *front = connection_front(c);
	char code[8];
	g_snprintf(code, sizeof(code), "%u", smtp_reply(id)->code);
	metrics_add(front->metrics, METRIC_REPLIES_TOTAL, code, 1);
	refusal_count(front, id);
	c->hung_up |= smtp_reply_closes(id);
	if (command || id == REPLY_TOO_MANY_ERRORS)
		log_refused(c, code, command, id);
}

void connection_tell_quirk(struct connection *c, enum quirk quirk)
{
	struct front *front = connection_front(c);
	unsigned clients;
	if (c->quirks & 1U << quirk)
		return;
	c->quirks |= 1U << quirk;
	metrics_add(front->metrics, METRIC_QUIRKS_TOTAL, quirk_name(quirk), 1);
	if (!telling_may(&front->quirks, connection_now_ms(c), &clients))
		return;
	log_info("client.quirk", LOG_CLIENT(c), LOG_TEXT("user", c->client.user),
		LOG_TEXT("quirk", quirk_name(quirk)),
		LOG_TEXT("tls_version", c->client.tls_version),
		LOG_TEXT("tls_cipher", c->client.tls_cipher),
		LOG_NUMBER("quirks", clients));
}

static void on_quirk(void *context, enum quirk quirk)
{
	connection_tell_quirk(context, quirk);
}

const struct smtp_session_callbacks connection_callbacks = {
	.mail = on_mail,
	.recipient = on_recipient,
	.reset = on_reset,
	.data_begin = on_data_begin,
	.data_room = on_data_room,
	.data_bytes = on_data_bytes,
	.data_drop = on_data_drop,
	.data_end = on_data_end,
	.auth = connection_on_auth,
	.auth_external = connection_on_auth_external,
	.starttls = on_starttls,
	.refused = on_refused,
	.quirk = on_quirk,
};
