/* Puts the recipients that a text names into the envelope. Leaves the reading to mime/,
 * who gets mail for whom to policy. */
#include "gateway/delivery/named.h"

#include "gateway/policy/policy.h"
#include <string.h>

/* What the callback of mime/ needs. */
struct judge {
	const struct conf *conf;
	const struct conf_listener *listener;
};

static const struct conf_listener *listener_of(
	const struct conf *conf, const struct queue_message *message)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (g_strcmp0(conf->listeners[i].name, message->listener) == 0)
			return &conf->listeners[i];
	}
	return NULL; /* the settings have changed since */
}

/* Whether all mail from there names its recipients. */
static bool is_wanted_of(const struct conf *conf, const struct queue_message *message)
{
	const struct conf_listener *listener = listener_of(conf, message);
	const struct conf_account *account =
		message->user ? conf_account_find(conf, message->user) : NULL;
	return (listener && listener->recipients_in_text) ||
	       (account && account->recipients_in_text);
}

static bool is_replaced(const struct conf *conf, bool all, const char *original)
{
	return all || (conf->recipients.addresses &&
			      conf_identities_have(conf->recipients.addresses, original));
}

/* The addresses in RCPT, each once, whose place the named ones take; borrowed. */
static GPtrArray *replaced_addresses(
	const struct conf *conf, const struct queue_message *message)
{
	GPtrArray *replaced = g_ptr_array_new();
	bool all = is_wanted_of(conf, message);
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if (is_replaced(conf, all, r->original) &&
			!g_ptr_array_find_with_equal_func(
				replaced, r->original, g_str_equal, NULL))
			g_ptr_array_add(replaced, r->original);
	}
	return replaced;
}

/* Where mail for address goes, through the maps; NULL: it would come back here. */
static char *forward_path_of(const struct judge *judge, const char *address)
{
	char *path = NULL;
	if (policy_onward(judge->conf, judge->listener, address, &path) != POLICY_ACCEPT)
		return NULL;
	return path;
}

static bool allows(void *context, const char *address)
{
	const struct judge *judge = context;
	if (!conf_identities_have(judge->conf->recipients.domains, address))
		return false;
	g_autofree char *path = forward_path_of(judge, address);
	return path != NULL;
}

static struct queue_recipient *find(
	const struct queue_message *message, const char *original, const char *path)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (strcmp(r->original, original) == 0 &&
			strcmp(r->forward_path, path) == 0)
			return r;
	}
	return NULL;
}

static bool holds(const GPtrArray *paths, const char *path)
{
	return g_ptr_array_find_with_equal_func(
		(GPtrArray *)paths, path, g_str_equal, NULL);
}

/* The record of original that none of paths is in: as it came. */
static struct queue_recipient *find_unnamed(
	const struct queue_message *message, const char *original, const GPtrArray *paths)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (strcmp(r->original, original) == 0 && !holds(paths, r->forward_path))
			return r;
	}
	return NULL;
}

/* One address becomes a recipient for each path. What an earlier
 * attempt made so stays. */
static void replace(
	struct queue_message *message, const char *original, const GPtrArray *paths)
{
	struct queue_recipient *unnamed = find_unnamed(message, original, paths);
	const struct queue_recipient *like = unnamed;
	for (guint i = 0; i < paths->len && !like; i++)
		like = find(message, original, paths->pdata[i]);
	for (guint i = 0; i < paths->len; i++) {
		struct queue_recipient *r = find(message, original, paths->pdata[i]);
		if (r)
			continue;
		message->recipients_changed = true;
		if (unnamed) {
			g_free(unnamed->forward_path);
			unnamed->forward_path = g_strdup(paths->pdata[i]);
			unnamed = NULL;
			continue;
		}
		r = queue_message_add_recipient(message, original, paths->pdata[i]);
		r->notify = like->notify;
		r->orcpt = g_strdup(like->orcpt);
	}
}

static char *notice_text(const char *reason, const GPtrArray *replaced)
{
	return g_strdup_printf(
		"This message came for %s, whose mail goes to the recipients named in "
		"its text, but it names none to whom it can be sent: %s.",
		(const char *)replaced->pdata[0], reason);
}

/* The message goes to the fallback, and says why. */
static void fall_back(const struct judge *judge, struct queue_message *message,
	const GPtrArray *replaced, struct rewriter *rewriter, const char *reason,
	GPtrArray *paths)
{
	const char *fallback = judge->conf->recipients.fallback;
	char *path = forward_path_of(judge, fallback);
	g_autofree char *notice = notice_text(reason, replaced);
	g_autofree char *seed = g_base64_encode(message->seed, sizeof(message->seed));
	g_ptr_array_add(paths, path ? path : g_strdup(fallback));
	rewriter_set_notice(rewriter, notice, seed);
}

static unsigned forms_of(const struct conf_recipients *recipients)
{
	unsigned forms = 0;
	for (const char *const *word = recipients->markers; *word; word++)
		forms |= strcmp(*word, "colon") == 0 ? MIME_MARKER_COLON
						     : MIME_MARKER_BRACKET;
	return forms;
}

bool named_apply(const struct conf *conf, struct queue_message *message,
	struct rewriter *rewriter, char **reason, GError **error)
{
	*reason = NULL;
	if (!conf->recipients.markers || !conf->recipients.domains ||
		!conf->recipients.fallback)
		return true;
	g_autoptr(GPtrArray) replaced = replaced_addresses(conf, message);
	if (replaced->len == 0)
		return true;
	const struct conf_listener *listener = listener_of(conf, message);
	struct judge judge = { conf, listener ? listener : &conf->listeners[0] };
	const struct mime_markers markers = {
		.forms = forms_of(&conf->recipients),
		.word = conf->recipients.word,
		.max = conf->recipients.max,
		.allows = allows,
		.context = &judge,
	};
	g_autoptr(GPtrArray) addresses = NULL;
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	if (!rewriter_recipients(rewriter, &markers, &addresses, reason, error))
		return false;
	if (!addresses)
		fall_back(&judge, message, replaced, rewriter, *reason, paths);
	for (guint i = 0; addresses && i < addresses->len; i++)
		g_ptr_array_add(paths, forward_path_of(&judge, addresses->pdata[i]));
	for (guint i = 0; i < replaced->len; i++) {
		g_autofree char *original = g_strdup(replaced->pdata[i]);
		replace(message, original, paths);
	}
	return true;
}
