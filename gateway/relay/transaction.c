/* One mail transaction over an open session: the envelope, the content, and each
 * recipient's fate. */
#include "gateway/idn.h"
#include "gateway/quoting.h"
#include "gateway/relay/client_private.h"
#include "gateway/relay/wire.h"
#include <string.h>

/* The slowest peer that is worth waiting for while it takes a message. */
#define CONTENT_BYTES_PER_S_MIN 16384

struct exchange {
	struct client *client;
	const struct client_transaction *transaction;
	struct failure *failure;
	bool *accepted; /* per recipient: its RCPT got 2xx */
	size_t n_accepted;
	bool mail_accepted, data_accepted;
	bool write_failed;
};

void client_set_verdict(struct relay_recipient *recipient, enum relay_verdict verdict,
	int reply_code, const char *text)
{
	relay_recipient_clear(recipient);
	recipient->verdict = verdict;
	recipient->reply_code = reply_code;
	recipient->reply = g_strdup(text);
	recipient->failure = QUEUE_FAILURE_MESSAGE;
	recipient->unusable = recipient->of_message = false;
	recipient->advice = NULL;
}

void client_set_unusable(struct relay_recipient *recipient,
	const struct conf_relay *settings, const struct failure *failure,
	const char *text)
{
	bool mend = failure->kind == REPLY_MEND;
	client_set_verdict(recipient, mend ? RELAY_HELD : RELAY_DEFERRED,
		failure->reply_code, text ? text : failure->text);
	recipient->unusable = true;
	recipient->advice = failure->advice;
	recipient->failure = failure->kind == REPLY_THROTTLE ? QUEUE_FAILURE_THROTTLE
							     : QUEUE_FAILURE_UPSTREAM;
	if (mend)
		recipient->hold = g_strdup_printf("relay %s: %s",
			settings->name ? settings->name : CONF_RELAY_DEFAULT,
			failure->hold ? failure->hold : "connection");
}

static void set_all(const struct client_transaction *t, enum relay_verdict verdict,
	int code, const char *text)
{
	for (size_t i = 0; i < t->n_recipients; i++)
		client_set_verdict(t->recipients[i], verdict, code, text);
}

static void set_accepted(
	struct exchange *x, enum relay_verdict verdict, int code, const char *text)
{
	for (size_t i = 0; i < x->transaction->n_recipients; i++) {
		if (x->accepted[i])
			client_set_verdict(
				x->transaction->recipients[i], verdict, code, text);
	}
}

/* What the last reply, no success, means for recipient; remembers what asks for more than
 * a retry. */
static void judge(struct exchange *x, struct relay_recipient *recipient)
{
	const struct reply *reply = &x->client->reply;
	g_autofree char *text = reply_print(reply);
	const char *advice;
	enum reply_kind kind = reply_classify(reply, &advice);
	if (kind == REPLY_DONE) /* not the success that was asked for */
		kind = REPLY_RETRY;
	struct failure failure = { kind, reply->code, text, advice, NULL };
	if (kind == REPLY_MEND)
		failure.hold = reply_hold(reply);
	bool notable = kind == REPLY_THROTTLE || kind == REPLY_MEND;
	if (notable && (!x->failure->text || x->failure->kind < kind)) {
		failure_set(x->failure, kind, reply->code, text, advice);
		failure_set_hold(x->failure, g_strdup(failure.hold));
	}
	bool refused = kind == REPLY_REFUSE;
	if (kind == REPLY_MEND || (reply->code == 421 && !refused))
		client_set_unusable(recipient, x->client->settings, &failure, NULL);
	else
		client_set_verdict(recipient, refused ? RELAY_REFUSED : RELAY_DEFERRED,
			reply->code, text);
	recipient->of_message = recipient->unusable && reply->code != 421;
	if (kind == REPLY_THROTTLE)
		recipient->failure = QUEUE_FAILURE_THROTTLE;
	g_free(failure.hold);
}

static void judge_all(struct exchange *x, bool only_accepted)
{
	for (size_t i = 0; i < x->transaction->n_recipients; i++) {
		if (x->accepted[i] || !only_accepted)
			judge(x, x->transaction->recipients[i]);
	}
}

/* Whether the peer can be told of the address, if need be by its A-labels. */
static bool can_name(const struct client *c, const char *address)
{
	if (c->ehlo.smtputf8 || g_str_is_ascii(address))
		return true;
	g_autofree char *ascii = idn_address(address);
	return ascii && g_str_is_ascii(ascii);
}

static void append_path(GString *command, const struct client *c, const char *address)
{
	g_autofree char *quoted =
		conf_relay_is_ses(c->settings) ? quoting_address(address) : NULL;
	address = quoted ? quoted : address;
	if (c->ehlo.smtputf8 || g_str_is_ascii(address)) {
		g_string_append_printf(command, "<%s>", address);
		return;
	}
	g_autofree char *ascii = idn_address(address);
	g_string_append_printf(command, "<%s>", ascii); /* can_name() has said so */
}

/* What the peer has not offered to take, so that it need not refuse it. */
static bool peer_takes(struct client *c, const struct client_transaction *t)
{
	const struct relay_message *m = t->message;
	uint64_t bytes = splice_bytes(m->content);
	g_autofree char *text = NULL;
	if (c->ehlo.max_bytes && bytes > c->ehlo.max_bytes)
		text = g_strdup_printf("5.3.4 the message has %" G_GUINT64_FORMAT
				       " octets, the relay takes %" G_GUINT64_FORMAT,
			bytes, c->ehlo.max_bytes);
	else if (m->body_8bit && !c->ehlo.body_8bit)
		text = g_strdup(
			"5.6.3 the message has 8-bit content and the relay takes 7-bit "
			"content only (it offers no 8BITMIME)");
	else if (!can_name(c, m->reverse_path))
		text = g_strdup(
			"5.6.7 the sender's address is not ASCII before its @, and the "
			"relay offers no SMTPUTF8");
	if (text)
		set_all(t, RELAY_REFUSED, 0, text);
	return !text;
}

/* Keeps in *t, whose array is the caller's own, the recipients that
 * the peer can be told of. */
static void drop_impossible(struct client *c, struct client_transaction *t)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->n_recipients; i++) {
		struct relay_recipient *r = t->recipients[i];
		if (can_name(c, r->forward_path))
			t->recipients[kept++] = r;
		else
			client_set_verdict(r, RELAY_REFUSED, 0,
				"5.6.7 the address is not ASCII before its @, and the "
				"relay offers no SMTPUTF8");
	}
	t->n_recipients = kept;
}

static bool needs_smtputf8(const struct client_transaction *t)
{
	bool ascii = !t->message->smtputf8 && g_str_is_ascii(t->message->reverse_path);
	for (size_t i = 0; i < t->n_recipients && ascii; i++)
		ascii = g_str_is_ascii(t->recipients[i]->forward_path);
	return !ascii;
}

/* One of DSN's. Spooled text is looked at once more before it stands in a command. */
static void append_parameter(
	GString *command, const struct client *c, const char *keyword, const char *value)
{
	if (!c->ehlo.dsn || !value || !*value ||
		(!c->ehlo.smtputf8 && !g_str_is_ascii(value)))
		return;
	for (const char *p = value; *p; p++) {
		if (g_ascii_iscntrl(*p) || *p == ' ')
			return;
	}
	g_string_append_printf(command, " %s=%s", keyword, value);
}

static bool put_mail(struct exchange *x)
{
	struct client *c = x->client;
	struct relay_message *m = x->transaction->message;
	m->takes_dsn = c->ehlo.dsn;
	g_string_assign(c->command, "MAIL FROM:");
	append_path(c->command, c, m->reverse_path);
	if (c->ehlo.size)
		g_string_append_printf(
			c->command, " SIZE=%" G_GUINT64_FORMAT, splice_bytes(m->content));
	if (m->body_8bit)
		g_string_append(c->command, " BODY=8BITMIME");
	if (c->ehlo.smtputf8 && needs_smtputf8(x->transaction))
		g_string_append(c->command, " SMTPUTF8");
	append_parameter(c->command, c, "RET", m->ret);
	append_parameter(c->command, c, "ENVID", m->envid);
	g_string_append(c->command, "\r\n");
	return client_put(c, c->command->str, c->command->len);
}

static bool put_rcpt(struct exchange *x, size_t i)
{
	GString *command = x->client->command;
	const struct relay_recipient *r = x->transaction->recipients[i];
	g_string_assign(command, "RCPT TO:");
	append_path(command, x->client, r->forward_path);
	append_parameter(command, x->client, "NOTIFY", r->notify);
	append_parameter(command, x->client, "ORCPT", r->orcpt);
	g_string_append(command, "\r\n");
	return client_put(x->client, command->str, command->len);
}

static bool put_text(struct exchange *x, const char *text)
{
	return client_put(x->client, text, strlen(text));
}

static bool next_reply(struct exchange *x)
{
	client_limit_command(x->client);
	return client_read_reply(x->client);
}

/* Neither what was asked for nor a refusal: replies and commands no longer go together,
 * and the next one could be taken for the wrong command's. */
static bool lose_step(struct client *c)
{
	g_autofree char *said = reply_print(&c->reply);
	g_autofree char *reason = g_strdup_printf(
		"the relay's answers do not fit the commands, it said: %d %s",
		c->reply.code, said);
	transport_kill(c->transport, reason);
	return false;
}

/* Each take_ function reads one reply; false: the connection is lost. */

static bool take_reset(struct exchange *x)
{
	if (!next_reply(x))
		return false;
	if (x->client->reply.code != 250)
		transport_kill(x->client->transport, "RSET was refused");
	return !transport_death(x->client->transport);
}

static bool take_mail(struct exchange *x)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	x->mail_accepted = c->reply.code / 100 == 2;
	if (c->reply.code / 100 == 3)
		return lose_step(c);
	if (!x->mail_accepted)
		judge_all(x, false);
	return !transport_death(c->transport);
}

static bool take_rcpt(struct exchange *x, size_t i)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	if (!x->mail_accepted) /* its refusal is known already */
		return !transport_death(c->transport);
	if (c->reply.code / 100 == 3)
		return lose_step(c);
	x->accepted[i] = c->reply.code / 100 == 2;
	x->n_accepted += x->accepted[i];
	if (!x->accepted[i])
		judge(x, x->transaction->recipients[i]);
	return !transport_death(c->transport);
}

static bool take_data(struct exchange *x)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	x->data_accepted = c->reply.code == 354;
	if (!x->data_accepted && c->reply.code < 400)
		return lose_step(c);
	if (!x->data_accepted && x->n_accepted > 0)
		judge_all(x, true);
	return !transport_death(c->transport);
}

/* RFC 2920: all commands up to DATA in one write. */
static bool talk_pipelined(struct exchange *x)
{
	struct client *c = x->client;
	size_t n = x->transaction->n_recipients;
	bool reset = c->needs_reset;
	if ((reset && !put_text(x, "RSET\r\n")) || !put_mail(x))
		return false;
	c->needs_reset = true;
	for (size_t i = 0; i < n; i++) {
		if (!put_rcpt(x, i))
			return false;
	}
	if (!put_text(x, "DATA\r\n") || !client_flush(c))
		return false;
	if ((reset && !take_reset(x)) || !take_mail(x))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!take_rcpt(x, i))
			return false;
	}
	return take_data(x);
}

static bool step(struct client *c, bool put_well)
{
	if (!put_well)
		return false;
	client_limit_command(c);
	return client_flush(c);
}

static bool talk_stepwise(struct exchange *x)
{
	struct client *c = x->client;
	if (c->needs_reset && !(step(c, put_text(x, "RSET\r\n")) && take_reset(x)))
		return false;
	c->needs_reset = true;
	if (!step(c, put_mail(x)) || !take_mail(x))
		return false;
	for (size_t i = 0; i < x->transaction->n_recipients && x->mail_accepted; i++) {
		if (!step(c, put_rcpt(x, i)) || !take_rcpt(x, i))
			return false;
	}
	if (!x->n_accepted)
		return true;
	return step(c, put_text(x, "DATA\r\n")) && take_data(x);
}

/* 354 although no recipient is left: RFC 2920, section 3.1, asks for a lone dot. */
static bool end_empty_data(struct exchange *x)
{
	client_limit_command(x->client);
	return put_text(x, ".\r\n") && client_flush(x->client) && next_reply(x);
}

static void emit(void *context, const char *data, size_t bytes)
{
	struct exchange *x = context;
	if (!x->write_failed)
		x->write_failed = !client_put(x->client, data, bytes);
}

enum content_end {
	CONTENT_WRITTEN,  /* all but the dot */
	CONTENT_LOST,     /* the connection ended */
	CONTENT_ANSWERED, /* the peer replied before the end: it does not want it */
	CONTENT_STOPPED,  /* ours: not readable, or not to be sent */
};

static enum content_end write_content(struct exchange *x, GError **error)
{
	struct client *c = x->client;
	const struct relay_message *m = x->transaction->message;
	struct wire wire = { .emit = emit, .context = x };
	struct splice_reader reader;
	splice_reader_init(&reader, m->content, m->fd);
	for (bool first = true;; first = false) {
		ssize_t n = splice_read(&reader, c->block, CLIENT_BLOCK_BYTES, error);
		if (n < 0)
			return CONTENT_STOPPED;
		if (n == 0)
			break;
		if (!first && client_has_input(c))
			return transport_death(c->transport) ? CONTENT_LOST
							     : CONTENT_ANSWERED;
		wire_add(&wire, c->block, (size_t)n);
		if (x->write_failed)
			return CONTENT_LOST;
		if (n < CLIENT_BLOCK_BYTES)
			break;
	}
	wire_end(&wire);
	return x->write_failed ? CONTENT_LOST : CONTENT_WRITTEN;
}

static void take_final(struct exchange *x)
{
	struct client *c = x->client;
	unsigned limit_s = c->settings->data_timeout_s;
	transport_set_limits(c->transport, limit_s, limit_s);
	bool replied = client_read_reply(c);
	/* What came of it tells, also where its end does not come. */
	int class = c->reply.code / 100;
	if (class != 2 && class != 4 && class != 5) {
		if (replied)
			lose_step(c);
		g_autofree char *text = g_strdup_printf(
			"no reply to the final dot: %s", transport_death(c->transport));
		set_accepted(x, RELAY_UNCERTAIN, 0, text);
		return;
	}
	c->needs_reset = false;
	if (class != 2) {
		judge_all(x, true);
		return;
	}
	g_autofree char *text = reply_print(&c->reply);
	struct relay_message *m = x->transaction->message;
	g_free(m->relay_id);
	m->relay_id = reply_message_id(&c->reply);
	set_accepted(x, RELAY_SENT, c->reply.code, text);
}

/* The peer answered in the middle of the content; the session cannot go on. */
static bool take_early(struct exchange *x)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	if (c->reply.code < 400)
		return lose_step(c);
	judge_all(x, true);
	transport_kill(c->transport, "the peer replied before the end of the content");
	return true;
}

/* Who refuses the content and closes at once has said so, even where that made a write
 * fail before it was read. False: lost without a word. */
static bool take_last_words(struct exchange *x)
{
	struct client *c = x->client;
	g_autofree char *death = g_strdup(transport_death(c->transport));
	if (!transport_hear_out(c->transport))
		return false;
	bool said = client_has_input(c) && take_early(x);
	transport_kill(c->transport, death);
	return said;
}

static void set_relaying(struct exchange *x, bool relaying)
{
	for (size_t i = 0; i < x->transaction->n_recipients; i++)
		x->transaction->recipients[i]->relaying = relaying && x->accepted[i];
}

/* False: lost before the final dot. */
static bool send_content(struct exchange *x)
{
	struct client *c = x->client;
	const struct relay_message *m = x->transaction->message;
	g_autoptr(GError) error = NULL;
	transport_set_limits(c->transport, c->settings->command_timeout_s,
		c->settings->data_timeout_s +
			splice_bytes(m->content) / CONTENT_BYTES_PER_S_MIN);
	enum content_end end = write_content(x, &error);
	if (end == CONTENT_ANSWERED)
		return take_early(x);
	set_relaying(x, true);
	if (end == CONTENT_WRITTEN && m->before_final_dot &&
		!m->before_final_dot(m->context, &error))
		end = CONTENT_STOPPED;
	set_relaying(x, false);
	if (end == CONTENT_STOPPED) {
		transport_kill(c->transport, "given up before the final dot");
		set_accepted(x, RELAY_DEFERRED, 0, error ? error->message : "given up");
		return true;
	}
	/* A reply that is there now answers no dot, and a connection that has ended takes
	 * none: nothing is uncertain yet. */
	if (end == CONTENT_WRITTEN && client_has_input(c))
		return take_early(x);
	/* If this fails, the dot's last octets never left: the peer
	 * cannot have taken it. */
	client_limit_command(c); /* the journal may have taken its time */
	if (end == CONTENT_LOST || !put_text(x, ".\r\n") || !client_flush(c))
		return take_last_words(x);
	take_final(x);
	return true;
}

/* The connection ended before the final dot: nobody got anything. */
static void set_lost(struct exchange *x)
{
	struct client *c = x->client;
	g_autofree char *reply = c->reply.complete ? reply_print(&c->reply) : NULL;
	bool said = c->reply.complete && c->reply.code == 421;
	g_autofree char *text =
		said ? g_strdup_printf("%s (%s port %u)", reply, c->settings->host,
			       c->settings->port)
		     : g_strdup_printf("%s port %u: %s", c->settings->host,
			       c->settings->port, transport_death(c->transport));
	const char *advice = NULL;
	enum reply_kind kind = said ? reply_classify(&c->reply, &advice) : REPLY_RETRY;
	transport_kill(c->transport, "failed");
	failure_set(x->failure, kind, said ? 421 : 0, text, advice);
	if (kind == REPLY_MEND)
		failure_set_hold(x->failure, reply_hold_session(&c->reply));
	for (size_t i = 0; i < x->transaction->n_recipients; i++)
		client_set_unusable(x->transaction->recipients[i], c->settings,
			x->failure, said ? reply : NULL);
}

bool client_send(
	struct client *c, const struct client_transaction *whole, struct failure *failure)
{
	if (!peer_takes(c, whole))
		return true;
	g_autofree struct relay_recipient **recipients =
		g_memdup2(whole->recipients, whole->n_recipients * sizeof(*recipients));
	struct client_transaction t = { whole->message, recipients, whole->n_recipients };
	drop_impossible(c, &t);
	if (!t.n_recipients)
		return true;
	g_autofree bool *accepted = g_new0(bool, t.n_recipients);
	struct exchange x = { c, &t, failure, accepted, 0, false, false, false };
	reply_clear(&c->reply);
	client_limit_command(c);
	bool kept = c->ehlo.pipelining ? talk_pipelined(&x) : talk_stepwise(&x);
	if (kept && x.data_accepted)
		kept = x.n_accepted ? send_content(&x) : end_empty_data(&x);
	if (!kept)
		set_lost(&x);
	return kept;
}
