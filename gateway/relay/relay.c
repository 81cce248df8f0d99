/* One message to the next hop: checks, transactions, pace, and what
 * the operator must hear. */
#include "gateway/relay/relay.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/relay/allowance.h"
#include "gateway/relay/client.h"
#include "gateway/relay/credentials.h"
#include "gateway/relay/maildir.h"
#include "gateway/relay/pool.h"
#include "gateway/relay/wire.h"
#include <string.h>

#define PATH_BYTES_MAX   320 /* local part 64, @, domain 255: RFC 5321, 4.5.3.1 */
#define PACE_WAIT_MAX_US (30 * G_USEC_PER_SEC)
#define SCAN_BYTES       32768
/* How long a message whose client waits does so for a connection. */
#define IMPATIENCE_US (20 * G_USEC_PER_SEC)
/* The same complaint is not logged again sooner. */
#define COMPLAINT_PAUSE_US (60 * G_USEC_PER_SEC)

struct relay {
	const struct conf_relay *settings;
	const char *hostname;
	struct metrics *metrics;
	struct transport_trust *trust;
	struct pool *pool; /* NULL: a Maildir */
	struct allowance *allowance;
	gint settings_apply; /* allowance has these settings; atomic */
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
	relay->is_ses = conf_relay_is_ses(settings);
	return true;
}

struct relay *relay_new(const struct conf_relay *settings, const char *hostname,
	struct metrics *metrics, const struct relay_memory *memory, GError **error)
{
	struct relay *relay = g_new0(struct relay, 1);
	relay->settings = settings;
	relay->hostname = hostname;
	relay->metrics = metrics;
	bool is_new;
	relay->allowance = allowance_get(settings, metrics, memory, &is_new);
	relay->settings_apply = is_new;
	g_mutex_init(&relay->complaint_mutex);
	if (!prepare(relay, error))
		relay_free(&relay);
	return relay;
}

void relay_hurry(struct relay *relay)
{
	allowance_hurry(relay->allowance);
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
	allowance_unref(&r->allowance);
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
		log_warning("relay.needs_attention", LOG_TEXT("relay", relay_name(relay)),
			LOG_TEXT("host", relay->settings->host),
			LOG_NUMBER("code", failure->reply_code),
			LOG_TEXT("reason", failure->text),
			LOG_TEXT("advice", failure->advice));
}

/* connected: the peer said it to a message, not to the connection, which the pool looks
 * after. What holds messages is the queue's to say, once for all of them. */
static void react(struct relay *relay, const struct failure *failure, bool connected)
{
	if (!failure->text)
		return;
	if (connected && failure->kind == REPLY_THROTTLE)
		allowance_throttled(relay->allowance);
	if (connected && failure->kind == REPLY_MEND &&
		!g_strcmp0(failure->hold, "quota"))
		allowance_quota_exceeded(relay->allowance);
	if (failure->advice && failure->kind != REPLY_MEND)
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

static void set_all_unusable(const struct relay *relay,
	const struct client_transaction *t, const struct failure *failure)
{
	for (size_t i = 0; i < t->n_recipients; i++)
		client_set_unusable(t->recipients[i], relay->settings, failure, NULL);
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
	struct pool_connection *connection = pool_take(
		relay->pool, fresh, t->message->impatient ? IMPATIENCE_US : 0, &failure);
	bool stale = false, connected = connection;
	if (connected) {
		bool kept = client_send(connection->client, t, &failure);
		stale = !kept && connection->reused;
		pool_put(relay->pool, connection, kept ? NULL : &failure);
	} else {
		set_all_unusable(relay, t, &failure);
	}
	if (!stale)
		react(relay, &failure, connected);
	failure_clear(&failure);
	return !stale;
}

/* How many of them the relay took. */
static size_t count(struct relay *relay, const struct client_transaction *t)
{
	static const char *const classes[] = { "none", "none", "2xx", "none", "4xx",
		"5xx" };
	size_t n_sent = 0;
	for (size_t i = 0; i < t->n_recipients; i++) {
		size_t class = (size_t)t->recipients[i]->reply_code / 100;
		metrics_add(relay->metrics, METRIC_RELAY_REPLIES_TOTAL,
			classes[class < G_N_ELEMENTS(classes) ? class : 0], 1);
		n_sent += t->recipients[i]->verdict == RELAY_SENT;
	}
	return n_sent;
}

static void set_of_message(const struct client_transaction *t)
{
	for (size_t i = 0; i < t->n_recipients; i++)
		t->recipients[i]->of_message = true;
}

static void set_all_too_much(struct relay *relay, const struct client_transaction *t)
{
	struct failure failure = { 0 };
	failure_set(&failure, REPLY_THROTTLE, 0,
		"the sending rate is used up by other messages", NULL);
	set_all_unusable(relay, t, &failure);
	failure_clear(&failure);
	set_of_message(t); /* others have their turn meanwhile */
}

static void set_over_quota(struct relay *relay, enum conf_priority priority,
	struct relay_recipient *recipient)
{
	struct failure failure = { 0 };
	failure_set(&failure, REPLY_MEND, 0,
		"the quota of recipients in 24 hours is used up",
		"mail goes on as the hours pass, or ask AWS for a higher quota");
	client_set_unusable(recipient, relay->settings, &failure, NULL);
	failure_clear(&failure);
	recipient->of_message = true; /* a higher priority may still go */
	g_free(recipient->hold);
	recipient->hold = allowance_hold(relay->allowance, priority);
}

static void set_all_over_quota(struct relay *relay, const struct client_transaction *t)
{
	for (size_t i = 0; i < t->n_recipients; i++)
		set_over_quota(relay, t->message->priority, t->recipients[i]);
}

static void send_transaction(struct relay *relay, const struct client_transaction *t)
{
	if (relay->settings->maildir) {
		maildir_deliver(relay->settings->maildir, relay->hostname, t->message,
			t->recipients, t->n_recipients);
		count(relay, t);
		return;
	}
	switch (allowance_take(relay->allowance, t->n_recipients, t->message->priority,
		PACE_WAIT_MAX_US)) {
	case ALLOWANCE_LATER:
		set_all_too_much(relay, t);
		return;
	case ALLOWANCE_QUOTA:
		set_all_over_quota(relay, t);
		return;
	case ALLOWANCE_GO:
		break;
	}
	/* Where the peer had left an idle connection nothing was taken,
	 * so at once again. */
	if (!try_once(relay, t, false))
		try_once(relay, t, true);
	allowance_settle(relay->allowance, t->n_recipients, count(relay, t));
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

static void send_parts(struct relay *relay, const struct client_transaction *all)
{
	struct relay_message *message = all->message;
	size_t most = MAX(relay->settings->max_recipients, 1);
	/* Not before: new settings may yet be refused as a whole. */
	if (g_atomic_int_compare_and_exchange(&relay->settings_apply, false, true))
		allowance_apply(relay->allowance, relay->settings);
	most = MIN(most, MAX(allowance_most(relay->allowance), 1));
	for (size_t at = 0; at < all->n_recipients; at += most) {
		struct client_transaction part = { message, all->recipients + at,
			MIN(most, all->n_recipients - at) };
		if (at > 0 && message->between)
			message->between(message->context);
		send_transaction(relay, &part);
	}
}

void relay_send(struct relay *relay, struct relay_message *message)
{
	size_t n;
	g_autofree struct relay_recipient **recipients = pick_recipients(message, &n);
	struct client_transaction all = { message, recipients, n };
	if (n > 0 && content_is_fit(relay, &all))
		send_parts(relay, &all);
	for (size_t i = 0; i < message->n_recipients; i++)
		message->recipients[i].relay = relay_name(relay);
}

const char *relay_name(const struct relay *relay)
{
	return relay->settings->name ? relay->settings->name : CONF_RELAY_DEFAULT;
}

bool relay_is_usable(struct relay *relay, enum conf_priority priority, bool patient,
	int64_t asked_ms, struct relay_recipient *why)
{
	struct failure failure = { 0 };
	if (!relay->pool)
		return true; /* a Maildir */
	allowance_asked(relay->allowance, asked_ms);
	if (!allowance_has_quota(relay->allowance, priority)) {
		set_over_quota(relay, priority, why);
		why->relay = relay_name(relay);
		return false;
	}
	if (allowance_pause_left_us(relay->allowance) > PACE_WAIT_MAX_US)
		failure_set(&failure, REPLY_THROTTLE, 0,
			"the relay says that too much is sent: it gets nothing for a "
			"while",
			NULL);
	else if (pool_is_open(relay->pool, patient, asked_ms, &failure))
		return true;
	client_set_unusable(why, relay->settings, &failure, NULL);
	why->relay = relay_name(relay);
	failure_clear(&failure);
	return false;
}

bool relay_wants_ascii(struct relay *relay, bool smtputf8)
{
	if (relay->settings->maildir || relay->is_ses || !smtputf8)
		return relay->is_ses;
	struct failure failure = { 0 };
	struct pool_connection *connection = pool_take(relay->pool, false, 0, &failure);
	/* Where there is none, nothing will be sent this time. */
	bool offers = !connection || client_offers_smtputf8(connection->client);
	if (connection)
		pool_put(relay->pool, connection, NULL);
	failure_clear(&failure);
	return !offers;
}

void relay_recipient_clear(struct relay_recipient *recipient)
{
	g_clear_pointer(&recipient->reply, g_free);
	g_clear_pointer(&recipient->hold, g_free);
}
