/* Turns verdicts into states. Does not store them. */
#include "gateway/delivery/outcome.h"

#include "conf/value.h"
#include "gateway/error.h"

bool outcome_is_open(const struct queue_recipient *recipient)
{
	return recipient->state != QUEUE_SENT && recipient->state != QUEUE_DEAD &&
	       recipient->state != QUEUE_BOUNCED;
}

void outcome_take_verdict(
	struct queue_recipient *recipient, const struct relay_recipient *result)
{
	static const enum queue_state states[] = {
		[RELAY_SENT] = QUEUE_SENT,
		[RELAY_DEFERRED] = QUEUE_DEFERRED,
		[RELAY_REFUSED] = QUEUE_DEAD,
		[RELAY_UNCERTAIN] = QUEUE_UNCERTAIN,
	};
	recipient->state = states[result->verdict];
	recipient->reply_code = result->reply_code;
	g_free(recipient->reply);
	recipient->reply = g_strdup(result->reply);
}

/* The state that the recipients' states make, and whose reply explains it. */
static enum queue_state state_of_recipients(
	const GPtrArray *recipients, const struct queue_recipient **because)
{
	static const enum queue_state weightiest_first[] = { QUEUE_UNCERTAIN,
		QUEUE_DEFERRED, QUEUE_RECEIVED, QUEUE_DEAD, QUEUE_BOUNCED, QUEUE_SENT };
	for (size_t w = 0; w < G_N_ELEMENTS(weightiest_first); w++)
		for (guint i = 0; i < recipients->len; i++) {
			*because = g_ptr_array_index(recipients, i);
			if ((*because)->state == weightiest_first[w])
				return (*because)->state;
		}
	*because = NULL;
	return QUEUE_DEAD; /* a message without recipients: nothing can be done with it */
}

static void set_reason(struct queue_message *message, char *reason)
{
	g_free(message->reason);
	message->reason = reason;
}

void outcome_of_failure(
	struct queue_message *message, const char *step, const GError *error)
{
	bool rejected = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT);
	message->state = rejected ? QUEUE_DEAD : QUEUE_DEFERRED;
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *recipient =
			g_ptr_array_index(message->recipients, i);
		if (outcome_is_open(recipient))
			recipient->state = message->state;
	}
	set_reason(message, g_strdup_printf("%s: %s", step, error->message));
}

void outcome_of_recipients(struct queue_message *message)
{
	const struct queue_recipient *because;
	message->state = state_of_recipients(message->recipients, &because);
	if (message->state == QUEUE_UNCERTAIN)
		message->uncertain = true;
	if (!because)
		set_reason(message, g_strdup("no recipients"));
	else if (message->state == QUEUE_SENT)
		set_reason(message, g_strdup(because->reply));
	else if (because->reply_code == 0)
		set_reason(message, g_strdup_printf("<%s>: %s", because->forward_path,
					    because->reply));
	else
		set_reason(message, g_strdup_printf("<%s>: %d %s", because->forward_path,
					    because->reply_code, because->reply));
}

void outcome_schedule(
	struct queue_message *message, const struct conf_queue *settings, int64_t now_ms)
{
	if (message->state != QUEUE_DEFERRED && message->state != QUEUE_UNCERTAIN) {
		message->finished_ms = now_ms;
		return;
	}
	/* It may have been dead before a person asked to retry it. */
	message->finished_ms = 0;
	message->next_attempt_ms =
		now_ms + queue_retry_delay_ms(settings, message->attempts);
	/* Who retries by hand has mended something: it gets its time again. */
	int64_t since_ms = MAX(message->received_ms, message->retried_ms);
	if (now_ms - since_ms < (int64_t)settings->lifetime_s * 1000)
		return;
	g_autofree char *lifetime =
		conf_value_print(settings->lifetime_s, CONF_UNIT_SECONDS);
	message->state = QUEUE_DEAD;
	message->finished_ms = now_ms;
	set_reason(message,
		g_strdup_printf("not delivered in %s: %s", lifetime, message->reason));
}
