/* One message to the next hop: checks, transactions, pace, and what
 * the operator must hear. */
#include "gateway/relay/relay.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/relay/client.h"
#include "gateway/relay/credentials.h"
#include "gateway/relay/maildir.h"
#include "gateway/relay/pace.h"
#include "gateway/relay/pool.h"
#include "gateway/relay/wire.h"
#include <string.h>

#define PATH_BYTES_MAX   320 /* local part 64, @, domain 255: RFC 5321, 4.5.3.1 */
#define PACE_WAIT_MAX_US (30 * G_USEC_PER_SEC)
#define SCAN_BYTES       32768
/* The same complaint is not logged again sooner. */
#define COMPLAINT_PAUSE_US (60 * G_USEC_PER_SEC)

struct relay {
	const struct conf_relay *settings;
	const char *hostname;
	struct metrics *metrics;
	struct transport_trust *trust;
	struct pool *pool; /* NULL: a Maildir */
	struct pace pace;
	bool is_ses;
	GMutex complaint_mutex;
	char *complaint;
	int64_t complaint_us;
};

/* That the secrets can be read is found out now, not with the first message. */
static bool check_credentials(const struct conf_relay *settings, GError **error)
{
	struct credentials credentials;
	bool ok = credentials_load(&credentials, settings, error);
	credentials_wipe(&credentials);
	return ok;
}

static bool prepare(struct relay *relay, GError **error)
{
	const struct conf_relay *settings = relay->settings;
	if (settings->maildir)
		return maildir_prepare(settings->maildir, error);
	if (!check_credentials(settings, error))
		return false;
	relay->trust = transport_trust_new(settings->ca_file, error);
	if (!relay->trust)
		return false;
	relay->pool = pool_new(settings, relay->hostname, relay->trust);
	g_autofree char *region = ses_region_of_host(settings->host);
	relay->is_ses = region;
	return true;
}

struct relay *relay_new(const struct conf_relay *settings, const char *hostname,
	struct metrics *metrics, GError **error)
{
	struct relay *relay = g_new0(struct relay, 1);
	relay->settings = settings;
	relay->hostname = hostname;
	relay->metrics = metrics;
	pace_init(&relay->pace, settings->rate);
	g_mutex_init(&relay->complaint_mutex);
	if (!prepare(relay, error))
		relay_free(&relay);
	return relay;
}

void relay_hurry(struct relay *relay)
{
	if (relay->pool)
		pool_hurry(relay->pool);
}

void relay_free(struct relay **relay)
{
	struct relay *r = g_steal_pointer(relay);
	if (!r)
		return;
	pool_free(&r->pool);
	transport_trust_free(&r->trust);
	pace_deinit(&r->pace);
	g_mutex_clear(&r->complaint_mutex);
	g_free(r->complaint);
	g_free(r);
}

/* Says once a minute what a person must mend; a thousand waiting
 * messages are one matter. */
static void complain(struct relay *relay, const struct failure *failure)
{
	int64_t now_us = g_get_monotonic_time();
	g_mutex_lock(&relay->complaint_mutex);
	bool fresh = g_strcmp0(failure->text, relay->complaint) != 0 ||
		     now_us - relay->complaint_us >= COMPLAINT_PAUSE_US;
	if (fresh) {
		g_free(relay->complaint);
		relay->complaint = g_strdup(failure->text);
		relay->complaint_us = now_us;
	}
	g_mutex_unlock(&relay->complaint_mutex);
	if (fresh)
		log_warning("relay.needs_attention",
			LOG_TEXT("host", relay->settings->host),
			LOG_NUMBER("code", failure->reply_code),
			LOG_TEXT("reason", failure->text),
			LOG_TEXT("advice", failure->advice));
}

/* connected: the peer said it to a message, not to the connection,
 * which the pool looks after. */
static void react(struct relay *relay, const struct failure *failure, bool connected)
{
	if (connected && failure->text && failure->kind == REPLY_THROTTLE)
		pace_throttled(&relay->pace, g_get_monotonic_time());
	if (failure->text && (failure->kind == REPLY_MEND || failure->advice))
		complain(relay, failure);
}

/*
 * Whether path can stand between < and > in a command: a CR LF in it would begin another
 * one. Quotes may hold what else would end it (RFC 5321, 4.1.2).
 */
static bool path_is_safe(const char *path)
{
	bool quoted = false;
	size_t bytes = strlen(path);
	if (bytes > PATH_BYTES_MAX)
		return false;
	for (const char *p = path; *p; p++) {
		if (g_ascii_iscntrl(*p))
			return false;
		if (quoted && *p == '\\' && p[1] && !g_ascii_iscntrl(p[1]))
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" <>", *p))
			return false;
	}
	return !quoted;
}

static void set_all(const struct client_transaction *t, enum relay_verdict verdict,
	int code, const char *text)
{
	for (size_t i = 0; i < t->n_recipients; i++)
		client_set_verdict(t->recipients[i], verdict, code, text);
}

/* SES takes no line over 1,000 octets with its CRLF; other MTAs do. */
static bool has_long_line(const struct relay_message *m, GError **error)
{
	g_autofree char *block = g_malloc(SCAN_BYTES);
	struct wire_lines lines = { 0 };
	struct splice_reader reader;
	splice_reader_init(&reader, m->content, m->fd);
	ssize_t n;
	while (!lines.too_long &&
		(n = splice_read(&reader, block, SCAN_BYTES, error)) > 0)
		wire_lines_add(&lines, block, (size_t)n);
	return lines.too_long;
}

/* What can be known without a connection. False: the verdicts stand. */
static bool content_is_fit(struct relay *relay, const struct client_transaction *t)
{
	const struct relay_message *m = t->message;
	uint64_t bytes = splice_bytes(m->content),
		 most = relay->settings->max_message_size;
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	if (!path_is_safe(m->reverse_path)) {
		text = g_strdup("5.1.7 the sender's address cannot be sent over SMTP");
	} else if (bytes > most) {
		text = g_strdup_printf("5.3.4 the message has %" G_GUINT64_FORMAT
				       " octets, the relay takes %" G_GUINT64_FORMAT,
			bytes, most);
	} else if (relay->is_ses && has_long_line(m, &error)) {
		text = g_strdup("5.6.0 the message has a line over 998 octets, which SES "
				"refuses");
	}
	if (text)
		set_all(t, RELAY_REFUSED, 0, text);
	else if (error)
		set_all(t, RELAY_DEFERRED, 0, error->message);
	return !text && !error;
}

/* One transaction over one connection; false: it was lost, and had been idle before. */
static bool try_once(struct relay *relay, const struct client_transaction *t, bool fresh)
{
	struct failure failure = { 0 };
	struct pool_connection *connection = pool_take(relay->pool, fresh, &failure);
	bool stale = false, connected = connection;
	if (connected) {
		bool kept = client_send(connection->client, t, &failure);
		stale = !kept && connection->reused;
		pool_put(relay->pool, connection, kept ? NULL : &failure);
	} else {
		set_all(t, RELAY_DEFERRED, failure.reply_code, failure.text);
	}
	if (!stale)
		react(relay, &failure, connected);
	failure_clear(&failure);
	return !stale;
}

static void count(struct relay *relay, const struct client_transaction *t)
{
	static const char *const classes[] = { "none", "none", "2xx", "none", "4xx",
		"5xx" };
	for (size_t i = 0; i < t->n_recipients; i++) {
		size_t class = (size_t)t->recipients[i]->reply_code / 100;
		metrics_add(relay->metrics, METRIC_RELAY_REPLIES_TOTAL,
			classes[class < G_N_ELEMENTS(classes) ? class : 0], 1);
		if (t->recipients[i]->verdict == RELAY_SENT)
			pace_succeeded(&relay->pace);
	}
}

static void send_transaction(struct relay *relay, const struct client_transaction *t)
{
	if (relay->settings->maildir) {
		maildir_deliver(relay->settings->maildir, relay->hostname, t->message,
			t->recipients, t->n_recipients);
	} else if (!pace_wait(&relay->pace, t->n_recipients, PACE_WAIT_MAX_US)) {
		set_all(t, RELAY_DEFERRED, 0,
			"the sending rate is used up by other messages");
		return;
	} else if (!try_once(relay, t, false)) {
		/* The peer had left an idle connection: nothing was taken,
		 * so at once again. */
		try_once(relay, t, true);
	}
	count(relay, t);
}

/* The recipients that are to be sent to, in a new array; refuses
 * what no command can hold. */
static struct relay_recipient **pick_recipients(struct relay_message *m, size_t *n)
{
	struct relay_recipient **picked =
		g_new(struct relay_recipient *, m->n_recipients);
	*n = 0;
	for (size_t i = 0; i < m->n_recipients; i++) {
		struct relay_recipient *r = &m->recipients[i];
		if (r->verdict == RELAY_SENT)
			continue;
		if (*r->forward_path && path_is_safe(r->forward_path))
			picked[(*n)++] = r;
		else
			client_set_verdict(r, RELAY_REFUSED, 0,
				"5.1.3 the address cannot be sent over SMTP");
	}
	return picked;
}

void relay_send(struct relay *relay, struct relay_message *message)
{
	size_t n;
	g_autofree struct relay_recipient **recipients = pick_recipients(message, &n);
	size_t most = MAX(relay->settings->max_recipients, 1);
	struct client_transaction all = { message, recipients, n };
	if (n == 0 || !content_is_fit(relay, &all))
		return;
	for (size_t at = 0; at < n; at += most) {
		struct client_transaction part = { message, recipients + at,
			MIN(most, n - at) };
		send_transaction(relay, &part);
	}
}

bool relay_wants_ascii(struct relay *relay, bool smtputf8)
{
	if (relay->settings->maildir || relay->is_ses || !smtputf8)
		return relay->is_ses;
	struct failure failure = { 0 };
	struct pool_connection *connection = pool_take(relay->pool, false, &failure);
	/* Where there is none, nothing will be sent this time. */
	bool offers = !connection || client_offers_smtputf8(connection->client);
	if (connection)
		pool_put(relay->pool, connection, NULL);
	failure_clear(&failure);
	return !offers;
}

void relay_message_deinit(struct relay_message *message)
{
	for (size_t i = 0; i < message->n_recipients; i++)
		g_clear_pointer(&message->recipients[i].reply, g_free);
	g_clear_pointer(&message->relay_id, g_free);
}
