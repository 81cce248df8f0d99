/* Where the relay's user and password come from. Logging in with them is client.c's. */
#include "gateway/relay/credentials.h"

#include "gateway/error.h"
#include "gateway/relay/relay.h"
#include <openssl/crypto.h>
#include <string.h>

void credentials_wipe_string(char **secret)
{
	if (!*secret)
		return;
	OPENSSL_cleanse(*secret, strlen(*secret));
	g_clear_pointer(secret, g_free);
}

void credentials_wipe(struct credentials *credentials)
{
	credentials_wipe_string(&credentials->user);
	credentials_wipe_string(&credentials->password);
}

static bool fail(GError **error, const char *text)
{
	g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, text);
	return false;
}

static bool load_secret(const char *value, const char *file, const char *what,
	char **secret, GError **error)
{
	g_autoptr(GError) cause = NULL;
	if (conf_secret(value, file, secret, &cause))
		return true;
	g_set_error(
		error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s: %s", what, cause->message);
	return false;
}

/* The password in place of the secret key. */
static bool derive(struct credentials *c, const struct conf_relay *s, GError **error)
{
	if (!c->user || !c->password)
		return fail(error, "relay: an IAM key needs iam_access_key_id and "
				   "iam_secret_access_key, or their files");
	if (g_str_has_prefix(c->user, "ASIA"))
		return fail(error, "relay: SES takes no temporary credentials for SMTP: "
				   "iam_access_key_id must be an IAM user's (AKIA...)");
	g_autofree char *region =
		s->region ? g_strdup(s->region) : ses_region_of_host(s->host);
	if (!region)
		return fail(error,
			"relay.region: needed to derive SES's SMTP password, since the "
			"host is no SES name");
	char *password = ses_smtp_password(c->password, region);
	credentials_wipe_string(&c->password);
	c->password = password;
	return true;
}

bool credentials_load(struct credentials *c, const struct conf_relay *s, GError **error)
{
	*c = (struct credentials){ 0 };
	bool iam = s->iam_access_key_id || s->iam_access_key_id_file ||
		   s->iam_secret_access_key || s->iam_secret_access_key_file;
	bool ok;
	if (iam) {
		ok = load_secret(s->iam_access_key_id, s->iam_access_key_id_file,
			     "relay.iam_access_key_id_file", &c->user, error) &&
		     load_secret(s->iam_secret_access_key, s->iam_secret_access_key_file,
			     "relay.iam_secret_access_key_file", &c->password, error) &&
		     derive(c, s, error);
	} else {
		c->user = g_strdup(s->user);
		ok = load_secret(s->password, s->password_file, "relay.password_file",
			&c->password, error);
		if (ok && !c->user != !c->password)
			ok = fail(error,
				"relay: user and password belong together, and one is "
				"missing");
	}
	if (!ok)
		credentials_wipe(c);
	return ok;
}
