/* IDs, states and the message struct of queue.h: memory only. Knows
 * neither disk nor thread. */
#include "gateway/queue/queue.h"

#include <openssl/rand.h>
#include <string.h>

static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

static const char *const state_names[QUEUE_STATES] = {
	[QUEUE_RECEIVED] = "received",
	[QUEUE_REWRITING] = "rewriting",
	[QUEUE_UPLOADING] = "uploading",
	[QUEUE_DEFERRED] = "deferred",
	[QUEUE_RELAYING] = "relaying",
	[QUEUE_UNCERTAIN] = "uncertain",
	[QUEUE_HELD] = "held",
	[QUEUE_SENT] = "sent",
	[QUEUE_BOUNCED] = "bounced",
	[QUEUE_DEAD] = "dead",
};

static void random_bytes(uint8_t *bytes, size_t n)
{
	if (RAND_bytes(bytes, (int)n) != 1)
		g_error("no random bytes to be had");
}

static int64_t now_ms(void)
{
	return g_get_real_time() / 1000;
}

/* The low 5 * n bits of value as n digits. */
static void put_digits(char *to, unsigned n, uint64_t value)
{
	for (unsigned i = n; i-- > 0; value >>= 5)
		to[i] = crockford[value & 31];
}

/* The time, but never before that of an ID of this process, also when the
 * clock is set back: an ID that comes later sorts later, by which recovery
 * knows what is not its own. */
static int64_t id_time_ms(int64_t time_ms)
{
	static int64_t latest_ms;
	int64_t latest = __atomic_load_n(&latest_ms, __ATOMIC_RELAXED);
	while (latest < time_ms &&
		!__atomic_compare_exchange_n(&latest_ms, &latest, time_ms, true,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return MAX(latest, time_ms);
}

static void make_id(char id[MESSAGE_ID_BYTES], int64_t received_ms)
{
	int64_t time_ms = id_time_ms(received_ms);
	uint8_t random[10];
	random_bytes(random, sizeof random);
	put_digits(id, 10, (uint64_t)time_ms & 0xffffffffffffU);
	for (unsigned half = 0; half < 2; half++) {
		uint64_t value = 0;
		for (unsigned i = 0; i < 5; i++)
			value = value << 8 | random[5 * half + i];
		put_digits(id + 10 + 8 * half, 8, value);
	}
	id[MESSAGE_ID_BYTES - 1] = '\0';
}

void message_id_new(char id[MESSAGE_ID_BYTES])
{
	make_id(id, now_ms());
}

bool message_id_is_valid(const char *text)
{
	return strnlen(text, MESSAGE_ID_BYTES) == MESSAGE_ID_BYTES - 1 &&
	       text[0] <= '7' && strspn(text, crockford) == MESSAGE_ID_BYTES - 1;
}

const char *queue_state_name(enum queue_state state)
{
	return state_names[state];
}

bool queue_state_is_final(enum queue_state state)
{
	return state == QUEUE_SENT || state == QUEUE_BOUNCED || state == QUEUE_DEAD;
}

bool queue_state_parse(const char *name, enum queue_state *state)
{
	for (unsigned i = 0; i < QUEUE_STATES; i++) {
		if (!strcmp(name, state_names[i])) {
			*state = (enum queue_state)i;
			return true;
		}
	}
	return false;
}

/* By the sum of its flags. */
static const char *const notify_names[] = {
	[QUEUE_NOTIFY_NEVER] = "NEVER",
	[QUEUE_NOTIFY_SUCCESS] = "SUCCESS",
	[QUEUE_NOTIFY_FAILURE] = "FAILURE",
	[QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE] = "SUCCESS,FAILURE",
	[QUEUE_NOTIFY_DELAY] = "DELAY",
	[QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY] = "SUCCESS,DELAY",
	[QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY] = "FAILURE,DELAY",
	[QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY] =
		"SUCCESS,FAILURE,DELAY",
};

const char *queue_notify_name(unsigned notify)
{
	return notify < G_N_ELEMENTS(notify_names) ? notify_names[notify] : NULL;
}

unsigned queue_notify_parse(const char *name)
{
	for (unsigned i = 0; name && i < G_N_ELEMENTS(notify_names); i++) {
		if (!g_strcmp0(name, notify_names[i]))
			return i;
	}
	return QUEUE_NOTIFY_DEFAULT;
}

const char *queue_ret_name(enum queue_ret ret)
{
	static const char *const names[] = {
		[QUEUE_RET_DEFAULT] = NULL,
		[QUEUE_RET_FULL] = "FULL",
		[QUEUE_RET_HDRS] = "HDRS",
	};
	return names[ret];
}

enum queue_ret queue_ret_parse(const char *name)
{
	if (!g_strcmp0(name, "FULL"))
		return QUEUE_RET_FULL;
	return !g_strcmp0(name, "HDRS") ? QUEUE_RET_HDRS : QUEUE_RET_DEFAULT;
}

static void recipient_free(void *data)
{
	struct queue_recipient *recipient = data;
	g_free(recipient->original);
	g_free(recipient->forward_path);
	g_free(recipient->orcpt);
	g_free(recipient->reply);
	g_free(recipient);
}

static void attachment_free(void *data)
{
	struct queue_attachment *attachment = data;
	g_free(attachment->key);
	g_free(attachment->file_name);
	g_free(attachment->media_type);
	g_free(attachment);
}

static void event_free(void *data)
{
	struct queue_event *event = data;
	g_free(event->text);
	g_free(event->peer);
	g_free(event);
}

struct queue_message *queue_message_blank(void)
{
	struct queue_message *message = g_new0(struct queue_message, 1);
	message->recipients = g_ptr_array_new_with_free_func(recipient_free);
	message->attachments = g_ptr_array_new_with_free_func(attachment_free);
	message->events = g_ptr_array_new_with_free_func(event_free);
	message->priority = CONF_PRIORITY_NORMAL;
	return message;
}

struct queue_message *queue_message_new(void)
{
	struct queue_message *message = queue_message_blank();
	message->received_ms = now_ms();
	message->next_attempt_ms = message->received_ms;
	make_id(message->id, message->received_ms);
	random_bytes(message->seed, sizeof message->seed);
	return message;
}

void queue_message_free(struct queue_message *message)
{
	if (!message)
		return;
	g_clear_pointer(&message->octets, g_atomic_rc_box_release);
	g_free(message->listener);
	g_free(message->client);
	g_free(message->helo);
	g_free(message->user);
	g_free(message->reverse_path);
	g_free(message->envid);
	g_free(message->reason);
	g_free(message->relay_id);
	g_free(message->hold);
	g_ptr_array_unref(message->recipients);
	g_ptr_array_unref(message->attachments);
	g_ptr_array_unref(message->events);
	g_free(message);
}

struct queue_recipient *queue_message_add_recipient(
	struct queue_message *message, const char *original, const char *forward_path)
{
	struct queue_recipient *recipient = g_new0(struct queue_recipient, 1);
	recipient->original = g_strdup(original);
	recipient->forward_path = g_strdup(forward_path);
	g_ptr_array_add(message->recipients, recipient);
	return recipient;
}

struct queue_attachment *queue_message_add_attachment(struct queue_message *message)
{
	struct queue_attachment *attachment = g_new0(struct queue_attachment, 1);
	g_ptr_array_add(message->attachments, attachment);
	return attachment;
}

void queue_message_add_event(struct queue_message *message, int recipient,
	enum queue_state state, int reply_code, const char *text, const char *peer)
{
	struct queue_event *event = g_new0(struct queue_event, 1);
	event->at_ms = now_ms();
	event->state = state;
	event->recipient = recipient;
	event->reply_code = reply_code;
	event->text = g_strdup(text);
	event->peer = g_strdup(peer);
	/* The first ones tell how it began, the last ones how it stands. */
	if (message->events->len >= QUEUE_EVENTS_MAX)
		g_ptr_array_remove_index(message->events, QUEUE_EVENTS_MAX / 2);
	g_ptr_array_add(message->events, event);
}
