/* stowage queue list|show|retry: a visitor to the database, beside the gateway or without
 * it. A running gateway notices what changed; nothing is asked of it. */
#include "gateway/queue/queue_command.h"

#include "gateway/error.h"
#include "gateway/queue/queue_text.h"
#include "gateway/queue/visit.h"
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define WHO        "stowage queue"
#define TABLE_ROWS 500 /* aligned at a time */
#define BATCH_IDS  200 /* retried in one transaction: a running gateway waits for it */

static const char usage[] =
	"usage: stowage queue list [--state STATE] [--json] [--limit N]\n"
	"       stowage queue show ID [--json]\n"
	"       stowage queue retry ID...|--all\n"
	"An ID may be cut short while it stays unique. STATE is one of received, "
	"deferred,\n"
	"relaying, uncertain, held, sent, bounced, dead; without it: all that is "
	"unfinished.\n";

struct command {
	const char *directory;
	struct store *store;
	bool json;
	bool all;
	bool has_state;
	enum queue_state state;
	uint64_t limit;
	int n_ids;
	char **ids; /* borrowed from argv */
};

static int misused(const char *what, const char *argument)
{
	fprintf(stderr, "stowage queue: %s%s%s\n%s", what, argument ? ": " : "",
		argument ? argument : "", usage);
	return EX_USAGE;
}

static int64_t now_ms(void)
{
	return g_get_real_time() / 1000;
}

static int report(const GError *error)
{
	return visit_report(WHO, error);
}

/* --- arguments --- */

static int parse_value(struct command *command, const char *option, const char *value)
{
	if (!value)
		return misused("a value is missing", option);
	if (!strcmp(option, "--state")) {
		command->has_state = true;
		return queue_state_parse(value, &command->state)
			       ? EX_OK
			       : misused("not a state", value);
	}
	return g_ascii_string_to_unsigned(value, 10, 1, G_MAXINT64, &command->limit, NULL)
		       ? EX_OK
		       : misused("not a number from 1", value);
}

/* argv[0] is the verb; IDs are moved to the front of what follows it. */
static int parse(struct command *command, int argc, char **argv)
{
	command->ids = argv + 1;
	command->limit = G_MAXINT64;
	for (int i = 1; i < argc; i++) {
		int code = EX_OK;
		if (!strcmp(argv[i], "--json")) {
			command->json = true;
		} else if (!strcmp(argv[i], "--all")) {
			command->all = true;
		} else if (!strcmp(argv[i], "--state") || !strcmp(argv[i], "--limit")) {
			code = parse_value(
				command, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			i++;
		} else if (argv[i][0] == '-') {
			code = misused("unknown option", argv[i]);
		} else {
			command->ids[command->n_ids++] = argv[i];
		}
		if (code != EX_OK)
			return code;
	}
	return EX_OK;
}

static int open_store(struct command *command, bool read_only)
{
	return visit_open(WHO, command->directory, read_only, &command->store);
}

/* --- list --- */

struct listing {
	struct command *command;
	int64_t now_ms;
	uint64_t listed;
	bool headings_done;
	GPtrArray *rows;
	GError *error;
};

static void print_rows(struct listing *listing)
{
	if (listing->rows->len == 0)
		return;
	g_autofree char *table = queue_text_table(listing->rows, !listing->headings_done);
	fputs(table, stdout);
	listing->headings_done = true;
	g_ptr_array_set_size(listing->rows, 0);
}

static void print_json(const struct queue_message *message)
{
	json_t *object = queue_text_json(message);
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
	putchar('\n');
}

static bool list_one(void *context, const struct store_glance *glance)
{
	struct listing *listing = context;
	struct queue_message *message = NULL;
	if (!store_load(listing->command->store, glance->id, &message, &listing->error))
		return false;
	if (!message)
		return true; /* purged in between */
	if (listing->command->json)
		print_json(message);
	else
		g_ptr_array_add(listing->rows, queue_text_row(message, listing->now_ms));
	queue_message_free(message);
	if (listing->rows->len == TABLE_ROWS)
		print_rows(listing);
	return ++listing->listed < listing->command->limit;
}

static void print_summary(const struct listing *listing)
{
	struct store_totals totals;
	const struct command *command = listing->command;
	if (command->json || !store_totals(command->store, &totals, NULL))
		return;
	printf("%s%" G_GUINT64_FORMAT " %s listed", listing->listed ? "\n" : "",
		listing->listed, listing->listed == 1 ? "message" : "messages");
	if (!command->has_state && totals.messages[QUEUE_DEAD] > 0)
		printf("; %" G_GINT64_FORMAT
		       " dead (see: stowage queue list --state dead)",
			totals.messages[QUEUE_DEAD]);
	putchar('\n');
}

static int list(struct command *command)
{
	if (command->n_ids > 0 || command->all)
		return misused("list takes no ID and no --all", NULL);
	int code = open_store(command, true);
	if (code != EX_OK)
		return code;
	g_autoptr(GPtrArray) rows =
		g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	struct listing listing = { .command = command, .now_ms = now_ms(), .rows = rows };
	enum queue_state state = command->has_state ? command->state : QUEUE_STATES;
	g_autoptr(GError) error = NULL;
	bool ok = store_scan_state(command->store, state, list_one, &listing, &error);
	print_rows(&listing);
	if (!ok)
		return report(error);
	if (listing.error) {
		code = report(listing.error);
		g_clear_error(&listing.error);
		return code;
	}
	print_summary(&listing);
	return EX_OK;
}

/* --- one message by ID or the beginning of it --- */

static int resolve(struct command *command, const char *given, char id[MESSAGE_ID_BYTES])
{
	return visit_resolve(WHO, command->store, given, id);
}

static int show(struct command *command)
{
	if (command->n_ids != 1 || command->all || command->has_state)
		return misused("show takes one ID", NULL);
	char id[MESSAGE_ID_BYTES];
	g_autoptr(GError) error = NULL;
	struct queue_message *message = NULL;
	int code = open_store(command, true);
	if (code == EX_OK)
		code = resolve(command, command->ids[0], id);
	if (code != EX_OK)
		return code;
	if (!store_load(command->store, id, &message, &error))
		return report(error);
	if (!message) {
		fprintf(stderr, "stowage queue: %s: no such message\n", id);
		return EX_NOINPUT;
	}
	if (command->json) {
		print_json(message);
	} else {
		g_autofree char *text = queue_text_show(message, now_ms());
		fputs(text, stdout);
	}
	queue_message_free(message);
	return EX_OK;
}

/* --- retry --- */

/* Why a message in this state is not retried; NULL where it is. */
static const char *refusal(enum queue_state state)
{
	switch (state) {
	case QUEUE_SENT:
		return "was sent: not sent again";
	case QUEUE_RELAYING:
		return "is being relayed at this moment";
	case QUEUE_RECEIVED:
	case QUEUE_DEFERRED:
	case QUEUE_UNCERTAIN:
	case QUEUE_HELD:
	case QUEUE_BOUNCED:
	case QUEUE_DEAD:
	case QUEUE_STATES:
		break;
	}
	return NULL;
}

static bool make_due(
	struct command *command, const char *id, enum queue_state from, GError **error)
{
	bool reopen = from == QUEUE_DEAD || from == QUEUE_BOUNCED || from == QUEUE_HELD;
	enum queue_state to = reopen ? QUEUE_DEFERRED : from;
	struct store_totals changes = { 0 };
	changes.messages[from]--;
	changes.messages[to]++;
	return store_set_state(command->store, id, to, now_ms(), 0, NULL, error) &&
	       store_set_retried(command->store, id, now_ms(), error) &&
	       (!reopen || store_reopen_recipients(command->store, id, error)) &&
	       store_add_totals(command->store, &changes, error);
}

/* Within a transaction. Adds to done, to be printed once that is durable. *code is not
 * touched where the message is due now. */
static bool retry_one(
	struct command *command, const char *id, GString *done, int *code, GError **error)
{
	bool found = false;
	enum queue_state state = QUEUE_HELD;
	if (!store_find(command->store, id, &found, &state, error))
		return false;
	g_autofree char *file =
		g_build_filename(command->directory, "incoming", id, NULL);
	const char *why_not = found ? refusal(state) : "no such message";
	if (!why_not && access(file, F_OK) < 0)
		why_not = "its spool file is missing: there is nothing to send";
	if (why_not) {
		fprintf(stderr, "stowage queue: %s: %s\n", id, why_not);
		*code = found ? EX_DATAERR : EX_NOINPUT;
		return true;
	}
	if (!make_due(command, id, state, error))
		return false;
	g_string_append_printf(
		done, "%s  was %s, due now\n", id, queue_state_name(state));
	return true;
}

static int retry_batch(struct command *command, char (*ids)[MESSAGE_ID_BYTES], size_t n)
{
	int code = EX_OK;
	g_autoptr(GError) error = NULL;
	g_autoptr(GString) done = g_string_new(NULL);
	bool ok = store_begin(command->store, &error);
	for (size_t i = 0; ok && i < n; i++)
		ok = retry_one(command, ids[i], done, &code, &error);
	if (ok && store_commit(command->store, &error)) {
		fputs(done->str, stdout);
		return code;
	}
	store_rollback(command->store);
	fputs("stowage queue: what is not named above was not changed\n", stderr);
	return report(error);
}

struct id_list {
	GArray *ids; /* of char[MESSAGE_ID_BYTES] */
};

static bool see_id(void *context, const struct store_glance *glance)
{
	struct id_list *list = context;
	char id[MESSAGE_ID_BYTES];
	g_strlcpy(id, glance->id, sizeof id);
	g_array_append_vals(list->ids, id, 1);
	return true;
}

static int collect_all(struct command *command, struct id_list *list)
{
	static const enum queue_state states[] = { QUEUE_DEFERRED, QUEUE_UNCERTAIN,
		QUEUE_HELD, QUEUE_DEAD };
	g_autoptr(GError) error = NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
		if (!store_scan_state(command->store, states[i], see_id, list, &error))
			return report(error);
	}
	return EX_OK;
}

static int collect_named(struct command *command, struct id_list *list)
{
	for (int i = 0; i < command->n_ids; i++) {
		char id[MESSAGE_ID_BYTES];
		int code = resolve(command, command->ids[i], id);
		if (code != EX_OK)
			return code;
		g_array_append_vals(list->ids, id, 1);
	}
	return EX_OK;
}

static int retry(struct command *command)
{
	if (command->json || command->has_state || (command->n_ids > 0) == command->all)
		return misused("retry takes IDs or --all", NULL);
	int code = open_store(command, false);
	if (code != EX_OK)
		return code;
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
	struct id_list list = { ids };
	code = command->all ? collect_all(command, &list) : collect_named(command, &list);
	for (guint i = 0; code != EX_TEMPFAIL && i < ids->len; i += BATCH_IDS) {
		int batch = retry_batch(command,
			(char(*)[MESSAGE_ID_BYTES])(void *)ids->data + i,
			MIN((size_t)BATCH_IDS, ids->len - i));
		code = batch == EX_OK ? code : batch;
	}
	if (command->all && ids->len == 0)
		puts("No message waits for a retry.");
	return code;
}

int queue_command(const struct conf *conf, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct command *command);
	} verbs[] = { { "list", list }, { "show", show }, { "retry", retry } };
	struct command command = { .directory = conf->queue.directory };
	if (argc < 1)
		return misused("list, show or retry?", NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0)
			continue;
		int code = parse(&command, argc, argv);
		if (code == EX_OK)
			code = verbs[i].run(&command);
		store_close(&command.store);
		return code;
	}
	return misused("not a verb", argv[0]);
}
