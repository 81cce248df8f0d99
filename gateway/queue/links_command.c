/* stowage links: what was linked, until when; new links, and none any more. */
#include "gateway/queue/links_command.h"

#include "gateway/error.h"
#include "gateway/queue/links_send.h"
#include "gateway/queue/queue_text.h"
#include "gateway/queue/visit.h"
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define SELECTING                                                                        \
	(OPTION_STATE | OPTION_FILTERS | OPTION_LIMIT | OPTION_ALL | OPTION_JSON)

static const char usage[] =
	"usage: stowage links list   [ID...] [FILTERS] [--expiring DURATION] [--all] "
	"[--json]\n"
	"       stowage links show   WHICH [--json]\n"
	"       stowage links extend WHICH [--expiring DURATION] [--send] [--dry-run]\n"
	"                             [--json]\n"
	"       stowage links revoke WHICH [--yes] [--dry-run] [--json]\n"
	"WHICH is ID [NUMBER...], FILTERS or --all; an ID may be cut short while it "
	"stays\n"
	"unique, a NUMBER is an attachment's, without: all of them.\n"
	"FILTERS: --sender ADDRESS  --recipient ADDRESS  --older-than DURATION\n"
	"         --newer-than DURATION  --state STATE[,STATE]  --listener NAME\n"
	"         --user NAME  --reason TEXT  --hold TEXT  --limit N (of messages)\n"
	"An ADDRESS may be a domain, and have \"*\" in it. list shows the links that "
	"are\n"
	"good, --expiring those of them that end within DURATION (as 36h), --all also\n"
	"those that have ended. extend prints new links: whoever has one can read the\n"
	"file; --send sends them to those who got the message. revoke deletes the file\n"
	"from the store.\n";

struct links {
	struct visit *visit;
	struct s3_store *objects; /* once it is needed */
	int64_t now_s;
	int n_numbers;
	char **numbers; /* of attachments; borrowed from argv */
	uint64_t n_links;
	GString *mail;       /* extend --send: the message's new links; else NULL */
	GHashTable *revoked; /* revoke: keys of what it deleted */
	void (*act)(struct links *links, const struct queue_message *message,
		struct queue_attachment *attachment);
};

/* --- printing --- */

static void print_link(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment, const char *url)
{
	links->n_links++;
	if (visit_has(links->visit, OPTION_JSON)) {
		json_t *object = queue_text_link_json(message, attachment, links->now_s);
		if (url)
			json_object_set_new(object, "url", json_string(url));
		visit_print(object);
		return;
	}
	g_autofree char *text = queue_text_link(message, attachment, links->now_s);
	fputs(text, stdout);
	if (url)
		printf("  %s\n", url);
}

static void show_link(struct links *links, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	print_link(links, message, attachment, NULL);
}

/* --- which --- */

static bool is_named(const struct links *links, const struct queue_attachment *attachment)
{
	for (int i = 0; i < links->n_numbers; i++) {
		if (g_ascii_strtoull(links->numbers[i], NULL, 10) == attachment->number)
			return true;
	}
	return links->n_numbers == 0;
}

static bool has_number(const struct queue_message *message, const char *text)
{
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *attachment =
			message->attachments->pdata[i];
		if (g_ascii_strtoull(text, NULL, 10) == attachment->number)
			return true;
	}
	return false;
}

/* Every number that was given has to be one of the message's. */
static bool check_numbers(struct links *links, const struct queue_message *message)
{
	for (int i = 0; i < links->n_numbers; i++) {
		if (has_number(message, links->numbers[i]))
			continue;
		g_autofree char *why =
			g_strdup_printf("has no link %s", links->numbers[i]);
		visit_refuse(links->visit, message->id, EX_NOINPUT, why);
		return false;
	}
	return true;
}

/* By what else was asked: for how long they are still good. */
static bool is_wanted(
	const struct links *links, const struct queue_attachment *attachment)
{
	const struct options *options = &links->visit->options;
	int64_t left_s = attachment->expires_at_s - links->now_s;
	if (options->expiring_s && (attachment->revoked_at_s || left_s <= 0 ||
					   left_s > (int64_t)options->expiring_s))
		return false;
	return options->selection.linked_after_s <= 0 ||
	       (!attachment->revoked_at_s && left_s > 0);
}

static void act_on(struct links *links, struct queue_message *message)
{
	if (message->attachments->len == 0) {
		if (visit_is_named(links->visit))
			visit_refuse(
				links->visit, message->id, EX_NOINPUT, "has no links");
		return;
	}
	if (!check_numbers(links, message))
		return;
	for (guint i = 0; i < message->attachments->len; i++) {
		struct queue_attachment *attachment = message->attachments->pdata[i];
		if (is_named(links, attachment) && is_wanted(links, attachment))
			links->act(links, message, attachment);
	}
}

static void send_links(struct links *links, const struct queue_message *message)
{
	char id[MESSAGE_ID_BYTES];
	g_autoptr(GError) error = NULL;
	if (!links_send(links->visit, message, links->mail->str, id, &error))
		visit_refuse(
			links->visit, message->id, visit_code(error), error->message);
	else if (visit_has(links->visit, OPTION_JSON))
		visit_print(
			json_pack("{s:s, s:s}", "message", message->id, "sent_as", id));
	else
		printf("%s  sent as %s\n", message->id, id);
	g_string_truncate(links->mail, 0);
}

static int see_page(void *context, const GArray *ids)
{
	struct links *links = context;
	for (guint i = 0; i < ids->len; i++) {
		struct queue_message *message = NULL;
		g_autoptr(GError) error = NULL;
		if (!store_load(links->visit->store, visit_id(ids, i), &message, &error))
			return visit_report(links->visit, error);
		if (message)
			act_on(links, message);
		if (links->mail && links->mail->len > 0)
			send_links(links, message);
		queue_message_free(message);
	}
	return EX_OK;
}

/* --- list, show --- */

static int finish(struct links *links, int code)
{
	if (code == EX_OK && !visit_has(links->visit, OPTION_JSON) &&
		!visit_is_named(links->visit))
		printf("%" G_GUINT64_FORMAT " %s\n", links->n_links,
			links->n_links == 1 ? "link" : "links");
	return code == EX_OK ? links->visit->code : code;
}

static int list(struct visit *visit)
{
	struct links links = {
		.visit = visit, .now_s = visit->now_ms / 1000, .act = show_link
	};
	bool all = visit_has(visit, OPTION_ALL);
	if (all && visit->options.expiring_s)
		return visit_misused(visit, "either --all or --expiring", NULL);
	int code = visit_select(visit, true, 0);
	if (!visit_is_named(visit))
		visit->options.selection.linked_after_s = all ? 0 : links.now_s;
	if (code == EX_OK)
		code = visit_each(visit, false, see_page, &links);
	return finish(&links, code);
}

/* The words are one ID and numbers of its attachments. */
static int take_words(struct links *links)
{
	struct options *options = &links->visit->options;
	int code = visit_check_selection(links->visit);
	if (options->n_words > 1) {
		links->numbers = options->words + 1;
		links->n_numbers = options->n_words - 1;
		options->n_words = 1;
	}
	for (int i = 0; code == EX_OK && i < links->n_numbers; i++) {
		if (!g_ascii_string_to_unsigned(
			    links->numbers[i], 10, 0, G_MAXINT64, NULL, NULL))
			code = visit_misused(
				links->visit, "not a number", links->numbers[i]);
	}
	return code;
}

static int go_through(struct links *links, bool read_only)
{
	struct visit *visit = links->visit;
	links->now_s = visit->now_ms / 1000;
	int code = take_words(links);
	if (code == EX_OK)
		code = visit_select(visit, read_only, 0);
	if (code != EX_OK)
		return code;
	visit->options.selection.linked_after_s = 0;
	return finish(links, visit_each(visit, true, see_page, links));
}

static int show(struct visit *visit)
{
	struct links links = { .visit = visit, .act = show_link };
	return go_through(&links, true);
}

/* --- what extend and revoke share --- */

static void refuse(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment, int code, const char *why)
{
	g_autofree char *id = g_strdup_printf("%s %zu", message->id, attachment->number);
	visit_refuse(links->visit, id, code, why);
}

/* Of the sysexits codes the one that a script should see. */
static int code_of(const GError *error)
{
	if (error->domain == S3_ERROR && error->code == S3_ERROR_CONFIG)
		return EX_CONFIG;
	return error->domain == S3_ERROR && error->code == S3_ERROR_MEND ? EX_NOPERM
									 : EX_TEMPFAIL;
}

/* Writes down what was done; a failure is the command's, not undone by itself. */
static void record(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment, const char *event)
{
	struct store *store = links->visit->store;
	g_autoptr(GError) error = NULL;
	g_autofree char *text =
		g_strdup_printf("file %zu: %s", attachment->number, event);
	if (store_begin(store, &error) &&
		store_set_link(store, message->id, attachment, &error) &&
		store_add_event(store, message->id, message->state, text, &error) &&
		store_commit(store, &error))
		return;
	store_rollback(store);
	g_prefix_error(&error, "done, but not recorded: ");
	refuse(links, message, attachment, visit_code(error), error->message);
}

/* A message that is still to be sent gets new links with each attempt, and needs its
 * objects; unless a person holds it. */
static bool may_change(const struct queue_message *message)
{
	return message->finished_ms || (message->state == QUEUE_HELD && !message->hold);
}

static bool is_ready(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	if (!may_change(message)) {
		g_autofree char *why = g_strdup_printf("its message is %s, not finished: "
						       "links are made anew when it is "
						       "sent",
			queue_state_name(message->state));
		refuse(links, message, attachment, EX_DATAERR, why);
		return false;
	}
	if (visit_has(links->visit, OPTION_DRY_RUN)) {
		print_link(links, message, attachment, NULL);
		return false;
	}
	if (!links->objects)
		links->objects = s3_store_new(&links->visit->conf->s3, &error);
	if (!links->objects)
		refuse(links, message, attachment, code_of(error), error->message);
	return links->objects != NULL;
}

static int change(struct links *links)
{
	int code = go_through(links, visit_has(links->visit, OPTION_DRY_RUN));
	s3_store_free(&links->objects);
	return code;
}

/* --- extend --- */

/* How long a new link may live; 0: the object may be deleted already. Objects were stored
 * when the message came, or later. */
static unsigned new_life_s(const struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment)
{
	const struct conf *conf = links->visit->conf;
	unsigned expiry_s = conf->link_expiry_s;
	int64_t kept_s = conf->s3_retention_s;
	int64_t stored_s = message->received_ms / 1000;
	int64_t by_store_s = 0;
	if (links->objects)
		by_store_s = s3_store_kept_s(links->objects, attachment->key, stored_s);
	if (by_store_s && (!kept_s || by_store_s < kept_s))
		kept_s = by_store_s;
	int64_t left_s = stored_s + kept_s - links->now_s;
	if (!kept_s || left_s >= expiry_s)
		return expiry_s;
	return (unsigned)MAX(left_s, 0);
}

static bool is_over(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment)
{
	if (!attachment->revoked_at_s && new_life_s(links, message, attachment) > 0)
		return false;
	refuse(links, message, attachment, EX_DATAERR,
		attachment->revoked_at_s
			? "was revoked: the file is deleted"
			: "is older than s3.retention, or than the bucket's lifecycle "
			  "rules let it be: the file is, or is about to be, deleted");
	return true;
}

/* Where that cannot be known, a link is made, and said to be unchecked. */
static bool has_object(struct links *links, const struct queue_message *message,
	const struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	switch (s3_store_find(links->objects, attachment->key, &error)) {
	case S3_PRESENT:
		return true;
	case S3_ABSENT:
		refuse(links, message, attachment, EX_NOINPUT,
			"its file is no longer in the store: no link is made");
		return false;
	case S3_UNKNOWN:
		break;
	}
	fprintf(stderr,
		"%s: %s %zu: not known whether its file is still in the store: %s\n",
		links->visit->who, message->id, attachment->number, error->message);
	return true;
}

static void extend_one(struct links *links, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	bool first = !links->objects;
	if (is_over(links, message, attachment) || !is_ready(links, message, attachment))
		return;
	if (first)
		s3_store_ask_lifecycle(links->objects);
	if (is_over(links, message, attachment) ||
		!has_object(links, message, attachment))
		return;
	int64_t expires_at_s = 0;
	g_autofree char *url = s3_store_presign(links->objects, attachment->key,
		attachment->file_name, attachment->media_type, links->now_s,
		new_life_s(links, message, attachment), &expires_at_s, &error);
	if (!url) {
		refuse(links, message, attachment, code_of(error), error->message);
		return;
	}
	int64_t before_s = attachment->expires_at_s;
	attachment->expires_at_s = expires_at_s;
	print_link(links, message, attachment, url);
	if (links->mail)
		links_send_add(links->mail, attachment, url);
	/* Earlier links still live as they did. */
	attachment->expires_at_s = MAX(expires_at_s, before_s);
	record(links, message, attachment, "a person made a new link");
}

static int extend_links(struct visit *visit)
{
	struct links links = { .visit = visit, .act = extend_one };
	if (visit_has(visit, OPTION_SEND))
		links.mail = g_string_new(NULL);
	int code = change(&links);
	if (links.mail)
		g_string_free(links.mail, TRUE);
	return code;
}

/* --- revoke --- */

/* Attachments of the same content are one file: with it all their links have ended. */
static bool is_revoked_now(
	const struct links *links, const struct queue_attachment *attachment)
{
	return g_hash_table_contains(links->revoked, attachment->key);
}

static void note_revoked(struct links *links, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	if (!attachment->revoked_at_s)
		attachment->revoked_at_s = links->now_s;
	record(links, message, attachment, "revoked by a person: deleted from the store");
	print_link(links, message, attachment, NULL);
}

static void revoke_one(struct links *links, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	if (is_revoked_now(links, attachment) || !is_ready(links, message, attachment))
		return;
	if (!s3_store_delete(links->objects, attachment->key, &error)) {
		refuse(links, message, attachment, code_of(error), error->message);
		return;
	}
	for (guint i = 0; i < message->attachments->len; i++) {
		struct queue_attachment *alike = message->attachments->pdata[i];
		if (strcmp(alike->key, attachment->key) == 0)
			note_revoked(links, message, alike);
	}
	g_hash_table_add(links->revoked, g_strdup(attachment->key));
}

static void say_what_stays(const struct visit *visit)
{
	fputs(visit->conf->s3.links.cloudfront_url
			? "What was read before cannot be taken back; CloudFront may "
			  "keep "
			  "copies until its cache lets go of them.\n"
			: "What was read before cannot be taken back; a bucket with "
			  "versions "
			  "keeps the deleted one, unreachable by links.\n",
		stdout);
}

static int revoke_links(struct visit *visit)
{
	struct links links = { .visit = visit, .act = revoke_one };
	bool dry = visit_has(visit, OPTION_DRY_RUN);
	if (visit->options.n_words == 0 && !visit_has(visit, OPTION_YES) && !dry)
		return visit_misused(visit,
			"what filters select is deleted with --yes only; --dry-run shows "
			"it",
			NULL);
	links.revoked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	int code = change(&links);
	g_hash_table_unref(links.revoked);
	if (links.n_links > 0 && !dry && !visit_has(visit, OPTION_JSON))
		say_what_stays(visit);
	return code;
}

int links_command(const struct conf *conf, int argc, char **argv)
{
	static const struct visit_verb verbs[] = {
		{ "list", SELECTING | OPTION_EXPIRING, list },
		{ "show", SELECTING, show },
		{ "extend", SELECTING | OPTION_EXPIRING | OPTION_SEND | OPTION_DRY_RUN,
			extend_links },
		{ "revoke", SELECTING | OPTION_DRY_RUN | OPTION_YES, revoke_links },
	};
	struct visit visit = { .who = "stowage links", .usage = usage, .conf = conf };
	return visit_run(&visit, verbs, G_N_ELEMENTS(verbs), argc, argv);
}
