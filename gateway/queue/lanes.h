/*
 * lanes - the messages in memory that are due now: by priority, and of each what was
 * handed on as it came and what was read back from the database.
 *
 * Internal to gateway/queue/. Under the queue's lock.
 */
#ifndef GATEWAY_QUEUE_LANES_H
#define GATEWAY_QUEUE_LANES_H

#include "gateway/queue/queue.h"

/* Recipients of the messages that a lane holds in memory; one message always has room. */
#define LANE_RECIPIENTS 128
#define LANE_LOW        32 /* at or below: filled again from the database */
/* Of a lane's messages so many may keep their octets in memory. */
#define LANE_OCTETS 16

/* By urgency: high, normal, low. */
#define LANES_PRIORITIES 3

/* First in, first out. */
struct lane {
	GQueue messages;
	size_t recipients;
};

struct band {
	struct lane fresh;   /* handed on from memory as they were committed */
	struct lane backlog; /* read from the database */
	bool backlog_turn;   /* neither lane starves the other */
	bool newest_turn;    /* nor the last that came the first, when it is filled */
	int64_t disk_due_ms; /* when the next message that is only on disk is due */
};

struct lanes {
	struct band bands[LANES_PRIORITIES];
	GQueue transit; /* a client waits for each */
	unsigned turn;
};

/* The band of that priority. */
struct band *lanes_band(struct lanes *lanes, enum conf_priority priority);
/* The priority of the i-th band. */
enum conf_priority lanes_priority(unsigned i);

/* Whether there is room for it; if so, it is the lane's. */
bool lanes_push(struct lane *lane, struct queue_message *message);

void lanes_push_transit(struct lanes *lanes, struct queue_message *message);

/* The next one; NULL: there is none. *refill: a backlog may run low now. */
struct queue_message *lanes_pop(struct lanes *lanes, bool *refill);

/* The next one of high priority. */
struct queue_message *lanes_pop_urgent(struct lanes *lanes, bool *refill);

/* When the first message that is only on disk is due. */
int64_t lanes_disk_due_ms(const struct lanes *lanes);
/* A message of that priority is due on disk then. */
void lanes_note_due(struct lanes *lanes, enum conf_priority priority, int64_t due_ms);
/* Messages of any priority may be due on disk. */
void lanes_look_anew(struct lanes *lanes);
/* Whether the band's backlog is to be filled. */
bool lanes_should_refill(const struct band *band, int64_t now_ms);

/* Moves what lies in them to messages, but for what clients wait for. */
void lanes_take_all(struct lanes *lanes, GQueue *messages);

/* Frees what lies in them. */
void lanes_clear(struct lanes *lanes);

#endif
