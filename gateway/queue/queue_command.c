/* stowage queue: a visitor to the database, beside the gateway or without it. A running
 * gateway notices what changed; nothing is asked of it. */
#include "gateway/queue/queue_command.h"

#include "gateway/queue/queue_change.h"
#include "gateway/queue/queue_export.h"
#include "gateway/queue/queue_text.h"
#include "gateway/queue/visit.h"
#include <stdio.h>
#include <sysexits.h>

#define SELECTING (OPTION_STATE | OPTION_FILTERS | OPTION_LIMIT | OPTION_ALL)

static const char usage[] =
	"usage: stowage queue list    [ID...] [FILTERS] [--all] [--json]\n"
	"       stowage queue show    WHICH [--json]\n"
	"       stowage queue retry   WHICH [--dry-run] [--json]\n"
	"       stowage queue redrive WHICH [--again] [--dry-run] [--json]\n"
	"       stowage queue hold    WHICH [--dry-run] [--json]\n"
	"       stowage queue release WHICH [--dry-run] [--json]\n"
	"       stowage queue delete  WHICH [--yes] [--keep-objects] [--dry-run] "
	"[--json]\n"
	"       stowage queue export  ID [--envelope] >FILE\n"
	"       stowage queue export  WHICH --directory DIR|--maildir DIR [--envelope]\n"
	"                             [--json]\n"
	"WHICH is ID..., FILTERS or --all; an ID may be cut short while it stays "
	"unique.\n"
	"FILTERS: --state STATE[,STATE]  --sender ADDRESS  --recipient ADDRESS\n"
	"         --reason TEXT  --hold TEXT  --listener NAME  --user NAME\n"
	"         --older-than DURATION  --newer-than DURATION  --limit N\n"
	"An ADDRESS may be a domain, and have \"*\" in it. States: received, rewriting,\n"
	"uploading, deferred, relaying, uncertain, held, sent, bounced, dead.\n";

/* --- list --- */

struct listing {
	struct visit *visit;
	uint64_t listed;
	bool headings_done;
	GPtrArray *rows; /* of char ** */
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

static bool list_one(struct listing *listing, const char *id, GError **error)
{
	const struct visit *visit = listing->visit;
	struct queue_message *message = NULL;
	if (!store_load(visit->store, id, &message, error))
		return false;
	if (!message)
		return true; /* gone in between */
	if (visit_has(visit, OPTION_JSON))
		visit_print(queue_text_json(message));
	else
		g_ptr_array_add(listing->rows, queue_text_row(message, visit->now_ms));
	queue_message_free(message);
	listing->listed++;
	return true;
}

static int list_page(void *context, const GArray *ids)
{
	struct listing *listing = context;
	g_autoptr(GError) error = NULL;
	bool ok = true;
	for (guint i = 0; ok && i < ids->len; i++)
		ok = list_one(listing, visit_id(ids, i), &error);
	print_rows(listing);
	return ok ? EX_OK : visit_report(listing->visit, error);
}

static void print_summary(const struct listing *listing)
{
	struct store_totals totals;
	const struct visit *visit = listing->visit;
	if (visit_has(visit, OPTION_JSON) || !store_totals(visit->store, &totals, NULL))
		return;
	printf("%s%" G_GUINT64_FORMAT " %s listed", listing->listed ? "\n" : "",
		listing->listed, listing->listed == 1 ? "message" : "messages");
	if (!(visit->options.selection.states & STATES(QUEUE_DEAD)) &&
		totals.messages[QUEUE_DEAD] > 0)
		printf("; %" G_GINT64_FORMAT
		       " dead (see: stowage queue list --state dead)",
			totals.messages[QUEUE_DEAD]);
	putchar('\n');
}

static int list(struct visit *visit)
{
	int code = visit_select(visit, true,
		visit_has(visit, OPTION_ALL) ? STATES_ALL : STATES_UNFINISHED);
	if (code != EX_OK)
		return code;
	struct listing listing = { .visit = visit };
	listing.rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	code = visit_each(visit, false, list_page, &listing);
	g_ptr_array_unref(listing.rows);
	if (code == EX_OK)
		print_summary(&listing);
	return code;
}

/* --- show --- */

struct showing {
	struct visit *visit;
	uint64_t shown;
};

static void print_message(struct showing *showing, const struct queue_message *message)
{
	if (visit_has(showing->visit, OPTION_JSON)) {
		json_t *object = queue_text_json(message);
		json_object_set_new(object, "history", queue_text_history_json(message));
		visit_print(object);
		return;
	}
	g_autofree char *text = queue_text_show(message, showing->visit->now_ms);
	if (showing->shown++ > 0)
		putchar('\n');
	fputs(text, stdout);
}

static bool show_one(struct showing *showing, const char *id, GError **error)
{
	struct visit *visit = showing->visit;
	struct queue_message *message = NULL;
	bool ok = store_load(visit->store, id, &message, error) &&
		  (!message || store_load_events(visit->store, message, error));
	if (ok && message)
		print_message(showing, message);
	else if (ok && visit_is_named(visit))
		visit_refuse(visit, id, EX_NOINPUT, "no such message");
	queue_message_free(message);
	return ok;
}

static int show_page(void *context, const GArray *ids)
{
	struct showing *showing = context;
	g_autoptr(GError) error = NULL;
	bool ok = true;
	for (guint i = 0; ok && i < ids->len; i++)
		ok = show_one(showing, visit_id(ids, i), &error);
	return ok ? EX_OK : visit_report(showing->visit, error);
}

static int show(struct visit *visit)
{
	int code = visit_check_selection(visit);
	if (code == EX_OK)
		code = visit_select(visit, true,
			visit_has(visit, OPTION_ALL) ? STATES_ALL : STATES_UNFINISHED);
	struct showing showing = { .visit = visit };
	if (code == EX_OK)
		code = visit_each(visit, false, show_page, &showing);
	return code == EX_OK ? visit->code : code;
}

int queue_command(const struct conf *conf, int argc, char **argv)
{
	static const struct visit_verb verbs[] = {
		{ "list", SELECTING | OPTION_JSON, list },
		{ "show", SELECTING | OPTION_JSON, show },
		{ "retry", QUEUE_CHANGE_OPTIONS, queue_change_retry },
		{ "redrive", QUEUE_CHANGE_OPTIONS | OPTION_AGAIN, queue_change_redrive },
		{ "hold", QUEUE_CHANGE_OPTIONS, queue_change_hold },
		{ "release", QUEUE_CHANGE_OPTIONS, queue_change_release },
		{ "delete", QUEUE_CHANGE_OPTIONS | OPTION_YES | OPTION_OBJECTS,
			queue_change_delete },
		{ "export", QUEUE_EXPORT_OPTIONS, queue_export },
	};
	struct visit visit = { .who = "stowage queue", .usage = usage, .conf = conf };
	return visit_run(&visit, verbs, G_N_ELEMENTS(verbs), argc, argv);
}
