/*
 * selection - which messages a person's command is about, and a walk over them that holds
 * a few IDs in memory however long the queue is.
 *
 * Internal to gateway/queue/.
 */
#ifndef GATEWAY_QUEUE_SELECTION_H
#define GATEWAY_QUEUE_SELECTION_H

#include "gateway/queue/store.h"

/* Sets of states: one bit for each. */
#define STATES(state)     (1u << (unsigned)(state))
#define STATES_ALL        (STATES(QUEUE_STATES) - 1)
#define STATES_UNFINISHED (STATES(QUEUE_SENT) - 1) /* those before it in the enum */

/* What every message selected fits. Texts are borrowed, never written to. */
struct selection {
	unsigned states; /* 0: not given */
	/* Of const char *, patterns as in selection_address_fits(): one of them fits */
	GPtrArray *senders, *recipients;
	const char *reason; /* part of the message's reason or of a relay's reply */
	const char *listener, *user; /* "*" stands for any octets */
	/* What keeps it: part of a fault's name; "person": whom a person holds */
	const char *hold;
	int64_t older_than_ms, newer_than_ms; /* since it came; 0: not given */
	uint64_t limit;
	int64_t linked_after_s; /* it has a link that ends later; -1: or none at all */
	GArray *ids;            /* of char[MESSAGE_ID_BYTES]; not empty: these instead */
};

#define SELECTION_PERSON "person"

void selection_init(struct selection *selection);
void selection_clear(struct selection *selection);

/* What a message shows without its recipients. */
struct selection_row {
	enum queue_state state;
	int64_t received_ms;
	const char *reverse_path, *listener;
	const char *user, *reason, *hold; /* may be NULL */
};
/* Whether row fits all but the recipients and what those were answered. */
bool selection_row_fits(const struct selection *selection,
	const struct selection_row *row, int64_t now_ms);

/*
 * Whether address is one that pattern names, in any case of ASCII letters: an address, a
 * domain with or without "@" before it, with "*" for any octets; "<>" or "": the null
 * reverse-path.
 */
bool selection_address_fits(const char *pattern, const char *address);
/* Whether all of text is pattern, in which "*" stands for any octets. */
bool selection_text_fits(const char *pattern, const char *text);

/* A walk in the order in which messages came. */
struct selection_walk;

/* store and selection outlive it. Messages that come later are not seen where bounded. */
struct selection_walk *selection_walk_new(struct store *store,
	const struct selection *selection, int64_t now_ms, bool bounded, GError **error);
/* Puts the IDs of the next messages, up to max, into ids (of char[MESSAGE_ID_BYTES]);
 * none any more leaves it empty. No transaction stays open behind it. */
bool selection_walk_next(
	struct selection_walk *walk, GArray *ids, unsigned max, GError **error);
void selection_walk_free(struct selection_walk **walk);

#endif
