/* The client's side of RFC 5321 over libetpan's stream. Decides nothing about when and
 * how often: that is the pool's and the relay's. */
#include "gateway/relay/client.h"

#include "gateway/error.h"
#include "gateway/relay/credentials.h"
#include "gateway/relay/ehlo.h"
#include "gateway/relay/wire.h"
#include <libetpan/libetpan.h>
#include <openssl/crypto.h>
#include <string.h>

/* A small message, its final dot and what stands before them fit: one write. */
#define STREAM_BYTES 65536
#define BLOCK_BYTES  32768
/* The slowest peer that is worth waiting for while it takes a message. */
#define CONTENT_BYTES_PER_S_MIN 16384
#define QUIT_LIMIT_S            1
#define AUTH_LINE_BYTES_MAX     12288 /* RFC 4954, section 4 */

struct client {
	const struct conf_relay *settings;
	const char *hostname;
	struct transport *transport;
	mailsmtp *session; /* its stream is NULL once libetpan has closed it */
	MMAPString *line;
	struct reply reply; /* the last one read */
	struct ehlo ehlo;
	GString *command;
	char *block;
	bool needs_reset; /* a transaction was begun and not ended */
};

bool client_is_alive(const struct client *c)
{
	return c->session->stream && !transport_death(c->transport);
}

static void limit_command(struct client *c)
{
	unsigned s = c->settings->command_timeout_s;
	transport_set_limits(c->transport, s, s);
}

/* Reads one reply into c->reply, within the limits set before. False: dead. A 421 kills
 * too. */
static bool read_reply(struct client *c)
{
	reply_clear(&c->reply);
	while (!c->reply.complete) {
		mmap_string_truncate(c->line, 0);
		if (!client_is_alive(c) ||
			!mailstream_read_line_append(c->session->stream, c->line) ||
			transport_death(c->transport)) {
			transport_kill(c->transport, "no reply");
			return false;
		}
		if (!reply_add_line(&c->reply, c->line->str, c->line->len)) {
			transport_kill(c->transport, "the peer's reply is not SMTP");
			return false;
		}
	}
	if (c->reply.code == 421)
		transport_kill(c->transport, "the peer ends the session (421)");
	return true;
}

static bool put(struct client *c, const char *data, size_t bytes)
{
	ssize_t n = mailstream_write(c->session->stream, data, bytes);
	return n == (ssize_t)bytes && !transport_death(c->transport);
}

static bool flush(struct client *c)
{
	return mailstream_flush(c->session->stream) == 0 &&
	       !transport_death(c->transport);
}

/* Sends a command and reads its reply; c->reply is not complete when there is none. */
static bool run(struct client *c, const char *command)
{
	reply_clear(&c->reply);
	limit_command(c);
	return put(c, command, strlen(command)) && flush(c) && read_reply(c);
}

/* ---- Opening ---- */

/* What went wrong at a step before any message: the last reply, or the connection's end.
 */
static bool fail_step(struct client *c, struct failure *failure, const char *step)
{
	g_autofree char *reply = reply_print(&c->reply);
	bool replied = c->reply.complete;
	const char *advice = NULL;
	enum reply_kind kind = REPLY_RETRY;
	if (replied)
		kind = reply_classify_session(&c->reply, &advice);
	const char *death = transport_death(c->transport);
	g_autofree char *text = g_strdup_printf("%s port %u, %s: %s", c->settings->host,
		c->settings->port, step,
		replied ? reply
		: death ? death
			: "failed");
	if (kind == REPLY_DONE) /* a success that was not the one asked for */
		kind = REPLY_RETRY;
	failure_set(failure, kind, replied ? c->reply.code : 0, text, advice);
	return false;
}

static bool fail_mend(
	struct client *c, struct failure *failure, const char *why, const char *advice)
{
	g_autofree char *text = g_strdup_printf(
		"%s port %u: %s", c->settings->host, c->settings->port, why);
	failure_set(failure, REPLY_MEND, 0, text, advice);
	return false;
}

/* libetpan's own reading of a reply, as a struct reply. */
static void take_session_reply(struct client *c)
{
	reply_clear(&c->reply);
	int code = c->session->response_code;
	if (code < 200 || code > 599)
		return;
	c->reply.code = code;
	c->reply.complete = true;
	const char *text = c->session->response ? c->session->response : "";
	g_string_append_len(c->reply.text, text,
		(gssize)MIN(strcspn(text, "\n"), REPLY_TEXT_BYTES_MAX));
}

static bool greet(struct client *c, struct failure *failure)
{
	mailstream *stream = mailstream_new(transport_low(c->transport), STREAM_BYTES);
	g_assert(stream);
	limit_command(c);
	/* Closes and frees the stream when it fails. */
	int result = mailsmtp_connect(c->session, stream);
	take_session_reply(c);
	if (result == MAILSMTP_NO_ERROR && c->reply.code == 220 && client_is_alive(c))
		return true;
	return fail_step(c, failure, "greeting");
}

static bool say_ehlo(struct client *c, struct failure *failure)
{
	g_autofree char *command = g_strdup_printf("EHLO %s\r\n", c->hostname);
	if (!run(c, command) || c->reply.code != 250)
		return fail_step(c, failure, "EHLO");
	ehlo_parse(&c->ehlo, c->reply.text->str);
	return true;
}

static bool start_tls(
	struct client *c, const struct transport_trust *trust, struct failure *failure)
{
	const char *name =
		c->settings->tls_name ? c->settings->tls_name : c->settings->host;
	g_autoptr(GError) error = NULL;
	unsigned limit_s = c->settings->connect_timeout_s;
	transport_set_limits(c->transport, limit_s, limit_s);
	if (transport_start_tls(c->transport, trust, name, &error))
		return true;
	failure_set_error(failure, error);
	return false;
}

/* RFC 3207. libetpan's mailesmtp_starttls() refuses what follows the 220 in the same
 * segment; that the read buffer is empty is looked at again, since its content would
 * outlive TLS. */
static bool upgrade(
	struct client *c, const struct transport_trust *trust, struct failure *failure)
{
	if (!c->ehlo.starttls)
		return fail_mend(c, failure, "the relay offers no STARTTLS",
			"see relay.port and relay.tls; a firewall may be in between");
	limit_command(c);
	c->session->esmtp |= MAILSMTP_ESMTP_STARTTLS;
	int result = mailesmtp_starttls(c->session);
	take_session_reply(c);
	if (result == MAILSMTP_ERROR_SSL || c->session->stream->read_buffer_len > 0) {
		transport_kill(c->transport, "octets after the answer to STARTTLS");
		return fail_mend(c, failure,
			"octets came in the clear after the answer to STARTTLS",
			"someone may be in the way of the connection");
	}
	if (result != MAILSMTP_NO_ERROR || c->reply.code != 220)
		return fail_step(c, failure, "STARTTLS");
	return start_tls(c, trust, failure) && say_ehlo(c, failure);
}

/* The stream keeps what it has sent: overwrite it. */
static void wipe_stream(struct client *c)
{
	if (c->session->stream)
		OPENSSL_cleanse(c->session->stream->write_buffer, AUTH_LINE_BYTES_MAX);
	OPENSSL_cleanse(c->command->str, c->command->allocated_len);
	g_string_truncate(c->command, 0);
}

/* Sends prefix and the Base64 of data, then reads the reply. */
static bool send_secret(
	struct client *c, const char *prefix, const char *data, size_t bytes)
{
	char *encoded = g_base64_encode((const guchar *)data, bytes);
	/* Reserved at once: growing would leave copies behind. */
	g_string_set_size(c->command, strlen(prefix) + strlen(encoded) + 2);
	g_snprintf(c->command->str, c->command->len + 1, "%s%s\r\n", prefix, encoded);
	credentials_wipe_string(&encoded);
	bool sent = c->command->len <= AUTH_LINE_BYTES_MAX && run(c, c->command->str);
	wipe_stream(c);
	return sent;
}

static bool auth_plain(struct client *c, const struct credentials *credentials)
{
	size_t user = strlen(credentials->user), password = strlen(credentials->password);
	size_t bytes = 2 + user + password;
	char *message = g_malloc(bytes); /* NUL user NUL password: RFC 4616 */
	message[0] = '\0';
	memcpy(message + 1, credentials->user, user + 1);
	memcpy(message + 2 + user, credentials->password, password);
	bool replied = send_secret(c, "AUTH PLAIN ", message, bytes);
	OPENSSL_cleanse(message, bytes);
	g_free(message);
	return replied;
}

static bool auth_login(struct client *c, const struct credentials *credentials)
{
	if (!run(c, "AUTH LOGIN\r\n") || c->reply.code != 334)
		return c->reply.complete;
	if (!send_secret(c, "", credentials->user, strlen(credentials->user)) ||
		c->reply.code != 334)
		return c->reply.complete;
	return send_secret(c, "", credentials->password, strlen(credentials->password));
}

static bool log_in(
	struct client *c, const struct credentials *credentials, struct failure *failure)
{
	if (!transport_is_tls(c->transport) && !transport_is_loopback(c->transport))
		return fail_mend(c, failure, "no AUTH without TLS", "see relay.tls");
	if (!c->ehlo.auth_plain && !c->ehlo.auth_login)
		return fail_mend(c, failure,
			"the relay offers neither AUTH PLAIN nor AUTH LOGIN",
			"see relay.port, relay.tls and relay.user");
	bool replied = false;
	if (c->ehlo.auth_plain)
		replied = auth_plain(c, credentials);
	bool other = c->ehlo.auth_plain && (!replied || c->reply.code != 504);
	if (c->ehlo.auth_login && !other)
		replied = auth_login(c, credentials);
	if (replied && c->reply.code == 235)
		return true;
	return fail_step(c, failure, "AUTH");
}

static bool authenticate(struct client *c, struct failure *failure)
{
	struct credentials credentials;
	g_autoptr(GError) error = NULL;
	if (!credentials_load(&credentials, c->settings, &error)) {
		failure_set_error(failure, error);
		return false;
	}
	bool ok = !credentials.user || log_in(c, &credentials, failure);
	credentials_wipe(&credentials);
	return ok;
}

static bool open_session(
	struct client *c, const struct transport_trust *trust, struct failure *failure)
{
	enum conf_tls tls = c->settings->tls;
	if (tls == CONF_TLS_NONE && !transport_is_loopback(c->transport))
		return fail_mend(c, failure,
			"the relay is not on this machine, so TLS is needed",
			"see relay.tls");
	if (tls == CONF_TLS_WRAPPER && !start_tls(c, trust, failure))
		return false;
	if (!greet(c, failure) || !say_ehlo(c, failure))
		return false;
	if (tls != CONF_TLS_NONE && tls != CONF_TLS_WRAPPER &&
		!upgrade(c, trust, failure))
		return false;
	return authenticate(c, failure);
}

struct client *client_new(const struct conf_relay *settings, const char *hostname,
	const struct transport_trust *trust, struct failure *failure)
{
	g_autoptr(GError) error = NULL;
	struct transport *transport = transport_new(
		settings->host, settings->port, settings->connect_timeout_s, &error);
	if (!transport) {
		failure_set_error(failure, error);
		return NULL;
	}
	struct client *c = g_new0(struct client, 1);
	c->settings = settings;
	c->hostname = hostname;
	c->transport = transport;
	c->session = mailsmtp_new(0, NULL);
	c->line = mmap_string_new("");
	g_assert(c->session && c->line);
	reply_init(&c->reply);
	c->command = g_string_sized_new(1024);
	c->block = g_malloc(BLOCK_BYTES);
	if (!open_session(c, trust, failure))
		client_free(&c);
	return c;
}

bool client_is_usable(struct client *c)
{
	return client_is_alive(c) && c->session->stream->read_buffer_len == 0 &&
	       !transport_has_input(c->transport);
}

void client_free(struct client **client)
{
	struct client *c = *client;
	if (!c)
		return;
	/* mailsmtp_free() says QUIT and sends what is still buffered; a dead transport
	 * takes neither. */
	if (c->session->stream && !transport_death(c->transport))
		transport_set_limits(c->transport, QUIT_LIMIT_S, QUIT_LIMIT_S);
	mailsmtp_free(c->session);
	transport_free(&c->transport);
	mmap_string_free(c->line);
	reply_deinit(&c->reply);
	g_string_free(c->command, TRUE);
	g_free(c->block);
	g_clear_pointer(client, g_free);
}

/* ---- One transaction ---- */

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
	g_free(recipient->reply);
	recipient->verdict = verdict;
	recipient->reply_code = reply_code;
	recipient->reply = g_strdup(text);
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

/* What the last reply, no success, means; remembers what asks for more than a retry. */
static enum relay_verdict judge(struct exchange *x, const char *text)
{
	const struct reply *reply = &x->client->reply;
	const char *advice;
	enum reply_kind kind = reply_classify(reply, &advice);
	if (kind == REPLY_DONE) /* not the success that was asked for */
		kind = REPLY_RETRY;
	bool notable = kind == REPLY_THROTTLE || kind == REPLY_MEND;
	if (notable && (!x->failure->text || x->failure->kind < kind))
		failure_set(x->failure, kind, reply->code, text, advice);
	return kind == REPLY_REFUSE ? RELAY_REFUSED : RELAY_DEFERRED;
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
	else if (!g_str_is_ascii(m->reverse_path) && !c->ehlo.smtputf8)
		text = g_strdup(
			"5.6.7 the sender's address is not ASCII and the relay offers no "
			"SMTPUTF8");
	if (text)
		set_all(t, RELAY_REFUSED, 0, text);
	return !text;
}

/* Keeps in *t, whose array is the caller's own, the recipients that the peer can be told
 * of. */
static void drop_impossible(struct client *c, struct client_transaction *t)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->n_recipients; i++) {
		struct relay_recipient *r = t->recipients[i];
		if (c->ehlo.smtputf8 || g_str_is_ascii(r->forward_path))
			t->recipients[kept++] = r;
		else
			client_set_verdict(r, RELAY_REFUSED, 0,
				"5.6.7 the address is not ASCII and the relay offers no "
				"SMTPUTF8");
	}
	t->n_recipients = kept;
}

static bool needs_smtputf8(const struct client_transaction *t)
{
	bool ascii = g_str_is_ascii(t->message->reverse_path);
	for (size_t i = 0; i < t->n_recipients && ascii; i++)
		ascii = g_str_is_ascii(t->recipients[i]->forward_path);
	return !ascii;
}

static bool put_mail(struct exchange *x)
{
	struct client *c = x->client;
	const struct relay_message *m = x->transaction->message;
	g_string_printf(c->command, "MAIL FROM:<%s>", m->reverse_path);
	if (c->ehlo.size)
		g_string_append_printf(
			c->command, " SIZE=%" G_GUINT64_FORMAT, splice_bytes(m->content));
	if (m->body_8bit)
		g_string_append(c->command, " BODY=8BITMIME");
	if (c->ehlo.smtputf8 && needs_smtputf8(x->transaction))
		g_string_append(c->command, " SMTPUTF8");
	g_string_append(c->command, "\r\n");
	return put(c, c->command->str, c->command->len);
}

static bool put_rcpt(struct exchange *x, size_t i)
{
	GString *command = x->client->command;
	g_string_printf(
		command, "RCPT TO:<%s>\r\n", x->transaction->recipients[i]->forward_path);
	return put(x->client, command->str, command->len);
}

static bool put_text(struct exchange *x, const char *text)
{
	return put(x->client, text, strlen(text));
}

static bool next_reply(struct exchange *x)
{
	limit_command(x->client);
	return read_reply(x->client);
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
	if (!x->mail_accepted) {
		g_autofree char *text = reply_print(&c->reply);
		set_all(x->transaction, judge(x, text), c->reply.code, text);
	}
	return !transport_death(c->transport);
}

static bool take_rcpt(struct exchange *x, size_t i)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	if (!x->mail_accepted) /* its refusal is known already */
		return !transport_death(c->transport);
	x->accepted[i] = c->reply.code / 100 == 2;
	x->n_accepted += x->accepted[i];
	if (!x->accepted[i]) {
		g_autofree char *text = reply_print(&c->reply);
		client_set_verdict(x->transaction->recipients[i], judge(x, text),
			c->reply.code, text);
	}
	return !transport_death(c->transport);
}

static bool take_data(struct exchange *x)
{
	struct client *c = x->client;
	if (!next_reply(x))
		return false;
	x->data_accepted = c->reply.code == 354;
	if (!x->data_accepted && x->n_accepted > 0) {
		g_autofree char *text = reply_print(&c->reply);
		set_accepted(x, judge(x, text), c->reply.code, text);
	}
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
	if (!put_text(x, "DATA\r\n") || !flush(c))
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
	limit_command(c);
	return flush(c);
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
	limit_command(x->client);
	return put_text(x, ".\r\n") && flush(x->client) && next_reply(x);
}

static void emit(void *context, const char *data, size_t bytes)
{
	struct exchange *x = context;
	if (!x->write_failed)
		x->write_failed = !put(x->client, data, bytes);
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
		ssize_t n = splice_read(&reader, c->block, BLOCK_BYTES, error);
		if (n < 0)
			return CONTENT_STOPPED;
		if (n == 0)
			break;
		if (!first && transport_has_input(c->transport))
			return transport_death(c->transport) ? CONTENT_LOST
							     : CONTENT_ANSWERED;
		wire_add(&wire, c->block, (size_t)n);
		if (x->write_failed)
			return CONTENT_LOST;
		if (n < BLOCK_BYTES)
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
	bool replied = read_reply(c);
	int class = replied ? c->reply.code / 100 : 0;
	if (class != 2 && class != 4 && class != 5) {
		transport_kill(c->transport, "unknown answer to the final dot");
		g_autofree char *text = g_strdup_printf(
			"no reply to the final dot: %s", transport_death(c->transport));
		set_accepted(x, RELAY_UNCERTAIN, 0, text);
		return;
	}
	g_autofree char *text = reply_print(&c->reply);
	c->needs_reset = false;
	if (class != 2) {
		set_accepted(x, judge(x, text), c->reply.code, text);
		return;
	}
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
	g_autofree char *text = reply_print(&c->reply);
	set_accepted(x, judge(x, text), c->reply.code, text);
	transport_kill(c->transport, "the peer replied before the end of the content");
	return true;
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
	if (end == CONTENT_WRITTEN && m->before_final_dot &&
		!m->before_final_dot(m->context, &error))
		end = CONTENT_STOPPED;
	if (end == CONTENT_STOPPED) {
		transport_kill(c->transport, "given up before the final dot");
		set_accepted(x, RELAY_DEFERRED, 0, error ? error->message : "given up");
		return true;
	}
	/* If this fails, the dot's last octets never left: the peer cannot have taken it.
	 */
	limit_command(c); /* the journal may have taken its time */
	if (end == CONTENT_LOST || !put_text(x, ".\r\n") || !flush(c))
		return false;
	take_final(x);
	return true;
}

/* The connection ended before the final dot: nobody got anything. */
static void set_lost(struct exchange *x)
{
	struct client *c = x->client;
	g_autofree char *reply = c->reply.complete ? reply_print(&c->reply) : NULL;
	bool said = c->reply.complete && c->reply.code == 421;
	g_autofree char *text = g_strdup_printf("%s port %u: %s", c->settings->host,
		c->settings->port, said ? reply : transport_death(c->transport));
	const char *advice = NULL;
	enum reply_kind kind = said ? reply_classify(&c->reply, &advice) : REPLY_RETRY;
	transport_kill(c->transport, "failed");
	set_all(x->transaction, RELAY_DEFERRED, said ? 421 : 0, said ? reply : text);
	failure_set(x->failure, kind, said ? 421 : 0, text, advice);
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
	limit_command(c);
	bool kept = c->ehlo.pipelining ? talk_pipelined(&x) : talk_stepwise(&x);
	if (kept && x.data_accepted)
		kept = x.n_accepted ? send_content(&x) : end_empty_data(&x);
	if (!kept)
		set_lost(&x);
	return kept;
}
