/* Turns verdicts into states. Does not store them. */
#include "gateway/delivery/outcome.h"

#include "conf/value.h"
#include "gateway/delivery/groups.h"
#include "gateway/error.h"

void outcome_deinit(struct outcome *outcome)
{
	g_clear_pointer(&outcome->hold, g_free);
}

enum queue_state outcome_state(enum relay_verdict verdict)
{
	static const enum queue_state states[] = {
		[RELAY_SENT] = QUEUE_SENT,
		[RELAY_DEFERRED] = QUEUE_DEFERRED,
		[RELAY_REFUSED] = QUEUE_DEAD,
		[RELAY_UNCERTAIN] = QUEUE_UNCERTAIN,
		[RELAY_HELD] = QUEUE_HELD,
	};
	return states[verdict];
}

/* Whether the relay gave no answer about the message itself. */
static bool tells_nothing(const struct relay_recipient *result)
{
	return (result->verdict == RELAY_DEFERRED || result->verdict == RELAY_HELD) &&
	       (result->reply_code == 0 || result->unusable);
}

static void set_reply(struct queue_recipient *recipient, int code, const char *text)
{
	recipient->reply_code = code;
	g_free(recipient->reply);
	recipient->reply = g_strdup(text);
}

void outcome_take_verdict(
	struct queue_recipient *recipient, const struct relay_recipient *result)
{
	if (recipient->state != QUEUE_UNCERTAIN || !tells_nothing(result))
		recipient->state = outcome_state(result->verdict);
	set_reply(recipient, result->reply_code, result->reply);
}

static void note_failure(struct outcome *outcome, enum queue_failure failure)
{
	if (outcome->deferred && outcome->failure != failure)
		failure = QUEUE_FAILURE_MESSAGE;
	outcome->failure = failure;
	outcome->deferred = true;
}

void outcome_note(struct outcome *outcome, const struct relay_recipient *result)
{
	if (result->verdict == RELAY_DEFERRED)
		note_failure(outcome, result->failure);
	outcome->uncertain |= result->verdict == RELAY_UNCERTAIN;
	if (result->verdict != RELAY_HELD || outcome->hold)
		return;
	outcome->hold = g_strdup(result->hold);
	outcome->advice = result->advice;
}

static void set_reason(struct queue_message *message, char *reason)
{
	g_free(message->reason);
	message->reason = reason;
}

static void set_hold(struct queue_message *message, const char *hold)
{
	g_free(message->hold);
	message->hold = g_strdup(hold);
}

void outcome_of_failure(struct outcome *outcome, struct queue_message *message,
	const char *step, const GError *error, char *hold, enum queue_failure failure)
{
	bool rejected = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT);
	g_free(outcome->hold);
	outcome->hold = hold;
	message->state = rejected ? QUEUE_DEAD : hold ? QUEUE_HELD : QUEUE_DEFERRED;
	if (message->state == QUEUE_DEFERRED)
		note_failure(outcome, failure);
	set_hold(message, message->state == QUEUE_HELD ? hold : NULL);
	set_reason(message, g_strdup_printf("%s: %s", step, error->message));
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *recipient =
			g_ptr_array_index(message->recipients, i);
		if (!groups_is_open(recipient) || recipient->state == QUEUE_UNCERTAIN)
			continue;
		recipient->state = message->state;
		if (rejected)
			set_reply(recipient, 0, message->reason);
	}
}

static bool is_kept(const struct queue_recipient *recipient, const bool *kept, guint i)
{
	return kept && kept[i] && recipient->state == QUEUE_UNCERTAIN;
}

/* Once nobody else waits, those that may not be sent to again wait for a person;
 * true where there are such. */
static bool keep(struct queue_message *message, const bool *kept)
{
	bool any = false;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		bool this = is_kept(r, kept, i);
		if (groups_is_open(r) && !this)
			return false;
		any |= this;
	}
	for (guint i = 0; i < message->recipients->len && any; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (is_kept(r, kept, i))
			r->state = QUEUE_HELD;
	}
	return any;
}

/* What the recipient's state counts for: one of before that waits by what keeps it now. */
static enum queue_state weight_of(
	const struct outcome *outcome, const struct queue_recipient *recipient)
{
	if (recipient->state != QUEUE_UNCERTAIN || outcome->uncertain)
		return recipient->state;
	if (outcome->deferred)
		return QUEUE_DEFERRED;
	return outcome->hold ? QUEUE_HELD : QUEUE_UNCERTAIN;
}

/* The state that the recipients' states make, and whose reply explains it. */
static enum queue_state state_of_recipients(const struct outcome *outcome,
	const GPtrArray *recipients, const bool *kept,
	const struct queue_recipient **because)
{
	static const enum queue_state weightiest_first[] = { QUEUE_UNCERTAIN,
		QUEUE_DEFERRED, QUEUE_RECEIVED, QUEUE_HELD, QUEUE_DEAD, QUEUE_BOUNCED,
		QUEUE_SENT };
	for (size_t w = 0; w < G_N_ELEMENTS(weightiest_first); w++)
		for (guint i = 0; i < recipients->len; i++) {
			*because = g_ptr_array_index(recipients, i);
			if (weight_of(outcome, *because) == weightiest_first[w] &&
				!is_kept(*because, kept, i))
				return weightiest_first[w];
		}
	*because = NULL;
	return QUEUE_DEAD; /* a message without recipients: nothing can be done with it */
}

static char *reason_of(const struct queue_recipient *because, enum queue_state state)
{
	const char *reply = because->reply ? because->reply : "";
	if (state == QUEUE_SENT)
		return g_strdup(reply);
	if (because->reply_code == 0)
		return g_strdup_printf("<%s>: %s", because->forward_path, reply);
	return g_strdup_printf(
		"<%s>: %d %s", because->forward_path, because->reply_code, reply);
}

/* others: what became of those that are not kept; NULL: nothing to tell. */
static bool hold_kept(struct queue_message *message, const bool *kept, const char *others)
{
	if (!keep(message, kept))
		return false;
	message->state = QUEUE_HELD;
	set_hold(message, NULL);
	set_reason(message,
		g_strdup_printf("%s%sno reply came to the message's end: it may have "
				"been taken, and its route sends it once at most",
			others ? others : "", others ? "; " : ""));
	return true;
}

void outcome_of_recipients(
	const struct outcome *outcome, struct queue_message *message, const bool *kept)
{
	const struct queue_recipient *because;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		message->uncertain |= r->state == QUEUE_UNCERTAIN;
	}
	if (hold_kept(message, kept, NULL))
		return;
	set_hold(message, NULL);
	message->state =
		state_of_recipients(outcome, message->recipients, kept, &because);
	set_reason(message,
		because ? reason_of(because, message->state) : g_strdup("no recipients"));
	if (message->state != QUEUE_HELD)
		return;
	set_hold(message, outcome->hold);
	if (outcome->advice)
		set_reason(message,
			g_strdup_printf("%s (%s)", message->reason, outcome->advice));
}

bool outcome_is_open(const struct queue_message *message)
{
	return message->state == QUEUE_DEFERRED || message->state == QUEUE_UNCERTAIN ||
	       message->state == QUEUE_HELD;
}

void outcome_schedule(const struct outcome *outcome, struct queue_message *message,
	const struct conf_queue *settings, const struct outcome_times *times)
{
	int64_t now_ms = times->now_ms;
	if (!outcome_is_open(message)) {
		message->finished_ms = now_ms;
		return;
	}
	/* It may have been dead before a person asked to retry it. */
	message->finished_ms = 0;
	if (message->state == QUEUE_HELD && !message->hold)
		return; /* for a person, however long that takes */
	enum queue_failure failure =
		outcome->deferred ? outcome->failure : QUEUE_FAILURE_MESSAGE;
	message->next_attempt_ms = message->state == QUEUE_HELD
					   ? times->end_ms
					   : now_ms + queue_retry_delay_ms(settings,
							      failure, message->attempts);
	if (now_ms < times->delay_ms)
		message->next_attempt_ms = MIN(message->next_attempt_ms, times->delay_ms);
	if (now_ms < times->end_ms)
		return;
	g_autofree char *lifetime =
		conf_value_print(settings->lifetime_s, CONF_UNIT_SECONDS);
	message->state = QUEUE_DEAD;
	message->finished_ms = now_ms;
	set_hold(message, NULL);
	set_reason(message,
		g_strdup_printf("not delivered in %s: %s", lifetime, message->reason));
}

void outcome_put_off(struct queue_message *message, const struct conf_queue *settings,
	int64_t now_ms, const char *why)
{
	int64_t soon_ms = now_ms + queue_retry_delay_ms(settings, QUEUE_FAILURE_UPSTREAM,
					   message->attempts);
	if (message->state == QUEUE_HELD && message->hold)
		message->next_attempt_ms = MIN(message->next_attempt_ms, soon_ms);
	if (outcome_is_open(message))
		return; /* with what it is tried again for anyway */
	bool sent = message->state == QUEUE_SENT;
	message->state = QUEUE_DEFERRED;
	message->finished_ms = 0;
	message->next_attempt_ms = soon_ms;
	set_reason(message, g_strdup_printf("%s%s; the report of it cannot be queued: %s",
				    sent ? "sent; " : "", message->reason, why));
}

void outcome_end_recipients(struct queue_message *message, const bool *kept)
{
	bool alike = true;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		alike &= groups_is_open(r) && !is_kept(r, kept, i);
	}
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *r = message->recipients->pdata[i];
		if (!groups_is_open(r) || is_kept(r, kept, i))
			continue;
		r->state = QUEUE_DEAD;
		if (!alike)
			queue_message_add_event(message, (int)i, QUEUE_DEAD,
				r->reply_code, r->reply, NULL);
	}
}

void outcome_keep(struct queue_message *message, const bool *kept)
{
	bool any = false;
	for (guint i = 0; i < message->recipients->len && !any; i++)
		any = is_kept(message->recipients->pdata[i], kept, i);
	if (message->state != QUEUE_DEAD || !any)
		return;
	outcome_end_recipients(message, kept);
	hold_kept(message, kept, message->reason);
	message->finished_ms = 0;
}
