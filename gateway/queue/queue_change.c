/* What a person does to messages of the queue, in transactions small enough for a gateway
 * that runs beside. Prints what was done once that is durable. */
#include "gateway/queue/queue_change.h"

#include "gateway/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define REMOVED_MOST  50000 /* messages whose files go together */
#define PAUSE_MOST_US (20 * G_TIME_SPAN_MILLISECOND)

struct change;

struct change_verb {
	unsigned states;     /* that filters alone select */
	const char *becomes; /* "due now" */
	/* Why message is left as it is; NULL: it is not. May set *code, EX_DATAERR */
	const char *(*refusal)(
		struct change *change, const struct queue_message *message, int *code);
	bool (*apply)(struct change *change, const struct queue_message *message,
		GError **error);
};

struct change {
	struct visit *visit;
	const struct change_verb *verb;
	bool dry;
	bool confirmed;             /* what is unfinished may be deleted */
	bool gateway_runs;          /* as the command began */
	int64_t pause_us;           /* before the next transaction */
	struct store_totals totals; /* changes of the transaction under way */
	GPtrArray *done;            /* of char *: lines, printed once it is durable */
	GArray *removed;            /* of char[MESSAGE_ID_BYTES]: whose files go */
	bool removed_unfinished;    /* one of them may be in the gateway's memory */
	uint64_t n_done;
	char *why; /* what refusal() last gave, where it was made */
};

/* --- which messages --- */

static bool is_final(enum queue_state state)
{
	return state == QUEUE_SENT || state == QUEUE_BOUNCED || state == QUEUE_DEAD;
}

static bool by_person(const struct queue_message *message)
{
	return message->state == QUEUE_HELD && !message->hold;
}

/* What only the gateway may touch at this moment. */
static const char *in_flight(
	const struct change *change, const struct queue_message *message, int *code)
{
	if (message->state != QUEUE_RELAYING)
		return NULL;
	*code = EX_TEMPFAIL;
	return change->gateway_runs
		       ? "is being relayed at this moment: try again later"
		       : "was being relayed when the gateway ended: its next "
			 "start says what became of it";
}

static bool has_file(const struct change *change, const char *id)
{
	g_autofree char *path = visit_spool_path(change->visit, id);
	return access(path, F_OK) == 0;
}

static const char *refuse_without_file(
	const struct change *change, const struct queue_message *message)
{
	return has_file(change, message->id)
		       ? NULL
		       : "its spool file is missing: there is nothing to send";
}

static const char *refuse_retry(
	struct change *change, const struct queue_message *message, int *code)
{
	if (message->state == QUEUE_SENT)
		return "was sent: not sent again";
	if (by_person(message))
		return "is held by a person: stowage queue release lets it go";
	const char *why = in_flight(change, message, code);
	return why ? why : refuse_without_file(change, message);
}

static const char *refuse_redrive(
	struct change *change, const struct queue_message *message, int *code)
{
	if (message->state == QUEUE_SENT)
		return "was sent, and its original is gone: it cannot be sent again";
	const char *why = in_flight(change, message, code);
	return why ? why : refuse_without_file(change, message);
}

static const char *refuse_hold(
	struct change *change, const struct queue_message *message, int *code)
{
	if (is_final(message->state))
		return "is finished: there is nothing to hold";
	if (by_person(message))
		return "is held by a person already";
	return in_flight(change, message, code);
}

static const char *refuse_release(
	struct change *change, const struct queue_message *message, int *code)
{
	(void)code;
	if (message->state != QUEUE_HELD)
		return "is not held";
	if (message->hold) {
		g_free(change->why);
		change->why = g_strdup_printf("is held by a fault, not by a person (%s): "
					      "stowage queue retry tries it",
			message->hold);
		return change->why;
	}
	return refuse_without_file(change, message);
}

static guint stored_objects(const struct queue_message *message)
{
	guint n = 0;
	for (guint i = 0; i < message->attachments->len; i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		n += a->revoked_at_s == 0;
	}
	return n;
}

static const char *refuse_delete(
	struct change *change, const struct queue_message *message, int *code)
{
	const char *why = in_flight(change, message, code);
	guint n = stored_objects(message);
	/* Of one without its file a start would know no more. */
	if (why && (change->gateway_runs || has_file(change, message->id)))
		return why;
	if (change->gateway_runs && (message->state == QUEUE_REWRITING ||
					    message->state == QUEUE_UPLOADING)) {
		*code = EX_TEMPFAIL;
		return "is being worked on at this moment: hold it, or try again later";
	}
	if (!is_final(message->state) && !change->confirmed)
		return "is not delivered yet: say --yes to delete it all the same";
	if (n == 0 || change->visit->options.keep_objects)
		return NULL;
	g_free(change->why);
	change->why = g_strdup_printf(
		"has %u file%s in the store: stowage links revoke deletes %s, "
		"--keep-objects leaves %s there",
		n, n == 1 ? "" : "s", n == 1 ? "it" : "them", n == 1 ? "it" : "them");
	return change->why;
}

/* --- what is done --- */

static void count(struct change *change, enum queue_state from, enum queue_state to)
{
	change->totals.messages[from]--;
	change->totals.messages[to]++;
}

/* event: for the message's history. */
static bool make_due(struct change *change, const struct queue_message *message,
	enum queue_state to, const char *event, GError **error)
{
	struct store *store = change->visit->store;
	int64_t now_ms = change->visit->now_ms;
	count(change, message->state, to);
	return store_set_state(store, message->id, to, now_ms, 0, NULL, error) &&
	       store_set_retried(store, message->id, now_ms, error) &&
	       store_add_event(store, message->id, to, event, error);
}

static bool retry(
	struct change *change, const struct queue_message *message, GError **error)
{
	bool reopen = is_final(message->state) || message->state == QUEUE_HELD;
	return make_due(change, message, reopen ? QUEUE_DEFERRED : message->state,
		       "a person asked for a retry", error) &&
	       (!reopen ||
		       store_reopen_recipients(change->visit->store, message->id, error));
}

static bool redrive(
	struct change *change, const struct queue_message *message, GError **error)
{
	return store_redrive(change->visit->store, message->id,
		       change->visit->options.again, change->visit->now_ms,
		       &change->totals, error) &&
	       store_add_event(change->visit->store, message->id, QUEUE_DEFERRED,
		       change->visit->options.again
			       ? "a person sent it again, to all its recipients"
			       : "a person sent it again",
		       error);
}

static bool hold(
	struct change *change, const struct queue_message *message, GError **error)
{
	struct store *store = change->visit->store;
	count(change, message->state, QUEUE_HELD);
	return store_set_state(
		       store, message->id, QUEUE_HELD, STORE_NEVER_MS, 0, NULL, error) &&
	       store_set_hold(store, message->id, NULL, error) &&
	       store_add_event(store, message->id, QUEUE_HELD, "held by a person", error);
}

static bool release(
	struct change *change, const struct queue_message *message, GError **error)
{
	return make_due(change, message, QUEUE_DEFERRED, "released by a person", error);
}

static bool delete (
	struct change *change, const struct queue_message *message, GError **error)
{
	bool found = false;
	if (!store_delete_message(
		    change->visit->store, message->id, &change->totals, &found, error))
		return false;
	g_array_append_vals(change->removed, message->id, 1);
	change->removed_unfinished =
		change->removed_unfinished || !is_final(message->state);
	return true;
}

#define STATES_IN_QUEUE                                                                  \
	(STATES(QUEUE_RECEIVED) | STATES(QUEUE_REWRITING) | STATES(QUEUE_UPLOADING) |    \
		STATES(QUEUE_DEFERRED) | STATES(QUEUE_UNCERTAIN))

static const struct change_verb retry_verb = {
	.states = STATES(QUEUE_DEFERRED) | STATES(QUEUE_UNCERTAIN) | STATES(QUEUE_HELD) |
		  STATES(QUEUE_DEAD),
	.becomes = "due now",
	.refusal = refuse_retry,
	.apply = retry,
};
static const struct change_verb redrive_verb = {
	.states = STATES(QUEUE_DEAD) | STATES(QUEUE_BOUNCED),
	.becomes = "sent from the beginning",
	.refusal = refuse_redrive,
	.apply = redrive,
};
static const struct change_verb hold_verb = {
	.states = STATES_IN_QUEUE | STATES(QUEUE_HELD),
	.becomes = "held",
	.refusal = refuse_hold,
	.apply = hold,
};
static const struct change_verb release_verb = {
	.states = STATES(QUEUE_HELD),
	.becomes = "due now",
	.refusal = refuse_release,
	.apply = release,
};
static const struct change_verb delete_verb = {
	.becomes = "deleted",
	.refusal = refuse_delete,
	.apply = delete,
};

/* --- telling --- */

static char *json_line(const struct change *change, const char *id,
	const struct queue_message *message, const char *why)
{
	json_t *object = json_object();
	json_object_set_new(object, "id", json_string(id));
	json_object_set_new(object, "verb", json_string(change->visit->verb));
	json_object_set_new(object, "was",
		message ? json_string(queue_state_name(message->state)) : json_null());
	json_object_set_new(object, "done", json_boolean(!why && !change->dry));
	json_object_set_new(object, "dry_run", json_boolean(change->dry));
	json_object_set_new(object, "refused", why ? json_string(why) : json_null());
	if (change->verb == &delete_verb && message && !why) {
		json_t *kept = json_array();
		for (guint i = 0; i < message->attachments->len; i++) {
			const struct queue_attachment *a = message->attachments->pdata[i];
			if (!a->revoked_at_s)
				json_array_append_new(kept, json_string(a->key));
		}
		json_object_set_new(object, "objects_kept", kept);
	}
	g_autofree char *dumped = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return g_strconcat(dumped ? dumped : "{}", "\n", NULL);
}

static char *text_line(const struct change *change, const struct queue_message *message)
{
	GString *line = g_string_new(NULL);
	g_string_printf(line, "%s  %s %s, %s%s\n", message->id,
		change->dry ? "is" : "was", queue_state_name(message->state),
		change->dry ? "would be " : "", change->verb->becomes);
	for (guint i = 0; change->verb == &delete_verb && i < message->attachments->len;
		i++) {
		const struct queue_attachment *a = message->attachments->pdata[i];
		if (!a->revoked_at_s)
			g_string_append_printf(
				line, "  stays in the store: %s\n", a->key);
	}
	return g_string_free(line, FALSE);
}

static void tell_done(struct change *change, const struct queue_message *message)
{
	g_ptr_array_add(
		change->done, visit_has(change->visit, OPTION_JSON)
				      ? json_line(change, message->id, message, NULL)
				      : text_line(change, message));
}

static void tell_refused(struct change *change, const char *id,
	const struct queue_message *message, int code, const char *why)
{
	visit_refuse(change->visit, id, code, why);
	if (!visit_has(change->visit, OPTION_JSON))
		return;
	g_autofree char *line = json_line(change, id, message, why);
	fputs(line, stdout);
}

static void tell_sum(const struct change *change)
{
	if (visit_is_named(change->visit) || visit_has(change->visit, OPTION_JSON))
		return;
	if (change->n_done == 0)
		puts("No message matches.");
	else
		printf("%" G_GUINT64_FORMAT " %s %s%s\n", change->n_done,
			change->n_done == 1 ? "message" : "messages",
			change->dry ? "would be " : "", change->verb->becomes);
}

/* --- batches --- */

/* Where messages were selected, one that has changed since is no longer meant. */
static bool is_meant(const struct change *change, const struct queue_message *message)
{
	const struct selection *selection = &change->visit->options.selection;
	if (visit_is_named(change->visit))
		return true;
	if (!message || !(selection->states & STATES(message->state)))
		return false;
	/* Unless asked for, a verb leaves out what another is for; delete is for all. */
	bool asked = selection->hold || visit_has(change->visit, OPTION_STATE) ||
		     change->verb == &delete_verb;
	bool mine = change->verb == &release_verb;
	return asked || message->state != QUEUE_HELD || by_person(message) == mine;
}

static bool change_one(struct change *change, const char *id, GError **error)
{
	struct visit *visit = change->visit;
	struct queue_message *message = NULL;
	int code = EX_DATAERR;
	if (!store_load(visit->store, id, &message, error))
		return false;
	const char *why = NULL;
	bool meant = is_meant(change, message), ok = true;
	if (meant && !message) {
		tell_refused(change, id, NULL, EX_NOINPUT, "no such message");
	} else if (meant && (why = change->verb->refusal(change, message, &code))) {
		tell_refused(change, id, message, code, why);
	} else if (meant) {
		ok = change->dry || change->verb->apply(change, message, error);
		if (ok)
			tell_done(change, message);
	}
	queue_message_free(message);
	return ok;
}

static bool change_in_transaction(
	struct change *change, const GArray *ids, GError **error)
{
	struct store *store = change->visit->store;
	memset(&change->totals, 0, sizeof change->totals);
	bool ok = change->dry || store_begin(store, error);
	for (guint i = 0; ok && i < ids->len; i++)
		ok = change_one(change, visit_id(ids, i), error);
	if (!change->dry) {
		ok = ok && store_add_totals(store, &change->totals, error) &&
		     store_commit(store, error);
		if (!ok)
			store_rollback(store);
	}
	return ok;
}

/* After a gateway has let go of what it held in memory: it shall not come upon a message
 * without its file. An end before leaves files without a row, which the next start of the
 * gateway removes. */
static void remove_files(struct change *change)
{
	if (change->removed_unfinished)
		visit_wait_noticed(change->visit);
	for (guint i = 0; i < change->removed->len; i++) {
		g_autofree char *path =
			visit_spool_path(change->visit, visit_id(change->removed, i));
		if (unlink(path) < 0 && errno != ENOENT)
			fprintf(stderr,
				"%s: %s: its record is deleted, its file is not: %s\n",
				change->visit->who, path, g_strerror(errno));
	}
	g_array_set_size(change->removed, 0);
	change->removed_unfinished = false;
}

/* A gateway has its turn between two transactions, as long as the first one took: it
 * knocks now and then, and its clients wait for it. */
static bool change_in_turn(struct change *change, const GArray *ids, GError **error)
{
	g_usleep((gulong)change->pause_us);
	int64_t began_us = g_get_monotonic_time();
	bool ok = change_in_transaction(change, ids, error);
	if (change->gateway_runs && !change->dry)
		change->pause_us = MIN(g_get_monotonic_time() - began_us, PAUSE_MOST_US);
	return ok;
}

static int change_batch(void *context, const GArray *ids)
{
	struct change *change = context;
	g_autoptr(GError) error = NULL;
	g_ptr_array_set_size(change->done, 0);
	guint removed = change->removed->len;
	if (!change_in_turn(change, ids, &error)) {
		g_array_set_size(change->removed, removed); /* they are still there */
		fprintf(stderr, "%s: what is not named above was not changed\n",
			change->visit->who);
		return visit_report(change->visit, error);
	}
	if (change->removed->len >= REMOVED_MOST)
		remove_files(change);
	for (guint i = 0; i < change->done->len; i++)
		fputs(change->done->pdata[i], stdout);
	change->n_done += change->done->len;
	return EX_OK;
}

static int run_change(struct visit *visit, const struct change_verb *verb,
	bool (*prepare)(struct change *change))
{
	struct change change = {
		.visit = visit, .verb = verb, .dry = visit_has(visit, OPTION_DRY_RUN)
	};
	int code = visit_check_selection(visit);
	if (code == EX_OK)
		code = visit_select(visit, change.dry, verb->states);
	if (code != EX_OK)
		return code;
	change.gateway_runs = visit_gateway_runs(visit);
	change.done = g_ptr_array_new_with_free_func(g_free);
	change.removed = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
	if (!prepare || prepare(&change)) {
		code = visit_each(visit, true, change_batch, &change);
		remove_files(&change);
		if (code == EX_OK)
			tell_sum(&change);
	}
	g_ptr_array_unref(change.done);
	g_array_unref(change.removed);
	g_free(change.why);
	return code == EX_OK ? visit->code : code;
}

/* --- the verbs --- */

int queue_change_retry(struct visit *visit)
{
	return run_change(visit, &retry_verb, NULL);
}

int queue_change_redrive(struct visit *visit)
{
	return run_change(visit, &redrive_verb, NULL);
}

int queue_change_hold(struct visit *visit)
{
	return run_change(visit, &hold_verb, NULL);
}

int queue_change_release(struct visit *visit)
{
	return run_change(visit, &release_verb, NULL);
}

/* EX_TEMPFAIL once one is found that was not delivered: no further look is needed. */
static int find_unfinished(void *context, const GArray *ids)
{
	const struct change *change = context;
	for (guint i = 0; i < ids->len; i++) {
		bool found = false;
		enum queue_state state = QUEUE_HELD;
		if (store_find(change->visit->store, visit_id(ids, i), &found, &state,
			    NULL) &&
			found && !is_final(state))
			return EX_TEMPFAIL;
	}
	return EX_OK;
}

/* Asks a person at a terminal; a script is to say it. False: nothing is to be done. */
static bool confirm_delete(struct change *change)
{
	change->confirmed = visit_has(change->visit, OPTION_YES) || change->dry;
	if (change->confirmed || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) ||
		visit_each(change->visit, true, find_unfinished, change) == EX_OK)
		return true;
	fputs("Among them is what was accepted and is not delivered yet. Delete it all "
	      "the same? [y/N] ",
		stderr);
	char answer[8] = "";
	if (!fgets(answer, sizeof answer, stdin) || g_ascii_tolower(*answer) != 'y') {
		fputs("Nothing was deleted.\n", stderr);
		return false;
	}
	change->confirmed = true;
	return true;
}

int queue_change_delete(struct visit *visit)
{
	/* Its filters alone select nothing: what is deleted is to be said. */
	if (visit->options.n_words == 0 && !visit_has(visit, OPTION_STATE) &&
		!visit_has(visit, OPTION_ALL))
		return visit_misused(visit,
			"delete takes IDs, --state with or without filters, or --all",
			NULL);
	return run_change(visit, &delete_verb, confirm_delete);
}
