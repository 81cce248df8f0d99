/* The answers to what a session asks about mail. Bytes and sockets
 * are the connection's. */
#include "gateway/smtp/transaction.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/policy/policy.h"
#include "gateway/smtp/discard.h"
#include "gateway/smtp/received.h"

#define FORWARD_PATHS_LOGGED_BYTES_MAX 4096

/* Of all messages that are coming in, in memory: beyond it they go to the disk early, but
 * for a little of each. */
#define BUFFERED_BYTES_MAX 16777216
#define BUFFERED_LITTLE    16384

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static const struct sockaddr *peer_of(const struct client *client)
{
	return (const struct sockaddr *)&client->peer;
}

/* Whether a refusal is told, and how many it stands for. */
static bool may_tell(const struct client *client, unsigned *refusals)
{
	struct front *front = client->front;
	return tellings_may(
		&front->replies, peer_of(client), uv_now(front->loop), refusals);
}

static void log_refused(const struct transaction *t, const struct client *client,
	const char *reverse_path, const char *reason)
{
	unsigned refusals;
	if (!may_tell(client, &refusals))
		return;
	log_info("message.refused", LOG_TEXT("id", t->message ? t->message->id : NULL),
		LOG_TEXT("listener", client->listener->name),
		LOG_TEXT("client", client->address),
		LOG_TEXT("client_name", client->name),
		LOG_TEXT("helo", smtp_session_helo(client->session)),
		LOG_TEXT("user", client->user), LOG_TEXT("reverse_path", reverse_path),
		LOG_TEXT("reason", reason), LOG_NUMBER("refusals", refusals));
}

/* Whether the account, and then the rates of client and user, let a message begin. */
static enum smtp_reply_id may_send(const struct client *client, const char *reverse_path)
{
	const struct conf_account *account = client->account;
	uint64_t now_ms = uv_now(client->front->loop);
	if (!policy_sender(account, reverse_path))
		return REPLY_SENDER_NOT_ALLOWED;
	if (!ceilings_take_message(client->front->ceilings,
		    &client->listener->messages_per_minute, peer_of(client), now_ms))
		return REPLY_CLIENT_TOO_FAST;
	if (account && !ceilings_take_user_message(client->front->ceilings,
			       account->messages_per_minute, client->user, now_ms))
		return REPLY_USER_TOO_FAST;
	return REPLY_MAIL_OK;
}

/* A report of what became of the message goes to nobody else: strangers' reverse-paths
 * are mostly forged. */
static bool may_bounce(const struct client *client)
{
	return client->user || (client->listener->n_networks > 0 &&
				       policy_client(client->listener, peer_of(client)));
}

enum smtp_reply_id transaction_mail(
	struct transaction *t, const struct client *client, const struct smtp_mail *mail)
{
	g_autoptr(GError) error = NULL;
	if (!queue_has_room(client->front->queue, mail->size, &error)) {
		log_refused(t, client, mail->reverse_path, error->message);
		return REPLY_NO_ROOM;
	}
	enum smtp_reply_id id = may_send(client, mail->reverse_path);
	if (id != REPLY_MAIL_OK) {
		log_refused(t, client, mail->reverse_path, smtp_reply_reason(id));
		return id;
	}
	t->message = queue_message_new();
	t->message->reverse_path = g_strdup(mail->reverse_path);
	t->message->smtputf8 = mail->smtputf8;
	t->message->may_bounce = may_bounce(client);
	t->message->ret = mail->ret;
	t->message->envid = g_strdup(mail->envid);
	return REPLY_MAIL_OK;
}

static enum smtp_reply_id reply_of(enum policy_verdict verdict)
{
	switch (verdict) {
	case POLICY_ACCEPT:
		return REPLY_RCPT_OK;
	case POLICY_AUTH_NEEDED:
		return REPLY_AUTH_NEEDED;
	case POLICY_NO_RELAY:
		return REPLY_NO_RELAY;
	case POLICY_NO_SUCH:
		return REPLY_NO_SUCH_RECIPIENT;
	case POLICY_LOOP:
		return REPLY_RECIPIENT_LOOP;
	}
	g_assert_not_reached();
}

/* RCPT for an address given already is fine with RFC 5321 and needs no second copy. */
static bool has_recipient(const struct queue_message *message, const char *address)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *known =
			g_ptr_array_index(message->recipients, i);
		if (!strcmp(known->original, address))
			return true;
	}
	return false;
}

/* Who tries one address after the other pays for each. */
static enum smtp_reply_id take_rates(const struct client *client)
{
	const struct conf_account *account = client->account;
	struct ceilings *ceilings = client->front->ceilings;
	uint64_t now_ms = uv_now(client->front->loop);
	if (!ceilings_take_recipient(ceilings, &client->listener->recipients_per_minute,
		    peer_of(client), now_ms))
		return REPLY_CLIENT_TOO_FAST;
	if (account && !ceilings_take_user_recipient(ceilings,
			       account->recipients_per_minute, client->user, now_ms))
		return REPLY_USER_TOO_FAST;
	return REPLY_RCPT_OK;
}

/* What the DNS says of a stranger. Postmaster hears of a mistake in it (RFC 5321, section
 * 4.5.1). */
static enum smtp_reply_id screen(const struct client *client, const char *address)
{
	const struct conf_listener *listener = client->listener;
	if (client->user || policy_is_postmaster(address))
		return REPLY_RCPT_OK;
	if (client->block_list)
		return REPLY_BLOCK_LISTED;
	bool has_no_name =
		listener->reverse_dns == CONF_REVERSE_DNS_REQUIRE && !client->name &&
		screener_is_wanted(client->settings->conf, listener, peer_of(client));
	return has_no_name ? REPLY_NO_REVERSE_DNS : REPLY_RCPT_OK;
}

static enum smtp_reply_id judge_recipient(
	const struct client *client, const char *address, char **forward_path)
{
	enum smtp_reply_id id = take_rates(client);
	if (id == REPLY_RCPT_OK)
		id = screen(client, address);
	if (id == REPLY_RCPT_OK)
		id = reply_of(policy_recipient(client->settings->conf, client->listener,
			peer_of(client), client->user, address, forward_path));
	if (id == REPLY_RCPT_OK && !policy_account_recipient(client->account, address))
		id = REPLY_RECIPIENT_NOT_ALLOWED;
	return id;
}

static void log_recipient_refused(const struct transaction *t,
	const struct client *client, const char *address, enum smtp_reply_id id)
{
	unsigned refusals;
	if (!may_tell(client, &refusals))
		return;
	log_info("recipient.refused", LOG_TEXT("listener", client->listener->name),
		LOG_TEXT("client", client->address),
		LOG_TEXT("client_name", client->name),
		LOG_TEXT("helo", smtp_session_helo(client->session)),
		LOG_TEXT("user", client->user),
		LOG_TEXT("reverse_path", t->message->reverse_path),
		LOG_TEXT("recipient", address),
		LOG_TEXT("block_list",
			id == REPLY_BLOCK_LISTED ? client->block_list : NULL),
		LOG_TEXT("reason", smtp_reply_reason(id)),
		LOG_NUMBER("refusals", refusals));
}

enum smtp_reply_id transaction_recipient(
	struct transaction *t, const struct client *client, const struct smtp_rcpt *rcpt)
{
	g_autofree char *forward_path = NULL;
	enum smtp_reply_id id = judge_recipient(client, rcpt->address, &forward_path);
	const struct conf_way way = { client->listener->name, client->user,
		t->message->reverse_path, forward_path };
	if (id == REPLY_RCPT_OK && !policy_way_is_open(client->settings->conf, &way))
		id = REPLY_NOT_ASCII;
	if (id != REPLY_RCPT_OK) {
		log_recipient_refused(t, client, rcpt->address, id);
	} else if (!has_recipient(t->message, rcpt->address)) {
		struct queue_recipient *recipient = queue_message_add_recipient(
			t->message, rcpt->address, forward_path);
		recipient->notify = rcpt->notify;
		recipient->orcpt = g_strdup(rcpt->orcpt);
	}
	return id;
}

static GString *print_received(const struct transaction *t, const struct client *client)
{
	const GPtrArray *recipients = t->message->recipients;
	const struct queue_recipient *only =
		recipients->len == 1 ? g_ptr_array_index(recipients, 0) : NULL;
	struct smtp_received received = {
		.helo = smtp_session_helo(client->session),
		.client = client->address,
		.client_name = client->name,
		.hostname = client->settings->conf->hostname,
		.id = t->message->id,
		.esmtp = smtp_session_is_esmtp(client->session),
		.utf8 = smtp_session_is_utf8(client->session),
		.tls_version = client->tls_version,
		.tls_cipher = client->tls_cipher,
		.authenticated = client->used_auth,
		.recipient = only ? only->original : NULL,
		.time_s = g_get_real_time() / G_USEC_PER_SEC,
	};
	return smtp_received_print(&received);
}

enum smtp_reply_id transaction_begin_data(
	struct transaction *t, const struct client *client)
{
	g_autoptr(GString) received = print_received(t, client);
	t->spool = spool_new(queue_spool_directory(client->front->queue), t->message->id);
	t->flushed_bytes = 0;
	transaction_append(t, client, received->str, received->len);
	return REPLY_START_DATA;
}

static size_t buffered(const struct transaction *t)
{
	return t->spool ? (size_t)(spool_bytes(t->spool) - t->flushed_bytes) : 0;
}

size_t transaction_room(const struct transaction *t)
{
	return SPOOL_BUFFER_BYTES - buffered(t);
}

void transaction_append(struct transaction *t, const struct client *client,
	const char *bytes, size_t n_bytes)
{
	size_t taken = spool_append(t->spool, bytes, n_bytes);
	g_assert(taken == n_bytes); /* no more comes than transaction_room() said */
	client->front->buffered_bytes += n_bytes;
}

bool transaction_must_flush(const struct transaction *t, const struct client *client)
{
	if (!t->spool)
		return false;
	return spool_is_full(t->spool) ||
	       (client->front->buffered_bytes > BUFFERED_BYTES_MAX &&
		       buffered(t) > BUFFERED_LITTLE);
}

void transaction_flushed(struct transaction *t, const struct client *client)
{
	client->front->buffered_bytes -= buffered(t);
	t->flushed_bytes = spool_bytes(t->spool);
}

void transaction_drop(
	struct transaction *t, const struct client *client, enum smtp_reply_id why)
{
	log_refused(t, client, t->message->reverse_path, smtp_reply_reason(why));
	client->front->buffered_bytes -= buffered(t);
	discard(client->front->loop, &t->spool);
}

void transaction_reset(struct transaction *t, const struct client *client)
{
	client->front->buffered_bytes -= buffered(t);
	discard(client->front->loop, &t->spool);
	queue_message_free(t->message);
	*t = (struct transaction){ 0 };
}

void transaction_abandon(struct transaction *t, const struct client *client)
{
	if (t->spool)
		log_refused(t, client, t->message->reverse_path,
			"the session ended before the data did");
	transaction_reset(t, client);
}

static char *join_forward_paths(const GPtrArray *recipients)
{
	GString *text = g_string_new(NULL);
	for (guint i = 0; i < recipients->len; i++) {
		const struct queue_recipient *recipient =
			g_ptr_array_index(recipients, i);
		if (text->len > FORWARD_PATHS_LOGGED_BYTES_MAX) {
			g_string_append_printf(
				text, ", and %u more", recipients->len - i);
			break;
		}
		if (i)
			g_string_append(text, ", ");
		g_string_append(text, recipient->forward_path);
	}
	return g_string_free(text, FALSE);
}

static void fill_receipt(struct receipt *receipt, const struct queue_message *message)
{
	g_strlcpy(receipt->id, message->id, sizeof(receipt->id));
	receipt->size = message->size;
	receipt->recipients = message->recipients->len;
	receipt->reverse_path = g_strdup(message->reverse_path);
	receipt->forward_paths = join_forward_paths(message->recipients);
}

enum smtp_reply_id transaction_check_from(
	struct transaction *t, const struct client *client, const char *from)
{
	if (policy_from(client->account, from))
		return REPLY_QUEUED;
	transaction_drop(t, client, REPLY_FROM_NOT_ALLOWED);
	return REPLY_FROM_NOT_ALLOWED;
}

bool transaction_is_passed_on(const struct client *client)
{
	return client->listener->accept == CONF_ACCEPT_RELAY;
}

static enum conf_priority priority_of(const struct client *client)
{
	const struct conf_account *account = client->account;
	return account && account->priority != CONF_PRIORITY_LISTENER
		       ? account->priority
		       : client->listener->priority;
}

void transaction_commit(struct transaction *t, const struct client *client, bool has_8bit,
	struct receipt *receipt, commits_done done, void *context)
{
	struct queue_message *message = t->message;
	message->size = spool_bytes(t->spool);
	/* Whatever BODY said: 7-bit content needs nothing of the relay. */
	message->body_8bit = has_8bit;
	message->listener = g_strdup(client->listener->name);
	message->client = g_strdup(client->address);
	message->helo = g_strdup(smtp_session_helo(client->session));
	message->user = g_strdup(client->user);
	message->priority = priority_of(client);
	fill_receipt(receipt, message);
	struct spool *spool = t->spool;
	client->front->buffered_bytes -= buffered(t);
	*t = (struct transaction){ 0 }; /* both are the queue's from here */
	struct commits *commits = client->front->commits;
	if (transaction_is_passed_on(client))
		commits_pass(commits, message, spool, done, context);
	else
		commits_submit(commits, message, spool, done, context);
}

static void log_accepted(const struct receipt *receipt, const struct client *client)
{
	g_autofree char *tls = client->tls_version ? g_strconcat(client->tls_version, " ",
							     client->tls_cipher, NULL)
						   : NULL;
	log_info("message.accepted", LOG_TEXT("id", receipt->id),
		LOG_TEXT("listener", client->listener->name),
		LOG_TEXT("client", client->address),
		LOG_TEXT("client_name", client->name),
		LOG_TEXT("helo", smtp_session_helo(client->session)),
		LOG_TEXT("tls", tls), LOG_TEXT("user", client->user),
		LOG_TEXT("reverse_path", or_empty(receipt->reverse_path)),
		LOG_NUMBER("recipients", receipt->recipients),
		LOG_TEXT("forward_paths", receipt->forward_paths),
		LOG_NUMBER("size", receipt->size));
}

enum smtp_reply_id transaction_fault(const GError *error)
{
	bool full = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_FULL);
	return full ? REPLY_NO_ROOM : REPLY_LOCAL_ERROR;
}

static void log_not_taken(const struct receipt *receipt, const struct client *client,
	enum log_level level, const char *reason)
{
	log_event(level, "message.refused", LOG_TEXT("id", receipt->id),
		LOG_TEXT("listener", client->listener->name),
		LOG_TEXT("client", client->address),
		LOG_TEXT("client_name", client->name), LOG_TEXT("user", client->user),
		LOG_TEXT("reverse_path", or_empty(receipt->reverse_path)),
		LOG_TEXT("reason", reason));
}

static void count_accepted(const struct receipt *receipt, const struct client *client)
{
	struct metrics *metrics = client->front->metrics;
	const char *listener = client->listener->name;
	metrics_add(metrics, METRIC_MESSAGES_RECEIVED_TOTAL, listener, 1);
	metrics_add(
		metrics, METRIC_BYTES_RECEIVED_TOTAL, listener, (double)receipt->size);
}

/* What it does not know, it will ask for again. */
static void log_unanswered(const struct receipt *receipt, const struct client *client,
	enum smtp_reply_id id, const char *detail)
{
	char code[8];
	g_snprintf(code, sizeof(code), "%u", smtp_reply(id)->code);
	log_warning("message.unanswered", LOG_TEXT("id", receipt->id),
		LOG_TEXT("listener", client->listener->name),
		LOG_TEXT("client", client->address),
		LOG_TEXT("client_name", client->name), LOG_TEXT("user", client->user),
		LOG_TEXT("code", code), LOG_TEXT("reply", detail),
		LOG_TEXT("reason",
			"the client had gone before the next hop answered: it may send "
			"the message again"));
}

enum smtp_reply_id transaction_committed(struct receipt *receipt,
	const struct client *client, const struct commit_outcome *outcome, bool is_heard)
{
	enum smtp_reply_id id = outcome->id;
	if (outcome->error) {
		log_not_taken(receipt, client, LOG_LEVEL_ERROR, outcome->error->message);
		id = transaction_fault(outcome->error);
	} else if (smtp_reply(id)->code == 250) {
		log_accepted(receipt, client);
		count_accepted(receipt, client);
	} else {
		log_not_taken(receipt, client, LOG_LEVEL_INFO, outcome->detail);
	}
	if (!is_heard && transaction_is_passed_on(client))
		log_unanswered(receipt, client, id, outcome->detail);
	g_clear_pointer(&receipt->reverse_path, g_free);
	g_clear_pointer(&receipt->forward_paths, g_free);
	return id;
}
