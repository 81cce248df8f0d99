/* In whose name mail is sent, and what SES is told of it. Connects to nobody. */
#include "conf/check.h"
#include "conf/ses.h"
#include "conf/subject.h"
#include <string.h>

#define LOCAL_BYTES_MAX 64 /* RFC 5321, section 4.5.3.1.1 */
#define ID_BYTES        26 /* of a message's ID */

#define PATTERN_BYTES_MAX 200

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

/* "{name}" and its like; what else stands in braces is a slip. */
static void check_display_name(const struct conf_check *check)
{
	static const char *const words[] = { "{name}", "{address}", "{domain}",
		"{gateway}" };
	const char *pattern = check->conf->sender.display_name;
	bool names = false;
	for (const char *at = pattern; at != NULL && (at = strchr(at, '{')) != NULL;
		at++) {
		size_t bytes = strcspn(at, "}") + 1, i = 0;
		while (i < G_N_ELEMENTS(words) && strncmp(at, words[i], bytes) != 0)
			i++;
		names = names || i < 2;
		if (i < G_N_ELEMENTS(words) && strlen(words[i]) == bytes)
			continue;
		conf_source_problem(check->source, "sender.display_name",
			"\"%.*s\" is unknown: there are {name}, {address}, {domain} and "
			"{gateway}",
			(int)MIN(bytes, 32), at);
		return;
	}
	if (pattern != NULL && strlen(pattern) > PATTERN_BYTES_MAX)
		conf_source_problem(check->source, "sender.display_name",
			"is too long: %d characters at most", PATTERN_BYTES_MAX);
	else if (pattern != NULL && !names)
		conf_source_warning(check->source, "sender.display_name",
			"names no author: without {name} all mail seems to be from one");
}

static void check_envelope_id(const struct conf_check *check)
{
	const struct conf_sender *sender = &check->conf->sender;
	const char *own = sender->envelope != NULL ? sender->envelope : sender->from;
	if (!sender->envelope_has_id ||
		conf_check_any_bad(check, "sender", "sender.envelope", "sender.from",
			"sender.envelope_id", NULL))
		return;
	if (own == NULL)
		conf_source_problem(check->source, "sender.envelope_id",
			"needs sender.envelope (or sender.from) beside it: a client's "
			"own address gets no ID");
	else if (strcspn(own, "@") + 1 + ID_BYTES + strlen(CONF_SENDER_REPORT) >
		 LOCAL_BYTES_MAX)
		conf_source_problem(check->source, "sender.envelope_id",
			"makes the part before the @ of %s longer than %d characters: "
			"choose a shorter address",
			own, LOCAL_BYTES_MAX);
}

/* Reports about mail of this gateway that come to it are mail of this gateway again. */
static void check_reports(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	const struct conf_sender *sender = &conf->sender;
	const char *key = sender->envelope != NULL ? "sender.envelope" : "sender.from";
	const char *own = sender->envelope != NULL ? sender->envelope : sender->from;
	if (own == NULL || sender->envelope_has_id ||
		conf_check_any_bad(
			check, "sender", key, "sender.envelope_id", "listeners", NULL) ||
		conf_relay_delivers(conf, own))
		return;
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_recipient_map *map = conf->listeners[i].recipients;
		if (map == NULL || !conf_recipient_map_owns(map, own))
			continue;
		conf_source_warning(check->source, key,
			"%s is received here and passed on: were the mailbox behind it "
			"to refuse mail, reports would go round for ever; say "
			"sender.envelope_id: true",
			own);
		return;
	}
}

/* A relay that is SES, by its host; NULL: there is none. */
static const struct conf_relay *find_ses(const struct conf *conf)
{
	if (conf->relay.host != NULL && conf_check_is_ses(conf->relay.host))
		return &conf->relay;
	for (size_t i = 0; i < conf->n_relays; i++)
		if (conf->relays[i].host != NULL &&
			conf_check_is_ses(conf->relays[i].host))
			return &conf->relays[i];
	return NULL;
}

static void check_preserved(const struct conf_check *check, size_t index)
{
	const struct conf_route *route = &check->conf->routes[index];
	g_autofree char *path = g_strdup_printf("routes[%zu].preserve_sender", index);
	for (size_t i = 0; route->preserve_sender && route->relays != NULL &&
			   route->relays[i] != NULL;
		i++) {
		const struct conf_relay *relay =
			conf_relay_find(check->conf, route->relays[i]);
		if (relay == NULL || !conf_relay_is_ses(relay))
			continue;
		conf_source_warning(check->source, path,
			"the relay \"%s\" is SES, which refuses senders that it has not "
			"verified",
			route->relays[i]);
		return;
	}
}

/* The relay or route at place. */
static void check_one(const struct conf_check *check, const char *place, const char *key,
	const char *value, bool (*test)(const char *, GError **))
{
	g_autofree char *path = g_strconcat(place, ".", key, NULL);
	g_autoptr(GError) error = NULL;
	if (value != NULL && !conf_check_any_bad(check, path, NULL) &&
		!test(value, &error))
		conf_source_problem(check->source, path, "%s", error->message);
}

static void check_tags(
	const struct conf_check *check, const char *place, const char *const *tags)
{
	for (size_t i = 0; tags != NULL && tags[i] != NULL; i++) {
		g_autofree char *key = g_strdup_printf("tags[%zu]", i);
		g_autofree char *path = g_strconcat(place, ".", key, NULL);
		check_one(check, place, key, tags[i], conf_ses_tag_check);
		if (conf_ses_same_tag(tags[i], CONF_SES_OWN_TAG "="))
			conf_source_problem(check->source, path,
				"\"" CONF_SES_OWN_TAG
				"\" is the gateway's own: it names the message");
		for (size_t j = 0; j < i; j++) {
			if (!conf_ses_same_tag(tags[i], tags[j]))
				continue;
			conf_source_problem(check->source, path,
				"has the name of one before it: keep one of them");
			break;
		}
	}
}

static void check_ses(
	const struct conf_check *check, const char *place, const struct conf_ses *ses)
{
	check_one(check, place, "configuration_set", ses->configuration_set,
		conf_ses_set_check);
	check_one(check, place, "source_arn", ses->source_arn, conf_ses_arn_check);
	check_one(check, place, "from_arn", ses->from_arn, conf_ses_arn_check);
	check_one(check, place, "return_path_arn", ses->return_path_arn,
		conf_ses_arn_check);
	check_tags(check, place, ses->tags);
}

/* Everything that SES is told, wherever it stands. */
static void check_told(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	check_ses(check, "relay", &conf->relay.ses);
	for (size_t i = 0; i < conf->n_relays; i++) {
		g_autofree char *place = g_strdup_printf("relays[%zu]", i);
		check_ses(check, place, &conf->relays[i].ses);
	}
	for (size_t i = 0; i < conf->n_routes; i++) {
		g_autofree char *place = g_strdup_printf("routes[%zu]", i);
		check_ses(check, place, &conf->routes[i].ses);
	}
	for (size_t i = 0; i < conf->n_listeners; i++) {
		g_autofree char *place = g_strdup_printf("listeners[%zu]", i);
		check_tags(check, place, conf->listeners[i].tags);
	}
	for (size_t i = 0; i < conf->n_accounts; i++) {
		g_autofree char *place = g_strdup_printf("auth.accounts[%zu]", i);
		check_tags(check, place, conf->accounts[i].tags);
	}
}

/* A listener to which anyone can send without logging in; NULL: there is none. */
static const struct conf_listener *find_open(const struct conf_check *check)
{
	for (size_t i = 0; i < check->conf->n_listeners; i++) {
		const struct conf_listener *listener = &check->conf->listeners[i];
		const struct conf_subject subject = { check, listener, i };
		if (listener->auth != CONF_AUTH_REQUIRED &&
			conf_subject_is_open_to_world(&subject))
			return listener;
	}
	return NULL;
}

/* From is what its author writes: a stranger can claim to be anyone of such a domain. */
static void check_strangers(const struct conf_check *check)
{
	const struct conf_sender *sender = &check->conf->sender;
	const struct conf_listener *open = find_open(check);
	if (open == NULL || sender->from == NULL ||
		conf_check_any_bad(check, "listeners", "sender", NULL))
		return;
	for (size_t i = 0; sender->verified != NULL && sender->verified[i] != NULL; i++) {
		g_autofree char *path = g_strdup_printf("sender.verified[%zu]", i);
		if (strchr(sender->verified[i], '@') != NULL ||
			conf_source_is_bad(check->source, path))
			continue;
		conf_source_warning(check->source, path,
			"is a whole domain, and strangers can send by the listener "
			"\"%s\": what they write in From of that domain leaves "
			"unchanged; name single addresses instead",
			open->name != NULL ? open->name : "");
	}
}

void conf_check_sender(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	check_verified(check, "sender.from", conf->sender.from);
	check_verified(check, "sender.envelope", conf->sender.envelope);
	check_display_name(check);
	check_envelope_id(check);
	check_reports(check);
	check_strangers(check);
	check_told(check);
	for (size_t i = 0; i < conf->n_routes; i++)
		check_preserved(check, i);
	if (conf->sender.from == NULL && find_ses(conf) != NULL &&
		!conf_check_any_bad(check, "sender", "sender.from", NULL))
		conf_source_warning(check->source, "sender.from",
			"is not given: SES refuses messages whose From it has not "
			"verified");
}
