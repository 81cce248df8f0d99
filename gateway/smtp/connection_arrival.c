/* From the connection to the greeting: the PROXY header where a proxy is in front, what
 * the settings and the DNS say of the client, and whether it waits to be greeted. */
#include "gateway/smtp/connection_private.h"

#include "gateway/policy/policy.h"
#include "gateway/smtp/proxy.h"
#include "gateway/smtp/refusal.h"

static bool is_wrapper(const struct connection *c)
{
	return c->client.listener->tls == CONF_TLS_WRAPPER;
}

bool connection_is_from(
	const struct connection *c, const struct conf_network *networks, size_t n)
{
	return conf_networks_contain(networks, n, connection_peer(c));
}

/* ---- early talkers ---- */

/* Closes, with a word where one can be heard. */
static void turn_away(struct connection *c, enum smtp_reply_id id, const char *cause,
	const char *reason)
{
	refusal_tell(connection_front(c), c->client.listener, c->client.address, cause,
		reason);
	c->greeting_waits = false;
	screening_forget(&c->screening);
	if (is_wrapper(c))
		connection_close(c);
	else
		smtp_session_end(c->session, id);
}

/* Who begins with TLS speaks first. */
static bool must_wait(const struct connection *c)
{
	return !is_wrapper(c) &&
	       (c->client.listener->greeting_delay_ms ||
		       c->client.listener->profile == CONF_PROFILE_STRICT);
}

/* Without a delay nothing was read yet. */
static bool has_spoken(const struct connection *c)
{
	char byte;
	uv_os_fd_t fd;
	if (c->raw.rest.bytes)
		return true;
	return !uv_fileno((const uv_handle_t *)&c->tcp, &fd) &&
	       recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

void connection_greet(struct connection *c)
{
	bool is_due = !c->greeting_waits && !c->screening;
	if (smtp_session_is_closed(c->session))
		return;
	if (must_wait(c) && (is_due ? has_spoken(c) : c->raw.rest.bytes > 0)) {
		turn_away(c, REPLY_EARLY_TALKER, "early_talker",
			"the client spoke before it was greeted");
	} else if (is_due) {
		c->greeted = true;
		smtp_session_greet(c->session, c->tls, c->certified);
		if (c->certified)
			connection_set_terms(c);
	}
}

/* ---- the client is known ---- */

static void on_screened(void *context, const struct screening_result *result)
{
	struct connection *c = context;
	c->screening = NULL;
	c->client.name = g_strdup(result->name);
	c->client.block_list = g_strdup(result->zone);
	smtp_session_set_block_list(c->session, c->client.block_list);
	connection_advance(c);
}

static void hide_extensions(struct connection *c)
{
	const struct conf_listener *listener = c->client.listener;
	bool hides = listener->hide_extensions &&
		     (!listener->n_hide_from || connection_is_from(c, listener->hide_from,
							listener->n_hide_from));
	if (hides)
		smtp_session_hide_extensions(c->session);
}

void connection_arrive(struct connection *c, const char *proxy)
{
	struct front *front = connection_front(c);
	const struct conf_listener *listener = c->client.listener;
	log_debug("session.opened", LOG_TEXT("listener", listener->name),
		LOG_TEXT("client", c->client.address), LOG_TEXT("proxy", proxy));
	hide_extensions(c);
	if (c->entered && /* it is no proxy */
		screener_is_wanted(
			c->client.settings->conf, listener, connection_peer(c)))
		c->screening = screener_start(
			front->screener, listener, connection_peer(c), on_screened, c);
	if (is_wrapper(c))
		connection_start_handshake(c);
	else
		c->greeting_waits = listener->greeting_delay_ms > 0;
}

/* ---- proxies ---- */

bool connection_is_proxied(
	const struct conf_listener *listener, const struct sockaddr *peer)
{
	return conf_networks_contain(listener->proxies, listener->n_proxies, peer);
}

void connection_fail_proxy(struct connection *c, const char *reason)
{
	c->awaits_proxy = false;
	refusal_tell(connection_front(c), c->client.listener, c->client.address,
		"proxy_header", reason);
	connection_close(c);
}

/* What the listener asks of clients that come without a proxy. */
static bool may_enter(struct connection *c)
{
	const char *ceiling = NULL;
	struct front *front = connection_front(c);
	if (!policy_client(c->client.listener, connection_peer(c))) {
		turn_away(c, REPLY_CLIENT_REFUSED, "networks",
			"not of the listener's networks");
		return false;
	}
	ceiling = ceilings_enter(front->ceilings, c->client.listener, connection_peer(c));
	if (ceiling)
		turn_away(c, REPLY_TOO_MANY_FROM_CLIENT, ceiling, NULL);
	c->entered = !ceiling;
	return c->entered;
}

/* The proxy speaks for itself, to see whether we are alive, or for a client that it does
 * not know: greeted, of no ceiling, and no news. The rights of its own address are not
 * for whoever is behind it. */
static void take_proxy(struct connection *c)
{
	c->is_proxy = true;
	connection_arrive(c, NULL);
}

static void take_client(struct connection *c, const struct sockaddr_storage *client)
{
	char proxy[INET6_ADDRSTRLEN];
	g_strlcpy(proxy, c->client.address, sizeof(proxy));
	c->client.peer = *client;
	uv_ip_name(connection_peer(c), c->client.address, sizeof(c->client.address));
	/* Checks of HAProxy with version 1 name itself. */
	if (g_str_equal(c->client.address, proxy) &&
		!policy_client(c->client.listener, connection_peer(c)))
		take_proxy(c);
	else if (may_enter(c))
		connection_arrive(c, proxy);
}

void connection_read_proxy(struct connection *c)
{
	struct sockaddr_storage client;
	size_t header_bytes = 0;
	enum proxy_status status =
		proxy_parse(c->raw.rest.start, c->raw.rest.bytes, &client, &header_bytes);
	if (status == PROXY_MORE)
		return;
	if (status == PROXY_MALFORMED) {
		connection_fail_proxy(c, "what a proxy sent does not begin with a good "
					 "PROXY header");
		return;
	}
	c->awaits_proxy = false;
	c->raw.rest = slice_from(c->raw.rest, header_bytes);
	if (status == PROXY_CLIENT)
		take_client(c, &client);
	else
		take_proxy(c);
}
