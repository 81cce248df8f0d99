/* Who the client is: by password, hashed on a worker thread, or by its certificate. No
 * answer, and no time that one takes, tells whether a user exists. */
#include "gateway/smtp/connection_private.h"

#define USER_TOLD_BYTES 255

/* reason NULL: good. */
static void log_auth(const struct connection *c, const char *user, const char *method,
	const char *reason)
{
	bool good = !reason;
	char told[USER_TOLD_BYTES + 1];
	g_strlcpy(told, user ? user : "", sizeof(told));
	metrics_add(connection_front(c)->metrics, METRIC_AUTH_TOTAL,
		good ? "ok" : "failed", 1);
	log_event(good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
		good ? "auth.ok" : "auth.failed", LOG_CLIENT(c),
		LOG_TEXT("user", user ? told : NULL), LOG_TEXT("method", method),
		LOG_TEXT("reason", reason));
}

static bool fits_networks(const struct connection *c, const struct conf_account *account)
{
	return !account || !account->n_networks ||
	       connection_is_from(c, account->networks, account->n_networks);
}

/* Takes user. */
static void set_user(struct connection *c, char *user, bool by_auth)
{
	g_free(c->client.user);
	c->client.user = user;
	c->client.used_auth = by_auth;
	c->client.account = conf_account_find(c->client.settings->conf, user);
}

void connection_set_terms(struct connection *c)
{
	const struct conf_account *account = c->client.account;
	const struct conf_listener *listener = c->client.listener;
	struct smtp_terms terms = { listener->profile, listener->max_message_size,
		listener->max_recipients };
	if (account && account->profile != CONF_PROFILE_LISTENER)
		terms.profile = account->profile;
	if (account && account->max_message_size)
		terms.max_message_size = account->max_message_size;
	if (account && account->max_recipients)
		terms.max_recipients = account->max_recipients;
	smtp_session_set_terms(c->session, &terms);
}

/* ---- certificates ---- */

/* NULL: the name is a user who may come from here. */
static const char *certificate_fault(const struct connection *c, const char *name)
{
	const struct smtp_settings *settings = c->client.settings;
	if (!name)
		return "the client's certificate has no name of the kind that "
		       "client_name asks for";
	const struct conf_account *account = conf_account_find(settings->conf, name);
	if (!account && !users_has(settings->users, name))
		return "the name in the client's certificate is no user's";
	if (!fits_networks(c, account))
		return "the client is outside of the user's networks";
	return NULL;
}

void connection_take_certificate(struct connection *c)
{
	const struct conf_listener *listener = c->client.listener;
	c->certified = false;
	if (listener->client_certificates == CONF_CLIENT_CERTIFICATES_NONE ||
		!tls_has_client_certificate(c->tls))
		return;
	g_autofree char *name = tls_client_name(c->tls, listener->client_name);
	const char *reason = certificate_fault(c, name);
	log_auth(c, name, "certificate", reason);
	if (reason)
		return;
	set_user(c, g_steal_pointer(&name), false);
	c->certified = true;
}

/* ---- AUTH ---- */

static void refuse_later(struct connection *c, enum smtp_reply_id id)
{
	c->auth_refusal = id;
	c->auth_delayed = true;
}

void connection_refuse_auth(struct connection *c)
{
	c->auth_delayed = false;
	smtp_session_auth_done(c->session, c->auth_refusal);
	connection_advance(c);
}

static void accept_auth(struct connection *c)
{
	set_user(c, g_steal_pointer(&c->auth_user), true);
	connection_set_terms(c);
	smtp_session_auth_done(c->session, REPLY_AUTH_OK);
}

static bool may_try(void *context)
{
	const struct connection *c = context;
	return ceilings_may_authenticate(connection_front(c)->ceilings,
		c->client.settings->conf, connection_peer(c), c->auth_user,
		connection_now_ms(c));
}

/* Nothing was tried, so that there is little to tell: not each of a flood. */
static void refuse_untried(struct connection *c, enum smtp_reply_id id, const char *user,
	const char *method, const char *reason)
{
	struct front *front = connection_front(c);
	unsigned tries;
	refuse_later(c, id);
	if (tellings_may(
		    &front->replies, connection_peer(c), connection_now_ms(c), &tries))
		log_auth(c, user, method, reason);
	else
		metrics_add(front->metrics, METRIC_AUTH_TOTAL, "failed", 1);
}

static void shut_out(struct connection *c)
{
	refuse_untried(c, REPLY_TOO_MANY_AUTH_FAILURES, c->auth_user, "password",
		"auth.max_failures reached");
}

/* The answer to a wrong password waits, and waits longer with each. */
static void judge(struct connection *c, bool good)
{
	const struct conf *conf = c->client.settings->conf;
	const char *reason = good ? NULL : "wrong name or password";
	if (good && !fits_networks(c, conf_account_find(conf, c->auth_user)))
		reason = "the client is outside of the user's networks";
	ceilings_authenticated(connection_front(c)->ceilings, conf, connection_peer(c),
		c->auth_user, !reason, connection_now_ms(c));
	log_auth(c, c->auth_user, "password", reason);
	if (reason)
		refuse_later(c, REPLY_AUTH_FAILED);
	else
		accept_auth(c);
}

/* Who tries many at once is told of none of them once too many were wrong. */
static void on_verified(void *context, bool good)
{
	struct connection *c = context;
	c->verification = NULL;
	if (may_try(c))
		judge(c, good);
	else
		shut_out(c);
	connection_advance(c);
}

static const struct verifier_callbacks verifier_callbacks = {
	.is_wanted = may_try,
	.done = on_verified,
};

bool connection_lacks_certificate(const struct connection *c)
{
	return c->client.listener->client_certificates ==
		       CONF_CLIENT_CERTIFICATES_REQUIRED &&
	       !c->certified;
}

void connection_on_auth(void *context, const char *user, const char *password)
{
	struct connection *c = context;
	struct front *front = connection_front(c);
	c->saw_secret = true;
	g_free(c->auth_user);
	c->auth_user = g_strdup(user);
	if (!password) {
		refuse_untried(c, REPLY_AUTH_FAILED, user, "password",
			"an authorization identity other than the user's own");
		return;
	}
	if (connection_lacks_certificate(c)) {
		smtp_session_auth_done(c->session, REPLY_CERTIFICATE_NEEDED);
		return;
	}
	if (!may_try(c)) {
		shut_out(c);
		return;
	}
	const struct login login = {
		.client = connection_peer(c),
		.is_known = ceilings_knows(front->ceilings, connection_peer(c), user),
		.user = user,
		.password = password,
	};
	c->verification = verifier_start(front->verifier, c->client.settings->users,
		&login, &verifier_callbacks, c);
	if (!c->verification)
		smtp_session_auth_done(c->session, REPLY_AUTH_UNAVAILABLE);
}

void connection_on_auth_external(void *context, const char *user)
{
	struct connection *c = context;
	const char *own = c->certified ? c->client.user : NULL;
	const char *reason = NULL;
	if (!own)
		reason = "no certificate that names a user";
	else if (*user && !g_str_equal(user, own))
		reason = "an authorization identity other than the certificate's name";
	if (reason) {
		refuse_untried(
			c, REPLY_AUTH_FAILED, own ? own : user, "external", reason);
		return;
	}
	log_auth(c, own, "external", NULL);
	c->client.used_auth = true;
	connection_set_terms(c);
	smtp_session_auth_done(c->session, REPLY_AUTH_OK);
}
