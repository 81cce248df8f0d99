/*
 * visit - what commands that read or change the queue's record share: verbs and options,
 * the record opened, messages named or selected, and how mistakes are said.
 *
 * Internal to gateway/queue/. Mistakes go to standard error, led by who ("stowage
 * queue"); what is returned is a sysexits code.
 */
#ifndef GATEWAY_QUEUE_VISIT_H
#define GATEWAY_QUEUE_VISIT_H

#include "gateway/queue/options.h"
#include "gateway/queue/store.h"
#include <jansson.h>

struct visit {
	const char *who, *usage;
	const struct conf *conf;
	const char *verb;
	struct options options;
	struct store *store;
	int64_t now_ms;
	int code; /* of the last message with which something could not be done */
};

struct visit_verb {
	const char *name;
	unsigned taken; /* of enum option */
	int (*run)(struct visit *visit);
};

/* Runs the verb that argv[0] names. who, usage and conf stand in visit. */
int visit_run(struct visit *visit, const struct visit_verb *verbs, size_t n_verbs,
	int argc, char **argv);

/* Whether option was given. */
bool visit_has(const struct visit *visit, enum option option);

/* Says what is wrong with the command, and its usage; EX_USAGE. argument may be NULL. */
int visit_misused(const struct visit *visit, const char *what, const char *argument);

/* For verbs that want to be told which: IDs, a filter or --all. */
int visit_check_selection(const struct visit *visit);
/* Opens the record, and completes options.selection: the words are the beginnings of IDs,
 * in any case; where there is neither one nor --state, messages in states (0: in any). A
 * read-only visit changes nothing, also no file. */
int visit_select(struct visit *visit, bool read_only, unsigned states);
/* Whether messages were named one by one. */
bool visit_is_named(const struct visit *visit);

/*
 * Calls see with the IDs of what is selected, some hundred at a time, until it gives
 * something else than EX_OK. bounded: without those that come meanwhile.
 */
typedef int (*visit_see_ids)(void *context, const GArray *ids);
int visit_each(const struct visit *visit, bool bounded, visit_see_ids see, void *context);
/* The i-th of such IDs. */
const char *visit_id(const GArray *ids, guint i);

/* The code for an error of the record: EX_TEMPFAIL where another try may do, EX_DATAERR
 * where it is damaged or not of this version. */
int visit_code(const GError *error);
/* Prints error; the code for it. */
int visit_report(const struct visit *visit, const GError *error);

/* Says why nothing was done with message id; code becomes the visit's. */
void visit_refuse(struct visit *visit, const char *id, int code, const char *why);

/* Prints object on a line of its own, and frees it. */
void visit_print(json_t *object);

/* The path of message id's file, whether it exists or not; g_free(). */
char *visit_spool_path(const struct visit *visit, const char *id);

/* Whether a gateway runs on this queue. */
bool visit_gateway_runs(const struct visit *visit);
/* Waits until a gateway that runs has noticed what was committed, and no longer holds in
 * memory what was changed; at most two seconds. */
void visit_wait_noticed(const struct visit *visit);

#endif
