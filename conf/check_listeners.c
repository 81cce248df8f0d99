/* Who may connect, how, and that strangers cannot relay. Where mail goes from there is
 * check_loops.c's. */
#include "conf/check.h"
#include "conf/files.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* One listener under the checks. */
struct subject {
	const struct conf_check *check;
	const struct conf_listener *listener;
	size_t index;
};

static char *path_of(const struct subject *s, const char *key)
{
	return g_strdup_printf("listeners[%zu].%s", s->index, key);
}

G_GNUC_PRINTF(3, 4)
static void problem(const struct subject *s, const char *key, const char *format, ...)
{
	g_autofree char *path = path_of(s, key);
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	conf_source_problem(s->check->source, path, "%s", text);
}

static void warning(const struct subject *s, const char *key, const char *text)
{
	g_autofree char *path = path_of(s, key);
	conf_source_warning(s->check->source, path, "%s", text);
}

static bool is_bad(const struct subject *s, const char *key)
{
	g_autofree char *path = path_of(s, key);
	return conf_source_is_bad(s->check->source, path);
}

static bool is_given(const struct subject *s, const char *key)
{
	g_autofree char *path = path_of(s, key);
	return conf_source_is_given(s->check->source, path);
}

static bool is_on_loopback(const struct conf_listener *listener)
{
	return conf_address_is_loopback(
		(const struct sockaddr *)&listener->socket_address);
}

/* Whether it takes clients from anywhere. An address for private use is no protection by
 * itself: a router or a cloud may lead the world to it. */
static bool is_open_to_world(const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->n_networks; i++)
		if (conf_network_is_world(&listener->networks[i]))
			return !is_on_loopback(listener);
	return listener->n_networks == 0 && !is_on_loopback(listener);
}

static bool has_private_clients_only(const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->n_networks; i++)
		if (!conf_network_is_private(&listener->networks[i]))
			return is_on_loopback(listener);
	return listener->n_networks > 0 || is_on_loopback(listener);
}

static void check_tls(const struct subject *s)
{
	const struct conf *conf = s->check->conf;
	if (is_bad(s, "tls") || s->listener->tls == CONF_TLS_NONE ||
		conf_check_any_bad(s->check, "tls", "tls.certificate", "tls.key", NULL))
		return;
	if (conf->tls_certificate == NULL && conf->tls_key == NULL)
		problem(s, "tls",
			"needs a certificate: give tls.certificate and tls.key, or write "
			"tls: none here");
}

static void check_auth(const struct subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (is_bad(s, "auth") || is_bad(s, "tls") || is_bad(s, "auth_without_tls"))
		return;
	if (listener->auth == CONF_AUTH_NONE) {
		if (listener->auth_without_tls)
			warning(s, "auth_without_tls", "has no effect with auth: none");
		return;
	}
	if (s->check->conf->users_file == NULL &&
		!conf_check_any_bad(s->check, "auth", "auth.users", NULL))
		problem(s, "auth",
			"needs auth.users, the file that lists who may authenticate");
	if (listener->tls == CONF_TLS_NONE && !listener->auth_without_tls)
		problem(s, "auth",
			"needs TLS, since passwords would go in the clear: write tls: "
			"required, or auth_without_tls: true on a private network");
	if (listener->auth_without_tls && !is_bad(s, "networks") &&
		!has_private_clients_only(listener))
		problem(s, "auth_without_tls",
			"is for private networks only: give networks such as [ "
			"10.1.0.0/16 ], or take it out");
}

static void check_relaying(const struct subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (listener->auth == CONF_AUTH_REQUIRED || is_bad(s, "auth") ||
		is_bad(s, "networks") || is_bad(s, "recipients"))
		return;
	if (listener->recipients == NULL &&
		(listener->n_networks == 0 || is_open_to_world(listener)))
		problem(s, "networks",
			"must name the clients that may relay, or recipients whose mail "
			"is taken, or auth must be required: this would be an open "
			"relay");
	else if (listener->recipients != NULL && is_open_to_world(listener) &&
		 conf_recipient_map_is_open(listener->recipients))
		problem(s, "recipients",
			"take mail from anyone to anywhere (\"*\"): this would be an "
			"open relay; name the domains, or send all to one address");
}

static void check_profile(const struct subject *s)
{
	if (is_bad(s, "profile") || is_bad(s, "networks"))
		return;
	if (s->listener->profile == CONF_PROFILE_LEGACY && is_open_to_world(s->listener))
		problem(s, "profile",
			"legacy is not for a listener that is open to the world: give "
			"networks, or write profile: standard");
}

static void check_exposure(const struct subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (listener->tls == CONF_TLS_NONE && listener->auth == CONF_AUTH_NONE &&
		is_given(s, "tls") && listener->recipients != NULL &&
		is_open_to_world(listener))
		warning(s, "tls", "mail from the world arrives here unencrypted");
}

static void check_names(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	for (size_t i = 1; i < conf->n_listeners; i++) {
		for (size_t j = 0; j < i; j++) {
			const char *a = conf->listeners[i].name,
				   *b = conf->listeners[j].name;
			if (a == NULL || b == NULL || strcmp(a, b) != 0)
				continue;
			g_autofree char *path = g_strdup_printf("listeners[%zu].name", i);
			conf_source_problem(check->source, path,
				"\"%s\" is the name of listeners[%zu] as well: choose "
				"another",
				a, j);
			break;
		}
	}
}

/* Every address that is listened on, with its path. */
struct bound {
	const char *path;
	const char *text;
	struct sockaddr_storage address;
};

static bool has_same_port(const struct bound *a, const struct bound *b)
{
	/* The port stands at one place in both kinds of address. */
	const struct sockaddr_in *x = (const struct sockaddr_in *)&a->address;
	const struct sockaddr_in *y = (const struct sockaddr_in *)&b->address;
	return x->sin_port == y->sin_port;
}

static bool is_wildcard(const struct bound *bound)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&bound->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&bound->address;
	return bound->address.ss_family == AF_INET
		       ? v4->sin_addr.s_addr == htonl(INADDR_ANY)
		       : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

/* Whether the system gives only one of them to a listener. */
static bool clash(const struct bound *a, const struct bound *b)
{
	return a->address.ss_family == b->address.ss_family && has_same_port(a, b) &&
	       (is_wildcard(a) || is_wildcard(b) ||
		       memcmp(&a->address, &b->address, sizeof(a->address)) == 0);
}

/* [::] leaves IPv4 to listeners that name an IPv4 address with its port. */
static bool takes_ipv4_from(const struct bound *a, const struct bound *b)
{
	return a->address.ss_family == AF_INET && b->address.ss_family == AF_INET6 &&
	       has_same_port(a, b) && is_wildcard(b) && !is_wildcard(a);
}

static void check_address(
	const struct conf_check *check, const struct bound *bound, size_t n, size_t index)
{
	const struct bound *one = &bound[index];
	for (size_t i = 0; i < n; i++) {
		const struct bound *other = &bound[i];
		if (i < index && clash(one, other)) {
			conf_source_problem(check->source, one->path,
				"%s is taken by %s (%s) already: choose another",
				one->text, other->path, other->text);
			return;
		}
		if (takes_ipv4_from(other, one)) {
			conf_source_warning(check->source, one->path,
				"%s takes IPv6 clients only, since %s has %s: name each "
				"IPv4 address that clients come to in a listener",
				one->text, other->path, other->text);
			return;
		}
	}
}

static void add_bound(struct bound *bound, size_t *n, const char *path, const char *text)
{
	struct bound one = { path, text, { 0 } };
	if (text != NULL && conf_address_parse(text, &one.address, NULL))
		bound[(*n)++] = one;
}

static void check_addresses(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	size_t n = 0;
	g_auto(GStrv) paths = g_new0(char *, conf->n_listeners + 1);
	g_autofree struct bound *bound = g_new0(struct bound, conf->n_listeners + 2);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		paths[i] = g_strdup_printf("listeners[%zu].address", i);
		add_bound(bound, &n, paths[i], conf->listeners[i].address);
	}
	add_bound(bound, &n, "s3.listen", conf->s3_listen);
	add_bound(bound, &n, "admin.listen", conf->admin_listen);
	for (size_t i = 0; i < n; i++)
		check_address(check, bound, n, i);
}

static void check_certificate(const struct conf_check *check)
{
	const char *certificate = check->conf->tls_certificate,
		   *key = check->conf->tls_key;
	g_autoptr(GError) error = NULL;
	if (certificate != NULL && key == NULL &&
		!conf_check_any_bad(check, "tls.key", NULL))
		conf_source_problem(check->source, "tls.key",
			"is missing: the certificate needs its private key");
	if (certificate == NULL && key != NULL &&
		!conf_check_any_bad(check, "tls.certificate", NULL))
		conf_source_problem(check->source, "tls.certificate",
			"is missing: the key needs its certificate");
	conf_check_file(
		check, "tls.certificate", certificate, conf_file_check_certificates);
	conf_check_file(check, "tls.key", key, conf_file_check_key);
	if (!check->look_at_files || certificate == NULL || key == NULL ||
		conf_check_any_bad(check, "tls.certificate", "tls.key", NULL))
		return;
	if (!conf_file_check_pair(certificate, key, &error))
		conf_source_problem(check->source, "tls.key", "%s", error->message);
	if (conf_file_certificate_has_expired(certificate))
		conf_source_warning(check->source, "tls.certificate",
			"the certificate in %s has expired", certificate);
	if (conf_file_is_world_readable(key))
		conf_source_warning(check->source, "tls.key",
			"%s can be read by every user of this machine: chmod o-r", key);
}

/* It asks nobody who he is. */
static void check_admin(const struct conf_check *check)
{
	struct sockaddr_storage address;
	const char *listen = check->conf->admin_listen;
	if (listen != NULL && conf_address_parse(listen, &address, NULL) &&
		!conf_address_is_loopback((const struct sockaddr *)&address))
		conf_source_warning(check->source, "admin.listen",
			"%s is not loopback: whoever can reach it reads the metrics",
			listen);
}

void conf_check_listeners(const struct conf_check *check)
{
	if (check->conf->n_listeners == 0 &&
		!conf_check_any_bad(check, "listeners", NULL))
		conf_source_problem(check->source, "listeners",
			"is empty: name at least one, such as - { name: mx, address: "
			"\"[::]:25\" }");
	for (size_t i = 0; i < check->conf->n_listeners; i++) {
		struct subject subject = { check, &check->conf->listeners[i], i };
		g_autofree char *path = g_strdup_printf("listeners[%zu]", i);
		if (conf_source_is_bad(check->source, path) ||
			is_bad(&subject, "address"))
			continue; /* too little is known of it */
		check_tls(&subject);
		check_auth(&subject);
		check_relaying(&subject);
		check_profile(&subject);
		check_exposure(&subject);
	}
	check_names(check);
	check_addresses(check);
	check_admin(check);
	check_certificate(check);
	conf_check_file(check, "auth.users", check->conf->users_file, conf_file_check);
}
