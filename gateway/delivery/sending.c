/* The relay step: each group of recipients by the first relay of its way that can be
 * used. How one is spoken to is relay/'s. */
#include "gateway/delivery/job_private.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include <string.h>

/*
 * One group on its way. Two addresses of one message may lead to one: it is named to the
 * relay once, so that results are fewer than recipients.
 */
struct sending {
	struct job *job;
	const struct group *group;
	GHashTable *of_recipient; /* struct queue_recipient to its index in results */
	struct relay_recipient *results; /* the verdicts that hold so far */
	struct relay_recipient *tries;   /* those of the attempt under way */
	bool *waits;                     /* per result: it goes by the relay at hand */
	size_t n;
	bool alone;                    /* the message has no recipients but the group's */
	struct relay_message outgoing; /* as the relay at hand has it */
};

static void sending_init(struct sending *s, struct job *job, const struct group *group)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	*s = (struct sending){ .job = job, .group = group };
	s->of_recipient = g_hash_table_new(NULL, NULL);
	s->results = g_new0(struct relay_recipient, group->recipients->len);
	s->tries = g_new0(struct relay_recipient, group->recipients->len);
	s->waits = g_new(bool, group->recipients->len);
	s->alone = group->recipients->len == job->message->recipients->len;
	for (guint i = 0; i < group->recipients->len; i++) {
		struct queue_recipient *recipient = group->recipients->pdata[i];
		void *index;
		if (!g_hash_table_lookup_extended(
			    seen, recipient->forward_path, NULL, &index)) {
			index = GSIZE_TO_POINTER(s->n);
			g_hash_table_insert(seen, recipient->forward_path, index);
			s->waits[s->n] = true;
			s->results[s->n++] = (struct relay_recipient){
				.forward_path = recipient->forward_path,
				.notify = queue_notify_name(recipient->notify),
				.orcpt = recipient->orcpt,
				.verdict = RELAY_DEFERRED,
			};
		}
		g_hash_table_insert(s->of_recipient, recipient, index);
	}
}

static void sending_deinit(struct sending *s)
{
	for (size_t i = 0; i < s->n; i++) {
		relay_recipient_clear(&s->results[i]);
		relay_recipient_clear(&s->tries[i]);
	}
	g_hash_table_unref(s->of_recipient);
	g_free(s->results);
	g_free(s->tries);
	g_free(s->waits);
}

static size_t index_of(const struct sending *s, const struct queue_recipient *recipient)
{
	return GPOINTER_TO_SIZE(g_hash_table_lookup(s->of_recipient, recipient));
}

static size_t count_waiting(const struct sending *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		n += s->waits[i];
	return n;
}

/* ---- What is recorded while it goes ---- */

/* Whether the relay at hand tells the client itself of success, where
 * it asked for that. */
static bool relay_reports(const struct sending *s)
{
	return s->outgoing.takes_dsn &&
	       !strcmp(s->outgoing.reverse_path, s->job->message->reverse_path);
}

static void take_verdict(const struct sending *s, struct queue_recipient *recipient,
	const struct relay_recipient *result)
{
	outcome_take_verdict(recipient, result);
	g_hash_table_insert(s->job->speakers, recipient, (void *)result->relay);
}

/* Into the queue's record of the recipients: what the attempt under way has settled, and
 * whom the final dot concerns. */
static void take_tries(const struct sending *s)
{
	for (guint i = 0; i < s->group->recipients->len; i++) {
		struct queue_recipient *recipient = s->group->recipients->pdata[i];
		size_t index = index_of(s, recipient);
		if (!s->waits[index])
			continue;
		if (s->tries[index].relaying)
			recipient->state = QUEUE_RELAYING;
		else if (s->tries[index].reply)
			take_verdict(s, recipient, &s->tries[index]);
		if (recipient->state == QUEUE_SENT && relay_reports(s))
			recipient->told |= QUEUE_NOTIFY_SUCCESS;
	}
}

static bool journal(const struct sending *s, GError **error)
{
	take_tries(s);
	return s->job->message->transit ||
	       queue_mark_relaying(s->job->queue, s->job->message, error);
}

/* Without the journal there is no dot: nothing more is known of anybody than before. */
static bool before_final_dot(void *context, GError **error)
{
	const struct sending *s = context;
	const GPtrArray *recipients = s->group->recipients;
	g_autofree enum queue_state *before = g_new(enum queue_state, recipients->len);
	for (guint i = 0; i < recipients->len; i++) {
		const struct queue_recipient *recipient = recipients->pdata[i];
		before[i] = recipient->state;
	}
	queue_message_add_event(
		s->job->message, -1, QUEUE_RELAYING, 0, NULL, s->job->relay);
	bool journalled = journal(s, error);
	for (guint i = 0; i < recipients->len && !journalled; i++) {
		struct queue_recipient *recipient = recipients->pdata[i];
		if (recipient->state == QUEUE_RELAYING)
			recipient->state = before[i];
	}
	return journalled;
}

static void journal_settled(struct job *job)
{
	const GPtrArray *recipients = job->message->recipients;
	bool any = false;
	for (guint i = 0; i < recipients->len; i++)
		any |= !groups_is_open(recipients->pdata[i]);
	if (any && !job->message->transit)
		queue_mark_relaying(job->queue, job->message, NULL);
}

/* What one transaction has settled is durable before the next one, which may take its
 * time, so that a crash meanwhile sends to nobody twice. Where that cannot be recorded
 * now the next dot's journal, or the end, tries again. */
static void between(void *context)
{
	const struct sending *s = context;
	take_tries(s);
	journal_settled(s->job);
}

/* ---- Events ---- */

static bool are_alike(const struct sending *s, const struct relay_recipient *tries)
{
	const struct relay_recipient *first = NULL;
	for (size_t i = 0; i < s->n; i++) {
		if (!s->waits[i])
			return false;
		if (!first)
			first = &tries[i];
		if (tries[i].verdict != first->verdict ||
			tries[i].reply_code != first->reply_code ||
			g_strcmp0(tries[i].reply, first->reply))
			return false;
	}
	return true;
}

static void add_event(
	const struct sending *s, int index, const struct relay_recipient *try)
{
	queue_message_add_event(s->job->message, index, outcome_state(try->verdict),
		try->reply_code, try->reply, try->relay);
}

/* tries: what the relay at hand said. */
static void add_events(const struct sending *s, const struct relay_recipient *tries)
{
	const GPtrArray *all = s->job->message->recipients;
	if (s->alone && are_alike(s, tries)) {
		add_event(s, -1, &tries[0]);
		return;
	}
	for (guint i = 0; i < all->len; i++) {
		void *index;
		if (g_hash_table_lookup_extended(
			    s->of_recipient, all->pdata[i], NULL, &index) &&
			s->waits[GPOINTER_TO_SIZE(index)])
			add_event(s, (int)i, &tries[GPOINTER_TO_SIZE(index)]);
	}
}

/* ---- Verdicts ---- */

static void copy_verdict(struct relay_recipient *to, const struct relay_recipient *from)
{
	relay_recipient_clear(to);
	to->verdict = from->verdict;
	to->reply_code = from->reply_code;
	to->reply = g_strdup(from->reply);
	to->failure = from->failure;
	to->hold = g_strdup(from->hold);
	to->unusable = from->unusable;
	to->of_message = from->of_message;
	to->advice = from->advice;
	to->relay = from->relay;
}

/* What holds after another relay was tried: what waits passes by itself before what waits
 * for a person, and of two alike the first, which is the way's own relay. */
static bool holds_now(
	const struct relay_recipient *old, const struct relay_recipient *new)
{
	return !old->reply || !new->unusable ||
	       (old->verdict == RELAY_HELD && new->verdict != RELAY_HELD);
}

/* The tries become results; those stay in wait for the next relay that this one did not
 * settle. */
static void settle(struct sending *s)
{
	take_tries(s);
	add_events(s, s->tries);
	for (size_t i = 0; i < s->n; i++) {
		if (!s->waits[i])
			continue;
		s->waits[i] = s->tries[i].unusable;
		if (holds_now(&s->results[i], &s->tries[i]))
			copy_verdict(&s->results[i], &s->tries[i]);
		relay_recipient_clear(&s->tries[i]);
	}
}

/* That relay cannot be used: so for all that wait. */
static void settle_unusable(struct sending *s, const struct relay_recipient *why)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->waits[i])
			copy_verdict(&s->tries[i], why);
	}
	settle(s);
}

/* The message cannot be made ready for the relay at hand, or for any other. */
static void settle_failed(struct sending *s, const GError *error)
{
	bool rejected = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT);
	g_autofree char *hold = stowing_hold(error);
	const struct relay_recipient why = {
		.verdict = rejected ? RELAY_REFUSED
			   : hold   ? RELAY_HELD
				    : RELAY_DEFERRED,
		.reply = error->message,
		.hold = hold,
		.failure = QUEUE_FAILURE_UPSTREAM,
	};
	settle_unusable(s, &why);
}

/* ---- Sending ---- */

static void note_relay_id(struct queue_message *message, const char *relay_id)
{
	if (!relay_id)
		return;
	g_free(message->relay_id);
	message->relay_id = g_strdup(relay_id);
}

/* Those that wait, by that relay. */
static void send_by(struct sending *s, struct relay *relay)
{
	struct job *job = s->job;
	struct queue_message *message = job->message;
	for (size_t i = 0; i < s->n; i++) {
		s->tries[i] = (struct relay_recipient){
			.forward_path = s->results[i].forward_path,
			.notify = s->results[i].notify,
			.orcpt = s->results[i].orcpt,
			/* as relay_send() passes over those */
			.verdict = s->waits[i] ? RELAY_DEFERRED : RELAY_SENT,
		};
	}
	s->outgoing = (struct relay_message){
		.id = message->id,
		.reverse_path = job->content.reverse_path,
		.body_8bit = message->body_8bit,
		.smtputf8 = message->smtputf8,
		.ret = queue_ret_name(message->ret),
		.envid = message->envid,
		.priority = message->priority,
		.impatient = message->transit != NULL,
		.content = job->content.splice,
		.fd = job->fd,
		.recipients = s->tries,
		.n_recipients = s->n,
		.before_final_dot = before_final_dot,
		.between = between,
		.context = s,
	};
	job->relay = relay_name(relay);
	relay_send(relay, &s->outgoing);
	note_relay_id(message, s->outgoing.relay_id);
	g_clear_pointer(&s->outgoing.relay_id, g_free);
}

/* The first that the relay could not be used for; NULL: none. */
static const struct relay_recipient *find_unusable(const struct sending *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->waits[i] && s->tries[i].unusable)
			return &s->tries[i];
	}
	return NULL;
}

/* Whoever finds that a relay works again spares those that wait for it the queue's own
 * try. */
static void note_use(const struct sending *s, const char *name, const char *next)
{
	struct relays *relays = s->job->route->relays;
	const struct relay_recipient *unusable = find_unusable(s);
	if (unusable) {
		relays_note_left(relays, name, unusable, next);
		return;
	}
	g_autofree char *hold = relays_note_taken(relays, name);
	if (hold)
		queue_release(s->job->queue, hold);
}

static void try_relay(struct sending *s, const char *name, const char *next)
{
	struct job *job = s->job;
	struct relays *relays = job->route->relays;
	struct relay *relay = relays_find(relays, name);
	struct relay_recipient why = { 0 };
	g_autoptr(GError) error = NULL;
	if (!relay_is_usable(relay, job->message->priority, false,
		    job->message->retried_ms, &why)) {
		relays_note_left(relays, name, &why, next);
		settle_unusable(s, &why);
		relay_recipient_clear(&why);
		return;
	}
	if (!content_prepare(
		    job, s->group->route, relays_settings(relays, name), &error)) {
		settle_failed(s, error);
		return;
	}
	send_by(s, relay);
	note_use(s, name, next);
	settle(s);
}

static void send_group(struct job *job, const struct group *group)
{
	struct sending s;
	sending_init(&s, job, group);
	const char *const *name = group->relays;
	for (; *name && count_waiting(&s) > 0; name++)
		try_relay(&s, *name, name[1]);
	for (guint i = 0; i < group->recipients->len; i++) {
		struct queue_recipient *recipient = group->recipients->pdata[i];
		take_verdict(&s, recipient, &s.results[index_of(&s, recipient)]);
	}
	for (size_t i = 0; i < s.n; i++)
		outcome_note(&job->outcome, &s.results[i]);
	sending_deinit(&s);
}

void sending_run(struct job *job)
{
	g_autoptr(GPtrArray) groups = groups_new(job->route->conf, job->message);
	for (guint i = 0; i < groups->len; i++) {
		if (i > 0)
			journal_settled(job);
		send_group(job, groups->pdata[i]);
	}
}

/* ---- Before all that ---- */

/* The first of the group's relays that can be used; NULL: none, and *why says why the
 * first cannot, or one of them that passes by itself. */
static const struct conf_relay *find_usable(
	struct job *job, const struct group *group, struct relay_recipient *why)
{
	const struct relays *relays = job->route->relays;
	/* Who has another relay to go by needs no patience. */
	bool patient = !group->relays[1] && !job->message->transit;
	for (const char *const *name = group->relays; *name; name++) {
		struct relay_recipient one = { 0 };
		if (relay_is_usable(relays_find(relays, *name), job->message->priority,
			    patient, job->message->retried_ms, &one))
			return relays_settings(relays, *name);
		if (holds_now(why, &one))
			copy_verdict(why, &one);
		relay_recipient_clear(&one);
	}
	return NULL;
}

bool sending_is_possible(struct job *job)
{
	g_autoptr(GPtrArray) groups = groups_new(job->route->conf, job->message);
	bool possible = false;
	g_autofree struct relay_recipient *why =
		g_new0(struct relay_recipient, groups->len + 1);
	for (guint i = 0; i < groups->len && !possible; i++)
		possible = find_usable(job, groups->pdata[i], &why[i]);
	for (guint i = 0; i < groups->len && !possible; i++) {
		struct sending s;
		sending_init(&s, job, groups->pdata[i]);
		settle_unusable(&s, &why[i]);
		outcome_note(&job->outcome, &why[i]);
		relays_note_left(job->route->relays, why[i].relay, &why[i], NULL);
		sending_deinit(&s);
	}
	for (guint i = 0; i < groups->len; i++)
		relay_recipient_clear(&why[i]);
	return possible || groups->len == 0;
}

bool sending_prepare(struct job *job, GError **error)
{
	g_autoptr(GPtrArray) groups = groups_new(job->route->conf, job->message);
	for (guint i = 0; i < groups->len; i++) {
		const struct group *group = groups->pdata[i];
		struct relay_recipient why = { 0 };
		const struct conf_relay *relay = find_usable(job, group, &why);
		relay_recipient_clear(&why);
		if (relay)
			return content_prepare(job, group->route, relay, error);
	}
	return true; /* the next step says why of each */
}
