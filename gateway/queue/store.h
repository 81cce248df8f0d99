/*
 * store - the queue's database: schema, and one function for each statement's purpose.
 *
 * Internal to gateway/queue/. A store is one connection, used by one thread at a time.
 * The gateway's is the owner's (makes and migrates the schema); the command line's is a
 * visitor's. Writing calls stand between store_begin() and store_commit(); what goes
 * wrong there leaves the transaction open until store_rollback().
 *
 * Errors: at opening GATEWAY_ERROR_MEND or GATEWAY_ERROR_FULL (no room on the disk),
 * later GATEWAY_ERROR_FULL or GATEWAY_ERROR_RETRY. A visitor's are GATEWAY_ERROR_MEND
 * wherever damage is met, and GATEWAY_ERROR_RETRY where another one writes for too long.
 */
#ifndef GATEWAY_QUEUE_STORE_H
#define GATEWAY_QUEUE_STORE_H

#include "gateway/queue/queue.h"

#define STORE_NEVER_MS INT64_MAX /* next attempt of a message that waits for a person */

struct store;

/* Numbers of messages by state, or changes of them. */
struct store_totals {
	int64_t messages[QUEUE_STATES];
};

/* What a scan of the queue sees of a message. Strings are valid during the call. */
struct store_glance {
	const char *id;
	enum queue_state state;
	int64_t next_attempt_ms;
};
/* False ends the scan. */
typedef bool (*store_glance_function)(void *context, const struct store_glance *glance);

/* Opens or makes the database at path. */
struct store *store_open_owner(const char *path, GError **error);
/* Opens an existing one of this version. read_only: nothing is
 * changed, also no file made. */
struct store *store_open_visitor(const char *path, bool read_only, GError **error);
void store_close(struct store **store);

/* False with error: the file at its path is none, or another one, since it was opened. */
bool store_is_in_place(const struct store *store, GError **error);

bool store_begin(struct store *store, GError **error);
bool store_commit(struct store *store, GError **error);
void store_rollback(struct store *store);

bool store_insert(
	struct store *store, const struct queue_message *message, GError **error);
bool store_put_attachments(
	struct store *store, const struct queue_message *message, GError **error);
/* With it the events so far, and the recipients that were settled meanwhile: of a message
 * in several transactions those of the earlier ones. */
bool store_set_relaying(
	struct store *store, const struct queue_message *message, GError **error);
bool store_finish(
	struct store *store, const struct queue_message *message, GError **error);
/* A person's or the recovery's change, of the message alone. UNCERTAIN is remembered.
 * reason NULL leaves it as it is. finished_ms 0: unfinished. */
bool store_set_state(struct store *store, const char *id, enum queue_state state,
	int64_t next_attempt_ms, int64_t finished_ms, const char *reason, GError **error);
/* The state alone, of a message in flight that is in state from still. */
bool store_set_noted(struct store *store, const char *id, enum queue_state from,
	enum queue_state to, bool *changed, GError **error);
/* That a person asked for a retry: its lifetime begins anew. */
bool store_set_retried(
	struct store *store, const char *id, int64_t retried_ms, GError **error);
/* Recipients that have no end yet are dead, as their message is. */
bool store_end_recipients(struct store *store, const char *id, GError **error);
/* Recipients that are not sent are to be tried again: deferred. */
bool store_reopen_recipients(struct store *store, const char *id, GError **error);
bool store_add_totals(
	struct store *store, const struct store_totals *changes, GError **error);
/* Deletes up to limit messages that were sent or bounced before finished_ms;
 * their number by state is subtracted from changes, their IDs (of char *, freed
 * by the array) are added to ids. */
bool store_purge(struct store *store, int64_t finished_ms, size_t limit,
	struct store_totals *changes, GPtrArray *ids, GError **error);

bool store_totals(struct store *store, struct store_totals *totals, GError **error);
/* Counts anew what store_totals() reads, and corrects it. Reads
 * every row's index entry. */
bool store_recount(struct store *store, GError **error);
/* received_ms of the oldest unfinished message, 0: none. */
bool store_oldest(struct store *store, int64_t *received_ms, GError **error);
/* A number that changes when another connection has committed. */
bool store_version(struct store *store, int64_t *version, GError **error);

/* Unfinished messages of that priority by next attempt. state is not filled. */
bool store_scan_due(struct store *store, enum conf_priority priority,
	store_glance_function see, void *context, GError **error);
/* Of the few unfinished messages that came last those of that priority which were tried
 * before and are due, the last one first. state is not filled. */
bool store_scan_newest(struct store *store, enum conf_priority priority, int64_t now_ms,
	store_glance_function see, void *context, GError **error);
/* Unfinished messages whose ID comes after the given one, in order of ID. */
bool store_scan_unfinished(struct store *store, const char *after,
	store_glance_function see, void *context, GError **error);
/* Messages that became dead before finished_ms, in that order. */
bool store_scan_dead(struct store *store, int64_t finished_ms, store_glance_function see,
	void *context, GError **error);
/* Messages with that hold whose ID comes after the given one, oldest first. */
bool store_scan_held(struct store *store, const char *hold, const char *after,
	store_glance_function see, void *context, GError **error);
/* IDs that begin with prefix, oldest first. */
bool store_scan_prefix(struct store *store, const char *prefix, store_glance_function see,
	void *context, GError **error);

/* End and revocation of message id's link, as they stand in attachment. */
bool store_set_link(struct store *store, const char *id,
	const struct queue_attachment *attachment, GError **error);

/* Adds what stands in message->events to the message's history, in which at most
 * QUEUE_EVENTS_MAX are kept: the first ones and the last. */
bool store_put_events(
	struct store *store, const struct queue_message *message, GError **error);
/* Message id was cut off while it was being relayed: what its row has of its
 * events goes to its history. */
bool store_keep_journal(struct store *store, const char *id, GError **error);
/* Whether the final dot of message id, which was cut off while RELAYING, may have gone to
 * one of its recipients: to those whose state was recorded so (they become UNCERTAIN), or
 * to all where nothing was. */
bool store_end_cut(struct store *store, const char *id, bool *uncertain, GError **error);
/* One more event of message id, of a person's or the recovery's change. */
bool store_add_event(struct store *store, const char *id, enum queue_state state,
	const char *text, GError **error);
/* The whole history of a loaded message into message->events, in order, in place of what
 * is there. It begins with its reception. */
bool store_load_events(
	struct store *store, struct queue_message *message, GError **error);

/* Deletes the message with all that is recorded of it; its state is subtracted from
 * changes. Its spool file is the caller's to remove once that is committed. */
bool store_delete_message(struct store *store, const char *id,
	struct store_totals *changes, bool *found, GError **error);
/* What a HELD message waits for: see queue_message.hold. */
bool store_set_hold(
	struct store *store, const char *id, const char *hold, GError **error);
/* Sends a message through the whole pipeline again: deferred, due now, no attempts,
 * recipients open again (those who were sent it too where sent_too), its lifetime begun
 * anew. That its attachments were stored is forgotten, their keys and links are not. The
 * change is added to changes. False without error: there is no such message. */
bool store_redrive(struct store *store, const char *id, bool sent_too, int64_t now_ms,
	struct store_totals *changes, GError **error);

/* What messages are held for, in the order of hold. False ends the scan. */
struct store_hold {
	const char *hold; /* valid during the call */
	uint64_t messages;
};
typedef bool (*store_hold_function)(void *context, const struct store_hold *hold);
bool store_scan_holds(
	struct store *store, store_hold_function see, void *context, GError **error);

/* Notes, see queue_remember(). */
bool store_put_note(
	struct store *store, const char *name, const char *text, GError **error);
/* Strings are valid during the call. */
typedef void (*store_note_function)(void *context, const char *name, const char *text);
bool store_scan_notes(
	struct store *store, store_note_function see, void *context, GError **error);

/* Whether there is a message id, and its state. */
bool store_find(struct store *store, const char *id, bool *found, enum queue_state *state,
	GError **error);
/* What a person may have changed of a message in flight. */
struct store_mark {
	bool found;
	enum queue_state state;
	bool has_hold;
	int64_t retried_ms;
};
bool store_find_mark(
	struct store *store, const char *id, struct store_mark *mark, GError **error);
/* The whole message; *message stays NULL when there is none. */
bool store_load(struct store *store, const char *id, struct queue_message **message,
	GError **error);

#endif
