/* The steps of one delivery attempt, in order. What a step does lies in rewriter, stowing,
 * preflight, s3/ and relay/; what its failure means in outcome. */
#include "gateway/delivery/job.h"

#include "gateway/delivery/bouncing.h"
#include "gateway/delivery/named.h"
#include "gateway/delivery/outcome.h"
#include "gateway/delivery/preflight.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/delivery/rewriter.h"
#include "gateway/delivery/stowing.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A message whose headers pass this is not sent: SES would not take it, and what a client
 * may hide behind it could not be removed. */
#define HEADER_BYTES_MAX   (1024 * 1024)
#define HEADER_BYTES_FIRST 16384

#define KEPT_LOGGED_MAX 16 /* of one message */

struct job {
	struct queue *queue;
	struct metrics *metrics;
	struct route *route;
	struct queue_message *message;
	int fd;
	struct rewriter *rewriter;
	struct stowing *stowing;
	struct splice *splice;
	bool linked;   /* attachments were replaced by links, or the text was edited */
	char *unnamed; /* why the text names no recipients, where it must; or NULL */
	/* The relay will report success where that was asked for, to the client itself */
	bool relay_reports;
};

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

static bool rewrite(struct job *job, GError **error)
{
	struct queue_message *message = job->message;
	job->fd = queue_open_spool(job->queue, message, error);
	if (job->fd < 0)
		return false;
	job->rewriter = rewriter_new(job->fd, message->size,
		conf_attachments_for(job->route->conf, message->listener, message->user),
		queue_spool_directory(job->queue), error);
	if (!job->rewriter || !rewriter_fit(job->rewriter,
				      job->route->conf->relay.max_message_size, error))
		return false;
	const char *why = mime_message_untouched_reason(rewriter_message(job->rewriter));
	if (rewriter_is_whole(job->rewriter))
		log_info("message.oversized", LOG_TEXT("id", message->id),
			LOG_TEXT("reason", "over relay.max_message_size: all of it is "
					   "linked as one file"));
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
		if (strcmp(old->sha256, sha256) ||
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
	bool stored = s3_store_put(job->route->store, objects, n_objects, error);
	metrics_add(job->metrics, METRIC_S3_REQUESTS_TOTAL, stored ? "ok" : "failed",
		(double)n_objects);
	if (!stored)
		return false;
	stowing_set_stored(job->stowing, g_get_real_time() / G_USEC_PER_SEC);
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(job->rewriter, &attachments);
	g_ptr_array_set_size(job->message->attachments, 0);
	for (size_t i = 0; i < n; i++)
		record_attachment(job, &attachments[i], stowing_key(job->stowing, i));
	return true;
}

static bool has_empty_line(const uint8_t *octets, size_t n)
{
	return memmem(octets, n, "\n\r\n", 3) || memmem(octets, n, "\n\n", 2);
}

/* Reads at least the octets up to the empty line that ends the header block. */
static GByteArray *read_header(int fd, uint64_t message_bytes, GError **error)
{
	g_autoptr(GByteArray) header = g_byte_array_new();
	size_t wanted = HEADER_BYTES_FIRST;
	for (;;) {
		wanted = (size_t)MIN((uint64_t)wanted, message_bytes);
		size_t have = header->len;
		g_byte_array_set_size(header, (guint)wanted);
		ssize_t n = pread(fd, header->data + have, wanted - have, (off_t)have);
		if (n < 0 || (size_t)n < wanted - have) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
				"cannot read the spooled message: %s",
				n < 0 ? g_strerror(errno) : "it is shorter than it was");
			return NULL;
		}
		if (wanted == message_bytes || has_empty_line(header->data, wanted))
			return g_steal_pointer(&header);
		if (wanted >= HEADER_BYTES_MAX) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
				"the header block is over %d octets", HEADER_BYTES_MAX);
			return NULL;
		}
		wanted *= 4;
	}
}

/* Whether the header, as far as it was read, has to be said in ASCII. */
static bool wants_ascii(const struct job *job, const GByteArray *header)
{
	return job->message->body_8bit &&
	       !text_is_ascii((const char *)header->data, header->len) &&
	       relay_wants_ascii(job->route->relay, job->message->smtputf8);
}

static bool edit_header(struct job *job, GError **error)
{
	const struct conf *conf = job->route->conf;
	const struct queue_message *message = job->message;
	g_autoptr(GByteArray) header = read_header(job->fd, message->size, error);
	if (!header)
		return false;
	const struct preflight preflight = {
		.sender = &conf->sender,
		.configuration_set = conf->relay.configuration_set,
		.hostname = conf->hostname,
		.id = message->id,
		.reverse_path = message->reverse_path,
		.received_s = message->received_ms / 1000,
		.body_changed = job->linked,
		.is_8bit = message->body_8bit,
		.wants_ascii = wants_ascii(job, header),
	};
	return preflight_edit(
		&preflight, (const char *)header->data, header->len, job->splice, error);
}

/* Into the queue's record: what was stored, and until when its links are good. */
static void record_links(struct job *job)
{
	GPtrArray *stored = job->message->attachments;
	for (guint i = 0; i < stored->len; i++) {
		struct queue_attachment *attachment = g_ptr_array_index(stored, i);
		attachment->expires_at_s = stowing_expires_at_s(job->stowing, i);
	}
	queue_record_attachments(job->queue, job->message);
}

/* In front of a message whose text cannot be changed: what would stand in that. */
static void say_in_header(struct job *job)
{
	g_autofree char *field =
		g_strdup_printf("X-Stowage-Notice: the text names no recipients to whom "
				"it can be sent:\r\n %s\r\n",
			job->unnamed);
	splice_replace(job->splice, 0, 0, field, strlen(field));
}

static bool links(struct job *job, GError **error)
{
	g_autofree char *why = NULL;
	job->splice = stowing_link(job->stowing, job->rewriter, job->route->store,
		g_get_real_time() / G_USEC_PER_SEC, job->message->size, &job->linked,
		&why, error);
	if (!job->splice)
		return false;
	if (why)
		log_warning("message.untouched", LOG_TEXT("id", job->message->id),
			LOG_TEXT("reason", why));
	if (job->unnamed && !job->linked)
		say_in_header(job);
	if (stowing_attachments(job->stowing) > 0)
		record_links(job);
	return edit_header(job, error);
}

/* Two addresses of one message may lead to one: it is named to the relay
 * once. The first open recipient of each forward-path, borrowed;
 * of_recipient gets each one's index. */
static GPtrArray *open_recipients(const GPtrArray *recipients, GHashTable *of_recipient)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	GPtrArray *paths = g_ptr_array_new();
	for (guint i = 0; i < recipients->len; i++) {
		struct queue_recipient *recipient = g_ptr_array_index(recipients, i);
		void *index;
		if (!outcome_is_open(recipient))
			continue;
		if (!g_hash_table_lookup_extended(
			    seen, recipient->forward_path, NULL, &index)) {
			index = GUINT_TO_POINTER(paths->len);
			g_hash_table_insert(seen, recipient->forward_path, index);
			g_ptr_array_add(paths, recipient);
		}
		g_hash_table_insert(of_recipient, recipient, index);
	}
	return paths;
}

/* A transaction with the relay: what stands in its array is whose. */
struct transaction {
	struct job *job;
	GHashTable *of_recipient; /* struct queue_recipient to its index in results */
	struct relay_recipient *results;
};

static void take_verdicts(const struct transaction *transaction, bool only_settled)
{
	GHashTableIter each;
	void *recipient, *index;
	g_hash_table_iter_init(&each, transaction->of_recipient);
	while (g_hash_table_iter_next(&each, &recipient, &index)) {
		const struct relay_recipient *result =
			&transaction->results[GPOINTER_TO_UINT(index)];
		bool settled =
			result->verdict == RELAY_SENT || result->verdict == RELAY_REFUSED;
		if (settled || !only_settled)
			outcome_take_verdict(recipient, result);
	}
}

static bool before_final_dot(void *context, GError **error)
{
	const struct transaction *transaction = context;
	take_verdicts(transaction, true);
	return queue_mark_relaying(
		transaction->job->queue, transaction->job->message, error);
}

static bool relay(struct job *job, GError **error)
{
	(void)error; /* every outcome is a recipient's */
	struct queue_message *message = job->message;
	g_autoptr(GHashTable) of_recipient = g_hash_table_new(NULL, NULL);
	g_autoptr(GPtrArray) paths = open_recipients(message->recipients, of_recipient);
	g_autofree struct relay_recipient *results =
		g_new0(struct relay_recipient, paths->len);
	for (guint i = 0; i < paths->len; i++) {
		const struct queue_recipient *first = g_ptr_array_index(paths, i);
		results[i].forward_path = first->forward_path;
		results[i].notify = queue_notify_name(first->notify);
		results[i].orcpt = first->orcpt;
		results[i].verdict = RELAY_DEFERRED;
	}
	g_autofree char *reverse_path =
		preflight_reverse_path(&job->route->conf->sender, message->reverse_path);
	struct transaction transaction = { job, of_recipient, results };
	struct relay_message outgoing = {
		.id = message->id,
		.reverse_path = reverse_path,
		.body_8bit = message->body_8bit,
		.smtputf8 = message->smtputf8,
		.ret = queue_ret_name(message->ret),
		.envid = message->envid,
		.content = job->splice,
		.fd = job->fd,
		.recipients = results,
		.n_recipients = paths->len,
		.before_final_dot = before_final_dot,
		.context = &transaction,
	};
	relay_send(job->route->relay, &outgoing);
	take_verdicts(&transaction, false);
	job->relay_reports =
		outgoing.takes_dsn && !strcmp(reverse_path, message->reverse_path);
	if (outgoing.relay_id) {
		g_free(message->relay_id);
		message->relay_id = g_strdup(outgoing.relay_id);
	}
	relay_message_deinit(&outgoing);
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

static void log_outcome(const struct queue_message *message)
{
	static const struct {
		enum log_level level;
		const char *event;
	} outcomes[QUEUE_STATES] = {
		[QUEUE_SENT] = { LOG_LEVEL_INFO, "message.sent" },
		[QUEUE_DEFERRED] = { LOG_LEVEL_WARNING, "message.deferred" },
		[QUEUE_UNCERTAIN] = { LOG_LEVEL_WARNING, "message.uncertain" },
		[QUEUE_DEAD] = { LOG_LEVEL_WARNING, "message.dead" },
		[QUEUE_BOUNCED] = { LOG_LEVEL_WARNING, "message.bounced" },
	};
	bool waits = message->finished_ms == 0;
	g_autoptr(GDateTime) next =
		waits ? g_date_time_new_from_unix_utc(message->next_attempt_ms / 1000)
		      : NULL;
	g_autofree char *next_text = next ? g_date_time_format_iso8601(next) : NULL;
	log_event(outcomes[message->state].level, outcomes[message->state].event,
		LOG_TEXT("id", message->id), LOG_TEXT("relay_id", message->relay_id),
		LOG_NUMBER("attempts", message->attempts),
		LOG_NUMBER("recipients", message->recipients->len),
		LOG_NUMBER("attachments", message->attachments->len),
		LOG_NUMBER("age_ms", g_get_real_time() / 1000 - message->received_ms),
		LOG_TEXT("next_attempt", next_text), LOG_TEXT("reason", message->reason));
}

/* A report that cannot be queued leaves the message dead, for a person to see to. */
static void report(struct job *job, const enum queue_state *before)
{
	g_autoptr(GError) error = NULL;
	if (!bouncing_report(job->queue, job->route->conf, job->message, job->fd, before,
		    job->relay_reports, &error))
		log_error("bounce.failed", LOG_TEXT("id", job->message->id),
			LOG_TEXT("reason", error->message));
}

void job_run(struct queue *queue, struct metrics *metrics, struct route *route,
	struct queue_message *message)
{
	struct job job = { .queue = queue,
		.metrics = metrics,
		.route = route,
		.message = message,
		.fd = -1 };
	g_autoptr(GError) error = NULL;
	g_autofree enum queue_state *before = bouncing_states(message);
	message->attempts++;
	const char *failed_step = run_steps(&job, &error);
	if (failed_step)
		outcome_of_failure(message, failed_step, error);
	else
		outcome_of_recipients(message);
	outcome_schedule(message, &route->conf->queue, g_get_real_time() / 1000);
	report(&job, before);

	g_free(job.unnamed);
	splice_free(&job.splice);
	stowing_free(&job.stowing);
	rewriter_free(&job.rewriter);
	if (job.fd >= 0)
		close(job.fd);

	log_outcome(message);
	metrics_add(metrics, METRIC_DELIVERY_ATTEMPTS_TOTAL,
		queue_state_name(message->state), 1);
	if (message->finished_ms)
		metrics_add(metrics, METRIC_MESSAGES_FINISHED_TOTAL,
			queue_state_name(message->state), 1);
	queue_finish(queue, message);
}
