/*
 * relays - the relays of the settings, by name; and which of them had to be left.
 *
 * Threads: any, once made.
 */
#ifndef GATEWAY_RELAY_RELAYS_H
#define GATEWAY_RELAY_RELAYS_H

#include "gateway/relay/relay.h"

struct relays;

/* One for the section relay and one for each of relays. conf is borrowed and must outlive
 * it; for the others and errors see relay_new(). */
struct relays *relays_new(const struct conf *conf, struct metrics *metrics,
	const struct relay_memory *memory, GError **error);
/* When nobody uses one. NULL in it is taken. */
void relays_free(struct relays **relays);

/* The relay of that name, which the settings have. */
struct relay *relays_find(const struct relays *relays, const char *name);
const struct conf_relay *relays_settings(const struct relays *relays, const char *name);

/* See relay_hurry(). */
void relays_hurry(struct relays *relays);

/* Mail that would have gone by the relay of that name goes by another or waits, why says
 * for what reason (a RELAY_DEFERRED or RELAY_HELD); or it took mail again. Logged when it
 * changes, and shown in metrics. to: where it goes instead; NULL: nowhere. */
void relays_note_left(struct relays *relays, const char *name,
	const struct relay_recipient *why, const char *to);
/* What messages are held for by it until now and need not be any more;
 * g_free(). NULL: nothing. */
char *relays_note_taken(struct relays *relays, const char *name);

#endif
