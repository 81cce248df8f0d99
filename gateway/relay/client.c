/* The client's side of RFC 5321 over libetpan's stream, but for the mail transaction.
 * Decides nothing about when and how often: that is the pool's and the relay's. */
#include "gateway/relay/client_private.h"

#include "gateway/relay/credentials.h"
#include <openssl/crypto.h>
#include <string.h>

#define QUIT_LIMIT_S        1
#define AUTH_LINE_BYTES_MAX 12288 /* RFC 4954, section 4 */

bool client_is_alive(const struct client *c)
{
	return !transport_death(c->transport);
}

void client_limit_command(struct client *c)
{
	unsigned s = c->settings->command_timeout_s;
	transport_set_limits(c->transport, s, s);
}

bool client_read_reply(struct client *c)
{
	reply_clear(&c->reply);
	while (!c->reply.complete) {
		mmap_string_truncate(c->line, 0);
		if (!client_is_alive(c) ||
			!mailstream_read_line_append(c->stream, c->line) ||
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

bool client_put(struct client *c, const char *data, size_t bytes)
{
	ssize_t n = mailstream_write(c->stream, data, bytes);
	return n == (ssize_t)bytes && !transport_death(c->transport);
}

bool client_flush(struct client *c)
{
	return mailstream_flush(c->stream) == 0 && !transport_death(c->transport);
}

/* Sends a command and reads its reply; c->reply is not complete when there is none. */
static bool run(struct client *c, const char *command)
{
	reply_clear(&c->reply);
	client_limit_command(c);
	return client_put(c, command, strlen(command)) && client_flush(c) &&
	       client_read_reply(c);
}

/* What went wrong at a step before any message: the last reply, or the connection's end.
 * hold: where a person must mend what no more is known of. */
static bool fail_step(
	struct client *c, struct failure *failure, const char *step, const char *hold)
{
	g_autofree char *reply = reply_print(&c->reply);
	bool replied = c->reply.complete;
	const char *advice = NULL;
	enum reply_kind kind = REPLY_RETRY;
	if (replied)
		kind = reply_classify_session(&c->reply, &advice);
	const char *death = transport_death(c->transport);
	/* Behind its code, where that is shown, a reply's own words come first. */
	g_autofree char *text =
		replied ? g_strdup_printf("%s (%s port %u, %s)", reply, c->settings->host,
				  c->settings->port, step)
			: g_strdup_printf("%s port %u, %s: %s", c->settings->host,
				  c->settings->port, step, death ? death : "failed");
	if (kind == REPLY_DONE) /* a success that was not the one asked for */
		kind = REPLY_RETRY;
	failure_set(failure, kind, replied ? c->reply.code : 0, text, advice);
	if (kind == REPLY_MEND) {
		char *of_reply = reply_hold(&c->reply);
		failure_set_hold(failure, of_reply ? of_reply : g_strdup(hold));
	}
	return false;
}

static bool fail_mend(struct client *c, struct failure *failure, const char *hold,
	const char *why, const char *advice)
{
	g_autofree char *text = g_strdup_printf(
		"%s port %u: %s", c->settings->host, c->settings->port, why);
	failure_set(failure, REPLY_MEND, 0, text, advice);
	failure_set_hold(failure, g_strdup(hold));
	return false;
}

/* libetpan's mailsmtp_connect() and mailesmtp_starttls() are not used: an empty line in a
 * reply makes their parser read before its buffer, and both replies come in the clear. */
static bool greet(struct client *c, struct failure *failure)
{
	reply_clear(&c->reply);
	client_limit_command(c);
	if (client_read_reply(c) && c->reply.code == 220)
		return true;
	return fail_step(c, failure, "greeting", "connection");
}

static bool say_ehlo(struct client *c, struct failure *failure)
{
	g_autofree char *command = g_strdup_printf("EHLO %s\r\n", c->hostname);
	if (!run(c, command) || c->reply.code != 250)
		return fail_step(c, failure, "EHLO", "connection");
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
	if (failure->kind == REPLY_MEND)
		failure_set_hold(failure, g_strdup("TLS"));
	return false;
}

/* RFC 3207. What a man in the middle sent behind the 220 must not be read as if it had
 * come under TLS: the stream's buffer outlives the handshake. */
static bool upgrade(
	struct client *c, const struct transport_trust *trust, struct failure *failure)
{
	if (!c->ehlo.starttls)
		return fail_mend(c, failure, "TLS", "the relay offers no STARTTLS",
			"see relay.port and relay.tls; a firewall may be in between");
	bool replied = run(c, "STARTTLS\r\n");
	if (c->stream->read_buffer_len > 0) {
		transport_kill(c->transport, "octets after the answer to STARTTLS");
		fail_mend(c, failure, NULL,
			"octets came in the clear after the answer to STARTTLS",
			"someone may be in the way of the connection");
		failure->kind = REPLY_RETRY; /* and who is may be gone next time */
		return false;
	}
	if (!replied || c->reply.code != 220)
		return fail_step(c, failure, "STARTTLS", "TLS");
	return start_tls(c, trust, failure) && say_ehlo(c, failure);
}

/* The stream keeps what it has sent: overwrite it. */
static void wipe_stream(struct client *c)
{
	OPENSSL_cleanse(c->stream->write_buffer, AUTH_LINE_BYTES_MAX);
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
		return fail_mend(
			c, failure, "TLS", "no AUTH without TLS", "see relay.tls");
	if (!c->ehlo.auth_plain && !c->ehlo.auth_login)
		return fail_mend(c, failure, "credentials",
			"the relay offers neither AUTH PLAIN nor AUTH LOGIN",
			"see relay.port, relay.tls and relay.user");
	bool replied = c->ehlo.auth_plain && auth_plain(c, credentials);
	bool plain_unknown = replied && c->reply.code == 504;
	if (c->ehlo.auth_login && (!c->ehlo.auth_plain || plain_unknown))
		replied = auth_login(c, credentials);
	if (replied && c->reply.code == 235)
		return true;
	return fail_step(c, failure, "AUTH", "credentials");
}

static bool authenticate(struct client *c, struct failure *failure)
{
	struct credentials credentials;
	g_autoptr(GError) error = NULL;
	if (!credentials_load(&credentials, c->settings, &error)) {
		failure_set_error(failure, error);
		failure_set_hold(failure, g_strdup("credentials"));
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
		return fail_mend(c, failure, "TLS",
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
	const struct transport_trust *trust, uint64_t address, struct failure *failure)
{
	g_autoptr(GError) error = NULL;
	struct transport *transport = transport_new(settings->host, settings->port,
		address, settings->connect_timeout_s, &error);
	if (!transport) {
		failure_set_error(failure, error);
		return NULL;
	}
	struct client *c = g_new0(struct client, 1);
	c->settings = settings;
	c->hostname = hostname;
	c->transport = transport;
	c->stream = mailstream_new(transport_low(transport), CLIENT_STREAM_BYTES);
	c->line = mmap_string_new("");
	g_assert(c->stream && c->line); /* out of memory ends the process */
	reply_init(&c->reply);
	c->command = g_string_sized_new(1024);
	c->block = g_malloc(CLIENT_BLOCK_BYTES);
	if (!open_session(c, trust, failure))
		client_free(&c);
	return c;
}

bool client_has_input(struct client *c)
{
	return c->stream->read_buffer_len > 0 || transport_has_input(c->transport);
}

bool client_is_usable(struct client *c)
{
	return client_is_alive(c) && !client_has_input(c);
}

bool client_offers_smtputf8(const struct client *c)
{
	return c->ehlo.smtputf8;
}

/* With the answer read, so that the peer does not find its own last words reset. */
static void quit(struct client *c)
{
	transport_set_limits(c->transport, QUIT_LIMIT_S, QUIT_LIMIT_S);
	if (client_put(c, "QUIT\r\n", 6) && client_flush(c))
		client_read_reply(c);
}

void client_free(struct client **client)
{
	struct client *c = *client;
	if (!c)
		return;
	if (client_is_alive(c))
		quit(c);
	mailstream_close(c->stream); /* sends nothing of what is buffered */
	transport_free(&c->transport);
	mmap_string_free(c->line);
	reply_deinit(&c->reply);
	g_string_free(c->command, TRUE);
	g_free(c->block);
	g_clear_pointer(client, g_free);
}
