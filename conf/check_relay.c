/* The next hop, what it is told, and in whose name. Connects to nobody. */
#include "conf/check.h"
#include "conf/files.h"
#include "conf/text.h"
#include <string.h>

static void check_tls(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	if (conf_check_any_bad(check, "relay.tls", "relay.port", "relay.host", NULL))
		return;
	bool wrapper_port = relay->port == 465 || relay->port == 2465;
	if (relay->tls == CONF_TLS_NONE && !conf_text_host_is_loopback(relay->host))
		conf_source_problem(check->source, "relay.tls",
			"none is for a relay on loopback only: write required, or "
			"wrapper on port 465");
	else if (relay->tls == CONF_TLS_REQUIRED && wrapper_port)
		conf_source_warning(check->source, "relay.tls",
			"port %u speaks TLS from the first byte by custom: write tls: "
			"wrapper",
			relay->port);
	else if (relay->tls == CONF_TLS_WRAPPER && !wrapper_port)
		conf_source_warning(check->source, "relay.tls",
			"port %u begins without TLS by custom: write tls: required, or "
			"port: 465",
			relay->port);
}

static void check_password(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	bool password = relay->password != NULL || relay->password_file != NULL;
	conf_check_secret(check, "relay.password", relay->password, relay->password_file);
	if (relay->user != NULL && !password &&
		!conf_check_any_bad(check, "relay.password", "relay.password_file", NULL))
		conf_source_problem(check->source, "relay.user",
			"needs a password (relay.password_file) beside it");
	if (relay->user == NULL && password &&
		!conf_check_any_bad(check, "relay.user", NULL))
		conf_source_problem(check->source,
			relay->password != NULL ? "relay.password"
						: "relay.password_file",
			"needs a user (relay.user) beside it");
}

static void check_iam_key(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	bool id =
		relay->iam_access_key_id != NULL || relay->iam_access_key_id_file != NULL;
	bool secret = relay->iam_secret_access_key != NULL ||
		      relay->iam_secret_access_key_file != NULL;
	const char *id_key = relay->iam_access_key_id != NULL
				     ? "relay.iam_access_key_id"
				     : "relay.iam_access_key_id_file";
	conf_check_secret(check, "relay.iam_access_key_id", relay->iam_access_key_id,
		relay->iam_access_key_id_file);
	conf_check_secret(check, "relay.iam_secret_access_key",
		relay->iam_secret_access_key, relay->iam_secret_access_key_file);
	if (conf_check_any_bad(check, "relay.iam_access_key_id",
		    "relay.iam_access_key_id_file", "relay.iam_secret_access_key",
		    "relay.iam_secret_access_key_file", NULL))
		return;
	if (id && !secret)
		conf_source_problem(check->source, id_key,
			"needs iam_secret_access_key (or iam_secret_access_key_file) "
			"beside it");
	if (secret && !id)
		conf_source_problem(check->source,
			relay->iam_secret_access_key != NULL
				? "relay.iam_secret_access_key"
				: "relay.iam_secret_access_key_file",
			"needs iam_access_key_id (or iam_access_key_id_file) beside it");
	if (id && relay->user != NULL)
		conf_source_problem(check->source, id_key,
			"is given beside user: keep the SMTP credentials or the IAM key");
	if (id && relay->region == NULL && !conf_check_is_ses(relay->host) &&
		!conf_check_any_bad(check, "relay.region", "relay.host", NULL))
		conf_source_problem(check->source, "relay.region",
			"is missing: the password is derived from the key for a region, "
			"which this host's name does not tell");
	if (!id && !secret && relay->user == NULL && conf_check_is_ses(relay->host) &&
		!conf_check_any_bad(check, "relay.user", "relay.host", NULL))
		conf_source_problem(check->source, "relay.user",
			"is missing: SES wants credentials (user and password_file, or "
			"the iam_... pair)");
}

static void check_host(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	check_tls(check);
	check_password(check);
	check_iam_key(check);
	conf_check_file(
		check, "relay.ca_file", relay->ca_file, conf_file_check_certificates);
}

static void check_maildir(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	if (relay->host != NULL)
		conf_source_problem(check->source, "relay.maildir",
			"is given beside host: mail goes to one of them");
	conf_check_file(check, "relay.maildir", relay->maildir, conf_directory_check);
}

void conf_check_relay(const struct conf_check *check)
{
	const struct conf_relay *relay = &check->conf->relay;
	if (relay->maildir != NULL)
		check_maildir(check);
	else if (relay->host != NULL)
		check_host(check);
	else if (!conf_check_any_bad(check, "relay", "relay.host", "relay.maildir", NULL))
		conf_source_problem(check->source, "relay.host",
			"is missing: mail goes to a host, such as "
			"email-smtp.eu-west-1.amazonaws.com, or to a Maildir "
			"(relay.maildir)");
}

/* SES: a verified domain covers its subdomains; verified addresses
 * are compared with case. */
static bool is_verified(const char *const *verified, const char *address)
{
	const char *domain = strrchr(address, '@') + 1;
	for (; *verified != NULL; verified++) {
		if (strchr(*verified, '@') != NULL && strcmp(*verified, address) == 0)
			return true;
		size_t length = strlen(domain), tail = strlen(*verified);
		if (length < tail ||
			g_ascii_strcasecmp(domain + length - tail, *verified) != 0)
			continue;
		if (length == tail || domain[length - tail - 1] == '.')
			return true;
	}
	return false;
}

static void check_verified(
	const struct conf_check *check, const char *key, const char *address)
{
	const struct conf_sender *sender = &check->conf->sender;
	if (address != NULL && sender->verified != NULL &&
		!is_verified(sender->verified, address) &&
		!conf_check_any_bad(check, key, "sender.verified", NULL))
		conf_source_problem(check->source, key,
			"%s is not among sender.verified, so SES would refuse it: add it "
			"or its domain there, or choose another",
			address);
}

void conf_check_sender(const struct conf_check *check)
{
	const struct conf_sender *sender = &check->conf->sender;
	const struct conf_relay *relay = &check->conf->relay;
	check_verified(check, "sender.from", sender->from);
	check_verified(check, "sender.envelope", sender->envelope);
	if (sender->from == NULL && relay->host != NULL &&
		conf_check_is_ses(relay->host) &&
		!conf_check_any_bad(check, "sender", "sender.from", NULL))
		conf_source_warning(check->source, "sender.from",
			"is not given: SES refuses messages whose From it has not "
			"verified");
}
