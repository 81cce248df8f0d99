/* Which of the messages in memory goes next. Knows neither database nor thread. */
#include "gateway/queue/lanes.h"

/* Of so many turns one begins at normal, and one at low priority: what is less urgent is
 * slower, never starved. */
#define NORMAL_TURNS 4
#define LOW_TURNS    16

struct band *lanes_band(struct lanes *lanes, enum conf_priority priority)
{
	switch (priority) {
	case CONF_PRIORITY_HIGH:
		return &lanes->bands[0];
	case CONF_PRIORITY_LOW:
		return &lanes->bands[2];
	case CONF_PRIORITY_NORMAL:
	case CONF_PRIORITY_LISTENER:
		break;
	}
	return &lanes->bands[1];
}

enum conf_priority lanes_priority(unsigned i)
{
	static const enum conf_priority priorities[LANES_PRIORITIES] = {
		CONF_PRIORITY_HIGH, CONF_PRIORITY_NORMAL, CONF_PRIORITY_LOW
	};
	return priorities[i];
}

/* What waits behind many others is read from its file when its turn comes. */
static void push(GQueue *messages, struct queue_message *message)
{
	if (messages->length >= LANE_OCTETS)
		g_clear_pointer(&message->octets, g_atomic_rc_box_release);
	g_queue_push_tail(messages, message);
}

void lanes_push_transit(struct lanes *lanes, struct queue_message *message)
{
	push(&lanes->transit, message);
}

bool lanes_push(struct lane *lane, struct queue_message *message)
{
	size_t recipients = message->recipients->len;
	if (!g_queue_is_empty(&lane->messages) &&
		lane->recipients + recipients > LANE_RECIPIENTS)
		return false;
	lane->recipients += recipients;
	push(&lane->messages, message);
	return true;
}

static struct queue_message *lane_pop(struct lane *lane)
{
	struct queue_message *message = g_queue_pop_head(&lane->messages);
	lane->recipients -= message->recipients->len;
	return message;
}

static struct queue_message *band_pop(struct band *band, bool *refill)
{
	bool no_fresh = g_queue_is_empty(&band->fresh.messages);
	bool no_backlog = g_queue_is_empty(&band->backlog.messages);
	if (no_fresh && no_backlog)
		return NULL;
	bool backlog = no_fresh || (band->backlog_turn && !no_backlog);
	band->backlog_turn = !backlog;
	struct queue_message *message = lane_pop(backlog ? &band->backlog : &band->fresh);
	*refill = backlog && band->backlog.recipients <= LANE_LOW;
	return message;
}

struct queue_message *lanes_pop(struct lanes *lanes, bool *refill)
{
	static const unsigned orders[][LANES_PRIORITIES] = { { 0, 1, 2 }, { 1, 0, 2 },
		{ 2, 1, 0 } };
	struct queue_message *message = g_queue_pop_head(&lanes->transit);
	*refill = false;
	if (message)
		return message;
	unsigned turn = ++lanes->turn;
	const unsigned *order = orders[turn % LOW_TURNS == 0      ? 2
				       : turn % NORMAL_TURNS == 0 ? 1
								  : 0];
	for (unsigned i = 0; !message && i < LANES_PRIORITIES; i++)
		message = band_pop(&lanes->bands[order[i]], refill);
	return message;
}

static struct queue_message *pop_urgent_transit(GQueue *transit)
{
	for (GList *l = transit->head; l; l = l->next) {
		struct queue_message *message = l->data;
		if (message->priority == CONF_PRIORITY_HIGH) {
			g_queue_delete_link(transit, l);
			return message;
		}
	}
	return NULL;
}

struct queue_message *lanes_pop_urgent(struct lanes *lanes, bool *refill)
{
	struct queue_message *message = pop_urgent_transit(&lanes->transit);
	*refill = false;
	return message ? message
		       : band_pop(lanes_band(lanes, CONF_PRIORITY_HIGH), refill);
}

int64_t lanes_disk_due_ms(const struct lanes *lanes)
{
	int64_t due_ms = INT64_MAX;
	for (unsigned i = 0; i < LANES_PRIORITIES; i++) {
		if (lanes->bands[i].backlog.recipients <= LANE_LOW)
			due_ms = MIN(due_ms, lanes->bands[i].disk_due_ms);
	}
	return due_ms;
}

void lanes_note_due(struct lanes *lanes, enum conf_priority priority, int64_t due_ms)
{
	struct band *band = lanes_band(lanes, priority);
	band->disk_due_ms = MIN(band->disk_due_ms, due_ms);
}

void lanes_look_anew(struct lanes *lanes)
{
	for (unsigned i = 0; i < LANES_PRIORITIES; i++)
		lanes->bands[i].disk_due_ms = 0;
}

bool lanes_should_refill(const struct band *band, int64_t now_ms)
{
	return band->disk_due_ms <= now_ms && band->backlog.recipients <= LANE_LOW;
}

static void take_all(struct lane *lane, GQueue *messages)
{
	struct queue_message *message;
	while ((message = g_queue_pop_head(&lane->messages)) != NULL)
		g_queue_push_tail(messages, message);
	lane->recipients = 0;
}

void lanes_take_all(struct lanes *lanes, GQueue *messages)
{
	for (unsigned i = 0; i < LANES_PRIORITIES; i++) {
		take_all(&lanes->bands[i].fresh, messages);
		take_all(&lanes->bands[i].backlog, messages);
	}
}

static void free_messages(GQueue *messages)
{
	g_queue_clear_full(messages, (GDestroyNotify)queue_message_free);
}

void lanes_clear(struct lanes *lanes)
{
	for (unsigned i = 0; i < LANES_PRIORITIES; i++) {
		free_messages(&lanes->bands[i].fresh.messages);
		free_messages(&lanes->bands[i].backlog.messages);
	}
	free_messages(&lanes->transit);
}
