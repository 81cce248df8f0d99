/* Where listeners are, and that strangers cannot relay. How clients are met there is
 * check_door.c's, where mail goes from there check_loops.c's. */
#include "conf/check.h"
#include "conf/subject.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void check_relaying(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (listener->auth == CONF_AUTH_REQUIRED || conf_subject_is_bad(s, "auth") ||
		conf_subject_is_bad(s, "networks") ||
		conf_subject_is_bad(s, "recipients"))
		return;
	if (listener->recipients == NULL &&
		(listener->n_networks == 0 || conf_subject_is_open_to_world(s)))
		conf_subject_problem(s, "networks",
			"must name the clients that may relay, or recipients whose mail "
			"is taken, or auth must be required: this would be an open "
			"relay");
	else if (listener->recipients != NULL && conf_subject_is_open_to_world(s) &&
		 conf_recipient_map_is_open(listener->recipients))
		conf_subject_problem(s, "recipients",
			"take mail from anyone to anywhere (\"*\"): this would be an "
			"open relay; name the domains, or send all to one address");
}

static void check_exposure(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	if (listener->tls == CONF_TLS_NONE && listener->auth == CONF_AUTH_NONE &&
		conf_subject_is_given(s, "tls") && listener->recipients != NULL &&
		conf_subject_is_open_to_world(s))
		conf_subject_warning(
			s, "tls", "mail from the world arrives here unencrypted");
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
	add_bound(bound, &n, "s3.listen", conf->downloads.listen);
	add_bound(bound, &n, "admin.listen", conf->admin_listen);
	for (size_t i = 0; i < n; i++)
		check_address(check, bound, n, i);
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
		struct conf_subject subject = { check, &check->conf->listeners[i], i };
		g_autofree char *path = g_strdup_printf("listeners[%zu]", i);
		if (conf_source_is_bad(check->source, path) ||
			conf_subject_is_bad(&subject, "address"))
			continue; /* too little is known of it */
		check_relaying(&subject);
		check_exposure(&subject);
		conf_check_door(&subject);
	}
	check_names(check);
	check_addresses(check);
	check_admin(check);
}
