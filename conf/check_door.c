/* How a listener meets its clients: TLS, users, profile, extensions, proxies. Who they
 * are is check_listeners.c's. */
#include "conf/check.h"
#include "conf/files.h"
#include "conf/subject.h"
#include <string.h>

static void check_tls(const struct conf_subject *s)
{
	const struct conf *conf = s->check->conf;
	if (conf_subject_is_bad(s, "tls"))
		return;
	if (s->listener->tls == CONF_TLS_NONE) {
		if (conf_subject_is_given(s, "tls_profile"))
			conf_subject_warning(
				s, "tls_profile", "has no effect with tls: none");
		return;
	}
	if (conf->tls_certificate == NULL && conf->tls_key == NULL &&
		!conf_check_any_bad(s->check, "tls", "tls.certificate", "tls.key", NULL))
		conf_subject_problem(s, "tls",
			"needs a certificate: give tls.certificate and tls.key, or write "
			"tls: none here");
}

static bool takes_certificates(const struct conf_listener *listener)
{
	return listener->client_certificates != CONF_CLIENT_CERTIFICATES_NONE;
}

static void check_users(const struct conf_subject *s)
{
	if (s->check->conf->users_file == NULL && !takes_certificates(s->listener) &&
		!conf_subject_is_bad(s, "client_certificates") &&
		!conf_check_any_bad(s->check, "auth", "auth.users", NULL))
		conf_subject_problem(s, "auth",
			"needs auth.users, the file that lists who may authenticate (or "
			"client_certificates)");
}

static void check_auth(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (conf_subject_is_bad(s, "auth") || conf_subject_is_bad(s, "tls") ||
		conf_subject_is_bad(s, "auth_without_tls"))
		return;
	if (listener->auth == CONF_AUTH_NONE) {
		if (listener->auth_without_tls)
			conf_subject_warning(
				s, "auth_without_tls", "has no effect with auth: none");
		return;
	}
	check_users(s);
	if (listener->tls == CONF_TLS_NONE && !listener->auth_without_tls)
		conf_subject_problem(s, "auth",
			"needs TLS, since passwords would go in the clear: write tls: "
			"required, or auth_without_tls: true on a private network");
	if (listener->auth_without_tls && !conf_subject_is_bad(s, "networks") &&
		!conf_subject_has_private_clients_only(s))
		conf_subject_problem(s, "auth_without_tls",
			"is for private networks only: give networks such as [ "
			"10.1.0.0/16 ], or take it out");
}

/* Whether accounts are for names that a stranger could choose: public authorities vouch
 * for any name whose domain is his. */
static bool have_open_pattern(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_accounts; i++)
		if (conf->accounts[i].user != NULL &&
			g_str_has_suffix(conf->accounts[i].user, "*"))
			return true;
	return false;
}

static void check_public_authority(const struct conf_subject *s)
{
	if (!s->check->look_at_files || !have_open_pattern(s->check->conf))
		return;
	g_autofree char *public = conf_file_public_authority(s->listener->client_ca);
	if (public != NULL)
		conf_subject_problem(s, "client_ca",
			"%s is a public authority: with a pattern in auth.accounts that "
			"ends in *, anybody could have a user's certificate; use an "
			"authority of your own, or name the users",
			public);
}

static void check_authorities(const struct conf_subject *s)
{
	g_autofree char *path = g_strdup_printf("listeners[%zu].client_ca", s->index);
	const char *file = s->listener->client_ca;
	conf_check_file(s->check, path, file, conf_file_check_certificates);
	g_autofree char *expired =
		s->check->look_at_files ? conf_file_expired_authority(file) : NULL;
	if (expired != NULL)
		conf_subject_warning(s, "client_ca",
			"%s has expired: the clients that it is about are refused",
			expired);
	check_public_authority(s);
}

static void check_client_ca(const struct conf_subject *s)
{
	if (s->listener->client_ca != NULL)
		check_authorities(s);
	else if (!conf_subject_is_bad(s, "client_ca"))
		conf_subject_problem(s, "client_certificates",
			"needs client_ca beside it, the file of the authorities that may "
			"vouch for clients");
}

static void check_certificates_tls(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (conf_subject_is_bad(s, "tls"))
		return;
	if (listener->tls == CONF_TLS_NONE)
		conf_subject_problem(s, "client_certificates",
			"needs TLS: write tls: required, or tls: wrapper");
	else if (listener->client_certificates == CONF_CLIENT_CERTIFICATES_REQUIRED &&
		 listener->tls == CONF_TLS_STARTTLS)
		conf_subject_problem(s, "client_certificates",
			"required needs tls: required or wrapper, since a client without "
			"TLS shows no certificate; or write client_certificates: "
			"optional");
}

static void check_client_certificates(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (conf_subject_is_bad(s, "client_certificates"))
		return;
	if (!takes_certificates(listener) && listener->client_ca != NULL)
		conf_subject_warning(s, "client_ca",
			"has no effect without client_certificates: optional or "
			"required");
	if (!takes_certificates(listener))
		return;
	check_client_ca(s);
	if (s->check->conf->users_file == NULL && s->check->conf->n_accounts == 0 &&
		!conf_check_any_bad(
			s->check, "auth", "auth.users", "auth.accounts", NULL))
		conf_subject_problem(s, "client_certificates",
			"needs auth.users or auth.accounts, which say whose certificates "
			"are a user's");
	check_certificates_tls(s);
}

static void check_profiles(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (conf_subject_is_bad(s, "profile") || conf_subject_is_bad(s, "networks") ||
		!conf_subject_is_open_to_world(s))
		return;
	if (listener->profile == CONF_PROFILE_LEGACY)
		conf_subject_problem(s, "profile",
			"legacy is not for a listener that is open to the world: give "
			"networks, or write profile: standard (and profile: legacy in "
			"auth.accounts for the users that need it)");
	else if (listener->tls_profile == CONF_TLS_OLD &&
		 listener->tls != CONF_TLS_NONE && !conf_subject_is_bad(s, "tls_profile"))
		conf_subject_problem(s, "tls_profile",
			"old is not for a listener that is open to the world: give "
			"networks, or write tls_profile: intermediate");
}

static bool hides(const struct conf_listener *listener, const char *extension)
{
	const char *const *name = listener->hide_extensions;
	for (; name != NULL && *name != NULL; name++)
		if (strcmp(*name, extension) == 0)
			return true;
	return false;
}

static void check_extensions(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (conf_subject_is_bad(s, "hide_extensions") ||
		conf_subject_is_bad(s, "hide_from"))
		return;
	if (listener->hide_extensions == NULL && listener->n_hide_from > 0)
		conf_subject_warning(
			s, "hide_from", "has no effect without hide_extensions");
	if (listener->n_hide_from > 0)
		return;
	if (hides(listener, "STARTTLS") && listener->tls == CONF_TLS_REQUIRED)
		conf_subject_problem(s, "hide_extensions",
			"hide STARTTLS from every client, though tls is required: name "
			"the clients that break on it in hide_from");
	if (hides(listener, "AUTH") && listener->auth == CONF_AUTH_REQUIRED &&
		!takes_certificates(listener))
		conf_subject_problem(s, "hide_extensions",
			"hide AUTH from every client, though auth is required: name the "
			"clients that break on it in hide_from");
}

static void check_greeting(const struct conf_subject *s)
{
	if (s->listener->tls == CONF_TLS_WRAPPER && s->listener->greeting_delay_ms > 0 &&
		!conf_subject_is_bad(s, "tls"))
		conf_subject_warning(s, "greeting_delay",
			"has no effect with tls: wrapper: such clients speak first");
}

/* A message that is refused for now is the client's to send again. */
static void check_accept(const struct conf_subject *s)
{
	if (s->listener->accept == CONF_ACCEPT_RELAY &&
		s->listener->profile == CONF_PROFILE_LEGACY &&
		!conf_subject_is_bad(s, "accept") && !conf_subject_is_bad(s, "profile"))
		conf_subject_warning(s, "accept",
			"relay is for clients that try again, and those that need "
			"profile: legacy seldom do: what the relay does not take at once "
			"is lost to them");
}

static bool is_ses(const struct conf_relay *relay)
{
	return relay != NULL && relay->host != NULL && conf_check_is_ses(relay->host);
}

/* Whether some of the listener's mail may go by SES. */
static bool may_lead_to_ses(const struct conf *conf, const struct conf_listener *listener)
{
	for (size_t i = 0; i < conf->n_routes; i++) {
		const struct conf_route *route = &conf->routes[i];
		const char *const *name = route->relays;
		if (route->listener != NULL &&
			g_strcmp0(route->listener, listener->name) != 0)
			continue;
		for (; name != NULL && *name != NULL; name++)
			if (is_ses(conf_relay_find(conf, *name)))
				return true;
		if (route->user == NULL && route->senders == NULL &&
			route->recipients == NULL)
			return false; /* nothing is left for those behind it */
	}
	return is_ses(&conf->relay);
}

/* SES: a domain beyond ASCII goes out as A-labels, a local part does not go at all. */
static void check_smtputf8(const struct conf_subject *s)
{
	if (s->listener->smtputf8 && may_lead_to_ses(s->check->conf, s->listener))
		conf_subject_warning(s, "smtputf8",
			"SES takes ASCII addresses only: recipients whose local part is "
			"beyond ASCII are refused, unless a route leads elsewhere");
}

/* Narrow enough to be a few machines: this many addresses can be answered for. */
static bool is_wide(const struct conf_network *network)
{
	unsigned widest = network->family == AF_INET ? 24 : 48;
	return network->prefix_bits < widest && !conf_network_is_private(network);
}

static void check_proxies(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	for (size_t i = 0; i < listener->n_proxies; i++) {
		g_autofree char *key = g_strdup_printf("proxies[%zu]", i);
		if (conf_network_is_world(&listener->proxies[i]))
			conf_subject_problem(s, key,
				"is open to the world: any client could claim any "
				"address; name the proxies' own addresses");
		else if (is_wide(&listener->proxies[i]))
			conf_subject_warning(s, key,
				"is a wide public network: any client in it can claim "
				"any address");
	}
}

void conf_check_door(const struct conf_subject *s)
{
	check_tls(s);
	check_auth(s);
	check_client_certificates(s);
	check_profiles(s);
	check_extensions(s);
	check_greeting(s);
	check_accept(s);
	check_smtputf8(s);
	check_proxies(s);
}
