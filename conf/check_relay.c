/* The next hops, each by itself. Connects to nobody. */
#include "conf/check.h"
#include "conf/files.h"
#include "conf/text.h"
#include <stdarg.h>
#include <string.h>

/* One relay under the checks, and where it stands: "relay", "relays[2]". */
struct subject {
	const struct conf_check *check;
	const struct conf_relay *relay;
	const char *place;
};

static char *path_of(const struct subject *s, const char *key)
{
	return g_strconcat(s->place, ".", key, NULL);
}

static void problem(const struct subject *s, const char *key, const char *text)
{
	g_autofree char *path = path_of(s, key);
	conf_source_problem(s->check->source, path, "%s", text);
}

/* Whether one of the keys (NULL-ended) is not fit to be judged. */
static bool G_GNUC_NULL_TERMINATED any_bad(const struct subject *s, const char *key, ...)
{
	bool bad = false;
	va_list keys;
	va_start(keys, key);
	for (; key != NULL && !bad; key = va_arg(keys, const char *)) {
		g_autofree char *path = path_of(s, key);
		bad = conf_source_is_bad(s->check->source, path);
	}
	va_end(keys);
	return bad;
}

static void check_secret(
	const struct subject *s, const char *key, const char *value, const char *file)
{
	g_autofree char *path = path_of(s, key);
	conf_check_secret(s->check, path, value, file);
}

static void check_file(const struct subject *s, const char *key, const char *file,
	bool (*test)(const char *path, GError **error))
{
	g_autofree char *path = path_of(s, key);
	conf_check_file(s->check, path, file, test);
}

static void check_tls(const struct subject *s)
{
	const struct conf_relay *relay = s->relay;
	if (any_bad(s, "tls", "port", "host", NULL))
		return;
	g_autofree char *path = path_of(s, "tls");
	bool wrapper_port = relay->port == 465 || relay->port == 2465;
	if (relay->tls == CONF_TLS_NONE && !conf_text_host_is_loopback(relay->host))
		problem(s, "tls",
			"none is for a relay on loopback only: write required, or "
			"wrapper on port 465");
	else if (relay->tls == CONF_TLS_REQUIRED && wrapper_port)
		conf_source_warning(s->check->source, path,
			"port %u speaks TLS from the first byte by custom: write tls: "
			"wrapper",
			relay->port);
	else if (relay->tls == CONF_TLS_WRAPPER && !wrapper_port)
		conf_source_warning(s->check->source, path,
			"port %u begins without TLS by custom: write tls: required, or "
			"port: 465",
			relay->port);
}

static void check_password(const struct subject *s)
{
	const struct conf_relay *relay = s->relay;
	bool password = relay->password != NULL || relay->password_file != NULL;
	check_secret(s, "password", relay->password, relay->password_file);
	if (relay->user != NULL && !password &&
		!any_bad(s, "password", "password_file", NULL)) {
		g_autofree char *path = path_of(s, "user");
		conf_source_problem(s->check->source, path,
			"needs a password (%s.password_file) beside it", s->place);
	}
	if (relay->user == NULL && password && !any_bad(s, "user", NULL)) {
		g_autofree char *path = path_of(
			s, relay->password != NULL ? "password" : "password_file");
		conf_source_problem(s->check->source, path,
			"needs a user (%s.user) beside it", s->place);
	}
}

static void check_iam_key(const struct subject *s)
{
	const struct conf_relay *relay = s->relay;
	bool id =
		relay->iam_access_key_id != NULL || relay->iam_access_key_id_file != NULL;
	bool secret = relay->iam_secret_access_key != NULL ||
		      relay->iam_secret_access_key_file != NULL;
	const char *id_key = relay->iam_access_key_id != NULL ? "iam_access_key_id"
							      : "iam_access_key_id_file";
	check_secret(s, "iam_access_key_id", relay->iam_access_key_id,
		relay->iam_access_key_id_file);
	check_secret(s, "iam_secret_access_key", relay->iam_secret_access_key,
		relay->iam_secret_access_key_file);
	if (any_bad(s, "iam_access_key_id", "iam_access_key_id_file",
		    "iam_secret_access_key", "iam_secret_access_key_file", NULL))
		return;
	if (id && !secret)
		problem(s, id_key,
			"needs iam_secret_access_key (or iam_secret_access_key_file) "
			"beside it");
	if (secret && !id)
		problem(s,
			relay->iam_secret_access_key != NULL
				? "iam_secret_access_key"
				: "iam_secret_access_key_file",
			"needs iam_access_key_id (or iam_access_key_id_file) beside it");
	if (id && relay->user != NULL)
		problem(s, id_key,
			"is given beside user: keep the SMTP credentials or the IAM key");
	if (id && relay->region == NULL && !conf_check_is_ses(relay->host) &&
		!any_bad(s, "region", "host", NULL))
		problem(s, "region",
			"is missing: the password is derived from the key for a region, "
			"which this host's name does not tell");
	if (!id && !secret && relay->user == NULL && conf_check_is_ses(relay->host) &&
		!any_bad(s, "user", "host", NULL))
		problem(s, "user",
			"is missing: SES wants credentials (user and password_file, or "
			"the iam_... pair)");
}

static void check_host(const struct subject *s)
{
	check_tls(s);
	check_password(s);
	check_iam_key(s);
	check_file(s, "ca_file", s->relay->ca_file, conf_file_check_certificates);
}

static void check_maildir(const struct subject *s)
{
	if (s->relay->host != NULL)
		problem(s, "maildir", "is given beside host: mail goes to one of them");
	check_file(s, "maildir", s->relay->maildir, conf_directory_check);
}

static void check_share(const struct subject *s)
{
	if (s->relay->rate_share <= 0 && !any_bad(s, "rate_share", NULL))
		problem(s, "rate_share",
			"must be over 0: write 1 for a gateway that sends alone, 0.5 "
			"for each of two");
}

/* Signed requests go there, with a session token where there is one. */
static void check_api(const struct subject *s)
{
	const char *url = s->relay->api_endpoint;
	g_autoptr(GUri) uri = url ? g_uri_parse(url, G_URI_FLAGS_NONE, NULL) : NULL;
	if (uri == NULL || any_bad(s, "api_endpoint", NULL))
		return;
	if (strcmp(g_uri_get_scheme(uri), "https") != 0 &&
		!conf_text_host_is_loopback(g_uri_get_host(uri)))
		problem(s, "api_endpoint",
			"must be https://HOST: http is for loopback only");
}

static void check_relay(const struct subject *s)
{
	const struct conf_relay *relay = s->relay;
	check_share(s);
	check_api(s);
	if (relay->maildir != NULL) {
		check_maildir(s);
	} else if (relay->host != NULL) {
		check_host(s);
	} else if (!conf_check_any_bad(s->check, s->place, NULL) &&
		   !any_bad(s, "host", "maildir", NULL)) {
		g_autofree char *path = path_of(s, "host");
		conf_source_problem(s->check->source, path,
			"is missing: mail goes to a host, such as "
			"email-smtp.eu-west-1.amazonaws.com, or to a Maildir "
			"(%s.maildir)",
			s->place);
	}
}

/* Routes, holds and the log tell relays apart by their names. */
static void check_name(const struct subject *s, size_t index)
{
	const struct conf *conf = s->check->conf;
	g_autofree char *path = path_of(s, "name");
	if (s->relay->name == NULL || conf_source_is_bad(s->check->source, path))
		return;
	if (strcmp(s->relay->name, CONF_RELAY_DEFAULT) == 0) {
		problem(s, "name",
			"\"" CONF_RELAY_DEFAULT "\" is the name of the section relay: "
			"choose another");
		return;
	}
	for (size_t i = 0; i < index; i++)
		if (g_strcmp0(conf->relays[i].name, s->relay->name) == 0) {
			problem(s, "name", "is the name of another relay too");
			return;
		}
}

void conf_check_relay(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	const struct subject first = { check, &conf->relay, "relay" };
	check_relay(&first);
	for (size_t i = 0; i < conf->n_relays; i++) {
		g_autofree char *place = g_strdup_printf("relays[%zu]", i);
		const struct subject further = { check, &conf->relays[i], place };
		check_name(&further, i);
		check_relay(&further);
	}
}
