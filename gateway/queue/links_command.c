/* stowage links: what was linked, until when; new links, and none any more. */
#include "gateway/queue/links_command.h"

#include "conf/value.h"
#include "gateway/error.h"
#include "gateway/queue/queue_text.h"
#include "gateway/queue/visit.h"
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define WHO "stowage links"

static const char usage[] =
	"usage: stowage links list [--message ID] [--sender ADDRESS] [--recipient "
	"ADDRESS]\n"
	"                          [--since DURATION] [--expiring DURATION] [--all] "
	"[--json]\n"
	"       stowage links show ID [NUMBER...] [--json]\n"
	"       stowage links extend ID [NUMBER...] [--json]\n"
	"       stowage links revoke ID [NUMBER...] [--json]\n"
	"An ID may be cut short while it stays unique; NUMBER is an attachment's of it,\n"
	"without: all of them. list shows the links that are good, --since those of "
	"mail\n"
	"that came at most DURATION (as 36h) ago, --expiring those that end within it,\n"
	"--all also those that have ended. extend prints new links: whoever has one can\n"
	"read the file. revoke deletes the file from the store.\n";

struct command {
	const struct conf *conf;
	struct store *store;
	struct s3_store *objects;
	int64_t now_s;
	bool json, all;
	uint64_t since_s, expiring_s; /* 0: not given */
	const char *message, *sender, *recipient;
	int n_words;
	char **words; /* borrowed from argv */
	uint64_t listed;
	int code; /* of the last that failed */
	GError *error;
};

static int misused(const char *what, const char *argument)
{
	fprintf(stderr, WHO ": %s%s%s\n%s", what, argument ? ": " : "",
		argument ? argument : "", usage);
	return EX_USAGE;
}

/* --- arguments --- */

static int parse_value(struct command *command, const char *option, const char *value)
{
	g_autoptr(GError) error = NULL;
	if (!value)
		return misused("a value is missing", option);
	if (!strcmp(option, "--message"))
		command->message = value;
	else if (!strcmp(option, "--sender"))
		command->sender = value;
	else if (!strcmp(option, "--recipient"))
		command->recipient = value;
	else if (!conf_value_number(value, CONF_UNIT_SECONDS, 1, G_MAXINT32,
			 !strcmp(option, "--since") ? &command->since_s
						    : &command->expiring_s,
			 &error))
		return misused(error->message, NULL);
	return EX_OK;
}

/* argv[0] is the verb; words are moved to the front of what follows it. */
static int parse(struct command *command, int argc, char **argv)
{
	static const char *const with_value[] = { "--message", "--sender", "--recipient",
		"--since", "--expiring", NULL };
	command->words = argv + 1;
	for (int i = 1; i < argc; i++) {
		int code = EX_OK;
		if (!strcmp(argv[i], "--json")) {
			command->json = true;
		} else if (!strcmp(argv[i], "--all")) {
			command->all = true;
		} else if (g_strv_contains(with_value, argv[i])) {
			code = parse_value(
				command, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			i++;
		} else if (argv[i][0] == '-') {
			code = misused("unknown option", argv[i]);
		} else {
			command->words[command->n_words++] = argv[i];
		}
		if (code != EX_OK)
			return code;
	}
	return EX_OK;
}

/* --- printing --- */

static void print_link(const struct command *command, const struct queue_message *message,
	const struct queue_attachment *attachment, const char *url)
{
	if (command->json) {
		json_t *object =
			queue_text_link_json(message, attachment, command->now_s);
		if (url)
			json_object_set_new(object, "url", json_string(url));
		json_dumpf(object, stdout, JSON_COMPACT);
		json_decref(object);
		putchar('\n');
		return;
	}
	g_autofree char *text = queue_text_link(message, attachment, command->now_s);
	fputs(text, stdout);
	if (url)
		printf("  %s\n", url);
}

/* --- list --- */

static bool is_wanted(const struct command *command, const struct queue_message *message)
{
	int64_t age_s = command->now_s - message->received_ms / 1000;
	if (command->since_s && age_s > (int64_t)command->since_s)
		return false;
	if (command->sender && g_ascii_strcasecmp(message->reverse_path, command->sender))
		return false;
	if (!command->recipient)
		return true;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		if (!g_ascii_strcasecmp(recipient->original, command->recipient) ||
			!g_ascii_strcasecmp(recipient->forward_path, command->recipient))
			return true;
	}
	return false;
}

static bool is_listed(
	const struct command *command, const struct queue_attachment *attachment)
{
	if (command->all)
		return true;
	int64_t left_s = attachment->expires_at_s - command->now_s;
	return !attachment->revoked_at_s && left_s > 0 &&
	       (!command->expiring_s || left_s <= (int64_t)command->expiring_s);
}

static bool list_one(void *context, const struct store_glance *glance)
{
	struct command *command = context;
	struct queue_message *message = NULL;
	if (!store_load(command->store, glance->id, &message, &command->error))
		return false;
	if (!message)
		return true; /* purged in between */
	for (guint i = 0; is_wanted(command, message) && i < message->attachments->len;
		i++) {
		const struct queue_attachment *attachment =
			message->attachments->pdata[i];
		if (!is_listed(command, attachment))
			continue;
		print_link(command, message, attachment, NULL);
		command->listed++;
	}
	queue_message_free(message);
	return true;
}

static int list(struct command *command)
{
	if (command->n_words > 0)
		return misused("list takes options only", command->words[0]);
	if (command->all && command->expiring_s)
		return misused("either --all or --expiring", NULL);
	int code = visit_open(WHO, command->conf->queue.directory, true, &command->store);
	char id[MESSAGE_ID_BYTES];
	if (code == EX_OK && command->message)
		code = visit_resolve(WHO, command->store, command->message, id);
	if (code != EX_OK)
		return code;
	g_autoptr(GError) error = NULL;
	const struct store_glance one = { .id = id };
	if (command->message)
		list_one(command, &one);
	else if (!store_scan_linked(command->store, command->all ? 0 : command->now_s,
			 list_one, command, &error))
		return visit_report(WHO, error);
	if (command->error)
		return visit_report(WHO, command->error);
	if (!command->json)
		printf("%" G_GUINT64_FORMAT " %s\n", command->listed,
			command->listed == 1 ? "link" : "links");
	return EX_OK;
}

/* --- one message's links --- */

/* Attachments that share an object and those named twice are gone through once each. */
static bool is_named(
	const struct command *command, const struct queue_attachment *attachment)
{
	for (int i = 1; i < command->n_words; i++) {
		if (g_ascii_strtoull(command->words[i], NULL, 10) == attachment->number)
			return true;
	}
	return command->n_words == 1;
}

static int check_numbers(
	const struct command *command, const struct queue_message *message)
{
	for (int i = 1; i < command->n_words; i++) {
		uint64_t number = 0;
		bool found = false;
		if (!g_ascii_string_to_unsigned(
			    command->words[i], 10, 0, G_MAXINT64, &number, NULL))
			return misused("not a number", command->words[i]);
		for (guint j = 0; j < message->attachments->len; j++) {
			const struct queue_attachment *attachment =
				message->attachments->pdata[j];
			found = found || attachment->number == number;
		}
		if (!found) {
			fprintf(stderr, WHO ": %s: has no link %s\n", message->id,
				command->words[i]);
			return EX_NOINPUT;
		}
	}
	return EX_OK;
}

static int load(struct command *command, bool read_only, struct queue_message **message)
{
	char id[MESSAGE_ID_BYTES];
	g_autoptr(GError) error = NULL;
	if (command->n_words < 1)
		return misused("an ID is missing", NULL);
	if (command->all || command->since_s || command->expiring_s || command->message ||
		command->sender || command->recipient)
		return misused("the options of list go with list", NULL);
	int code = visit_open(
		WHO, command->conf->queue.directory, read_only, &command->store);
	if (code == EX_OK)
		code = visit_resolve(WHO, command->store, command->words[0], id);
	if (code != EX_OK)
		return code;
	if (!store_load(command->store, id, message, &error))
		return visit_report(WHO, error);
	if (!*message || (*message)->attachments->len == 0) {
		fprintf(stderr, WHO ": %s: %s\n", id,
			*message ? "has no links" : "no such message");
		return EX_NOINPUT;
	}
	return check_numbers(command, *message);
}

static int show(struct command *command)
{
	struct queue_message *message = NULL;
	int code = load(command, true, &message);
	for (guint i = 0; code == EX_OK && i < message->attachments->len; i++) {
		if (is_named(command, message->attachments->pdata[i]))
			print_link(
				command, message, message->attachments->pdata[i], NULL);
	}
	queue_message_free(message);
	return code;
}

/* Of the sysexits codes the one that a script should see. */
static int code_of(const GError *error)
{
	if (error->domain == S3_ERROR && error->code == S3_ERROR_CONFIG)
		return EX_CONFIG;
	return error->domain == S3_ERROR && error->code == S3_ERROR_MEND ? EX_NOPERM
									 : EX_TEMPFAIL;
}

static void refuse(struct command *command, const struct queue_message *message,
	const struct queue_attachment *attachment, int code, const char *why)
{
	fprintf(stderr, WHO ": %s %zu: %s\n", message->id, attachment->number, why);
	command->code = code;
}

/* Writes down what was done; a failure is the command's, not undone by itself. */
static void record(struct command *command, const struct queue_message *message,
	const struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	if (store_begin(command->store, &error) &&
		store_set_link(command->store, message->id, attachment, &error) &&
		store_commit(command->store, &error))
		return;
	store_rollback(command->store);
	g_prefix_error(&error, "done, but not recorded: ");
	refuse(command, message, attachment, EX_TEMPFAIL, error->message);
}

/* --- extend --- */

/* How long a new link may live; 0: the object may be deleted already. Objects were stored
 * when the message came, or later. */
static unsigned new_life_s(
	const struct command *command, const struct queue_message *message)
{
	unsigned expiry_s = command->conf->link_expiry_s;
	int64_t left_s = message->received_ms / 1000 + command->conf->s3_retention_s -
			 command->now_s;
	if (!command->conf->s3_retention_s || left_s >= expiry_s)
		return expiry_s;
	return (unsigned)MAX(left_s, 0);
}

static void extend_one(struct command *command, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	unsigned life_s = new_life_s(command, message);
	if (attachment->revoked_at_s || life_s == 0) {
		refuse(command, message, attachment, EX_DATAERR,
			attachment->revoked_at_s ? "was revoked: the file is deleted"
						 : "is older than s3.retention: the file "
						   "is, or is about to be, deleted");
		return;
	}
	int64_t expires_at_s = 0;
	g_autofree char *url = s3_store_presign(command->objects, attachment->key,
		attachment->file_name, attachment->media_type, command->now_s, life_s,
		&expires_at_s, &error);
	if (!url) {
		refuse(command, message, attachment, code_of(error), error->message);
		return;
	}
	int64_t before_s = attachment->expires_at_s;
	attachment->expires_at_s = expires_at_s;
	print_link(command, message, attachment, url);
	if (expires_at_s > before_s) /* earlier links still live as they did */
		record(command, message, attachment);
}

/* --- revoke --- */

static void revoke_one(struct command *command, const struct queue_message *message,
	struct queue_attachment *attachment)
{
	g_autoptr(GError) error = NULL;
	if (!s3_store_delete(command->objects, attachment->key, &error)) {
		refuse(command, message, attachment, code_of(error), error->message);
		return;
	}
	if (!attachment->revoked_at_s)
		attachment->revoked_at_s = command->now_s;
	record(command, message, attachment);
	print_link(command, message, attachment, NULL);
}

static int change(struct command *command, struct queue_message *message,
	void (*change_one)(struct command *, const struct queue_message *,
		struct queue_attachment *))
{
	g_autoptr(GError) error = NULL;
	command->objects = s3_store_new(&command->conf->s3, &error);
	if (!command->objects) {
		fprintf(stderr, WHO ": %s\n", error->message);
		return code_of(error);
	}
	for (guint i = 0; i < message->attachments->len; i++) {
		if (is_named(command, message->attachments->pdata[i]))
			change_one(command, message, message->attachments->pdata[i]);
	}
	s3_store_free(&command->objects);
	return command->code;
}

/* A message that is still to be sent gets new links with each attempt. */
static int check_finished(const struct queue_message *message)
{
	if (message->finished_ms)
		return EX_OK;
	fprintf(stderr,
		WHO
		": %s: is %s, not finished: its links are made anew when it is sent\n",
		message->id, queue_state_name(message->state));
	return EX_DATAERR;
}

static int run_change(struct command *command,
	void (*change_one)(struct command *, const struct queue_message *,
		struct queue_attachment *))
{
	struct queue_message *message = NULL;
	int code = load(command, false, &message);
	if (code == EX_OK)
		code = check_finished(message);
	if (code == EX_OK)
		code = change(command, message, change_one);
	queue_message_free(message);
	return code;
}

static int extend_links(struct command *command)
{
	return run_change(command, extend_one);
}

static int revoke_links(struct command *command)
{
	int code = run_change(command, revoke_one);
	if (code == EX_OK && !command->json)
		fputs(command->conf->s3.links.cloudfront_url
				? "What was read before cannot be taken back; CloudFront "
				  "may keep copies until its cache lets go of them.\n"
				: "What was read before cannot be taken back.\n",
			stdout);
	return code;
}

int links_command(const struct conf *conf, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct command *command);
	} verbs[] = { { "list", list }, { "show", show }, { "extend", extend_links },
		{ "revoke", revoke_links } };
	struct command command = { .conf = conf,
		.now_s = g_get_real_time() / G_USEC_PER_SEC };
	if (argc < 1)
		return misused("list, show, extend or revoke?", NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0)
			continue;
		int code = parse(&command, argc, argv);
		if (code == EX_OK)
			code = verbs[i].run(&command);
		g_clear_error(&command.error);
		store_close(&command.store);
		return code;
	}
	return misused("not a verb", argv[0]);
}
