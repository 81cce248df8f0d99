/* What is said of attachments, and who may name recipients in a text. */
#include "conf/check.h"

#include <string.h>

void conf_check_attachments(const struct conf_check *check)
{
	const char *name = check->conf->time_zone;
	if (name == NULL || conf_check_any_bad(check, "attachments.time_zone", NULL))
		return;
	g_autoptr(GTimeZone) zone = g_time_zone_new_identifier(name);
	if (zone == NULL)
		conf_source_problem(check->source, "attachments.time_zone",
			"is no time zone that this machine knows: write one such as "
			"Europe/Berlin (Debian: package tzdata)");
}

/* Whether some listener, account or address lets recipients be named in the text. */
static bool is_used(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf->listeners[i].recipients_in_text)
			return true;
	for (size_t i = 0; i < conf->n_accounts; i++)
		if (conf->accounts[i].recipients_in_text)
			return true;
	return conf->recipients.addresses != NULL;
}

static void require(const struct conf_check *check, const void *value, const char *key,
	const char *why)
{
	if (value == NULL && !conf_check_any_bad(check, key, NULL))
		conf_source_problem(check->source, key, "is missing: %s", why);
}

void conf_check_recipients(const struct conf_check *check)
{
	const struct conf_recipients *recipients = &check->conf->recipients;
	if (!is_used(check->conf)) {
		if (recipients->markers != NULL)
			conf_source_warning(check->source, "recipients.markers",
				"are looked for nowhere: give recipients.addresses, or "
				"recipients_in_text to a listener or account");
		return;
	}
	require(check, recipients->markers, "recipients.markers",
		"say which markers devices write, such as [ colon, bracket ]");
	require(check, recipients->domains, "recipients.domains",
		"say to whom a text may have mail sent, such as [ example.com ]");
	require(check, recipients->fallback, "recipients.fallback",
		"say who gets a message that names nobody properly");
}
