/* The steps of one delivery attempt, in order. What a step does lies in rewriter,
 * stowing, content, sending and s3/; what its failure means in outcome. */
#include "gateway/delivery/job_private.h"

#include "gateway/delivery/bouncing.h"
#include "gateway/delivery/named.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include <string.h>
#include <unistd.h>

#define KEPT_LOGGED_MAX 16 /* of one message */

/* Says what stays in the message that a person might have expected to be linked. */
static void log_kept(const struct job *job)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(rewriter_message(job->rewriter), &decisions);
	unsigned kept = 0;
	for (size_t i = 0; i < n; i++) {
		const struct mime_decision *d = &decisions[i];
		if (d->linked ||
			(!d->file_name && g_str_has_prefix(d->media_type, "text/")))
			continue;
		if (++kept > KEPT_LOGGED_MAX)
			break;
		log_info("attachment.kept", LOG_TEXT("id", job->message->id),
			LOG_NUMBER("part", d->part), LOG_TEXT("file_name", d->file_name),
			LOG_TEXT("media_type", d->media_type),
			LOG_TEXT("reason", d->reason));
	}
}

/* Who gets it, where the text says that. */
static bool name_recipients(struct job *job, GError **error)
{
	const struct queue_message *message = job->message;
	if (!named_apply(
		    job->route->conf, job->message, job->rewriter, &job->unnamed, error))
		return false;
	if (job->unnamed)
		log_warning("recipients.unnamed", LOG_TEXT("id", message->id),
			LOG_TEXT("reason", job->unnamed));
	else if (message->recipients_changed)
		log_info("recipients.named", LOG_TEXT("id", message->id),
			LOG_NUMBER("recipients", message->recipients->len));
	return true;
}

/* So that each relay takes it which the message may go by. */
static bool fit(const struct job *job, GError **error)
{
	const struct conf *conf = job->route->conf;
	g_autoptr(GPtrArray) groups = groups_new(conf, job->message);
	return rewriter_fit(job->rewriter, groups_max_bytes(conf, groups),
		groups_have_ses(conf, groups), error);
}

static bool rewrite(struct job *job, GError **error)
{
	struct queue_message *message = job->message;
	queue_note_state(job->queue, message, QUEUE_REWRITING);
	job->fd = queue_open_spool(job->queue, message, error);
	if (job->fd < 0)
		return false;
	job->rewriter = rewriter_new(job->fd, message->octets, message->size,
		conf_attachments_for(job->route->conf, message->listener, message->user),
		queue_spool_directory(job->queue), error);
	if (!job->rewriter || !fit(job, error))
		return false;
	const char *why = mime_message_untouched_reason(rewriter_message(job->rewriter));
	if (rewriter_is_whole(job->rewriter))
		log_info("message.oversized", LOG_TEXT("id", message->id),
			LOG_TEXT("reason", "over its relay's max_message_size: all of it "
					   "is linked as one file"));
	if (why) {
		metrics_add(job->metrics, METRIC_MESSAGES_UNTOUCHED_TOTAL, NULL, 1);
		log_info("message.untouched", LOG_TEXT("id", message->id),
			LOG_TEXT("reason", why));
	} else {
		log_kept(job);
	}
	if (!name_recipients(job, error))
		return false;
	job->stowing = stowing_new(job->route->conf, job->rewriter, message->id,
		message->seed, message->received_ms / 1000);
	stowing_heed_lifecycle(job->stowing, job->route->store);
	return true;
}

/* Whether an earlier attempt stored just these objects: recorded in
 * the queue when it did. */
static bool stored_before(const struct job *job)
{
	const GPtrArray *stored = job->message->attachments;
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(job->rewriter, &attachments);
	if (stored->len != n ||
		stowing_is_over(job->stowing, g_get_real_time() / G_USEC_PER_SEC))
		return false;
	for (guint i = 0; i < stored->len; i++) {
		const struct queue_attachment *old = g_ptr_array_index(stored, i);
		char sha256[65];
		stowing_sha256_text(attachments[i].sha256, sha256);
		if (old->revoked_at_s || strcmp(old->sha256, sha256) ||
			strcmp(old->key, stowing_key(job->stowing, i)))
			return false;
	}
	return true;
}

static void record_attachment(
	struct job *job, const struct mime_attachment *attachment, const char *key)
{
	struct queue_attachment *record = queue_message_add_attachment(job->message);
	record->number = attachment->part;
	record->key = g_strdup(key);
	record->file_name = g_strdup(attachment->file_name);
	record->media_type = g_strdup(attachment->media_type);
	record->size = attachment->size;
	stowing_sha256_text(attachment->sha256, record->sha256);
	log_info("attachment.stored", LOG_TEXT("id", job->message->id),
		LOG_TEXT("key", key), LOG_TEXT("file_name", attachment->file_name),
		LOG_TEXT("media_type", attachment->media_type),
		LOG_NUMBER("size", attachment->size), LOG_TEXT("sha256", record->sha256),
		LOG_TEXT("why", attachment->reason));
	metrics_add(job->metrics, METRIC_ATTACHMENTS_TOTAL, NULL, 1);
	metrics_add(job->metrics, METRIC_ATTACHMENT_BYTES_TOTAL, NULL,
		(double)attachment->size);
}

static bool upload(struct job *job, GError **error)
{
	size_t n_objects;
	const struct s3_object *objects = stowing_objects(job->stowing, &n_objects);
	if (n_objects == 0 || stored_before(job))
		return true;
	queue_note_state(job->queue, job->message, QUEUE_UPLOADING);
	bool stored = s3_store_put(job->route->store, objects, n_objects, error);
	metrics_add(job->metrics, METRIC_S3_REQUESTS_TOTAL, stored ? "ok" : "failed",
		(double)n_objects);
	if (!stored)
		return false;
	stowing_set_stored(job->stowing, g_get_real_time() / G_USEC_PER_SEC);
	stowing_heed_lifecycle(job->stowing, job->route->store);
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(job->rewriter, &attachments);
	g_ptr_array_set_size(job->message->attachments, 0);
	for (size_t i = 0; i < n; i++)
		record_attachment(job, &attachments[i], stowing_key(job->stowing, i));
	job->unrecorded = true;
	return true;
}

static bool links(struct job *job, GError **error)
{
	return sending_prepare(job, error);
}

static bool relay(struct job *job, GError **error)
{
	(void)error; /* every outcome is a recipient's */
	sending_run(job);
	return true;
}

static const struct step {
	const char *name; /* also the log field "step" and the metric's label */
	bool (*run)(struct job *, GError **);
} steps[] = {
	{ "rewrite", rewrite },
	{ "upload", upload },
	{ "links", links },
	{ "relay", relay },
};

/* Runs the steps until one fails: its name, or NULL when all went. */
static const char *run_steps(struct job *job, GError **error)
{
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		int64_t began_us = g_get_monotonic_time();
		bool ok = steps[i].run(job, error);
		metrics_add(job->metrics, METRIC_DELIVERY_SECONDS_TOTAL, steps[i].name,
			(double)(g_get_monotonic_time() - began_us) / G_USEC_PER_SEC);
		if (!ok)
			return steps[i].name;
	}
	return NULL;
}

static void log_outcome(const struct job *job)
{
	const struct queue_message *message = job->message;
	static const struct {
		enum log_level level;
		const char *event;
	} outcomes[QUEUE_STATES] = {
		[QUEUE_SENT] = { LOG_LEVEL_INFO, "message.sent" },
		[QUEUE_DEFERRED] = { LOG_LEVEL_WARNING, "message.deferred" },
		[QUEUE_UNCERTAIN] = { LOG_LEVEL_WARNING, "message.uncertain" },
		[QUEUE_HELD] = { LOG_LEVEL_WARNING, "message.held" },
		[QUEUE_DEAD] = { LOG_LEVEL_WARNING, "message.dead" },
		[QUEUE_BOUNCED] = { LOG_LEVEL_WARNING, "message.bounced" },
	};
	bool waits = message->finished_ms == 0 && message->state != QUEUE_HELD;
	g_autoptr(GDateTime) next =
		waits ? g_date_time_new_from_unix_utc(message->next_attempt_ms / 1000)
		      : NULL;
	g_autofree char *next_text = next ? g_date_time_format_iso8601(next) : NULL;
	log_event(outcomes[message->state].level, outcomes[message->state].event,
		LOG_TEXT("id", message->id), LOG_TEXT("relay", job->relay),
		LOG_TEXT("relay_id", message->relay_id),
		LOG_NUMBER("attempts", message->attempts),
		LOG_NUMBER("recipients", message->recipients->len),
		LOG_NUMBER("attachments", message->attachments->len),
		LOG_NUMBER("age_ms", g_get_real_time() / 1000 - message->received_ms),
		LOG_TEXT("next_attempt", next_text), LOG_TEXT("hold", message->hold),
		LOG_TEXT("reason", message->reason));
}

/* For each recipient the host that its reply is from; NULL where this attempt knows of
 * none. g_free() */
static const char **find_hosts(const struct job *job)
{
	const GPtrArray *recipients = job->message->recipients;
	const char **hosts = g_new0(const char *, recipients->len + 1);
	for (guint i = 0; i < recipients->len; i++) {
		const char *name =
			g_hash_table_lookup(job->speakers, recipients->pdata[i]);
		if (name)
			hosts[i] = conf_relay_find(job->route->conf, name)->host;
	}
	return hosts;
}

/* A report that cannot be queued is the next attempt's to make. */
static void report(struct job *job, const struct outcome_times *times, const bool *kept)
{
	const struct conf *conf = job->route->conf;
	g_autofree const char **hosts = find_hosts(job);
	g_autoptr(GError) error = NULL;
	const struct bouncing bouncing = {
		.queue = job->queue,
		.conf = conf,
		.hosts = hosts,
		.kept = kept,
		.late = times->now_ms >= times->delay_ms,
		.end_ms = times->end_ms,
	};
	if (bouncing_report(&bouncing, job->message, &error))
		return;
	log_error("bounce.failed", LOG_TEXT("id", job->message->id),
		LOG_TEXT("reason", error->message));
	if (!job->message->transit)
		outcome_put_off(
			job->message, &conf->queue, times->now_ms, error->message);
}

static enum queue_failure failure_of(const GError *error)
{
	return s3_error_is_throttle(error) ? QUEUE_FAILURE_THROTTLE
					   : QUEUE_FAILURE_UPSTREAM;
}

/* What a person has to mend after a step failed so; NULL: it may pass
 * by itself. g_free() */
static char *hold_of(const GError *error)
{
	if (g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND))
		return g_strdup("settings");
	return stowing_hold(error);
}

/* For each recipient whether its route lets nobody send to it again by itself. */
static bool *find_kept(const struct job *job)
{
	const GPtrArray *recipients = job->message->recipients;
	bool *kept = g_new(bool, recipients->len + 1);
	for (guint i = 0; i < recipients->len; i++)
		kept[i] = groups_is_kept(
			job->route->conf, job->message, recipients->pdata[i]);
	return kept;
}

/* Where a text names who gets the message, its way is known only once that was read. */
static bool is_way_known(const struct job *job)
{
	const struct conf_recipients *recipients = &job->route->conf->recipients;
	return !recipients->markers || !recipients->domains || !recipients->fallback;
}

/* Whose the message is, to try again, to give up and to report: the gateway's, once it is
 * in the queue or some recipient has it, so that a client that waits for the next hop is
 * told 250; else that client's. */
static bool is_ours(const struct queue_message *message)
{
	bool ours = !message->transit;
	for (guint i = 0; i < message->recipients->len && !ours; i++) {
		const struct queue_recipient *recipient = message->recipients->pdata[i];
		ours = recipient->state == QUEUE_SENT;
	}
	return ours;
}

/* Else nothing but its report is left to be made. */
static bool has_open(const struct queue_message *message)
{
	bool any = false;
	for (guint i = 0; i < message->recipients->len && !any; i++)
		any = groups_is_open(message->recipients->pdata[i]);
	return any;
}

/* What is known to be in vain is not begun. find_kept() of what it has left. */
static bool *attempt(struct job *job)
{
	struct queue_message *message = job->message;
	const char *failed_step = NULL;
	g_autoptr(GError) error = NULL;
	groups_recover(message);
	if (has_open(message) && (!is_way_known(job) || sending_is_possible(job)))
		failed_step = run_steps(job, &error);
	/* No link was made for it: the relay went away meanwhile, say. */
	if (job->unrecorded)
		queue_record_attachments(job->queue, message);
	if (failed_step)
		outcome_of_failure(&job->outcome, message, failed_step, error,
			hold_of(error), failure_of(error));
	bool *kept = find_kept(job);
	if (!failed_step)
		outcome_of_recipients(&job->outcome, message, kept);
	return kept;
}

/* The message's own end of the attempt, unless the relay's reply says all of it. */
static void add_event(struct queue_message *message)
{
	const struct queue_event *last =
		message->events->len ? message->events->pdata[message->events->len - 1]
				     : NULL;
	if (!last || last->recipient >= 0 || last->state != message->state)
		queue_message_add_event(
			message, -1, message->state, 0, message->reason, NULL);
}

static void count(const struct job *job)
{
	const struct queue_message *message = job->message;
	metrics_add(job->metrics, METRIC_DELIVERY_ATTEMPTS_TOTAL,
		queue_state_name(message->state), 1);
	if (message->finished_ms)
		metrics_add(job->metrics, METRIC_MESSAGES_FINISHED_TOTAL,
			queue_state_name(message->state), 1);
}

static void job_deinit(struct job *job)
{
	g_free(job->unnamed);
	content_clear(&job->content);
	stowing_free(&job->stowing);
	rewriter_free(&job->rewriter);
	g_clear_pointer(&job->message->octets, g_atomic_rc_box_release);
	outcome_deinit(&job->outcome);
	g_hash_table_unref(job->speakers);
	if (job->fd >= 0)
		close(job->fd);
}

/* They count time that has passed, whatever became of the clock meanwhile. */
static struct outcome_times find_times(const struct job *job)
{
	const struct queue_message *message = job->message;
	struct outcome_times times = { .now_ms = g_get_real_time() / 1000,
		.end_ms = INT64_MAX,
		.delay_ms = INT64_MAX };
	if (outcome_is_open(message) && is_ours(message)) {
		times.end_ms = queue_lifetime_end_ms(job->queue, message);
		times.delay_ms = bounce_delay_ms(
			message, queue_leapt_ms(job->queue, message->received_ms));
	}
	return times;
}

void job_run(struct queue *queue, struct metrics *metrics, struct route *route,
	struct queue_message *message)
{
	struct job job = { .queue = queue,
		.metrics = metrics,
		.route = route,
		.message = message,
		.fd = -1,
		.speakers = g_hash_table_new(NULL, NULL) };
	message->attempts++;
	g_autofree bool *kept = attempt(&job);
	const struct outcome_times times = find_times(&job);
	outcome_schedule(&job.outcome, message, &route->conf->queue, &times);
	if (is_ours(message))
		report(&job, &times, kept);
	outcome_keep(message, kept);
	if (queue_state_is_final(message->state))
		outcome_end_recipients(message, NULL);
	add_event(message);
	log_outcome(&job);
	count(&job);
	job_deinit(&job);
	queue_finish(queue, message);
}
